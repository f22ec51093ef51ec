"""The state of a generation: everything that a resumed run needs to go on exactly where it was."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Labels
from cae_core.errors import GenerationError
from cae_core.files.storage import write_atomically
from cae_core.files.tensor_file import TensorFileError, pack_tensors, read_metadata, read_tensors
from cae_core.generation.seeds import SeedQueue
from cae_core.generation.unperturbed import Unperturbed
from cae_core.method.adam import AdamState, init_adam

__all__ = ["Accepted", "RunState", "load_checkpoint", "refuse_other_run", "save_checkpoint", "start_run"]

_FORMAT = 3
"""Of a checkpoint. Format 1, which did not name itself, lacks what was answered about every image of the data set;
format 2 the kinds of examples."""


@dataclass(frozen=True)
class Accepted:
    """The accepted examples so far.

    Attributes:
        position: int64 (n,), in the seed queue.
        images: uint8 (n, h, w, k).
        labels: int64 (n,).
        conferrability: float32 (n,).
        worth: float32 (n,), see `MemberGroups.worth`.
        start_step: int32 (n,).
        steps: int32 (n,).
    """

    position: Labels
    images: NDArray[np.uint8]
    labels: Labels
    conferrability: Floats32
    worth: Floats32
    start_step: NDArray[np.int32]
    steps: NDArray[np.int32]

    def __len__(self) -> int:
        return len(self.position)

    def extended(self, other: "Accepted") -> "Accepted":
        """Return these examples followed by ``other``."""
        fields = [f.name for f in dataclasses.fields(self)]
        return Accepted(*(np.concatenate([getattr(self, name), getattr(other, name)]) for name in fields))


@dataclass(frozen=True)
class RunState:
    """A generation between two steps.

    Attributes:
        queue: the seeds.
        step: the global step, which decides the dropout masks.
        next_seed: how many seeds have been taken from the queue, or passed over.
        position: int64 (b,), the queue position of each image in the active batch.
        start_step: int32 (b,), the global step at which each entered the batch.
        images: float32 (b, h, w, k), the images under search.
        adam: the optimiser's state of these images.
        accepted: the examples found.
        unperturbed: examples that are not searched, more than are wanted.
        skipped: how many seeds were passed over, because there were enough examples of their kind.
        unconfirmed: how many more there would be, had another implementation of a member's file answered the same.
    """

    queue: SeedQueue
    step: int
    next_seed: int
    position: Labels
    start_step: NDArray[np.int32]
    images: Floats32
    adam: AdamState
    accepted: Accepted = field(repr=False)
    unperturbed: Unperturbed = field(repr=False)
    skipped: int = 0
    unconfirmed: int = 0

    @property
    def seeds_tried(self) -> int:
        """How many seeds entered the search."""
        return self.next_seed - self.skipped


def start_run(queue: SeedQueue, image_shape: tuple[int, ...]) -> RunState:
    """Return the state before the first step: an empty batch, nothing accepted."""
    none64, none32 = np.zeros(0, np.int64), np.zeros(0, np.int32)
    empty = (0, *image_shape)
    none = np.zeros(0, np.float32)
    accepted = Accepted(none64, np.zeros(empty, np.uint8), none64, none, none, none32, none32)
    images, unperturbed = np.zeros(empty, np.float32), Unperturbed.none(image_shape)
    return RunState(queue, 0, 0, none64, none32, images, init_adam(empty), accepted, unperturbed)


def save_checkpoint(state: RunState, path: Path, *, run_id: str) -> None:
    """Write ``state`` atomically; ``run_id`` names the inputs it belongs to."""
    tensors = {**_flatten(state, ""), "format": np.asarray(_FORMAT)}  # of two metadata the file's order would vary
    write_atomically(path, pack_tensors(tensors, {"run_id": run_id}), mode=0o600)


def refuse_other_run(path: Path, *, run_id: str, replace: bool = False) -> None:
    """Refuse to begin where the state of a run with other inputs is kept, which may be hours of work.

    Args:
        path: where the state will be kept.
        run_id: of the run that begins.
        replace: whether another run's state may be given up.

    Raises:
        GenerationError: it is kept there, and may not; or ``path`` is another kind of file with tensors.
    """
    try:
        found = read_metadata(path).get("run_id")
    except (OSError, TensorFileError):  # nothing, or nothing to go on from
        return
    if found is None:
        raise GenerationError(
            f"{path}: the state of an interrupted run is kept under this name, and this file is of another kind. "
            "Name another output, or move it away."
        )
    if found != run_id and not replace:
        raise GenerationError(
            f"{path}: the state of an interrupted run with other settings, models or images is kept here. Give the "
            "command of that run again to finish it, or name another output; `cae generate --replace` discards it, "
            "and so does deleting the file."
        )


def load_checkpoint(path: Path, *, run_id: str) -> RunState | None:
    """Read a checkpoint back; None where there is none, or it is broken or belongs to other inputs.

    Raises:
        GenerationError: it belongs to these inputs, but another release kept it in another format.
    """
    try:
        metadata, tensors = read_tensors(path)
        if metadata.get("run_id") != run_id:
            return None
        _check_format(tensors["format"].item() if "format" in tensors else 1, path)
        _check_queue(tensors)
        queue: dict[str, Any] = {f.name: tensors[f"queue.{f.name}"] for f in dataclasses.fields(SeedQueue)}
        return RunState(
            queue=SeedQueue(**{**queue, **{name: queue[name].item() for name in ("source_accuracy", "errors")}}),
            step=tensors["step"].item(),
            next_seed=tensors["next_seed"].item(),
            position=tensors["position"],
            start_step=tensors["start_step"],
            images=tensors["images"],
            adam=AdamState(*(tensors[f"adam.{f.name}"] for f in dataclasses.fields(AdamState))),
            accepted=Accepted(*(tensors[f"accepted.{f.name}"] for f in dataclasses.fields(Accepted))),
            unperturbed=Unperturbed(*(tensors[f"unperturbed.{f.name}"] for f in dataclasses.fields(Unperturbed))),
            skipped=tensors["skipped"].item(),
            unconfirmed=tensors["unconfirmed"].item(),
        )
    except (OSError, KeyError, ValueError):  # a TensorFileError is one, and so is a shape that does not fit
        return None


def _check_format(found: int, path: Path) -> None:
    if found != _FORMAT:
        raise GenerationError(
            f"{path}: an interrupted run of another release is kept here, in format {found}, and this release reads "
            f"format {_FORMAT}. Delete the file to begin the run again, or finish it with the release that began it."
        )


def _check_queue(tensors: Mapping[str, NDArray[Any]]) -> None:
    """Refuse a queue whose parts do not belong together.

    Raises:
        ValueError: they have other lengths.
    """
    seeds = {tensors[f"queue.{name}"].shape for name in ("index", "original", "wanted")}
    images = {tensors[f"queue.{name}"].shape for name in ("source_labels", "references_right")}
    if len(seeds) > 1 or len(images) > 1:
        raise ValueError(f"queue {seeds}, {images}")


def _flatten(value: Any, prefix: str) -> dict[str, NDArray[Any]]:  # noqa: ANN401 - a tree of dataclasses
    tensors: dict[str, NDArray[Any]] = {}
    for entry in dataclasses.fields(value):
        item = getattr(value, entry.name)
        if dataclasses.is_dataclass(item):
            tensors |= _flatten(item, f"{prefix}{entry.name}.")
        else:
            tensors[prefix + entry.name] = np.asarray(item)
    return tensors
