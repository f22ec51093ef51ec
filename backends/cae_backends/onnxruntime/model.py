"""ONNX models run by ONNX Runtime: black boxes, on the CPU or on a CUDA device.

ONNX Runtime is imported when the first model is opened, and the package onnx never: start-up is part of the product.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.batches import check_fixed_batch
from cae_backends.contract_files import find_contract
from cae_backends.onnx.external_data import shown
from cae_backends.onnx.files import says
from cae_backends.onnxruntime.session import open_session, readable_texts, release, runtime_failures, shortened
from cae_core.arrays import Images, check_images
from cae_core.contract import Contract
from cae_core.errors import ContractError, ModelError
from cae_core.loaders import Device
from cae_core.models import Predictions

__all__ = ["OnnxRuntimeModel", "open_with_runtime"]

_BATCH_PIXELS = 128 * 32 * 32
"""Height times width times images in one run: 128 images of 32x32 were fastest on CPUs (MobileNetV2: 16 images
10 % slower, 1024 images 4 %), and the activations of larger images stay bounded."""

_ACCELERATOR_BATCHES = 8
"""An accelerator is given this many times more at once."""

_LARGEST_INPUT = 1 << 30
"""Bytes of one run's input at most: of a fixed batch, or of one image that the contract enlarges."""

_BY_THE_BATCH = b"DynamicQuantize"
"""Begins the names of the operators that scale by the largest value of all that they are given at once."""

_FLOATS = {"tensor(float)": "float32", "tensor(float16)": "float16", "tensor(double)": "float64"}
_INPUT_DTYPES = {**_FLOATS, "tensor(uint8)": "uint8"}
_INTEGERS = frozenset(f"tensor({kind}{bits})" for kind in ("int", "uint") for bits in (8, 16, 32, 64))


