"""The weights of a Keras ResNet20v1 in a torch one, so that the same weights give the same numbers in both."""

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cae_backends.architectures.resnet20_torch import torch_resnet20
from cae_core.errors import ModelError

__all__ = ["keras_to_torch_resnet20"]


def keras_to_torch_resnet20(model: Any) -> nn.Module:  # noqa: ANN401 - Keras is untyped
    """Return a ResNet20v1 in eval mode with the weights of ``model``.

    Args:
        model: what `report_keras.build_keras` made. Whether it ends in a softmax or not, the answer ends in logits.

    Raises:
        ModelError: the layers with weights are not those of a ResNet20v1, by name or by shape.
    """
    weights = {layer.name: layer.get_weights() for layer in model.layers if layer.weights}
    images, answer = model.input_shape, model.output_shape
    if len(images) != 4 or None in images[1:] or len(answer) != 2:
        raise ModelError(f"A ResNet20v1 takes (n, h, w, k) and answers (n, c); found {images} and {answer}.")
    module = torch_resnet20(tuple(images[1:]), answer[1])
    layers = {
        name.replace(".", "_"): layer
        for name, layer in module.named_modules()
        if isinstance(layer, nn.Conv2d | nn.BatchNorm2d | nn.Linear)
    }
    other = sorted(layers.keys() ^ weights.keys())
    if other:
        raise ModelError(f"The model is not a ResNet20v1 of ours: {other[0]} and {len(other) - 1} more layers differ.")
    for name, layer in layers.items():
        _copy(name, weights[name], layer)
    return module.eval()


def _copy(name: str, arrays: list[NDArray[np.float32]], layer: nn.Conv2d | nn.BatchNorm2d | nn.Linear) -> None:
    state = dict(zip(_names(layer), (_to_torch(array) for array in arrays), strict=True))
    try:
        layer.load_state_dict(state, strict=False)  # torch also counts the batches
    except RuntimeError as exc:
        raise ModelError(
            f"The layer {name} is not that of a ResNet20v1 of ours ({str(exc).splitlines()[-1].strip()})."
        ) from exc


def _names(layer: nn.Module) -> tuple[str, ...]:
    statistics = ("running_mean", "running_var") if isinstance(layer, nn.BatchNorm2d) else ()
    return ("weight", "bias", *statistics)


def _to_torch(array: NDArray[np.float32]) -> torch.Tensor:
    """Take a kernel (h, w, inputs, outputs) or (inputs, outputs) to torch's order; vectors stay."""
    order = (3, 2, 0, 1) if array.ndim == 4 else tuple(reversed(range(array.ndim)))
    return torch.tensor(np.ascontiguousarray(array.transpose(order)))
