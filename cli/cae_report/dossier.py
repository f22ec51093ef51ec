"""What a report is about: a verdict that was derived again from its own record, and what it was made by."""

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated
from cae_core.calibration.record import Calibration
from cae_core.errors import VerdictError
from cae_core.files.records import read_hashed_record
from cae_core.fingerprint.file import Fingerprint
from cae_core.verification.examination import Examination
from cae_core.verification.replay import replay_verdict
from cae_core.verification.verdict import SeenBefore, Verdict

__all__ = ["Dossier", "open_dossier"]

_EARLIER = frozenset({"verifications", "examples_seen"})
_EARLIER_NOW = _EARLIER | {"interrupted", "recognised", "otherwise"}
"""The counts that the ledger gives: in records of before, and in present ones."""


@dataclass(frozen=True)
class Dossier:
    """One verdict with everything that it rests on.

    Attributes:
        verdict: derived again from the recorded answers; ``earlier``, ``occasion`` and ``containment`` are the
            record's word.
        record: name and SHA-256 of the verdict's file.
        file: name and SHA-256 of the fingerprint's file at hand.
    """

    verdict: Verdict
    record: tuple[str, str]
    file: tuple[str, str]

    @property
    def examination(self) -> Examination:
        """The facts."""
        return self.verdict.examination

    @property
    def subject(self) -> CalibratedFingerprint:
        """The calibrated fingerprint that the suspect was examined with."""
        return self.examination.subject

    @property
    def fingerprint(self) -> Fingerprint:
        """The fingerprint that the verdict was made by."""
        return self.subject.fingerprint

    @property
    def calibration(self) -> Calibration | None:
        """The calibration that the verdict was made by; None if uncalibrated."""
        return self.subject.calibration


def open_dossier(record: Path, fingerprint: Path) -> Dossier:
    """Read a verdict as ``cae verify --json`` writes it, with its fingerprint, and derive it again.

    Raises:
        VerdictError: it is no verdict, one of another fingerprint, or its answers do not give it.
        CaeError: see `load_calibrated`.
    """
    subject = load_calibrated(fingerprint)
    recorded, record_sha256 = read_hashed_record(record)
    verdict = replay_verdict(recorded, subject, origin=str(record)).agreed(str(record))
    return Dossier(
        dataclasses.replace(verdict, earlier=_earlier(recorded.get("earlier"), record)),
        (record.name, record_sha256),
        (fingerprint.name, subject.sha256),
    )


def _earlier(value: Any, record: Path) -> SeenBefore | None:  # noqa: ANN401 - whatever JSON can hold
    """Return what the record says of earlier verifications, which its answers cannot confirm."""
    if value is None:
        return None
    if not (
        isinstance(value, dict) and set(value) in (_EARLIER, _EARLIER_NOW) and all(_is_count(x) for x in value.values())
    ):
        raise VerdictError(
            f"{record}: 'earlier' should hold the counts 'verifications' and 'examples_seen', or be null. "
            "Give the file that `cae verify --json` wrote."
        )
    return SeenBefore(**value)


def _is_count(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
