"""A model before its conversion: what answers for it in its own framework, and how it becomes an ONNX graph."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cae_backends.contract_files import image_shape
from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.errors import ContractError
from cae_core.models import Model

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["Original", "open_original"]


@dataclass(frozen=True)
class Original:
    """A model file that is to be converted.

    Attributes:
        model: opened by its own framework, on the CPU.
        contract: what its graph takes and answers.
        image_shape: (h, w, k) of the canonical images that the result will take.
        to_onnx: makes the graph, without the contract's arithmetic.
    """

    model: Model
    contract: Contract
    image_shape: tuple[int, int, int]
    to_onnx: "Callable[[], ModelProto]"


def open_original(
    path: Path, *, contract: Contract | None, data: ImageSet | None, allow_lambda: Sequence[str]
) -> Original:
    """Open a model by the framework that its suffix names; see `cae_converters.conversion.convert`.

    Raises:
        ModelError: it cannot be opened.
        ContractError: nobody says what it takes, or of which size.
        BackendMissing: its framework is not installed.
    """
    suffix = path.suffix.lower()
    if suffix == ".onnx":
        return _open_onnx(path, contract, data)
    if suffix == ".pt2":
        return _open_program(path, contract, data)
    return _open_tensorflow(path, contract, data, allow_lambda)


def _open_tensorflow(
    path: Path, contract: Contract | None, data: ImageSet | None, allow_lambda: Sequence[str]
) -> Original:
    from cae_backends.tensorflow.model import TensorflowModel
    from cae_backends.tensorflow.opening import load_graph
    from cae_converters.keras_to_onnx import graph_to_onnx

    graph, found = load_graph(path, contract=contract, allow_lambda=allow_lambda)
    model = TensorflowModel(graph, contract=found, device="cpu", origin=str(path))
    shape = _image_shape(path, found, graph.shape, data)
    return Original(model, found, shape, lambda: graph_to_onnx(graph, origin=str(path)))


def _open_program(path: Path, contract: Contract | None, data: ImageSet | None) -> Original:
    from cae_backends.torch import LOADER
    from cae_converters.torch_to_onnx import trace_torch

    model: Any = LOADER.open(str(path), contract=contract, device="cpu")
    shape = _image_shape(path, model.contract, (), data)
    x = model.contract.to_input(np.zeros((2, *shape), np.uint8))
    return Original(model, model.contract, shape, lambda: trace_torch(model.network.module, x, model.contract.output))


def _open_onnx(path: Path, contract: Contract | None, data: ImageSet | None) -> Original:
    """An ONNX file answers for itself in ONNX Runtime; converted to ONNX again it gets its contract inside."""
    from cae_backends.onnxruntime import LOADER
    from cae_converters.onnx_file import read_with_one_output

    model = LOADER.open(str(path), contract=contract, device="cpu")
    shape = _image_shape(path, model.contract, model.input_shape, data)
    return Original(model, model.contract, shape, lambda: read_with_one_output(path, model.output))


def _image_shape(
    path: Path, contract: Contract, taken: Sequence[int | str | None], data: ImageSet | None
) -> tuple[int, int, int]:
    """Return (h, w, k): the data's, else the contract's, else the graph's own."""
    if data is not None:
        height, width, channels = data.images.shape[1:]
        return int(height), int(width), int(channels)
    height, width, channels = image_shape(contract, taken)
    if contract.size is not None:
        height, width = contract.size
    if contract.channels is not None:
        channels = 1 if contract.channels == "GRAY" else 3
    if not (isinstance(height, int) and isinstance(width, int) and isinstance(channels, int)):
        raise ContractError(
            f"{path}: nobody says which images the model takes (height {height}, width {width}, channels {channels}). "
            'Give size and channels in its contract, such as size = [32, 32], channels = "RGB"; or give real images.'
        )
    return height, width, channels
