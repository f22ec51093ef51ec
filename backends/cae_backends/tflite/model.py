"""TFLite classifiers as black boxes: float or quantised, with a free batch or a fixed one."""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.batches import check_fixed_batch, images_at_once, of_no_image, padded
from cae_backends.contract_files import check_end, find_contract
from cae_backends.native_output import without_stderr
from cae_backends.onnxruntime.outputs import rows_of
from cae_backends.onnxruntime.settling import check_probabilities
from cae_backends.tflite.choosing import choose_output, image_input, settled
from cae_backends.tflite.operators import Operator, ending_of, operators_of
from cae_backends.tflite.runtime import Runtime, load_runtime
from cae_backends.tflite.tensors import Tensor, tensor_of
from cae_core.arrays import Images, check_images
from cae_core.contract import Contract, Task, fitted
from cae_core.errors import ContractError, ModelError, first_line
from cae_core.loaders import Device
from cae_core.models import Predictions
from cae_core.reading import file_size, reading
from cae_core.signature import Signature

__all__ = ["TfliteModel", "open_tflite", "signature_of_tflite"]

_MARK = b"TFL3"
"""At the bytes 4 to 7 of every TFLite file."""

_LARGEST_INPUT = 1 << 30
"""Bytes of one run's input at most."""

_CONVERT = "python -m tf2onnx.convert --tflite {path} --output {onnx} --opset 17"


class TfliteModel:
    """A classifier in a TFLite file: one image input, and one output that is used.

    Where the file's input is quantised and the contract's dtype is float32, the contract speaks of real numbers, and
    they are quantised by the scale and zero point in the file. Answers are always turned into real numbers.

    Attributes:
        contract: what it takes and answers.
        runtime: what answers, such as ``"ai-edge-litert 2.3.0"``.
    """

    def __init__(
        self,
        path: Path,
        interpreter: Any,  # noqa: ANN401 - untyped
        contract: Contract,
        *,
        runtime: str,
        task: Task | None = None,
    ) -> None:
        """Wrap an ``interpreter`` of the file ``path``.

        Raises:
            ModelError: no output can be what the contract says, or it is not as wide as there are classes.
            ContractError: the contract does not fit the input.
        """
        self.runtime = runtime
        self._path, self._interpreter, self._task = path, interpreter, task
        self._input = image_input(path, interpreter)
        self._output = choose_output(path, interpreter, contract, task)
        self.contract = settled(path, contract, self._output, task)
        self._unasked = True
        _check_dtype(path, self._input, contract)
        operators = operators_of(interpreter)
        _check_state(path, operators)
        check_end(contract, softmax=ending_of(operators, self._output.index) == "softmax", origin=str(path))
        check_fixed_batch(self._input.shape[0] or 1, str(path))

    def by_contract(self, contract: Contract, task: Task | None = None) -> "TfliteModel":
        """Return this model as it is asked by another contract; see the class for what is refused."""
        return TfliteModel(self._path, self._interpreter, contract, runtime=self.runtime, task=task)

    def predict(self, images: Images) -> Predictions:
        """Answer ``images``, uint8 or float32 in [0, 1], (n, h, w, k), in batches of bounded size.

        Raises:
            DataError: the images are not canonical.
            ContractError: their size or channels do not fit the model.
            ModelError: the model fails, or answers in another shape than (n, c) or (n,).
        """
        check_images(images)
        if not len(images):  # an interpreter has no empty tensors
            return of_no_image(self, images.shape[1:])
        scores = np.concatenate(list(self._answers(images)))
        if self._unasked:
            check_probabilities(self._path, scores, self.contract)
            self._unasked = False
        return self.contract.to_predictions(scores)

    def _answers(self, images: Images) -> Iterator[NDArray[Any]]:
        size = self._input.shape[0] or min(len(images), images_at_once(self.contract, images.shape))
        shape = self._tensor_shape(size, images.shape)  # before anything of that size is made
        for start in range(0, len(images), size):
            x = self._tensor(images[start : start + size])
            count, x = len(x), x.reshape(len(x), *shape)
            yield self._run(padded(x, size))[:count]

    def _tensor(self, images: Images) -> NDArray[Any]:
        x = self.contract.to_input(images)
        if x.dtype != self._input.dtype:
            x = self._input.quantise(x) if self._input.quantised else x.astype(self._input.dtype)
        return x

    def _tensor_shape(self, batch: int, images: tuple[int, ...]) -> tuple[int, ...]:
        """Return the axes, without the batch, in which images (n, h, w, k) are given, ``batch`` at a time.

        Raises:
            ContractError: the model cannot take them.
            ModelError: they are more than are made.
        """
        wanted = self._input.shape[1:]
        try:
            self.contract.check_size(images[1], images[2])
            made = self.contract.tensor_shape(images[1:])
        except ContractError as error:
            raise ContractError(f"{self._path}: {error}") from error
        shape = fitted(self.contract.layout, made, wanted)
        if shape is None:
            raise ContractError(
                f"{self._path}: the model takes images of shape {wanted} and its contract makes {made} from these. Is "
                "it a model of this task? Correct layout, channels or size in the contract, or name a resize rule."
            )
        if batch * math.prod(shape) * self._input.dtype.itemsize > _LARGEST_INPUT:
            raise ModelError(
                f"{self._path}: the model takes {batch} images of shape {shape} at a time; at most {_LARGEST_INPUT} "
                "bytes are made. Export it with a smaller batch."
            )
        return shape

    def _run(self, x: NDArray[Any]) -> NDArray[Any]:
        try:
            with without_stderr():  # which delegate it has, and what failed, twice
                if x.shape != tuple(self._interpreter.get_input_details()[0]["shape"]):
                    self._interpreter.resize_tensor_input(self._input.index, x.shape)
                    self._interpreter.allocate_tensors()
                self._interpreter.set_tensor(self._input.index, x)
                self._interpreter.invoke()
                answer: NDArray[Any] = self._interpreter.get_tensor(self._output.index)
        except (RuntimeError, ValueError) as exc:
            raise ModelError(_cannot_run(self._path, exc)) from exc
        try:
            return rows_of(self._output.real(answer), len(x), self.contract, self._task)
        except ValueError as exc:
            expected = "(n,)" if self.contract.output == "labels" else "(n, c)"
            raise ModelError(
                f"{self._path}: a classifier that answers {self.contract.output} has an output of shape {expected}; "
                f"found {answer.shape} for {len(x)} images. Export the classifier's last layer, one row an image."
            ) from exc


