"""What a suspect's answers show, derived once: every rule, table and page reads this and derives nothing again."""

import dataclasses
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.calibration.standing import Seen, Standing
from cae_core.fingerprint.answers import FirstAnswers, first_answers
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE
from cae_core.method.caeacc import CAEAcc, cae_accuracy
from cae_core.verification.circumstances import Circumstances, circumstances_of
from cae_core.verification.control_standing import ControlStanding, control_standing
from cae_core.verification.deciding_score import deciding_score
from cae_core.verification.options import VerificationOptions
from cae_core.verification.path_evidence import PathEvidence
from cae_core.verification.sequential_evidence import SequentialEvidence
from cae_core.verification.transcript import Transcript

__all__ = ["Examination", "Sides", "examine"]


@dataclass(frozen=True, kw_only=True)
class Sides:
    """Where the suspect stands among the calibration models of either kind, by the score that decides.

    Attributes:
        references: number of independent models, r.
        as_high: number of independent models that score at least as high as the suspect.
        surrogates: number of known copies, r_S.
        as_low: number of known copies that score at most as high as the suspect.
        exact: False in sequential mode: there the ends of the suspect's interval are compared, the lower one with the
            references and the upper one with the copies, so that these are the models that *may* score so.
        neither: whether it is unlike all known copies, see `Ranking.unlike_all`, so that a suspect which stands out
            from the references as well fits neither kind.
        null: the hypothesis that decides.
        controls: where it ranks sources: how many pairs, or control sources, are as extreme, and of how many; beside
            the references where both count.
    """

    references: int
    as_high: int
    surrogates: int
    as_low: int
    exact: bool = True
    neither: bool = False
    null: NullHypothesis = NullHypothesis.REFERENCES
    controls: tuple[int, int] = (0, 0)

    @property
    def fits_neither(self) -> bool:
        """Whether a suspect that stands out is of neither kind; among sources any suspect is at home."""
        return self.neither and not self.null.for_any_suspect

    @property
    def high(self) -> str:
        """The independent side in words."""
        as_extreme, of = self.controls
        sources = f"{as_extreme} of {of} control sources {'is' if as_extreme == 1 else 'are'} matched as often"
        if self.null == NullHypothesis.SOURCES:
            return sources
        if self.null == NullHypothesis.TWO_WAY:
            return f"{as_extreme} of {of} other pairs of a model and a source {self._stand(as_extreme)} as high"
        found = f"{self.as_high} of {self.references} independent models {self._score(self.as_high)} as high"
        if self.null == NullHypothesis.BOTH:
            return f"{found}, {sources}"
        return found

    @property
    def low(self) -> str:
        """The copies' side in words; empty where none is known."""
        if not self.surrogates:
            return ""
        return f"{self.as_low} of {self.surrogates} known copies {self._score(self.as_low)} as low"

    @property
    def words(self) -> str:
        """Both sides in a clause; the references alone where no copy is known."""
        return f"{self.high}, and {self.low}" if self.low else self.high

    def _score(self, models: int) -> str:
        if not self.exact:
            return "may score"
        return "scores" if models == 1 else "score"

    def _stand(self, pairs: int) -> str:
        return "stands" if pairs == 1 else "stand"

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: the calibration models; what control sources show is a finding."""
        return {name: value for name, value in vars(self).items() if name not in _UNTOLD}


_OF_ONE = 0.5
"""The rate at which a single known copy may say that a suspect below it is none."""

_UNTOLD = {"exact", "neither", "null", "controls"}
"""What follows from other fields of a record."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Examination:
    """The facts about one suspect.

    Attributes:
        subject: the calibrated fingerprint that it was examined with.
        options: how it was asked and judged.
        transcript: the questions and its answers.
        answers: the answers that count.
        matches: bool (a,), whether it gives the source's label to each example that was asked.
        right: bool (b,), whether it classifies each benign probe that was asked correctly.
        caeacc: CAEAcc over the examples that were asked; in sequential mode its interval is the confidence sequence,
            and along a path what is certain of all examples.
        circumstances: what limits a verdict.
        sequential: the run of the sequential mode by an e-process; None otherwise.
        path: the run of the sequential mode by path ranks; None otherwise.
        standing: its place among the calibration models by the deciding score; None if uncalibrated.
        sides: how many of them score as high, and as low; None if uncalibrated.
        controls: its place among control sources; None if there are none.
    """

    subject: CalibratedFingerprint = field(repr=False)
    options: VerificationOptions
    transcript: Transcript = field(repr=False)
    answers: FirstAnswers = field(repr=False)
    matches: NDArray[np.bool_] = field(repr=False)
    right: NDArray[np.bool_] = field(repr=False)
    caeacc: CAEAcc
    circumstances: Circumstances
    sequential: SequentialEvidence | None
    path: PathEvidence | None = None
    standing: Standing | None = field(repr=False)
    sides: Sides | None
    controls: ControlStanding | None = field(default=None, repr=False)

    @cached_property
    def compared(self) -> Labels:
        """The examples over which calibration models are scored: those asked; all chosen ones in sequential mode.

        The sequential mode asks a part and speaks of the whole.
        """
        return _compared(self.subject, self.answers, self.sequential)

    @property
    def seen(self) -> Seen:
        """What scores are computed from."""
        return _seen(self.answers, self.matches, self.right)

    @property
    def stopped(self) -> SequentialEvidence | PathEvidence | None:
        """What a mode that asks one by one has seen; None where all was asked at once."""
        return self.sequential or self.path

    @property
    def exact_p_value(self) -> Fraction | None:
        """How likely an independent model is accused as strongly by rank, all asked at once; None where uncalibrated.

        By the hypothesis that decides, and without rounding: multiplied, 1/60 is to stay what it is.
        """
        if self.standing is None or self.controls is None:
            return None if self.standing is None else self.standing.high.exact_p_value
        if self.controls.null == NullHypothesis.BOTH:
            return max(self.standing.high.exact_p_value, self.controls.exact_p_value)
        return self.controls.exact_p_value

    @property
    def benign_accuracy(self) -> float:
        """Accuracy on the benign probes that were asked, 0 to 1."""
        return float(self.right.mean())


