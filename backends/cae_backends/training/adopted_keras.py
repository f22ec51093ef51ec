"""Keras files as networks that can be trained further, by Keras' own layers."""

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.contract_files import find_contract
from cae_backends.tensorflow.model import TensorflowModel
from cae_backends.tensorflow.opening import read_keras
from cae_backends.tensorflow.runtime import any_structure, load_tensorflow
from cae_backends.tensorflow.tracing import keras_input
from cae_backends.training.keras_network import KerasNetwork
from cae_backends.training.recipe import Recipe
from cae_backends.training.trainers import Step
from cae_core.contract import SMALLEST_PROBABILITY, Contract
from cae_core.contract.layouts import tensor_shape
from cae_core.errors import ModelError, OptionError
from cae_core.resize import resize_matrix

__all__ = ["AdoptedKeras"]


class AdoptedKeras(KerasNetwork):
    """The network of a ``.keras`` or ``.h5`` file.

    Layers act as Keras trains them: batch norm moves its statistics, dropout drops. Layers that the file has frozen are
    trained as well. `model` is the Keras model itself, with the file's contract.

    Args:
        path: of the file.
        contract: replaces that of the sidecar.
        device: TensorFlow's name.

    Raises:
        ModelError: see `Adopter.adopt`.
    """

    def __init__(self, path: Path, *, contract: Contract | None, device: str) -> None:
        model = read_keras(path)
        shape, dtype = keras_input(model, origin=str(path))
        self.contract = find_contract(path, {}, shape or (), contract, dtype=dtype)
        if self.contract.output == "labels":
            raise ModelError(f"{path}: a model that answers labels only cannot be trained further. Save its logits.")
        TensorflowModel.from_keras(model, contract=self.contract, device="cpu")  # refuses what does not fit
        for layer in model._flatten_layers():  # of the model alone, it does not reach frozen layers
            layer.trainable = True
        super().__init__(model, device=device)
        if not self.kernels:
            raise ModelError(f"{path}: no weights of it can be trained further. Save the network that was trained.")

    @property
    def kernels(self) -> tuple[str, ...]:
        """See `Network.kernels`."""
        return tuple(name for name in super().kernels if self._variables[name].trainable)

    def start(
        self, recipe: Recipe, *, seed: int, frozen: Collection[str], masks: Mapping[str, NDArray[np.bool_]]
    ) -> Step:
        """See `Network.start`.

        Raises:
            OptionError: as of `KerasNetwork.start`; or an adversarial radius, and a model of 8-bit images.
        """
        if recipe.adversarial and self.contract.dtype == "uint8":
            raise OptionError("A model that takes uint8 has no gradient, and images cannot be moved along one.")
        states = [v for v in self.model.variables if v.path.endswith("seed_generator_state")]
        for variable, state in zip(
            states, np.random.default_rng(seed).integers(2**31, size=(len(states), 2)), strict=True
        ):
            variable.assign(state.astype(str(variable.dtype)))  # what dropout draws depends on the file no more
        return super().start(recipe, seed=seed, frozen=frozen, masks=masks)

    def _score(self, x: Any, *, training: bool) -> Any:  # noqa: ANN401 - TensorFlow is untyped
        tf, contract = load_tensorflow(), self.contract
        with any_structure():
            (told,) = tf.nest.flatten(self.model(_taken(x, contract), training=training))
        scores = tf.cast(told, tf.float32)
        if contract.classes is not None:
            places = np.arange(len(contract.classes), dtype=np.float32)[None]
            scores = tf.gather(scores, contract.to_canonical(places)[0].astype(np.int64), axis=1)
        if contract.output == "probabilities":
            scores = tf.math.log(tf.maximum(scores, SMALLEST_PROBABILITY))
        return scores


def _taken(images: Any, contract: Contract) -> Any:  # noqa: ANN401 - tensors
    """Make a model's tensor from canonical images, as `Contract.to_input` does in NumPy."""
    tf = load_tensorflow()
    x = tf.convert_to_tensor(images, tf.float32)
    height, width, channels = x.shape[1:]
    contract.check_size(height, width)
    if contract.size is not None and contract.resize is not None and contract.size != (height, width):
        rows, columns = (
            resize_matrix(old, new, contract.resize) for old, new in zip((height, width), contract.size, strict=True)
        )
        x = tf.einsum("Hh,nhwk,Ww->nHWk", rows, x, columns)
    x = tf.matmul(x, contract.channel_matrix(channels).T.copy())
    scale, shift = contract.affine(x.shape[3])
    x = x * scale + shift
    if contract.mean_image is not None:
        low, high = contract.range
        x = x - contract.mean_image * (scale / np.float32(high - low))
    shape = tensor_shape(contract.layout, tuple(x.shape[1:]))
    if contract.layout in ("NCHW", "FLAT_NCHW"):
        x = tf.transpose(x, (0, 3, 1, 2))
    x = tf.reshape(x, (-1, *shape))
    return tf.cast(tf.clip_by_value(tf.round(x), 0, 255), tf.uint8) if contract.dtype == "uint8" else x
