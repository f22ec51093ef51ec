"""Few queries: ask one example at a time, and stop once the whole fingerprint's count is certain enough.

The rate that is asked for is halved: one half for k0, the count that independent models may have (a rank among the
references), the other for the e-process that says whether the suspect's count exceeds it. Both are stated.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from cae_core.arrays import Labels
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.groups import Group
from cae_core.calibration.record import Calibration
from cae_core.errors import OptionError
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE
from cae_core.fingerprint.questions import Question, queries_for
from cae_core.method.caeacc import CAEAcc
from cae_core.statistics.e_process import SequentialState, SequentialTest, running_confidence_sequence
from cae_core.statistics.group_ranks import exceeded_score
from cae_core.statistics.ranks import exceeded_rank, models_needed
from cae_core.statistics.score import Score
from cae_core.verification.decision import (
    ASK_ALL,
    LITERATURE_THRESHOLD,
    NEITHER_KIND,
    NOT_PROVEN,
    Decision,
    Outcome,
    limited,
)
from cae_core.verification.evidence import Evidence, Null
from cae_core.verification.examination import Examination, Sides
from cae_core.verification.options import VerificationOptions, factor_of
from cae_core.verification.sequential_evidence import SequentialEvidence

__all__ = ["SequentialRun", "decide_sequential", "out_of_reach", "start_sequential"]

_UNCALIBRATED_RATE = 0.05
_OUTCOMES = ("surrogate", "independent")


@dataclass
class SequentialRun:
    """A sequential verification under way.

    Attributes:
        labels: int64 (n,), the source's, of all examples.
        test: see `SequentialTest`.
        state: after the answers so far.
        counts: int64 (r,) and (r_S,), matches of the references that stand behind k0 and of the surrogates behind k1,
            ascending; empty where uncalibrated.
        rates: the whole rates of either error, those of k0 and k1 included; None where these have none.
    """

    labels: Labels
    test: SequentialTest
    state: SequentialState
    counts: tuple[Labels, Labels] = (np.zeros(0, np.int64), np.zeros(0, np.int64))
    rates: tuple[float, float] | None = None
    _matches: list[bool] = field(default_factory=list[bool])
    _trace: list[tuple[int, int, float, float]] = field(default_factory=list[tuple[int, int, float, float]])

    def observe(self, questions: Sequence[Question], labels: Labels) -> None:
        """Take in the answers to ``questions``; benign images and repeats tell nothing here."""
        for question, label in zip(questions, labels.tolist(), strict=True):
            if question.kind != EXAMPLE or question.repeat:
                continue
            match = bool(self.labels[question.index] == label)
            self.state = self.state.updated(match)
            self._matches.append(match)
            state = self.state
            self._trace.append((state.asked, state.matches, state.log_e_surrogate, state.log_e_independent))

    def blocks(self, questions: Sequence[Question]) -> Iterator[Sequence[Question]]:
        """Yield one question after the other until it is decided, and then what the other checks need.

        These are the benign probes that are left, and the repeats of what was asked.
        """
        for place, question in enumerate(questions):
            if self.state.outcome is not None:
                asked = {earlier.index for earlier in questions[:place] if earlier.kind == EXAMPLE}
                left = [q for q in questions[place:] if q.kind == BENIGN or q.index in asked]
                if left:
                    yield left
                return
            yield [question]

    def evidence(self) -> SequentialEvidence:
        """Return what was seen so far."""
        return SequentialEvidence(
            examples=self.test.examples,
            k0=self.test.k0,
            k1=self.test.k1,
            level_surrogate=self.test.fpr,
            level_independent=self.test.fnr,
            outcome=self.state.outcome,
            interval=running_confidence_sequence(self.test.examples, self._matches),
            trace=tuple(self._trace),
        )


def start_sequential(subject: CalibratedFingerprint, *, factor: float = 1) -> SequentialRun:
    """Return a run before its first question.

    Args:
        subject: what is asked.
        factor: by which 1/E is multiplied for the verifications before this one: E has to become as many times larger.

    Raises:
        OptionError: the likelihood-ratio score decides, or a parametric p-value does.
    """
    fingerprint, calibration = subject.fingerprint, subject.calibration
    if calibration is None:
        n = len(fingerprint)
        k0 = math.ceil(LITERATURE_THRESHOLD * n) - 1
        level = _UNCALIBRATED_RATE / factor
        test = SequentialTest(examples=n, k0=k0, k1=k0 + 1, fpr=level, fnr=level)
        return SequentialRun(fingerprint.labels, test, test.start())
    if calibration.score == Score.LLR or calibration.parametric:
        what = "a parametric p-value" if calibration.parametric else "the likelihood-ratio score"
        raise OptionError(
            f"The sequential mode counts matches, and {what} decides in this calibration. "
            "Calibrate with --score caeacc and without --parametric, or leave --sequential out."
        )
    n, rates = int(calibration.chosen.sum()), (calibration.fpr, calibration.fnr)
    surrogates = _counts(calibration.surrogates, fingerprint, calibration)
    groups = [
        (counts, calibration.units(unit, ranked.rows))
        for ranked in calibration.ranked_groups()
        for counts in [_counts(ranked.group, fingerprint, calibration)[ranked.rows]]
        for unit in calibration.unit.attributes
    ]
    references, k0 = max(((counts, _k0(counts, units, rates[0], n)) for counts, units in groups), key=lambda x: x[1])
    surrogates, rank_surrogate = np.sort(surrogates), exceeded_rank(len(surrogates), rates[1] / 2)
    test = SequentialTest(
        examples=n,
        k0=k0,
        k1=int(surrogates[rank_surrogate - 1]) if rank_surrogate else None,
        fpr=calibration.fpr / 2 / factor,
        fnr=calibration.fnr / 2 / factor,
    )
    return SequentialRun(fingerprint.labels, test, test.start(), (references, surrogates), rates)


def _counts(group: Group, fingerprint: Fingerprint, calibration: Calibration) -> Labels:
    """Return how many of the chosen examples each model (r,) gives the source's label."""
    return np.asarray(group.matches(fingerprint)[:, calibration.chosen].sum(axis=1), np.int64)


