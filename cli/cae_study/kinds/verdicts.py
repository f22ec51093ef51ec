"""What a calibrated fingerprint says of suspects, by kind of theft, also where they defend themselves."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.calibration.calibrate import CalibrationSettings, calibrate
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.groups import Group
from cae_core.calibration.record import Calibration
from cae_core.defences.table import check_all_preprocessing, check_defence
from cae_core.errors import StudyError
from cae_core.files.digests import sha256_of_text
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN
from cae_core.models import Model
from cae_core.pool.manifest import Pool, PoolMember, Role
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import CalibrationMembers
from cae_core.statistics.ranks import models_needed
from cae_core.verification.options import RULE, VerificationOptions
from cae_core.verification.verdict import Suspect
from cae_core.verification.verify import verify
from cae_study.bench import Bench
from cae_study.kinds.answers import Answers
from cae_study.kinds.judged import NO_DEFENCE, Judged, Tally
from cae_study.kinds.match_rates import pool_of
from cae_study.step import REQUIRED, Options, Result, StepKind, Units

__all__ = ["VERDICTS"]

NONCE = bytes(16)
"""Of every verification of a study, so that it is repeated to the byte; a study keeps no ledger."""

_DEVELOPMENT = "development"

_ROLES: Mapping[str, Sequence[Role]] = {"test": ["test"], "screen": ["screen"], _DEVELOPMENT: ["screen", "calibrate"]}
"""Of the suspects; of those of *development* each calibrating one is judged by the others."""

_BY_LOT = "lot"

_Subjects: TypeAlias = Mapping[float, CalibratedFingerprint]
"""What a suspect is judged by, at each rate; uncalibrated under 0."""


def _run(bench: Bench) -> Result:
    fingerprint, pool = bench.fingerprint(bench.options["fingerprint"]), bench.pool(pool_of(bench))
    if fingerprint is None:
        return {"summary": [], "relations": [], "models": []}
    defences = bench.options["defences"]
    members, suspects, answers = _members(bench, pool), _suspects(bench, pool), Answers(bench, fingerprint)
    answers.ask([*members.generation, *members.screen, *members.references, *members.surrogates, *suspects])
    subjects_of = _subjects(bench, fingerprint, members, answers)
    judge = _Judge(options=bench.options, working=_working(bench, fingerprint, suspects, answers))
    behind = {name: Answers(bench, fingerprint, defence=name) for name in defences if name != NO_DEFENCE}
    for own in behind.values():
        own.ask(suspects)
    judged = list[Judged]()
    for done, member in enumerate(suspects, start=1):
        subjects = subjects_of(member)
        judged += [judge.judge(member, behind.get(name, answers).model(member), subjects, name) for name in defences]
        bench.progress("judging suspects", done, len(suspects))
    tally = Tally(bench.step.name, judged, defences)
    return {
        "summary": list(tally.by_group()),
        "relations": list(tally.by_relation()),
        "models": [one.row() for one in judged],
    }


def _members(bench: Bench, pool: Pool) -> CalibrationMembers:
    members = CalibrationMembers.of_pool(pool)
    if bench.options["role"] != "test":  # suspects choose no examples by which they are judged
        members = dataclasses.replace(members, screen=())
    return members if bench.options["copies"] else dataclasses.replace(members, surrogates=())


def _suspects(bench: Bench, pool: Pool) -> list[PoolMember]:
    """Return the suspects: of the pool that calibrates, or of those that are named; their thieves stole one source."""
    named = {name: bench.pool(name) for name in bench.options["suspects"]}
    for name, other in named.items():
        if other.source.digest() != pool.source.digest():
            raise StudyError(
                f"The thieves of pool {name} were made from another source than that of the pool which calibrates. "
                "Judge them by a fingerprint of their own source."
            )
    roles = _ROLES[bench.options["role"]]
    return [member for own in named.values() or (pool,) for role in roles for member in own.select(role=role)]


def _subjects(
    bench: Bench, fingerprint: Fingerprint, members: CalibrationMembers, answers: Answers
) -> Callable[[PoolMember], _Subjects]:
    """Return what gives the fingerprint as it judges a suspect: calibrated at each rate, without the suspect itself."""
    options, count = bench.options, len(members.references)
    if not count:
        return lambda _member: {0.0: CalibratedFingerprint(fingerprint=fingerprint)}
    by_lot, most = options["choice"] == _BY_LOT, min(options["examples"], len(fingerprint))
    settings = CalibrationSettings(score=options["score"], keep=None if by_lot else most or None)
    opened = OpenPool(device=bench.device, opener=answers.model)
    made = calibrate(fingerprint, members, settings=settings, opened=opened).calibration
    made = dataclasses.replace(made, preprocessed=_preprocessed(bench, fingerprint, members, made.references))
    draws = count - (options["role"] == _DEVELOPMENT)
    rates = [rate for rate in options["rates"] or [0.05] if draws >= models_needed(rate)]
    rates += [] if rates and options["rates"] else [1 / (draws + 1)]

    def at_rates(calibration: Calibration) -> _Subjects:
        at = {rate: dataclasses.replace(calibration, fpr=rate) for rate in rates}
        return {rate: CalibratedFingerprint(fingerprint=fingerprint, calibration=one) for rate, one in at.items()}

    everybody = at_rates(made)

    def subjects_of(member: PoolMember) -> _Subjects:
        if by_lot:
            return at_rates(
                dataclasses.replace(made, chosen=_drawn(member, most or len(fingerprint), len(fingerprint)))
            )
        if member.role != "calibrate":
            return everybody
        references, surrogates = (_others(own, opened.digest(member)) for own in (made.references, made.surrogates))
        others = dataclasses.replace(made.with_references(references), surrogates=made.surrogates.subset(surrogates))
        return at_rates(others)

    return subjects_of


def _drawn(member: PoolMember, count: int, of: int) -> NDArray[np.bool_]:
    """Return which examples a suspect is asked, so many of all, drawn by its name."""
    chosen, seed = np.zeros(of, np.bool_), int(sha256_of_text(f"{member.name} {count}")[:16], 16)
    chosen[np.random.default_rng(seed).permutation(of)[:count]] = True
    return chosen


def _others(group: Group, sha256: str) -> Labels:
    return np.array([row for row, one in enumerate(group.models) if one.sha256 != sha256], np.int64)


def _preprocessed(
    bench: Bench, fingerprint: Fingerprint, members: CalibrationMembers, references: Group
) -> Mapping[str, Group]:
    """Return what the references answer behind each of the defences, as a calibration keeps it."""
    found: dict[str, Group] = {}
    for defence in bench.options["behind"]:
        answers = Answers(bench, fingerprint, defence=defence)
        answers.ask(members.references)
        labels = np.array([answers.given(member).labels for member in members.references])
        found[defence] = Group.of_labels(references.models, labels, fingerprint)
    return found


def _working(
    bench: Bench, fingerprint: Fingerprint, suspects: Sequence[PoolMember], answers: Answers
) -> Mapping[Path, bool]:
    """Return whether each thief keeps so much of the innocents' median accuracy; empty where nobody asks."""
    if not bench.options["working"]:
        return {}
    right = {
        member.path: float((answers.given(member).labels[fingerprint.rows(BENIGN)] == fingerprint.probe_labels).mean())
        for member in suspects
    }
    innocents = [right[member.path] for member in suspects if member.relation == "reference"]
    if not innocents:
        raise StudyError("working = ... is a share of the innocent suspects' accuracy, and there are none.")
    least = bench.options["working"] * float(np.median(innocents))
    thieves = [member.path for member in suspects if member.relation == "surrogate"]
    return {path: right[path] >= least for path in thieves}


