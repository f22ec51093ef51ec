"""Operators that ONNX defines by others have the runtime's values and right gradients."""

import numpy as np
import onnx
import pytest
import torch
from torch.nn.functional import scaled_dot_product_attention

from cae_backends.torch.onnx_functions import written_out
from cae_backends.torch.onnx_import import convert_onnx
from cae_core.errors import ModelError
from tests.backends.onnx_cases import NEWEST, SHAPE, Case, Node, floats, integers, model_of, run_onnx, unary

pytestmark = pytest.mark.usefixtures("one_thread")

X = np.random.default_rng(0).uniform(-1, 1, SHAPE).astype(np.float32)


def attention(**told: float) -> Case:
    """The rows of the maps attend to each other."""
    nodes: list[Node] = [
        ("Reshape", ["x", "shape"], ["rows"], {}),
        ("MatMul", ["rows", "w"], ["keys"], {}),
        ("Attention", ["rows", "keys", "rows"], ["y"], {"q_num_heads": 2, "kv_num_heads": 2, **told}),
    ]
    return Case("Attention", nodes, {"shape": integers(0, 6, 24), "w": floats(1, 24, 24)}, (23, NEWEST))


@pytest.mark.parametrize("opset", [23, 24, 25])
@pytest.mark.parametrize("told", [{}, {"is_causal": 1}, {"scale": 0.4}, {"softcap": 2.0}], ids=str)
def test_values_are_the_runtimes(told: dict[str, float], opset: int) -> None:
    proto = model_of(attention(**told), opset)
    expected, found = run_onnx(proto, X), convert_onnx(proto, origin="case")(torch.tensor(X)).numpy()
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("told", [{}, {"is_causal": 1}, {"scale": 0.4}], ids=str)
def test_gradients_are_those_of_torchs_own_attention(told: dict[str, float]) -> None:
    """Not in float64: the definition says float32."""
    case, upstream = attention(**told), torch.tensor(floats(3, 2, 6, 24))
    x, again = (torch.tensor(X, requires_grad=True) for _ in range(2))
    (found,) = torch.autograd.grad(convert_onnx(model_of(case, 23), origin="case")(x), x, upstream)
    rows = again.reshape(2, 6, 24)
    keys = rows @ torch.tensor(case.constants["w"])
    q, k, v = (part.reshape(2, 6, 2, 12).transpose(1, 2) for part in (rows, keys, rows))
    mixed = scaled_dot_product_attention(q, k, v, is_causal="is_causal" in told, scale=told.get("scale"))
    (expected,) = torch.autograd.grad(mixed.transpose(1, 2).reshape(2, 6, 24), again, upstream)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_a_graph_without_such_operators_is_left_as_it_is() -> None:
    proto = model_of(unary("Relu"), 23)
    assert written_out(proto) is proto


def test_what_a_definition_does_not_use_is_dropped() -> None:
    written = written_out(onnx.shape_inference.infer_shapes(model_of(attention(), 23)))
    used = {name for node in written.graph.node for name in node.input} | {"y"}
    assert all(used.intersection(node.output) for node in written.graph.node)
    assert "Attention" not in {node.op_type for node in written.graph.node}


REFUSED = [
    Case("HannWindow", [("HannWindow", ["size"], ["w"], {}), ("Mul", ["x", "w"], ["y"], {})], {"size": np.array(6)}),
    Case(
        "AffineGrid",  # of two axes or of three: the definition has both, and an If
        [("AffineGrid", ["theta", "size"], ["grid"], {}), ("GridSample", ["x", "grid"], ["y"], {})],
        {"theta": floats(1, 2, 2, 3), "size": integers(2, 4, 3, 5)},
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.operator)
def test_a_definition_that_cannot_be_converted_is_refused(case: Case) -> None:
    with pytest.raises(ModelError, match="cannot be converted to torch"):
        convert_onnx(model_of(case, 20), origin="case")


def test_opsets_without_the_operator() -> None:
    with pytest.raises(ModelError, match="Attention"):
        convert_onnx(model_of(attention(), 22), origin="case")
