"""What a model takes and what it answers: said once, in a file, and never guessed in silence.

Wrong range, layout and normalisation are the most frequent cause of wrong results in this field. The whole
input contract is affine in the image, so it and its adjoint stand here, once, for every backend.
"""

import dataclasses
import io
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, cast

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Images, Labels, as_unit_float, check_images, sha256_of
from cae_core.errors import ContractError, quoted
from cae_core.files.digests import digest_of
from cae_core.models import NO_ANSWER, Predictions
from cae_core.reading import check_depth, parse_toml, read_limited, reading
from cae_core.resize import RESIZE_RULES, resize, resize_matrix

__all__ = [
    "METADATA_PREFIX",
    "SMALLEST_PROBABILITY",
    "Contract",
    "contract_from_metadata",
    "contract_of",
    "files_named",
    "metadata_of",
    "parse_contract",
    "read_contract",
]

METADATA_PREFIX = "cae."
"""Prefix of the keys under which an exported model carries its contract (ONNX ``metadata_props``)."""

SMALLEST_PROBABILITY = 1e-30
"""Where probabilities are clamped before a logarithm is taken, in every framework.

Well inside float32: a clamped answer has a finite logarithm, and 1/p does not overflow in the backward pass.
"""

_CHOICES: dict[str, tuple[str, ...]] = {
    "layout": ("NHWC", "NCHW"),
    "channels": ("RGB", "BGR", "GRAY"),
    "dtype": ("float32", "uint8"),
    "output": ("logits", "probabilities", "labels"),
    "resize": RESIZE_RULES,
}

_LISTS = ("size", "mean", "std", "classes")
"""The fields that metadata hold as JSON."""

_LARGEST_SIZE = 4096
"""Pixels: what a classifier takes at most in height and width."""

_LARGEST_VALUE = 1e15
"""Of range, mean and std: their quotients still fit into float32."""

_CLASSES = 1 << 31

_LARGEST_FILE = 1 << 20
"""Bytes of a contract's file at most."""

_LARGEST_IMAGE = 1 << 29
"""Bytes of a mean image's file at most: 4096 x 4096 pixels of three channels, in float64."""


