"""The evidence, row by row: what was measured, and how each number is meant."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from cae_core.verification.verdict import RepeatedErrors, SequentialEvidence
from cae_report.case import Case
from cae_report.text import counted, number, percent

__all__ = ["EvidenceRow", "evidence_rows"]

_KINDS = {"fingerprint": "fingerprint", "benign": "benign", "akh": "benign that the source gets wrong"}
_SCORES = {"caeacc": "CAEAcc", "llr": "mean log-likelihood ratio"}
_THRESHOLDS = {
    "rank": "the least score that is an accusation at the rate asked for, by ranks among the calibration references",
    "parametric": "the least score that is an accusation by a beta-binomial model of the references: no bound",
    "literature": "a rule of thumb; it carries no error rate and does not travel between tasks",
}


@dataclass(frozen=True)
class EvidenceRow:
    """One fact.

    Attributes:
        name: of what was measured.
        value: in words or digits.
        note: how it is meant or came about; empty where that is plain.
    """

    name: str
    value: str
    note: str = ""


def evidence_rows(case: Case) -> tuple[EvidenceRow, ...]:
    """Return every fact that the verdict rests on, and those that weaken it."""
    return (*_decision(case), *_matches(case), *_rule(case), *_asking(case), *_doubts(case))


def _decision(case: Case) -> Iterator[EvidenceRow]:
    decision = case.verdict.decision
    weak = ", weak: the interval of CAEAcc reaches below the threshold" if decision.weak else ""
    yield EvidenceRow("Verdict", decision.verdict + weak, decision.reason)
    if case.sides is not None:
        note = "by the score that decides; ties count on both sides"
        if not case.sides.exact:
            note = (
                "by the ends of the suspect's interval, the lower one for independent models, the upper one for copies"
            )
        yield EvidenceRow("Where it stands", case.sides.words, note)
    if decision.remedy:
        yield EvidenceRow("What would help", decision.remedy.replace("`", ""))


def _matches(case: Case) -> Iterator[EvidenceRow]:
    caeacc, decision = case.verdict.caeacc, case.verdict.decision
    total = len(case.fingerprint) if case.calibration is None else int(case.calibration.chosen.sum())
    yield EvidenceRow(
        "Matches",
        f"{caeacc.matches} of {caeacc.asked}",
        f"answers equal to the source's label; asked were {caeacc.asked} of {counted(total, 'example')}",
    )
    yield EvidenceRow("CAEAcc", number(caeacc.value), "the fraction of matches among the examples asked")
    how = "a confidence sequence for all examples of the fingerprint, valid whenever one stops"
    yield EvidenceRow(
        "95 % interval of CAEAcc",
        f"{number(caeacc.low)} to {number(caeacc.high)}",
        f"over examples, not over models; {how if case.verdict.sequential else 'Clopper-Pearson'}",
    )
    if decision.score != "caeacc":
        name = _SCORES[decision.score]
        yield EvidenceRow("Score that decides", number(decision.value), f"{name}, in nats an example, fixed beforehand")
    for name, found in sorted(case.verdict.other_scores.items()):
        value = f"{number(found['value'])}, p-value {number(found['p_value'])}"
        yield EvidenceRow(f"For information: {_SCORES[name]}", value, "decides nothing")


def _rule(case: Case) -> Iterator[EvidenceRow]:
    decision, calibration = case.verdict.decision, case.calibration
    if decision.threshold is None:
        value = "none: the references are too few for the rate, or match too often"
    else:
        value = number(decision.threshold)
        if decision.score == "caeacc" and decision.provenance != "literature":
            value += f", {round(decision.threshold * len(case.compared))} matches of {len(case.compared)}"
    yield EvidenceRow("Threshold", value, f"{decision.provenance}: {_THRESHOLDS[decision.provenance]}")
    if decision.p_value is None:
        yield EvidenceRow("p-value", "none", "there is no calibration, hence no rate behind the threshold")
    elif calibration is not None:
        how = _how(case, len(calibration.references), "reference", lambda run: run.level_surrogate)
        note = f"against an independent model: {how}; an average over calibrations, no probability of guilt"
        yield EvidenceRow("p-value", number(decision.p_value), note)
    if decision.p_value_surrogate is not None and calibration is not None:
        how = _how(case, len(calibration.surrogates), "surrogate", lambda run: run.level_independent)
        value = number(decision.p_value_surrogate)
        yield EvidenceRow("p-value of a surrogate", value, f"against a known kind of copy: {how}")
    if calibration is not None:
        note = "asked for beforehand: independent models called surrogates, over calibrations and suspects together"
        yield EvidenceRow("Rate of false accusations", percent(calibration.fpr), note)
        note = "asked for beforehand: surrogates called independent, over calibrations and suspects together"
        yield EvidenceRow("Rate of missed surrogates", percent(calibration.fnr), note)
    if case.verdict.sequential is not None:
        yield _stopping(case.verdict.sequential, case.verdict.caeacc.asked)


def _how(case: Case, models: int, relation: str, level: Callable[[SequentialEvidence], float]) -> str:
    """Return how a p-value came about."""
    group = counted(models, relation)
    if case.verdict.sequential is not None:
        half = number(level(case.verdict.sequential))
        return f"{half} for the count that {group} may have, and 1/E for the order of the examples, at most 1"
    if case.verdict.decision.provenance == "parametric":
        return f"by a beta-binomial model of {group}, model-based, no bound"
    return f"by rank among {group}, ties against the accuser"


def _stopping(sequential: SequentialEvidence, asked: int) -> EvidenceRow:
    rule = f"more than k0 = {sequential.k0} at level {number(sequential.level_surrogate)}"
    if sequential.k1 is not None:
        rule += f", or fewer than k1 = {sequential.k1} at level {number(sequential.level_independent)}"
    outcome = sequential.outcome or "neither"
    value = f"{outcome} after {asked} of {counted(sequential.examples, 'example')}"
    return EvidenceRow("Sequential mode", value, f"asked until it is settled whether all of them match {rule}")


def _asking(case: Case) -> Iterator[EvidenceRow]:
    verdict, answers = case.verdict, case.answers
    source = f"the source has {percent(case.fingerprint.source_accuracy)} on its whole benign set"
    if verdict.benign_range is not None:
        low, high = verdict.benign_range
        source = f"the references have {percent(low)} to {percent(high)} on the same images, {source}"
        if not verdict.decision.extrapolated and not low <= verdict.benign_accuracy <= high:
            source += "; outside by no more than chance"
    right = int((answers.said == case.fingerprint.probe_labels[answers.probes]).sum())
    value = f"{percent(verdict.benign_accuracy)}, {right} of {len(answers.said)}"
    yield EvidenceRow("Accuracy on benign images", value, source)
    if verdict.decision.extrapolated:
        yield EvidenceRow("Extrapolated", "yes", "the references say nothing about models of this accuracy")
    queries = verdict.queries
    if verdict.akh is not None:
        yield _repeated_errors(verdict.akh)
    yield EvidenceRow(
        "Queries",
        ", ".join(f"{count} {_KINDS[kind]}" for kind, count in queries.items()),
        f"in one random order, {counted(answers.repeats, 'repeat')} among them",
    )
    changed = f"{verdict.nondeterministic} of {answers.repeats}" if answers.repeats else "none asked"
    yield EvidenceRow("Repeats answered otherwise", changed, "the first answer counts")
    yield EvidenceRow("Unanswered", str(verdict.unanswered), "refusals and answers that are no number; no matches")
    yield EvidenceRow(
        "Nonce",
        verdict.nonce,
        "with the fingerprint's id and the suspect's SHA-256 it fixes the order of the questions",
    )
    chosen = {name.replace("_", " "): value for name, value in verdict.options.items() if value not in (None, False)}
    words = [name if value is True else f"{name} {value}" for name, value in chosen.items()]
    yield EvidenceRow("Options", ", ".join(words) or "none")


def _repeated_errors(akh: RepeatedErrors) -> EvidenceRow:
    p = "" if akh.p_value is None else f", p-value {number(akh.p_value)}"
    note = "benign images on which the suspect gives the source's wrong label; for information, they decide nothing"
    return EvidenceRow("Errors of the source repeated", f"{akh.matches} of {akh.asked}{p}", note)


def _doubts(case: Case) -> Iterator[EvidenceRow]:
    verdict = case.verdict
    yield EvidenceRow("Signs of evasion", "; ".join(verdict.evasion) or "none")
    yield EvidenceRow("Warnings", "; ".join(verdict.warnings) or "none")
    if verdict.earlier is None:
        yield EvidenceRow("Earlier verifications", "unknown", "no ledger was kept")
        return
    times, seen = verdict.earlier["verifications"], verdict.earlier["examples_seen"]
    note = f"it had been asked {seen} of these examples before; as recorded, not derived from the answers"
    yield EvidenceRow("Earlier verifications", str(times), note)
