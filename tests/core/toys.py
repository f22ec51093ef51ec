"""Tiny linear classifiers and their data: a whole generation in a fraction of a second, without a framework."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Floats64, Images, as_unit_float
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.groups import CalibrationModel, Group
from cae_core.calibration.record import Calibration
from cae_core.dataset import ImageSet
from cae_core.fingerprint.file import Fingerprint, LabelledImages
from cae_core.fingerprint.kinds import SOURCE_ERROR
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.white_boxes import WhiteBoxes
from cae_core.method.objectives.objective import Goal, Objective
from cae_core.models import Predictions, Pullback

SHAPE = (6, 6, 1)
PROVENANCE: dict[str, Any] = {
    "source": {"name": "source", "sha256": "00"},
    "surrogates": [{"name": "surrogate-0", "sha256": "01"}, {"name": "surrogate-1", "sha256": "02"}],
    "references": [{"name": "reference-0", "sha256": "03"}, {"name": "reference-1", "sha256": "04"}],
}


class LinearModel:
    """Logits = (image - 1/2) W, in float32; counts the images that it is asked for gradients."""

    def __init__(self, weights: NDArray[np.floating]) -> None:
        self.weights: Floats32 = np.asarray(weights, np.float32)
        self.asked = 0

    def logits(self, images: Images) -> Floats32:
        flat = as_unit_float(images).reshape(len(images), -1) - np.float32(0.5)
        return np.asarray(flat @ self.weights, np.float32)

    def predict(self, images: Images) -> Predictions:
        z = self.logits(images)
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return Predictions(z.argmax(axis=1).astype(np.int64), np.asarray(p / p.sum(axis=1, keepdims=True), np.float32))

    def vjp(self, images: Floats32) -> tuple[Floats32, Pullback]:
        self.asked += len(images)

        def pull_back(gradient: Floats32) -> Floats32:
            return np.asarray(gradient @ self.weights.T, np.float32).reshape(images.shape)

        return self.logits(images), pull_back


class ConstantModel(LinearModel):
    """Always answers the class 0."""

    def __init__(self, classes: int, shape: tuple[int, ...] = SHAPE) -> None:
        weights = np.zeros((int(np.prod(shape)), classes))
        super().__init__(weights)


class NaNModel(LinearModel):
    """Answers benign images properly and NaN in the search."""

    def vjp(self, images: Floats32) -> tuple[Floats32, Pullback]:
        logits, pull_back = super().vjp(images)
        return np.full_like(logits, np.nan), pull_back


@dataclass(frozen=True)
class World:
    """Pools and the data that they classify."""

    white_boxes: WhiteBoxes
    data: ImageSet


def make_world(classes: int = 4, images: int = 300, seed: int = 7, scale: float = 9.0) -> World:
    """Make a source, two surrogates of nearly its weights, and two references with oddities of their own."""
    random = np.random.default_rng(seed)
    size = int(np.prod(SHAPE))
    templates = random.standard_normal((size, classes))
    labels = random.permutation(np.arange(images, dtype=np.int64) % classes)
    pixels = 0.5 + 0.05 * templates.T[labels] + 0.02 * random.standard_normal((images, size))
    data = ImageSet(
        np.rint(np.clip(pixels, 0, 1) * 255).astype(np.uint8).reshape(images, *SHAPE),
        labels,
        tuple(f"class {j}" for j in range(classes)),
        "toy",
    )

    def independent() -> Floats64:
        return templates + 0.9 * random.standard_normal((size, classes))

    def member(weights: Floats64) -> LinearModel:
        return LinearModel(scale * weights / np.sqrt(size) * 2)

    own = independent()
    surrogates = [member(own + 0.1 * random.standard_normal(own.shape)) for _ in range(2)]
    references = [member(independent()) for _ in range(2)]
    names = ["source", "surrogate-0", "surrogate-1", "reference-0", "reference-1"]
    return World(WhiteBoxes(member(own), surrogates, references, names), data)


def quick_settings(**changes: Any) -> GenerationSettings:  # noqa: ANN401 - the fields have different types
    """Return settings that find examples among the toys within a few steps."""
    base: dict[str, Any] = {"eps": 0.2, "count": 12, "seed": 3, "iterations": 20, "batch": 8, "tau": 0.5}
    base["check_every"] = 0
    return GenerationSettings(**{**base, **changes})


@dataclass(frozen=True)
class LogitCase:
    """Random logits of all pools, float64, and a goal."""

    source: Floats64
    surrogates: Floats64
    references: Floats64
    goal: Goal

    @classmethod
    def draw(cls, seed: int, scale: float = 2.0) -> "LogitCase":
        random = np.random.default_rng(seed)
        n, c = int(random.integers(1, 4)), int(random.integers(2, 8))
        surrogates, references = (int(m) for m in random.integers(1, 5, 2))
        original = random.integers(0, c, n)
        return cls(
            scale * random.standard_normal((n, c)),
            scale * random.standard_normal((surrogates, n, c)),
            scale * random.standard_normal((references, n, c)),
            Goal(original, (original + 1) % c),
        )

    def evaluate(self, objective: Objective) -> Floats64:
        return objective(self.source, self.surrogates, self.references, self.goal).value

    def gradient_error(self, objective: Objective) -> float:
        """Return the largest error of the gradient against central differences, relative to its largest entry."""
        exact = objective(self.source, self.surrogates, self.references, self.goal)
        worst, largest = 0.0, 1e-3
        for name, gradient in (
            ("source", exact.source[np.newaxis]),
            ("surrogates", exact.surrogates),
            ("references", exact.references),
        ):
            worst = max(worst, float(np.abs(self._differences(objective, name, 1e-5) - gradient).max()))
            largest = max(largest, float(np.abs(gradient).max()))
        return worst / largest

    def _differences(self, objective: Objective, name: str, h: float) -> Floats64:
        """Return the central differences for the logits ``name``, (m, n, c), all in one batch of m c copies."""
        n, c = self.source.shape
        arrays = {"source": self.source[np.newaxis], "surrogates": self.surrogates, "references": self.references}
        m = len(arrays[name])
        copies = {key: np.tile(values, (1, m * c, 1)) for key, values in arrays.items()}
        goal = Goal(np.tile(self.goal.original, m * c), np.tile(self.goal.wanted, m * c))
        step = np.zeros((m, m * c, n, c))
        for copy in range(m * c):
            step[copy // c, copy, :, copy % c] = h
        moved = []
        for sign in (1, -1):
            at = {**copies, name: copies[name] + sign * step.reshape(m, m * c * n, c)}
            moved.append(objective(at["source"][0], at["surrogates"], at["references"], goal).value)
        return ((moved[0] - moved[1]) / (2 * h)).reshape(m, c, n).transpose(0, 2, 1)


def toy_fingerprint(n: int = 20, probes: int = 60, classes: int = 10, seed: int = 5, akh: int = 0) -> Fingerprint:
    """Return a fingerprint of random images; example i is marked by its first pixel, so that a suspect can cheat."""
    random = np.random.default_rng(seed)
    seeds = random.integers(0, 256, (n, 4, 4, 1)).astype(np.uint8)
    truth = random.integers(0, classes, n)
    others = np.random.default_rng([seed, akh])
    errors = LabelledImages(others.integers(0, 256, (akh, 4, 4, 1)).astype(np.uint8), others.integers(0, classes, akh))
    generation: dict[str, Any] = {
        "settings": {"eps": 0.1, "seed": seed},
        "source": {"name": "source", "accuracy": 0.9},
        **({SOURCE_ERROR.name: errors.described()} if akh else {}),
    }
    return Fingerprint(
        images=seeds ^ np.uint8(1),
        seeds=seeds,
        labels=(truth + 1) % classes,
        ground_truth=truth,
        conferrability=random.uniform(0.5, 1, n).astype(np.float32),
        start_step=np.zeros(n, np.int32),
        steps=np.full(n, 20, np.int32),
        probe_images=random.integers(0, 256, (probes, 4, 4, 1)).astype(np.uint8),
        probe_labels=random.integers(0, classes, probes),
        class_names=tuple(f"class {j}" for j in range(classes)),
        generation=generation,
        tools={"cae-fingerprint": "0.1.0"},
        further={SOURCE_ERROR.name: errors} if akh else {},
    )


def counted(fingerprint: Fingerprint, counts: Sequence[int], seed: int = 11) -> NDArray[np.bool_]:
    """Return bool (r, n): model i matches ``counts[i]`` examples, drawn at random."""
    random = np.random.default_rng(seed)
    return np.array([random.permutation(len(fingerprint)) < count for count in counts]).reshape(-1, len(fingerprint))


def toy_group(
    fingerprint: Fingerprint, matches: NDArray[np.bool_], name: str, *, wrong_probes: Sequence[int] | int = 0
) -> Group:
    """Return models that answer the source's label where ``matches`` (r, n), the truth elsewhere.

    Model i errs on the last ``wrong_probes[i]`` probes.
    """
    q = len(fingerprint.probe_images)
    wrong = np.broadcast_to(np.asarray(wrong_probes), len(matches))
    return Group(
        models=tuple(
            CalibrationModel(name=f"{name}-{i}", sha256=f"{name}{i:04d}", kind=f"kind of {name}", architecture="toy")
            for i in range(len(matches))
        ),
        answers=np.where(matches, fingerprint.labels, fingerprint.ground_truth),
        right=np.arange(q) < q - wrong[:, np.newaxis],
    )


def toy_calibration(
    fingerprint: Fingerprint,
    references: Sequence[int] | NDArray[np.bool_],
    surrogates: Sequence[int] | NDArray[np.bool_] = (),
    **changes: Any,  # noqa: ANN401 - the fields have different types
) -> Calibration:
    """Return a calibration on models with these numbers of matches, or these matches (r, n), all of them accurate."""
    groups = {"references": references, "surrogates": surrogates}
    matches = {
        name: found if isinstance(found, np.ndarray) else counted(fingerprint, found) for name, found in groups.items()
    }
    made: dict[str, Any] = {name: toy_group(fingerprint, found, name[:-1]) for name, found in matches.items()}
    made |= {"fingerprint_id": fingerprint.id, "fpr": 0.05, "fnr": 0.05, "chosen": np.ones(len(fingerprint), bool)}
    return Calibration(**{**made, **changes})


def paired(fingerprint: Fingerprint, calibration: Calibration | None = None) -> CalibratedFingerprint:
    """Return what suspects are examined by."""
    return CalibratedFingerprint(fingerprint=fingerprint, calibration=calibration)
