"""False claims of our own making, on digits: how often does each kind win by an uncalibrated fingerprint, and in court?

    python examples/experiments/false_claims.py --pool digits/pool.toml --output false-claims --claims 40 --jobs 2

The parties are models of the pool's *test* role, all trained independently: the first are accusers, the others victims.
The judge has the *generate* and *calibrate* references, trains surrogates from each claimed source, regenerates a
fingerprint of it with a nonce of its own, and asks the victim (`cae_core.disputes.regeneration`,
`cae_core.disputes.judging`). Where the direction is not what the attack is about, the accuser's seal is older than the
victim: the judge has only the rank.

Each claimed source is regenerated once; what it says of every victim is kept in ``OUTPUT/claims``, and a run that was
interrupted goes on. ``OUTPUT/tables.md`` is made of that. An honest claim, with the pool's own source and its *test*
surrogates, goes the same way.
"""

import argparse
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeAlias

from cae_backends.datasets import open_data
from cae_backends.execution.executor import this_process
from cae_backends.training.jobs import PoolJob, Recipe
from cae_backends.training.pool_jobs import PoolData, train_pool
from cae_core.calibration.calibrate import CalibrationSettings
from cae_core.disputes.judging import DatedEvidence, judge_claim, judge_unasked
from cae_core.disputes.regeneration import JudgePool, Regeneration, regenerate
from cae_core.errors import GenerationError
from cae_core.files.digests import digest_of
from cae_core.files.storage import write_atomically
from cae_core.fingerprint.file import Fingerprint
from cae_core.generation.generate import generate
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.white_boxes import WhiteBoxes, provenance_of
from cae_core.models import DifferentiableModel, Model
from cae_core.opening.opened import open_model
from cae_core.pool.manifest import Pool, PoolMember, read_pool
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import CalibrationMembers, GenerationMembers
from cae_core.statistics.intervals import clopper_pearson
from cae_core.verification.decision import LITERATURE_THRESHOLD
from cae_core.verification.verdict import Suspect
from transferable_examples import ATTACKS, present_as_fingerprint

FPR = 0.01
SEALS = 1000
EXAMPLES = 50
REFERENCES = 6  # of each generation, the judge's and the accuser's
CALIBRATION = 149  # of the judge's references; 99 are the fewest for a rate of 1 %
EPS, TAU = 48 / 255, 0.6  # the demonstration's, which were chosen on other models
FRAMED = "victim among the surrogates"
HONEST = -1
"""The number of the honest claim."""

EARLIER, LATER = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)
SEALED_FIRST = DatedEvidence(sealed_at=EARLIER, authority="study", suspect_since=LATER)
SEALED_LATER = DatedEvidence(sealed_at=LATER, authority="study", suspect_since=EARLIER)

_ASK = Recipe(epochs=15, mix=0.8)
_ASK_MOVED = Recipe(epochs=15, shift=1, mix=0.5)
_ASK_NOISY = Recipe(epochs=15, mix=0.6, noise=0.15)
JUDGE_LINES = (
    ("hard labels", "cnn-small", _ASK),
    ("hard labels", "cnn-small", _ASK_MOVED),
    ("hard labels", "cnn-wide", _ASK_NOISY),
    ("soft labels", "cnn-small", _ASK_MOVED),
    ("distilled", "cnn-deep", Recipe(epochs=15, mix=0.8, temperature=4.0)),
)
"""The surrogates that the judge derives from a claimed source: kind, architecture, recipe."""


@dataclass(frozen=True)
class Claim:
    """One claimed source: an independent model, or a copy of a victim, or the honest one.

    Attributes:
        number: of the claim, which is its seed as well; `HONEST` for the honest one.
        derived: whether the source is trained from the answers of its victim.
    """

    number: int
    derived: bool = False

    @property
    def name(self) -> str:
        """The name of its folder."""
        return "honest" if self.number == HONEST else f"{'copy' if self.derived else 'own'}-{self.number:03}"


@dataclass(frozen=True)
class Setting:
    """Where the study runs, and how large it is."""

    pool: Path
    output: Path
    claims: int

    def accusers(self) -> Sequence[PoolMember]:
        """Return the accusers' models."""
        return self._parties()[: self.claims]

    def victims(self) -> Sequence[PoolMember]:
        """Return the victims' models: three for each accuser, all other ones."""
        return self._parties()[self.claims : 4 * self.claims]

    def _parties(self) -> Sequence[PoolMember]:
        return read_pool(self.pool).select(role="test", relation="reference")


