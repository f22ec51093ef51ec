"""How alike a model's outputs for one image are to those for another: SAC (Guan, Liang & He, NeurIPS 2022).

Copies keep the pattern of these likenesses where their single answers have moved. From the paper: SAC-w asks images
that the source gets wrong, SAC-m two images put together by CutMix.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cae_core.arena.material import Material
from cae_core.arena.method import Answer, MethodKind, Needs
from cae_core.arena.queries import Queries
from cae_core.arrays import Floats64
from cae_core.errors import ModelError, OptionError
from cae_core.files.fields import check_choices
from cae_core.models import NO_ANSWER, Predictions
from cae_core.progress import StageProgress

__all__ = ["SAC", "SAC_CUTMIX", "SAC_CUTMIX_LABELS", "SAC_LABELS", "Correlations", "correlations", "cut_mixed"]

_TINY = 1e-12

_LEAST = 1e-7
"""Of a probability whose logarithm is taken: float32 tells no smaller ones apart beside 1."""


@dataclass(frozen=True, kw_only=True)
class Correlations:
    """Mean distance of a suspect's correlation matrix from the source's, its sign turned.

    Attributes:
        images: those that the source gets wrong, or two of different labels by CutMix.
        likeness: of two outputs: the cosine; the cosine of their logarithms less the mean, which are logits but for a
            constant; or a Gaussian of their distance.
        width: of the Gaussian, on the scale of probabilities.
        answers: of a suspect; of labels the outputs are 1 at the label and 0 elsewhere.
    """

    images: Literal["wrong", "cutmix"] = "wrong"
    likeness: Literal["cosine", "cosine-log", "gaussian"] = "cosine"
    width: float = 0.5
    answers: Answer = "probabilities"

    def __post_init__(self) -> None:
        check_choices(self)
        if self.width <= 0:
            raise OptionError(f"width must be above 0; found {self.width:g}.")

    @property
    def needs(self) -> Needs:
        """What ``answers`` says."""
        return Needs(answers=self.answers)

    def make(self, material: Material, budgets: Sequence[int], *, progress: StageProgress) -> Queries:  # noqa: ARG002
        """See `Method.make`; the source's outputs travel as the fact ``outputs``."""
        if self.images == "wrong":
            images = material.data.images[material.wrong("test")[: max(budgets)]]
        else:
            right = material.right("test")
            images = cut_mixed(
                material.data.images[right],
                material.data.labels[right],
                max(budgets),
                np.random.default_rng([material.seed, 5]),
            )
        told = material.source.predict(images)
        outputs = self._outputs(told, len(material.data.class_names))
        return Queries.in_order(images, told.labels, budgets, outputs=outputs)

    def score(self, queries: Queries, answers: Predictions) -> float:
        """Return -‖C_source - C_suspect‖₁ / n², at most 0."""
        source: NDArray[np.float64] = queries.facts["outputs"]
        if not len(queries):
            return 0.0
        theirs = self._outputs(answers, source.shape[1])
        return -float(np.abs(self._matrix(source) - self._matrix(theirs)).mean())

    def _matrix(self, outputs: Floats64) -> Floats64:
        return correlations(outputs, likeness=self.likeness, width=self.width)

    def _outputs(self, answers: Predictions, classes: int) -> Floats64:
        """Return the outputs (n, c); of a refusal all are 0."""
        if self.answers == "probabilities":
            if answers.probabilities is None:
                raise ModelError("SAC needs probabilities, and the source tells labels only. Name sac-labels instead.")
            return np.nan_to_num(answers.probabilities.astype(np.float64))
        told = np.zeros((len(answers.labels), classes))
        rows = np.flatnonzero(answers.labels != NO_ANSWER)
        told[rows, answers.labels[rows]] = 1
        return told


def correlations(outputs: Floats64, *, likeness: str, width: float) -> Floats64:
    """Return how alike each two of the outputs (n, c) are, (n, n), in [-1, 1]; see `Correlations`."""
    if likeness == "cosine-log":
        logits = np.log(np.maximum(outputs, _LEAST))
        outputs = logits - logits.mean(axis=1, keepdims=True)
    if likeness != "gaussian":
        length = np.sqrt(np.square(outputs).sum(axis=1, keepdims=True))
        unit = outputs / np.maximum(length, _TINY)
        return np.asarray(unit @ unit.T, np.float64)
    length = np.square(outputs).sum(axis=1)
    squares = np.maximum(length[:, np.newaxis] + length - 2 * outputs @ outputs.T, 0)
    return np.asarray(np.exp(-squares / (2 * width**2)), np.float64)


def cut_mixed(
    images: NDArray[np.uint8], labels: NDArray[np.int64], count: int, random: np.random.Generator
) -> NDArray[np.uint8]:
    """Return images with a box of another one of another label (CutMix, Yun et al. 2019), uint8 (count, h, w, k).

    The box covers a share of the image that is uniform in [0, 1], but for what lies outside it.

    Args:
        images: uint8 (n, h, w, k).
        labels: int64 (n,), of which at least two differ; else any other image is taken.
        count: how many.
        random: draws pairs and boxes.
    """
    height, width = images.shape[1:3]
    mixed = np.empty((count, *images.shape[1:]), np.uint8)
    for place in range(count):
        first = int(random.integers(len(images)))
        others = np.flatnonzero(labels != labels[first])
        second = int(random.choice(others if len(others) else np.arange(len(images))))
        side = np.sqrt(1 - random.random())
        y, x = (int(place) for place in random.integers([height, width]).tolist())
        top, low = max(0, int(y - side * height / 2)), min(height, int(y + side * height / 2))
        left, right = max(0, int(x - side * width / 2)), min(width, int(x + side * width / 2))
        mixed[place] = images[first]
        mixed[place, top:low, left:right] = images[second, top:low, left:right]
    return mixed


def _kind(name: str, words: str, **given: Any) -> MethodKind:  # noqa: ANN401 - the parameters differ
    likenesses: Mapping[str, Mapping[str, Any]] = {
        "cosine": {},
        "gaussian-0.5": {"likeness": "gaussian"},
        "gaussian-0.1": {"likeness": "gaussian", "width": 0.1},
        "gaussian-1": {"likeness": "gaussian", "width": 1.0},
        **({} if "answers" in given else {"cosine-log": {"likeness": "cosine-log"}}),
    }
    configurations = {each: {**table, **given} for each, table in likenesses.items()}
    return MethodKind(
        name=name, words=f"{words} (SAC, Guan et al. 2022)", build=Correlations, configurations=configurations
    )


_ONE_HOT = {"answers": "labels"}

SAC = _kind("sac", "correlation of outputs for images that the source gets wrong")
SAC_LABELS = _kind("sac-labels", "the same of labels", **_ONE_HOT)
SAC_CUTMIX = _kind("sac-cutmix", "correlation of outputs for images put together by CutMix", images="cutmix")
SAC_CUTMIX_LABELS = _kind("sac-cutmix-labels", "the same of labels", images="cutmix", **_ONE_HOT)
