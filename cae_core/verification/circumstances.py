"""What limits a verdict, whatever the score: the doubts about how the suspect was asked, and what it was compared with.

One list of doubts, in their order of precedence, serves every rule: the fixed one, the sequential one and the judge's.
"""

from dataclasses import dataclass

import numpy as np

from cae_core.calibration.subject import CalibratedFingerprint
from cae_core.fingerprint.answers import FirstAnswers
from cae_core.fingerprint.benign import check_benign
from cae_core.fingerprint.kinds import BENIGN
from cae_core.verification.evasion import signs_of_evasion
from cae_core.verification.exchangeability import (
    benign_range,
    outside_range,
    unlike_references,
    unrepresented_ancestor,
)
from cae_core.verification.options import VerificationOptions

__all__ = ["Circumstances", "Doubt", "circumstances_of"]


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A reason not to say what the ranks say.

    Attributes:
        blocks: the outcomes that it keeps from being said.
        reason: in a sentence.
        remedy: what would resolve it.
        judge_remedy: what would resolve it for a judge.
        alone: whether the reason stands without what the ranks say.
        judge_alone: likewise before a judge.
    """

    blocks: frozenset[str]
    reason: str
    remedy: str
    judge_remedy: str
    alone: bool
    judge_alone: bool


@dataclass(frozen=True)
class Circumstances:
    """What limits a verdict.

    Attributes:
        benign_reason: why the benign check failed, or None.
        evasion: signs that the suspect does not answer as it does its customers.
        extrapolation: why its benign accuracy is outside what the calibration references cover, or None.
        benign_range: lowest and highest accuracy of the calibration references on the probes asked; None without any.
        shared_ancestor: the source's pretrained ancestor where not every calibration reference has it; empty otherwise.
        allow_extrapolation: whether the user lets such a verdict stand.
        two_sided: whether known copies can keep a suspect from being accused; not so in the first rule.
    """

    benign_reason: str | None = None
    evasion: tuple[str, ...] = ()
    extrapolation: str | None = None
    benign_range: tuple[float, float] | None = None
    shared_ancestor: str = ""
    allow_extrapolation: bool = False
    two_sided: bool = True

    @property
    def doubts(self) -> tuple[Doubt, ...]:
        """The doubts, the gravest first."""
        return tuple(doubt for doubt in (self._benign(), self._extrapolated(), self._evasive()) if doubt is not None)

    def _benign(self) -> Doubt | None:
        if self.benign_reason is None:
            return None
        return Doubt(
            blocks=frozenset({"surrogate", "independent", "inconclusive"}),
            reason=self.benign_reason,
            remedy="Check how the suspect is asked (its contract), then ask again.",
            judge_remedy="Check how the suspect is asked (its contract), then judge again.",
            alone=True,
            judge_alone=True,
        )

    def _extrapolated(self) -> Doubt | None:
        if self.extrapolation is None or self.allow_extrapolation:
            return None
        return Doubt(
            blocks=frozenset({"surrogate", "independent"}),
            reason=self.extrapolation,
            remedy="Calibrate with references as accurate as the suspect, or accept it with --allow-extrapolation.",
            judge_remedy="Add references as accurate as the suspect with the role calibrate.",
            alone=False,
            judge_alone=False,
        )

    def _evasive(self) -> Doubt | None:
        if not self.evasion:
            return None
        return Doubt(
            # answers that are withheld or drawn at random match less often, never more often
            blocks=frozenset({"independent"}),
            reason=f"possible evasion: {self.evasion[0]}",
            remedy="Let the suspect's owner attest how it is served, ask it through another channel, or take the case "
            "to `cae judge`.",
            judge_remedy="Have the suspect's owner attest how it is served, or ask it through another channel, and "
            "judge again.",
            alone=True,
            judge_alone=False,
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
    fingerprint, calibration, benign = subject.fingerprint, subject.calibration, answers.to(BENIGN)
    labels = fingerprint.probe_labels[benign.index]
    right = np.asarray(benign.labels == labels)
    limits = None if calibration is None else benign_range(calibration, benign.index)
    if options.rule == 1 or calibration is None:
        extrapolation = outside_range(right, limits)
    else:
        extrapolation = unlike_references(right, calibration.references.right[:, benign.index])
    return Circumstances(
        benign_reason=check_benign(
            benign.labels,
            labels,
            classes=len(fingerprint.class_names),
            source_accuracy=fingerprint.source_accuracy,
        ),
        evasion=signs_of_evasion(subject, answers, claimed_accuracy=options.claimed_accuracy),
        extrapolation=extrapolation,
        benign_range=limits,
        shared_ancestor=unrepresented_ancestor(subject),
        allow_extrapolation=options.allow_extrapolation,
        two_sided=options.rule > 1,
    )