def main() -> None:
    """Do what is missing, and make the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--claims", type=int, default=40)
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    setting = Setting(options.pool, options.output, options.claims)
    claims = all_claims(setting)
    waiting = [claim for claim in claims if not _record(setting, claim).exists()]
    with ProcessPoolExecutor(options.jobs, mp_context=get_context("spawn")) as workers:
        futures = [workers.submit(judge_one, setting, claim) for claim in waiting]
        for done, future in enumerate(as_completed(futures), start=1):
            future.result()
            print(f"{done} of {len(waiting)} claims", flush=True)
    text = tables(setting)
    (setting.output / "tables.md").write_text(text)
    print(text)


def all_claims(setting: Setting) -> list[Claim]:
    """Return the honest claim, and each accuser's own and derived one."""
    return [Claim(HONEST), *(Claim(i, derived=d) for i in range(setting.claims) for d in (False, True))]


def _record(setting: Setting, claim: Claim) -> Path:
    return setting.output / "claims" / f"{claim.name}.json"


def judge_one(setting: Setting, claim: Claim) -> None:
    """Let the judge regenerate one claimed source and ask whoever is accused; keep what came out."""
    source, victims = _parties_of(setting, claim)
    regeneration = _regenerated(setting, claim, source)
    found: dict[str, Any] = {
        "source": source.name,
        "accuracy": source.accuracy,
        "examples": len(regeneration.fingerprint),
        "references": len(regeneration.calibration.references),
        "judged": {victim.name: _judged(regeneration, victim, claim) for victim in victims},
    }
    if claim.number != HONEST and not claim.derived:
        found["presented"] = _presented(setting, claim, source, victims)
    write_atomically(_record(setting, claim), json.dumps(found).encode())


def _parties_of(setting: Setting, claim: Claim) -> tuple[PoolMember, Sequence[PoolMember]]:
    """Return the claimed source and whom it accuses."""
    pool = read_pool(setting.pool)
    if claim.number == HONEST:
        return pool.source, pool.select(role="test", relation="surrogate")
    if not claim.derived:
        return setting.accusers()[claim.number], setting.victims()
    victim = setting.victims()[claim.number]
    manifest = setting.output / claim.name / "theft" / "pool.toml"
    thief = PoolJob(
        name="thief",
        role="generate",
        kind="hard labels",
        architecture="cnn-small",
        seed=50_000 + claim.number,
        parent="victim",
        recipe=_ASK,
    )
    stolen = _trained([_owned(victim, "victim"), thief], manifest)
    return stolen.select(role="generate")[0], [victim]


def _owned(member: PoolMember, name: str) -> PoolJob:
    return PoolJob(name=name, role="source", kind="source", architecture="", seed=0, origin=member.path)


def _trained(jobs: Sequence[PoolJob], manifest: Path) -> Pool:
    return read_pool(train_pool(jobs, _data(), manifest, crew=this_process()))


@lru_cache(maxsize=1)
def _data() -> PoolData:
    return PoolData(open_data("digits", split="train"), open_data("digits", split="test"))


@lru_cache(maxsize=2000)
def _opened(path: Path) -> Model:
    return open_model(str(path))


@lru_cache(maxsize=200)
def _white(path: Path) -> DifferentiableModel:
    return open_model(str(path), gradients=True)


def _regenerated(setting: Setting, claim: Claim, source: PoolMember) -> Regeneration:
    pool = read_pool(setting.pool)
    jobs = [
        PoolJob(
            name=f"judge-{number:02}",
            role="generate",
            kind=kind,
            architecture=architecture,
            seed=100_000 + 100 * (2 * claim.number + claim.derived) + number,
            parent="claimed",
            recipe=recipe,
        )
        for number, (kind, architecture, recipe) in enumerate(JUDGE_LINES, start=1)
    ]
    made = _trained([_owned(source, "claimed"), *jobs], setting.output / claim.name / "judge" / "pool.toml")
    surrogates = made.select(role="generate")
    references = pool.select(role="generate", relation="reference")[:REFERENCES]
    calibrating = pool.select(role="calibrate", relation="reference")[:CALIBRATION]
    return regenerate(
        JudgePool(
            generating=GenerationMembers(source=source, surrogates=surrogates, references=references),
            calibrating=CalibrationMembers(references=calibrating),
        ),
        _data().test,
        settings=_settings(seed=0),
        calibration=CalibrationSettings(fpr=FPR),
        nonce=digest_of(claim.name).encode()[:16],
        opened=OpenPool(opener=lambda member: _opened(member.path)),
    )


