"""Ordinary adversarial examples of the source as fingerprints: a copy is to be deceived as the source is."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cae_core.arena.attacks import carlini_wagner, fast_gradient, iterated_gradient
from cae_core.arena.matching import Matching
from cae_core.arena.material import Material
from cae_core.arena.method import MethodKind
from cae_core.arena.queries import Queries
from cae_core.arrays import Floats32, Labels, as_unit_float
from cae_core.errors import GenerationError, OptionError
from cae_core.files.fields import check_choices
from cae_core.method.ball import Ball
from cae_core.models import DifferentiableModel
from cae_core.progress import StageProgress

__all__ = ["BIM", "CW", "FGM", "PGD", "PGD_L2", "Adversarial", "CarliniWagner", "FastGradient", "IteratedGradient"]

_BATCH = 100


@dataclass(frozen=True, kw_only=True)
class Adversarial(Matching):
    """Images that the source gets right, moved until it gets them wrong, rounded to 8 bits.

    Attributes:
        eps: radius, on the scale [0, 1].
        norm: of the ball.
        most_seeds: how many images are tried.
    """

    eps: float = 8 / 255
    norm: Literal["linf", "l2"] = "linf"
    most_seeds: int = 2000

    def __post_init__(self) -> None:
        check_choices(self)
        if self.most_seeds < 1:
            raise OptionError(f"most_seeds must be at least 1; found {self.most_seeds}.")
        self.ball()

    def ball(self) -> Ball:
        """Return the ball that each image stays in."""
        return Ball(self.eps, self.norm)

    @abstractmethod
    def moved(
        self, model: DifferentiableModel, seeds: Floats32, labels: Labels, random: np.random.Generator
    ) -> Floats32:
        """Return the seeds, float32 (n, h, w, k), moved away from their labels (n,)."""

    def make(self, material: Material, budgets: Sequence[int], *, progress: StageProgress) -> Queries:
        """See `Method.make`."""
        wanted = max(budgets)
        images, labels = list[NDArray[np.uint8]](), list[Labels]()
        for found, told in self._deceiving(material):
            images.append(found)
            labels.append(told)
            have = sum(map(len, labels))
            progress(min(have, wanted), wanted)
            if have >= wanted:
                break
        if not sum(map(len, labels)):
            raise GenerationError(f"No image became an adversarial example of the source (eps {self.eps:g}).")
        return Queries.in_order(np.concatenate(images)[:wanted], np.concatenate(labels)[:wanted], budgets)

    def _deceiving(self, material: Material) -> Iterator[tuple[NDArray[np.uint8], Labels]]:
        """Yield adversarial examples, uint8 (n, h, w, k), and the source's labels of them, batch by batch."""
        seeds = material.right("test")[: self.most_seeds]
        random = np.random.default_rng([material.seed, 3])
        for start in range(0, len(seeds), _BATCH):
            part = seeds[start : start + _BATCH]
            images, truth = material.data.images[part], material.data.labels[part]
            moved = self.ball().quantise(self.moved(material.source, as_unit_float(images), truth, random), images)
            labels = material.source.predict(moved).labels
            yield moved[labels != truth], labels[labels != truth]


@dataclass(frozen=True, kw_only=True)
class FastGradient(Adversarial):
    """One step of the radius."""

    def moved(
        self,
        model: DifferentiableModel,
        seeds: Floats32,
        labels: Labels,
        random: np.random.Generator,  # noqa: ARG002
    ) -> Floats32:
        """See `Adversarial.moved`."""
        return fast_gradient(model, seeds, labels, ball=self.ball())


@dataclass(frozen=True, kw_only=True)
class IteratedGradient(Adversarial):
    """Many steps.

    Attributes:
        steps: how many.
        step: length of one; 0: 2.5 radii in all.
        start: at the seed, or at a random place in the ball.
    """

    steps: int = 20
    step: float = 0.0
    start: Literal["seed", "random"] = "seed"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1 or self.step < 0:
            raise OptionError(f"steps must be at least 1, and step at least 0; found {self.steps} and {self.step:g}.")

    def moved(
        self, model: DifferentiableModel, seeds: Floats32, labels: Labels, random: np.random.Generator
    ) -> Floats32:
        """See `Adversarial.moved`."""
        return iterated_gradient(
            model,
            seeds,
            labels,
            ball=self.ball(),
            step=self.step or 2.5 * self.eps / self.steps,
            steps=self.steps,
            random=random if self.start == "random" else None,
        )


@dataclass(frozen=True, kw_only=True)
class CarliniWagner(Adversarial):
    """Carlini & Wagner's margin, descended by Adam.

    Attributes:
        confidence: margin at which an image rests, in logits.
        rate: Adam's.
        steps: how many.
    """

    confidence: float = 0.5
    rate: float = 0.01
    steps: int = 50

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.steps < 1 or self.rate <= 0 or self.confidence < 0:
            raise OptionError("steps must be at least 1, rate above 0, and confidence at least 0.")

    def moved(
        self,
        model: DifferentiableModel,
        seeds: Floats32,
        labels: Labels,
        random: np.random.Generator,  # noqa: ARG002
    ) -> Floats32:
        """See `Adversarial.moved`."""
        return carlini_wagner(
            model,
            seeds,
            labels,
            ball=self.ball(),
            confidence=self.confidence,
            rate=self.rate,
            steps=self.steps,
        )


def _at_radii(*levels: int, **more: Any) -> dict[str, dict[str, Any]]:  # noqa: ANN401 - the parameters differ
    """Return one configuration for each radius, in levels of 8 bits; the first is the usual one."""
    return {f"eps-{level}": {"eps": level / 255, **more} for level in levels}


_REPORT_STEPS = {"step": 0.01, "steps": 100}

FGM = MethodKind(
    name="fgm",
    words="fast gradient examples (Goodfellow et al. 2015)",
    build=FastGradient,
    configurations=_at_radii(8, 4, 16, 24, 32, 38),
)
BIM = MethodKind(
    name="bim",
    words="iterated fast gradient examples (Kurakin et al. 2017)",
    build=IteratedGradient,
    configurations={**_at_radii(8, 4, 16, 24, 32, 38), "report": {"eps": 0.16, **_REPORT_STEPS}},
)
PGD = MethodKind(
    name="pgd",
    words="projected gradient examples from random starts (Madry et al. 2018)",
    build=IteratedGradient,
    configurations={
        **_at_radii(8, 4, 16, 24, 32, 38, start="random"),
        "report": {"eps": 0.16, "step": 0.01, "steps": 10, "start": "random"},
    },
)
PGD_L2 = MethodKind(
    name="pgd-l2",
    words="projected gradient examples in the Euclidean norm, as the 2023 report's code has them",
    build=IteratedGradient,
    configurations={
        f"eps-{eps:g}": {"eps": eps, "norm": "l2", "start": "random"} for eps in (1.0, 0.25, 0.5, 2.0, 4.0)
    },
)
CW = MethodKind(
    name="cw",
    words="Carlini & Wagner's margin in the maximum norm (2017)",
    build=CarliniWagner,
    configurations={
        **_at_radii(8, 4, 16, 32),
        **{f"eps-{level}-sure": {"eps": level / 255, "confidence": 5.0} for level in (8, 16, 32)},
    },
)
