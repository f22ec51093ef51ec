"""The present time, asked for in one place: so that tests can say which it is."""

from datetime import UTC, datetime

__all__ = ["utc_now"]


def utc_now() -> datetime:
    """Return the present time by this machine's clock, UTC, whole seconds.

    It is asked for as ``clock.utc_now()``, so that another clock can stand in its place.
    """
    return datetime.now(UTC).replace(microsecond=0)
