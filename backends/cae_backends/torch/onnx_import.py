"""ONNX to torch, through onnx2torch and the operators that `cae_backends.torch.onnx_operators` adds to it."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from torch import fx

from cae_core.errors import BackendMissing, ModelError

__all__ = ["ImageInput", "convert_onnx", "image_input", "read_onnx"]

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


def convert_onnx(proto: onnx.ModelProto, *, origin: str) -> fx.GraphModule:
    """Convert an ONNX model into a differentiable torch module, in eval mode.

    Raises:
        BackendMissing: onnx2torch cannot be imported.
        ModelError: an operator cannot be converted; the message names operator, opset and node.
    """
    try:
        import onnx2torch

        from cae_backends.torch.onnx_operators import register_operators
    except (ImportError, RuntimeError) as exc:  # torchvision of another build than torch: RuntimeError
        raise BackendMissing(
            f'onnx2torch cannot be imported ({exc}). Reinstall it: pip install "cae-fingerprint[torch]".'
        ) from exc
    register_operators()
    _drop_idle_allowzero(proto)
    try:
        with _changed_values_are_errors():
            module: fx.GraphModule = onnx2torch.convert(proto)
    except _CONVERSION_ERRORS as exc:
        node, reason = _first_failure(proto) or ("its graph", exc)
        raise ModelError(
            f"{origin}: {node} cannot be converted to torch ({reason}). "
            "Export the model at another opset, or use the framework that it comes from."
        ) from exc
    except UserWarning as exc:
        raise ModelError(f"{origin}: its conversion to torch would change the answers ({exc}).") from exc
    return module.eval()


def _drop_idle_allowzero(proto: onnx.ModelProto) -> None:
    """Remove ``allowzero`` from every Reshape whose constant shape has no zero: it says nothing there.

    Torch's exporter writes it everywhere, and onnx2torch refuses it up to opset 18.
    """
    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    constants |= {
        node.output[0]: attribute.t
        for node in proto.graph.node
        if node.op_type == "Constant"
        for attribute in node.attribute
        if attribute.name == "value"
    }
    for node in proto.graph.node:
        if node.op_type != "Reshape" or node.input[1] not in constants:
            continue
        if onnx.numpy_helper.to_array(constants[node.input[1]]).all():
            kept = [attribute for attribute in node.attribute if attribute.name != "allowzero"]
            del node.attribute[:]
            node.attribute.extend(kept)


@contextmanager
def _changed_values_are_errors() -> Iterator[None]:
    """Turn onnx2torch's warning that another interpolation is used than the file asks for into an error."""
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*results might differ.*", category=UserWarning)
        yield


def _first_failure(proto: onnx.ModelProto) -> tuple[str, Exception] | None:
    """Convert node by node, and return a description of the first that fails and its reason."""
    from onnx2torch.node_converters import get_converter
    from onnx2torch.onnx_graph import OnnxGraph
    from onnx2torch.utils.safe_shape_inference import safe_shape_inference

    opsets = {entry.domain: entry.version for entry in proto.opset_import}
    graph = OnnxGraph(safe_shape_inference(proto).graph)
    for node in graph.nodes.values():
        opset = opsets.get(node.domain, 0)
        try:
            get_converter(node.operation_type, opset, node.domain)(node, graph)
        except _CONVERSION_ERRORS as exc:
            name = node.name or node.unique_name
            domain = f" of {node.domain}" if node.domain else ""
            return f"operator {node.operation_type}{domain} (opset {opset}, node {name!r})", exc
    return None
