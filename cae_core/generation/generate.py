"""Generating a fingerprint: rank the seeds, search, accept, until there are enough examples or no seeds left."""

import math
import platform
import time
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core import version as release
from cae_core.arrays import Floats32, as_unit_float
from cae_core.dataset import ImageSet
from cae_core.errors import DataError, GenerationError
from cae_core.files.digests import digest_of
from cae_core.files.records import as_json
from cae_core.fingerprint.file import Fingerprint, LabelledImages
from cae_core.fingerprint.kinds import SOURCE_ERROR
from cae_core.generation.beginning import begin
from cae_core.generation.confirmation import confirmed_by_witnesses, witness_of
from cae_core.generation.probes import draw_probes, probes_drawn_before
from cae_core.generation.run_state import RunState, load_checkpoint, refuse_other_run, save_checkpoint
from cae_core.generation.search import Search
from cae_core.generation.seeds import SeedQueue
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.source_errors import choose_source_errors
from cae_core.generation.taken import taken_examples
from cae_core.generation.white_boxes import WhiteBoxes
from cae_core.progress import Progress, StageProgress, detail, say, silent, stage

__all__ = ["GenerationResult", "generate", "generation_inputs", "refuse_other_inputs"]

_SAVE_EVERY_S = 2.0
"""Least seconds between two checkpoints."""

_SAVE_SHARE = 0.01
"""The largest share of the time that checkpoints may take."""


@dataclass(frozen=True)
class GenerationResult:
    """A fingerprint and how it came about.

    Attributes:
        fingerprint: the examples, at most as many as were asked for.
        seeds_tried: how many seeds entered the search.
        steps: iterations of the whole batch.
        complete: whether as many examples as asked for were found.
        unconfirmed: how many images were dropped because a member's file, run by another implementation, gives them
            another label than the white box.
        unconfirmed_probes: how many benign probes were dropped for the same reason.
        resumed_with: how many examples an interrupted run had left, that this one went on from; None: it began anew.
    """

    fingerprint: Fingerprint
    seeds_tried: int
    steps: int
    complete: bool
    unconfirmed: int = 0
    unconfirmed_probes: int = 0
    resumed_with: int | None = None


def generate(
    white_boxes: WhiteBoxes,
    data: ImageSet,
    settings: GenerationSettings,
    *,
    provenance: Mapping[str, Any],
    checkpoint: Path | None = None,
    replace: bool = False,
    progress: Progress = silent,
) -> GenerationResult:
    """Generate a fingerprint of ``white_boxes.source``.

    Args:
        white_boxes: source and *generate* members.
        data: labelled benign images: the seeds and the probes.
        settings: see `GenerationSettings`.
        provenance: ``source``, ``surrogates`` and ``references`` as JSON holds them (names, SHA-256); part of the
            fingerprint's identity.
        checkpoint: file that lets an interrupted run go on where it was; for the caller to remove.
        replace: whether the state of a run with other inputs that is kept there is given up.
        progress: told of each stage.

    Raises:
        GenerationError: the source is no classifier of the data, or no example at all was accepted; or the checkpoint
            is of other inputs.
        PoolError: a pool is empty, a member does not fit the data, or a reference is the source or a surrogate.
        DataError: too few images.
    """
    if len(data) < 2:
        raise DataError(f"{data.name}: a fingerprint needs seeds and benign probes; found {len(data)} images.")
    inputs = generation_inputs(data, settings, provenance)
    run_id = digest_of(inputs)
    if checkpoint is not None:
        refuse_other_run(checkpoint, run_id=run_id, replace=replace)
    search = Search.prepare(white_boxes, data, settings)
    state = load_checkpoint(checkpoint, run_id=run_id) if checkpoint is not None else None
    resumed_with = None if state is None else len(state.accepted)
    if state is None:
        state = begin(search, progress=progress)
    else:
        found, tried = len(state.accepted) + len(state.unperturbed), state.seeds_tried
        say(progress, f"an interrupted run goes on: {found} of {settings.count} examples from {tried} seeds so far.")
    state = _search(search, state, checkpoint=checkpoint, run_id=run_id, progress=progress)
    if checkpoint is not None:  # the caller removes it once the fingerprint is safely written
        save_checkpoint(state, checkpoint, run_id=run_id)
    if not len(state.accepted) + len(state.unperturbed):
        if checkpoint is not None:  # this run was through, and would end no other way
            checkpoint.unlink(missing_ok=True)
        raise _without_examples(state, settings)
    fingerprint, dropped = _collect(search, state, inputs, progress)
    complete = len(fingerprint) >= settings.count
    return GenerationResult(
        fingerprint, state.seeds_tried, state.step, complete, state.unconfirmed, dropped, resumed_with
    )


