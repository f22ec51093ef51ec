"""Verdicts on held-out models at known rates and small budgets: false accusations, detection by kind, AUC.

    python examples/studies/held_out_verdicts.py --pool digits/pool.toml --data digits --eps 48/255 --tau 0.6 \
        --output evidence

Generation reads the *generate* members, the choice of examples and the weights the *screen* members, thresholds and
p-values the *calibrate* members. The *test* members are asked every example once; their answers are kept in
``OUTPUT/answers.npz``, and all tables are made of them. ``--suspects screen`` rehearses on the screen members, with no
screening, and leaves the test role alone.

Every verdict is made by `cae_core.verification.verify.verify`, benign check and all, from the kept answers.
"""

import argparse
import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cae_backends.datasets import open_data
from cae_core.arrays import Floats64, Images, Labels
from cae_core.calibration.calibrate import CalibrationSettings, calibrate
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.record import Calibration
from cae_core.dataset import ImageSet
from cae_core.fingerprint.file import Fingerprint, load_fingerprint
from cae_core.generation.settings import GenerationSettings
from cae_core.models import Predictions
from cae_core.pool.manifest import Pool, PoolMember, Role, read_pool
from cae_core.pool.members import open_member
from cae_core.pool.roles import CalibrationMembers, GenerationMembers
from cae_core.statistics.intervals import clopper_pearson
from cae_core.statistics.ranks import models_needed
from cae_core.statistics.roc import roc_auc
from cae_core.statistics.score import Score
from cae_core.verification.options import VerificationOptions
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import verify
from cae_core.workflows import generate_fingerprint

BUDGETS = (5, 10, 20, 50, 100)
RATES = (0.01, 0.05)
WAYS = ("CAEAcc", "screened CAEAcc", "likelihood ratio")
BOOTSTRAPS = 2000


class Remembered:
    """A suspect that answers what it answered before."""

    def __init__(self, fingerprint: Fingerprint, labels: Labels) -> None:
        images = [*fingerprint.images, *fingerprint.probe_images]
        self._known = {image.tobytes(): label for image, label in zip(images, labels.tolist(), strict=True)}

    def predict(self, images: Images) -> Predictions:
        """Look the images up."""
        return Predictions(np.array([self._known[image.tobytes()] for image in images], np.int64))


@dataclasses.dataclass(frozen=True)
class Study:
    """What the tables are made of: a fingerprint, and every suspect with its answers."""

    fingerprint: Fingerprint
    suspects: Sequence[tuple[PoolMember, Remembered]]

    def verdicts(
        self, calibration_of: Callable[[PoolMember], Calibration], *, sequential: bool = False
    ) -> Iterator[tuple[PoolMember, Verdict]]:
        """Yield a verdict on every suspect, each in an order of its own."""
        for member, model in self.suspects:
            yield (
                member,
                verify(
                    model,
                    CalibratedFingerprint(fingerprint=self.fingerprint, calibration=calibration_of(member)),
                    named=Suspect(name=member.name, sha256=member.sha256 or member.name),
                    options=VerificationOptions(sequential=sequential),
                    nonce=bytes(16),
                ),
            )


