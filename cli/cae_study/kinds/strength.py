"""Conferrability against eps: ours and other people's attacks from the same seeds, on models that nobody optimised for.

The report's Figure 3. The compared attacks have its settings: BIM 100 steps of 0.01, PGD ten of 0.01 (its code says in
the L2 norm, so both are there), FGM one step of eps, Carlini & Wagner with confidence 0.5 and 50 steps of 0.01.
"""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_core.arena.attacks import carlini_wagner, fast_gradient, iterated_gradient
from cae_core.arrays import Floats32, Floats64, Labels, as_unit_float
from cae_core.dataset import ImageSet
from cae_core.errors import StudyError
from cae_core.fingerprint.file import load_fingerprint
from cae_core.generation.settings import GenerationSettings
from cae_core.method.ball import Ball
from cae_core.models import DifferentiableModel
from cae_core.pool.manifest import PoolMember
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import GenerationMembers
from cae_core.progress import detail
from cae_core.workflows import generate_fingerprint
from cae_study.bench import Bench
from cae_study.step import REQUIRED, Options, Result, Row, StepKind, Units

__all__ = ["STRENGTH"]

CEM = "CEM"

_Point: TypeAlias = tuple[str, float]
"""A method, and the largest change."""

_Moved: TypeAlias = tuple[Floats32, Ball]
_Attack: TypeAlias = Callable[[DifferentiableModel, Floats32, Labels, float, int], _Moved]


def _bim(model: DifferentiableModel, seeds: Floats32, labels: Labels, eps: float, _seed: int) -> _Moved:
    ball = Ball(eps, "linf")
    return iterated_gradient(model, seeds, labels, ball=ball, step=0.01, steps=100), ball


def _pgd(model: DifferentiableModel, seeds: Floats32, labels: Labels, eps: float, seed: int) -> _Moved:
    ball, random = Ball(eps, "linf"), np.random.default_rng(seed)
    return iterated_gradient(model, seeds, labels, ball=ball, step=0.01, steps=10, random=random), ball


def _pgd_l2(model: DifferentiableModel, seeds: Floats32, labels: Labels, eps: float, _seed: int) -> _Moved:
    ball = Ball(eps, "l2")
    return iterated_gradient(model, seeds, labels, ball=ball, step=0.01, steps=10), ball


def _fgm(model: DifferentiableModel, seeds: Floats32, labels: Labels, eps: float, _seed: int) -> _Moved:
    ball = Ball(eps, "linf")
    return fast_gradient(model, seeds, labels, ball=ball), ball


def _cw(model: DifferentiableModel, seeds: Floats32, labels: Labels, eps: float, _seed: int) -> _Moved:
    ball = Ball(eps, "linf")
    return carlini_wagner(model, seeds, labels, ball=ball, confidence=0.5, rate=0.01, steps=50), ball


ATTACKS: Mapping[str, _Attack] = {"FGM": _fgm, "BIM": _bim, "PGD": _pgd, "PGD, L2": _pgd_l2, "CW": _cw}


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Found:
    """What a method made of the seeds, at one eps: only where the source's label has turned."""

    images: NDArray[np.uint8]
    labels: Labels


def _run(bench: Bench) -> Result:
    pool = bench.pool(bench.options["pool"])
    opened, members = OpenPool(device=bench.device), GenerationMembers.of_pool(pool)
    source = opened.open_white_box(members.source, images=bench.images.of("test").images).model
    seeds = _seeds(bench, source)
    points = [(method, eps) for method in bench.options["methods"] for eps in bench.options["eps"]]
    found: dict[_Point, _Found] = {}
    for done, (method, eps) in enumerate(points, start=1):
        detail(bench.progress, "making examples", f"{method} at eps {eps:g}")
        made = (
            _ours(bench, members, seeds, eps, opened)
            if method == CEM
            else _theirs(method, source, seeds, eps, bench.seed)
        )
        found[method, eps] = made
        bench.progress("making examples", done, len(points))
    inside = _conferrability(bench, found, [*members.surrogates, *members.references], "in the pool", opened)
    held = _conferrability(bench, found, pool.select(role=bench.options["role"]), "held out", opened)
    return {
        "summary": [
            _row(point, len(seeds), inside[point], held[point], kept=inside[point] >= bench.options["tau"])
            for point in points
        ]
    }


def _row(point: _Point, tried: int, inside: Floats64, held: Floats64, *, kept: NDArray[np.bool_]) -> Row:
    method, eps = point
    return {
        "method": method,
        "eps": eps,
        "tried": tried,
        "turned": len(held),
        "kept": int(kept.sum()),
        "conferrability": _mean(held),
        "conferrability of the kept": _mean(held[kept]),
        "in the pool": _mean(inside),
    }