@dataclass(frozen=True, kw_only=True)
class Contract:
    """The input and output contract of one model.

    A canonical image is (h, w, k) in [0, 1]. The model's tensor is made from it in this order: resize to
    ``size`` by the rule ``resize``; reorder the channels; scale [0, 1] to ``range``; subtract ``mean`` or
    ``mean_image`` and divide by ``std`` (in the units of ``range``); lay out; convert to ``dtype``.

    Attributes:
        layout: ``"NHWC"`` or ``"NCHW"``.
        range: the values that black and white have, such as (0, 1), (0, 255) or (-1, 1).
        output: ``"logits"``, ``"probabilities"`` or ``"labels"``.
        channels: ``"RGB"``, ``"BGR"`` or ``"GRAY"``; None: as many as the image has, RGB where three.
        size: (height, width); None: the image's own.
        resize: a rule of `cae_core.resize`; None: an image of another size is refused.
        dtype: ``"float32"`` or ``"uint8"``; a uint8 model takes the values 0 to 255.
        mean: per channel in the model's channel order, or one for all.
        std: likewise.
        mean_image: float32 (height, width, channels), subtracted instead of ``mean``.
        classes: ``classes[j]`` is the data set's class of output j, or -1 for none; None: the same order.
        input: name of the input tensor, checked where it is given.
    """

    layout: Literal["NHWC", "NCHW"]
    range: tuple[float, float]
    output: Literal["logits", "probabilities", "labels"]
    channels: Literal["RGB", "BGR", "GRAY"] | None = None
    size: tuple[int, int] | None = None
    resize: str | None = None
    dtype: Literal["float32", "uint8"] = "float32"
    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    mean_image: Floats32 | None = dataclasses.field(default=None, compare=False)
    classes: tuple[int, ...] | None = None
    input: str | None = None

    def __post_init__(self) -> None:
        for field, choices in _CHOICES.items():
            value = getattr(self, field)
            if value is not None and value not in choices:
                raise ContractError(
                    f"The contract's {field} must be one of {', '.join(choices)}; found {quoted(value)}."
                )
        if len(self.range) != 2 or (self.size is not None and len(self.size) != 2):
            raise ContractError("The contract's range and size take two values each.")
        low, high = self.range
        if not low < high:
            raise ContractError(f"The contract's range must be (black, white) with black < white; found {self.range}.")
        if self.std and min(self.std) <= 0:
            raise ContractError(f"The contract's std must be positive; found {quoted(self.std)}.")
        self._check_numbers()
        if self.mean is not None and self.mean_image is not None:
            raise ContractError("A contract has a mean per channel or a mean image, not both. Remove one.")
        normalised = bool(self.mean or self.std) or self.mean_image is not None
        if self.dtype == "uint8" and (normalised or self.range != (0.0, 255.0)):
            raise ContractError("A uint8 model takes the range [0, 255] without mean or std. Put them into the graph.")

    def _check_numbers(self) -> None:
        """Refuse what no model can mean: values that are not finite, sizes that no image has, no class at all."""
        for name in ("range", "mean", "std"):
            values = getattr(self, name)
            if values is not None and not (values and all(abs(v) <= _LARGEST_VALUE for v in values)):
                raise ContractError(f"The contract's {name} must hold ordinary finite numbers; found {quoted(values)}.")
        if self.size is not None and not all(1 <= v <= _LARGEST_SIZE for v in self.size):
            raise ContractError(
                f"The contract's size must hold numbers of pixels, 1 to {_LARGEST_SIZE}; found {quoted(self.size)}."
            )
        if self.std is not None and min(self.std) * _LARGEST_VALUE < 1:
            raise ContractError(f"The contract's std must be a divisor; found {quoted(self.std)}, which is next to 0.")
        known = self.classes is None or (min(self.classes, default=-2) >= -1 and -1 < max(self.classes) < _CLASSES)
        if not known:
            raise ContractError(
                f"The contract's classes must hold numbers of classes, or -1 for none; found {quoted(self.classes)}."
            )

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
        if self.layout == "NCHW":
            x = x.transpose(0, 3, 1, 2)
        if self.dtype == "uint8":
            return np.ascontiguousarray(np.clip(np.rint(x), 0, 255).astype(np.uint8))
        return np.ascontiguousarray(x, dtype=np.float32)

    def pull_back(self, gradient: Floats32, image_shape: tuple[int, ...]) -> Floats32:
        """Apply the adjoint of the linear part of `to_input` to a gradient with respect to the model's tensor.

        Args:
            gradient: in the model's layout.
            image_shape: (n, h, w, k) of the canonical images.
        """
        g = gradient.transpose(0, 2, 3, 1) if self.layout == "NCHW" else gradient
        g = g * self.affine(g.shape[3])[0]
        g = g @ self.channel_matrix(image_shape[3])
        _, height, width, _ = image_shape
        if g.shape[1:3] != (height, width):
            rule = cast("str", self.resize)
            rows, columns = resize_matrix(height, g.shape[1], rule), resize_matrix(width, g.shape[2], rule)
            g = np.einsum("Hh,nHWk,Ww->nhwk", rows, g, columns, optimize=True)
        return np.ascontiguousarray(g, dtype=np.float32)

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
        """Turn the model's raw answer, (n, c) or labels (n,), into `Predictions`.

        A row that is not finite, and a label outside the class map, is `NO_ANSWER`.
        """
        if self.output == "labels":
            return Predictions(self._mapped(output.reshape(-1).astype(np.int64)))
        scores = self.to_canonical(output)
        finite = np.isfinite(scores).all(axis=1)
        labels = np.where(finite, scores.argmax(axis=1), NO_ANSWER).astype(np.int64)
        if self.output == "probabilities":
            if self.classes is not None and NO_ANSWER in self.classes:  # what is left is all that the data know
                scores = scores / np.maximum(scores.sum(axis=1, keepdims=True), np.finfo(np.float32).tiny)
            return Predictions(labels, scores)
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
        canonical = self.to_canonical(scores)
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
            return None
        known = sorted(c for c in self.classes if c != NO_ANSWER)
        if known != list(range(len(known))):
            raise ContractError(f"A class map names each class 0 .. c-1 once (-1: none); found {list(self.classes)}.")
        place = {c: j for j, c in enumerate(self.classes)}
        return np.array([place[c] for c in known], np.int64)

    def _mapped(self, labels: Labels) -> Labels:
        if self.classes is None:
            return labels
        table = np.array(self.classes, np.int64)
        inside = (labels >= 0) & (labels < len(table))
        return np.where(inside, table[np.where(inside, labels, 0)], NO_ANSWER)

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
    if name == "mean_image":
        pixels = np.ascontiguousarray(value, "<f4")
        return {"shape": list(pixels.shape), "sha256": sha256_of(pixels)}
    return value


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"


