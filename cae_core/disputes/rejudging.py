"""Deriving a judgement again, from the judge's record and the fingerprint that he regenerated."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.disputes.judging import DatedEvidence, Judgement, judge_unasked, judge_verdict
from cae_core.disputes.regeneration import seed_of
from cae_core.errors import VerdictError
from cae_core.files.fields import read_field, recorded
from cae_core.files.records import as_json
from cae_core.fingerprint.questions import MIN_EXAMPLES
from cae_core.reading import reading
from cae_core.verification.replay import replay_verdict, same_json
from cae_core.verification.wording import comparable

__all__ = ["Rejudged", "is_judgement", "rejudge"]

_REMEDY = "Give the judgement-….json of the case's folder, as `cae judge` wrote it."


@dataclass(frozen=True)
class Rejudged:
    """A judgement derived again.

    Attributes:
        judgement: what follows from the recorded answers, the number of seals and the dates; the dates are the
            record's word.
        nonce: the judge's, from which the seed of the regeneration follows.
    """

    judgement: Judgement
    nonce: bytes


def is_judgement(record: Mapping[str, Any]) -> bool:
    """Return whether a record is one of `cae judge`, and not of a verdict."""
    return "outcome" in record and "verification" in record


def rejudge(record: Mapping[str, Any], subject: CalibratedFingerprint | None, *, origin: str) -> Rejudged:
    """Judge a recorded case once more.

    Args:
        record: the judgement's JSON object.
        subject: the regenerated fingerprint with the judge's calibration; None where the suspect was not asked.
        origin: where the record comes from, for messages.

    Raises:
        VerdictError: it is no judgement, or its answers do not give it, or the fingerprint at hand is not the one that
            the judge's nonce gives.
    """
    fault = "this is no judgement as `cae judge` keeps it"
    with reading(origin, VerdictError, fault=fault, remedy=_REMEDY), recorded(origin, _REMEDY):
        nonce = bytes.fromhex(record["nonce"])
        judgement = _judged(record, subject, nonce, origin)
        derived: dict[str, Any] = as_json(judgement)
    derived.pop("verification")  # what it says was held against the record already
    derived, told = comparable(derived, record, wording=record.get("wording"))
    differing = sorted(name for name, value in derived.items() if not same_json(value, told.get(name)))
    if differing:
        raise VerdictError(
            f"{origin}: the recorded answers and dates do not give what the judgement says (it differs in "
            f"{', '.join(differing)}). It was edited, or made by another release."
        )
    return Rejudged(judgement, nonce)


def _judged(record: Mapping[str, Any], subject: CalibratedFingerprint | None, nonce: bytes, origin: str) -> Judgement:
    seals, dated = read_field(record, "seals", int), _dated(read_field(record, "evidence", dict))
    if record["verification"] is None:
        return _unasked(record, seals=seals, dated=dated, origin=origin)
    if subject is None or subject.calibration is None:
        raise VerdictError(f"{origin}: the suspect was asked. Give the fingerprint that the judge has calibrated.")
    _check_seed(subject, nonce, origin)
    verdict = replay_verdict(record["verification"], subject, origin=origin).agreed(origin)
    if verdict.nonce != nonce.hex():
        raise VerdictError(f"{origin}: the suspect was asked by another nonce than the judge's. {_REMEDY}")
    return judge_verdict(verdict, fpr=subject.calibration.fpr, seals=seals, dated=dated)


def _unasked(record: Mapping[str, Any], *, seals: int, dated: DatedEvidence, origin: str) -> Judgement:
    found = judge_unasked(
        references=read_field(record, "references", int),
        fpr=read_field(record, "fpr", float),
        seals=seals,
        dated=dated,
        controls=read_field(record, "controls", int | None),
        examples=MIN_EXAMPLES,
        max_queries=read_field(read_field(record, "claim", dict), "max_queries", int | None),
    )
    if found is None:
        raise VerdictError(f"{origin}: nothing kept the judge from asking the suspect, and no answers are recorded.")
    return found


def _check_seed(subject: CalibratedFingerprint, nonce: bytes, origin: str) -> None:
    """Refuse a fingerprint whose search began from another seed than the judge's nonce gives.

    Raises:
        VerdictError: it did.
    """
    settings = subject.fingerprint.generation.get("settings", {})
    if settings.get("seed") != seed_of(nonce):
        raise VerdictError(
            f"{origin}: the fingerprint at hand is not the one that the judge's nonce gives. Give the "
            "fingerprint.safetensors of the case's folder."
        )


def _dated(evidence: Mapping[str, Any]) -> DatedEvidence:
    return DatedEvidence(
        sealed_at=_time(evidence, "sealed_at"),
        suspect_since=_time(evidence, "suspect_since"),
        authority=read_field(evidence, "authority", str | None) or "",
    )


def _time(evidence: Mapping[str, Any], name: str) -> datetime | None:
    text = read_field(evidence, name, str | None)
    if text is None:
        return None
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"{name} has no time zone")
    return found