def _mean(values: Floats64) -> float | None:
    return float(values.mean()) if len(values) else None


def _seeds(bench: Bench, source: DifferentiableModel) -> ImageSet:
    """Return the same seeds for all methods: test images that the source gets right, drawn by the study's seed."""
    data = bench.images.of("test")
    order = np.random.default_rng(bench.seed).permutation(len(data))
    wanted, chosen = int(bench.options["images"]), np.zeros(0, np.int64)
    for start in range(0, len(order), wanted):
        some = order[start : start + wanted]
        chosen = np.concatenate([chosen, some[source.predict(data.images[some]).labels == data.labels[some]]])
        if len(chosen) >= wanted:
            break
    return data.subset(chosen[:wanted])


def _ours(bench: Bench, members: GenerationMembers, seeds: ImageSet, eps: float, opened: OpenPool) -> _Found:
    """Search from every seed by the report's loss; all whose label turns are taken, whatever their conferrability."""
    path = bench.folder / f"cem-{eps:g}.safetensors"
    if not path.exists():
        given = {**bench.options["settings"], "eps": eps, "tau": 0.0, "min_margin": 0.0, "count": len(seeds)}
        settings = GenerationSettings.from_preset("report-code", seed=bench.seed, **given)
        generate_fingerprint(members, seeds, settings=settings, output=path, opened=opened, progress=bench.progress)
    made = load_fingerprint(path)
    return _Found(images=made.images, labels=made.labels)


def _theirs(method: str, source: DifferentiableModel, seeds: ImageSet, eps: float, seed: int) -> _Found:
    moved, ball = ATTACKS[method](source, as_unit_float(seeds.images), seeds.labels, eps, seed)
    images = ball.quantise(moved, seeds.images)
    labels = source.predict(images).labels
    turned = labels != seeds.labels
    return _Found(images=images[turned], labels=labels[turned])


def _conferrability(
    bench: Bench,
    found: Mapping[_Point, _Found],
    members: Sequence[PoolMember],
    stage: str,
    opened: OpenPool,
) -> dict[_Point, Floats64]:
    """Return of each image p_S (1 - p_R) of the source's label, by the means of the members' probabilities."""
    relations = [member.relation for member in members]
    if len(set(relations)) < 2:
        raise StudyError(f"Conferrability takes surrogates and references, and those {stage} are of one relation.")
    images = np.concatenate([one.images for one in found.values()])
    labels = np.concatenate([one.labels for one in found.values()])
    shares = np.zeros((2, len(images)))
    opened.expect(members)
    for done, member in enumerate(members, start=1):
        detail(bench.progress, f"asking models {stage}", member.name)
        answers = opened.open(member).model.predict(images)
        given = answers.labels[:, np.newaxis] == np.arange(len(bench.images.of("test").class_names))
        told = given.astype(np.float64) if answers.probabilities is None else answers.probabilities
        side = int(member.relation == "reference")
        shares[side] += told[np.arange(len(images)), labels] / relations.count(member.relation)
        bench.progress(f"asking models {stage}", done, len(members))
    every = shares[0] * (1 - shares[1])
    ends = np.cumsum([len(one.images) for one in found.values()])
    return dict(zip(found, np.split(every, ends[:-1]), strict=True))


def _needs(options: Options) -> tuple[str, ...]:
    known = (CEM, *ATTACKS)
    if not options["methods"] or not set(options["methods"]) <= set(known):
        raise StudyError(f"methods is a list of {', '.join(known)}; found {options['methods']!r}.")
    if not options["eps"] or not all(isinstance(eps, float) and 0 < eps <= 1 for eps in options["eps"]):
        raise StudyError(f"eps is a list of numbers in (0, 1]; found {options['eps']!r}.")
    if options["images"] < 1:
        raise StudyError(f"images must be a number of seeds, at least 1; found {options['images']}.")
    return (f"pool.{options['pool']}",)


def _outside(options: Options, _folder: Path) -> dict[str, object]:
    return dataclasses.asdict(GenerationSettings.from_preset("report-code", **{**options["settings"], "eps": 0.1}))


def _units(bench: Bench) -> Units:
    return {f"strength around {bench.options['pool']}": float(len(bench.options["eps"]) * bench.options["images"])}


STRENGTH = StepKind(
    name="strength",
    options={
        "pool": REQUIRED,
        "methods": [CEM, *ATTACKS],
        "eps": [0.01, 0.025, 0.04, 0.055, 0.07, 0.085, 0.1, 0.115, 0.13, 0.145, 0.16],
        "images": 100,
        "tau": 0.85,
        "role": "test",
        "settings": {},
    },
    needs=_needs,
    run=_run,
    units=_units,
    outside=_outside,
)