def _per_channel(values: tuple[float, ...], channels: int, name: str) -> NDArray[np.float64]:
    if len(values) not in (1, channels):
        raise ContractError(
            f"The contract's {name} must have 1 or {channels} values, for the tensor made from these images; found "
            f'{len(values)}. Correct it, or name the channels that the model takes, such as channels = "RGB".'
        )
    return np.broadcast_to(np.asarray(values, np.float64), (channels,))


def parse_contract(table: Mapping[str, Any], *, origin: str, folder: Path | None = None) -> Contract:
    """Make a contract from a TOML table, or from the metadata of an exported model.

    Args:
        table: the fields of `Contract`; ``mean_image`` is the path of an ``.npy`` file.
        origin: what the table was read from, for the message.
        folder: where the ``mean_image`` lies; None: it may lie anywhere.

    Raises:
        ContractError: a field is unknown, missing or malformed.
    """
    fields = {field.name for field in dataclasses.fields(Contract)}
    unknown = sorted(set(table) - fields)
    if unknown:
        raise ContractError(f"{origin}: unknown contract field {unknown[0]!r}; known are {', '.join(sorted(fields))}.")
    missing = [name for name in ("layout", "range", "output") if name not in table]
    if missing:
        raise ContractError(
            f"{origin}: the contract does not say {', '.join(missing)}. These are never guessed: "
            'for example layout = "NCHW", range = [0, 1], output = "logits".'
        )
    values = dict(table)
    with reading(origin, ContractError, fault="the contract is malformed"):
        return _made(values, origin, folder)


def _made(values: dict[str, Any], origin: str, folder: Path | None) -> Contract:
    try:
        values["range"] = tuple(float(v) for v in values["range"])
        for name, convert in (("size", int), ("classes", int), ("mean", float), ("std", float)):
            if name in values:
                given = values[name] if isinstance(values[name], list | tuple) else [values[name]]
                values[name] = tuple(convert(v) for v in given)
        if "mean_image" in values:
            values["mean_image"] = _mean_image(str(values["mean_image"]), folder)
        return Contract(**values)
    except ContractError as error:
        raise ContractError(f"{origin}: {error}") from error


def _mean_image(name: str, folder: Path | None) -> Floats32:
    """Read the ``.npy`` file ``name`` in ``folder``; None: in the working folder, or anywhere.

    Raises:
        ContractError: it lies elsewhere, is no regular file, or holds something else or more than there is memory for.
        OSError, ValueError: it cannot be read.
    """
    path = (folder or Path()) / name
    # a contract that comes with a model may be another party's
    if folder is not None and not path.resolve().is_relative_to(folder.resolve()):
        raise ContractError(f"the mean image {path} must lie in the contract's own folder, {folder}. Copy it there.")
    if path.exists() and not path.is_file():
        raise ContractError(f"the mean image {path} must be a file.")
    try:
        image: Any = np.load(io.BytesIO(read_limited(path, _LARGEST_IMAGE)), allow_pickle=False)
    except MemoryError as error:
        raise ContractError(f"the mean image {path} is larger than the memory.") from error
    if not isinstance(image, np.ndarray):
        raise ContractError(f"the mean image {path} must be one array in an .npy file; found an archive.")
    made = cast("NDArray[Any]", image)
    if made.dtype.kind not in "biuf":
        raise ContractError(f"the mean image {path} must hold numbers; found {made.dtype}.")
    return np.asarray(made, np.float32)


