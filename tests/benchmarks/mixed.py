"""A generation over two frameworks: one iteration against what the frameworks need by themselves."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from cae_backends.architectures.report_keras import build_keras
from cae_backends.tensorflow.model import TensorflowModel
from cae_backends.tensorflow.runtime import load_tensorflow
from cae_backends.torch.model import TorchModel
from cae_core.arrays import Floats32, as_unit_float
from cae_core.contract import Contract
from cae_core.generation.run_state import start_run
from cae_core.generation.search import Search
from cae_core.generation.seeds import SeedQueue
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.white_boxes import WhiteBoxes
from cae_core.method.dropout import keep_mask
from tests.benchmarks.figures import Figure, Scale, paired_seconds
from tests.benchmarks.pools import CONTRACT, digits_32, make_modules

__all__ = ["measure_mixed"]

KERAS = Contract(layout="NHWC", range=(0.0, 1.0), output="probabilities", channels="RGB", size=(32, 32))

_OwnSide = Callable[[Floats32, Floats32], object]
"""Images and cotangents -> logits and gradients, as one would write it in the framework."""


def measure_mixed(scale: Scale) -> list[Figure]:
    """One iteration over Keras and torch models, over the sum of the models' own times.

    Their own times: for each that the dropout keeps, forward pass and input gradient, written in its framework with
    nothing around it (TensorFlow: one ``tf.function`` with a tape; torch: frozen weights and one ``autograd.grad``).
    """
    modules = make_modules()
    keras_models = [build_keras("resnet20v1", image_shape=(32, 32, 3), classes=10, seed=seed) for seed in (0, 1)]
    wrapped = [TensorflowModel.from_keras(model, contract=KERAS, device="cpu") for model in keras_models]
    surrogates = [_frozen(module) for module in modules.surrogates[:3]]
    references = [_frozen(module) for module in modules.references[:2]]
    torch_models = [TorchModel(module, contract=CONTRACT, device="cpu") for module in (*surrogates, *references)]
    white_boxes = WhiteBoxes(wrapped[0], torch_models[:3], [*torch_models[3:], wrapped[1]])
    own = [_own_keras(keras_models[0]), *map(_own_torch, (*surrogates, *references)), _own_keras(keras_models[1])]

    images = scale.pick(100, 10)
    data = digits_32("test").subset(range(images))
    settings = GenerationSettings.from_preset("perturbed", batch=images, count=images + 1, iterations=10_000)
    search = Search.prepare(white_boxes, data, settings)
    index = np.arange(images, dtype=np.int64)
    queue = SeedQueue(index, data.labels, (data.labels + 1) % 10, 1.0)
    step = _Step(search, search.refill(start_run(queue, data.images.shape[1:])))
    alone = _Alone(own, as_unit_float(data.images), settings.seed, settings.dropout)
    rounds = paired_seconds([step, alone], scale.pick(15, 2))
    figure = Figure.of_pairs(
        "one iteration over Keras and torch models over the sum of their own times",
        ((seconds[0], seconds[1]) for seconds in rounds),
        lambda mixed, own: f"{1e3 * mixed:.0f} ms against {1e3 * own:.0f} ms",
        target=1.05,
    )
    return [figure]


class _Step:
    """One step of the mixed search at each call."""

    def __init__(self, search: Search, state: Any) -> None:  # noqa: ANN401 - a RunState
        self._search, self._state = search, state

    def __call__(self) -> None:
        self._state, _ = self._search.step(self._state)


class _Alone:
    """Forward pass and input gradient of the models that the same step keeps, one after the other."""

    def __init__(self, own: list[_OwnSide], images: Floats32, seed: int, dropout: float) -> None:
        self._own, self._images, self._seed, self._dropout = own, images, seed, dropout
        self._cotangents = np.random.default_rng(0).standard_normal((len(images), 10)).astype(np.float32)
        self._step = 0

    def __call__(self) -> None:
        for side, kept in zip(self._own, self._keep(), strict=True):
            if kept:
                side(self._images, self._cotangents)
        self._step += 1

    def _keep(self) -> NDArray[np.bool_]:
        return keep_mask(seed=self._seed, step=self._step, surrogates=3, references=3, dropout=self._dropout)


def _own_torch(module: nn.Module) -> _OwnSide:
    def side(images: Floats32, cotangents: Floats32) -> Floats32:
        x = torch.tensor(images).permute(0, 3, 1, 2).requires_grad_()
        (gradient,) = torch.autograd.grad(module(x), x, torch.tensor(cotangents))
        return gradient.numpy()

    return side


def _own_keras(model: Any) -> _OwnSide:  # noqa: ANN401 - Keras publishes no types
    tf = load_tensorflow()

    def run(x: Any, v: Any) -> Any:  # noqa: ANN401 - tensors
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(x)
            answer = model(x, training=False)
        return answer, tape.gradient(answer, x, output_gradients=v)

    specs = (tf.TensorSpec((None, 32, 32, 3)), tf.TensorSpec((None, 10)))
    compiled = tf.function(run, autograph=False).get_concrete_function(*specs)

    def side(images: Floats32, cotangents: Floats32) -> Floats32:
        _, gradient = compiled(tf.constant(images), tf.constant(cotangents))
        found: Floats32 = gradient.numpy()
        return found

    return side


def _frozen(module: nn.Module) -> nn.Module:
    return module.eval().requires_grad_(requires_grad=False)
