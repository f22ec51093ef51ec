"""A torch module as a `Network`."""

import copy
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.modules.dropout import _DropoutNd

from cae_backends.training.recipe import Recipe
from cae_backends.training.torch_adversarial import attacked, trades
from cae_backends.training.trainers import Step, Weights
from cae_core.arrays import Floats32, Labels
from cae_core.errors import ModelError

__all__ = ["TorchNetwork", "reproducible"]


class TorchNetwork:
    """Trains a module that takes float32 (n, k, h, w) in [0, 1] and answers logits (n, c)."""

    layout: Literal["NHWC", "NCHW"] = "NCHW"
    output_axis = 0

    def __init__(self, module: nn.Module, *, device: str = "cpu") -> None:
        chosen = device if device != "auto" else "cuda" if torch.cuda.is_available() else "cpu"
        try:
            # A batch (n, h, w, k) is then already laid out as the convolutions take it.
            self.module = module.to(torch.device(chosen)).to(memory_format=torch.channels_last)
        except RuntimeError as error:
            raise ModelError(f"The device {device!r} cannot be used ({str(error).splitlines()[0]}).") from error
        self.device = torch.device(chosen)

    @property
    def model(self) -> nn.Module:
        """A copy on the CPU, in evaluation mode and torch's usual memory layout."""
        return copy.deepcopy(self.module).to("cpu").to(memory_format=torch.contiguous_format).eval()

    @property
    def kernels(self) -> tuple[str, ...]:
        """See `Network.kernels`."""
        return tuple(name for name, parameter in self.module.named_parameters() if parameter.ndim > 1)

    @property
    def head(self) -> tuple[str, ...]:
        """See `Network.head`."""
        layer = self.kernels[-1].rpartition(".")[0]
        return tuple(name for name, _ in self.module.named_parameters() if name.rpartition(".")[0] == layer)

    def logits(self, images: Floats32) -> Floats32:
        """See `Network.logits`."""
        if self.module.training:
            self.module.eval()
        with torch.no_grad(), reproducible():
            answer: Tensor = self.module(self._to_tensor(images))
            return answer.float().cpu().numpy()

    def pullback(self, images: Floats32, cotangent: Floats32) -> Floats32:
        """See `DifferentiableNetwork.pullback`."""
        if self.module.training:
            self.module.eval()
        with reproducible():
            x = torch.from_numpy(images).to(self.device).requires_grad_()
            logits: Tensor = self.module(x.permute(0, 3, 1, 2)).float()
            (gradient,) = torch.autograd.grad((logits * torch.from_numpy(cotangent).to(self.device)).sum(), x)
            return gradient.cpu().numpy()

    def weights(self) -> Weights:
        """See `Network.weights`."""
        state = self.module.state_dict()
        return {name: np.array(value.cpu().numpy(), order="C") for name, value in state.items()}

    def load(self, weights: Mapping[str, NDArray[Any]]) -> None:
        """See `Network.load`."""
        self.module.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})

    def start(
        self, recipe: Recipe, *, seed: int, frozen: Collection[str], masks: Mapping[str, NDArray[np.bool_]]
    ) -> Step:
        """See `Network.start`."""
        named = {name: p for name, p in self.module.named_parameters() if name not in frozen}
        parameters, optimizer = list(named.values()), _optimizer(list(named.values()), recipe)
        kept = [(named[name], torch.tensor(mask, device=self.device)) for name, mask in masks.items()]
        penalised = [named[name] for name in self.kernels if recipe.l2 and name in named]
        generator = torch.Generator(self.device).manual_seed(seed)
        dropout = self._dropout(seed)

        def step(images: Floats32, targets: Floats32 | Labels, rate: float) -> float:
            if self.module.training == bool(frozen):
                self.module.train(not frozen)
            for group in optimizer.param_groups:
                group["lr"] = rate
            with reproducible(), dropout():
                x, y = self._to_tensor(images), torch.from_numpy(targets).to(self.device)
                loss = self._training_loss(x, y, recipe, generator)
                gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
                for parameter, gradient in zip(parameters, gradients, strict=True):
                    parameter.grad = gradient
                for kernel in penalised:
                    kernel.grad = None if kernel.grad is None else kernel.grad + 2 * recipe.l2 * kernel.detach()
                for parameter, mask in kept:  # zero with a zero gradient stays zero, weight decay included
                    parameter.grad = None if parameter.grad is None else parameter.grad * mask
                optimizer.step()
            return loss.item()

        return step

    def _dropout(self, seed: int) -> Callable[[], AbstractContextManager[None]]:
        """Return what surrounds each step, so that dropout draws from ``seed`` and changes nobody's random state."""
        if not any(isinstance(layer, _DropoutNd) for layer in self.module.modules()):
            return nullcontext  # a fork costs as much as a tiny network's layer
        seeds = np.random.default_rng(seed)
        devices = [self.device] if self.device.type == "cuda" else []

        @contextmanager
        def seeded() -> Iterator[None]:
            with torch.random.fork_rng(devices=devices):
                torch.manual_seed(int(seeds.integers(2**63)))
                yield

        return seeded

    def _training_loss(self, x: Tensor, y: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
        def fitted(logits: Tensor) -> Tensor:
            return _fitted(logits, y, recipe)

        def logits_of(images: Tensor) -> Tensor:
            return self._logits(images, recipe)

        if recipe.trades:
            return trades(logits_of, fitted, x, recipe, generator)
        if recipe.adversarial:
            x = attacked(lambda images: fitted(logits_of(images)), x, recipe, generator)
        return fitted(logits_of(x))

    def _logits(self, x: Tensor, recipe: Recipe) -> Tensor:
        with torch.autocast(self.device.type, torch.bfloat16, enabled=recipe.precision == "bfloat16"):
            logits: Tensor = self.module(x)
        return logits.float()

    def _to_tensor(self, images: Floats32) -> Tensor:
        return torch.from_numpy(images).to(self.device).permute(0, 3, 1, 2)


def _fitted(logits: Tensor, y: Tensor, recipe: Recipe) -> Tensor:
    heat = recipe.temperature
    return functional.cross_entropy(logits / heat, y, label_smoothing=recipe.label_smoothing) * heat**2


def _optimizer(parameters: list[nn.Parameter], recipe: Recipe) -> torch.optim.Optimizer:
    rate, decay = recipe.learning_rate, recipe.weight_decay
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(parameters, rate, momentum=0.9, nesterov=True, weight_decay=decay, fused=True)
    return torch.optim.Adam(parameters, rate, weight_decay=decay, fused=True)


@contextmanager
def reproducible() -> Iterator[None]:
    """Compute on one thread, where sums have one order (and two such processes beat one with two threads)."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True):
            yield
    finally:
        torch.set_num_threads(before)