def read_contract(text_or_path: str) -> Contract:
    """Read a contract from a TOML file (its ``[contract]`` table, or the whole file), or from inline TOML.

    Example:
        >>> read_contract('layout = "NHWC", range = [0, 255], output = "labels"').range
        (0.0, 255.0)

    Raises:
        ContractError: neither a file nor TOML, or a field is wrong.
    """
    path = Path(text_or_path)
    inline = "=" in text_or_path and path.suffix != ".toml"
    if not inline and not path.exists():
        raise ContractError(f"{_short(text_or_path)}: no such contract file.")
    with reading(_short(text_or_path), ContractError, fault="this is not TOML"):
        content = f"contract = {{{text_or_path}}}".encode() if inline else read_limited(path, _LARGEST_FILE)
        table = parse_toml(content)
    where = "the contract option" if inline else str(path)
    found: Any = table.get("contract", table)
    if not isinstance(found, dict):
        raise ContractError(f"{where}: contract must be a table, [contract]; found {quoted(found)}.")
    return parse_contract(cast("dict[str, Any]", found), origin=where, folder=None if inline else path.parent)


def files_named(contract: Path) -> tuple[Path, ...]:
    """Return the files that the contract in a TOML file names: its mean image, where it has one.

    What is wrong with it is for `read_contract` to say.
    """
    try:
        table = parse_toml(read_limited(contract, _LARGEST_FILE))
        named = cast("dict[str, Any]", table.get("contract", table)).get("mean_image")
    except (OSError, ValueError, RecursionError, AttributeError):
        return ()
    if not isinstance(named, str) or "\0" in named:
        return ()
    below = Path(os.path.relpath(contract.parent / named, contract.parent))
    image = contract.parent / below
    try:
        return (image,) if ".." not in below.parts and image.is_file() else ()
    except OSError:  # such as a name that is longer than any
        return ()


def metadata_of(contract: Contract) -> dict[str, str]:
    """Return ``contract`` as the string metadata that an exported model carries."""
    if contract.mean_image is not None:
        raise ContractError("A mean image does not fit into metadata: export the model with it inside the graph.")
    stated = contract.stated()
    metadata = {METADATA_PREFIX + k: v if isinstance(v, str) else json.dumps(v) for k, v in stated.items()}
    metadata[METADATA_PREFIX + "range"] = f"{contract.range[0]:g}..{contract.range[1]:g}"
    return metadata


def contract_from_metadata(metadata: Mapping[str, str], *, origin: str) -> Contract | None:
    """Read back what `metadata_of` wrote; None where the model carries no contract.

    A model's file is somebody else's text, so it may not name a file of this machine: a mean image is refused.

    Raises:
        ContractError: the model carries a contract that is malformed, or that names a mean image.
    """
    known = {field.name for field in dataclasses.fields(Contract)}
    found = {k.removeprefix(METADATA_PREFIX): v for k, v in metadata.items() if k.startswith(METADATA_PREFIX)}
    found = {k: v for k, v in found.items() if k in known}  # other keys, such as the data set's name, are free
    if not found:
        return None
    if "mean_image" in found:
        raise ContractError(
            f"{origin}: its metadata name a file, cae.mean_image, and a model cannot name files of this machine. "
            "Put the mean image into the graph, or name it in a contract of your own (--contract)."
        )
    return parse_contract({k: _from_text(k, v, origin) for k, v in found.items()}, origin=origin)


def _from_text(name: str, value: str, origin: str) -> Any:  # noqa: ANN401 - the fields have different types
    """Return what a line of metadata says, as TOML would give it."""
    with reading(origin, ContractError, fault=f"the metadata cae.{name} is malformed: {quoted(value)}"):
        if name == "range":
            return value.split("..")
        parsed = json.loads(value) if name in _LISTS else value
        check_depth(parsed)
        return parsed