def main() -> None:
    """Make what is missing, and the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--eps", type=Fraction, required=True)
    parser.add_argument("--tau", type=float, default=0.8)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--suspects", choices=["test", "screen"], default="test")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    pool = read_pool(options.pool)
    fingerprint = _fingerprint(pool, options)
    study = Study(fingerprint, ask_members(pool, fingerprint, options.suspects, options.output))
    screen = pool.select(role="screen") if options.suspects == "test" else ()
    calibrations = _Calibrations(pool, fingerprint, screen)
    report = [
        _counts(fingerprint, study),
        *(_rates(study, calibrations, rate) for rate in calibrations.rates),
        _by_sequence(study, calibrations),
        _areas(study, calibrations),
        _kinds(study, calibrations),
    ]
    text = "\n\n".join(report) + "\n"
    (options.output / f"tables-{options.suspects}.md").write_text(text)
    print(text)


def _fingerprint(pool: Pool, options: argparse.Namespace) -> Fingerprint:
    settings = GenerationSettings.from_preset(
        "perturbed", eps=float(options.eps), tau=options.tau, count=options.count, seed=options.seed
    )
    return kept_fingerprint(pool, open_data(options.data, split="test"), settings, options.output)


def kept_fingerprint(pool: Pool, data: ImageSet, settings: GenerationSettings, folder: Path) -> Fingerprint:
    """Return the fingerprint in ``folder``; where there is none, one is made first."""
    path = folder / "fingerprint.safetensors"
    if not path.exists():
        generate_fingerprint(GenerationMembers.of_pool(pool), data, settings=settings, output=path)
    return load_fingerprint(path)


def ask_members(pool: Pool, fingerprint: Fingerprint, role: Role, folder: Path) -> list[tuple[PoolMember, Remembered]]:
    """Ask every suspect every image once; a second run takes the answers that the first has kept."""
    path = folder / f"answers-{role}.npz"
    members = pool.select(role=role)
    if not path.exists():
        images = np.concatenate([fingerprint.images, fingerprint.probe_images])
        answers = {m.name: open_member(m).predict(images).labels for m in members}
        np.savez_compressed(path, id=np.array(fingerprint.id), **cast("dict[str, Any]", answers))
    with np.load(path) as kept:
        if str(kept["id"]) != fingerprint.id or set(kept.files) != {"id", *(m.name for m in members)}:
            raise SystemExit(f"{path}: these answers belong to another fingerprint or pool. Name another --output.")
        return [(member, Remembered(fingerprint, kept[member.name])) for member in members]


class _Calibrations:
    """The calibration of each way and budget, made once."""

    def __init__(self, pool: Pool, fingerprint: Fingerprint, screen: Sequence[PoolMember]) -> None:
        self.fingerprint = fingerprint
        self.ways = WAYS if screen else WAYS[:1]
        self.budgets = sorted({min(budget, len(fingerprint)) for budget in (*BUDGETS, len(fingerprint))})
        members = dataclasses.replace(CalibrationMembers.of_pool(pool), screen=screen, generation=())
        count = len(members.references)
        self.rates = [rate for rate in RATES if count >= models_needed(rate)] or [1 / (count + 1)]
        self._made = {
            keep: calibrate(
                fingerprint,
                members,
                settings=CalibrationSettings(score="llr" if screen else "caeacc", keep=keep),
            ).calibration
            for keep in (self.budgets if screen else [None])
        }

    def of(self, way: str, budget: int, rate: float) -> Callable[[PoolMember], Calibration]:
        """Return the calibration for a suspect; without a choice each suspect is asked examples of its own."""
        base = dataclasses.replace(self._made.get(budget) or next(iter(self._made.values())), fpr=rate)
        if way == "likelihood ratio":
            return lambda _member: base
        base = dataclasses.replace(base, score=Score.CAEACC)
        if way == "screened CAEAcc":
            return lambda _member: base
        return lambda member: dataclasses.replace(base, chosen=self._drawn(member, budget))

    def _drawn(self, member: PoolMember, budget: int) -> NDArray[np.bool_]:
        seed = int.from_bytes(hashlib.sha256(f"{member.name} {budget}".encode()).digest()[:8], "big")
        chosen = np.zeros(len(self.fingerprint), bool)
        chosen[np.random.default_rng(seed).permutation(len(chosen))[:budget]] = True
        return chosen


def _counts(fingerprint: Fingerprint, study: Study) -> str:
    lines = [f"{len(fingerprint)} examples, id {fingerprint.id[:12]}.", ""]
    lines += ["| CAEAcc on all examples | models | lowest | median | highest |", "| --- | --- | --- | --- | --- |"]
    for relation in ("reference", "surrogate"):
        values = [
            float((model.predict(fingerprint.images).labels == fingerprint.labels).mean())
            for member, model in study.suspects
            if member.relation == relation
        ]
        low, middle, high = np.quantile(values, [0, 0.5, 1])
        lines.append(f"| {relation}s | {len(values)} | {low:.2f} | {middle:.2f} | {high:.2f} |")
    return "\n".join(lines)


def _rates(study: Study, calibrations: _Calibrations, rate: float) -> str:
    lines = [
        f"At fpr {rate:.0%} (and fnr 5 %):",
        "",
        "| score | examples | references accused | 95 % interval | surrogates accused | missed | no verdict |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for way in calibrations.ways:
        for budget in calibrations.budgets:
            found = list(study.verdicts(calibrations.of(way, budget, rate)))
            lines.append(f"| {way} | {budget} | {_outcome_cells(found)} |")
    return "\n".join(lines)


def _outcome_cells(found: Sequence[tuple[PoolMember, Verdict]]) -> str:
    outcomes = {
        relation: [v.decision.verdict for m, v in found if m.relation == relation]
        for relation in ("reference", "surrogate")
    }
    references, surrogates = outcomes["reference"], outcomes["surrogate"]
    accused = references.count("surrogate")
    low, high = clopper_pearson(accused, len(references))
    cells = (
        f"{accused} of {len(references)}",
        f"{low:.1%} to {high:.1%}",
        f"{surrogates.count('surrogate')} of {len(surrogates)}",
        f"{surrogates.count('independent')}",
        f"{references.count('inconclusive')} references, {surrogates.count('inconclusive')} surrogates",
    )
    return " | ".join(cells)


def _by_sequence(study: Study, calibrations: _Calibrations) -> str:
    lines = [
        "Sequential mode, all examples at hand:",
        "",
        "| fpr | relation | surrogate | independent | inconclusive | examples asked: median | mean | largest |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for rate in calibrations.rates:
        found = list(
            study.verdicts(calibrations.of("CAEAcc", len(study.fingerprint), rate), sequential=True),
        )
        for relation in ("reference", "surrogate"):
            verdicts = [v for m, v in found if m.relation == relation]
            outcomes = [v.decision.verdict for v in verdicts]
            asked = np.array([v.caeacc.asked for v in verdicts])
            counts = " | ".join(str(outcomes.count(x)) for x in ("surrogate", "independent", "inconclusive"))
            lines.append(
                f"| {rate:.0%} | {relation}s | {counts} | {np.median(asked):.0f} | {asked.mean():.1f} | {asked.max()} |"
            )
    return "\n".join(lines)


def _areas(study: Study, calibrations: _Calibrations) -> str:
    lines = [
        f"ROC AUC, with a 95 % interval over {BOOTSTRAPS} draws of models with replacement:",
        "",
        f"| examples | {' | '.join(calibrations.ways)} |",
        f"| --- |{' --- |' * len(calibrations.ways)}",
    ]
    for budget in calibrations.budgets:
        cells: list[str] = []
        for way in calibrations.ways:
            found = list(study.verdicts(calibrations.of(way, budget, calibrations.rates[0])))
            scores = [
                np.array([v.decision.value for m, v in found if m.relation == relation])
                for relation in ("surrogate", "reference")
            ]
            low, high = _bootstrapped(*scores)
            cells.append(f"{roc_auc(scores[0].tolist(), scores[1].tolist()):.4f} ({low:.4f} to {high:.4f})")
        lines.append(f"| {budget} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _bootstrapped(surrogates: Floats64, references: Floats64) -> tuple[float, float]:
    rng = np.random.default_rng(0)
    areas = [
        roc_auc(rng.choice(surrogates, len(surrogates)).tolist(), rng.choice(references, len(references)).tolist())
        for _ in range(BOOTSTRAPS)
    ]
    low, high = np.quantile(areas, [0.025, 0.975])
    return float(low), float(high)


def _kinds(study: Study, calibrations: _Calibrations) -> str:
    way, rate = calibrations.ways[-1], calibrations.rates[0]
    kinds = sorted({m.kind for m, _ in study.suspects if m.relation == "surrogate"})
    columns = [(w, budget) for w in {calibrations.ways[0]: 0, way: 0} for budget in calibrations.budgets]
    detected: dict[str, list[str]] = {kind: [] for kind in kinds}
    for w, budget in columns:
        found = list(study.verdicts(calibrations.of(w, budget, rate)))
        for kind in kinds:
            outcomes = [v.decision.verdict for m, v in found if m.kind == kind and m.relation == "surrogate"]
            detected[kind].append(f"{outcomes.count('surrogate')}")
    sizes = {kind: sum(m.kind == kind for m, _ in study.suspects if m.relation == "surrogate") for kind in kinds}
    heads = " | ".join(f"{w}, {budget}" for w, budget in columns)
    lines = [
        f"Surrogates accused at fpr {rate:.0%}, by kind:",
        "",
        f"| kind | models | {heads} |",
        f"| --- | --- |{' --- |' * len(columns)}",
        *(f"| {kind} | {sizes[kind]} | {' | '.join(detected[kind])} |" for kind in kinds),
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
