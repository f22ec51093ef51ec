"""What the page of a scan is about: its lines, read to the end, with those verdicts derived again that it holds."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated
from cae_core.errors import VerdictError
from cae_core.files.digests import sha256_of_file
from cae_core.files.fields import read_field, recorded
from cae_core.foreign_text import visible
from cae_core.reading import reading
from cae_core.scan.correction import correction_for, logs_tried
from cae_core.scan.family import Family, Hashed
from cae_core.scan.judging import deciding_fields, nonce_of
from cae_core.scan.listing import Listed
from cae_core.scan.log import read_lines
from cae_core.scan.summary import Row, ScanSummary, summarise
from cae_core.verification.replay import replay_verdict, same_json
from cae_core.verification.wording import comparable

__all__ = ["SHOWN", "Scan", "ScanHead", "open_scan"]

SHOWN = 200
"""Models in the table at most, and verdicts that are derived again: the accused come first."""

_REMEDY = "Give the file that `cae scan` wrote."


@dataclass(frozen=True, kw_only=True)
class ScanHead:
    """What was fixed before the first suspect was asked: the record's word.

    Attributes:
        date: UTC, ISO 8601.
        tool: release of `cae` that scanned.
        nonce: nonce of the scan, in hexadecimal digits.
        fingerprint_sha256: SHA-256 of the fingerprint's file.
        data_sha256: SHA-256 of the labelled images by which contracts were found; empty if there were none.
        defence: defence that was simulated before every suspect; empty if there was none.
    """

    date: str
    tool: str
    nonce: str
    fingerprint_sha256: str
    data_sha256: str
    defence: str


@dataclass(frozen=True, kw_only=True)
class Scan:
    """A finished scan.

    Attributes:
        head: what was fixed.
        summary: with every model, corrected for their number.
        subject: the fingerprint and calibration that it was made by.
        record: name and SHA-256 of its file.
        file: name and SHA-256 of the fingerprint's file.
        matches: fraction of matches of each model that was judged, by name.
        threshold: threshold that all of them had; None if there is none or they differ.
        derived: the models whose verdict was derived again from recorded answers, by name.
    """

    head: ScanHead
    summary: ScanSummary
    subject: CalibratedFingerprint
    record: tuple[str, str]
    file: tuple[str, str]
    matches: Mapping[str, float]
    threshold: float | None
    derived: frozenset[str]

    @property
    def shown(self) -> tuple[Row, ...]:
        """The models of the table."""
        return self.summary.rows[:SHOWN]


@dataclass(frozen=True)
class _Lines:
    """The lines of a scan, of each what the page needs; a verdict's record stays in the file."""

    head: dict[str, Any]
    family: Family
    places: dict[str, int]
    matches: dict[str, float]
    thresholds: frozenset[float | None]


def open_scan(path: Path, fingerprint: Path, *, correct: str | None = None) -> Scan:
    """Read the output of a finished scan, with the fingerprint that it was made by.

    The table is made anew: the family's digest and the adjusted p-values follow from the lines. Where a line holds the
    whole verdict (``--full``), that is derived again from its answers.

    Args:
        path: the output.
        fingerprint: the file.
        correct: how p-values are corrected, by name; None: as `cae scan` does without the option.

    Raises:
        VerdictError: it is no scan's output, one by another fingerprint, not finished, or its lines do not give what
            they say.
        CaeError: see `load_calibrated` and `correction_for`.
    """
    subject = load_calibrated(fingerprint)
    where = visible(str(path))
    with reading(where, VerdictError, fault="this is no output of a scan", remedy=_REMEDY), recorded(where, _REMEDY):
        lines = _read(path)
        head = _head(lines.head)
    _check(lines, head, subject, where)
    correction = correction_for(subject.calibration, correct, factor=logs_tried(subject))
    rate = None if subject.calibration is None else subject.calibration.fpr
    summary = summarise(path, lines.family, correction=correction, rate=rate, defence=head.defence)
    derived = _derived(path, lines.places, summary.rows[:SHOWN], subject)
    rows = tuple(dataclasses.replace(row, reason=derived.get(row.name, row.reason)) for row in summary.rows)
    return Scan(
        head=head,
        summary=dataclasses.replace(summary, rows=rows),
        subject=subject,
        record=(path.name, sha256_of_file(path)),
        file=(fingerprint.name, subject.sha256),
        matches=lines.matches,
        threshold=next(iter(lines.thresholds)) if len(lines.thresholds) == 1 else None,
        derived=frozenset(derived),
    )


