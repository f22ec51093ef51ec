"""Few queries, in an order that nobody chose: ask one by one, and stop once the path outranks the known models' paths.

See `cae_core.statistics.path_ranks`. Benign probes are asked beside the examples until the benign check is settled.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.record import Calibration
from cae_core.errors import OptionError
from cae_core.fingerprint.benign import benign_settled
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE
from cae_core.fingerprint.path_order import LEAST_BENIGN, PathOrder, path_order
from cae_core.fingerprint.questions import Question, queries_for_examples
from cae_core.statistics.path_ranks import PathState, PathTest, path_scores
from cae_core.statistics.ranks import models_needed
from cae_core.statistics.score import Score
from cae_core.statistics.unit import Unit
from cae_core.verification.deciding_score import deciding_score
from cae_core.verification.options import VerificationOptions, factor_of
from cae_core.verification.path_evidence import PathEvidence

__all__ = ["PathRun", "start_path"]

_EARLIER = " Earlier verifications of this suspect have multiplied p."
_OUTCOMES = ("surrogate", "independent")


@dataclass
class PathRun:
    """A verification by path ranks under way.

    Attributes:
        fingerprint: fingerprint whose images are asked.
        order: order of the questions.
        state: after the answers so far.
    """

    fingerprint: Fingerprint
    order: PathOrder
    state: PathState
    _probed: dict[int, int] = field(default_factory=dict[int, int])
    _trace: list[tuple[int, int, float, float]] = field(default_factory=list[tuple[int, int, float, float]])

    def blocks(self, questions: Sequence[Question]) -> Iterator[Sequence[Question]]:  # noqa: ARG002 - has its order
        """Yield what is asked next, until all is decided, and then some of it again."""
        asked: list[Question] = []
        for question in self.order.first:
            if len(asked) == self.order.room:
                break
            if self._wants(question):
                asked.append(question)
                yield [question]
        if again := self.order.repeats(asked):
            yield again

    def observe(self, questions: Sequence[Question], labels: Labels) -> None:
        """Take in the answers to ``questions``; repeats tell nothing here."""
        for question, label in zip(questions, labels.tolist(), strict=True):
            if question.repeat:
                continue
            if question.kind == BENIGN:
                self._probed[question.index] = label
            elif question.kind == EXAMPLE:
                self._observe(match=bool(self.fingerprint.labels[question.index] == label))

    def evidence(self) -> PathEvidence:
        """Return what was seen so far."""
        state, test = self.state, self.state.test
        examples = sum(question.kind == EXAMPLE for question in self.order.first)
        return PathEvidence(
            examples=examples,
            high=test.high(state.score),
            low=test.low(state.score_independent),
            score=state.score,
            score_independent=state.score_independent,
            threshold=test.threshold,
            threshold_independent=test.threshold_independent,
            outcome=state.outcome,
            # the best come first: a part that is drawn so says nothing of the others
            interval=(state.matches / examples, 1 - (state.asked - state.matches) / examples),
            trace=tuple(self._trace),
        )

    def _observe(self, *, match: bool) -> None:
        self.state = state = self.state.updated(match)
        self._trace.append((state.asked, state.matches, state.score, state.score_independent))

    def _wants(self, question: Question) -> bool:
        return self.state.outcome is None if question.kind == EXAMPLE else not self._settled

    @property
    def _settled(self) -> bool:
        """Whether enough probes were asked."""
        fingerprint, asked = self.fingerprint, list(self._probed)
        if len(asked) < LEAST_BENIGN:
            return False
        return benign_settled(
            np.array(list(self._probed.values()), np.int64),
            fingerprint.probe_labels[asked],
            classes=len(fingerprint.class_names),
            source_accuracy=fingerprint.source_accuracy,
        )


def start_path(
    subject: CalibratedFingerprint, *, suspect_sha256: str, nonce: bytes, options: VerificationOptions
) -> tuple[PathRun, tuple[str, ...]]:
    """Return a run before its first question, and what it cannot lead to, in a sentence for an outcome.

    Args:
        subject: what is asked.
        suspect_sha256: of the suspect's files.
        nonce: that follows from the beacon.
        options: budget, and the verifications before this one: p is multiplied for them.

    Raises:
        OptionError: nothing is calibrated, the likelihood-ratio score decides, or a parametric p-value does; or the
            answers could lead to neither outcome.
    """
    calibration = _calibrated(subject, options)
    order = path_order(
        subject.fingerprint,
        suspect_sha256=suspect_sha256,
        nonce=nonce,
        max_queries=options.max_queries,
        chosen=subject.chosen,
    )
    path = [question.index for question in order.first if question.kind == EXAMPLE]
    factor, surrogates = factor_of(options.verifications), calibration.surrogates.matches(subject.fingerprint)
    test = PathTest(
        references=tuple(path_scores(group[:, path]) for group in _reference_matches(subject, calibration)),
        surrogates=path_scores(~surrogates[:, path]),
        fpr=calibration.fpr / factor,
        fnr=calibration.fnr / factor,
    )
    return PathRun(subject.fingerprint, order, test.start()), _out_of_reach(test, order, again=factor > 1)


def _calibrated(subject: CalibratedFingerprint, options: VerificationOptions) -> Calibration:
    calibration = subject.calibration
    if calibration is None:
        raise OptionError("A beacon needs path ranks, which need calibrated references. Calibrate (`cae calibrate`).")
    if deciding_score(calibration, options) != Score.CAEACC or calibration.parametric:
        what = "a parametric p-value" if calibration.parametric else f"the score {calibration.score.value}"
        raise OptionError(
            f"The sequential mode counts matches, and in this calibration {what} decides, which takes all answers. "
            "Calibrate with --score caeacc and without --parametric, or leave --sequential out."
        )
    if calibration.unit != Unit.MODEL:
        raise OptionError(
            f"With a beacon the suspect is ranked among models, and this calibration counts all models of one "
            f"{calibration.unit.value} as one. Ask without a beacon, or without --sequential, or calibrate with --unit "
            "model."
        )
    return calibration


def _reference_matches(subject: CalibratedFingerprint, calibration: Calibration) -> list[NDArray[np.bool_]]:
    """Return the matches (r_g, n) of each group of references, in each of which a suspect has to stand out."""
    return [each.group.matches(subject.fingerprint)[each.rows] for each in calibration.ranked_groups()]


def _out_of_reach(test: PathTest, order: PathOrder, *, again: bool) -> tuple[str, ...]:
    """Return what no answers could lead to.

    Raises:
        OptionError: they could lead to neither outcome.
    """
    asked = sum(question.kind == EXAMPLE and not question.repeat for question in order.questions)
    lacking = {
        outcome: _models_for(test, outcome) if least is None else _budget_for(least, asked, order)
        for outcome, least in zip(_OUTCOMES, test.fewest_answers(), strict=True)
        if least is None or least > asked
    }
    if len(lacking) == len(_OUTCOMES):
        raise OptionError(
            f"The sequential mode can decide nothing here. The verdict surrogate takes {lacking['surrogate']}. The "
            f"verdict independent takes {lacking['independent']}. Provide for one of them, or ask without --sequential."
            f"{_EARLIER if again else ''}"
        )
    return tuple(
        f"in sequential mode no answers can lead to the verdict {outcome}: it takes {what}"
        for outcome, what in lacking.items()
    )


def _models_for(test: PathTest, outcome: str) -> str:
    if outcome == "independent":
        return f"at least {models_needed(test.fnr)} surrogates, and there are {len(test.surrogates)}"
    found = min(len(group) for group in test.references)
    each = " in each group" if len(test.references) > 1 else ""
    return f"at least {models_needed(test.fpr)} references{each}, and there are {found}"


def _budget_for(least: int, asked: int, order: PathOrder) -> str:
    if order.room == len(order.first):
        return f"{least} examples in a row, and there are {asked}"
    queries = queries_for_examples(least, min(LEAST_BENIGN, sum(question.kind == BENIGN for question in order.first)))
    return f"{least} examples, hence a budget of {queries} queries; this budget allows {asked} examples"
