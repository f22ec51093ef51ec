"""A backend for linear models in JSON files: ``{"weights": [[...], ...], "bias": [...]}``, one row for each class.

A model of another framework takes the place of `_linear`; everything else of a backend is here.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cae_core import WhiteBox
from cae_core.arrays import Floats32
from cae_core.contract import Contract
from cae_core.errors import ContractError, ModelError
from cae_core.loaders import Device
from cae_core.reading import read_limited, reading

__all__ = ["LOADER", "LinearLoader"]

_LARGEST = 1 << 26
"""Bytes of a file: who reads files of other people says how large one may be."""


@dataclass(frozen=True)
class LinearLoader:
    """Opens ``.linear`` files, with gradients."""

    name: str = "linear"
    suffixes: tuple[str, ...] = (".linear",)
    folders: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    gradients: bool = True

    def open(self, spec: str, *, contract: Contract | None, device: Device) -> WhiteBox:  # noqa: ARG002
        """Open the file ``spec``; it runs on the CPU, whatever ``device`` says.

        Raises:
            ContractError: there is a contract, and such a file takes images as they are.
            ModelError: the file holds no linear model.
        """
        if contract is not None:
            raise ContractError(f"{spec}: a linear model takes images as they are. Leave the contract out.")
        path = Path(spec)
        with reading(path, ModelError, fault="this is no linear model", remedy="Give a file with weights and bias."):
            told = json.loads(read_limited(path, _LARGEST))
            weights, bias = (np.asarray(told[name], np.float32) for name in ("weights", "bias"))
        if weights.ndim != 2 or bias.shape != weights.shape[:1]:
            raise ModelError(
                f"{spec}: expected weights (c, h*w*k) and bias (c,); found {weights.shape} and {bias.shape}. Write the "
                "file again."
            )
        return _linear(weights, bias)


def _linear(weights: Floats32, bias: Floats32) -> WhiteBox:
    """Return the model with logits W x + b, and the gradient of g . (W x + b), which is W^T g."""

    def logits(images: Floats32) -> Floats32:
        pixels = images.reshape(len(images), int(np.prod(images.shape[1:])))  # -1 would not do for no image
        if pixels.shape[1] != weights.shape[1]:
            raise ModelError(f"The model takes {weights.shape[1]} values; found images of {pixels.shape[1]}.")
        return pixels @ weights.T + bias

    return WhiteBox(logits, lambda images, gradient: (gradient @ weights).reshape(images.shape))


LOADER = LinearLoader()
