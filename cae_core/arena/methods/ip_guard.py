"""Points near the source's decision boundary: IPGuard (Cao, Jia & Gong, AsiaCCS 2021), from the paper."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cae_core.arena.matching import Matching
from cae_core.arena.material import Material
from cae_core.arena.method import MethodKind
from cae_core.arena.queries import Queries
from cae_core.arrays import Floats32, Labels, as_unit_float
from cae_core.errors import GenerationError, OptionError
from cae_core.files.fields import check_choices
from cae_core.method.adam import AdamState, adam_step, init_adam
from cae_core.models import DifferentiableModel
from cae_core.progress import StageProgress

__all__ = ["IPGUARD", "BoundaryPoints", "boundary_loss", "to_boundary"]

_BATCH = 100


@dataclass(frozen=True, kw_only=True)
class BoundaryPoints(Matching):
    """Images moved to where the source is between two labels, with the label that it gives them there.

    Attributes:
        k: by how much the target's logit is to exceed that of the first label, in logits; the paper takes 10.
        target: the label on the other side: the least likely one of the image, as in the paper, or one at random.
        rate: Adam's learning rate.
        steps: how many at most.
    """

    k: float = 10.0
    target: Literal["least", "random"] = "least"
    rate: float = 0.001
    steps: int = 1000

    def __post_init__(self) -> None:
        check_choices(self)
        if self.k < 0 or self.rate <= 0 or self.steps < 1:
            raise OptionError("k must be at least 0, rate above 0, and steps at least 1.")

    def make(self, material: Material, budgets: Sequence[int], *, progress: StageProgress) -> Queries:
        """See `Method.make`."""
        wanted, seeds = max(budgets), material.places("test")
        random = np.random.default_rng([material.seed, 4])
        found, have = list[NDArray[np.uint8]](), 0
        for start in range(0, min(len(seeds), 2 * wanted), _BATCH):  # at most twice as many are tried as are wanted
            part = material.data.images[seeds[start : start + _BATCH]]
            moved, reached = self._moved(material.source, as_unit_float(part), random)
            found.append(np.rint(moved[reached] * 255).astype(np.uint8))
            have += int(reached.sum())
            progress(min(have, wanted), wanted)
            if have >= wanted:
                break
        if not have:
            raise GenerationError(f"No image reached the source's boundary (k {self.k:g}, {self.steps} steps).")
        images = np.concatenate(found)[:wanted]
        return Queries.in_order(images, material.source.predict(images).labels, budgets)

    def _moved(
        self, model: DifferentiableModel, images: Floats32, random: np.random.Generator
    ) -> tuple[Floats32, NDArray[np.bool_]]:
        logits = model.vjp(images)[0]
        first = logits.argmax(axis=1).astype(np.int64)
        if self.target == "least":
            second = logits.argmin(axis=1).astype(np.int64)
        else:
            classes = logits.shape[1]
            second = (first + random.integers(1, classes, len(first))) % classes
        return to_boundary(model, images, first, second, k=self.k, rate=self.rate, steps=self.steps)


def to_boundary(
    model: DifferentiableModel, images: Floats32, first: Labels, second: Labels, *, k: float, rate: float, steps: int
) -> tuple[Floats32, NDArray[np.bool_]]:
    """Move each image by Adam until its `boundary_loss` is 0; there it rests.

    Args:
        model: white box.
        images: float32 (n, h, w, k), where they start.
        first: int64 (n,), i, the label of each image.
        second: int64 (n,), j, that of the other side.
        k: see `boundary_loss`.
        rate: Adam's.
        steps: at most.

    Returns:
        The images, and which of them have arrived, bool (n,).
    """
    moved, state = images.copy(), init_adam(images.shape)
    open_ = np.arange(len(images))
    for _ in range(steps):
        logits, pull_back = model.vjp(moved[open_])
        loss, gradient = boundary_loss(logits, first[open_], second[open_], k=k)
        going = ~(loss <= 0)  # what is no number has not arrived
        change, after = adam_step(_rows(state, open_), pull_back(gradient), rate)
        state.first[open_], state.second[open_], state.steps[open_] = after.first, after.second, after.steps
        open_ = open_[going]
        if not len(open_):
            break
        moved[open_] = np.clip(moved[open_] + change[going], 0, 1)
    arrived = np.ones(len(images), bool)
    arrived[open_] = False
    return moved, arrived


def boundary_loss(logits: Floats32, first: Labels, second: Labels, *, k: float) -> tuple[Floats32, Floats32]:
    """Return the paper's Equation 5, ReLU(Z_i - Z_j + k) + ReLU(max_{t≠i,j} Z_t - Z_i), (n,), and its gradient (n, c).

    Args:
        logits: float32 (n, c).
        first: int64 (n,), i.
        second: int64 (n,), j.
        k: how far beyond the boundary.
    """
    rows = np.arange(len(first))
    others = np.array(logits, np.float32)
    others[rows, first] = others[rows, second] = -np.inf
    third = others.argmax(axis=1)
    beyond = np.maximum(logits[rows, first] - logits[rows, second] + np.float32(k), 0)
    above = np.maximum(others[rows, third] - logits[rows, first], 0)
    gradient = np.zeros_like(logits)
    gradient[rows, first] = (beyond > 0).astype(np.float32) - (above > 0)
    gradient[rows, second] = -(beyond > 0).astype(np.float32)
    gradient[rows, third] += (above > 0).astype(np.float32)
    return np.asarray(beyond + above, np.float32), gradient


def _rows(state: AdamState, index: NDArray[np.int64]) -> AdamState:
    return AdamState(state.first[index], state.second[index], state.steps[index])


def _at(*margins: float, **more: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401 - the parameters differ
    return {f"k-{k:g}{'-random' if more else ''}": {"k": k, **more} for k in margins}


IPGUARD = MethodKind(
    name="ipguard",
    words="points near the decision boundary (IPGuard, Cao et al. 2021)",
    build=BoundaryPoints,
    configurations={**_at(10.0, 0.1, 1.0, 5.0, 20.0), **_at(1.0, 5.0, 10.0, target="random")},
)
