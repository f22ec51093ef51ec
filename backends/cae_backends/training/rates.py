"""Learning rates: by step, by epoch, and lower on a plateau."""

import math
from dataclasses import dataclass

from cae_backends.training.recipe import Recipe

__all__ = ["Plateau", "rate_at"]

_RISE = 0.3
"""The share of the steps over which a cycle's learning rate rises."""

_KERAS_EXAMPLE = ((180, 0.5e-3), (160, 1e-3), (120, 1e-2), (80, 1e-1))
"""After this many epochs the rate is multiplied by this (Keras' CIFAR-10 ResNet example)."""

_FACTOR, _FLOOR = math.sqrt(0.1), 0.5e-6


def rate_at(recipe: Recipe, *, step: int, steps: int) -> float:
    """Return the scheduled rate.

    Args:
        recipe: its schedule, learning rate and epochs.
        step: 0 .. steps - 1.
        steps: of the whole training.

    Example:
        >>> recipe = Recipe(epochs=200, learning_rate=1e-3, schedule="keras-example")
        >>> [f"{rate_at(recipe, step=step, steps=200):g}" for step in (0, 80, 81, 181)]
        ['0.001', '0.001', '0.0001', '5e-07']
    """
    if recipe.schedule == "constant":
        return recipe.learning_rate
    if recipe.schedule == "keras-example":
        epoch = step * recipe.epochs // steps
        return recipe.learning_rate * next((factor for after, factor in _KERAS_EXAMPLE if epoch > after), 1.0)
    rise = max(1.0, _RISE * steps)
    if step < rise:
        return recipe.learning_rate * (step + 1) / (rise + 1)
    return recipe.learning_rate * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2


@dataclass
class Plateau:
    """Follows the validation accuracy of the epochs and says when to slow down and when to stop."""

    recipe: Recipe
    best: float = -math.inf
    factor: float = 1.0
    _since_best: int = 0
    _since_cut: int = 0

    def better(self, accuracy: float) -> bool:
        """Take in an epoch's validation accuracy; return whether it is the best so far."""
        improved = accuracy > self.best
        self.best = max(self.best, accuracy)
        self._since_best = 0 if improved else self._since_best + 1
        self._since_cut = 0 if improved else self._since_cut + 1
        if self.recipe.plateau and self._since_cut >= self.recipe.plateau:
            self.factor *= _FACTOR
            self._since_cut = 0
        return improved

    def lowered(self, rate: float) -> float:
        """Return the scheduled ``rate`` as the plateaus so far have lowered it."""
        return max(rate * self.factor, min(rate, _FLOOR)) if self.factor < 1 else rate

    @property
    def ended(self) -> bool:
        """Whether the patience is at its end."""
        return 0 < self.recipe.patience <= self._since_best