@dataclass(frozen=True, kw_only=True)
class _Judge:
    """Judges suspects by their answers.

    Attributes:
        options: of the step.
        working: whether a thief keeps its use, by its file; empty where nobody asks.
    """

    options: Options
    working: Mapping[Path, bool]

    def judge(self, member: PoolMember, model: Model, subjects: _Subjects, defence: str) -> Judged:
        """Return the verdicts on a suspect that answers like ``model`` behind a defence."""
        asked = VerificationOptions(
            max_queries=self.options["queries"] or None,
            sequential=self.options["sequential"],
            rule=self.options["rule"],
        )
        named, strangers = Suspect(name=member.name, sha256=member.sha256 or member.name), member.role != "calibrate"
        verdicts = {
            rate: verify(model, subject, named=named, options=asked, nonce=NONCE, refuse_known=strangers)
            for rate, subject in subjects.items()
        }
        return Judged(
            member=member,
            group=_group(member, self.options),
            defence=defence,
            working=self.working.get(member.path),
            verdicts=verdicts,
        )


def _group(member: PoolMember, options: Options) -> str:
    """Return the row of the summary that a suspect counts in: of groups the first of whose words its kind has one."""
    if member.relation == "reference" or options["by"] == "relation":
        return f"{member.relation}s"
    groups = options["groups"]
    if not groups:
        return member.kind
    return next((name for name, words in groups.items() if any(word in member.kind for word in words)), "others")