def _read(path: Path) -> _Lines:
    head, place = dict[str, Any](), 0
    suspects, places, matches = list[Hashed](), dict[str, int](), dict[str, float]()
    thresholds = set[float | None]()
    for line, length in read_lines(path):
        if not place:
            head = line
        else:
            name, sha256 = line["suspect"]["name"], line["suspect"]["sha256"]
            if sha256 and len(sha256) != 64:
                raise ValueError("a digest has 64 digits")
            suspects.append(Hashed(listed=Listed(name=name), sha256=sha256, error=_error(line)))
            if "error" not in line and "same_as" not in line:
                matches[name] = read_field(line, "matches", int) / max(1, read_field(line, "asked", int))
                thresholds.add(read_field(read_field(line, "threshold", dict), "value", float | None))
                if "record" in line:
                    places[name] = place
        place += length
    return _Lines(head, Family(tuple(suspects)), places, matches, frozenset(thresholds))


def _error(line: Mapping[str, Any]) -> str:
    return str(read_field(line, "error", str, default=""))


def _head(told: Mapping[str, Any]) -> ScanHead:
    data = read_field(told, "data", dict | None) or {}
    return ScanHead(
        date=read_field(told, "date", str),
        tool=read_field(told, "tool", str),
        nonce=bytes.fromhex(read_field(told, "nonce", str)).hex(),
        fingerprint_sha256=read_field(read_field(told, "fingerprint", dict), "sha256", str),
        data_sha256=read_field(data, "sha256", str, default=""),
        defence=read_field(read_field(told, "options", dict), "defence", str, default=""),
    )


def _check(lines: _Lines, head: ScanHead, subject: CalibratedFingerprint, where: str) -> None:
    """Refuse a scan by another fingerprint, one that is not finished, and one of another family.

    Raises:
        VerdictError: it is.
    """
    if head.fingerprint_sha256 != subject.sha256:
        raise VerdictError(
            f"{where}: the scan was made by another fingerprint or calibration (SHA-256 "
            f"{visible(head.fingerprint_sha256)[:12]}…). Give the file that it names."
        )
    told, family = (lines.head.get("suspects"), lines.head.get("models")), lines.family
    if told != (len(family.suspects), family.distinct):
        raise VerdictError(
            f"{where}: {visible(str(told[0]))} suspects were named and {len(family.suspects)} lines are there. Give "
            "the same `cae scan` command again: it goes on."
        )
    if lines.head["family"] != family.sha256:
        raise VerdictError(f"{where}: the models of its lines are not the family that was fixed. {_REMEDY}")


def _derived(
    path: Path, places: Mapping[str, int], rows: tuple[Row, ...], subject: CalibratedFingerprint
) -> dict[str, str]:
    """Derive the verdicts of these rows again where their answers are recorded, and return their reasons by name."""
    found = dict[str, str]()
    with path.open("rb") as file:
        nonce = bytes.fromhex(next(line for line, _ in read_lines(path))["nonce"])
        for row in rows:
            if row.name in places:
                file.seek(places[row.name])
                where = f"{visible(str(path))}, {visible(row.name)}"
                found[row.name] = _derive(file.readline(), row, nonce, subject, where)
    return found


def _derive(content: bytes, row: Row, nonce: bytes, subject: CalibratedFingerprint, where: str) -> str:
    """Derive a line's verdict again, and return its reason.

    Raises:
        VerdictError: the line says something else.
    """
    import json

    line = cast("dict[str, Any]", json.loads(content))
    record = line["record"]
    if not isinstance(record, dict):
        raise VerdictError(f"{where}: this is no verdict. {_REMEDY}")
    verdict = replay_verdict(cast("dict[str, Any]", record), subject, origin=where).agreed(where)
    fields: dict[str, Any] = deciding_fields(verdict) | {"contract": line.get("contract")}
    derived, told = comparable(fields, line, wording=cast("dict[str, Any]", record).get("wording"))
    differing = sorted(name for name, value in derived.items() if not same_json(value, told.get(name)))
    if verdict.suspect.sha256 != row.sha256 or verdict.nonce != nonce_of(nonce, row.sha256).hex():
        differing.append("suspect")
    if differing:
        raise VerdictError(f"{where}: the recorded answers do not give the line ({', '.join(differing)}). {_REMEDY}")
    return verdict.decision.reason
