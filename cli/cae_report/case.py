"""What a report is about: a verdict that was derived again from its own record, and what it was made by."""

import dataclasses
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from cae_core.arrays import Labels
from cae_core.calibration.calibrated import Calibration
from cae_core.calibration.file import load_calibration
from cae_core.errors import VerdictError
from cae_core.files.digests import sha256_of_file
from cae_core.files.records import read_record
from cae_core.fingerprint.answers import FirstAnswers, first_answers
from cae_core.fingerprint.file import Fingerprint, load_fingerprint
from cae_core.verification.replay import replay_verdict
from cae_core.verification.verdict import Sides, Verdict

__all__ = ["Case", "open_case"]

_EARLIER = frozenset({"verifications", "examples_seen"})


@dataclass(frozen=True)
class Case:
    """One verdict with everything that it rests on.

    Attributes:
        verdict: derived again from the recorded answers; only ``earlier`` is the record's word.
        fingerprint: that it was made by.
        calibration: likewise; None where it was uncalibrated.
        record: name and SHA-256 of the verdict's file.
        file: name and SHA-256 of the fingerprint's file at hand.
    """

    verdict: Verdict
    fingerprint: Fingerprint
    calibration: Calibration | None
    record: tuple[str, str]
    file: tuple[str, str]

    @cached_property
    def answers(self) -> FirstAnswers:
        """The answers that count."""
        answers = self.verdict.answers
        labels = np.array([answer.label for answer in answers], np.int64)
        return first_answers([answer.question for answer in answers], labels)

    @cached_property
    def compared(self) -> Labels:
        """The examples over which calibration models are scored: those asked; all chosen ones in sequential mode.

        The sequential mode asks a part and speaks of the whole.
        """
        if self.calibration is not None and self.verdict.sequential is not None:
            return np.flatnonzero(self.calibration.chosen)
        return self.answers.examples

    @cached_property
    def sides(self) -> Sides | None:
        """Where the suspect stands among the calibration models of either kind; None where uncalibrated.

        Records of before do not say it; it is counted again for them.
        """
        found, calibration = self.verdict.decision.sides, self.calibration
        if found is not None or calibration is None:
            return found
        references, surrogates = (
            calibration.scored(group.matches(self.fingerprint)[:, self.compared], self.compared, calibration.score)
            for group in (calibration.references, calibration.surrogates)
        )
        value, caeacc, exact = self.verdict.decision.value, self.verdict.caeacc, self.verdict.sequential is None
        return Sides(
            references=len(references),
            as_high=int((references >= (value if exact else caeacc.low)).sum()),
            surrogates=len(surrogates),
            as_low=int((surrogates <= (value if exact else caeacc.high)).sum()),
            exact=exact,
        )


def open_case(record: Path, fingerprint: Path) -> Case:
    """Read a verdict as ``cae verify --json`` writes it, with its fingerprint, and derive it again.

    Raises:
        VerdictError: it is no verdict, one of another fingerprint, or its answers do not give it.
        CaeError: see `load_fingerprint` and `load_calibration`.
    """
    loaded = load_fingerprint(fingerprint)
    calibration = load_calibration(fingerprint, loaded)
    recorded = read_record(record)
    verdict = replay_verdict(recorded, loaded, calibration).agreed(str(record))
    return Case(
        dataclasses.replace(verdict, earlier=_earlier(recorded.get("earlier"), record)),
        loaded,
        calibration,
        (record.name, sha256_of_file(record)),
        (fingerprint.name, sha256_of_file(fingerprint)),
    )


def _earlier(value: Any, record: Path) -> dict[str, int] | None:  # noqa: ANN401 - whatever JSON can hold
    """Return what the record says of earlier verifications, the one thing that its answers cannot confirm."""
    if value is None:
        return None
    if not (isinstance(value, dict) and set(value) == _EARLIER and all(_is_count(x) for x in value.values())):
        raise VerdictError(
            f"{record}: 'earlier' should hold the counts 'verifications' and 'examples_seen', or be null. "
            "Give the file that `cae verify --json` wrote."
        )
    return {name: int(value[name]) for name in sorted(_EARLIER)}


def _is_count(value: Any) -> bool:  # noqa: ANN401
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
