"""How one model is trained, as data: the fields of a recipe, and the recipes that come with the package."""

import dataclasses
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Literal, TypeAlias

from cae_core.errors import OptionError
from cae_core.files.fields import check_choices, read_fields
from cae_core.models import Precision

__all__ = ["Normalise", "Optimizer", "Recipe", "Schedule", "Statistics", "packaged_recipes", "read_recipe"]

Optimizer: TypeAlias = Literal["adam", "sgd"]
Schedule: TypeAlias = Literal["one-cycle", "constant", "keras-example"]
Normalise: TypeAlias = Literal["fixed", "channels", "mean-image"]
Statistics: TypeAlias = Literal["kept", "renewed"]


_LATER = {"later": True}
"""Marks a field that came after the first digests: at its default it is left out, so that older jobs keep theirs."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one model is trained.

    Attributes:
        epochs: passes over the images, at least 1.
        batch_size: images per step; the batches of an epoch differ by at most one image.
        optimizer: ``"adam"``, or ``"sgd"`` with Nesterov's momentum 0.9.
        learning_rate: the constant rate, or the peak of the schedule.
        schedule: ``"one-cycle"`` (linear rise over 30 % of the steps, then a cosine to zero), ``"constant"``, or
            ``"keras-example"``: that of Keras' CIFAR-10 ResNet example, divided by 10, 100, 1000 and 2000 after 80,
            120, 160 and 180 epochs.
        plateau: epochs without a better validation accuracy after which the rate is multiplied by sqrt(0.1), down to
            0.5e-6; 0: never.
        patience: epochs without a better validation accuracy after which the training ends; 0: never.
        best: keep the weights of the epoch with the best validation accuracy instead of the last.
        validation: fraction of the images held out for it; nothing is chosen on the test images.
        normalise: ``"fixed"`` takes [0, 1] to [-2, 2]; ``"channels"`` subtracts the training images' mean and divides
            by their standard deviation per channel; ``"mean-image"`` subtracts their mean image. It becomes a part of
            the network, and a model that is made of another keeps its parent's.
        shift: largest random translation in pixels per axis; zeros move in (random crops of a padded image).
        flip: mirror every other image, left to right.
        mix: each image is blended with another of its batch, whose weight is uniform in [0, mix]; below 0.5 the
            image's own label still holds. Labels of plain training images hardly tell a thief anything that the
            truth does not; the labels of blends do.
        noise: standard deviation of Gaussian noise on images in [0, 1].
        adversarial: radius in [0, 1] of the random-start gradient-sign step by which each training image is moved
            (Wong et al., 2020); 0: none.
        adversarial_steps: gradient-sign steps by which it is moved, each 2.5 radii / steps long where there are
            several (PGD; Madry et al., 2018). Several, and the next, with torch only.
        trades: weight of the divergence between the answers to an image and to the moved one, which is added to the
            loss of the image as it is (Zhang et al., 2019); 0: the moved image takes the place of the image.
        temperature: divides the logits, of the student and of the source that it is distilled from.
        label_smoothing: weight of the uniform distribution in the targets.
        weight_decay: this times the weight is added to the gradient of every weight, biases and norms included.
        l2: this times the sum of squares of the convolutions' and matrices' weights is added to the loss, as Keras'
            regularisers do; those that a Keras model brings along are of no effect.
        precision: of the convolutions; bfloat16 pays on a GPU and, for these small networks, on no CPU we measured.
        average: number of last epochs whose weights are averaged; 0 or 1: the last one's alone.
        share: fraction of the training images that are used, drawn by the job's seed.
        sparsity: fraction of each layer's weights set to zero (kind *pruned*).
        statistics: of the batch norms of a source that is an ONNX file: ``"kept"``, or ``"renewed"`` by each batch as
            in its own training; networks that were trained here renew theirs in any case, and so does Keras.
        weight_noise: standard deviation of the noise on each layer's weights, in units of their root mean square (kind
            *weight noise*).
        rounds: of questions after the first (kinds *k-centre queries*, *entropy queries*), or how often the images are
            doubled (*Jacobian augmentation*).
        jacobian_step: by which each pixel in [0, 1] is moved there.
        erasure: weight of the steps away from the source (kind *erased*).
        forgotten: number of own examples that are unlearned (kind *own fingerprint unlearned*).
        forgotten_radius: by which these are moved, in [0, 1].
        helper: architecture of the models that such a thief trains beside; empty: the copy's.
        helper_epochs: of their training.
        interpolation: of the independent model, in the average of weights (kind *averaged with an independent model*).
    """

    epochs: int = 12
    batch_size: int = 64
    optimizer: Optimizer = "adam"
    learning_rate: float = 5e-3
    schedule: Schedule = "one-cycle"
    plateau: int = 0
    patience: int = 0
    best: bool = False
    validation: float = 0.0
    normalise: Normalise = "fixed"
    shift: int = 0
    flip: bool = False
    mix: float = 0.0
    noise: float = 0.0
    adversarial: float = 0.0
    adversarial_steps: int = dataclasses.field(default=1, metadata=_LATER)
    trades: float = dataclasses.field(default=0.0, metadata=_LATER)
    temperature: float = 1.0
    label_smoothing: float = 0.0
    weight_decay: float = 0.0
    l2: float = dataclasses.field(default=0.0, metadata=_LATER)
    precision: Precision = "float32"
    average: int = 0
    share: float = 1.0
    sparsity: float = 0.5
    statistics: Statistics = dataclasses.field(default="kept", metadata=_LATER)
    weight_noise: float = dataclasses.field(default=0.1, metadata=_LATER)
    interpolation: float = dataclasses.field(default=0.2, metadata=_LATER)
    rounds: int = dataclasses.field(default=4, metadata=_LATER)
    jacobian_step: float = dataclasses.field(default=0.1, metadata=_LATER)
    erasure: float = dataclasses.field(default=0.0, metadata=_LATER)
    forgotten: int = dataclasses.field(default=100, metadata=_LATER)
    forgotten_radius: float = dataclasses.field(default=0.1, metadata=_LATER)
    helper: str = dataclasses.field(default="", metadata=_LATER)
    helper_epochs: int = dataclasses.field(default=10, metadata=_LATER)

    def __post_init__(self) -> None:
        check_choices(self)
        if self.epochs < 1 or self.batch_size < 2:  # batch norm needs two images
            raise OptionError(f"A recipe needs 1 epoch and 2 images per batch; found {self.epochs}, {self.batch_size}.")
        if self.learning_rate <= 0 or self.temperature <= 0 or not 0 < self.share <= 1:
            raise OptionError("A recipe's learning rate and temperature are positive, and its share lies in (0, 1].")
        if min(self.shift, self.noise, self.weight_decay, self.l2, self.plateau, self.patience, self.average) < 0:
            raise OptionError("A recipe's shift, noise, decay, l2, plateau, patience and average are not negative.")
        if not (0 <= self.mix <= 1 and 0 <= self.adversarial <= 1):
            raise OptionError("A recipe's mix and adversarial radius lie in [0, 1].")
        if not all(0 <= value < 1 for value in (self.sparsity, self.validation, self.label_smoothing)):
            raise OptionError("A recipe's sparsity, validation share and label smoothing lie in [0, 1).")
        if not (0 <= self.weight_noise <= 100 and 0 <= self.interpolation < 1):
            raise OptionError("A recipe's weight noise lies in [0, 100], and its interpolation in [0, 1).")
        self._check_attacks()
        if (self.plateau or self.patience or self.best) and not self.validation:
            raise OptionError("A recipe with plateau, patience or best needs a validation share, such as 0.1.")
        if self.average > self.epochs or (self.average > 1 and self.best):
            raise OptionError("A recipe averages at most all of its epochs, and not where it keeps the best one.")

    def _check_attacks(self) -> None:
        if not (1 <= self.adversarial_steps <= 1000 and 0 <= self.trades <= 1000):
            raise OptionError("A recipe has 1 to 1000 adversarial steps, and trades lies in [0, 1000].")
        if (self.trades or self.adversarial_steps > 1) and not self.adversarial:
            raise OptionError("A recipe with adversarial steps or trades needs an adversarial radius, such as 0.008.")
        if not 0 <= self.rounds <= 20:  # the images are doubled so often
            raise OptionError(f"A recipe has 0 to 20 rounds; found {self.rounds}.")
        if not (0 <= self.jacobian_step <= 1 and 0 <= self.forgotten_radius <= 1 and 0 <= self.erasure <= 1000):
            raise OptionError(
                "A recipe's Jacobian step and forgotten radius lie in [0, 1], and its erasure in [0, 1000]."
            )
        if self.forgotten < 1 or self.helper_epochs < 1:
            raise OptionError("A recipe's forgotten examples and helper epochs are at least 1.")

    @property
    def partial(self) -> bool:
        """Whether a part of the images is used."""
        return self.share < 1

    def identity(self) -> dict[str, Any]:
        """Return the fields that count in a job's digest."""
        values = ((field, getattr(self, field.name)) for field in dataclasses.fields(self))
        return {field.name: value for field, value in values if value != field.default or field.metadata != _LATER}

    @property
    def augments(self) -> bool:
        """Whether the images change from epoch to epoch."""
        return self.flip or max(self.shift, self.mix, self.noise) > 0


