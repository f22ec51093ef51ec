"""Which of several ways of asking one model can be the right one: the wrong ones lose to another on the same images.

Two ways are compared by McNemar's exact test (Q. McNemar, Psychometrika 12, 1947): over the images on which exactly one
of the two is right. They are asked in stages, each of new images. A way is out once another one beats it at the stage's
level over its rivals. So the most accurate way is ever out with a probability of at most ``level``, which the stages
share: each spends twice as much of it as the one before, since the last must tell apart what is nearly alike.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.statistics.intervals import binomial_tail

__all__ = ["ALIKE", "LEVEL", "STAGES", "Elimination", "Standing", "beaten"]

LEVEL = 0.01
"""With what probability the most accurate candidate may be out."""

STAGES = (20, 100, 200, 500, 2_000, 10_000)
"""Images after which candidates leave: all are asked the first, the survivors the rest."""

ALIKE = 0.98
"""Two candidates are alike that give the same label to this share of the images: either serves."""

_MANY = 2_000
"""Images from which on being alike ends the questions; before, only labels that are all the same do."""

_AT_LEAST = 200
"""Images that who is left is asked in any case, so that its accuracy says something."""

Ask = Callable[[int, int, int], Labels]
"""Of a candidate's number and the first and the last image but one: its labels, which is where models are asked."""


@dataclass(frozen=True, kw_only=True)
class Standing:
    """How one candidate stood when it was asked last.

    Attributes:
        images: that it was asked.
        right: of them.
        beaten_by: the number of a candidate that was significantly better; None: none was.
    """

    images: int
    right: int
    beaten_by: int | None

    @property
    def accuracy(self) -> float:
        """The share of the images about which it was right."""
        return self.right / self.images


class Elimination:
    """Candidates that are asked the same labelled images, until one is left or the images are spent.

    Args:
        count: of candidates, at least 1.
        truth: int64 (n,), the images' labels.
        ask: gives a candidate's labels of images [start, stop).
        stages: after how many images candidates leave; what exceeds n is left out, and n is the last.
        level: see the module.
    """

    def __init__(
        self, count: int, truth: Labels, ask: Ask, *, stages: Sequence[int] = STAGES, level: float = LEVEL
    ) -> None:
        self._truth, self._ask = truth, ask
        self.stages = tuple(sorted({min(stage, len(truth)) for stage in stages}))
        weights = [1 << place for place in range(len(self.stages))]
        self._levels = [level * weight / sum(weights) for weight in weights]
        self._labels: list[Labels] = [np.empty(0, np.int64)] * count
        self._beaten: dict[int, int] = {}

    def run(self) -> None:
        """Ask until what is left is one candidate, or candidates that gave every label alike."""
        for stage, level in zip(self.stages, self._levels, strict=True):
            self._go_on(stage, level)
            if stage >= _AT_LEAST and self._alike(ALIKE if stage >= _MANY else 1):
                return

    @property
    def alive(self) -> tuple[int, ...]:
        """The candidates that nobody has beaten, the most accurate first; of equals, the earlier."""
        left = [i for i in range(len(self._labels)) if i not in self._beaten]
        return tuple(sorted(left, key=lambda i: -int(self._right(i).sum())))

    @property
    def winners(self) -> tuple[int, ...]:
        """What is left if it is alike, so that either serves, the most accurate first; else nothing."""
        return self.alive if self._alike(ALIKE) else ()

    @property
    def standings(self) -> tuple[Standing, ...]:
        """How each candidate stands, in the order in which they were given."""
        return tuple(
            Standing(images=len(labels), right=int(self._right(i).sum()), beaten_by=self._beaten.get(i))
            for i, labels in enumerate(self._labels)
        )

    def agreement(self, first: int, second: int) -> float:
        """Return the share of the images that both were asked to which they gave the same label."""
        count = min(len(self._labels[first]), len(self._labels[second]))
        return float((self._labels[first][:count] == self._labels[second][:count]).mean())

    def drop(self, loser: int, rival: int) -> None:
        """Take a candidate out that a rival has beaten otherwise."""
        self._beaten[loser] = rival

    def _go_on(self, stage: int, level: float) -> None:
        alive = self.alive
        before = len(self._labels[alive[0]])
        for i in alive:
            self._labels[i] = np.concatenate([self._labels[i], self._ask(i, before, stage)])
        right = np.stack([self._right(i)[before:] for i in alive])
        for place, rival in enumerate(beaten(right, level / max(1, len(alive) - 1))):
            if rival is not None:
                self._beaten[alive[place]] = alive[rival]

    def _right(self, i: int) -> NDArray[np.bool_]:
        return np.asarray(self._labels[i] == self._truth[: len(self._labels[i])])

    def _alike(self, share: float) -> bool:
        best, *others = self.alive
        return all(self.agreement(best, other) >= share for other in others)


def beaten(right: NDArray[np.bool_], level: float) -> list[int | None]:
    """Return for each candidate the row of the most accurate one that is significantly better; None where none is.

    Args:
        right: bool (m, n), whether each candidate is right about each image.
        level: of each one-sided comparison.
    """
    order = np.argsort(-right.sum(axis=1), kind="stable").tolist()
    return [next((j for j in order if j != i and _better(right[j], right[i], level)), None) for i in range(len(right))]


def _better(one: NDArray[np.bool_], other: NDArray[np.bool_], level: float) -> bool:
    wins, losses = int((one & ~other).sum()), int((other & ~one).sum())
    return wins > losses and binomial_tail(wins, wins + losses, 0.5) <= level
