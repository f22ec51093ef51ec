"""A contract as ONNX nodes: the file then takes images in [0, 1] and answers the data set's classes by itself.

What a contract says beside a file can be lost, or applied twice. So a converted file keeps range, normalisation,
channel order, resizing and class map inside its graph; only the layout stays the model's own.
"""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
from numpy.typing import NDArray

from cae_core.contract import Contract, fitted
from cae_core.contract.integers import limits_of
from cae_core.errors import CaeError, ContractError, ModelError, first_line
from cae_core.models import NO_ANSWER
from cae_core.resize import resize_matrix

if TYPE_CHECKING:
    from onnx import GraphProto, ModelProto, NodeProto

__all__ = ["absorb_contract"]


def absorb_contract(
    proto: "ModelProto", contract: Contract, image_shape: tuple[int, int, int]
) -> tuple["ModelProto", Contract]:
    """Return the classifier with the arithmetic of ``contract`` around it, and the contract that is left.

    Args:
        proto: a classifier with one input and one output. Weights that an old exporter calls inputs too
            are weights.
        contract: of that input and output.
        image_shape: (h, w, k) of the canonical images that the result will take.

    Raises:
        ContractError: the contract does not fit the images.
        ModelError: the graph cannot be joined with others.
    """
    contract.check_size(*image_shape[:2])
    try:
        joined = _absorbed(proto, contract, image_shape)
    except CaeError:
        raise
    except Exception as exc:  # a foreign library joins a foreign graph: whatever it raises, the graph is at fault
        raise ModelError(
            f"The model's graph cannot be joined with its contract ({first_line(exc)}). Export the model again."
        ) from exc
    left = Contract(
        layout=_with_axes(contract).layout,
        range=(0.0, 1.0),
        output=contract.output,
        channels="GRAY" if image_shape[2] == 1 else "RGB",
        size=image_shape[:2],
    )
    return joined, left


def _absorbed(proto: "ModelProto", contract: Contract, image_shape: tuple[int, int, int]) -> "ModelProto":
    from cae_backends.onnx.softmax import final_softmax, take_off

    proto = _prefixed(proto)
    softmax = final_softmax(proto) if _maps_probabilities(contract) else None
    if softmax is not None:
        take_off(proto, softmax)
    # the tail first: it says the answer's shape, which onnx demands of a graph and many files leave out
    ended = _joined(proto, _tail(contract, proto, softmax=softmax is not None))
    return _joined(_front(contract, image_shape, proto), ended)


def _prefixed(proto: "ModelProto") -> "ModelProto":
    """Return a copy with other names: a file that was converted before has those of the contract already."""
    from onnx import ModelProto, compose

    copy = ModelProto()
    copy.CopyFrom(proto)
    weights = set(_initializers(copy.graph))
    inputs = [value for value in copy.graph.input if value.name not in weights]
    del copy.graph.input[:]
    copy.graph.input.extend(inputs)
    copy.ir_version = max(copy.ir_version, 4)  # before it, a weight had to be an input too
    names = {name: f"model/{name}" for name in weights}  # without them, branches would not find the weights outside
    compose.add_prefix_graph(copy.graph, "model/", inplace=True, name_map=names)
    return copy


