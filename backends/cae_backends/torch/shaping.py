"""Contracts whose tensors have no axes of height and width, before graphs whose inputs have axes of their own."""

from collections.abc import Sequence

import torch
from torch import nn

from cae_core.contract import FLAT, Contract, fitted
from cae_core.errors import ContractError

__all__ = ["shaped"]

Axes = Sequence[int | str | None]


def shaped(module: nn.Module, contract: Contract, axes: Axes) -> nn.Module:
    """Return a module that takes what a contract makes, where ``module`` takes the same numbers in other axes.

    Args:
        module: a classifier.
        contract: whose layout decides.
        axes: of the module's input, without the batch.
    """
    own = {"HW": 2, **dict.fromkeys(FLAT, 1)}.get(contract.layout, len(axes))
    return module if len(axes) == own else _Shaped(module, contract.layout, axes).eval()


class _Shaped(nn.Module):
    def __init__(self, module: nn.Module, layout: str, axes: Axes) -> None:
        super().__init__()
        self.module, self._layout, self._axes = module, layout, tuple(axes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = tuple(x.shape[1:])
        shape = fitted(self._layout, made, self._axes)
        if shape is None:
            raise ContractError(f"its input has the axes {self._axes} and the contract makes {made} from these images")
        answer: torch.Tensor = self.module(x.reshape(len(x), *shape))
        return answer
