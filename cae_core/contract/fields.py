"""The input and output contract of one model: what it takes and what it answers."""

import dataclasses
from dataclasses import dataclass
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Images, Labels, as_unit_float, check_images, sha256_of
from cae_core.contract.answers import labels_of, normalised, scores_of
from cae_core.contract.checks import check_contract
from cae_core.contract.integers import INTEGERS, quantised
from cae_core.contract.layouts import laid_out, lifted, tensor_shape
from cae_core.contract.task import Task
from cae_core.errors import ContractError, quoted
from cae_core.files.digests import digest_of
from cae_core.models import NO_ANSWER, Predictions
from cae_core.resize import RESIZE_RULES, resize, resize_matrix

__all__ = ["SMALLEST_PROBABILITY", "Contract", "contract_of"]

SMALLEST_PROBABILITY = 1e-30
"""Where probabilities are clamped before a logarithm is taken, in every framework.

Well inside float32: a clamped answer has a finite logarithm, and 1/p does not overflow in the backward pass.
"""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The input and output contract of one model.

    A canonical image is (h, w, k) in [0, 1]. The model's tensor is made from it in this order: resize to
    ``size`` by the rule ``resize``; reorder the channels; scale [0, 1] to ``range``; subtract ``mean`` or
    ``mean_image`` and divide by ``std`` (in the units of ``range``); lay out; convert to ``dtype``.

    Attributes:
        layout: ``"NHWC"``, ``"NCHW"``, ``"HW"`` (no axis of channels), ``"FLAT"`` (one row of numbers in the order of
            NHWC) or ``"FLAT_NCHW"`` (one row in the order of NCHW).
        range: the values that black and white have, such as (0, 1), (0, 255) or (-1, 1).
        output: ``"logits"``, ``"probabilities"`` or ``"labels"``.
        channels: ``"RGB"``, ``"BGR"`` or ``"GRAY"``; None: as many as the image has; three are RGB.
        size: (height, width); None: the image's own.
        resize: a rule of `cae_core.resize`; None: an image of another size is refused.
        dtype: ``"float32"``, which suits every float model, ``"float16"``, ``"float64"``, or an integer type: such a
            model takes the whole numbers of ``range``, such as 0 to 255, or is quantised.
        mean: mean of each channel in the model's channel order, or one for all.
        std: deviation of each channel in the model's channel order, or one for all.
        mean_image: float32 (height, width, channels), subtracted instead of ``mean``.
        classes: ``classes[j]`` is the data set's class for output j, or -1 for none; None: the same order.
        input: name of the input tensor; checked if it is given.
        output_name: name of the output tensor that is read; None: the only one that ``output`` can mean.
        class_names: the names of the outputs in order; `for_task` finds the data set's classes of these names.
        scale: scale of a quantised input: the number v, made as above, becomes the integer v / scale + zero_point.
        zero_point: zero point of a quantised input; None: 0.
    """

    layout: Literal["NHWC", "NCHW", "HW", "FLAT", "FLAT_NCHW"]
    range: tuple[float, float]
    output: Literal["logits", "probabilities", "labels"]
    channels: Literal["RGB", "BGR", "GRAY"] | None = None
    size: tuple[int, int] | None = None
    resize: str | None = None
    dtype: Literal["float32", "float16", "float64", "uint8", "int8", "uint16", "int16", "int32", "int64"] = "float32"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    mean_image: Floats32 | None = dataclasses.field(default=None, compare=False)
    classes: tuple[int, ...] | None = None
    input: str | None = None
    output_name: str | None = None
    class_names: tuple[str, ...] | None = None
    scale: float | None = None
    zero_point: int | None = None

    def __post_init__(self) -> None:
        check_contract(self)

    def to_input(self, images: Images) -> NDArray[Any]:
        """Make the model's tensor from canonical ``images`` (n, h, w, k)."""
        check_images(images)
        self.check_size(images.shape[1], images.shape[2])
        x = as_unit_float(images)
        if self.size is not None and x.shape[1:3] != self.size:
            x = resize(x, self.size, cast("str", self.resize))
        x = self._reorder(x)
        scale, shift = self.affine(x.shape[3])
        if (scale != 1).any() or shift.any():
            x = x * scale + shift
        if self.mean_image is not None:
            self.check_mean_image(x.shape[1:])
            x = x - np.asarray(self.mean_image / self._std(x.shape[3]), np.float32)
        x = laid_out(x, self.layout)
        if self.takes_integers:
            return np.ascontiguousarray(quantised(x, self.dtype, self.scale, self.zero_point))
        return np.ascontiguousarray(x, dtype=self.dtype)

    def pull_back(self, gradient: Floats32, image_shape: tuple[int, ...]) -> Floats32:
        """Apply the adjoint of the linear part of `to_input` to a gradient with respect to the model's tensor.

        Args:
            gradient: in the model's layout, or in another shape that holds the same numbers in this order.
            image_shape: (n, h, w, k) of the canonical images.
        """
        g = lifted(gradient, self.layout, self.model_image(image_shape[1:]))
        g = g * self.affine(g.shape[3])[0]
        g = g @ self.channel_matrix(image_shape[3])
        _, height, width, _ = image_shape
        if g.shape[1:3] != (height, width):
            rule = cast("str", self.resize)
            rows, columns = resize_matrix(height, g.shape[1], rule), resize_matrix(width, g.shape[2], rule)
            g = np.einsum("Hh,nHWk,Ww->nhwk", rows, g, columns, optimize=True)
        return np.ascontiguousarray(g, dtype=np.float32)

    @property
    def takes_integers(self) -> bool:
        """Whether the model's tensor is of whole numbers, through which there is no gradient."""
        return self.dtype in INTEGERS

    def model_image(self, image: tuple[int, ...]) -> tuple[int, int, int]:
        """Return (h, w, k) of the model's image for a canonical one (h, w, k).

        Raises:
            ContractError: the model takes other channels.
        """
        height, width = self.size or (image[0], image[1])
        return height, width, len(self.channel_matrix(image[2]))

    def tensor_shape(self, image: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape of the model's tensor without its batch, for a canonical image (h, w, k).

        Raises:
            ContractError: the model takes other channels.
        """
        return tensor_shape(self.layout, self.model_image(image))

    def _reorder(self, x: Floats32) -> Floats32:
        matrix = self.channel_matrix(x.shape[3])
        return x if np.array_equal(matrix, np.eye(x.shape[3])) else x @ matrix.T

    def check_size(self, height: int, width: int) -> None:
        """Refuse images of another size where the contract names no resize rule."""
        if self.size is not None and self.size != (height, width) and self.resize is None:
            raise ContractError(
                f"The model takes {self.size[0]}x{self.size[1]} images and the images are {height}x{width}. "
                f"Name a resize rule in its contract: {', '.join(RESIZE_RULES)}."
            )

    def check_mean_image(self, shape: tuple[int, ...]) -> None:
        """Refuse a mean image of another shape than ``shape``, (height, width, channels) of the model."""
        if self.mean_image is not None and self.mean_image.shape != shape:
            raise ContractError(
                f"The contract's mean image has shape {self.mean_image.shape} and the model takes {shape}. "
                "Give the mean image of these data."
            )

    def channel_matrix(self, k: int) -> Floats32:
        """Return the matrix (model channels, k) that takes an image's channels to the model's."""
        wanted = self.channels or ("GRAY" if k == 1 else "RGB")
        if k == 3 and wanted in ("RGB", "BGR"):
            return np.eye(3, dtype=np.float32)[:: 1 if wanted == "RGB" else -1]
        if k == 1:
            return np.ones((1 if wanted == "GRAY" else 3, 1), np.float32)
        raise ContractError(
            f"The model takes {wanted} and the images have {k} channels. Convert the model, or the images, first."
        )

    def affine(self, channels: int) -> tuple[Floats32, Floats32]:
        """Return scale and shift per model channel: tensor = scale * image + shift (less the mean image)."""
        low, high = self.range
        std = self._std(channels)
        mean = _per_channel(self.mean or (0.0,), channels, "mean")
        return ((high - low) / std).astype(np.float32), ((low - mean) / std).astype(np.float32)

    def _std(self, channels: int) -> NDArray[np.float64]:
        return _per_channel(self.std or (1.0,), channels, "std")

    def to_predictions(self, output: NDArray[Any]) -> Predictions:
        """Turn the model's raw answer, (n, c), (n, 1) or labels (n,), into `Predictions`.

        A row that is not finite, and a label outside the class map, is `NO_ANSWER`. Logits in integers tell labels
        only: the scale, without which they are no probabilities, does not stand in them.
        """
        if self.output == "labels":
            return Predictions(self._mapped(labels_of(output, self.class_names)))
        scores = self.to_canonical(scores_of(output, self.output))
        finite = np.isfinite(scores).all(axis=1)
        labels = np.where(finite, scores.argmax(axis=1), NO_ANSWER).astype(np.int64)
        whole = output.dtype.kind in "iu"
        if self.output == "probabilities":
            if whole or (self.classes is not None and NO_ANSWER in self.classes):
                scores = normalised(scores)  # what is left is all that the data know
            return Predictions(labels, scores)
        if whole:
            return Predictions(labels)
        with np.errstate(invalid="ignore"):  # a row with infinities becomes NaN, and is no answer
            shifted = np.exp(scores - scores.max(axis=1, keepdims=True, initial=-np.inf))
        return Predictions(labels, shifted / shifted.sum(axis=1, keepdims=True))

    def to_canonical(self, scores: NDArray[Any]) -> Floats32:
        """Bring the columns of scores (n, c) into the order of the data set's classes."""
        columns = self._columns()
        if columns is not None and columns.max() >= scores.shape[1]:
            raise ContractError(
                f"The contract's classes name {len(cast('tuple[int, ...]', self.classes))} outputs and the model has "
                f"{scores.shape[1]}. Name the class of each output."
            )
        ordered = scores if columns is None else scores[:, columns]
        return np.ascontiguousarray(ordered, dtype=np.float32)

    def to_logits(self, scores: NDArray[Any]) -> Floats32:
        """Return the canonical logits of scores (n, c); the logarithms of probabilities, clamped at 1e-30."""
        canonical = self.to_canonical(scores_of(scores, self.output))
        if self.output != "probabilities":
            return canonical
        return np.asarray(np.log(np.maximum(canonical, np.float32(SMALLEST_PROBABILITY))), np.float32)

    def from_canonical(self, gradient: Floats32, outputs: int) -> Floats32:
        """The adjoint of `to_canonical`: a gradient (n, c) for the model's ``outputs`` columns."""
        columns = self._columns()
        if columns is None:
            return gradient
        raw = np.zeros((len(gradient), outputs), np.float32)
        raw[:, columns] = gradient
        return raw

    def _columns(self) -> NDArray[np.int64] | None:
        """The model's column of each class of the data set."""
        if self.classes is None:
            self._check_places()
            return None
        known = sorted(c for c in self.classes if c != NO_ANSWER)
        if known != list(range(len(known))):
            raise ContractError(f"A class map names each class 0 .. c-1 once (-1: none); found {list(self.classes)}.")
        place = {c: j for j, c in enumerate(self.classes)}
        return np.array([place[c] for c in known], np.int64)

    def _check_places(self) -> None:
        if self.class_names is not None:
            raise ContractError(
                "The contract names its classes in words, and what the data call their classes is not known here. "
                "Give their numbers: classes = [...]."
            )

    def _mapped(self, labels: Labels) -> Labels:
        if self.classes is None:
            self._check_places()
            return labels
        table = np.array(self.classes, np.int64)
        inside = (labels >= 0) & (labels < len(table))
        return np.where(inside, table[np.where(inside, labels, 0)], NO_ANSWER)

    def for_task(self, task: Task | None) -> Self:
        """Return this contract with the class of each output filled in, where it names the outputs in words.

        Raises:
            ContractError: the data know no class by one of the names, or by any.
        """
        if self.class_names is None or self.classes is not None or task is None:
            return self
        places = [task.place(name) for name in self.class_names]
        missing = sorted(set(range(task.classes)) - set(places))
        if missing:
            wanted = quoted(task.names[missing[0]]) if task.names else f"called {missing[0]}"
            raise ContractError(
                f"The contract's class_names are {', '.join(map(quoted, self.class_names[:10]))}, and the data have a "
                f"class {wanted}. Correct the names, or give the class of each output by number: classes = [...]."
            )
        return self.replace(classes=tuple(NO_ANSWER if place is None else place for place in places))

    def stated(self) -> dict[str, Any]:
        """Return the fields that say something, as a table of TOML or an object of JSON holds them."""
        return {name: value for name, value in vars(self).items() if value is not None}

    def table(self) -> dict[str, Any]:
        """Return what `stated` does as JSON holds it, each value in its one form; a mean image by its SHA-256.

        Example:
            >>> Contract(layout="NHWC", range=(0, 255), output="logits").table()
            {'layout': 'NHWC', 'range': [0.0, 255.0], 'output': 'logits', 'dtype': 'float32'}
        """
        return {name: _in_its_form(name, value) for name, value in self.stated().items()}

    @property
    def digest(self) -> str:
        """The SHA-256 over the canonical JSON (sorted keys, no spaces) of `table`: what a model was asked by."""
        return digest_of(self.table())

    def replace(self, **changes: Any) -> Self:  # noqa: ANN401 - the fields have different types
        """Return a copy with ``changes``."""
        return dataclasses.replace(self, **changes)


def contract_of(model: object) -> Contract | None:
    """Return the contract by which a model is asked; None of one that does not say."""
    contract = getattr(model, "contract", None)
    return contract if isinstance(contract, Contract) else None


def _in_its_form(name: str, value: Any) -> Any:  # noqa: ANN401 - the fields have different types
    """Return a field's value as JSON holds it: equal contracts look alike, (0, 255) and (0.0, 255.0) are one."""
    if name in ("range", "mean", "std"):
        return [float(x) for x in value]
    if name in ("size", "classes"):
        return [int(x) for x in value]
    if name == "class_names":
        return list(value)
    if name == "scale":
        return float(value)
    if name == "mean_image":
        pixels = np.ascontiguousarray(value, "<f4")
        return {"shape": list(pixels.shape), "sha256": sha256_of(pixels)}
    return value


def _per_channel(values: tuple[float, ...], channels: int, name: str) -> NDArray[np.float64]:
    if len(values) not in (1, channels):
        wanted = "1 value" if channels == 1 else f"1 or {channels} values"
        raise ContractError(
            f"The contract's {name} must have {wanted}, for the tensor made from these images; found "
            f'{len(values)}. Correct it, or name the channels that the model takes, such as channels = "RGB".'
        )
    return np.broadcast_to(np.asarray(values, np.float64), (channels,))