def generation_inputs(data: ImageSet, settings: GenerationSettings, provenance: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a generation starts from, as JSON holds it and as a fingerprint names it."""
    return {
        "settings": as_json(settings),
        "data": data.described(),
        **provenance,
    }


def refuse_other_inputs(
    checkpoint: Path, data: ImageSet, settings: GenerationSettings, provenance: Mapping[str, Any]
) -> None:
    """Refuse a generation whose ``checkpoint`` is of other inputs, as `generate` would once the models are open.

    Raises:
        GenerationError: it is.
    """
    if checkpoint.exists():
        refuse_other_run(checkpoint, run_id=digest_of(generation_inputs(data, settings, provenance)))


def _search(
    search: Search,
    state: RunState,
    *,
    checkpoint: Path | None,
    run_id: str,
    progress: Progress,
) -> RunState:
    course = _Course(search, progress)
    due = -math.inf  # so that the ranking, which is not repeated, is saved at once
    try:
        while not search.finished(state):
            state = search.refill(state)
            if not len(state.position):
                break
            moved, _ = search.step(state)
            state = search.turn_over(moved, seen=course.see)
            course.tell(state)
            if checkpoint is not None and (now := time.monotonic()) >= due:
                save_checkpoint(state, checkpoint, run_id=run_id)
                due = now + max(_SAVE_EVERY_S, (time.monotonic() - now) / _SAVE_SHARE)
    except KeyboardInterrupt:
        if checkpoint is not None:
            save_checkpoint(state, checkpoint, run_id=run_id)
        raise
    return state


def _without_examples(state: RunState, settings: GenerationSettings) -> GenerationError:
    return GenerationError(
        f"None of {state.seeds_tried} seeds became an example (tau {settings.tau:g}, eps {settings.eps:g}). "
        "Lower --tau, raise --eps or --iterations, or add surrogates and references."
    )


class _Course:
    """Says how a search goes: a count of examples alone does not tell a slow one from a hopeless one."""

    def __init__(self, search: Search, progress: Progress) -> None:
        self._settings, self._progress, self._best = search.settings, progress, 0.0

    def see(self, conferrability: Floats32) -> None:
        """Remember the best of what was judged."""
        self._best = max(self._best, float(conferrability.max(initial=0.0)))

    def tell(self, state: RunState) -> None:
        """Tell how many examples there are, and what led to them."""
        wanted, queue = self._settings.count, len(state.queue)
        seeds = queue if self._settings.max_seeds is None else min(queue, self._settings.max_seeds)
        best = max(self._best, float(state.accepted.conferrability.max(initial=0.0)))
        found = len(state.accepted) + len(state.unperturbed)
        told = f"best conferrability {best:.3f}, wanted {self._settings.tau:g}" if best else "no label has turned yet"
        detail(self._progress, "searching", f"{state.seeds_tried} of {seeds} seeds tried, step {state.step}, {told}")
        self._progress("searching", min(found, wanted), wanted)


def _collect(search: Search, state: RunState, inputs: dict[str, Any], progress: Progress) -> tuple[Fingerprint, int]:
    """Return the fingerprint, and how many probes another implementation of a member's file did not confirm."""
    data, settings, found = search.data, search.settings, taken_examples(search, state)
    drawn = probes_drawn_before(data, settings)
    drawn = drawn if len(drawn) else draw_probes(data, found.index, settings.seed)
    probes = drawn[_confirmed(search, data.images[drawn], stage(progress, "confirming probes"))]
    generation = {**inputs, "source": {**inputs["source"], "accuracy": state.queue.source_accuracy}}
    errors = _choose_source_errors(search, state.queue, np.concatenate([found.index, probes]))
    if len(errors):
        generation[SOURCE_ERROR.name] = errors.described()
    fingerprint = Fingerprint(
        images=found.images,
        seeds=data.images[found.index],
        labels=found.labels,
        ground_truth=data.labels[found.index],
        conferrability=found.conferrability,
        start_step=found.start_step,
        steps=found.steps,
        probe_images=data.images[probes],
        probe_labels=data.labels[probes],
        class_names=data.class_names,
        generation=generation,
        tools={
            "cae-fingerprint": release.__version__,
            "numpy": np.__version__,
            "safetensors": metadata.version("safetensors"),
            "python": platform.python_version(),
        },
        further={SOURCE_ERROR.name: errors} if len(errors) else {},
        example_kind=found.kind if found.kind.any() else None,
        seed_index=found.index,
    )
    return fingerprint, len(drawn) - len(probes)


def _confirmed(search: Search, images: NDArray[np.uint8], progress: StageProgress) -> NDArray[np.bool_]:
    models = search.white_boxes.models
    if all(witness_of(model) is None for model in models):
        return np.ones(len(images), np.bool_)
    everyone = np.ones(len(models), np.bool_)
    parts = [images[i : i + search.settings.batch] for i in range(0, len(images), search.settings.batch)]
    confirmed: list[NDArray[np.bool_]] = []
    for part in parts:
        detail(progress, "confirming probes", "asking each model's file, run by another implementation")
        logits = search.judging.vjp(as_unit_float(part), everyone)[0]
        confirmed.append(confirmed_by_witnesses(models, part, logits))
        progress(len(confirmed), len(parts))
    return np.concatenate(confirmed)


def _choose_source_errors(search: Search, queue: SeedQueue, taken: NDArray[np.int64]) -> LabelledImages:
    settings, data = search.settings, search.data
    if not settings.akh:
        return LabelledImages(data.images[:0], np.zeros(0, np.int64))
    references = len(search.white_boxes.references)
    index, labels = choose_source_errors(
        queue, data.labels, settings.akh, references=references, without=taken, seed=settings.seed
    )
    return LabelledImages(data.images[index], labels)
