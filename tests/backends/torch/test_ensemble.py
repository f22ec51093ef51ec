"""The grouped evaluation gives the members' logits and the sum of their gradients, from cheaper graphs."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from cae_backends.torch.model import TorchEnsemble, TorchModel
from cae_backends.torch.simplify import simplify
from cae_core.arrays import as_unit_float
from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.generation.ensembles import build_ensemble
from cae_core.models import DifferentiableModel
from cae_core.testing import LinearModel, check_ensemble

pytestmark = pytest.mark.usefixtures("one_thread")

CONTRACT = Contract(layout="NCHW", range=(0.0, 1.0), output="logits", mean=(0.5,), std=(0.25,))
IMAGES: NDArray[np.uint8] = np.random.default_rng(11).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


class Residual(nn.Module):
    """A small residual network; smooth, so that gradients can be compared closely."""

    def __init__(self, seed: int, classes: int = 4) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.first, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.second, self.second_norm = nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.head = nn.Linear(8 * 16, classes)
        self.calls = 0
        for value in self.buffers():
            if value.is_floating_point():
                nn.init.uniform_(value, 0.5, 1.5)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.silu(self.norm(self.first(x)))
        x = nn.functional.silu(x + self.second_norm(self.second(x)))
        x = nn.functional.avg_pool2d(x, 2)
        answer: Tensor = self.head(x.view(x.size(0), -1))
        return answer


class Branching(Residual):
    """The same with a decision that depends on values, so that it cannot be traced."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x if float(x.detach().abs().max()) >= 0 else -x)


class Instances(nn.Module):
    """Answers something else when it is traced, as code that looks at types does."""

    def forward(self, x: Tensor) -> Tensor:
        mean = x.mean((2, 3))
        return mean if isinstance(mean, Tensor) else mean * 2


def wrap(*modules: nn.Module, contract: Contract = CONTRACT) -> list[TorchModel]:
    return [TorchModel(module, contract=contract, device="cpu") for module in modules]


def test_conformance() -> None:
    models = wrap(Residual(0), Branching(1), Residual(2))
    check_ensemble(build_ensemble(models), models, IMAGES)
    assert isinstance(build_ensemble(models), TorchEnsemble)


def test_members_with_different_contracts() -> None:
    other = Contract(layout="NCHW", range=(0.0, 255.0), output="probabilities", channels="BGR", classes=(1, 0, 3, 2))
    scaled = nn.Sequential(nn.BatchNorm2d(3), Residual(2), nn.Softmax(1))
    scaled[0].get_buffer("running_var").fill_(255.0**2)
    models = [*wrap(Residual(0)), *wrap(scaled, contract=other)]
    check_ensemble(TorchEnsemble(models), models, IMAGES)


def test_float32_agrees_closely() -> None:
    models = wrap(*(Residual(seed) for seed in range(3)))
    found, _ = TorchEnsemble(models).vjp(as_unit_float(IMAGES), np.ones(3, np.bool_))
    for logits, model in zip(found, models, strict=True):
        np.testing.assert_allclose(logits, model.vjp(as_unit_float(IMAGES))[0], atol=1e-4)


def test_bfloat16_agrees_roughly_and_comes_back_as_float32() -> None:
    models = wrap(*(Residual(seed) for seed in range(3)))
    check_ensemble(build_ensemble(models, precision="bfloat16"), models, IMAGES, tolerance=0.05)
    exact, _ = build_ensemble(models).vjp(as_unit_float(IMAGES), np.ones(3, np.bool_))
    rough, _ = build_ensemble(models, precision="bfloat16").vjp(as_unit_float(IMAGES), np.ones(3, np.bool_))
    assert np.abs(exact - rough).max() > 1e-5  # it is another arithmetic


def test_dropped_members_are_not_evaluated() -> None:
    models = wrap(Residual(0), Residual(1), Residual(2))
    counts = [0, 0, 0]
    ensemble = TorchEnsemble(models)
    ensemble.vjp(as_unit_float(IMAGES), np.ones(3, np.bool_))  # makes the cheaper graphs

    def count(position: int) -> Callable[..., None]:
        def hook(*_: object) -> None:
            counts[position] += 1

        return hook

    for position, network in ensemble._networks.items():
        network.register_forward_hook(count(position))
    check_ensemble(ensemble, models, IMAGES, evaluations=lambda: counts)
    assert sum(counts) > 0


def test_no_images() -> None:
    ensemble = TorchEnsemble(wrap(Residual(0), Residual(1)))
    logits, pullback = ensemble.vjp(np.zeros((0, 8, 8, 3), np.float32), np.array([True, False]))
    assert logits.shape == (1, 0, 4)
    assert pullback(logits).shape == (0, 8, 8, 3)


def test_batch_norm_is_folded_and_views_take_channels_last() -> None:
    net = Residual(0).eval()
    simpler = simplify(net)
    assert isinstance(simpler, fx.GraphModule)
    left = {str(node.target) for node in simpler.graph.nodes if node.op == "call_module"}
    assert left == {"first", "second", "head"}
    x = torch.rand(2, 3, 8, 8)
    torch.testing.assert_close(simpler(x.to(memory_format=torch.channels_last)), net(x), atol=1e-5, rtol=1e-4)


def test_a_shared_convolution_is_not_folded() -> None:
    class Shared(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.convolution, self.norm = nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3)
            self.norm.get_buffer("running_var").fill_(4.0)

        def forward(self, x: Tensor) -> object:
            return self.norm(self.convolution(self.convolution(x)))

    net = Shared().eval()
    x = torch.rand(2, 3, 4, 4)
    torch.testing.assert_close(simplify(net)(x), net(x))


def test_what_cannot_be_simplified_runs_as_it_is() -> None:
    models = wrap(Instances(), Instances())
    ensemble = TorchEnsemble(models, precision="bfloat16")
    check_ensemble(ensemble, models, IMAGES)
    assert ensemble._networks[0] is models[0].network


def test_what_cannot_run_in_bfloat16_runs_in_float32() -> None:
    class Mixed(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            assert float(x.detach().abs().max()) >= 0  # not traced, so the constant below stays float32
            return x.mean((2, 3)) @ torch.eye(3)

    models = wrap(Mixed(), Mixed())
    check_ensemble(TorchEnsemble(models, precision="bfloat16"), models, IMAGES)


def test_refusals() -> None:
    pair = TorchEnsemble(wrap(Residual(0), Residual(1, classes=3)))
    with pytest.raises(ModelError, match=r"found \[3, 4\]"):
        pair.vjp(as_unit_float(IMAGES), np.ones(2, np.bool_))
    for keep in (np.zeros(2, np.bool_), np.ones(3, np.bool_)):
        with pytest.raises(ModelError, match="at least one of 2 members"):
            pair.vjp(as_unit_float(IMAGES), keep)
    with pytest.raises(ModelError, match="labels only"):
        TorchEnsemble(wrap(Residual(0), contract=CONTRACT.replace(output="labels")))


def test_in_one_optimisation_with_models_of_other_backends() -> None:
    models: list[DifferentiableModel] = [
        *wrap(Residual(0)),
        LinearModel.random((8, 8, 3), classes=4, seed=0),
        *wrap(Residual(1)),
    ]
    check_ensemble(build_ensemble(models), models, IMAGES)
