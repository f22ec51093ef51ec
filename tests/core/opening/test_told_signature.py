"""What a child says of a model's tensors is taken apart field by field."""

import json
from typing import Any

import pytest

from cae_core.containment.frames import BadFrame
from cae_core.opening.told_signature import signature_table, told_signature
from cae_core.signature import Signature, TensorSign

TENSOR = TensorSign(name="x", dtype="int8", shape=("n", None, 3), ending="softmax", scale=0.5, zero_point=-128)
WHOLE = Signature(
    inputs=(TENSOR,), outputs=(TENSOR, TensorSign(name="y", dtype="float32", shape=None)), metadata={"a": "b"}
)


class _Answer:
    def __init__(self, told: object) -> None:
        self.header = {"signature": told}


def read(told: object) -> Signature | None:
    return told_signature(_Answer(json.loads(json.dumps(told))))  # type: ignore[arg-type]


def test_it_comes_back_as_it_was() -> None:
    assert read(signature_table(WHOLE)) == WHOLE
    assert read(None) is None


def test_there_are_only_so_many_parts() -> None:
    many = Signature(
        inputs=(TENSOR,) * 3000, outputs=(), metadata={str(i): "" for i in range(3000)} | {"x": "y" * 70_000}
    )
    found = read(signature_table(many))
    assert found is not None
    assert len(found.inputs) == len(found.metadata) == 1000


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", 3), ("name", "x" * 70_000), ("name", None), ("dtype", []), ("shape", 5), ("shape", [1.5]),
        ("shape", ["n"] * 17), ("shape", [1 << 70]), ("ending", "tanh"), ("ending", ["softmax"]), ("scale", 0.0),
        ("scale", -1.0), ("scale", float("nan")), ("scale", "1"), ("zero_point", 0.5), ("zero_point", 1 << 64),
    ],
)  # fmt: skip
def test_a_tensor_that_is_none_is_refused(field: str, value: object) -> None:
    told: dict[str, Any] = signature_table(WHOLE)
    told["inputs"][0][field] = value
    with pytest.raises(BadFrame):
        read(told)


@pytest.mark.parametrize(
    "told", [3, [], {}, {"inputs": [], "outputs": []}, {"inputs": 1, "outputs": [], "metadata": {}}]
)
def test_a_signature_that_is_none_is_refused(told: object) -> None:
    with pytest.raises(BadFrame):
        read(told)


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_too_many_tensors_are_refused(part: str) -> None:
    told = signature_table(WHOLE)
    told[part] *= 1001
    with pytest.raises(BadFrame):
        read(told)
