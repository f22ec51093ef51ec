"""Norms of vectors whose gradient stays finite at zero, where ReLU networks often are."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["power_norm"]


def power_norm(x: Tensor, power: int, total: Callable[[Tensor], Tensor]) -> Tensor:
    """Return total(|x|ᵖ)^(1/p); where that is zero, so is its gradient, as everywhere in torch's own norms.

    Args:
        x: any shape.
        power: p, from 1 on.
        total: sums over the vectors' axes.
    """
    summed = total(x.abs().pow(power))
    is_zero = summed == 0
    root = torch.where(is_zero, torch.ones_like(summed), summed).pow(1 / power)
    return torch.where(is_zero, torch.zeros_like(summed), root)
