"""A Keras model as a `Network`."""

import contextlib
import logging
from collections.abc import Collection, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cae_backends.tensorflow.runtime import load_keras, load_tensorflow
from cae_backends.training.recipe import Recipe
from cae_backends.training.trainers import ADVERSARIAL_STEP, Step, Weights
from cae_core.arrays import Floats32, Labels
from cae_core.errors import OptionError

__all__ = ["KerasNetwork", "compute_reproducibly"]


class KerasNetwork:
    """Trains a ``keras.Model`` that takes float32 (n, h, w, k) in [0, 1] and answers logits (n, c)."""

    layout: Literal["NHWC", "NCHW"] = "NHWC"
    output_axis = -1

    def __init__(self, model: Any, *, device: str) -> None:  # noqa: ANN401 - Keras is untyped
        self.model = model
        self._device = device
        # Keras numbers its layers through the whole process: their names say nothing about the model.
        self._variables = {f"{i:03}.{variable.name}": variable for i, variable in enumerate(model.weights)}
        self._answer = load_tensorflow().function(lambda x: self._score(x, training=False), reduce_retracing=True)

    @property
    def kernels(self) -> tuple[str, ...]:
        """See `Network.kernels`."""
        return tuple(name for name, variable in self._variables.items() if len(variable.shape) > 1)

    @property
    def head(self) -> tuple[str, ...]:
        """See `Network.head`."""
        names = tuple(self._variables)
        return names[names.index(self.kernels[-1]) :]

    def logits(self, images: Floats32) -> Floats32:
        """See `Network.logits`."""
        with load_tensorflow().device(self._device):
            return np.array(self._answer(images).numpy(), np.float32)

    def pullback(self, images: Floats32, cotangent: Floats32) -> Floats32:
        """See `DifferentiableNetwork.pullback`."""
        tf = load_tensorflow()
        with tf.device(self._device):
            x = tf.constant(images)
            with tf.GradientTape() as tape:
                tape.watch(x)
                total = tf.reduce_sum(self._score(x, training=False) * cotangent)
            return np.array(tape.gradient(total, x).numpy(), np.float32)

    def weights(self) -> Weights:
        """See `Network.weights`."""
        return {name: np.array(variable.numpy()) for name, variable in self._variables.items()}

    def load(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """See `Network.load`."""
        for name, variable in self._variables.items():
            variable.assign(weights[name])

    def start(
        self, recipe: Recipe, *, seed: int, frozen: Collection[str], masks: Mapping[str, NDArray[np.bool_]]
    ) -> Step:
        """See `Network.start`.

        Raises:
            OptionError: the recipe wants bfloat16, TRADES or more than one adversarial step, which are not offered with
                Keras.
        """
        if recipe.trades or recipe.adversarial_steps > 1:
            raise OptionError(
                "The Keras trainer moves images by one step and has no TRADES. Set adversarial_steps = 1 and trades = "
                "0, or train with torch."
            )
        if recipe.precision != "float32":
            raise OptionError("The Keras trainer trains in float32; found precision bfloat16. Take it out.")
        tf = load_tensorflow()
        trained = {
            name: variable for name, variable in self._variables.items() if variable.trainable and name not in frozen
        }
        optimizer = _optimizer(recipe)
        optimizer.build(list(trained.values()))
        kept = {name: np.asarray(mask, np.float32) for name, mask in masks.items()}
        penalty = dict.fromkeys(self.kernels, 2 * recipe.l2)
        random = tf.random.Generator.from_seed(seed)

        @tf.function(reduce_retracing=True)  # type: ignore[untyped-decorator]
        def compute(x: Any, y: Any) -> Any:  # noqa: ANN401 - TensorFlow is untyped
            if recipe.adversarial:
                x = self._attacked(x, y, recipe, random, training=not frozen)
            with tf.GradientTape() as tape:
                loss = self._loss(x, y, recipe, training=not frozen)
            gradients = tape.gradient(
                loss, [variable.value for variable in trained.values()], unconnected_gradients="zero"
            )
            changed = [
                (gradient + (recipe.weight_decay + penalty.get(name, 0.0)) * variable.value) * kept.get(name, 1.0)
                for (name, variable), gradient in zip(trained.items(), gradients, strict=True)
            ]
            optimizer.apply(changed)
            return loss

        def step(images: Floats32, targets: Floats32 | Labels, rate: float) -> float:
            optimizer.learning_rate = rate
            with tf.device(self._device):
                return float(compute(images, targets))

        return step

    def _score(self, x: Any, *, training: bool) -> Any:  # noqa: ANN401 - TensorFlow is untyped
        return self.model(x, training=training)

    def _loss(self, x: Any, y: Any, recipe: Recipe, *, training: bool) -> Any:  # noqa: ANN401 - TensorFlow is untyped
        tf = load_tensorflow()
        logits = self._score(x, training=training) / recipe.temperature
        classes = logits.shape[1]
        target = tf.one_hot(y, classes) if y.shape.rank == 1 else y
        target = (1 - recipe.label_smoothing) * target + recipe.label_smoothing / classes
        losses = tf.nn.softmax_cross_entropy_with_logits(target, logits)
        return tf.reduce_mean(losses) * recipe.temperature**2

    def _attacked(self, x: Any, y: Any, recipe: Recipe, random: Any, *, training: bool) -> Any:  # noqa: ANN401
        tf, radius = load_tensorflow(), recipe.adversarial
        start = tf.clip_by_value(x + random.uniform(tf.shape(x), -radius, radius), 0, 1)
        with tf.GradientTape() as tape:
            tape.watch(start)
            loss = self._loss(start, y, recipe, training=training)
        moved = start + ADVERSARIAL_STEP * radius * tf.sign(tape.gradient(loss, start))
        return tf.clip_by_value(tf.clip_by_value(moved, x - radius, x + radius), 0, 1)


def _optimizer(recipe: Recipe) -> Any:  # noqa: ANN401 - Keras is untyped
    optimizers = load_keras().optimizers
    if recipe.optimizer == "sgd":
        return optimizers.SGD(recipe.learning_rate, momentum=0.9, nesterov=True)
    return optimizers.Adam(recipe.learning_rate, epsilon=1e-8)


def compute_reproducibly(device: str) -> None:
    """Let TensorFlow compute on one thread, where it has not started yet, and on a GPU by deterministic kernels.

    It also stops warning that functions are traced again: a pool is many models.
    """
    load_tensorflow().get_logger().setLevel(logging.ERROR)
    config = load_tensorflow().config
    with contextlib.suppress(RuntimeError):  # it runs already
        config.threading.set_intra_op_parallelism_threads(1)
        config.threading.set_inter_op_parallelism_threads(1)
    if "GPU" in device:
        config.experimental.enable_op_determinism()
