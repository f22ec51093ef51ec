"""Robustness distance: RobD of DeepJudge (Chen et al., IEEE S&P 2022), from the paper.

A copy is as robust to adversarial examples of the source as the source is; an independent model is more robust.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cae_core.arena.attacks import carlini_wagner, fast_gradient, iterated_gradient
from cae_core.arena.material import Material
from cae_core.arena.method import MethodKind, Needs
from cae_core.arena.queries import Queries
from cae_core.arrays import Floats32, Labels, as_unit_float
from cae_core.errors import OptionError
from cae_core.files.fields import check_choices
from cae_core.method.ball import Ball
from cae_core.models import DifferentiableModel, Predictions
from cae_core.progress import StageProgress

__all__ = ["ROBD", "RobustnessDistance"]

_BATCH = 100


@dataclass(frozen=True, kw_only=True)
class RobustnessDistance:
    """One less the distance of a suspect's robust accuracy from the source's.

    The seeds are the images that the source gets right and is the surest of, by Gini impurity. All adversarial images
    are asked, also those that do not deceive the source.

    Attributes:
        attack: on the source.
        eps: radius in the maximum norm, on the scale [0, 1].
        steps: of the attack.
    """

    attack: Literal["pgd", "fgm", "cw"] = "pgd"
    eps: float = 8 / 255
    steps: int = 10

    def __post_init__(self) -> None:
        check_choices(self)
        Ball(self.eps)
        if self.steps < 1:
            raise OptionError(f"steps must be at least 1; found {self.steps}.")

    @property
    def needs(self) -> Needs:
        """Labels of a suspect, and gradients of the source."""
        return Needs(gradients=True)

    def make(self, material: Material, budgets: Sequence[int], *, progress: StageProgress) -> Queries:
        """See `Method.make`; the ground truth travels as the fact ``truth``."""
        right = material.right("test")
        gini = 1 - np.square(material.probabilities(right).astype(np.float64)).sum(axis=1)
        seeds = right[np.argsort(gini, kind="stable")[: max(budgets)]]
        images, truth = material.data.images[seeds], material.data.labels[seeds]
        moved = np.empty_like(images)
        random = np.random.default_rng([material.seed, 6])
        for start in range(0, len(seeds), _BATCH):
            part = slice(start, start + _BATCH)
            attacked = self._attacked(material.source, as_unit_float(images[part]), truth[part], random)
            moved[part] = Ball(self.eps).quantise(attacked, images[part])
            progress(min(start + _BATCH, len(seeds)), len(seeds))
        return Queries.in_order(moved, material.source.predict(moved).labels, budgets, truth=truth)

    def score(self, queries: Queries, answers: Predictions) -> float:
        """Return 1 - |Rob(source) - Rob(suspect)|, where Rob is the share of the queries that are answered rightly."""
        if not len(queries):
            return 0.0
        truth = queries.facts["truth"]
        source, suspect = (float((labels == truth).mean()) for labels in (queries.labels, answers.labels))
        return 1 - abs(source - suspect)

    def _attacked(
        self, model: DifferentiableModel, images: Floats32, truth: Labels, random: np.random.Generator
    ) -> Floats32:
        ball = Ball(self.eps)
        if self.attack == "fgm":
            return fast_gradient(model, images, truth, ball=ball)
        if self.attack == "cw":
            return carlini_wagner(
                model, images, truth, ball=ball, confidence=5.0, rate=2.5 * self.eps / self.steps, steps=self.steps
            )
        return iterated_gradient(
            model, images, truth, ball=ball, step=2.5 * self.eps / self.steps, steps=self.steps, random=random
        )


ROBD = MethodKind(
    name="robd",
    words="robustness distance (RobD of DeepJudge, Chen et al. 2022)",
    build=RobustnessDistance,
    configurations={
        "pgd-8": {},
        **{f"pgd-{level}": {"eps": level / 255} for level in (2, 4, 16)},
        **{f"fgm-{level}": {"attack": "fgm", "eps": level / 255} for level in (8, 16)},
        **{f"cw-{level}": {"attack": "cw", "eps": level / 255, "steps": 20} for level in (4, 8)},
    },
)
