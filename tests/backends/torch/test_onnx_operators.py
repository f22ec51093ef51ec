"""ONNX to torch: operators have the runtime's values and right gradients, in every version; or they are refused."""

import numpy as np
import pytest
import torch
from onnx import defs

from cae_backends.torch.onnx_import import convert_onnx
from cae_backends.torch.onnx_operators import ADDED_TYPES_ONLY, WRITTEN_HERE, is_ours
from cae_core.errors import ModelError
from tests.backends.onnx_cases import (
    NEWEST,
    SHAPE,
    Case,
    Node,
    check_case,
    floats,
    integers,
    model_of,
    number,
    run_onnx,
    unary,
)
from tests.backends.onnx_shape_cases import SHAPE_CASES
from tests.backends.onnx_value_cases import VALUE_CASES

pytestmark = pytest.mark.usefixtures("one_thread")

OLDEST_RUN = 7  # ONNX Runtime takes no older opset
VERSIONS = {name: versions for table in (ADDED_TYPES_ONLY, WRITTEN_HERE) for name, (_, versions) in table.items()}


def version_of(operator: str, opset: int) -> int:
    return int(defs.get_schema(operator, max_inclusive_version=opset).since_version)


def opsets_of(case: Case) -> list[int]:
    """17 and 18, which exporters write most, and the first opset of every other version."""
    fitting = [opset for opset in range(OLDEST_RUN, NEWEST + 1) if case.fits(opset) and _is_known(case, opset)]
    first = {version_of(case.operator, opset): opset for opset in reversed(fitting)}
    return sorted({*first.values(), *({17, 18} & set(fitting))})


def _is_known(case: Case, opset: int) -> bool:
    return all(defs.has(name, opset, "") for name, *_ in case.nodes)


MATRIX = [(case, opset) for case in VALUE_CASES + SHAPE_CASES for opset in opsets_of(case)]


@pytest.mark.parametrize("operator", VERSIONS)
def test_every_version_has_a_case(operator: str) -> None:
    tried = {version_of(operator, opset) for case, opset in MATRIX if case.operator == operator}
    assert set(VERSIONS[operator]) <= tried


@pytest.mark.parametrize(("case", "opset"), MATRIX, ids=lambda value: getattr(value, "operator", value))
def test_values_and_gradients(case: Case, opset: int) -> None:
    check_case(case, opset)


