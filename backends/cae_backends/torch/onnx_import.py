"""ONNX to torch, through onnx2torch and the operators that `cae_backends.torch.onnx_operators` adds to it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import torch
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from torch import Tensor, nn

from cae_core.errors import BackendMissing, ModelError

__all__ = ["FixedBatch", "ImageInput", "convert_onnx", "image_input", "read_onnx"]

_CONVERSION_ERRORS = (NotImplementedError, RuntimeError, ValueError, KeyError, TypeError, IndexError, AttributeError)


@dataclass(frozen=True)
class ImageInput:
    """The one input of a classifier.

    Attributes:
        name: of the tensor.
        shape: a symbolic axis is a string, an unknown one None.
        dtype: as NumPy calls it.
    """

    name: str
    shape: Sequence[int | str | None]
    dtype: str


def read_onnx(path: Path) -> onnx.ModelProto:
    """Read an ONNX file, with the external data beside it.

    Raises:
        ModelError: it cannot be read, or is no ONNX model.
    """
    try:
        proto = onnx.load(path)
    except OSError as exc:
        raise ModelError(f"{path}: the model cannot be read ({exc.strerror or exc}).") from exc
    except (DecodeError, onnx.checker.ValidationError) as exc:
        raise ModelError(f"{path}: this is not an ONNX model, or it is damaged. Export it again.") from exc
    if not proto.graph.node or not proto.graph.output:
        raise ModelError(f"{path}: this is not an ONNX model: it has no graph. Export it again.")
    return proto


def image_input(proto: onnx.ModelProto, *, origin: str) -> ImageInput:
    """Return the model's only input.

    Raises:
        ModelError: it has none, or several.
    """
    weights = {tensor.name for tensor in proto.graph.initializer}
    inputs = [value for value in proto.graph.input if value.name not in weights]
    if len(inputs) != 1:
        names = ", ".join(value.name for value in inputs) or "none"
        raise ModelError(f"{origin}: a classifier of images has one input; found {names}. Export it with one.")
    tensor = inputs[0].type.tensor_type
    axes = [axis.dim_param or (axis.dim_value if axis.HasField("dim_value") else None) for axis in tensor.shape.dim]
    dtype = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name if tensor.elem_type else "unknown"
    return ImageInput(inputs[0].name, axes, dtype)


def convert_onnx(proto: onnx.ModelProto, *, origin: str) -> nn.Module:
    """Convert an ONNX model into a differentiable torch module, in eval mode.

    A model whose batch size is fixed is asked as often as need be, the last time with an image repeated.

    Raises:
        BackendMissing: onnx2torch cannot be imported.
        ModelError: an operator cannot be converted; the message names operator, opset and node.
    """
    try:
        import onnx2torch

        from cae_backends.torch.onnx_operators import register_operators
        from cae_backends.torch.onnx_rewrites import rewritten
    except (ImportError, RuntimeError) as exc:  # torchvision of another build than torch: RuntimeError
        raise BackendMissing(
            f'onnx2torch cannot be imported ({exc}). Reinstall it: pip install "cae-fingerprint[torch]".'
        ) from exc
    register_operators()
    batch = image_input(proto, origin=origin).shape[:1]
    try:
        proto = rewritten(proto)
    except onnx.shape_inference.InferenceError as exc:
        first = str(exc).strip().splitlines()[0]
        raise ModelError(f"{origin}: the graph contradicts itself ({first}). Export the model again.") from exc
    _refuse_changed_parts(proto, origin)
    try:
        module: nn.Module = onnx2torch.convert(proto)
    except _CONVERSION_ERRORS as exc:
        node, reason = _first_failure(proto) or ("its graph", exc)
        raise ModelError(
            f"{origin}: {node} cannot be converted to torch ({reason}). "
            "Export the model at another opset, or use the framework that it comes from."
        ) from exc
    return (FixedBatch(module, batch[0]) if isinstance(batch[0], int) else module).eval()


def _refuse_changed_parts(proto: onnx.ModelProto, origin: str) -> None:
    from cae_backends.torch.onnx_rewrites import changed_part

    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        part = changed_part(node, constants)
        if part is not None:
            raise ModelError(
                f"{origin}: {_described(node, proto)} has {part}, which cannot be converted to torch exactly. "
                "Export the model in evaluation mode and without it, or use the framework that it comes from."
            )


def _first_failure(proto: onnx.ModelProto) -> tuple[str, Exception] | None:
    """Convert node by node, and return a description of the first that fails and its reason."""
    from onnx2torch.node_converters import get_converter
    from onnx2torch.onnx_graph import OnnxGraph

    graph = OnnxGraph(proto.graph)
    opsets = {entry.domain: entry.version for entry in proto.opset_import}
    for node in graph.nodes.values():
        try:
            get_converter(node.operation_type, opsets.get(node.domain, 0), node.domain)(node, graph)
        except _CONVERSION_ERRORS as exc:
            return _described(node.proto, proto), exc
    return None


def _described(node: onnx.NodeProto, proto: onnx.ModelProto) -> str:
    """Say which node this is; one without a name is named after what it makes."""
    opset = next((entry.version for entry in proto.opset_import if entry.domain == node.domain), 0)
    domain = f" of {node.domain}" if node.domain else ""
    return f"operator {node.op_type}{domain} (opset {opset}, node {(node.name or node.output[0])!r})"


class FixedBatch(nn.Module):
    """Asks a module that takes ``size`` images about any number of them.

    As the inference runtime does it: a batch that is not full is filled with its last image, whose further answers are
    dropped; so no image's answer, nor its gradient, changes.
    """

    def __init__(self, module: nn.Module, size: int) -> None:
        super().__init__()
        self.module, self.size = module, size

    def forward(self, x: Tensor) -> Tensor:
        """Take (n, ...) to the answers of n images."""
        missing = -len(x) % self.size
        full = torch.cat([x, x[-1:].expand(missing, *x.shape[1:])]) if missing else x
        answers = [self.module(part) for part in torch.split(full, self.size)]
        return answers[0] if len(x) == self.size else torch.cat(answers)[: len(x)]
