"""A fingerprint of a pool's source, made with the pool's *generate* members."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cae_core.dataset import ImageSet
from cae_core.errors import GenerationError, StudyError
from cae_core.fingerprint.example_kinds import count_example_kinds
from cae_core.generation.settings import PRESET_SPLITS, GenerationSettings
from cae_core.pool.manifest import PoolMember
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import GenerationMembers
from cae_core.workflows import generate_fingerprint
from cae_study.bench import Bench
from cae_study.step import REQUIRED, Options, Result, StepKind, Units

__all__ = ["FINGERPRINT", "generation_members", "seeds_of", "settings_of"]


def settings_of(options: Options, seed: int) -> GenerationSettings:
    """Return the settings of a generation: a preset's, with the step's own in their place.

    Raises:
        StudyError: one is unknown.
        OptionError: one is outside its range.
    """
    try:
        return GenerationSettings.from_preset(options["preset"], **{"seed": seed, **options["settings"]})
    except TypeError as error:
        known = ", ".join(field.name for field in dataclasses.fields(GenerationSettings))
        raise StudyError(f"A setting of the generation is unknown ({error}); there are {known}.") from error


def generation_members(bench: Bench, pool: str, most: Mapping[str, Any]) -> GenerationMembers:
    """Return the members of a generation, of each relation the first ``most``; all where it says nothing."""
    members = GenerationMembers.of_pool(bench.pool(pool))
    if not set(most) <= {"surrogates", "references"}:
        raise StudyError(f"members = {{ surrogates = ..., references = ... }} says how many; found {sorted(most)}.")

    def first(side: str, found: Sequence[PoolMember]) -> Sequence[PoolMember]:
        count = most.get(side, len(found))
        if not isinstance(count, int) or not 1 <= count <= len(found):
            raise StudyError(f"The pool has {len(found)} {side} of the role generate; found members.{side} = {count}.")
        return found[:count]

    return dataclasses.replace(
        members,
        surrogates=first("surrogates", members.surrogates),
        references=first("references", members.references),
    )


def _outside(options: Options, _folder: Path) -> Any:  # noqa: ANN401 - JSON
    """Refuse settings before any work, and name the result by all of them, the preset's included."""
    return dataclasses.asdict(settings_of(options, 0))


def _split(options: Options) -> str:
    return str(options["split"] or PRESET_SPLITS.get(options["preset"], "test"))


def seeds_of(bench: Bench) -> ImageSet:
    """Return the images to choose from: the split's, or so many of them, drawn by the study's seed."""
    images, most = bench.images.of(_split(bench.options)), bench.options["images"]
    if not 0 < most < len(images):
        return images
    return images.subset(np.sort(np.random.default_rng(bench.seed).permutation(len(images))[:most]))


def _run(bench: Bench) -> Result:
    options = bench.options
    settings = settings_of(options, bench.seed)
    try:
        result = generate_fingerprint(
            generation_members(bench, options["pool"], options["members"]),
            seeds_of(bench),
            settings=settings,
            output=bench.folder / "fingerprint.safetensors",
            opened=OpenPool(device=bench.device),
            progress=bench.progress,
        )
    except GenerationError as error:  # that nothing comes of such settings is a result
        return {"summary": [{"fingerprint": bench.step.name, "examples": 0, "failed": str(error)}], "labels": []}
    made = result.fingerprint
    return {
        "summary": [
            {
                "fingerprint": bench.step.name,
                "examples": len(made),
                "wanted": settings.count,
                "seeds tried": result.seeds_tried,
                "steps": result.steps,
                "eps": round(settings.eps, 4),
                "dropout": settings.dropout,
                "tau": settings.tau,
                "source's accuracy": made.source_accuracy,
                "kinds": ", ".join(
                    f"{count} {name}" for name, count in count_example_kinds(made.example_kinds).items()
                ),
                "id": made.id[:12],
            }
        ],
        "labels": [
            {"truth": truth, "label": label}
            for truth, label in zip(made.ground_truth.tolist(), made.labels.tolist(), strict=True)
        ],
    }


def _units(bench: Bench) -> Units:
    """Images, steps and models of the search, of one source's architecture."""
    options = bench.options
    settings = settings_of(options, bench.seed)
    seeds = settings.max_seeds or 4 * settings.count
    searched = seeds * settings.iterations if settings.natural < 1 else seeds
    return {f"search around {options['pool']}": float(searched)}


FINGERPRINT = StepKind(
    name="fingerprint",
    options={"pool": REQUIRED, "preset": "default", "settings": {}, "split": "", "images": 0, "members": {}},
    needs=lambda options: (f"pool.{options['pool']}",),
    run=_run,
    units=_units,
    outside=_outside,
)
