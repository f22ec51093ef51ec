"""Training that gives the same weights, bit for bit, for the same seed on the same machine."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from cae_backends.training.jobs import Recipe
from cae_core.arrays import as_unit_float
from cae_core.dataset import ImageSet
from cae_core.errors import DataError, ModelError

__all__ = ["EpochProgress", "Targets", "accuracy", "answers", "fit", "one_thread", "to_tensor"]

EpochProgress: TypeAlias = Callable[[int, int], None]
"""Called after each epoch with the epochs done and their number; it may raise to stop the training."""

Targets: TypeAlias = Tensor | Callable[[Tensor], Tensor]
"""Labels int64 (n,), probabilities float32 (n, c), or a function that gives either for the batch as augmented."""

_RISE = 0.3
"""The share of the steps over which a cycle's learning rate rises."""


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one thread: sums then have one order, and two such processes beat one with two threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def to_tensor(data: ImageSet) -> Tensor:
    """Return the images as float32 (n, k, h, w) in [0, 1]."""
    return torch.from_numpy(np.ascontiguousarray(as_unit_float(data.images).transpose(0, 3, 1, 2)))


def answers(module: nn.Module, images: Tensor) -> Tensor:
    """Return the logits (n, c) of ``module``, without gradients; it is put into evaluation mode."""
    module.eval()
    with torch.no_grad():
        return torch.cat([module(part) for part in torch.split(images, 1024)])


def accuracy(module: nn.Module, data: ImageSet) -> float:
    """Return the fraction of ``data`` that ``module`` labels correctly."""
    with one_thread():
        found = answers(module, to_tensor(data)).argmax(1).numpy()
    return float((found == data.labels).mean())


def fit(
    module: nn.Module,
    images: Tensor,
    targets: Targets,
    recipe: Recipe,
    *,
    seed: int,
    progress: EpochProgress | None = None,
) -> nn.Module:
    """Train ``module`` in place and return it in evaluation mode.

    The loss is the cross-entropy of softmax(logits / T) with the targets, times T², so that its gradient does
    not shrink with the temperature T (Hinton et al., 2015).

    Args:
        module: takes float32 (n, k, h, w) in [0, 1] and answers logits (n, c).
        images: float32 (n, k, h, w).
        targets: aligned with ``images``; a function is asked about each batch as the module sees it, augmented.
        recipe: its `share` and `sparsity` are the caller's business.
        seed: of the order of the images and of their augmentation; torch's random state is left as it was.
        progress: called after each epoch.

    Raises:
        DataError: no images, or not as many targets.
        ModelError: the training has diverged.
    """
    if not len(images) or (isinstance(targets, Tensor) and len(targets) != len(images)):
        found = len(targets) if isinstance(targets, Tensor) else "a function"
        raise DataError(f"Training needs images and as many targets; found {len(images)} images, targets: {found}.")
    generator = torch.Generator().manual_seed(seed)
    batches = math.ceil(len(images) / recipe.batch_size)
    optimizer = _optimizer(module, recipe)
    module.train()
    with one_thread():
        for epoch in range(recipe.epochs):
            total = 0.0
            order = torch.randperm(len(images), generator=generator)
            for number, index in enumerate(order.tensor_split(batches)):
                rate = _rate(recipe, epoch * batches + number, recipe.epochs * batches)
                x = _augmented(images[index], recipe, generator)
                y = targets[index] if isinstance(targets, Tensor) else targets(x)
                total += _step(module, optimizer, x, y, rate=rate, temperature=recipe.temperature)
            if not math.isfinite(total):
                raise ModelError(f"The training diverged in epoch {epoch + 1}. Lower the learning rate.")
            if progress is not None:
                progress(epoch + 1, recipe.epochs)
    return module.eval()


def _step(
    module: nn.Module, optimizer: torch.optim.Optimizer, x: Tensor, y: Tensor, *, rate: float, temperature: float
) -> float:
    for group in optimizer.param_groups:
        group["lr"] = rate
    loss = functional.cross_entropy(module(x) / temperature, y) * temperature**2
    optimizer.zero_grad()
    torch.autograd.backward(loss)
    optimizer.step()
    return loss.item()


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(
            module.parameters(), recipe.learning_rate, momentum=0.9, weight_decay=recipe.weight_decay
        )
    return torch.optim.Adam(module.parameters(), recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)


def _rate(recipe: Recipe, step: int, steps: int) -> float:
    if recipe.schedule == "constant":
        return recipe.learning_rate
    rise = max(1.0, _RISE * steps)
    if step < rise:
        return recipe.learning_rate * (step + 1) / (rise + 1)
    return recipe.learning_rate * (1 + math.cos(math.pi * (step - rise) / (steps - rise))) / 2


def _augmented(images: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    if recipe.shift:
        images = _shifted(images, recipe.shift, generator)
    if recipe.mix:
        weight = recipe.mix * torch.rand((len(images), 1, 1, 1), generator=generator)
        images = (1 - weight) * images + weight * images[torch.randperm(len(images), generator=generator)]
    if recipe.noise:
        images = (images + recipe.noise * torch.randn(images.shape, generator=generator)).clamp(0, 1)
    return images


def _shifted(images: Tensor, most: int, generator: torch.Generator) -> Tensor:
    """Translate each image by up to ``most`` pixels per axis; zeros move in."""
    n, _, height, width = images.shape
    down, right = torch.randint(0, 2 * most + 1, (2, n, 1, 1), generator=generator)
    padded = functional.pad(images, (most,) * 4).permute(0, 2, 3, 1)
    rows, columns = torch.arange(height)[:, None] + down, torch.arange(width) + right
    return padded[torch.arange(n)[:, None, None], rows, columns].permute(0, 3, 1, 2).contiguous()
