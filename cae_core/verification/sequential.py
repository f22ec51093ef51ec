"""Few queries: ask one example at a time, and stop once the whole fingerprint's count is certain enough.

The rate that is asked for is halved: one half for k0, the count that independent models may have (a rank among the
references), the other for the e-process that says whether the suspect's count exceeds it. Both are stated.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from cae_core.arrays import Labels
from cae_core.calibration.calibrated import Calibration
from cae_core.errors import OptionError
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.questions import Question, queries_for
from cae_core.method.caeacc import CAEAcc
from cae_core.statistics.e_process import SequentialState, SequentialTest, running_confidence_sequence
from cae_core.statistics.ranks import exceeded_rank, models_needed
from cae_core.verification.decision import LITERATURE_THRESHOLD, NEITHER_KIND, Circumstances, limited
from cae_core.verification.verdict import Decision, Outcome, Provenance, SequentialEvidence, Sides

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
        provenance: of k0: ``rank`` or ``literature``.
        fpr: the whole rate of false accusations, that of k0 included; None where k0 has none.
        fnr: likewise of surrogates called independent, that of k1 included.
        counts: int64 (r,) and (r_S,), matches of the references that stand behind k0 and of the surrogates behind k1,
            ascending; empty where uncalibrated.
        needed: what the rates would take where the calibration models are too few; empty otherwise.
        out_of_reach: what this verification cannot say whatever the answers are, in sentences.
    """

    labels: Labels
    test: SequentialTest
    state: SequentialState
    provenance: Provenance
    fpr: float | None = None
    fnr: float | None = None
    counts: tuple[Labels, Labels] = (np.zeros(0, np.int64), np.zeros(0, np.int64))
    needed: str = ""
    out_of_reach: tuple[str, ...] = ()
    _matches: list[bool] = field(default_factory=list[bool])
    _trace: list[tuple[int, int, float, float]] = field(default_factory=list[tuple[int, int, float, float]])

    def observe(self, questions: Sequence[Question], labels: Labels) -> None:
        """Take in the answers to ``questions``; benign images and repeats tell nothing here."""
        for question, label in zip(questions, labels.tolist(), strict=True):
            if question.kind != "fingerprint" or question.repeat:
                continue
            match = bool(self.labels[question.index] == label)
            self.state = self.state.updated(match)
            self._matches.append(match)
            state = self.state
            self._trace.append((state.asked, state.matches, state.log_e_surrogate, state.log_e_independent))

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


def start_sequential(fingerprint: Fingerprint, calibration: Calibration | None) -> SequentialRun:
    """Return a run before its first question.

    Raises:
        OptionError: another score than CAEAcc decides, or a parametric p-value does.
    """
    if calibration is None:
        n = len(fingerprint)
        k0 = math.ceil(LITERATURE_THRESHOLD * n) - 1
        test = SequentialTest(examples=n, k0=k0, k1=k0 + 1, fpr=_UNCALIBRATED_RATE, fnr=_UNCALIBRATED_RATE)
        return SequentialRun(fingerprint.labels, test, test.start(), "literature")
    if calibration.score != "caeacc" or calibration.parametric:
        what = "a parametric p-value" if calibration.parametric else "the likelihood-ratio score"
        raise OptionError(
            f"The sequential mode counts matches, and {what} decides in this calibration. "
            "Calibrate with --score caeacc and without --parametric, or leave --sequential out."
        )
    n = int(calibration.chosen.sum())
    groups = (calibration.references, calibration.surrogates)
    counts = tuple(np.sort(group.matches(fingerprint)[:, calibration.chosen].sum(axis=1)) for group in groups)
    rank, rank_surrogate = (
        exceeded_rank(len(c), rate / 2) for c, rate in zip(counts, (calibration.fpr, calibration.fnr), strict=True)
    )
    test = SequentialTest(
        examples=n,
        k0=int(counts[0][-rank]) if rank else n,  # n: can never be exceeded
        k1=int(counts[1][rank_surrogate - 1]) if rank_surrogate else None,
        fpr=calibration.fpr / 2,
        fnr=calibration.fnr / 2,
    )
    needed = [
        f"at least {models_needed(rate / 2)} {relation}"
        for found, rate, relation in (
            (rank, calibration.fpr, "references"),
            (rank_surrogate, calibration.fnr, "surrogates"),
        )
        if not found
    ]
    return SequentialRun(
        fingerprint.labels,
        test,
        test.start(),
        "rank",
        calibration.fpr,
        calibration.fnr,
        (counts[0], counts[1]),
        " and ".join(needed),
    )


