"""Images moved against a torch network that is trained on them."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional

from cae_backends.training.recipe import Recipe
from cae_backends.training.trainers import ADVERSARIAL_STEP

__all__ = ["attacked", "trades"]

_PGD_STEP = 2.5
"""Length of all steps together, in units of the radius (Madry et al., 2018)."""


def attacked(loss: Callable[[Tensor], Tensor], x: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Return ``x`` (n, k, h, w), moved within the recipe's radius so that ``loss`` grows.

    One gradient-sign step from a random start (Wong et al., 2020), or `Recipe.adversarial_steps` shorter ones (Madry et
    al., 2018).
    """
    radius, steps = recipe.adversarial, recipe.adversarial_steps
    length = (ADVERSARIAL_STEP if steps == 1 else _PGD_STEP / steps) * radius
    noise = torch.rand(x.shape, generator=generator, device=x.device)
    moved = (x + radius * (2 * noise - 1)).clamp(0, 1)
    for _ in range(steps):
        moved.requires_grad_()
        (gradient,) = torch.autograd.grad(loss(moved), moved)
        further = moved.detach() + length * gradient.sign()
        moved = torch.minimum(torch.maximum(further, x - radius), x + radius).clamp(0, 1)
    return moved


def trades(
    logits_of: Callable[[Tensor], Tensor],
    fitted: Callable[[Tensor], Tensor],
    x: Tensor,
    recipe: Recipe,
    generator: torch.Generator,
) -> Tensor:
    """Return the loss of TRADES (Zhang et al., 2019).

    It is ``fitted`` on the logits of ``x`` as it is, plus `Recipe.trades` times the mean divergence KL(p(x) || p(x'))
    at the x' where it is largest, as far as `attacked` finds it.
    """
    with torch.no_grad():
        still = logits_of(x).softmax(1)
    moved = attacked(lambda z: _divergence(logits_of(z), still), x, recipe, generator)
    plain = logits_of(x)
    return fitted(plain) + recipe.trades * _divergence(logits_of(moved), plain.softmax(1))


def _divergence(logits: Tensor, probabilities: Tensor) -> Tensor:
    """Return the mean over rows of KL(probabilities || softmax(logits))."""
    return functional.kl_div(logits.log_softmax(1), probabilities, reduction="batchmean")
