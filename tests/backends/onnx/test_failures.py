"""The runtime's message is shortened in no time, whatever names of a foreign file stand in it."""

import time
from pathlib import Path

import pytest

from cae_backends.onnx.failures import not_opened, shortened

LONG = (
    "x" * 10**5,
    "x " * 10**5,
    "a.cc:1 " * 30_000,
    'In Node, ("a", b, "c", 1) : ' * 5000,
    "Name:'" * 20_000,
    "(" * 10**5,
)


@pytest.mark.parametrize("text", LONG, ids=lambda text: text[:12])
def test_long_names_take_no_time(text: str, tmp_path: Path) -> None:
    error, began = RuntimeError(f"[ONNXRuntimeError] : 1 : FAIL : {text}"), time.process_time()
    assert len(shortened(error)) <= 200
    assert len(str(not_opened(tmp_path / "none.onnx", error, "1.24"))) < 1000
    assert time.process_time() - began < 5
