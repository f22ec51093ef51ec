"""What a framework must know to train pools: how to build a network, and the few primitives of a `Network`.

Everything else (batches, augmentation, schedules, checkpoints, and what thieves do) is derived from these once, in
NumPy. Trainers are found through the entry points of the group ``cae.trainers``, and what writes their networks as
ONNX through those of ``cae.exporters``, under the same name. So a third party adds both without touching this
repository.
"""

from collections.abc import Callable, Collection, Mapping
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from cae_backends.architectures.options import ImageShape, PretrainedWeights, Scaling
from cae_backends.training.recipe import Recipe
from cae_core.arrays import Floats32, Labels
from cae_core.contract import Contract
from cae_core.errors import BackendMissing

__all__ = [
    "ADVERSARIAL_STEP",
    "EXPORTER_GROUP",
    "TRAINER_GROUP",
    "DifferentiableNetwork",
    "Exporter",
    "Network",
    "Step",
    "Trainer",
    "Weights",
    "find_exporter",
    "find_trainer",
]

TRAINER_GROUP = "cae.trainers"
EXPORTER_GROUP = "cae.exporters"

ADVERSARIAL_STEP = 1.25
"""Length of the gradient-sign step of adversarial training, in units of the radius (Wong et al., 2020)."""

Weights: TypeAlias = dict[str, NDArray[Any]]
"""Everything that a network's answers depend on, by name."""

Step: TypeAlias = Callable[[Floats32, Floats32 | Labels, float], float]
"""One step of training: images (n, h, w, k), labels (n,) or probabilities (n, c), learning rate -> loss before it."""


class Network(Protocol):
    """A classifier of images (n, h, w, k) in [0, 1] that can be trained."""

    @property
    def model(self) -> Any:  # noqa: ANN401 - each framework has its own
        """The framework's own object, in evaluation mode, for its `Exporter`."""
        ...

    @property
    def layout(self) -> Literal["NHWC", "NCHW"]:
        """What `model` takes."""
        ...

    @property
    def kernels(self) -> tuple[str, ...]:
        """Names of the matrices and kernels, from the image to the logits: neither biases nor batch norms."""
        ...

    @property
    def head(self) -> tuple[str, ...]:
        """Names of the weights of the last layer."""
        ...

    @property
    def output_axis(self) -> int:
        """The axis of a kernel that counts its outputs: 0 or -1."""
        ...

    def logits(self, images: Floats32) -> Floats32:
        """Return the logits (n, c) in evaluation mode."""
        ...

    def weights(self) -> Weights:
        """Return a copy of all weights."""
        ...

    def load(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """Replace all weights."""
        ...

    def start(
        self, recipe: Recipe, *, seed: int, frozen: Collection[str], masks: Mapping[str, NDArray[np.bool_]]
    ) -> Step:
        """Prepare a training with a new optimiser.

        The loss is the cross-entropy of softmax(logits / T) with the targets, times T², so that its gradient does not
        shrink with the temperature T (Hinton et al., 2015). Penalties enter the gradient and not the loss returned;
        the recipe alone gives them, whatever regularisers a model brings along.

        Args:
            recipe: its optimizer, weight decay, l2, temperature, label smoothing, precision and adversarial radius.
            seed: of what the framework itself draws; its global random state is left as it was.
            frozen: names of weights that do not change; where there are any, batch norms act as in evaluation.
            masks: by name, where a weight may be other than zero.
        """
        ...


@runtime_checkable
class DifferentiableNetwork(Network, Protocol):
    """A network that also gives the slopes of its logits; optional, for thieves who need them."""

    def pullback(self, images: Floats32, cotangent: Floats32) -> Floats32:
        """Return the gradient (n, h, w, k) of the sum of ``cotangent`` (n, c) times the logits, in evaluation mode."""
        ...


class Trainer(Protocol):
    """What an entry point of `TRAINER_GROUP` names. Importing it must not import the framework."""

    @property
    def name(self) -> str:
        """As plans, messages and the exporter's entry point use it."""
        ...

    @property
    def architectures(self) -> Collection[str]:
        """The names that `build` knows."""
        ...

    @property
    def pretrained(self) -> Mapping[str, str]:
        """Those of `architectures` that have published weights, and of which network these are, in words."""
        ...

    def build(
        self,
        architecture: str,
        *,
        image_shape: ImageShape,
        classes: int,
        seed: int,
        scaling: Scaling,
        device: str,
        weights: PretrainedWeights = None,
    ) -> Network:
        """Return a network that is not trained yet.

        Args:
            architecture: by name.
            image_shape: (h, w, k).
            classes: c.
            seed: of the initial weights; global random states are left as they were.
            scaling: the first layer.
            device: ``"auto"``, ``"cpu"``, or what the framework calls it.
            weights: of the layers below the classifier, for the architectures in `pretrained`: ``"imagenet"`` for the
                published ones, which the framework downloads or finds in its cache, or a file of them; None: random.

        Raises:
            OptionError: an unknown architecture, images that it cannot take, or weights that it cannot have.
            ModelError: the weights cannot be downloaded, or their file is missing, broken or another network's.
            BackendMissing: the framework is not installed.
        """
        ...


class Exporter(Protocol):
    """What an entry point of `EXPORTER_GROUP` names. Importing it must not import the framework."""

    def __call__(self, model: Any, path: Path, contract: Contract, image_shape: ImageShape, /) -> None:  # noqa: ANN401
        """Write a model as ONNX.

        Args:
            model: `Network.model`; for an estimator the estimator itself.
            path: of the file; others may be written beside it.
            contract: of the model.
            image_shape: (h, w, k).

        Raises:
            CaeError: the model cannot be exported.
        """
        ...


def find_trainer(name: str) -> Trainer:
    """Return a trainer by name.

    Raises:
        BackendMissing: no such trainer is installed.
    """
    trainer: Trainer = _found(TRAINER_GROUP, name, f"trainer {name!r}")
    return trainer


def find_exporter(name: str) -> Exporter:
    """Return what writes the networks of a trainer, or the estimators of this name.

    Raises:
        BackendMissing: no such exporter is installed.
    """
    exporter: Exporter = _found(EXPORTER_GROUP, name, f"exporter to ONNX for {name!r}")
    return exporter


def _found(group: str, name: str, what: str) -> Any:  # noqa: ANN401 - what an entry point names
    points = entry_points(group=group)
    if name not in points.names:
        known = ", ".join(sorted(points.names)) or "none"
        raise BackendMissing(f"No {what} is installed; there are: {known}.")
    return points[name].load()