def examine(
    subject: CalibratedFingerprint,
    transcript: Transcript,
    options: VerificationOptions,
    *,
    sequential: SequentialEvidence | None = None,
    path: PathEvidence | None = None,
) -> Examination:
    """Derive the facts from what was asked and answered. The first answer to each image counts.

    Args:
        subject: whose questions were asked.
        transcript: of the whole verification.
        options: with which it was asked.
        sequential: what the sequential mode by an e-process saw; None in other modes.
        path: what the sequential mode by path ranks saw; None in other modes.
    """
    fingerprint, answers = subject.fingerprint, first_answers(transcript.questions, transcript.labels)
    examples, benign = answers.to(EXAMPLE), answers.to(BENIGN)
    matches = examples.labels == fingerprint.labels[examples.index]
    caeacc = cae_accuracy(examples.labels, fingerprint.labels[examples.index])
    stopped = sequential or path
    if stopped is not None:
        caeacc = CAEAcc(caeacc.matches, caeacc.asked, *stopped.interval)
    right = benign.labels == fingerprint.probe_labels[benign.index]
    standing = _standing(subject, options, _seen(answers, matches, right), _compared(subject, answers, sequential))
    controls = control_standing(subject, answers)
    sides = None
    if standing is not None:
        fnr = subject.calibrated.fnr if options.weighs_copies else _OF_ONE
        sides = _sides(standing, caeacc, stopped, fnr)
    if sides is not None and controls is not None:
        sides = dataclasses.replace(sides, null=controls.null, controls=controls.as_extreme)
    return Examination(
        subject=subject,
        options=options,
        transcript=transcript,
        answers=answers,
        matches=matches,
        right=right,
        caeacc=caeacc,
        circumstances=circumstances_of(subject, answers, options),
        sequential=sequential,
        path=path,
        standing=standing,
        sides=sides,
        controls=controls,
    )


def _compared(subject: CalibratedFingerprint, answers: FirstAnswers, sequential: SequentialEvidence | None) -> Labels:
    if subject.calibration is not None and sequential is not None:
        return np.flatnonzero(subject.chosen)
    return answers.to(EXAMPLE).index


def _seen(answers: FirstAnswers, matches: NDArray[np.bool_], right: NDArray[np.bool_]) -> Seen:
    return Seen(asked=answers.to(EXAMPLE).index, matches=matches, probed=answers.to(BENIGN).index, right=right)


def _standing(
    subject: CalibratedFingerprint, options: VerificationOptions, seen: Seen, compared: Labels
) -> Standing | None:
    if subject.calibration is None:
        return None
    score = deciding_score(subject.calibration, options)
    return subject.standing(seen, score=score, compared=compared, plainly=options.ranks_plainly)


def _sides(standing: Standing, caeacc: CAEAcc, stopped: SequentialEvidence | PathEvidence | None, fnr: float) -> Sides:
    """Count the calibration models that score so; in sequential mode by the end of the interval nearer to them."""
    high, low = standing.high, standing.low
    references, as_high, as_low = len(high), high.as_extreme, low.as_extreme
    if isinstance(stopped, PathEvidence):
        references, as_high, as_low = stopped.high.models, stopped.high.as_extreme, stopped.low.as_extreme
    elif stopped is not None:
        as_high = dataclasses.replace(high, value=caeacc.low).as_extreme
        as_low = dataclasses.replace(low, value=caeacc.high).as_extreme
    return Sides(
        references=references,
        as_high=as_high,
        surrogates=len(low),
        as_low=as_low,
        exact=not isinstance(stopped, SequentialEvidence),
        neither=low.unlike_all(fnr, as_low),
    )
