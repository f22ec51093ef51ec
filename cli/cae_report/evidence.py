"""The evidence, row by row: what was measured, and how each number is meant."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from cae_core.files.records import as_json
from cae_core.fingerprint.example_kinds import EXAMPLE_KINDS
from cae_core.fingerprint.kinds import EXAMPLE, KINDS
from cae_core.statistics.score import Score
from cae_core.statistics.thresholds import NO_THRESHOLD
from cae_core.verification.path_evidence import PathEvidence
from cae_core.verification.sequential_evidence import SequentialEvidence
from cae_report.dossier import Dossier
from cae_report.sources import SOURCES_THRESHOLD, ranked_among
from cae_report.text import contract_in_words, counted, few_examples, number, percent

__all__ = ["EvidenceRow", "evidence_rows"]

_THRESHOLDS = {
    "path": "the lower limit of the match rate from which a suspect is accused at the chosen error rate, by ranks "
    "among the calibration references in the suspect's order",
    "rank": "the score from which a suspect is accused at the chosen error rate, by ranks among the calibration "
    "references",
    "parametric": "the score from which a suspect is accused by a beta-binomial model of the references; the error "
    "rate is not guaranteed",
    "literature": "a rule of thumb; its error rate is unknown and differs from task to task",
}


@dataclass(frozen=True)
class EvidenceRow:
    """One fact.

    Attributes:
        name: name of what was measured.
        value: value in words or digits.
        note: how it is meant or came about; empty where that is plain.
    """

    name: str
    value: str
    note: str = ""


def evidence_rows(dossier: Dossier) -> tuple[EvidenceRow, ...]:
    """Return every fact that the verdict rests on, and those that weaken it."""
    return (
        *_decision(dossier),
        *_matches(dossier),
        *_rule(dossier),
        *_asking(dossier),
        *_occasion(dossier),
        *_doubts(dossier),
    )


def _decision(dossier: Dossier) -> Iterator[EvidenceRow]:
    decision = dossier.verdict.decision
    weak = ", weak: the interval of CAEAcc reaches below the threshold" if decision.weak else ""
    yield EvidenceRow("Verdict", decision.verdict + weak, decision.reason)
    if dossier.examination.sides is not None:
        note = "by the score that decides; a model with the same score counts on both sides"
        if not dossier.examination.sides.exact:
            note = "independent models are compared with the lower end of the suspect's interval, copies with the upper"
        yield EvidenceRow("The suspect among known models", dossier.examination.sides.words, note)
    if decision.remedy:
        yield EvidenceRow("What would help", decision.remedy.replace("`", ""))


def _matches(dossier: Dossier) -> Iterator[EvidenceRow]:
    caeacc, decision = dossier.examination.caeacc, dossier.verdict.decision
    total = len(dossier.fingerprint) if dossier.calibration is None else int(dossier.calibration.chosen.sum())
    yield EvidenceRow(
        "Matches",
        f"{caeacc.matches} of {caeacc.asked}",
        f"answers equal to the source's label; {caeacc.asked} of {counted(total, 'example')} were asked",
    )
    yield EvidenceRow("CAEAcc", number(caeacc.value), "the fraction of matches among the examples asked")
    how = "a confidence sequence for all examples of the fingerprint, valid whenever the questions stop"
    if dossier.examination.path is not None:
        how = "the range that is certain for all examples, whatever the answers to the remaining ones would be"
    yield EvidenceRow(
        "95 % interval of CAEAcc",
        f"{number(caeacc.low)} to {number(caeacc.high)}",
        f"over examples, not over models; {how if dossier.examination.stopped else 'Clopper-Pearson'}",
    )
    if decision.score != Score.CAEACC:
        note = f"{decision.score.words}, in {decision.score.unit}, fixed beforehand"
        yield EvidenceRow("Score that decides", number(decision.value), note)
    yield from _kinds(dossier)
    yield from _findings(dossier, "scores")


def _kinds(dossier: Dossier) -> Iterator[EvidenceRow]:
    """Yield the matches of each kind of example, where there are others than perturbed ones."""
    answers, fingerprint = dossier.examination.answers.to(EXAMPLE), dossier.fingerprint
    if not fingerprint.example_kinds.any():
        return
    kinds, match = fingerprint.example_kinds[answers.index], answers.labels == fingerprint.labels[answers.index]
    for kind in EXAMPLE_KINDS:
        own = match[kinds == kind.code]
        if len(own):
            note = f"{kind.words}; all kinds together decide"
            yield EvidenceRow(f"Matches of kind {kind.name}", f"{int(own.sum())} of {len(own)}", note)


def _rule(dossier: Dossier) -> Iterator[EvidenceRow]:
    decision, calibration, path = dossier.verdict.decision, dossier.calibration, dossier.examination.path
    threshold = decision.threshold if path is None else path.threshold
    if threshold is None:
        value = NO_THRESHOLD
    else:
        value = number(threshold)
        if decision.score == Score.CAEACC and decision.origin not in ("literature", "path"):
            n = len(dossier.examination.compared)
            value += f", {round(threshold * n)} matches of {n}"
    among = ranked_among(dossier)
    fixed_by = SOURCES_THRESHOLD if among else _THRESHOLDS[decision.origin]
    yield EvidenceRow("Threshold", value, f"{decision.origin}: {fixed_by}")
    if decision.p_value is None:
        yield EvidenceRow(
            "p-value", "none", "the fingerprint is not calibrated, so the error rate of the threshold is unknown"
        )
    elif calibration is not None:
        how = _how(dossier, len(calibration.references), "reference", lambda run: run.level_surrogate)
        how = f"by rank among {among}; ties count against the accuser; an average over sources" if among else how
        note = f"for an independent model: {how}; an average over calibrations, and not the probability of guilt"
        yield EvidenceRow("p-value", number(decision.p_value), note)
    if decision.p_value_surrogate is not None and calibration is not None:
        how = _how(dossier, len(calibration.surrogates), "surrogate", lambda run: run.level_independent)
        value = number(decision.p_value_surrogate)
        yield EvidenceRow("p-value of a surrogate", value, f"for a known kind of copy: {how}")
    if calibration is not None:
        note = "chosen beforehand: the share of independent models called surrogates, over calibrations and suspects"
        yield EvidenceRow("Rate of false accusations", percent(calibration.fpr), note)
        note = "chosen beforehand: the share of surrogates called independent, over calibrations and suspects"
        yield EvidenceRow("Rate of missed surrogates", percent(calibration.fnr), note)
    if dossier.examination.sequential is not None:
        yield _stopping(dossier.examination.sequential, dossier.examination.caeacc.asked)
    if path is not None:
        yield _along_the_path(path, dossier.examination.caeacc.asked)


def _how(dossier: Dossier, models: int, relation: str, level: Callable[[SequentialEvidence], float]) -> str:
    """Return how a p-value came about."""
    group = counted(models, relation)
    if dossier.examination.sequential is not None:
        half = number(level(dossier.examination.sequential))
        return f"{half} for the count that {group} may have, plus 1/E for the order of the examples, at most 1"
    if dossier.verdict.decision.origin == "parametric":
        return f"by a beta-binomial model of {group}; the rate is not guaranteed"
    if dossier.examination.path is not None:
        return f"by rank among {group} in the suspect's order; ties count against the accuser"
    return f"by rank among {group}; ties count against the accuser"


def _stopping(sequential: SequentialEvidence, asked: int) -> EvidenceRow:
    rule = f"more than k0 = {sequential.k0} at level {number(sequential.level_surrogate)}"
    if sequential.k1 is not None:
        rule += f", or fewer than k1 = {sequential.k1} at level {number(sequential.level_independent)}"
    outcome = sequential.outcome or "neither"
    value = f"{outcome} after {asked} of {counted(sequential.examples, 'example')}"
    return EvidenceRow(
        "Sequential mode", value, f"questions stop once it is settled whether, of all examples, {rule} match"
    )


def _along_the_path(path: PathEvidence, asked: int) -> EvidenceRow:
    value = f"{path.outcome or 'neither'} after {asked} of {counted(path.examples, 'example')}"
    reached = f"the lower limit of the match rate reached {number(path.score)}, that of the rate of other answers"
    return EvidenceRow("Sequential mode", value, f"{reached} {number(path.score_independent)}")


def _asking(dossier: Dossier) -> Iterator[EvidenceRow]:
    verdict, answers = dossier.verdict, dossier.examination.answers
    source = f"the source has {percent(dossier.fingerprint.source_accuracy)} on its whole benign set"
    if verdict.benign_range is not None:
        low, high = verdict.benign_range
        source = f"the references have {percent(low)} to {percent(high)} on the same images, {source}"
        if not verdict.decision.extrapolated and not low <= verdict.benign_accuracy <= high:
            source += "; outside by no more than chance"
    right = dossier.examination.right
    value = f"{percent(verdict.benign_accuracy)}, {right.sum()} of {len(right)}"
    yield EvidenceRow("Accuracy on benign images", value, source)
    if verdict.decision.extrapolated:
        yield EvidenceRow("Extrapolated", "yes", "no reference has an accuracy like the suspect's")
    yield from _findings(dossier, "asked")
    yield EvidenceRow(
        "Queries",
        ", ".join(f"{verdict.queries[k.name]} {k.in_full}" for k in KINDS if k.name in verdict.queries),
        f"in one random order, {counted(answers.repeats, 'repeat')} among them",
    )
    changed = f"{verdict.nondeterministic} of {answers.repeats}" if answers.repeats else "none asked"
    yield EvidenceRow("Repeats answered differently", changed, "the first answer counts")
    yield EvidenceRow(
        "Unanswered", str(verdict.unanswered), "refusals, and answers that are not a number; none counts as a match"
    )
    yield _nonce(dossier)
    if verdict.containment is not None:
        yield EvidenceRow("Containment", verdict.containment.words, "as recorded, not derived from the answers")
    options = as_json(dossier.examination.options)
    chosen = {name.replace("_", " "): value for name, value in options.items() if value not in (None, False)}
    words = [name if value is True else f"{name} {value}" for name, value in chosen.items()]
    yield EvidenceRow("Options", ", ".join(words) or "none")


def _nonce(dossier: Dossier) -> EvidenceRow:
    options = dossier.examination.options
    if options.beacon:
        note = f"follows from calibration, suspect and the beacon of {options.beacon_time}, {options.beacon}"
        return EvidenceRow("Nonce", dossier.verdict.nonce, note)
    note = "with the fingerprint's id and the suspect's SHA-256 it fixes the order of the questions"
    occasion = dossier.verdict.occasion
    if occasion is not None:
        note += "; given by whoever asked" if occasion.nonce_given else "; drawn when all else was fixed"
    return EvidenceRow("Nonce", dossier.verdict.nonce, note)


def _occasion(dossier: Dossier) -> Iterator[EvidenceRow]:
    """Yield what the record says beside what follows from the answers; nothing in releases that did not say it."""
    occasion, recorded = dossier.verdict.occasion, "as recorded, not derived from the answers"
    if occasion is None:
        return
    if occasion.case:
        yield EvidenceRow("Case", occasion.case, recorded)
    yield EvidenceRow("Asked on", occasion.date, f"{recorded}: by the clock of the machine that asked")
    runtime = "" if occasion.runtime is None else f", {occasion.runtime}"
    yield EvidenceRow("Asked by", f"{occasion.tool}{runtime}", recorded)
    if occasion.contract is not None:
        note = f"how images were given to the suspect and its answers read; {recorded}"
        yield EvidenceRow("Contract", contract_in_words(occasion.contract), note)
    for rival in occasion.rivals:
        note = f"{recorded}: it fits about as well; the suspect was asked by it too, and that verdict claims no less"
        yield EvidenceRow("Another contract", contract_in_words(rival), note)
    if occasion.is_source is not None:
        how = {"file": "the file of the source", "scores": "a model that answers every image as the source does"}
        note = "meant to be so (--self-check)" if occasion.self_check else "a copy of the source, or the source itself"
        yield EvidenceRow("The suspect is", how[occasion.is_source], note)


def _findings(dossier: Dossier, section: Literal["scores", "asked"]) -> Iterator[EvidenceRow]:
    for finding in dossier.verdict.findings:
        if finding.section == section:
            yield from (EvidenceRow(line.title, line.shown, line.note) for line in finding.lines)


def _doubts(dossier: Dossier) -> Iterator[EvidenceRow]:
    verdict = dossier.verdict
    if dossier.examination.options.defence:
        note = "simulated in front of the suspect: the verdict is about a suspect with that defence, not about this one"
        yield EvidenceRow("Simulated defence", dossier.examination.options.defence, note)
    if told := few_examples(verdict):
        yield EvidenceRow("Few examples", told)
    yield EvidenceRow("Signs of evasion", "; ".join(verdict.evasion) or "none")
    yield EvidenceRow("Warnings", "; ".join(verdict.warnings) or "none")
    if verdict.earlier is None:
        yield EvidenceRow("Earlier verifications", "unknown", "no ledger was kept")
        return
    seen = verdict.earlier.examples_seen
    note = f"it had been asked {seen} of these examples before; as recorded, not derived from the answers"
    yield EvidenceRow("Earlier verifications", f"{verdict.earlier.verifications}{verdict.earlier.details}", note)
    if verdict.repeated is not None:
        yield EvidenceRow(
            "p multiplied by",
            number(verdict.repeated.factor),
            "doubled for each earlier verification, since the best order could be chosen among them"
            + ("; only the half of p that depends on the order" if dossier.examination.sequential is not None else ""),
        )
