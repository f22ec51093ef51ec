"""ONNX to torch: operators have the runtime's values and right gradients, in every version; or they are refused."""

import numpy as np
import pytest
from onnx import defs

from cae_backends.torch.onnx_import import convert_onnx
from cae_backends.torch.onnx_operators import ADDED_TYPES_ONLY, WRITTEN_HERE, is_ours
from cae_core.errors import ModelError
from tests.backends.onnx_cases import NEWEST, Case, check_case, floats, integers, model_of, number, unary
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
    unary("Resize", {"sizes": integers(2, 4, 3, 3)}, ",,sizes", mode="linear", antialias=1),
    unary("Resize", {"sizes": integers(2, 4, 9, 9)}, ",,sizes", mode="nearest"),
    unary(
        "Resize", {"sizes": integers(2, 4, 9, 9)}, ",,sizes", mode="linear", coordinate_transformation_mode="asymmetric"
    ),
    unary("Resize", {"scales": np.array([1, 2, 2, 2], np.float32)}, ",scales", mode="linear"),
    unary("AveragePool", kernel_shape=[2, 2], dilations=[2, 2]),
    unary("AveragePool", kernel_shape=[2, 2], ceil_mode=1, pads=[0, 0, 1, 1]),
    unary("MaxPool", kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1, pads=[0, 0, 1, 1]),
    unary("ConvTranspose", {"w": floats(1, 4, 3, 3, 3)}, strides=[2, 2], output_shape=[12, 12]),
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
