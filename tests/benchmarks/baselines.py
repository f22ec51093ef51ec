"""What our code is measured against: the report's loop, and a good batched loop, both in PyTorch.

Both compute what the preset ``report-code`` computes, but for the form of Adam: the composite loss with Keras' clipping
and the source's label as target, Adam with its state kept, the L-infinity ball, acceptance of the rounded image by all
models. They take the same dropout masks as our code.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cae_core.generation.settings import GenerationSettings
from tests.benchmarks.pools import Modules

__all__ = ["BatchedLoop", "Mask", "accept", "composite_loss", "report_example", "to_tensor"]

Mask = Callable[[int], NDArray[np.bool_]]
"""Step -> which of source, surrogates and references are kept, bool (m,)."""

_FUZZ = 1e-7


def composite_loss(source: Tensor, surrogates: Tensor, references: Tensor, original: Tensor) -> Tensor:
    """Return the composite loss (n,) of probabilities, clipped as Keras does, at the source's label.

    Args:
        source: p_M (n, c).
        surrogates: Surr (n, c), the mean over the kept surrogates.
        references: Ref (n, c), the mean over the kept references.
        original: y0 (n,).
    """
    target = source.argmax(1, keepdim=True)
    conferrability = (surrogates * (1 - references)).gather(1, target)[:, 0]
    adversarial = source.gather(1, original[:, None])[:, 0]
    transfer = (source * _log(surrogates)).sum(1)
    return -_log(conferrability) + _log(adversarial) - transfer


def _log(p: Tensor) -> Tensor:
    return p.clamp(_FUZZ, 1 - _FUZZ).log()


def to_tensor(images: NDArray[np.uint8]) -> Tensor:
    """Return images (n, h, w, k) as float32 (n, k, h, w) in [0, 1]."""
    return torch.tensor(images).permute(0, 3, 1, 2).contiguous().float() / 255


def report_example(
    modules: Modules, seed: NDArray[np.uint8], *, original: int, truth: int, settings: GenerationSettings, mask: Mask
) -> tuple[NDArray[np.uint8], bool]:
    """Search one example as the report's code does; return the rounded image (h, w, k) and whether it is accepted.

    One image at a time; every model is evaluated at each iteration and dropout multiplies its probabilities by 0;
    the weights are not frozen, so ``backward`` forms their gradients too.
    """
    start, y0 = to_tensor(seed[np.newaxis]), torch.tensor([original])
    delta = torch.zeros_like(start, requires_grad=True)
    optimiser = torch.optim.Adam([delta], lr=settings.step_size)
    for step in range(settings.iterations):
        keep = torch.tensor(mask(step)).float()
        optimiser.zero_grad()
        image = start + delta
        source = modules.source(image).softmax(1)
        surrogates = _masked_mean(modules.surrogates, image, keep[1 : 1 + len(modules.surrogates)])
        references = _masked_mean(modules.references, image, keep[1 + len(modules.surrogates) :])
        composite_loss(source, surrogates, references, y0).sum().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        with torch.no_grad():
            delta.copy_((start + delta.clamp(-settings.eps, settings.eps)).clamp(0, 1) - start)
    images = _rounded(start, delta.detach(), settings.eps)
    accepted = accept(modules, images, original=y0, truth=torch.tensor([truth]), settings=settings)
    return _to_uint8(images)[0], bool(accepted[0])


def _masked_mean(models: Sequence[nn.Module], image: Tensor, keep: Tensor) -> Tensor:
    answers = torch.stack([model(image).softmax(1) for model in models])
    return (answers * keep[:, None, None]).sum(0) / keep.sum()


@dataclass(frozen=True)
class BatchedLoop:
    """A good batched loop: weights frozen, dropped models skipped, one backward pass to the images.

    Attributes:
        modules: their weights are frozen here.
        seeds: float32 (n, k, h, w).
        original: y0 (n,).
        delta: float32, the perturbation, changed in place.
        optimiser: Adam over ``delta``, its state kept.
        eps: radius of the L-infinity ball.
    """

    modules: Modules
    seeds: Tensor
    original: Tensor
    delta: Tensor
    optimiser: torch.optim.Optimizer
    eps: float

    @classmethod
    def start(
        cls, modules: Modules, seeds: NDArray[np.uint8], original: NDArray[np.int64], settings: GenerationSettings
    ) -> "BatchedLoop":
        """Freeze the weights and begin at the seeds, uint8 (n, h, w, k)."""
        for module in modules.all:
            module.requires_grad_(requires_grad=False)
        tensor = to_tensor(seeds)
        delta = torch.zeros_like(tensor, requires_grad=True)
        optimiser = torch.optim.Adam([delta], lr=settings.step_size)
        return cls(modules, tensor, torch.tensor(original), delta, optimiser, settings.eps)

    def step(self, keep: NDArray[np.bool_]) -> Tensor:
        """Move every image one step down the loss; return the losses (n,) before the step."""
        images = self.seeds + self.delta
        answers = [
            model(images).softmax(1) if kept else None for model, kept in zip(self.modules.all, keep, strict=True)
        ]
        boundary = 1 + len(self.modules.surrogates)
        source, surrogates, references = (
            _kept(part) for part in (answers[:1], answers[1:boundary], answers[boundary:])
        )
        losses = composite_loss(source.mean(0), surrogates.mean(0), references.mean(0), self.original)
        (self.delta.grad,) = torch.autograd.grad(losses.sum(), self.delta)
        self.optimiser.step()
        with torch.no_grad():
            self.delta.copy_((self.seeds + self.delta.clamp(-self.eps, self.eps)).clamp_(0, 1).sub_(self.seeds))
        return losses.detach()

    def finish(self, truth: NDArray[np.int64], settings: GenerationSettings) -> tuple[NDArray[np.uint8], Tensor]:
        """Return the rounded images (n, h, w, k) and which are accepted, bool (n,)."""
        images = _rounded(self.seeds, self.delta.detach(), settings.eps)
        judged = accept(self.modules, images, original=self.original, truth=torch.tensor(truth), settings=settings)
        return _to_uint8(images), judged


def _kept(answers: Sequence[Tensor | None]) -> Tensor:
    return torch.stack([answer for answer in answers if answer is not None])


def _rounded(seeds: Tensor, delta: Tensor, eps: float) -> Tensor:
    """Return levels (n, k, h, w) in [0, 255], rounded inside the ball, whose radius is floor(255 eps + 1e-3) levels."""
    radius = int(255 * eps + 1e-3)
    centre = (seeds * 255).round()
    levels = ((seeds + delta) * 255).round()
    return levels.clamp(centre - radius, centre + radius).clamp(0, 255)


def _to_uint8(levels: Tensor) -> NDArray[np.uint8]:
    return levels.permute(0, 2, 3, 1).to(torch.uint8).numpy()


def accept(
    modules: Modules, levels: Tensor, *, original: Tensor, truth: Tensor, settings: GenerationSettings
) -> Tensor:
    """Return which rounded images (n, k, h, w) in [0, 255] are examples, by every model and without dropout."""
    with torch.no_grad():
        images = levels / 255
        logits = modules.source(images)
        surrogates = torch.stack([model(images).softmax(1) for model in modules.surrogates]).mean(0)
        references = torch.stack([model(images).softmax(1) for model in modules.references]).mean(0)
    best = logits.topk(2, dim=1)
    label = best.indices[:, 0]
    conferrability = (surrogates * (1 - references)).gather(1, label[:, None])[:, 0]
    clear = best.values[:, 0] - best.values[:, 1] >= settings.min_margin
    accepted: Tensor = (label != original) & (label != truth) & (conferrability >= settings.tau) & clear
    return accepted