def _settings(*, seed: int, max_seeds: int | None = None) -> GenerationSettings:
    return GenerationSettings.from_preset(
        "perturbed", eps=EPS, tau=TAU, count=EXAMPLES, seed=seed, max_seeds=max_seeds, batch=EXAMPLES
    )


def _judged(regeneration: Regeneration, victim: PoolMember, claim: Claim) -> dict[str, Any]:
    judgement = judge_claim(
        regeneration,
        _opened(victim.path),
        named=Suspect(name=victim.name, sha256=victim.digest()),
        seals=1,
        dated=SEALED_LATER if claim.derived else SEALED_FIRST,
    )
    return {"outcome": judgement.outcome, "p": judgement.p_value, "kind": victim.kind}


def _presented(
    setting: Setting, claim: Claim, source: PoolMember, victims: Sequence[PoolMember]
) -> dict[str, dict[str, float]]:
    """Return the CAEAcc of every victim on what the accuser presents, by kind of attack."""
    helpers = [_white(m.path) for m in setting.accusers()[:6] if m.name != source.name][:4]
    named = {"name": source.name, "sha256": source.digest()}
    fingerprints = {
        attack: present_as_fingerprint(
            attack,
            _white(source.path),
            helpers,
            _data().test,
            eps=EPS,
            count=EXAMPLES,
            seed=claim.number,
            source=named,
        )
        for attack in ATTACKS
    }
    found = {attack: {v.name: _agreement(f, v) for v in victims} for attack, f in fingerprints.items()}
    framed = victims[_framed(claim.number, len(victims))]
    fingerprint = _with_victim(setting, claim, source, framed)
    if fingerprint is not None:
        found[FRAMED] = {framed.name: _agreement(fingerprint, framed)}
    return found


def _with_victim(setting: Setting, claim: Claim, source: PoolMember, victim: PoolMember) -> Fingerprint | None:
    """Return a fingerprint that was generated with the victim among the surrogates; None where there is no example."""
    made = read_pool(setting.output / claim.name / "judge" / "pool.toml").select(role="generate")[:2]
    references = read_pool(setting.pool).select(role="generate", relation="reference")[:REFERENCES]
    surrogates = [*made, victim, victim, victim]  # so heavy that the others cannot outvote it
    white_boxes = WhiteBoxes(
        _white(source.path), [_white(m.path) for m in surrogates], [_white(m.path) for m in references]
    )
    provenance = provenance_of(GenerationMembers(source=source, surrogates=made, references=references))
    settings = _settings(seed=claim.number, max_seeds=EXAMPLES)
    try:
        return generate(white_boxes, _data().test, settings, provenance=provenance).fingerprint
    except GenerationError:
        return None


def _agreement(fingerprint: Fingerprint, victim: PoolMember) -> float:
    return float((_opened(victim.path).predict(fingerprint.images).labels == fingerprint.labels).mean())


# The tables


_Kept: TypeAlias = dict[str, Any]
"""What is kept of a claim."""

_Run: TypeAlias = tuple[float | None, str, float]
"""CAEAcc on what was presented (None: not measured), the judge's outcome, and its p."""


def tables(setting: Setting) -> str:
    """Return the tables, made of what was kept of all claims."""
    records: dict[Claim, _Kept] = {c: json.loads(_record(setting, c).read_text()) for c in all_claims(setting)}
    own = [records[claim] for claim in records if claim.number != HONEST and not claim.derived]
    copies = [records[claim] for claim in records if claim.derived]
    victims = [victim.name for victim in setting.victims()]
    rows = [(attack, list(_presented_runs(own, attack, victims, shift))) for shift, attack in enumerate(ATTACKS)]
    rows += [
        (FRAMED, list(_framed_runs(own, victims))),
        ("source trained from the victim", [(None, *_only(record)) for record in copies]),
        (f"{SEALS} seals, the winner opened", list(_sealed_runs(own, victims, declared=True))),
        ("the same, one seal declared", list(_sealed_runs(own, victims, declared=False))),
        ("victim chosen by the accuser's own fingerprint", list(_chosen_runs(own))),
    ]
    lines = [
        f"At fpr {FPR:.0%}; {len(own)} claimed sources, {len(copies)} copies, {len(victims)} victims:",
        "",
        f"| claim | runs | wins at {LITERATURE_THRESHOLD} | upheld | lower limit | p ≤ fpr | rejected | no judgement |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
        *(f"| {name} | {_cells(runs)} |" for name, runs in rows),
        "",
        _everybody(own),
        "",
        _honest(records[Claim(HONEST)]),
    ]
    return "\n".join(lines) + "\n"


