"""ONNX to torch: operators have the runtime's values and right gradients, in every version; or they are refused."""

import pytest
from onnx import defs

from cae_backends.torch.onnx_import import convert_onnx
from cae_backends.torch.onnx_operators import ADDED_TYPES_ONLY, WRITTEN_HERE, is_ours
from cae_core.errors import ModelError
from tests.backends.onnx_case_table import CASES, REFUSED
from tests.backends.onnx_cases import Case, check_case, model_of

pytestmark = pytest.mark.usefixtures("one_thread")

OLDEST_RUN = 7  # ONNX Runtime takes no older opset
VERSIONS = {name: versions for table in (ADDED_TYPES_ONLY, WRITTEN_HERE) for name, (_, versions) in table.items()}


def version_of(operator: str, opset: int) -> int:
    return int(defs.get_schema(operator, max_inclusive_version=opset).since_version)


def opsets_of(case: Case) -> list[int]:
    """17 and 18, and the first opset of every version that this project converts."""
    ours = {max(version, OLDEST_RUN) for version in VERSIONS.get(case.operator, ())}
    return sorted(opset for opset in ours | {17, 18} if case.fits(opset))


MATRIX = [(case, opset) for case in CASES for opset in opsets_of(case)]


@pytest.mark.parametrize("operator", VERSIONS)
def test_every_version_has_a_case(operator: str) -> None:
    tried = {version_of(operator, opset) for case, opset in MATRIX if case.operator == operator}
    assert set(VERSIONS[operator]) <= tried


@pytest.mark.parametrize(("case", "opset"), MATRIX, ids=lambda value: getattr(value, "operator", value))
def test_values_and_gradients(case: Case, opset: int) -> None:
    check_case(case, opset)


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case.operator)
def test_what_torch_would_answer_otherwise_is_refused(case: Case) -> None:
    with pytest.raises(ModelError, match=rf"operator {case.operator} \(opset 18, node"):
        convert_onnx(model_of(case, 18), origin="case")


def test_who_converts_what() -> None:
    assert is_ours("Slice", 18)
    assert is_ours("Cast", 19)
    assert not is_ours("Cast", 18)
    assert not is_ours("Relu", 18)
