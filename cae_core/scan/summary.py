"""The end of a scan: its lines, each model once, sorted by p, with the decisions that stand when all are counted."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, TypeAlias, cast

from cae_core.errors import VerdictError
from cae_core.scan.correction import Correction, adjusted
from cae_core.scan.family import Family
from cae_core.scan.log import read_lines
from cae_core.statistics.multiplicity import ROUNDED

__all__ = ["Found", "Row", "ScanSummary", "summarise"]

Found: TypeAlias = Literal["surrogate", "inconclusive", "independent", "failed"]

_OUTCOMES: tuple[Found, ...] = ("surrogate", "inconclusive", "independent", "failed")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One model of a scan.

    Attributes:
        name: the first path that it has.
        others: how many more paths have it.
        sha256: of the model; empty where it could not be read.
        verdict: its verdict alone; ``"failed"`` if there is none.
        adjusted_verdict: its verdict with all models counted: an accusation that does not stand there is inconclusive.
        p_value: against "independent", by itself; None where there is none.
        p_adjusted: p-value with all models counted; None if nobody accuses it, and where nothing is corrected.
        value: the value of the score that decides; None if the model could not be judged.
        reason: a sentence; of a failure what is wrong.
        role: role in its pool; empty if it is in no pool.
        relation: relation to the pool's source; empty if it is in no pool.
    """

    name: str
    others: int
    sha256: str
    verdict: Found
    adjusted_verdict: Found
    p_value: float | None
    p_adjusted: float | None
    value: float | None
    reason: str
    role: str = ""
    relation: str = ""

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: role and relation where there are any."""
        return {name: value for name, value in vars(self).items() if value != "" or name in ("sha256", "reason")}


@dataclass(frozen=True, kw_only=True)
class ScanSummary:
    """What a scan has found.

    Attributes:
        output: the file with a line for each suspect.
        family: digest of the family.
        suspects: number of paths.
        models: number of distinct models, each of which is a hypothesis.
        correction: how p is corrected for the number of models.
        rate: requested rate of false accusations, of each verdict and after the correction; None if uncalibrated.
        rows: sorted by p, those without one at the end.
        asked_now: models that this run judged; the others it found in the output.
        defence: defence that was simulated before every suspect; empty: none.
    """

    output: Path
    family: str
    suspects: int
    models: int
    correction: Correction
    rate: float | None
    rows: tuple[Row, ...]
    asked_now: int
    defence: str = ""

    @property
    def counts(self) -> dict[str, int]:
        """Models by their single verdict."""
        return {outcome: sum(row.verdict == outcome for row in self.rows) for outcome in _OUTCOMES}

    @property
    def accused(self) -> int:
        """Models that are accused with the whole family in mind."""
        return sum(row.adjusted_verdict == "surrogate" for row in self.rows)

    @property
    def expected_by_chance(self) -> float | None:
        """How many would be accused, each by itself, at most, in the mean, were all of them independent."""
        return None if self.rate is None else self.rate * self.models

    @property
    def exit_code(self) -> int:
        """3 where a single verdict is surrogate, else 4 where one is inconclusive or failed, else 0."""
        counts = self.counts
        return 3 if counts["surrogate"] else 4 if counts["inconclusive"] or counts["failed"] else 0

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: a defence where there was one."""
        return {
            **({"defence": self.defence} if self.defence else {}),
            "output": self.output,
            "family": self.family,
            "suspects": self.suspects,
            "models": self.models,
            "counts": self.counts,
            "correction": self.correction,
            "rate": self.rate,
            "accused": self.accused,
            "expected_by_chance": self.expected_by_chance,
            "asked_now": self.asked_now,
            "rows": self.rows,
        }


