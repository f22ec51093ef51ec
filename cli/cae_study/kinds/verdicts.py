"""What a calibrated fingerprint says of held-out suspects, by kind of theft, also where they defend themselves."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from cae_core.calibration.calibrate import CalibrationSettings, calibrate
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.defences.table import check_defence, defended
from cae_core.errors import StudyError
from cae_core.fingerprint.file import Fingerprint
from cae_core.pool.manifest import Pool, PoolMember
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import CalibrationMembers
from cae_core.progress import detail, stage
from cae_core.statistics.intervals import clopper_pearson
from cae_core.statistics.ranks import models_needed
from cae_core.statistics.roc import roc_auc
from cae_core.verification.options import RULE, VerificationOptions
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import verify
from cae_study.bench import Bench
from cae_study.kinds.match_rates import pool_of
from cae_study.step import REQUIRED, Options, Result, Row, StepKind, Units

if TYPE_CHECKING:
    from cae_core.models import Model

__all__ = ["VERDICTS"]

NONCE = bytes(16)
"""Of every verification of a study, so that it is repeated to the byte; a study keeps no ledger."""

_NONE = "none"


@dataclass(frozen=True)
class _Judged:
    member: PoolMember
    by: str
    defence: str
    verdicts: Mapping[float, Verdict]

    @property
    def group(self) -> str:
        return (
            self.member.kind if (self.member.relation, self.by) == ("surrogate", "kind") else f"{self.member.relation}s"
        )

    @property
    def value(self) -> float:
        """By the score that decides, at whatever rate: it does not depend on it."""
        verdict = next(iter(self.verdicts.values()))
        standing = verdict.examination.standing
        if standing is None:
            return verdict.caeacc.value
        score = standing.references[0].score
        return next(ranking.value for ranking in standing.references if ranking.score == score)


def _run(bench: Bench) -> Result:
    fingerprint, pool = bench.fingerprint(bench.options["fingerprint"]), bench.pool(pool_of(bench))
    if fingerprint is None:
        return {"summary": [], "models": []}
    opened = OpenPool(device=bench.device)
    members = CalibrationMembers.of_pool(pool)
    if bench.options["role"] == "screen":  # suspects choose no examples by which they are judged
        members = dataclasses.replace(members, screen=())
    subjects = _subjects(bench, fingerprint, members, opened)
    suspects = _suspects(bench, pool)
    judged: list[_Judged] = []
    defences = bench.options["defences"]
    for done, member in enumerate(suspects, start=1):
        detail(bench.progress, "judging suspects", member.name)
        model = opened.open(member).model
        judged += [_judge(member, model, defence, subjects, bench) for defence in defences]
        bench.progress("judging suspects", done, len(suspects))
    rates = list(subjects)
    return {"summary": list(_summary(judged, rates, defences)), "models": [_row(one, rates) for one in judged]}


def _suspects(bench: Bench, pool: Pool) -> list[PoolMember]:
    """Return the suspects: of the pool that calibrates, or of those that are named; their thieves stole one source."""
    named = {name: bench.pool(name) for name in bench.options["suspects"]}
    for name, other in named.items():
        if other.source.digest() != pool.source.digest():
            raise StudyError(
                f"The thieves of pool {name} were made from another source than that of the pool which calibrates. "
                "Judge them by a fingerprint of their own source."
            )
    pools = named.values() or (pool,)
    return [member for own in pools for member in own.select(role=bench.options["role"])]


def _subjects(
    bench: Bench, fingerprint: Fingerprint, members: CalibrationMembers, opened: OpenPool
) -> dict[float, CalibratedFingerprint]:
    """Return the fingerprint calibrated at 5 %, where the references support that, and at the least rate they do."""
    if not members.references:
        raise StudyError("Verdicts take references of the role calibrate, and the pool has none. Use match-rates.")
    asking = stage(bench.progress, "asking models")
    settings = CalibrationSettings(score=bench.options["score"])
    made = calibrate(fingerprint, members, settings=settings, opened=opened, progress=asking).calibration
    count = len(members.references)
    rates = [*([0.05] if count >= models_needed(0.05) else []), 1 / (count + 1)]
    return {
        rate: CalibratedFingerprint(fingerprint=fingerprint, calibration=dataclasses.replace(made, fpr=rate))
        for rate in rates
    }


def _judge(
    member: PoolMember, model: "Model", defence: str, subjects: Mapping[float, CalibratedFingerprint], bench: Bench
) -> _Judged:
    if defence != _NONE:
        model = defended(model, defence, classes=len(bench.images.of("test").class_names))
    options = VerificationOptions(max_queries=bench.options["queries"] or None)
    named = Suspect(name=member.name, sha256=member.sha256 or member.name)
    verdicts = {
        rate: verify(model, subject, named=named, options=options, nonce=NONCE) for rate, subject in subjects.items()
    }
    return _Judged(member, bench.options["by"], defence, verdicts)


def _row(one: _Judged, rates: Sequence[float]) -> Row:
    verdict = one.verdicts[rates[-1]]
    return {
        "model": one.member.name,
        "relation": one.member.relation,
        "kind": one.member.kind,
        "architecture": one.member.architecture,
        "defence": one.defence,
        "accuracy": verdict.examination.benign_accuracy,
        "CAEAcc": verdict.caeacc.value,
        "score": one.value,
        "p": verdict.decision.p_value,
        "queries": len(verdict.answers),
        **{f"verdict at {rate:.2g}": one.verdicts[rate].decision.verdict for rate in rates},
    }


def _summary(judged: Sequence[_Judged], rates: Sequence[float], defences: Sequence[str]) -> list[Row]:
    innocents = [one for one in judged if one.group == "references" and one.defence == _NONE]
    rows: list[Row] = []
    for defence in defences:
        for group in dict.fromkeys(one.group for one in judged):
            own = [one for one in judged if (one.group, one.defence) == (group, defence)]
            rows.append(_of_group(own, group, defence, innocents, rates))
    return rows


def _of_group(
    own: Sequence[_Judged], group: str, defence: str, innocents: Sequence[_Judged], rates: Sequence[float]
) -> Row:
    verdicts = [one.verdicts[rates[-1]] for one in own]
    usual = np.median([one.verdicts[rates[-1]].examination.benign_accuracy for one in innocents]) if innocents else None
    accuracy = float(np.mean([verdict.examination.benign_accuracy for verdict in verdicts]))
    scores = [one.value for one in own]
    return {
        "kind": group,
        "defence": defence,
        "models": len(own),
        "accuracy": accuracy,
        "accuracy lost": None if usual is None else float(usual) - accuracy,
        "CAEAcc, mean": float(np.mean([verdict.caeacc.value for verdict in verdicts])),
        "CAEAcc, least": min(verdict.caeacc.value for verdict in verdicts),
        "AUC": roc_auc(scores, [one.value for one in innocents]) if innocents and group != "references" else None,
        **{f"accused at {rate:.2g}": _accused(own, rate) for rate in rates},
    }


def _accused(own: Sequence[_Judged], rate: float) -> str:
    accused = sum(one.verdicts[rate].decision.verdict == "surrogate" for one in own)
    low, high = clopper_pearson(accused, len(own))
    return f"{accused} of {len(own)} ({low:.0%} to {high:.0%})"


def _units(bench: Bench) -> Units:
    return {"pools judged": float(len(bench.options["defences"]))}


def _needs(options: Options) -> tuple[str, ...]:
    if options["role"] not in ("screen", "test"):
        raise StudyError(f"Suspects are of the role test, or screen to try things out; found {options['role']!r}.")
    if not options["defences"] or not all(isinstance(name, str) for name in options["defences"]):
        raise StudyError(f"defences is a list of texts, {_NONE!r} for no defence; found {options['defences']!r}.")
    if not all(isinstance(name, str) for name in options["suspects"]):
        raise StudyError(f"suspects is a list of pools; found {options['suspects']!r}.")
    if options["by"] not in ("kind", "relation"):
        raise StudyError(f"by is kind, a row a kind of theft, or relation; found {options['by']!r}.")
    for name in set(options["defences"]) - {_NONE}:
        check_defence(name)
    pools = dict.fromkeys(filter(None, (options["pool"], *options["suspects"])))
    return (f"fingerprint.{options['fingerprint']}", *(f"pool.{name}" for name in pools))


VERDICTS = StepKind(
    name="verdicts",
    options={
        "fingerprint": REQUIRED,
        "pool": "",
        "suspects": [],
        "role": "test",
        "score": "",
        "queries": 0,
        "defences": [_NONE],
        "by": "kind",
    },
    needs=_needs,
    run=_run,
    units=_units,
    outside=lambda _options, _folder: {"rule": RULE},
)
