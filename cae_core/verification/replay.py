"""Deriving an old verdict again, from the answers that it recorded and nothing else."""

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from cae_core.arrays import Labels
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.containment.record import recorded_containment
from cae_core.errors import ModelError, OptionError, VerdictError, quoted
from cae_core.files.fields import read_field, read_fields
from cae_core.files.records import as_json
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.questions import Question
from cae_core.reading import reading
from cae_core.verification.beacon import check_beacon_time, moment
from cae_core.verification.occasion import Occasion, recorded_occasion
from cae_core.verification.options import VerificationOptions
from cae_core.verification.verdict import VERDICT_FORMAT, Suspect, Verdict
from cae_core.verification.verify import check_labels, conclude, interrogate, plan_verification
from cae_core.verification.wording import WORDING, comparable

__all__ = ["Replay", "replay_verdict", "same_json"]

_ROUNDING = 1e-9

_NOT_DERIVED = frozenset(
    {"containment", "earlier", "format", "service", *(field.name for field in dataclasses.fields(Occasion))}
)
"""What a verdict says beside what follows from the answers."""

_LARGEST_LABEL = 2**31


@dataclass(frozen=True)
class Replay:
    """A verdict derived again.

    Attributes:
        verdict: from the recorded answers, by the fingerprint at hand; its occasion is the record's word.
        differences: names of the fields in which the record says something else; its sentences count if they are of
            the present wording, see `cae_core.verification.wording`.
        reworded: whether the record's sentences are of another wording, so that nobody held them against anything.
    """

    verdict: Verdict
    differences: tuple[str, ...]
    reworded: bool

    def agreed(self, name: str) -> Verdict:
        """Return the verdict, which the record says as well.

        Args:
            name: of the record, for the message.

        Raises:
            VerdictError: the record says something else.
        """
        if self.differences:
            raise VerdictError(
                f"{name}: the recorded answers do not give what the record says (it differs in "
                f"{', '.join(self.differences)}). It was edited, or made by another calibration or release."
            )
        return self.verdict


@dataclass(frozen=True)
class _Recorded:
    """Recorded labels of a suspect, which are given in their order, whatever is asked."""

    labels: list[int]
    name: str
    fingerprint: Fingerprint

    def answer(self, questions: Sequence[Question], before: int) -> Labels:
        """See `interrogate`."""
        part = np.array(self.labels[before : before + len(questions)], np.int64)
        if len(part) < len(questions):
            raise VerdictError(
                f"The record holds {len(self.labels)} answers and its order takes more. Use the whole verdict file, "
                "with the fingerprint and calibration that it was made by."
            )
        check_labels(part, self.fingerprint, self.name)
        return part


def replay_verdict(
    record: Mapping[str, Any], subject: CalibratedFingerprint, *, origin: str = "The recorded verdict"
) -> Replay:
    """Judge the answers of a verdict, as ``cae verify --json`` prints it, once more.

    Args:
        record: the verdict's JSON object.
        subject: the fingerprint that it was made by, with the calibration where it was calibrated.
        origin: where it comes from, for messages.

    Raises:
        VerdictError: it is no verdict, one of another fingerprint, or its answers do not follow from its nonce.
        CaeError: see `verify`.
    """
    with reading(origin, VerdictError, fault="no verdict can have been recorded so", remedy="Give the original file."):
        _check_format(record, origin)
        return _replayed(record, subject)


def _check_format(record: Mapping[str, Any], origin: str) -> None:
    """Refuse a verdict of another format; one without a number is of the first.

    Raises:
        VerdictError: it is of another.
    """
    found = record.get("format", VERDICT_FORMAT)
    if type(found) is not int or found != VERDICT_FORMAT:
        raise VerdictError(
            f"{origin}: this verdict has format version {quoted(found)} and this release reads {VERDICT_FORMAT}. Use "
            "the release that wrote it, or a later one."
        )


