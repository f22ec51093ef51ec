"""What an ONNX file says of its inputs and outputs: read from its graph, without a session and without its weights."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from cae_backends.onnx.files import read_graph
from cae_backends.onnx.softmax import ending_of
from cae_core.signature import Signature, TensorSign

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["signature_of_onnx"]


def signature_of_onnx(path: Path) -> Signature:
    """Return the tensors of an ONNX file; an initializer that is listed as an input too is none.

    Raises:
        ModelError: it cannot be read, or is no ONNX model.
    """
    proto = read_graph(path)
    weights = {tensor.name for tensor in proto.graph.initializer}
    return Signature(
        inputs=tuple(_sign(value) for value in proto.graph.input if value.name not in weights),
        outputs=tuple(_sign(value, proto) for value in _with_shapes(proto)),
        metadata={entry.key: entry.value for entry in proto.metadata_props},
    )


def _sign(value: Any, proto: "ModelProto | None" = None) -> TensorSign:  # noqa: ANN401 - a ValueInfoProto
    tensor = value.type.tensor_type
    axes = [axis.dim_param or (axis.dim_value if axis.dim_value > 0 else None) for axis in tensor.shape.dim]
    return TensorSign(
        name=value.name,
        dtype=_dtype(value.type),
        shape=tuple(axes) if tensor.HasField("shape") else None,
        ending=None if proto is None else ending_of(proto, value.name),
    )


def _dtype(kind: Any) -> str:  # noqa: ANN401 - a TypeProto
    from onnx import TensorProto

    form = kind.WhichOneof("value")
    if form != "tensor_type":
        return str(form).removesuffix("_type")
    name: str = TensorProto.DataType.Name(kind.tensor_type.elem_type).lower()
    return {"float": "float32", "double": "float64"}.get(name, name)


def _with_shapes(proto: "ModelProto") -> list[Any]:
    """Return the graph's outputs, with the shapes that can be inferred where the file leaves them out."""
    from onnx import shape_inference

    outputs = list(proto.graph.output)
    if all(value.type.tensor_type.HasField("shape") for value in outputs):
        return outputs
    try:
        return list(shape_inference.infer_shapes(proto).graph.output)
    except Exception:  # noqa: BLE001 - a foreign library reads a foreign graph; then nothing more is known
        return outputs