def _presented_runs(own: Sequence[_Kept], attack: str, victims: Sequence[str], shift: int) -> Iterator[_Run]:
    for number, record in enumerate(own):
        victim = victims[(len(own) * shift + number) % len(victims)]
        yield (record["presented"][attack][victim], *_of(record, victim))


def _framed_runs(own: Sequence[_Kept], victims: Sequence[str]) -> Iterator[_Run]:
    for number, record in enumerate(own):
        victim = victims[_framed(number, len(victims))]
        yield (record["presented"].get(FRAMED, {}).get(victim), *_of(record, victim))


def _framed(number: int, victims: int) -> int:
    """Return which victim is put among the surrogates: another one for each claim."""
    return (2 * len(ATTACKS) + number) % victims


def _sealed_runs(own: Sequence[_Kept], victims: Sequence[str], *, declared: bool) -> Iterator[_Run]:
    """For each victim, open the seal whose presented examples it matches best."""
    for victim in victims[-len(own) :]:
        best = max(own, key=lambda record: record["presented"]["projected gradient"][victim])
        outcome, p = _of(best, victim)
        if declared:
            unasked = judge_unasked(references=best["references"], fpr=FPR, seals=SEALS, dated=SEALED_FIRST)
            outcome, p = (unasked.outcome if unasked else outcome), min(1.0, SEALS * p)
        yield best["presented"]["projected gradient"][victim], outcome, p


def _chosen_runs(own: Sequence[_Kept]) -> Iterator[_Run]:
    for record in own:
        presented = record["presented"]["projected gradient"]
        victim = max(presented, key=lambda name: presented[name])
        yield (presented[victim], *_of(record, victim))


def _of(record: _Kept, victim: str) -> tuple[str, float]:
    judged = record["judged"][victim]
    return judged["outcome"], judged["p"]


def _only(record: _Kept) -> tuple[str, float]:
    (victim,) = record["judged"]
    return _of(record, victim)


def _cells(runs: Sequence[_Run]) -> str:
    outcomes = [outcome for _, outcome, _ in runs]
    presented = [caeacc for caeacc, _, _ in runs if caeacc is not None]
    upheld = outcomes.count("upheld")
    cells = (
        str(len(runs)),
        f"{sum(x >= LITERATURE_THRESHOLD for x in presented)}" if presented else "",
        str(upheld),
        f"{_lower_limit(upheld, len(runs)):.2%}",
        str(sum(p <= FPR for _, _, p in runs)),
        str(outcomes.count("rejected")),
        str(outcomes.count("cannot judge")),
    )
    return " | ".join(cells)


def _lower_limit(successes: int, trials: int) -> float:
    """Return the one-sided 99.9 % lower limit of a proportion."""
    return clopper_pearson(successes, trials, 0.998)[0]


def _everybody(own: Sequence[_Kept]) -> str:
    """Every accuser against every victim: not independent runs, for information."""
    pairs = [judged for record in own for judged in record["judged"].values()]
    upheld = sum(judged["outcome"] == "upheld" for judged in pairs)
    each = [[judged["outcome"] for judged in record["judged"].values()] for record in own]
    worst = max(outcomes.count("upheld") / len(outcomes) for outcomes in each)
    return (
        f"Every accuser against every victim: {upheld} of {len(pairs)} upheld ({upheld / len(pairs):.2%}); "
        f"of the single accusers at most {worst:.1%}."
    )


def _honest(record: _Kept) -> str:
    by_kind: dict[str, list[str]] = {}
    for judged in record["judged"].values():
        by_kind.setdefault(judged["kind"], []).append(judged["outcome"])
    found = ", ".join(f"{kind} {x.count('upheld')} of {len(x)}" for kind, x in sorted(by_kind.items()))
    total = sum(x.count("upheld") for x in by_kind.values())
    return f"Honest claim, its surrogates upheld: {total} of {len(record['judged'])} ({found})."


if __name__ == "__main__":
    main()
