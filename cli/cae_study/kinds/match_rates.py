"""How often models of a pool answer like the source: those that the fingerprint was made with, and others."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.errors import StudyError
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE
from cae_core.pool.manifest import PoolMember
from cae_core.statistics.roc import roc_auc
from cae_study.bench import Bench
from cae_study.kinds.answers import Answers
from cae_study.step import REQUIRED, Options, Result, Row, StepKind, Units

__all__ = ["MATCH_RATES"]


def pool_of(bench: Bench) -> str:
    """Return the pool whose models are asked: the step's, or the fingerprint's."""
    own = bench.options["pool"]
    return str(own or bench.option(f"fingerprint.{bench.options['fingerprint']}", "pool"))


def _run(bench: Bench) -> Result:
    fingerprint, pool = bench.fingerprint(bench.options["fingerprint"]), bench.pool(pool_of(bench))
    if fingerprint is None:
        return {"summary": [{"fingerprint": bench.options["fingerprint"], "examples": 0}], "models": []}
    models: list[Row] = []
    summary: dict[str, object] = {"fingerprint": bench.options["fingerprint"], "examples": len(fingerprint)}
    asked = Answers(bench, fingerprint)
    for role in bench.options["roles"]:
        members = pool.select(role=role)
        asked.ask(members)
        answers = {member.name: asked.given(member).labels for member in members}
        rows = [_row(member, answers[member.name], fingerprint) for member in members]
        models += rows
        summary |= _of_role(role, rows, members, answers, fingerprint)
    return {"summary": [summary], "models": models}


def _row(member: PoolMember, answer: Labels, fingerprint: Fingerprint) -> Row:
    examples, probes = answer[fingerprint.rows(EXAMPLE)], answer[fingerprint.rows(BENIGN)]
    match, truth = examples == fingerprint.labels, examples == fingerprint.ground_truth
    return {
        "model": member.name,
        "role": member.role,
        "relation": member.relation,
        "kind": member.kind,
        "architecture": member.architecture,
        "accuracy": float((probes == fingerprint.probe_labels).mean()) if len(probes) else None,
        "CAEAcc": float(match.mean()),
        "truth": float(truth.mean()),
        "third label": float((~match & ~truth).mean()),
    }


def _of_role(
    role: str,
    rows: Sequence[Row],
    members: Sequence[PoolMember],
    answers: dict[str, Labels],
    fingerprint: Fingerprint,
) -> dict[str, object]:
    """Return columns of the summary: of either relation the CAEAcc, and what tells the two apart."""
    sides = {
        relation: [float(row["CAEAcc"]) for row in rows if row["relation"] == relation]
        for relation in ("surrogate", "reference")
    }
    found: dict[str, object] = {}
    for relation, rates in sides.items():
        found[f"{role}: {relation}s"] = _in_words(rates)
    if all(sides.values()):
        found[f"{role}: AUC"] = roc_auc(*sides.values())
        found[f"{role}: conferrability"] = _conferrability(members, answers, fingerprint)
    references = [row for row in rows if row["relation"] == "reference"]
    if references:
        for what in ("truth", "third label"):
            found[f"{role}: references give {'the truth' if what == 'truth' else 'a ' + what}"] = float(
                np.mean([row[what] for row in references])
            )
    return found


def _in_words(rates: Sequence[float]) -> str:
    return f"{np.mean(rates):.2f} ({min(rates):.2f} to {max(rates):.2f})" if rates else ""


def _conferrability(members: Sequence[PoolMember], answers: dict[str, Labels], fingerprint: Fingerprint) -> float:
    """Return the mean over the examples of p_S (1 - p_R), each p the share of models that give the source's label."""

    def share(relation: str) -> NDArray[np.float64]:
        own = [answers[member.name][fingerprint.rows(EXAMPLE)] for member in members if member.relation == relation]
        return np.asarray((np.stack(own) == fingerprint.labels).mean(axis=0), np.float64)

    return float((share("surrogate") * (1 - share("reference"))).mean())


def _units(bench: Bench) -> Units:
    return {"models asked": float(len(bench.options["roles"]))}


def _needs(options: Options) -> tuple[str, ...]:
    own = (f"pool.{options['pool']}",) if options["pool"] else ()
    _check_roles(options["roles"])
    return (f"fingerprint.{options['fingerprint']}", *own)


def _check_roles(roles: Sequence[object]) -> None:
    known = ("generate", "screen", "calibrate", "test")
    if not roles or not set(roles) <= set(known):
        raise StudyError(f"roles is a list of {', '.join(known)}; found {list(roles)}.")
    if len(set(roles)) < len(roles):
        raise StudyError(f"A role is asked once; found roles = {list(roles)}.")


MATCH_RATES = StepKind(
    name="match-rates",
    options={"fingerprint": REQUIRED, "pool": "", "roles": ["generate", "test"]},
    needs=_needs,
    run=_run,
    units=_units,
)
