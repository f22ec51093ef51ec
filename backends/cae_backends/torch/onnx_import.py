"""ONNX to torch, through onnx2torch and the operators that `cae_backends.torch.onnx_operators` adds to it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import onnx
import torch
from torch import Tensor, nn

from cae_backends.batches import check_fixed_batch
from cae_backends.onnx.external_data import shown
from cae_backends.onnx.files import read_onnx
from cae_backends.torch.onnx_neutral import Neutral, damaged_graphs_refused, image_value, neutral
from cae_core.contract import Contract
from cae_core.errors import BackendMissing, ContractError, ModelError, first_line, quoted

__all__ = ["FixedBatch", "ImageInput", "answer_of", "convert_neutral", "convert_onnx", "image_input", "read_onnx"]

_FLOATS = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16, onnx.TensorProto.BFLOAT16, onnx.TensorProto.DOUBLE)
_INTEGERS = (
    *(onnx.TensorProto.INT8, onnx.TensorProto.INT16, onnx.TensorProto.INT32, onnx.TensorProto.INT64),
    *(onnx.TensorProto.UINT8, onnx.TensorProto.UINT16, onnx.TensorProto.UINT32, onnx.TensorProto.UINT64),
)


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


def image_input(proto: onnx.ModelProto, *, origin: str) -> ImageInput:
    """Return the model's only input.

    Raises:
        ModelError: it has none, or several, or one of which the file does not say type and shape.
    """
    value = image_value(proto, origin=origin)
    tensor = value.type.tensor_type
    if not tensor.elem_type or not tensor.shape.dim:
        raise ModelError(
            f"{origin}: the file must say of its input {value.name!r} that it is a tensor, of which type and shape; "
            "found less. Export the model again, with shapes."
        )
    # a size of 0 or less is how some tools write a free one
    axes = [axis.dim_param or (axis.dim_value if axis.dim_value > 0 else None) for axis in tensor.shape.dim]
    return ImageInput(value.name, axes, _dtype_name(tensor.elem_type))


def _dtype_name(kind: int) -> str:
    try:
        return str(onnx.helper.tensor_dtype_to_np_dtype(kind).name)
    except KeyError:
        return "unknown"


def answer_of(proto: onnx.ModelProto, contract: Contract, *, origin: str) -> str:
    """Return the file's name of the output that the contract names, else of the only one that can be what it says.

    As ONNX Runtime's loader does.

    Raises:
        ContractError: there is none of this name.
        ModelError: there is none, or several.
    """
    outputs = {value.name: value for value in proto.graph.output}
    if contract.output_name is not None:
        if contract.output_name not in outputs:
            known = ", ".join(map(shown, outputs))
            raise ContractError(
                f"{origin}: the contract's output_name is {quoted(contract.output_name)}; the model's are {known}."
            )
        return contract.output_name
    if len(outputs) > 1:
        with damaged_graphs_refused(origin):
            inferred = onnx.shape_inference.infer_shapes(proto)
        outputs = {value.name: value for value in inferred.graph.output}
    kinds = _INTEGERS if contract.output == "labels" else _FLOATS
    fitting = [name for name, value in outputs.items() if value.type.tensor_type.elem_type in (0, *kinds)]
    if len(fitting) > 1 and contract.output != "labels":
        fitting = [name for name in fitting if _rank(outputs[name]) in (None, 2)]
    if len(fitting) == 1:
        return str(fitting[0])
    raise ModelError(
        f"{origin}: the contract says output = {contract.output!r}, and {len(fitting)} of the outputs "
        f"{', '.join(map(shown, outputs))} can be that. Correct the contract's output, or name the one that holds "
        "them: output_name."
    )


def _rank(value: onnx.ValueInfoProto) -> int | None:
    tensor = value.type.tensor_type
    return len(tensor.shape.dim) if tensor.HasField("shape") else None


def convert_onnx(proto: onnx.ModelProto, *, origin: str) -> nn.Module:
    """Convert an ONNX model with one output into a differentiable torch module, in eval mode; see `convert_neutral`."""
    return convert_neutral(neutral(proto, origin=origin), origin=origin)


def convert_neutral(graph: Neutral, *, origin: str) -> nn.Module:
    """Convert a graph into a differentiable torch module, in eval mode.

    A model whose batch size is fixed is asked as often as need be, the last time with an image repeated.

    Raises:
        BackendMissing: onnx2torch cannot be imported.
        ModelError: an operator cannot be converted; the message names operator, opset and node.
    """
    _require_onnx2torch()
    import onnx2torch

    from cae_backends.torch.onnx_operators import register_operators
    from cae_backends.torch.onnx_rewrites import rewritten

    register_operators()
    batch = image_input(graph.proto, origin=origin).shape[:1]
    if isinstance(batch[0], int):
        check_fixed_batch(batch[0], origin)
    with damaged_graphs_refused(origin):
        proto = rewritten(graph.proto)
        _refuse_changed_parts(proto, origin, graph.names)
    try:
        module: nn.Module = onnx2torch.convert(proto)
    except Exception as exc:  # a foreign library reads a foreign file: whatever it raises, the file is at fault
        node, reason = _first_failure(proto, graph.names) or ("its graph", exc)
        raise ModelError(
            f"{origin}: {node} cannot be converted to torch ({first_line(reason)}). "
            "Export the model at another opset, or use the framework that it comes from."
        ) from exc
    return (FixedBatch(module, batch[0]) if isinstance(batch[0], int) else module).eval()


def _require_onnx2torch() -> None:
    try:
        import onnx2torch  # noqa: F401
    except (ImportError, RuntimeError) as exc:  # torchvision of another build than torch: RuntimeError
        raise BackendMissing(
            f'onnx2torch cannot be imported ({exc}). Reinstall it: pip install "cae-fingerprint[torch]".'
        ) from exc


def _refuse_changed_parts(proto: onnx.ModelProto, origin: str, names: Mapping[str, str]) -> None:
    from cae_backends.torch.onnx_rewrites import changed_part

    constants = {tensor.name: tensor for tensor in proto.graph.initializer}
    for node in proto.graph.node:
        part = changed_part(node, constants)
        if part is not None:
            raise ModelError(
                f"{origin}: {_described(node, proto, names)} has {part}, which cannot be converted to torch exactly. "
                "Export the model in evaluation mode and without it, or use the framework that it comes from."
            )


def _first_failure(proto: onnx.ModelProto, names: Mapping[str, str]) -> tuple[str, Exception] | None:
    """Convert node by node, and return a description of the first that fails and its reason."""
    from onnx2torch.node_converters import get_converter
    from onnx2torch.onnx_graph import OnnxGraph

    graph = OnnxGraph(proto.graph)
    opsets = {entry.domain: entry.version for entry in proto.opset_import}
    for node in graph.nodes.values():
        try:
            get_converter(node.operation_type, opsets.get(node.domain, 0), node.domain)(node, graph)
        except Exception as exc:  # noqa: BLE001 - as above, and the first reason is what is wanted
            return _described(node.proto, proto, names), exc
    return None


def _described(node: onnx.NodeProto, proto: onnx.ModelProto, names: Mapping[str, str]) -> str:
    """Say which node this is, in the file's own words where it stands in the file."""
    opset = next((entry.version for entry in proto.opset_import if not entry.domain), 0)
    return f"operator {node.op_type} (opset {opset}, node {names.get(node.name, repr(node.name))})"


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