def _units(bench: Bench) -> Units:
    return {"pools judged": float(len(bench.options["defences"]))}


def _needs(options: Options) -> tuple[str, ...]:
    if options["role"] not in _ROLES:
        raise StudyError(
            "Suspects are of the role test, or to try things out of screen, or development, which is screen and "
            f"calibrate, each left out in its turn; found {options['role']!r}."
        )
    if not options["defences"] or not all(isinstance(name, str) for name in options["defences"]):
        raise StudyError(f"defences is a list of texts, {NO_DEFENCE!r} for no defence; found {options['defences']!r}.")
    if not all(isinstance(name, str) for name in options["suspects"]):
        raise StudyError(f"suspects is a list of pools; found {options['suspects']!r}.")
    if options["by"] not in ("kind", "relation"):
        raise StudyError(f"by is kind, a row a kind of theft, or relation; found {options['by']!r}.")
    if options["choice"] not in ("screen", _BY_LOT):
        raise StudyError(f"choice of examples is screen or {_BY_LOT}; found {options['choice']!r}.")
    if not all(isinstance(rate, float) and 0 < rate < 1 for rate in options["rates"]):
        raise StudyError(f"rates is a list of numbers in (0, 1); found {options['rates']!r}.")
    _check_groups(options["groups"])
    VerificationOptions(rule=options["rule"])
    if not all(isinstance(name, str) for name in options["behind"]):
        raise StudyError(f"behind is a list of texts, each a defence; found {options['behind']!r}.")
    for name in set(options["defences"]) - {NO_DEFENCE}:
        check_defence(name)
    check_all_preprocessing(options["behind"])
    pools = dict.fromkeys(filter(None, (options["pool"], *options["suspects"])))
    return (f"fingerprint.{options['fingerprint']}", *(f"pool.{name}" for name in pools))


def _check_groups(groups: Mapping[str, object]) -> None:
    for name, words in groups.items():
        if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
            raise StudyError(f"groups.{name} is a list of words that kinds of theft have; found {words!r}.")


VERDICTS = StepKind(
    name="verdicts",
    options={
        "fingerprint": REQUIRED,
        "pool": "",
        "suspects": [],
        "role": "test",
        "score": "",
        "rates": [],
        "rule": RULE,
        "queries": 0,
        "sequential": False,
        "examples": 0,
        "choice": "screen",
        "copies": True,
        "behind": [],
        "defences": [NO_DEFENCE],
        "by": "kind",
        "groups": {},
        "working": 0.0,
    },
    needs=_needs,
    run=_run,
    units=_units,
)
