"""The query log that a fingerprint is made of: what customers asked the source, where it was served.

Such a fingerprint is evidence against "not trained on the source's answers to this log, perhaps on its images with
labels of his own", by rank among sources alone. It takes that the log was not chosen in response to the source's
answers, and that its digest was dated before the suspect was first accessed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Self

from cae_core.errors import OptionError, quoted
from cae_core.files.fields import read_field

__all__ = ["QUERIES", "QueryLog", "parse_date"]

QUERIES = "queries"
"""Where a generation describes it."""

_MOST = 1_000_000


@dataclass(frozen=True, kw_only=True)
class QueryLog:
    """A log of queries, as a fingerprint names it.

    Attributes:
        sha256: of its images.
        count: how many images there are.
        date: on which that digest was fixed, by the owner's word.
        logs_tried: how many logs were tried, this one included: p is multiplied by it.
    """

    sha256: str
    count: int
    date: date
    logs_tried: int = 1

    def __post_init__(self) -> None:
        if not 1 <= self.logs_tried <= _MOST:
            raise OptionError(
                f"logs_tried counts this log as well: at least 1, at most {_MOST}; found {self.logs_tried}."
            )

    def described(self) -> dict[str, Any]:
        """Return it as a generation's metadata hold it."""
        return {
            "sha256": self.sha256,
            "count": self.count,
            "date": self.date.isoformat(),
            "logs_tried": self.logs_tried,
        }

    @classmethod
    def of(cls, generation: Mapping[str, Any]) -> Self | None:
        """Return the log that a generation names; None where the fingerprint is made of none.

        Raises:
            OptionError: it names none properly.
        """
        table = read_field(generation, QUERIES, dict[str, Any], {})
        if not table:
            return None
        told = read_field(table, "date", str)
        return cls(
            sha256=read_field(table, "sha256", str),
            count=read_field(table, "count", int),
            date=parse_date(told),
            logs_tried=read_field(table, "logs_tried", int),
        )


def parse_date(text: str) -> date:
    """Return a date of the form 2026-05-31.

    Raises:
        OptionError: it is none.
    """
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise OptionError(f"A date is a year, month and day, such as 2026-05-31; found {quoted(text)}.") from error
