"""A slice of the sweep of random ONNX graphs, and that the sweep sees what is wrong."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import onnx
import pytest
import torch
from torch import Tensor, nn

from cae_backends.torch.onnx_import import convert_onnx

pytestmark = pytest.mark.usefixtures("one_thread")

EXAMPLES = Path(__file__).parents[3] / "examples"


@pytest.fixture(autouse=True)
def examples_can_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(EXAMPLES))


def test_no_graph_differs() -> None:
    from operator_sweep import FAULTS, tried

    outcomes = [tried(7, number) for number in range(300)]
    faults = [outcome for outcome in outcomes if outcome.kind in FAULTS]
    assert not faults, faults
    counts = Counter(outcome.kind for outcome in outcomes)
    assert counts["right"] >= 280  # the others ONNX Runtime does not run
    assert sum(outcome.with_slopes for outcome in outcomes) >= 80
    assert len({name for outcome in outcomes for name in outcome.families}) == 31


def test_a_graph_is_drawn_from_its_number_alone() -> None:
    from operator_sweep import tried

    assert [tried(7, number) for number in (5, 3)] == [tried(7, number) for number in (3, 5)][::-1]


class Wrong(nn.Module):
    def __init__(self, module: nn.Module, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.module, self.change = module, change

    def forward(self, x: Tensor) -> Tensor:
        return self.change(self.module(x))


CHANGES: dict[str, Callable[[Tensor], Tensor]] = {
    "DIFFERENT": lambda y: y * 1.01 + 0.01,
    "GRADIENT": lambda y: y.detach() + 1.2 * (y - y.detach()),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_the_sweep_sees_what_is_wrong(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import operator_sweep

    def wrong(proto: onnx.ModelProto, *, origin: str) -> nn.Module:
        return Wrong(convert_onnx(proto, origin=origin), CHANGES[kind])

    monkeypatch.setattr(operator_sweep, "convert_onnx", wrong)
    kinds = Counter(operator_sweep.tried(7, number).kind for number in range(0, 60, 3))
    assert kinds[kind] >= 12, kinds  # some have no gradient, or do not run


def test_any_other_exception_is_a_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    import operator_sweep

    def broken(proto: onnx.ModelProto, *, origin: str) -> nn.Module:
        raise ZeroDivisionError(origin)

    monkeypatch.setattr(operator_sweep, "convert_onnx", broken)
    assert operator_sweep.tried(7, 0).kind == "CRASH"
    assert torch.is_grad_enabled()