def _replayed(record: Mapping[str, Any], subject: CalibratedFingerprint) -> Replay:
    try:
        labels = [_integer(answer["label"]) for answer in record["answers"]]
        asked = [(answer["kind"], answer["index"], answer["repeat"]) for answer in record["answers"]]
        suspect = _suspect(record["suspect"])
        claimed, digest = str(record["fingerprint"]["id"]), str(record["fingerprint"]["sha256"])
        nonce = bytes.fromhex(record["nonce"])
        options = _options(record["options"])
    except (KeyError, TypeError, ValueError) as error:
        raise VerdictError(
            f"This is no verdict as `cae verify --json` prints it ({error!r}). Give the JSON file of one verdict."
        ) from error
    if claimed != subject.fingerprint.id:
        raise VerdictError(
            f"The verdict was made by the fingerprint {claimed[:12]}… and the file at hand is "
            f"{subject.fingerprint.id[:12]}…. Give the fingerprint that it names."
        )
    try:
        # the same fingerprint may stand in another file by now
        used = dataclasses.replace(subject, sha256=digest)
        verdict = _derived(labels, used, named=suspect, options=options, nonce=nonce)
        occasion = _occasion(record, options)
    except (OptionError, ModelError) as error:  # options and labels of which no verdict can have come
        raise VerdictError(f"The record was edited, or made by another calibration: {error}") from error
    questions = [(q.kind.name, q.index, q.repeat) for q in verdict.examination.transcript.questions]
    if questions != asked:
        raise VerdictError(
            "The recorded questions are not those that the nonce gives for this fingerprint and calibration: the "
            "record was edited, or the calibration is another one."
        )
    try:
        containment = recorded_containment(record.get("containment"))
    except ValueError as error:
        raise VerdictError(f"This is no verdict as `cae verify --json` prints it ({error}).") from error
    verdict = dataclasses.replace(verdict, occasion=occasion, containment=containment)
    derived: dict[str, Any] = as_json(verdict)
    derived |= _found_then(derived.get("findings"), record.get("findings"))
    wording = record.get("wording")
    derived, told = comparable(derived, record, wording=wording)
    names = (set(derived) | set(told)) - _NOT_DERIVED
    differences = tuple(sorted(name for name in names if not same_json(derived.get(name), told.get(name))))
    return Replay(verdict, differences, reworded=wording != WORDING)


def _occasion(record: Mapping[str, Any], options: VerificationOptions) -> Occasion | None:
    """Return what the record says of the occasion; a beacon is not later than it.

    Raises:
        OptionError: it is later.
        VerdictError: see `recorded_occasion`.
    """
    occasion = recorded_occasion(record)
    if occasion is not None and options.beacon_time:
        check_beacon_time(options.beacon_time, moment(occasion.date))
    return occasion


def _suspect(told: Mapping[str, Any]) -> Suspect:
    """Return who was asked; records of before do not list the suspect's files."""
    name, digest = str(told["name"]), str(told["sha256"])
    return Suspect(name=name, sha256=digest, files=tuple(read_field(told, "files", list[str], default=[])))


def _derived(
    labels: list[int], subject: CalibratedFingerprint, *, named: Suspect, options: VerificationOptions, nonce: bytes
) -> Verdict:
    plan = plan_verification(subject, suspect_sha256=named.sha256, options=options, nonce=nonce)
    recorded = _Recorded(labels, named.name, subject.fingerprint)
    transcript = interrogate(plan, recorded.answer)
    return conclude(subject, transcript, plan, named=named, options=options, nonce=nonce)


def _found_then(derived: object, recorded: object) -> dict[str, Any]:
    """Return the findings that the record can agree with: an earlier release, which knew fewer, tells only those."""
    if not isinstance(derived, dict):
        return {}
    found = cast("dict[str, object]", derived)
    told = cast("dict[str, object]", recorded) if isinstance(recorded, dict) else {}
    return {"findings": {name: value for name, value in found.items() if name in told} or None}


def same_json(derived: object, recorded: object) -> bool:
    """Return whether two JSON values are equal; numbers may differ in the last digits between machines."""
    if isinstance(derived, float) and isinstance(recorded, float):
        return math.isclose(derived, recorded, rel_tol=_ROUNDING, abs_tol=_ROUNDING)
    if isinstance(derived, dict) and isinstance(recorded, dict):
        mine, theirs = cast("dict[str, object]", derived), cast("dict[str, object]", recorded)
        return mine.keys() == theirs.keys() and all(same_json(mine[name], theirs[name]) for name in mine)
    if isinstance(derived, list) and isinstance(recorded, list):
        ours, others = cast("list[object]", derived), cast("list[object]", recorded)
        return len(ours) == len(others) and all(map(same_json, ours, others))
    return derived == recorded and isinstance(derived, bool) == isinstance(recorded, bool)  # True is 1 to Python


def _integer(value: object) -> int:
    """Return a label; anything else would be cut to one in silence, or not fit into 64 bits."""
    if not isinstance(value, int) or isinstance(value, bool) or abs(value) > _LARGEST_LABEL:
        raise TypeError(f"label {value!r}")
    return value


def _options(values: object) -> VerificationOptions:
    given: dict[str, Any] = {"rule": 1}  # a record that names none was made when there was no other
    return VerificationOptions(**given | read_fields(VerificationOptions, values))
