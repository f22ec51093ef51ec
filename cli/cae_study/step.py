"""A step of a study: what it is called, what it needs, and what names its result."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from pathlib import Path

    from cae_study.bench import Bench

__all__ = ["REQUIRED", "Options", "Result", "Row", "Step", "StepKind", "Units"]

Options: TypeAlias = Mapping[str, Any]
"""Of a step, by name, with the defaults filled in."""

Row: TypeAlias = Mapping[str, Any]
"""Of a table: values by the names of columns; numbers, texts, or None where there is none."""

Result: TypeAlias = Mapping[str, Sequence[Row]]
"""Of a step: rows by the name of what they are of; "summary" is what a table shows unless it says otherwise."""

Units: TypeAlias = Mapping[str, float]
"""Work of a step, by the kind of work: seconds measured of one step tell how long another one takes."""


class _Required:
    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED = _Required()
"""The default of an option that has none."""


@dataclass(frozen=True, kw_only=True)
class StepKind:
    """What steps of one kind do.

    Attributes:
        name: in the study file, where ``[NAME.step]`` is a step of this kind.
        options: each option's default, whose type it must have; `REQUIRED` is a text without which there is no step.
        needs: gives the ids of the steps whose results it reads, ``kind.name``.
        paths: the options that name files, whose content `outside` gives: where they lie names no result.
        outside: gives what it reads besides, as JSON can hold it: the content of a plan, the digests of a manifest.
        units: of the work, see `Units`.
        run: does it in a folder of its own, where an earlier, interrupted run may have left something.
    """

    name: str
    options: Options
    needs: Callable[[Options], Sequence[str]]
    run: Callable[["Bench"], Result]
    units: Callable[["Bench"], Units]
    paths: Sequence[str] = ()
    outside: Callable[[Options, "Path"], Any] = lambda _options, _folder: None


@dataclass(frozen=True, kw_only=True)
class Step:
    """One step of a study.

    Attributes:
        kind: what it does.
        name: name of the step.
        options: see `Options`.
        outside: what it reads besides data and other steps, see `StepKind.outside`.
    """

    kind: StepKind = field(repr=False)
    name: str
    options: Options
    outside: Any = None

    @property
    def id(self) -> str:
        """Its name among all steps."""
        return f"{self.kind.name}.{self.name}"

    @property
    def needs(self) -> tuple[str, ...]:
        """The ids of the steps whose results it reads."""
        return tuple(self.kind.needs(self.options))
