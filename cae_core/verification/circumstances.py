"""What limits a verdict, whatever the score: the doubts about how the suspect was asked, and what it was compared with.

One list of doubts, in their order of precedence, serves every rule: the fixed one, the sequential one and the judge's.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.calibration.record import Calibration
from cae_core.fingerprint.answers import Answered, FirstAnswers
from cae_core.fingerprint.benign import check_benign
from cae_core.fingerprint.kinds import BENIGN, KINDS
from cae_core.models import NO_ANSWER
from cae_core.statistics.score import Score
from cae_core.verification.deciding_score import deciding_score
from cae_core.verification.evasion import signs_of_evasion
from cae_core.verification.exchangeability import (
    benign_range,
    beyond_the_fit,
    outside_range,
    unlike_references,
    unrepresented_ancestor,
)
from cae_core.verification.options import VerificationOptions

__all__ = ["Circumstances", "Doubt", "circumstances_of", "of_evasion", "of_extrapolation", "of_the_benign_check"]


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A reason not to say what the ranks say.

    Attributes:
        blocks: the outcomes that it keeps from being said.
        reason: the doubt, in a sentence.
        remedy: what would resolve it.
        judge_remedy: what would resolve it for a judge.
        alone: whether the reason is given without what the ranks say.
        judge_alone: whether a judge gives the reason without what the ranks say.
    """

    blocks: frozenset[str]
    reason: str
    remedy: str
    judge_remedy: str
    alone: bool
    judge_alone: bool


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What limits a verdict.

    Attributes:
        doubts: reasons not to say what the ranks say, the gravest first.
        evasion: signs that the suspect does not answer as it does its customers.
        extrapolation: why its benign accuracy is outside what the calibration references cover, or None.
        benign_range: lowest and highest accuracy of the calibration references on the probes asked; None without any.
        shared_ancestor: the source's pretrained ancestor where not every calibration reference has it; empty otherwise.
        two_sided: whether known copies can keep a suspect from being accused; not so in the first rule.
        adjusted: whether the score takes benign accuracy out, so that an accuracy that no reference has is no doubt:
            the larger of the plain and the adjusted p counts there.
    """

    doubts: tuple[Doubt, ...] = ()
    evasion: tuple[str, ...] = ()
    extrapolation: str | None = None
    benign_range: tuple[float, float] | None = None
    shared_ancestor: str = ""
    two_sided: bool = True
    adjusted: bool = False

    @property
    def ancestry(self) -> str:
        """What a shared ancestor adds to an accusation, as a clause; empty where there is none that matters."""
        if not self.shared_ancestor:
            return ""
        return (
            f"; the suspect is derived from the source or from the source's pretrained ancestor "
            f"({self.shared_ancestor}), which not every reference has"
        )


def circumstances_of(
    subject: CalibratedFingerprint, answers: FirstAnswers, options: VerificationOptions
) -> Circumstances:
    """Return what limits a verdict about these answers, whatever the score.

    Args:
        subject: that was asked.
        answers: of the suspect.
        options: with which it was asked.
    """
    calibration, benign = subject.calibration, answers.to(BENIGN)
    evasion = signs_of_evasion(subject, answers, claimed_accuracy=options.claimed_accuracy)
    extrapolation = _extrapolation(subject, benign, options)
    adjusted = calibration is not None and deciding_score(calibration, options) == Score.ADJUSTED
    found = (
        _of_versions(options),
        _of_benign_images(subject, benign),
        _of_a_query_log(subject),
        None if options.allow_extrapolation or adjusted else of_extrapolation(extrapolation),
        of_evasion(evasion),
        _of_missing_answers(answers, options),
    )
    return Circumstances(
        doubts=tuple(doubt for doubt in found if doubt is not None),
        evasion=evasion,
        extrapolation=extrapolation,
        benign_range=None if calibration is None else benign_range(calibration, benign.index),
        shared_ancestor=unrepresented_ancestor(subject),
        two_sided=options.rule > 1,
        adjusted=adjusted,
    )


def _of_benign_images(subject: CalibratedFingerprint, benign: Answered) -> Doubt | None:
    fingerprint = subject.fingerprint
    reason = check_benign(
        benign.labels,
        fingerprint.probe_labels[benign.index],
        classes=len(fingerprint.class_names),
        source_accuracy=fingerprint.source_accuracy,
    )
    return of_the_benign_check(reason)


def _of_a_query_log(subject: CalibratedFingerprint) -> Doubt | None:
    """Return the doubt about examples of a query log that are not ranked among sources."""
    calibration = subject.calibration
    if subject.fingerprint.query_log is None or (calibration and calibration.null == NullHypothesis.SOURCES):
        return None
    return Doubt(
        blocks=frozenset({"surrogate", "independent", "inconclusive"}),
        reason="the examples come from a query log, so only a rank among control sources can judge them",
        remedy="Calibrate with --null sources.",
        judge_remedy="Calibrate with --null sources.",
        alone=True,
        judge_alone=True,
    )


def of_the_benign_check(reason: str | None) -> Doubt | None:
    """Return the doubt that a failed benign check leaves, whatever the ranks say."""
    if reason is None:
        return None
    return Doubt(
        blocks=frozenset({"surrogate", "independent", "inconclusive"}),
        reason=reason,
        remedy="Check how the suspect is asked (its contract), then ask again.",
        judge_remedy="Check how the suspect is asked (its contract), then judge again.",
        alone=True,
        judge_alone=True,
    )


def _extrapolation(subject: CalibratedFingerprint, benign: Answered, options: VerificationOptions) -> str | None:
    calibration = subject.calibration
    if calibration is None or calibration.null == NullHypothesis.SOURCES:  # which holds for a suspect of any kind
        return None
    right = np.asarray(benign.labels == subject.fingerprint.probe_labels[benign.index])
    if deciding_score(calibration, options) == Score.ADJUSTED:
        return _beyond_the_fits(right, benign.index, calibration)
    if options.rule == 1:
        return outside_range(right, benign_range(calibration, benign.index))
    return unlike_references(right, calibration.right[:, benign.index])


def _beyond_the_fits(right: NDArray[np.bool_], probed: Labels, calibration: Calibration) -> str | None:
    """Return why a fit is a guess for the suspect; None where none is, or references behind a defence are as it is."""
    groups = calibration.ranked_groups()
    found = [(each.behind, beyond_the_fit(right, each.group.right[each.rows][:, probed])) for each in groups]
    if any(behind and sentence is None for behind, sentence in found):
        return None
    return next((sentence for behind, sentence in found if not behind and sentence is not None), None)


def _of_versions(options: VerificationOptions) -> Doubt | None:
    """Return the doubt about a service that was another model before it had answered everything."""
    if options.versions == 1:
        return None
    remedy = "Ask again once the service runs the version that is meant, and no other."
    return Doubt(
        blocks=frozenset({"surrogate", "independent", "inconclusive"}),
        reason=f"the service named {options.versions} versions of its model while it was asked",
        remedy=remedy,
        judge_remedy=remedy,
        alone=True,
        judge_alone=True,
    )


def _of_missing_answers(answers: FirstAnswers, options: VerificationOptions) -> Doubt | None:
    """Return the doubt about recorded answers of which some are missing, perhaps left out by whoever recorded them."""
    every = np.concatenate([answers.to(kind).labels for kind in KINDS])
    missing = int((every == NO_ANSWER).sum())
    if not options.recorded or not missing:
        return None
    remedy = "Export the images again (`cae queries export`) and have all of them answered."
    return Doubt(
        blocks=frozenset({"independent"}),
        reason=f"{missing} of {len(every)} recorded images have no answer",
        remedy=remedy,
        judge_remedy=remedy,
        alone=True,
        judge_alone=False,
    )


def of_extrapolation(sentence: str | None) -> Doubt | None:
    """Return the doubt about a suspect of an accuracy that no reference has."""
    if sentence is None:
        return None
    return Doubt(
        blocks=frozenset({"surrogate", "independent"}),
        reason=sentence,
        remedy="Check how the suspect is asked (its contract). If that is right, calibrate with references as accurate "
        "as the suspect, or accept the comparison with --allow-extrapolation.",
        judge_remedy="Check how the suspect is asked (its contract). If that is right, add references as accurate as "
        "the suspect with the role calibrate.",
        alone=False,
        judge_alone=False,
    )


def of_evasion(signs: tuple[str, ...]) -> Doubt | None:
    """Return the doubt about a suspect that may answer the examiner otherwise than its customers."""
    if not signs:
        return None
    return Doubt(
        # answers that are withheld or drawn at random match less often, never more often
        blocks=frozenset({"independent"}),
        reason=f"possible evasion: {signs[0]}",
        remedy="Have the suspect's owner attest how it is served, ask it through another channel, or take its file to "
        "a judge (`cae judge`).",
        judge_remedy="Have the suspect's owner attest how it is served, or ask it through another channel, and judge "
        "again.",
        alone=True,
        judge_alone=False,
    )