def open_tflite(path: Path, *, contract: Contract | None, device: Device, task: Task | None = None) -> TfliteModel:
    """Open a TFLite file; see `TfliteLoader.open`."""
    if device not in ("auto", "cpu"):
        raise ModelError(f"{path}: TFLite files run on the CPU here; the device {device!r} is not used. Use cpu.")
    runtime = load_runtime()
    interpreter = _interpreter(path, runtime)
    taken = image_input(path, interpreter)
    dtype = "float32" if taken.quantised else str(taken.dtype)
    found = find_contract(path, {}, taken.shape, contract, dtype=dtype, look=lambda: _signature(interpreter))
    return TfliteModel(path, interpreter, found, runtime=runtime.name, task=task)


def signature_of_tflite(path: Path) -> Signature:
    """Return what a TFLite file says of its tensors.

    Raises:
        BackendMissing: neither interpreter is installed.
        ModelError: no TFLite model, or one that the interpreter cannot run.
    """
    return _signature(_interpreter(path, load_runtime()))


def _signature(interpreter: Any) -> Signature:  # noqa: ANN401 - untyped
    operators = operators_of(interpreter)
    outputs = [tensor_of(one) for one in interpreter.get_output_details()]
    return Signature(
        inputs=tuple(tensor_of(one).sign() for one in interpreter.get_input_details()),
        outputs=tuple(one.sign(ending_of(operators, one.index)) for one in outputs),
    )


def _content(path: Path) -> bytes:
    with reading(path, ModelError, fault="this file cannot be read"):
        if not file_size(path):
            raise ModelError(f"{path}: the model file is empty. Export or copy the model again.")
        content = path.read_bytes()
    if content[4:8] != _MARK:
        raise ModelError(
            f"{path}: this is no TFLite model: such a file has {_MARK.decode()} in its bytes 4 to 7, and this one "
            f"{content[4:8]!r}. A small one may be a pointer of Git LFS. Get the file again."
        )
    return content


def _interpreter(path: Path, runtime: Runtime) -> Any:  # noqa: ANN401 - untyped
    content = _content(path)
    try:
        with without_stderr():  # which delegate it has, and what failed, twice
            interpreter = runtime.interpreter(model_content=content)
            interpreter.allocate_tensors()
    except (RuntimeError, ValueError) as exc:
        raise ModelError(_cannot_run(path, exc)) from exc
    return interpreter


def _cannot_run(path: Path, exc: Exception) -> str:
    way = _CONVERT.format(path=path, onnx=path.with_suffix(".onnx"))
    return (
        f"{path}: the interpreter cannot run this TFLite model ({first_line(exc)}). Get the file again; where it needs "
        f"operators that this interpreter has not, convert it: {way}."
    )


def _check_dtype(path: Path, taken: Tensor, contract: Contract) -> None:
    if contract.input not in (None, taken.name):
        raise ContractError(f"{path}: the contract's input is {contract.input!r}; the model's is {taken.name!r}.")
    if contract.dtype == str(taken.dtype) or (contract.dtype == "float32" and taken.quantised):
        return
    if contract.dtype.startswith("float") and taken.dtype.kind == "f":
        return
    raise ContractError(
        f"{path}: the model takes {taken.dtype} and its contract says {contract.dtype}. "
        + (
            'dtype = "float32" speaks of the real numbers that its integers stand for.'
            if taken.quantised
            else f'Say dtype = "{taken.dtype}".'
        )
    )


def _check_state(path: Path, operators: Sequence[Operator]) -> None:
    """Refuse a model with a memory.

    Raises:
        ModelError: it changes its variables, or reads some that nobody has set.
    """
    names = {one.name for one in operators}
    if "ASSIGN_VARIABLE" in names or ("READ_VARIABLE" in names and "CALL_ONCE" not in names):
        raise ModelError(
            f"{path}: its answer depends on variables that it changes, or that the conversion left without values. "
            "Convert the model again, with its weights as constants."
        )
