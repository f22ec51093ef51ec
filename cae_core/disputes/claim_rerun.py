"""Replaying some of a claim's examples: does the recorded search lead from their seeds to these images?

An image's path depends on its seed, on the models and on the dropout masks, which are a function of the recorded seed
and the global step; not on the other images of its batch. So the search is run again for a few images only, each over
the global steps that the record names. It takes the claimant's *generate* pool, and it decides nothing.
"""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, as_unit_float
from cae_core.dataset import ImageSet
from cae_core.disputes.claim import claimed_settings
from cae_core.disputes.seal import pool_digests
from cae_core.errors import PoolError, VerdictError
from cae_core.fingerprint.example_kinds import EXAMPLE_KINDS
from cae_core.fingerprint.file import Fingerprint
from cae_core.generation.acceptance import accept
from cae_core.generation.run_state import start_run
from cae_core.generation.search import Search
from cae_core.generation.seeds import SeedQueue, wanted_labels
from cae_core.generation.white_boxes import WhiteBoxes
from cae_core.method.adam import AdamState, init_adam
from cae_core.pool.manifest import PoolMember
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import GenerationMembers
from cae_core.progress import Progress, silent

__all__ = ["ClaimRerun", "ExampleRerun", "claimed_members", "rerun_claim", "sample_examples"]

_CONFERRABILITY, _PIXELS, _LEVELS = 1e-2, 0.95, 1
# An example passes within this conferrability, with this share of its pixel values within so many levels: other
# processors and versions of a framework round differently, and Adam makes small differences larger.