def _k0(counts: Labels, units: Labels, fpr: float, n: int) -> int:
    """Return the count that models of a group may have, which has ``counts`` (r,); n: it can never be exceeded."""
    exceeded = exceeded_score(counts.astype(np.float64), units, fpr / 2)
    return n if exceeded is None else int(exceeded)


def out_of_reach(run: SequentialRun, fingerprint: Fingerprint, questions: Sequence[Question]) -> tuple[str, ...]:
    """Return what no answers to ``questions`` could lead to, in a sentence for an outcome.

    Raises:
        OptionError: they could lead to neither outcome; nothing need be asked to know that.
    """
    asked = sum(question.kind == EXAMPLE and not question.repeat for question in questions)
    fewest = dict(zip(_OUTCOMES, run.test.fewest_answers(), strict=True))
    lacking: dict[str, str] = {}
    for side, outcome in enumerate(_OUTCOMES):
        least = fewest[outcome]
        if least is None:
            lacking[outcome] = _models_for(run, side)
        elif least > asked:
            queries = queries_for(fingerprint, least)
            lacking[outcome] = (
                f"{least} examples, hence a budget of {queries} queries; this budget allows {asked} examples"
            )
    if len(lacking) == len(_OUTCOMES):
        raise OptionError(
            f"The sequential mode can decide nothing here. The verdict surrogate takes {lacking['surrogate']}. The "
            f"verdict independent takes {lacking['independent']}. Provide for one of them, or ask without --sequential."
        )
    return tuple(
        f"in sequential mode no answers can lead to the verdict {outcome}: it takes {what}"
        for outcome, what in lacking.items()
    )


def _models_for(run: SequentialRun, side: int) -> str:
    """Return what calibration models an outcome takes that none can lead to: of surrogate (0), of independent (1)."""
    relation = ("references", "surrogates")[side]
    found = len(run.counts[side])
    least = 0 if run.rates is None else models_needed(run.rates[side] / 2)
    if found < least:
        return f"at least {least} {relation}, and there are {found}"
    extreme = f"all {run.test.examples} examples" if side == 0 else "none of the examples"
    return f"other {relation}: of these, too many match {extreme}"


