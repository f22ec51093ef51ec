"""How many seeds the source labels otherwise after so many iterations of a search, whatever the pools say of them.

One batch of seeds is searched from its first to its last iteration; no image leaves it as an example.
"""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cae_core.errors import StudyError
from cae_core.generation.beginning import begin
from cae_core.generation.search import Search
from cae_core.generation.white_boxes import open_white_boxes
from cae_core.pool.members import OpenPool
from cae_core.progress import stage
from cae_study.bench import Bench
from cae_study.kinds.fingerprint import FINGERPRINT, generation_members, seeds_of, settings_of
from cae_study.step import Options, Result, Row, StepKind, Units

__all__ = ["LABEL_CHANGES"]


def _run(bench: Bench) -> Result:
    rows = list(_changes(bench))
    settings = settings_of(bench.options, bench.seed)
    summary = {
        "search": bench.step.name,
        "eps": round(settings.eps, 4),
        "rate": f"{settings.step_size:.2g}",  # a table would round it to nothing
        "seeds": rows[0]["seeds"],
        **{f"after {row['iteration']}": row["changed"] for row in rows},
    }
    return {"summary": [summary], "iterations": rows}


def _changes(bench: Bench) -> Iterator[Row]:
    """Yield a row after every so many iterations: an image is asked as a suspect would be, rounded to 8 bits."""
    settings, every = settings_of(bench.options, bench.seed), bench.options["every"]
    members, data = generation_members(bench, bench.options["pool"], bench.options["members"]), seeds_of(bench)
    white_boxes = open_white_boxes(
        members,
        opened=OpenPool(device=bench.device),
        images=data.images,
        progress=stage(bench.progress, "opening models"),
    )
    search = Search.prepare(white_boxes, data, settings)
    state = search.refill(begin(search, progress=bench.progress))
    seeds, first = search.seeds_of(state, state.position), state.queue.original[state.position]
    for iteration in range(1, settings.iterations + 1):
        state, _ = search.step(state)
        bench.progress("searching", iteration, settings.iterations)
        if iteration % every == 0 or iteration == settings.iterations:
            labels = white_boxes.source.predict(search.ball.quantise(state.images, seeds)).labels
            changed = int((labels != first).sum())
            yield {"search": bench.step.name, "iteration": iteration, "seeds": len(seeds), "changed": changed}


def _outside(options: Options, _folder: Path) -> Any:  # noqa: ANN401 - JSON
    """Refuse settings before any work, and name the result by all of them."""
    settings = settings_of(options, 0)
    if settings.mixed:
        raise StudyError(
            "Label changes are those of seeds that the source gets right; with such settings it searches others. "
            "Choose another preset, or natural = 0, blends = 0, errors = 0 without label_quota."
        )
    if options["every"] < 1:
        raise StudyError(f"every must be a number of iterations, at least 1; found {options['every']}.")
    return dataclasses.asdict(settings)


def _units(bench: Bench) -> Units:
    settings = settings_of(bench.options, bench.seed)
    seeds = min(settings.batch, settings.max_seeds or settings.batch)
    return {f"search around {bench.options['pool']}": float(seeds * settings.iterations)}


LABEL_CHANGES = StepKind(
    name="label-changes",
    options={**FINGERPRINT.options, "preset": "report-code", "every": 10},
    needs=FINGERPRINT.needs,
    run=_run,
    units=_units,
    outside=_outside,
)
