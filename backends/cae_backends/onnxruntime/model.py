"""ONNX models run by ONNX Runtime: black boxes, on the CPU or on a CUDA device.

ONNX Runtime is imported when the first model is opened, and the package onnx never: start-up is part of the product.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.batches import check_fixed_batch, of_no_image, padded
from cae_backends.contract_files import find_contract
from cae_backends.onnx.files import says
from cae_backends.onnx.signature import signature_of_onnx
from cae_backends.onnxruntime.inputs import dtype_of, image_input, input_dtype
from cae_backends.onnxruntime.outputs import choose_output, rows_of
from cae_backends.onnxruntime.session import open_session, readable_texts, release, runtime_failures, shortened
from cae_backends.onnxruntime.settling import check_probabilities, settled
from cae_core.arrays import Images, check_images
from cae_core.contract import Contract, Task, fitted
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


class OnnxRuntimeModel:
    """A classifier in an ONNX file: one image input, and one output that is used.

    Attributes:
        contract: what it takes and answers; with the name of the output where its width alone decided, and with the
            class of each output where their names did.
        input_shape: of the image tensor; a symbolic axis is a string, an unknown one None.
        output: name of the output that is used.
        providers: ONNX Runtime's names of where it runs, the preferred one first.
        runtime: what answers, such as ``"onnxruntime 1.31.1"``.
    """

    def __init__(
        self,
        path: Path,
        session: Any,  # noqa: ANN401 - an InferenceSession
        contract: Contract,
        *,
        task: Task | None = None,
    ) -> None:
        """Wrap an open ``session``.

        Raises:
            ModelError: no output can be what the contract says, or it is not as wide as there are classes.
            ContractError: the contract's tensor does not fit the input's type.
        """
        self.runtime = release()
        self.providers: tuple[str, ...] = tuple(session.get_providers())
        self._path, self._session, self._task = path, session, task
        self._input, self._leftovers = image_input(path, session.get_inputs(), contract.input)
        self.input_shape: tuple[int | str | None, ...] = tuple(self._input.shape)
        self._dtype = input_dtype(path, self._input, contract)
        self._one_by_one = says(path, _BY_THE_BATCH)
        output, by_width = choose_output(path, session.get_outputs(), contract, task)
        self.output = str(output.name)
        self.contract = settled(path, contract, output, task, named=by_width)
        self._unasked = True

    def by_contract(self, contract: Contract, task: Task | None = None) -> "OnnxRuntimeModel":
        """Return this model as it is asked by another contract; see the class for what is refused."""
        return OnnxRuntimeModel(self._path, self._session, contract, task=task)

    def predict(self, images: Images) -> Predictions:
        """Answer ``images``, uint8 or float32 in [0, 1], (n, h, w, k), in batches of bounded size.

        Raises:
            DataError: the images are not canonical.
            ContractError: their size or channels do not fit the model.
            ModelError: the model fails, or answers in another shape than (n, c) or (n,).
        """
        check_images(images)
        if not len(images):
            return of_no_image(self, images.shape[1:])
        scores = self.scores(images)
        if self._unasked:
            check_probabilities(self._path, scores, self.contract)
            self._unasked = False
        return self.contract.to_predictions(scores)

    def scores(self, images: Images) -> NDArray[Any]:
        """Return the file's own answer, (n, outputs) or labels (n,), for at least one image; see `predict`."""
        return np.concatenate(list(self._answers(images)))

    def _answers(self, images: Images) -> Iterator[NDArray[Any]]:
        fixed = next((size for size in self._input.shape[:1] if isinstance(size, int)), None)  # none of unknown rank
        check_fixed_batch(fixed or 1, str(self._path))
        size = fixed or self._batch_size(images.shape)
        shape = self._tensor_shape(size, images.shape)  # before anything of that size is made
        step = 1 if self._one_by_one else size
        for start in range(0, len(images), step):
            x = self.contract.to_input(images[start : start + step]).astype(self._dtype, copy=False)
            count, x = len(x), x.reshape(len(x), *shape)
            yield self._run(padded(x, fixed or count))[:count]

    def _batch_size(self, shape: tuple[int, ...]) -> int:
        height, width = self.contract.size or shape[1:3]
        pixels = _BATCH_PIXELS * (1 if self.providers == ("CPUExecutionProvider",) else _ACCELERATOR_BATCHES)
        return max(1, pixels // max(1, height * width))

    def _tensor_shape(self, batch: int, images: tuple[int, ...]) -> tuple[int, ...]:
        """Return the axes, without the batch, in which images of shape (n, h, w, k) are given, ``batch`` at a time.

        Raises:
            ContractError: the model cannot take them.
            ModelError: they are more than are made.
        """
        wanted = self._input.shape[1:]
        try:
            self.contract.check_size(images[1], images[2])
            image = self.contract.model_image(images[1:])
            self.contract.affine(image[2])
            self.contract.check_mean_image(image)
            made = self.contract.tensor_shape(images[1:])
        except ContractError as error:
            raise ContractError(f"{self._path}: {error}") from error
        shape = fitted(self.contract.layout, made, wanted) if self._input.shape else made
        if shape is None:
            raise ContractError(
                f"{self._path}: the model takes images of shape {tuple(wanted)} and its contract makes {made} from "
                "these. Is it a model of this task? Correct layout, channels or size in the contract, or name a resize "
                f"rule.{_of_grey(made, wanted)}"
            )
        size = batch * math.prod(shape) * np.dtype(self._dtype).itemsize
        if size > _LARGEST_INPUT:
            raise ModelError(
                f"{self._path}: the model takes {batch} images of shape {shape} at a time, {size} bytes; "
                f"at most {_LARGEST_INPUT} are made. Export it with a smaller batch, or with a free one."
            )
        return shape

    def _run(self, x: NDArray[Any]) -> NDArray[Any]:
        try:
            answer = self._session.run([self.output], {self._input.name: x, **self._leftovers})[0]
        except runtime_failures() as exc:
            raise ModelError(f"{self._path}: ONNX Runtime cannot run the model ({shortened(exc)}).") from exc
        try:
            rows = rows_of(answer, len(x), self.contract, self._task)
        except ContractError as error:  # a ValueError too
            raise ContractError(f"{self._path}: {error}") from error
        except ValueError as exc:
            expected = "(n,)" if self.contract.output == "labels" else "(n, c) with c >= 2"
            raise ModelError(
                f"{self._path}: a classifier that answers {self.contract.output} has an output of shape {expected}; "
                f"found {np.shape(answer)} for {len(x)} images. Export the classifier's last layer, one row an image."
            ) from exc
        return rows


def _of_grey(made: tuple[int, ...], wanted: Sequence[int | str | None]) -> str:
    """Return the sentence that helps where grey images meet a model of colour."""
    colour = len(made) == len(wanted) == 3 and made.count(1) == 1 and 3 in (wanted[0], wanted[2])
    return ' Grey images are given to a model of three channels by channels = "RGB".' if colour else ""


def open_with_runtime(
    path: Path, *, contract: Contract | None, device: Device, task: Task | None = None, optimised: bool = True
) -> OnnxRuntimeModel:
    """Open an ONNX file; ``optimised``: with the runtime's changes to its graph. See `OnnxRuntimeLoader.open`."""
    session = open_session(path, device, optimised=optimised)
    with readable_texts(path):
        tensor, _ = image_input(path, session.get_inputs(), None if contract is None else contract.input)
        shape, kind = list(tensor.shape), dtype_of(tensor)
        metadata = session.get_modelmeta().custom_metadata_map
    found = find_contract(path, metadata, shape, contract, dtype=kind, look=lambda: signature_of_onnx(path))
    with readable_texts(path):
        return OnnxRuntimeModel(path, session, found, task=task)
