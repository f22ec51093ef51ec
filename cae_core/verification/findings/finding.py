"""Something that an examination shows beside the decision: it decides nothing."""

from dataclasses import dataclass
from typing import Any, Literal

__all__ = ["Finding", "Line"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """How people read a finding: in the printed table, and as a row of the report.

    Attributes:
        label: the name in the table.
        text: the value in the table.
        title: the name in the report.
        shown: the value in the report.
        note: how it is meant, in the report.
    """

    label: str
    text: str
    title: str
    shown: str
    note: str


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One finding.

    Attributes:
        key: its name in JSON.
        value: the value as JSON holds it; None if there is nothing to say.
        lines: lines for people; empty if there is nothing to say.
        section: beside the ``scores``, or beside what was ``asked``.
        top_level: whether JSON has it beside the verdict's own fields, as those that there were first. Every later one
            stands under ``findings``: records of releases that did not know it are derived again without it.
    """

    key: str
    value: Any
    lines: tuple[Line, ...] = ()
    section: Literal["scores", "asked"] = "asked"
    top_level: bool = False