REFUSED = [
    unary("Dropout", {"ratio": number(0.5), "training_mode": np.array(1, np.bool_)}),
    unary(
        "Resize",
        {"sizes": integers(2, 4, 9, 9)},
        ",,sizes",
        nearest_mode="floor",
        coordinate_transformation_mode="half_pixel_symmetric",
    ),
    unary("Resize", {"sizes": integers(2, 4, 9, 9)}, ",,sizes", mode="lanczos"),
    unary("AveragePool", kernel_shape=[2, 2], auto_pad="SAME"),
    unary("GridSample", {"grid": floats(1, 2, 3, 3, 2)}, mode="area"),
    unary("DequantizeLinear", {"scale": number(0.1)}, output_dtype=10),
    Case(
        "LSTM",
        [("Squeeze", ["x", "axes"], ["s"], {}), ("LSTM", ["s", "w", "r"], ["y"], {"hidden_size": 2, "clip": 0.5})],
        {"axes": integers(0), "w": floats(1, 1, 8, 6), "r": floats(2, 1, 8, 2)},
    ),
    unary("ScatterND", {"i": integers(1).reshape(1, 1), "u": floats(1, 1, 4, 6, 6)}, reduction="max"),
    Case(
        "Pad",
        [("ReduceMean", ["x"], ["v"], {"keepdims": 0}), ("Pad", ["x", "p", "v"], ["y"], {})],
        {"p": integers(*[1] * 8)},
    ),
    Case(
        "MaxPool",
        [
            ("MaxPool", ["x"], ["m", "i"], {"kernel_shape": [2, 2]}),
            ("Cast", ["i"], ["z"], {"to": 1}),
            ("Add", ["m", "z"], ["y"], {}),
        ],
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.operator)
def test_what_torch_would_answer_otherwise_is_refused(case: Case) -> None:
    with pytest.raises(ModelError, match=rf"operator {case.operator} \(opset 18, node"):
        convert_onnx(model_of(case, 18), origin="case")


def test_who_converts_what() -> None:
    assert is_ours("Slice", 18)
    assert is_ours("Cast", 19)
    assert not is_ours("Cast", 18)
    assert not is_ours("Relu", 18)


@pytest.mark.parametrize(
    ("case", "reason"),
    [
        (unary("AveragePool", kernel_shape=[7, 1], strides=[8, 1], count_include_pad=1), "wider than the image"),
        (unary("MaxPool", kernel_shape=[9, 1]), "no window of 9 fits"),
        (unary("Squeeze", {"axes": integers()}), "empty list of axes"),
    ],
    ids=lambda value: getattr(value, "operator", None),
)
def test_what_depends_on_the_image_is_refused_with_the_first(case: Case, reason: str) -> None:
    module = convert_onnx(model_of(case, 18), origin="case")
    with pytest.raises(NotImplementedError, match=reason):
        module(torch.ones(SHAPE))


@pytest.mark.parametrize("size", [2, 4])
def test_local_response_of_an_even_size(size: int) -> None:
    """The runtime takes odd sizes only: compared with the specification's formula."""
    x = np.random.default_rng(0).uniform(-1, 1, SHAPE).astype(np.float32)
    module = convert_onnx(model_of(unary("LRN", size=size, alpha=0.5), 18), origin="case")
    expected = np.empty_like(x)
    for c in range(SHAPE[1]):
        region = x[:, max(0, c - (size - 1) // 2) : c + size // 2 + 1]
        expected[:, c] = x[:, c] / (1 + 0.5 / size * (region**2).sum(axis=1)) ** 0.75
    np.testing.assert_allclose(module(torch.tensor(x)).numpy(), expected, rtol=1e-5)


@pytest.mark.parametrize("kind", ["LpPool", "GlobalLpPool", "LpNormalization", "ReduceL2"])
def test_norms_of_nothing_have_the_gradient_zero(kind: str) -> None:
    case = unary(kind, kernel_shape=[2, 2]) if kind == "LpPool" else unary(kind)
    x = torch.zeros(SHAPE, requires_grad=True)
    convert_onnx(model_of(case, 18), origin="case")(x).sum().backward()
    assert x.grad is not None
    assert (x.grad == 0).all() if kind != "LpNormalization" else x.grad.isfinite().all()


def test_a_quantised_answer_has_no_gradient() -> None:
    nodes: list[Node] = [
        ("QuantizeLinear", ["x", "scale"], ["whole"], {}),
        ("DequantizeLinear", ["whole", "scale"], ["y"], {}),
    ]
    case = Case("QuantizeLinear", nodes, {"scale": number(0.1)})
    assert not convert_onnx(model_of(case, 18), origin="case")(torch.ones(SHAPE, requires_grad=True)).requires_grad


def test_numbers_that_carry_a_gradient_are_refused() -> None:
    nodes: list[Node] = [
        ("ReduceMax", ["x"], ["m"], {}),
        ("Reshape", ["m", "one"], ["m1"], {}),
        ("Concat", ["ones", "m1"], ["scales"], {"axis": 0}),
        ("Resize", ["x", "", "scales"], ["y"], {"mode": "linear"}),
    ]
    case = Case("Resize", nodes, {"one": integers(1), "ones": np.ones(3, np.float32)}, (13, 17))
    module = convert_onnx(model_of(case, 17), origin="case")
    assert module(torch.full(SHAPE, 2.0)).shape == (2, 4, 6, 12)
    with pytest.raises(NotImplementedError, match="carry a gradient"):
        module(torch.full(SHAPE, 2.0, requires_grad=True))


def test_a_window_that_holds_padding_only() -> None:
    """The runtime answers the least number there is, not minus infinity."""
    case = unary("MaxPool", kernel_shape=[2, 1], dilations=[7, 1], pads=[1, 0, 1, 0])
    proto, x = model_of(case, 18), np.ones(SHAPE, np.float32)
    expected = run_onnx(proto, x)
    assert (expected == np.finfo(np.float32).min).all()
    np.testing.assert_array_equal(convert_onnx(proto, origin="case")(torch.tensor(x)).numpy(), expected)