@dataclass(frozen=True)
class ExampleRerun:
    """One example, replayed.

    Attributes:
        index: in the fingerprint.
        label_agrees: whether the source gives the replayed image the claimed label.
        conferrability_difference: between the replayed image's and the claimed.
        pixels: share of the pixel values within one level of the claimed image.
    """

    index: int
    label_agrees: bool
    conferrability_difference: float
    pixels: float

    @property
    def passed(self) -> bool:
        """Whether the record leads to this example."""
        return self.label_agrees and self.conferrability_difference <= _CONFERRABILITY and self.pixels >= _PIXELS

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`."""
        return {**vars(self), "passed": self.passed}


@dataclass(frozen=True)
class ClaimRerun:
    """The replayed examples, at least one; they decide nothing."""

    examples: tuple[ExampleRerun, ...]

    @property
    def passed(self) -> int:
        """How many passed."""
        return sum(example.passed for example in self.examples)

    @property
    def largest_conferrability_difference(self) -> float:
        """Of any example."""
        return max(example.conferrability_difference for example in self.examples)

    @property
    def least_pixels_within_one_level(self) -> float:
        """The least share of any example."""
        return min(example.pixels for example in self.examples)

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: with the worst figures."""
        return {
            "examples": len(self.examples),
            "passed": self.passed,
            "consistent": self.passed == len(self.examples),
            "labels_agree": sum(example.label_agrees for example in self.examples),
            "largest_conferrability_difference": self.largest_conferrability_difference,
            "least_pixels_within_one_level": self.least_pixels_within_one_level,
            "of": self.examples,
        }


def sample_examples(fingerprint: Fingerprint, count: int, *, nonce: bytes) -> NDArray[np.int64]:
    """Draw the examples to replay, of those that were searched, by the judge's nonce; all where there are fewer."""
    order = np.random.default_rng(list(nonce)).permutation(len(fingerprint))
    searched = np.array([kind.searched for kind in EXAMPLE_KINDS])[fingerprint.example_kinds]
    return np.sort(order[searched[order]][:count]).astype(np.int64)


def claimed_members(
    fingerprint: Fingerprint, source: PoolMember, members: Sequence[PoolMember], *, opened: OpenPool | None = None
) -> GenerationMembers:
    """Return the models that the claim names, in its order: the dropout masks go by it.

    What the claimant's manifest trusts is never believed: none of its members may be of a form whose opening runs code.

    Args:
        fingerprint: the claimant's.
        source: the claimed one, as the judge has it.
        members: of the claimant's pool, among which they are looked for.
        opened: what the case has hashed already.

    Raises:
        PoolError: one is not among them.
    """
    named, surrogates, references = pool_digests(fingerprint)
    opened = opened or OpenPool()
    by_digest = {opened.digest(member): dataclasses.replace(member, trusted=False) for member in members}
    missing = [digest for digest in (*surrogates, *references) if digest not in by_digest]
    if named != opened.digest(source) or missing:
        raise PoolError(
            f"The claimant's pool lacks {len(missing)} of the {len(surrogates) + len(references)} models that the "
            "claim names, by SHA-256. Ask for the pool that it was generated with, or judge without a replay."
        )
    return GenerationMembers(
        source=source,
        surrogates=[by_digest[digest] for digest in surrogates],
        references=[by_digest[digest] for digest in references],
    )


def rerun_claim(
    fingerprint: Fingerprint,
    white_boxes: WhiteBoxes,
    index: NDArray[np.int64],
    *,
    progress: Progress = silent,
) -> ClaimRerun:
    """Search again for the examples at ``index``, from their seeds, at their recorded steps.

    Args:
        fingerprint: the claimant's.
        white_boxes: the claimed source and the claimant's pool, in the claim's order.
        index: int64 (a,), at least one.
        progress: told of the steps.

    Raises:
        VerdictError: the recorded steps are impossible.
        PoolError: a member does not fit the images.
    """
    start, steps = fingerprint.start_step[index], fingerprint.steps[index]
    settings = claimed_settings(fingerprint)
    if (start < 0).any() or (steps < 1).any() or (steps > settings.iterations).any():
        raise VerdictError(
            f"The claim's examples took 1 to {settings.iterations} steps each, by its own settings; the record says "
            f"{int(steps.min())} to {int(steps.max())}, from step {int(start.min())} on. There is nothing to replay."
        )
    seeds = ImageSet(fingerprint.seeds[index], fingerprint.ground_truth[index], fingerprint.class_names, "the claim")
    wanted = wanted_labels(white_boxes, seeds.images, seeds.labels, classes=len(seeds.class_names))
    search = Search.prepare(white_boxes, seeds, settings)
    queue = SeedQueue(np.arange(len(index), dtype=np.int64), seeds.labels, wanted, 1.0)
    images = search.ball.quantise(_searched(search, queue, start, steps, progress), seeds.images)
    judged = accept(
        images,
        white_boxes=white_boxes,
        ensemble=search.judging,
        original=seeds.labels,
        ground_truth=seeds.labels,
        tau=settings.tau,
        min_margin=settings.min_margin,
    )
    levels = np.abs(images.astype(np.int64) - fingerprint.images[index].astype(np.int64))
    return ClaimRerun(
        tuple(
            ExampleRerun(
                index=int(i),
                label_agrees=bool(judged.labels[row] == fingerprint.labels[i]),
                conferrability_difference=abs(float(judged.conferrability[row] - fingerprint.conferrability[i])),
                pixels=float((levels[row] <= _LEVELS).mean()),
            )
            for row, i in enumerate(index.tolist())
        )
    )


def _searched(
    search: Search, queue: SeedQueue, start: NDArray[np.int32], steps: NDArray[np.int32], progress: Progress
) -> Floats32:
    """Return the images, float32 (a, h, w, k), each after its own ``steps`` from its own ``start`` on."""
    images = as_unit_float(search.data.images)
    adam, before = init_adam(images.shape), start_run(queue, images.shape[1:])
    first, last = start.astype(np.int64), start.astype(np.int64) + steps
    # only the steps at which one of them was searched: the record may name any number as the first
    todo = {step for a, b in zip(first.tolist(), last.tolist(), strict=True) for step in range(a, b)}
    for done, step in enumerate(sorted(todo), start=1):
        active = np.flatnonzero((first <= step) & (step < last)).astype(np.int64)
        state = dataclasses.replace(
            before,
            step=step,
            position=active,
            start_step=start[active],
            images=images[active],
            adam=AdamState(adam.first[active], adam.second[active], adam.steps[active]),
        )
        moved, _ = search.step(state)
        images[active] = moved.images
        adam.first[active], adam.second[active] = moved.adam.first, moved.adam.second
        adam.steps[active] = moved.adam.steps
        progress("replaying", done, len(todo))
    return images