def _initializers(graph: "GraphProto") -> Iterator[str]:
    """Yield the names of the weights, those of branches and loops included."""
    yield from (tensor.name for tensor in graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            yield from _initializers(attribute.g)


def _joined(first: "ModelProto", second: "ModelProto") -> "ModelProto":
    """Feed the answer of one graph to another; every domain of operators is imported once."""
    from onnx import compose, helper

    io_map = [(first.graph.output[0].name, second.graph.input[0].name)]
    joined = compose.merge_models(first, second, io_map=io_map)
    versions = {entry.domain: entry.version for entry in joined.opset_import}
    return helper.make_model(
        joined.graph,
        functions=joined.functions,
        opset_imports=[helper.make_opsetid(domain, version) for domain, version in versions.items()],
        ir_version=joined.ir_version,
        producer_name="cae-fingerprint",
    )


class _Chain:
    """Nodes of which each takes what the one before it made."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, NDArray[Any]] = {}

    def add(self, operator: str, *inputs: NDArray[Any] | str | None, **attributes: Any) -> None:  # noqa: ANN401
        """Append a node.

        Args:
            operator: of ONNX.
            inputs: constants, or names of earlier results; None stands for the last one, which comes first where it is
                not named.
            attributes: of the node.
        """
        from onnx import helper

        given = inputs if any(value is None for value in inputs) else (None, *inputs)
        names = [value if isinstance(value, str) else self._input(value) for value in given]
        made = f"contract_{operator.lower()}_{len(self.nodes)}_{self.name}"
        self.nodes.append(helper.make_node(operator, names, [made], name=f"{made}_node", **attributes))
        self.name = made

    def end(self, name: str) -> None:
        """Give the last result its name."""
        from onnx import helper

        self.nodes.append(helper.make_node("Identity", [self.name], [name], name=f"{name}_node"))
        self.name = name

    def _input(self, value: NDArray[Any] | None) -> str:
        if value is None:
            return self.name
        name = f"contract_constant_{len(self.constants)}_{self.name}"
        self.constants[name] = value
        return name


def _front(contract: Contract, image_shape: tuple[int, int, int], proto: "ModelProto") -> "ModelProto":
    """From the images, float32 in [0, 1] in the model's layout, to the model's tensor; as `Contract.to_input`."""
    from onnx import TensorProto, helper

    height, width, channels = image_shape
    given, contract = contract, _with_axes(contract)
    chain = _Chain("image")
    if contract.size is not None and contract.size != (height, width):
        _resize(chain, contract, height, width)
    matrix = contract.channel_matrix(channels)
    if not np.array_equal(matrix, np.eye(channels)):
        chain.add("Gather", matrix.argmax(axis=1).astype(np.int64), axis=1 if contract.layout == "NCHW" else 3)
    contract.check_mean_image((*(contract.size or image_shape[:2]), len(matrix)))
    _normalise(chain, contract, len(matrix))
    if given.layout != contract.layout:
        chain.add("Reshape", None, np.array([0, *_shape_of_input(given, image_shape, proto)], np.int64))
    taken = proto.graph.input[0].type.tensor_type.elem_type
    if contract.takes_integers:
        _quantise(chain, contract)
    if taken != TensorProto.FLOAT:
        chain.add("Cast", to=taken)
    chain.end("contract_image")
    shape = ("n", height, width, channels) if contract.layout == "NHWC" else ("n", channels, height, width)
    return _model(
        chain,
        helper.make_tensor_value_info("image", TensorProto.FLOAT, shape),
        helper.make_tensor_value_info("contract_image", taken, None),
        proto,
    )


def _with_axes(contract: Contract) -> Contract:
    """Return the contract with a layout of rank 4 that has the numbers in the same order."""
    layouts: dict[str, Literal["NHWC", "NCHW"]] = {"NCHW": "NCHW", "FLAT_NCHW": "NCHW"}
    return contract.replace(layout=layouts.get(contract.layout, "NHWC"))


def _shape_of_input(contract: Contract, image_shape: tuple[int, int, int], proto: "ModelProto") -> tuple[int, ...]:
    """Return the axes, without the batch, of the tensor of a contract whose layout has not rank 4."""
    made = contract.tensor_shape(image_shape)
    taken = [axis.dim_value or None for axis in proto.graph.input[0].type.tensor_type.shape.dim[1:]]
    shape = fitted(contract.layout, made, taken) if taken else made
    if shape is None:
        raise ContractError(
            f"The model takes images of shape {tuple(taken)} and its contract makes {made} from these. Correct layout, "
            "channels or size in the contract."
        )
    return shape


def _quantise(chain: _Chain, contract: Contract) -> None:
    """Append what makes whole numbers; as `cae_core.contract.integers.quantised`."""
    if contract.scale is not None:
        chain.add("Div", np.array(contract.scale, np.float32))
    chain.add("Round")
    if contract.zero_point:
        chain.add("Add", np.array(contract.zero_point, np.float32))
    low, high = limits_of(contract.dtype)
    chain.add("Clip", np.array(low, np.float32), np.array(high, np.float32))


def _resize(chain: _Chain, contract: Contract, height: int, width: int) -> None:
    size, rule = cast("tuple[int, int]", contract.size), cast("str", contract.resize)
    channels_last = contract.layout == "NHWC"
    if channels_last:
        chain.add("Transpose", perm=[0, 3, 1, 2])
    chain.add("MatMul", resize_matrix(height, size[0], rule), None)
    chain.add("MatMul", np.ascontiguousarray(resize_matrix(width, size[1], rule).T))
    if channels_last:
        chain.add("Transpose", perm=[0, 2, 3, 1])


def _normalise(chain: _Chain, contract: Contract, channels: int) -> None:
    scale, shift = contract.affine(channels)
    last = (channels, 1, 1) if contract.layout == "NCHW" else (channels,)
    if (scale != 1).any():
        chain.add("Mul", scale.reshape(last))
    if contract.mean_image is not None:
        low, high = contract.range
        image = shift - contract.mean_image * (scale / np.float32(high - low))  # scale = (high - low) / std
        ordered = image.transpose(2, 0, 1) if contract.layout == "NCHW" else image
        chain.add("Add", np.ascontiguousarray(ordered, np.float32))
    elif shift.any():
        chain.add("Add", shift.reshape(last))


def _maps_probabilities(contract: Contract) -> bool:
    """Whether classes are ordered or left out: before a softmax, so that the sum is 1 and the logits can be found."""
    return contract.output == "probabilities" and contract.classes is not None


def _tail(contract: Contract, proto: "ModelProto", *, softmax: bool) -> "ModelProto":
    """From the model's answer, or with ``softmax`` its logits, to the data set's classes."""
    from onnx import TensorProto, helper

    answered = proto.graph.output[0].type.tensor_type
    kind = answered.elem_type
    chain = _Chain("contract_answer")
    if contract.classes is not None and contract.output == "labels":
        chain.add("Gather", np.array(contract.classes, np.int64), None, axis=0)
        kind = TensorProto.INT64
    elif contract.classes is not None:
        places = np.arange(len(contract.classes), dtype=np.float32)[None]
        chain.add("Gather", contract.to_canonical(places)[0].astype(np.int64), axis=1)
    if softmax:
        chain.add("Softmax", axis=1)
    elif _maps_probabilities(contract) and NO_ANSWER in (contract.classes or ()):
        chosen, classes = chain.name, sum(c != NO_ANSWER for c in contract.classes or ())
        chain.add("MatMul", np.ones((classes, classes), np.float32))  # the sum, once for every class
        chain.add("Div", chosen, None)
    if contract.output == "labels" and len(answered.shape.dim) != 1:
        chain.add("Reshape", None, np.array([-1], np.int64))
    chain.end(contract.output)
    answer = helper.make_tensor_value_info("contract_answer", answered.elem_type, None)
    shape = ("n",) if contract.output == "labels" else ("n", None)
    return _model(chain, answer, helper.make_tensor_value_info(contract.output, kind, shape), proto)


def _model(chain: _Chain, taken: Any, made: Any, proto: "ModelProto") -> "ModelProto":  # noqa: ANN401 - ValueInfoProto
    from onnx import helper, numpy_helper

    constants = [numpy_helper.from_array(np.asarray(value), name) for name, value in chain.constants.items()]
    graph = helper.make_graph(chain.nodes, "classifier", [taken], [made], constants)
    return helper.make_model(graph, opset_imports=proto.opset_import, ir_version=proto.ir_version)
