"""How work that runs in a process of this machine learns that nobody waits for its result any more."""

from multiprocessing.synchronize import Event

__all__ = ["StoppedError", "check_stopped", "obey"]

_STOPS: list[Event] = []
"""In a worker process: the one event that tells it to stop. Elsewhere there is none."""


class StoppedError(Exception):
    """The run was interrupted; nobody waits for this result."""


def obey(stop: Event) -> None:
    """Let `check_stopped` raise in this process once ``stop`` is set."""
    _STOPS.append(stop)


def check_stopped() -> None:
    """Do nothing, or end the work in progress; long work calls this now and then.

    Raises:
        StoppedError: the run that asked for the work has been interrupted.
    """
    if any(stop.is_set() for stop in _STOPS):
        raise StoppedError