def packaged_recipes() -> dict[str, dict[str, Any]]:
    """Return the tables of the recipes that come with the package, by name.

    Example:
        >>> sorted(packaged_recipes())
        ['digits', 'fast', 'report']
    """
    found = (path for path in (files("cae_backends.training") / "recipes").iterdir() if path.name.endswith(".toml"))
    return {path.name.removesuffix(".toml"): tomllib.loads(path.read_text(encoding="utf-8")) for path in found}


def read_recipe(
    name: str, *, tables: Mapping[str, Mapping[str, Any]], changes: Mapping[str, Any] | None = None
) -> Recipe:
    """Make the recipe ``name`` of ``tables``.

    Args:
        name: a key of ``tables``.
        tables: fields of `Recipe`; ``base`` names another table whose fields apply where the own ones are silent.
        changes: fields that replace the table's.

    Raises:
        OptionError: an unknown recipe or field, a value of another type or outside its range, or bases in a circle.
    """
    fields: dict[str, Any] = dict(changes or {})
    seen: list[str] = []
    while name:
        if name in seen or name not in tables:
            problem = f"are each other's base: {', '.join(seen)}" if name in seen else f"have no {name!r}"
            raise OptionError(f"The recipes {problem}. Known are {', '.join(sorted(tables))}.")
        seen.append(name)
        table = dict(tables[name])
        base = table.pop("base", "")
        fields = table | fields
        name = str(base)
    return _recipe(seen[0], fields)


def _recipe(name: str, fields: Mapping[str, Any]) -> Recipe:
    try:
        values = read_fields(Recipe, fields)
        values |= {field: float(value) for field, value in values.items() if isinstance(getattr(Recipe, field), float)}
        return Recipe(**values)
    except OptionError as error:
        raise OptionError(f"Recipe {name}: {error}") from error