def out_of_reach(run: SequentialRun, fingerprint: Fingerprint, questions: Sequence[Question]) -> tuple[str, ...]:
    """Return what no answers to ``questions`` could lead to, in a sentence for an outcome.

    Raises:
        OptionError: they could lead to neither outcome; nothing need be asked to know that.
    """
    asked = sum(question.kind == "fingerprint" and not question.repeat for question in questions)
    fewest = dict(zip(_OUTCOMES, run.test.fewest_answers(), strict=True))
    lacking: dict[str, str] = {}
    for side, outcome in enumerate(_OUTCOMES):
        least = fewest[outcome]
        if least is None:
            lacking[outcome] = _models_for(run, side)
        elif least > asked:
            queries = queries_for(fingerprint, least)
            lacking[outcome] = f"{least} examples, hence a budget of {queries} queries, and this one allows {asked}"
    if len(lacking) == len(_OUTCOMES):
        raise OptionError(
            f"The sequential mode can decide nothing here: calling the suspect a surrogate takes {lacking['surrogate']}"
            f", and calling it independent takes {lacking['independent']}; provide for one of them, or ask without "
            "--sequential."
        )
    return tuple(
        f"no answers can make it {outcome} in sequential mode: that takes {what}" for outcome, what in lacking.items()
    )


def _models_for(run: SequentialRun, side: int) -> str:
    """Return what calibration models an outcome takes that none can lead to: of surrogate (0), of independent (1)."""
    relation = ("references", "surrogates")[side]
    found, rate = len(run.counts[side]), (run.fpr, run.fnr)[side]
    least = 0 if rate is None else models_needed(rate / 2)
    if found < least:
        return f"at least {least} {relation}, and there are {found}"
    extreme = f"all {run.test.examples} examples" if side == 0 else "none of the examples"
    return f"{relation} of which fewer match {extreme}"


def decide_sequential(run: SequentialRun, caeacc: CAEAcc, circumstances: Circumstances) -> Decision:
    """Decide by the outcome of the run; ``caeacc`` has the confidence sequence for its interval.

    Each side's p-value is rate(k) + 1/E at the stop, at most 1: K exceeds k0 for an independent model with the first,
    and E reaches 1/x while K <= k0 with at most x, so that p <= rate happens with at most that rate.
    """
    test, state = run.test, run.state
    sides = _sides(run, caeacc) if circumstances.two_sided and run.fpr is not None else None
    outcome: Outcome
    remedy = ""
    if state.outcome == "surrogate" and sides is not None and sides.below_all_copies:
        outcome, remedy = "inconclusive", NEITHER_KIND
        reason = (
            f"{state.matches} matches in {state.asked} of {test.examples} examples show more than {test.k0} on all of "
            f"them ({_origin(run)}), and fewer than any of the {sides.surrogates} known copies has (at most "
            f"{caeacc.high:.0%}), so that it fits neither kind"
        )
    elif state.outcome == "surrogate":
        outcome = "surrogate"
        reason = (
            f"{state.matches} matches in {state.asked} of {test.examples} examples show more than {test.k0} on all of "
            f"them ({_origin(run)})"
        )
    elif state.outcome == "independent":
        outcome = "independent"
        reason = (
            f"{state.matches} matches in {state.asked} of {test.examples} examples show fewer than {test.k1} on all of "
            "them; this finds no derivation and does not prove independence"
        )
    else:
        outcome = "inconclusive"
        reason = f"{state.matches} matches in {state.asked} of {test.examples} examples settle neither side"
        remedy = _remedy(run)
    outcome, reason, limited_remedy = limited(outcome, reason, circumstances)
    threshold = (test.k0 + 1) / test.examples if test.k0 < test.examples else None
    reaches_below = threshold is not None and caeacc.low < threshold
    return Decision(
        verdict=outcome,
        reason=reason,
        remedy=limited_remedy or remedy,
        threshold=threshold,
        provenance=run.provenance,
        value=caeacc.value,
        p_value=_p_value(run.fpr, state.log_e_surrogate),
        p_value_surrogate=_p_value(run.fnr, state.log_e_independent),
        extrapolated=circumstances.extrapolated is not None,
        weak=outcome == "surrogate" and run.fpr is None and reaches_below,
        sides=sides,
    )


def _sides(run: SequentialRun, caeacc: CAEAcc) -> Sides:
    """Count the calibration models that may score so, by the end of the interval that is nearer to them."""
    references, surrogates = (counts / run.test.examples for counts in run.counts)
    return Sides(
        references=len(references),
        as_high=int((references >= caeacc.low).sum()),
        surrogates=len(surrogates),
        as_low=int((surrogates <= caeacc.high).sum()),
        exact=False,
    )


def _p_value(rate: float | None, log_e: float) -> float | None:
    if rate is None:
        return None
    at_most = rate if log_e >= -math.log(rate / 2) else 1.0  # rounded, a sum of two halves can be more than the whole
    return min(at_most, rate / 2 + math.exp(-max(0.0, log_e)))


def _remedy(run: SequentialRun) -> str:
    ways: list[str] = []
    if run.state.asked < run.test.examples:
        ways.append("Raise --max-queries.")
    if run.needed:
        ways.append(f"Calibrate with {run.needed}: the sequential mode halves the rates.")
    return " ".join(ways) or "Make a fingerprint with larger pools."


def _origin(run: SequentialRun) -> str:
    if run.fpr is None:
        return "the literature's threshold, which has no error rate"
    return (
        f"{run.fpr / 2:.3g} for that count among {len(run.counts[0])} references, and {run.test.fpr:.3g} for the order"
    )
