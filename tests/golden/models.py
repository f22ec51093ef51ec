"""Models whose answers are the same on every machine: linear in whole numbers, and a little dishonest on demand.

A file is JSON: ``weights`` (pixels, classes) in whole numbers, and how it answers. Scores are 64-bit integers, so that
no order of summation matters; the probability of a class depends on its place among the scores alone.
"""

import hashlib
import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.models import NO_ANSWER, Model, Predictions, Pullback

__all__ = ["ExactLoader", "ExactModel", "whole_numbers", "write_model"]

_GREY = 128
_SCALE = 2.0**-15
"""A power of two, so that a logit is exactly its score times it."""

_SHARES = (577, 251, 113, 59, 24)
"""Probabilities of the largest score, the next one and so on, in 1024ths: there are at most five classes."""


def whole_numbers(name: str, count: int) -> NDArray[np.int64]:
    """Return ``count`` numbers of -128 .. 127 that follow from ``name`` alone, whatever release of NumPy draws."""
    return np.frombuffer(hashlib.shake_256(name.encode()).digest(count), np.int8).astype(np.int64)


def write_model(path: Path, weights: NDArray[np.int64], **manner: Any) -> None:  # noqa: ANN401 - whatever JSON holds
    """Write a model's file; ``manner`` changes its answers, see `ExactModel`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"weights": weights.tolist(), **manner}, sort_keys=True))


@dataclass(frozen=True)
class ExactModel:
    """Scores (levels - 128) W in whole numbers.

    Attributes:
        weights: int64 (pixels, classes).
        labels_only: whether it keeps its probabilities to itself.
        always: the class that it answers whatever it is asked.
        refuses: the share of images, in 256ths, that it does not answer.
        random: likewise, that it answers by chance.
        beyond: only images with a level that is farther from grey are refused, or answered by chance.
        forgets: whether it answers an image otherwise when it is asked again.
        runtime: see `Model`.
        asked: how often each image was, by its bytes.
    """

    weights: NDArray[np.int64]
    labels_only: bool = False
    always: int | None = None
    refuses: int = 0
    random: int = 0
    beyond: int = -1
    forgets: bool = False
    runtime: str = "exact 1"
    asked: Counter[bytes] = field(default_factory=Counter)

    def predict(self, images: NDArray[Any]) -> Predictions:
        """See `Model.predict`."""
        levels, scores = self._scores(images)
        places = np.argsort(np.argsort(-scores, axis=1, kind="stable"), axis=1, kind="stable")
        shares = np.array(_SHARES, np.float32)[places] / np.float32(1024)
        labels = places.argmin(axis=1).astype(np.int64)
        if self.always is not None or self.refuses or self.random or self.forgets:
            told = [self._answer(one, best) for one, best in zip(levels, labels.tolist(), strict=True)]
            labels = np.array(told, np.int64)
        return Predictions(labels, None if self.labels_only else shares)

    def vjp(self, images: NDArray[np.float32]) -> tuple[NDArray[np.float32], Pullback]:
        """See `DifferentiableModel.vjp`: the slope is that of the scores without the rounding to levels."""
        shape = images.shape

        def pull_back(gradient: NDArray[np.float32]) -> NDArray[np.float32]:
            total = np.zeros((shape[0], len(self.weights)))
            for column in range(gradient.shape[1]):  # one class after the other: no library chooses the order
                total += gradient[:, column, np.newaxis].astype(np.float64) * self.weights[:, column]
            return (total * (255 * _SCALE)).astype(np.float32).reshape(shape)

        return (self._scores(images)[1] * _SCALE).astype(np.float32), pull_back

    def _scores(self, images: NDArray[Any]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        flat = images.reshape(len(images), -1)
        levels = flat if flat.dtype == np.uint8 else np.rint(flat.astype(np.float64) * 255)
        return levels.astype(np.int64), (levels.astype(np.int64) - _GREY) @ self.weights

    def _answer(self, levels: NDArray[np.int64], best: int) -> int:
        drawn, classes = hashlib.sha256(levels.tobytes()).digest(), len(self.weights[0])
        self.asked[levels.tobytes()] += 1
        odd = int(np.abs(levels - _GREY).max()) > self.beyond
        if self.always is not None:
            return self.always
        if odd and drawn[0] < self.refuses:
            return NO_ANSWER
        if odd and drawn[1] < self.random:
            return drawn[2] % classes
        return (best + self.asked[levels.tobytes()] - 1) % classes if self.forgets else best


@dataclass(frozen=True)
class ExactLoader:
    """Opens ``.exact`` files, and ``.program`` files as if opening them ran code."""

    name: str = "exact"
    suffixes: tuple[str, ...] = (".exact", ".program")
    folders: tuple[str, ...] = ("exact_model.json",)
    schemes: tuple[str, ...] = ()
    gradients: bool = True
    runs_code: tuple[str, ...] = (".program",)
    refused: Mapping[str, str] = field(default_factory=lambda: {".pickle": "a pickle runs code. Export it."})

    def open(self, spec: str, *, contract: Contract | None, device: str) -> Model:  # noqa: ARG002 - the protocol
        """See `Loader.open`."""
        try:
            content: dict[str, Any] = json.loads(Path(spec).read_bytes())
            return ExactModel(np.array(content.pop("weights"), np.int64), **content)
        except (ValueError, KeyError) as error:
            raise ModelError(f"{spec}: this is no exact model. Write it again.") from error
