"""torch -> ONNX by torch's current exporter, with the contract inside and the parity measured."""

import contextlib
import io
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.import_order import before_torch
from cae_backends.onnxruntime import LOADER
from cae_backends.onnxruntime.session import open_session, runtime_failures, shortened
from cae_converters.onnx_file import checked_file, portable, set_metadata
from cae_converters.torch_graphs import filled_graph
from cae_core.contract import Contract, metadata_of
from cae_core.errors import BackendMissing, ModelError, first_line

if TYPE_CHECKING:
    from onnx import ModelProto
    from torch import nn

__all__ = ["TOLERANCE", "export_torch", "trace_torch"]

TOLERANCE = 1e-4
"""The largest difference between the outputs of the module and of its ONNX file."""

OPSET = 18
"""Of the standard operators; the exporter writes no older one without a conversion that often fails."""

_TRACED_BATCH = 2
_CHECKED_BATCHES = (1, 7)
"""Other sizes than the traced one: a graph with the batch size written into it does not pass."""


def export_torch(
    module: "nn.Module",
    path: Path,
    *,
    contract: Contract,
    image_shape: tuple[int, int, int],
    opset: int = OPSET,
    reuse_graph: bool = False,
) -> float:
    """Write ``module``, as it answers in evaluation mode, to one ONNX file with a dynamic batch.

    The same module gives the same bytes. ``path`` is replaced only by a file that has passed the check.

    Args:
        module: takes one tensor and returns one, (n, c) or labels (n,).
        path: of the file.
        contract: of the module's own input and output; it is written into the file's metadata.
        image_shape: (h, w, k) of the canonical images that the module will be asked.
        opset: of the standard operators.
        reuse_graph: trace each structure once in this process and fill in the weights, where that is possible.

    Returns:
        The largest difference between the outputs of torch and of ONNX Runtime on random images.

    Raises:
        BackendMissing: torch, its exporter or ONNX Runtime is not installed.
        ContractError: the contract does not fit the images, or does not fit into metadata.
        ModelError: the module cannot be run or exported, or the outputs differ by more than `TOLERANCE`.
        StorageError: the file cannot be written.
    """
    metadata = metadata_of(contract)
    with _evaluating(module):
        checks = [(x, _answer(module, x)) for x in (_random_input(contract, n, image_shape) for n in _CHECKED_BATCHES)]
        traced = _random_input(contract, _TRACED_BATCH, image_shape)
        proto = _reused(module, traced, contract.output, opset) if reuse_graph else None
        proto = proto or trace_torch(module, traced, contract.output, opset)
    portable(proto)
    set_metadata(proto, metadata)
    with checked_file(path, proto) as draft:
        LOADER.open(str(draft), contract=None, device="cpu")  # one image input, one output, a contract that is read
        difference = max(_difference(draft, x, expected) for x, expected in checks)
        if not difference <= TOLERANCE:  # a NaN is not within the tolerance either
            raise ModelError(
                f"{path}: the exported model differs from the torch module by {difference:.2g} "
                f"(at most {TOLERANCE:g}). Nothing was written; try another opset than {opset}."
            )
    return difference


def _reused(module: "nn.Module", x: NDArray[Any], output: str, opset: int) -> "ModelProto | None":
    key = f"{x.shape} {output} {opset}"
    return filled_graph(module, lambda stand_in: trace_torch(stand_in, x, output, opset), key=key)


@contextlib.contextmanager
def _evaluating(module: "nn.Module") -> Iterator[None]:
    """Put every part into evaluation mode, and back into the mode that it had."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


def _random_input(contract: Contract, n: int, image_shape: tuple[int, int, int]) -> NDArray[Any]:
    images = np.random.default_rng(n).integers(0, 256, (n, *image_shape), np.uint8)
    return contract.to_input(images)


def _answer(module: "nn.Module", x: NDArray[Any]) -> NDArray[Any]:
    import torch

    try:
        with torch.no_grad():
            answer = module(torch.from_numpy(x).to(_device(module)))
    except (RuntimeError, ValueError, TypeError, IndexError) as exc:
        raise ModelError(f"The module cannot be run on a batch of shape {x.shape} ({_reason(exc)}).") from exc
    if not isinstance(answer, torch.Tensor) or answer.ndim not in (1, 2) or len(answer) != len(x):
        found = tuple(answer.shape) if isinstance(answer, torch.Tensor) else type(answer).__name__
        raise ModelError(f"The module must answer {len(x)} images with one tensor (n, c) or (n,); found {found}.")
    return np.asarray(answer.cpu().numpy())


def _device(module: "nn.Module") -> Any:  # noqa: ANN401 - a torch.device
    return next((p.device for p in module.parameters()), "cpu")


def trace_torch(module: "nn.Module", x: NDArray[Any], output: str, opset: int = OPSET) -> "ModelProto":
    """Return a module in evaluation mode as an ONNX model with the input ``image`` and a free batch.

    Args:
        module: takes one tensor and returns one.
        x: such a tensor, of at least two images.
        output: name of the answer.
        opset: of the standard operators.

    Raises:
        BackendMissing: torch or its exporter is not installed.
        ModelError: the module cannot be exported.
    """
    before_torch()
    try:
        import onnxscript  # noqa: F401 - torch's exporter needs it and says so late
        import torch
    except ImportError as exc:
        raise BackendMissing(
            f"Exporting from torch needs {exc.name}. Install it: pip install 'cae-fingerprint[torch]'."
        ) from exc
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # about the exporter's own dependencies; the outputs are checked instead
            program = torch.onnx.export(
                module,
                (torch.from_numpy(x).to(_device(module)),),
                dynamo=True,
                opset_version=opset,
                input_names=["image"],
                output_names=[output],
                dynamic_shapes=({0: torch.export.Dim("n")},),
                external_data=False,
                verbose=False,
            )
    except (torch.onnx.OnnxExporterError, RuntimeError, ValueError, TypeError) as exc:
        raise ModelError(f"torch cannot export {type(module).__name__} to ONNX ({_reason(exc)}).") from exc
    if program is None:
        raise ModelError(f"torch's exporter returned nothing for {type(module).__name__}.")
    return program.model_proto


def _reason(exc: BaseException) -> str:
    """The first line of the first cause: the exporter wraps it in advice."""
    while exc.__cause__ is not None:
        exc = exc.__cause__
    return first_line(exc)


def _difference(file: Path, x: NDArray[Any], expected: NDArray[Any]) -> float:
    session = open_session(file, "cpu")
    try:
        found = session.run(None, {session.get_inputs()[0].name: x})[0]
    except runtime_failures() as exc:
        raise ModelError(f"The exported model does not run on {len(x)} images ({shortened(exc)}).") from exc
    if found.shape != expected.shape:
        raise ModelError(f"The exported model answers {found.shape} where the module answers {expected.shape}.")
    return float(np.abs(found.astype(np.float64) - expected).max())