def decide_sequential(examination: Examination, evidence: Mapping[Null, Evidence]) -> Decision:
    """Decide by the outcome at the stop.

    Args:
        examination: of the suspect, with what the sequential mode saw.
        evidence: see `evidence_of`; empty where uncalibrated.

    Raises:
        OptionError: the suspect was not asked in sequential mode.
    """
    seen, caeacc, circumstances = examination.sequential, examination.caeacc, examination.circumstances
    if seen is None:
        raise OptionError("The suspect was not asked in sequential mode. Decide by all answers at once.")
    calibration = examination.subject.calibration
    sides = examination.sides if circumstances.two_sided else None
    found = _at_the_stop(seen, caeacc, sides, calibration)
    outcome, reason, remedy = limited(*_outlasting(found, seen, examination.options), circumstances)
    threshold = (seen.k0 + 1) / seen.examples if seen.k0 < seen.examples else None
    reaches_below = threshold is not None and caeacc.low < threshold
    return Decision(
        verdict=outcome,
        reason=reason,
        remedy=remedy,
        threshold=threshold,
        origin="literature" if calibration is None else "rank",
        value=caeacc.value,
        p_value=evidence["independent"].p_value if evidence else None,
        p_value_surrogate=evidence["surrogate"].p_value if evidence else None,
        extrapolated=circumstances.extrapolation is not None,
        weak=outcome == "surrogate" and calibration is None and reaches_below,
        sides=sides,
    )


def _at_the_stop(
    seen: SequentialEvidence, caeacc: CAEAcc, sides: Sides | None, calibration: Calibration | None
) -> tuple[Outcome, str, str]:
    """Return outcome, reason and remedy; ``sides`` is None where copies cannot keep from accusing."""
    found = f"{caeacc.matches} matches in {caeacc.asked} of {seen.examples} examples"
    if seen.outcome == "independent":
        reason = f"{found} show that the suspect matches fewer than {seen.k1} of all {seen.examples}"
        return "independent", f"{reason}; {NOT_PROVEN}", ""
    if seen.outcome is None:
        return "inconclusive", f"{found} are enough for neither outcome", _remedy(seen, caeacc.asked, calibration)
    reason = f"{found} show that the suspect matches more than {seen.k0} of all {seen.examples}"
    reason = f"{reason} ({_origin(seen, calibration)})"
    if sides is None or not sides.neither:
        return "surrogate", reason, ""
    fewer = f"it matches at most {caeacc.high:.0%}, fewer than any of the {sides.surrogates} known copies"
    return "inconclusive", f"{reason}, but {fewer}, so the suspect fits neither kind", NEITHER_KIND


def _outlasting(
    found: tuple[Outcome, str, str], seen: SequentialEvidence, options: VerificationOptions
) -> tuple[Outcome, str, str]:
    """Return the outcome where it holds although the answers showed further verifications of this suspect."""
    outcome, reason, _ = found
    more = factor_of(1 + options.recognised)
    reached = {
        "surrogate": seen.log_e[0] >= math.log(more / seen.level_surrogate),
        "independent": seen.log_e[1] >= math.log(more / seen.level_independent),
    }
    if options.recognised == 0 or reached.get(outcome, True):
        return found
    again = f"{options.recognised} earlier verification{'s' * (options.recognised > 1)}"
    return "inconclusive", f"{reason}; this is not enough after {again} of the same model in another file", ASK_ALL


def _remedy(seen: SequentialEvidence, asked: int, calibration: Calibration | None) -> str:
    ways = ["Raise --max-queries."] if asked < seen.examples else []
    needed = "" if calibration is None else _needed(calibration)
    if needed:
        ways.append(f"Calibrate with {needed}: the sequential mode halves the error rates.")
    return " ".join(ways) or "Make a fingerprint with larger pools."


def _fewest(calibration: Calibration) -> int:
    """Return how many units there are in the smallest group of references."""
    groups, units = calibration.reference_groups().values(), calibration.unit.attributes
    return min(len(set(calibration.units(unit, rows).tolist())) for rows in groups for unit in units)


def _needed(calibration: Calibration) -> str:
    """Return what the rates would take where the calibration models are too few; empty otherwise."""
    sides = (
        (_fewest(calibration), calibration.fpr, "references"),
        (len(calibration.surrogates), calibration.fnr, "surrogates"),
    )
    return " and ".join(
        f"at least {models_needed(rate / 2)} {relation}"
        for models, rate, relation in sides
        if not exceeded_rank(models, rate / 2)
    )


def _origin(seen: SequentialEvidence, calibration: Calibration | None) -> str:
    if calibration is None:
        return "the literature's threshold, whose error rate is unknown"
    half, order = calibration.fpr / 2, seen.level_surrogate
    return (
        f"error rates: {half:.3g} that an independent model exceeds that count, by {len(calibration.references)} "
        f"references, and {order:.3g} that the order of the questions deceives"
    )
