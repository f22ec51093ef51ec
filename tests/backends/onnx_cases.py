"""Small ONNX graphs around one operator, and the check that torch answers and differentiates them as it must."""

from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cae_backends.torch.onnx_import import convert_onnx

SHAPE = (2, 4, 6, 6)
NEWEST = 25
"""The newest opset that is tried."""

Node: TypeAlias = tuple[str, list[str], list[str], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """Nodes from x (2, 4, 6, 6) to y; each a name, its inputs, its outputs and its attributes.

    Attributes:
        operator: that is tried.
        nodes: of the graph.
        constants: its initializers.
        opsets: the first and the last in which the nodes are written so.
        low: the least value of x; the largest is 1.
        output: the element type of y.
    """

    operator: str
    nodes: list[Node]
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    opsets: tuple[int, int] = (1, NEWEST)
    low: float = -1.0
    output: int = TensorProto.FLOAT

    def fits(self, opset: int) -> bool:
        return self.opsets[0] <= opset <= self.opsets[1]


def integers(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def number(value: float) -> NDArray[np.float32]:
    return np.array(value, np.float32)


def floats(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0.2, 1.0, shape).astype(np.float32)


def unary(
    operator: str,
    constants: dict[str, NDArray[Any]] | None = None,
    inputs: str = "",
    *,
    opsets: tuple[int, int] = (1, NEWEST),
    low: float = -1.0,
    **attributes: object,
) -> Case:
    """One node that takes x and constants; ``inputs`` names them where some are left out."""
    constants = constants or {}
    further = inputs.split(",") if inputs else list(constants)
    return Case(operator, [(operator, ["x", *further], ["y"], attributes)], constants, opsets, low)


def compared(operator: str) -> Case:
    """x where it compares with 0.6, else its double: the comparison decides which gradient flows."""
    nodes: list[Node] = [
        (operator, ["x", "level"], ["chosen"], {}),
        ("Add", ["x", "x"], ["twice"], {}),
        ("Where", ["chosen", "x", "twice"], ["y"], {}),
    ]
    return Case(operator, nodes, {"level": number(0.6)})


def model_of(case: Case, opset: int, *, batch: int | str = SHAPE[0]) -> onnx.ModelProto:
    nodes = [helper.make_node(name, inputs, outputs, **attributes) for name, inputs, outputs, attributes in case.nodes]
    graph = helper.make_graph(
        nodes,
        "case",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, (batch, *SHAPE[1:]))],
        [helper.make_tensor_value_info("y", case.output, None)],
        [numpy_helper.from_array(value, name) for name, value in case.constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return onnx.shape_inference.infer_shapes(proto)


def run_onnx(proto: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def check_case(case: Case, opset: int) -> None:
    """Compare the values with the runtime's, and the gradient with differences."""
    x = np.random.default_rng(0).uniform(case.low, 1.0, SHAPE).astype(np.float32)
    proto = model_of(case, opset)
    module = convert_onnx(proto, origin="case")
    expected = run_onnx(proto, x)
    found = module(torch.tensor(x)).detach().numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)
    exact = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module.double(), (exact,), fast_mode=True)
