"""A pool: trained by a plan, or one that is there already."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cae_core.errors import StudyError
from cae_core.progress import stage
from cae_study.bench import Bench
from cae_study.step import Options, Result, Row, StepKind, Units

if TYPE_CHECKING:
    from cae_backends.training.plans import Plan
    from cae_core.pool.manifest import Pool

__all__ = ["POOL"]

_LARGEST = 1 << 24


def _outside(options: Options, folder: Path) -> Any:  # noqa: ANN401 - JSON
    """Return the plan's content, or the manifest's, which names each model by its SHA-256."""
    from cae_core.reading import read_limited

    plan, manifest = options["plan"], options["manifest"]
    if bool(plan) == bool(manifest):
        raise StudyError("A pool has either plan = ... or manifest = ...: one of them.")
    return read_limited(folder / (plan or manifest), _LARGEST).decode()


def _plan(bench: Bench) -> "Plan":
    from cae_backends.training.plans import read_plan

    options = bench.options
    plan = read_plan(bench.root / options["plan"], seed=bench.seed)
    return plan.shortened(epochs=options["epochs"] or None, share=options["share"])


def _run(bench: Bench) -> Result:
    if bench.options["plan"]:
        from cae_backends.training.pool_jobs import train_pool
        from cae_backends.training.pool_store import PoolData

        train, test = bench.images.of("train"), bench.images.of("test")
        if train.sha256() == test.sha256():
            raise StudyError("The training and the test images are the same. Name data that have both splits.")
        train_pool(
            _plan(bench).jobs,
            PoolData(train, test, None),
            bench.manifest(bench.step.name),
            workers=bench.workers,
            device=bench.device,
            progress=stage(bench.progress, "training"),
        )
    pool = bench.pool(bench.step.name)
    rows: list[Row] = [
        {
            "model": model.name,
            "role": model.role,
            "relation": model.relation,
            "kind": model.kind,
            "architecture": model.architecture,
            "accuracy": model.accuracy,
        }
        for model in pool.members
    ]
    return {"summary": list(_summary(rows)), "models": rows, "epochs": list(_epochs(bench, pool))}


def _epochs(bench: Bench, pool: "Pool") -> Iterator[Row]:
    """Yield a row for each model that the plan has made and each epoch of its training, where images were held out."""
    from cae_backends.training.pool_store import PoolStore
    from cae_core.files.digests import sha256_of_file

    if not bench.options["plan"]:
        return
    courses = PoolStore(bench.folder).validation_by_epoch()
    for model in pool.members if courses else ():
        for epoch, accuracy in enumerate(courses.get(sha256_of_file(model.path), ()), start=1):
            yield {
                "model": model.name,
                "role": model.role,
                "relation": model.relation,
                "kind": model.kind,
                "architecture": model.architecture,
                "epoch": epoch,
                "validation accuracy": accuracy,
            }


def _summary(rows: list[Row]) -> list[Row]:
    groups = Counter((row["role"], row["relation"], row["kind"]) for row in rows)
    found: list[Row] = []
    for (role, relation, kind), models in groups.items():
        own = [row["accuracy"] for row in rows if (row["role"], row["relation"], row["kind"]) == (role, relation, kind)]
        known = [accuracy for accuracy in own if accuracy is not None]
        found.append(
            {
                "role": role,
                "relation": relation,
                "kind": kind,
                "models": models,
                "accuracy, least": min(known, default=None),
                "accuracy, median": float(np.median(known)) if known else None,
                "accuracy, highest": max(known, default=None),
            }
        )
    return found


def _units(bench: Bench) -> Units:
    """Epochs over the share of the images that each network trains on, by its architecture."""
    if not bench.options["plan"]:
        return {}
    work: dict[str, float] = {}
    for job in _plan(bench).jobs:
        name = f"epochs of {job.architecture or 'the source'}"
        work[name] = work.get(name, 0.0) + job.recipe.epochs * job.recipe.share
    return work


POOL = StepKind(
    name="pool",
    options={"plan": "", "manifest": "", "epochs": 0, "share": 1.0},
    needs=lambda _options: (),
    run=_run,
    units=_units,
    paths=("plan", "manifest"),
    outside=_outside,
)