def summarise(
    path: Path, family: Family, *, correction: Correction, rate: float | None, asked_now: int = 0, defence: str = ""
) -> ScanSummary:
    """Read the output of a finished scan.

    Args:
        path: the output.
        family: its suspects.
        correction: of p.
        rate: of false accusations.
        asked_now: see `ScanSummary`.
        defence: see `ScanSummary`.

    Raises:
        VerdictError: a line is none of a scan, or a suspect has none.
    """
    lines = _first_lines(path, family)
    p_values = [line.get("p_value") if line.get("verdict") == "surrogate" else None for line in lines]
    found = adjusted(p_values, family=family.distinct, correction=correction)
    copies = _copies(family)
    rows = [
        _row(line, p_adjusted=p, others=copies.get(line["suspect"]["sha256"], 1) - 1, corrected=rate if p else None)
        for line, p in zip(lines, found, strict=True)
    ]
    return ScanSummary(
        output=path,
        family=family.sha256,
        suspects=len(family.suspects),
        models=family.distinct,
        correction=correction,
        rate=rate,
        rows=tuple(sorted(rows, key=_order)),
        asked_now=asked_now,
        defence=defence,
    )


def _copies(family: Family) -> dict[str, int]:
    copies: dict[str, int] = {}
    for suspect in family.suspects:
        copies[suspect.sha256] = copies.get(suspect.sha256, 0) + 1
    return copies | {"": 1}


_KEPT = ("suspect", "verdict", "p_value", "score", "reason", "error", "role", "relation")


def _first_lines(path: Path, family: Family) -> list[dict[str, Any]]:
    """Return what a table takes of the first line of each model, and of each suspect that failed beside it."""
    digests = {suspect.sha256 for suspect in family.suspects} - {""}
    names = {suspect.listed.name for suspect in family.suspects}
    lines: dict[str, dict[str, Any]] = {}
    for number, (line, _) in enumerate(read_lines(path)):
        name, sha256 = (line["suspect"]["name"], line["suspect"]["sha256"]) if number else ("", "")
        apart = "error" in line and (not sha256 or "same_as" in line)
        if (apart and name in names) or (not apart and sha256 in digests and "same_as" not in line):
            kept = {field: line[field] for field in _KEPT if field in line}
            lines.setdefault(f"\0{name}" if apart else sha256, _checked(kept, path, number + 1))
    missing = len(digests - lines.keys())
    if missing:
        raise VerdictError(f"{path}: {missing} models have no line. Run the same command again.")
    return list(lines.values())


def _checked(line: dict[str, Any], path: Path, number: int) -> dict[str, Any]:
    """Refuse a line in which what the table takes is of another type; somebody may have edited the file.

    Raises:
        VerdictError: it is.
    """
    texts = [line.get(name, "") for name in ("reason", "error", "role", "relation")]
    score: object = line.get("score", {})
    value = cast("dict[str, object]", score).get("value") if isinstance(score, dict) else "none"
    if not (
        all(isinstance(text, str) for text in texts)
        and (line.get("verdict") in _OUTCOMES[:3] or "error" in line)
        and _is_number(value)
        and _is_number(line.get("p_value"), most=1.0)
    ):
        raise VerdictError(f"{path}, line {number}: this is no line that `cae scan` writes. Scan to another output.")
    return line


def _is_number(value: object, *, most: float = math.inf) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= most and not math.isnan(value)
    )


def _row(line: Mapping[str, Any], *, p_adjusted: float | None, others: int, corrected: float | None) -> Row:
    verdict: Found = line.get("verdict", "failed")
    stands = corrected is None or p_adjusted is None or p_adjusted <= corrected * ROUNDED
    return Row(
        name=line["suspect"]["name"],
        others=others,
        sha256=line["suspect"]["sha256"],
        verdict=verdict,
        adjusted_verdict=verdict if stands else "inconclusive",
        p_value=line.get("p_value"),
        p_adjusted=p_adjusted,
        value=line.get("score", {}).get("value"),
        reason=line.get("reason", line.get("error", "")),
        role=line.get("role", ""),
        relation=line.get("relation", ""),
    )


def _order(row: Row) -> tuple[bool, float, int, float, str]:
    p = 2.0 if row.p_value is None else row.p_value
    return (row.p_value is None, p, _OUTCOMES.index(row.verdict), -(row.value or 0), row.name)
