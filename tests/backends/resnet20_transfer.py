"""The weights of a Keras ResNet20v1 in a torch one, so that the same weights give the same numbers in both."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cae_backends.architectures.resnet20_torch import torch_resnet20

__all__ = ["keras_to_torch_resnet20"]


def keras_to_torch_resnet20(model: Any) -> nn.Module:  # noqa: ANN401 - Keras is untyped
    """Return a ResNet20v1 in eval mode with the weights of what `report_keras.build_keras` made; it answers logits."""
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    module = torch_resnet20(tuple(model.input_shape[1:]), model.output_shape[1])
    layers = {
        name.replace(".", "_"): layer
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.Linear)
    }
    assert layers.keys() == weights.keys()
    for name, layer in layers.items():
        state = dict(zip(_names(layer), (_to_torch(array) for array in weights[name]), strict=True))
        layer.load_state_dict(state, strict=False)  # torch also counts the batches
    return module.eval()


def _names(layer: nn.Module) -> tuple[str, ...]:
    statistics = ("running_mean", "running_var") if isinstance(layer, nn.BatchNorm2d) else ()
    return ("weight", "bias", *statistics)


def _to_torch(array: NDArray[np.float32]) -> torch.Tensor:
    """Take a kernel (h, w, inputs, outputs) or (inputs, outputs) to torch's order; vectors stay."""
    order = (3, 2, 0, 1) if array.ndim == 4 else tuple(reversed(range(array.ndim)))
    return torch.tensor(np.ascontiguousarray(array.transpose(order)))