class OnnxRuntimeModel:
    """A classifier in an ONNX file: one image input of rank 4, and one output that is used.

    Attributes:
        contract: what it takes and answers.
        input_shape: of the image tensor; a symbolic axis is a string, an unknown one None.
        output: name of the output that is used.
        providers: ONNX Runtime's names of where it runs, the preferred one first.
        runtime: what answers, such as ``"onnxruntime 1.31.1"``.
    """

    def __init__(self, path: Path, session: Any, contract: Contract) -> None:  # noqa: ANN401 - an InferenceSession
        """Wrap an open ``session``.

        Raises:
            ModelError: no output can be what the contract says.
            ContractError: the contract's tensor does not fit the input's type.
        """
        self.contract = contract
        self.runtime = release()
        self.providers: tuple[str, ...] = tuple(session.get_providers())
        self._path = path
        self._session = session
        self._input = session.get_inputs()[0]
        self.input_shape: tuple[int | str | None, ...] = tuple(self._input.shape)
        self._dtype = _input_dtype(path, self._input, contract)
        self._one_by_one = says(path, _BY_THE_BATCH)
        self.output = _output_name(path, session.get_outputs(), contract)

    def predict(self, images: Images) -> Predictions:
        """Answer ``images``, uint8 or float32 in [0, 1], (n, h, w, k), in batches of bounded size.

        Raises:
            DataError: the images are not canonical.
            ContractError: their size or channels do not fit the model.
            ModelError: the model fails, or answers in another shape than (n, c) or (n,).
        """
        check_images(images)
        if not len(images):  # few graphs run on no image, so ask for one and keep nothing of the answer
            blank = self.predict(np.zeros((1, *images.shape[1:]), np.uint8))
            probabilities = None if blank.probabilities is None else blank.probabilities[:0]
            return Predictions(blank.labels[:0], probabilities)
        return self.contract.to_predictions(self.scores(images))

    def scores(self, images: Images) -> NDArray[Any]:
        """Return the file's own answer, (n, outputs) or labels (n,), for at least one image; see `predict`."""
        return np.concatenate(list(self._answers(images)))

    def _answers(self, images: Images) -> Iterator[NDArray[Any]]:
        fixed = self._input.shape[0] if isinstance(self._input.shape[0], int) else None
        check_fixed_batch(fixed or 1, str(self._path))
        size = fixed or self._batch_size(images.shape)
        self._check_fit(size, images.shape)  # before anything of that size is made
        step = 1 if self._one_by_one else size
        for start in range(0, len(images), step):
            x = self.contract.to_input(images[start : start + step]).astype(self._dtype, copy=False)
            count = len(x)
            if fixed and count < fixed:
                x = np.concatenate([x, np.repeat(x[-1:], fixed - count, axis=0)])
            yield self._run(x)[:count]

    def _batch_size(self, shape: tuple[int, ...]) -> int:
        height, width = self.contract.size or shape[1:3]
        pixels = _BATCH_PIXELS * (1 if self.providers == ("CPUExecutionProvider",) else _ACCELERATOR_BATCHES)
        return max(1, pixels // max(1, height * width))

    def _check_fit(self, batch: int, images: tuple[int, ...]) -> None:
        """Refuse images of shape (n, h, w, k) that the model cannot take, ``batch`` of them at a time."""
        height, width = self.contract.size or images[1:3]
        try:
            self.contract.check_size(images[1], images[2])
            channels = len(self.contract.channel_matrix(images[3]))
            self.contract.affine(channels)
            self.contract.check_mean_image((height, width, channels))
        except ContractError as error:
            raise ContractError(f"{self._path}: {error}") from error
        image = (channels, height, width) if self.contract.layout == "NCHW" else (height, width, channels)
        wanted, shape = self._input.shape[1:], (batch, *image)
        if any(isinstance(size, int) and size != found for size, found in zip(wanted, image, strict=True)):
            raise ContractError(
                f"{self._path}: the model takes images of shape {tuple(wanted)} and its contract makes {image} from "
                "these. Is it a model of this task? Correct layout, channels or size in the contract, or name a resize "
                "rule."
            )
        size = math.prod(shape) * np.dtype(self._dtype).itemsize
        if size > _LARGEST_INPUT:
            raise ModelError(
                f"{self._path}: the model takes {shape[0]} images of shape {shape[1:]} at a time, {size} bytes; "
                f"at most {_LARGEST_INPUT} are made. Export it with a smaller batch, or with a free one."
            )

    def _run(self, x: NDArray[Any]) -> NDArray[Any]:
        try:
            answer: NDArray[Any] = self._session.run([self.output], {self._input.name: x})[0]
        except runtime_failures() as exc:
            raise ModelError(f"{self._path}: ONNX Runtime cannot run the model ({shortened(exc)}).") from exc
        expected, fits = "(n, c) with c >= 2", answer.ndim == 2 and answer.shape[1] >= 2
        if self.contract.output == "labels":
            expected, fits = "(n,)", answer.size == len(answer)
            answer = answer.reshape(-1)
        if answer.ndim == 2 and answer.shape[1] == 1 and not fits:
            raise ModelError(
                f"{self._path}: the model answers one score an image, as two classes with one sigmoid do; a classifier "
                "here has a score for each class. Export it with the two outputs 1 - p and p."
            )
        if not fits or len(answer) != len(x):
            raise ModelError(
                f"{self._path}: a classifier that answers {self.contract.output} has an output of shape {expected}; "
                f"found {answer.shape} for {len(x)} images. Export the classifier's last layer, one row an image."
            )
        return answer


def open_with_runtime(
    path: Path, *, contract: Contract | None, device: Device, optimised: bool = True
) -> OnnxRuntimeModel:
    """Open an ONNX file; ``optimised``: with the runtime's changes to its graph. See `OnnxRuntimeLoader.open`."""
    session = open_session(path, device, optimised=optimised)
    with readable_texts(path):
        shape, kind = _image_input(path, session.get_inputs())
        metadata = session.get_modelmeta().custom_metadata_map
    found = find_contract(path, metadata, shape, contract, dtype=kind)
    with readable_texts(path):
        return OnnxRuntimeModel(path, session, found)


def _image_input(path: Path, inputs: Sequence[Any]) -> tuple[list[int | str | None], str]:
    """Return shape and dtype of the only input.

    Raises:
        ModelError: several inputs, or none that takes images.
    """
    if not inputs:
        raise ModelError(
            f"{path}: it has no input: a classifier has one, its images. Export it with the images as input."
        )
    if len(inputs) > 1:
        raise ModelError(_several(path, inputs))
    shape: list[int | str | None] = list(inputs[0].shape)
    if len(shape) != 4:
        raise ModelError(
            f"{path}: the input {inputs[0].name!r} must take images, rank 4; found shape {shape}. Export the model "
            "with an image input (a scikit-learn model: cae_converters.sklearn_to_onnx)."
        )
    return shape, _INPUT_DTYPES.get(inputs[0].type, str(inputs[0].type))


def _several(path: Path, inputs: Sequence[Any]) -> str:
    images = next((x for x in inputs if len(x.shape) == 4), inputs[0])
    others = [shown(x.name) for x in inputs if x is not images]
    constant, them = ("a constant", "it") if len(others) == 1 else ("constants", "them")
    return (
        f"{path}: its inputs are {', '.join(shown(x.name) for x in inputs)}: a classifier has one; make "
        f"{', '.join(others)} {constant}, or export the model without {them}."
    )


def _input_dtype(path: Path, tensor: Any, contract: Contract) -> str:  # noqa: ANN401 - a NodeArg
    if contract.input not in (None, tensor.name):
        raise ContractError(f"{path}: the contract's input is {contract.input!r}; the model's is {tensor.name!r}.")
    dtype = _INPUT_DTYPES.get(tensor.type, str(tensor.type))
    if (dtype == "uint8") == (contract.dtype == "uint8") and tensor.type in _INPUT_DTYPES:
        return dtype
    remedy = 'dtype = "uint8", range = [0, 255]' if dtype == "uint8" else 'a float model has dtype = "float32"'
    raise ContractError(f"{path}: the model takes {dtype} and its contract says {contract.dtype}; {remedy}.")


def _output_name(path: Path, outputs: Sequence[Any], contract: Contract) -> str:
    """Return the only output that can be what the contract says: integers for labels, else floats of rank 2."""
    labels = contract.output == "labels"
    kinds = _INTEGERS if labels else _FLOATS.keys()
    fitting = [x for x in outputs if x.type in kinds]
    if len(fitting) > 1 and not labels:
        fitting = [x for x in fitting if len(x.shape) in (0, 2)]  # 0: of unknown rank
    if len(fitting) == 1:
        return str(fitting[0].name)
    found = ", ".join(f"{x.name} {x.type} {list(x.shape)}" for x in outputs)
    raise ModelError(
        f"{path}: the contract says output = {contract.output!r}, which takes one "
        f"{'integer' if labels else 'float'} output; found {found}. "
        "Correct the contract's output, or export the model with that output only."
    )
