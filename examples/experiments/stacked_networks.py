"""Tiny networks for 8x8 digits, trained many at a time: the weights of one architecture's networks are stacked.

A step of 64 such networks takes hardly longer than a step of a few, so that a thousand are trained in minutes on one
core. Each follows its own seed but for the draws of its batch, which the first of its stack decides.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["ARCHITECTURES", "Network", "Training", "halved", "train"]

STACKED = 64
_BATCH = 50
_SHAPES: dict[str, tuple[tuple[int, ...], ...]] = {
    "perceptron": ((64, 64), (64,), (64, 10), (10,)),
    "wide perceptron": ((64, 160), (160,), (160, 10), (10,)),
    "deep perceptron": ((64, 48), (48,), (48, 32), (32,), (32, 10), (10,)),
    "convolutions": ((8, 1, 3, 3), (8,), (16, 8, 3, 3), (16,), (64, 10), (10,)),
    "smooth convolutions": ((8, 1, 3, 3), (8,), (16, 8, 3, 3), (16,), (64, 10), (10,)),
}
ARCHITECTURES = tuple(_SHAPES)


@dataclass(frozen=True, kw_only=True, eq=False)
class Training:
    """How one network is trained.

    Attributes:
        architecture: one of `ARCHITECTURES`.
        seed: of the first weights.
        images: float32 (n, 1, 8, 8), in [0, 1].
        targets: float32 (n, 10), probabilities.
        epochs: over the images, in batches of 50.
        rate: the highest learning rate of Adam; it rises and falls once.
        noise: deviation of the noise on each image.
        mix: largest share of another image that is blended in.
        decay: of the weights.
        robust: radius of the adversarial examples that it is trained on; 0: none.
        start: weights to go on from; None: random ones.
    """

    architecture: str
    seed: int
    images: Tensor
    targets: Tensor
    epochs: int = 15
    rate: float = 5e-3
    noise: float = 0.0
    mix: float = 0.0
    decay: float = 0.0
    robust: float = 0.0
    start: tuple[Tensor, ...] | None = None


class Network(nn.Module):
    """One trained network; takes float32 (n, 1, 8, 8) and answers logits (n, 10)."""

    def __init__(self, architecture: str, weights: Sequence[Tensor]) -> None:
        super().__init__()
        self.architecture = architecture
        self.weights = nn.ParameterList([nn.Parameter(weight.clone()) for weight in weights])

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits."""
        return _stacked_logits(self.architecture, [weight[None] for weight in self.weights], images[None])[0]


def train(trainings: Sequence[Training]) -> list[Network]:
    """Train all networks and return them in order."""
    found: list[Network | None] = [None] * len(trainings)
    for places in _stacks(trainings):
        stack = [trainings[place] for place in places]
        weights = _trained(stack)
        for row, place in enumerate(places):
            network = Network(trainings[place].architecture, [weight[row].detach() for weight in weights])
            found[place] = network.eval().requires_grad_(requires_grad=False)
    return [network for network in found if network is not None]


def _stacks(trainings: Sequence[Training]) -> Iterator[list[int]]:
    """Yield the places of networks whose steps are alike, at most 64 at a time."""
    alike: dict[tuple[str, int, int, bool], list[int]] = {}
    for place, one in enumerate(trainings):
        alike.setdefault((one.architecture, one.epochs, len(one.images), one.robust > 0), []).append(place)
    for places in alike.values():
        yield from (places[start : start + STACKED] for start in range(0, len(places), STACKED))


def _trained(stack: Sequence[Training]) -> list[Tensor]:
    """Return the weights, each (k, ...), after Adam (Kingma & Ba 2015) on every network's own cross-entropy."""
    first, k, n = stack[0], len(stack), len(stack[0].images)
    random = torch.Generator().manual_seed(7 * first.seed + 3)
    starts = [one.start or _first_weights(one.architecture, one.seed) for one in stack]
    weights = [torch.stack(parts).requires_grad_() for parts in zip(*starts, strict=True)]
    mean, square = [torch.zeros_like(w) for w in weights], [torch.zeros_like(w) for w in weights]
    images, targets = torch.stack([one.images for one in stack]), torch.stack([one.targets for one in stack])
    batches, networks, step = n // _BATCH, torch.arange(k)[:, None], 0
    for _ in range(first.epochs):
        order = torch.argsort(torch.rand((k, n), generator=random), 1)
        for start in range(0, batches * _BATCH, _BATCH):
            rows = order[:, start : start + _BATCH]
            shown, wanted = images[networks, rows], targets[networks, rows]
            shown = _disturbed(stack, shown, weights, wanted, random)
            gradients = torch.autograd.grad(_loss(first.architecture, weights, shown, wanted), weights)
            step += 1
            rate = _column(stack, "rate") * _schedule(step / (first.epochs * batches))
            _adam(weights, gradients, (mean, square), step=step, rate=rate, decay=_column(stack, "decay"))
    return weights


def _adam(
    weights: Sequence[Tensor],
    gradients: Sequence[Tensor],
    moments: tuple[Sequence[Tensor], Sequence[Tensor]],
    *,
    step: int,
    rate: Tensor,
    decay: Tensor,
) -> None:
    with torch.no_grad():
        for weight, gradient, first, second in zip(weights, gradients, *moments, strict=True):
            shape = (-1, *[1] * (weight.ndim - 1))
            whole = gradient + decay.view(shape) * weight
            first.mul_(0.9).add_(whole, alpha=0.1)
            second.mul_(0.999).addcmul_(whole, whole, value=0.001)
            move = first / (1 - 0.9**step) / ((second / (1 - 0.999**step)).sqrt() + 1e-8)
            weight.sub_(rate.view(shape) * move)


def _schedule(done: float) -> float:
    """Return the share of the highest rate: up for 30 % of the steps, then down as a cosine."""
    return done / 0.3 if done < 0.3 else 0.5 * (1 + math.cos(math.pi * (done - 0.3) / 0.7))


def _column(stack: Sequence[Training], name: str) -> Tensor:
    return torch.tensor([float(getattr(one, name)) for one in stack])


def _disturbed(
    stack: Sequence[Training], images: Tensor, weights: Sequence[Tensor], targets: Tensor, random: torch.Generator
) -> Tensor:
    """Return the images (k, b, 1, 8, 8) blended, with noise, and moved against their networks, as each wants it."""
    mix, noise = (_column(stack, name).view(-1, 1, 1, 1, 1) for name in ("mix", "noise"))
    if mix.any():
        share = torch.rand((*images.shape[:2], 1, 1, 1), generator=random) * mix
        images = (1 - share) * images + share * images.roll(1, dims=1)
    if noise.any():
        images = (images + noise * torch.randn(images.shape, generator=random)).clamp(0, 1)
    if stack[0].robust:
        images = _attacked(stack, weights, images, targets, random)
    return images


def _attacked(
    stack: Sequence[Training],
    weights: Sequence[Tensor],
    images: Tensor,
    targets: Tensor,
    random: torch.Generator,
) -> Tensor:
    """Return images after two steps of projected gradient (Madry et al. 2018)."""
    architecture, fixed = stack[0].architecture, [weight.detach() for weight in weights]
    radius = _column(stack, "robust").view(-1, 1, 1, 1, 1)
    delta = (torch.rand(images.shape, generator=random) * 2 - 1) * radius
    for _ in range(2):
        delta = delta.detach().requires_grad_()
        loss = _loss(architecture, fixed, (images + delta).clamp(0, 1), targets)
        (gradient,) = torch.autograd.grad(loss, delta)
        delta = torch.minimum(torch.maximum(delta + 0.7 * radius * gradient.sign(), -radius), radius)
    return (images + delta.detach()).clamp(0, 1)


def _loss(architecture: str, weights: Sequence[Tensor], images: Tensor, targets: Tensor) -> Tensor:
    """Return the sum over networks of their mean cross-entropies: each gets its own gradient."""
    logits = _stacked_logits(architecture, weights, images)
    return -(targets * logits.log_softmax(-1)).sum(-1).mean(1).sum()


def _stacked_logits(architecture: str, weights: Sequence[Tensor], images: Tensor) -> Tensor:
    """Return logits (k, b, 10) of k networks, each on its own images (k, b, 1, 8, 8)."""
    networks, hidden = len(images), (images - 0.5) * 4
    if "perceptron" in architecture:
        hidden = hidden.flatten(2)
        for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
            hidden = torch.baddbmm(bias[:, None], hidden, weight)
            hidden = torch.tanh(hidden) if architecture.startswith("deep") else torch.relu(hidden)
        return torch.baddbmm(weights[-1][:, None], hidden, weights[-2])
    maps = hidden[:, :, 0].transpose(0, 1)
    for weight, bias in zip(weights[:-2:2], weights[1:-2:2], strict=True):
        maps = functional.conv2d(maps, weight.flatten(0, 1), bias.flatten(), padding=1, groups=networks)
        smooth = architecture.startswith("smooth")
        maps = functional.avg_pool2d(functional.gelu(maps), 2) if smooth else functional.max_pool2d(maps.relu(), 2)
    flat = maps.view(len(maps), networks, -1).transpose(0, 1)
    return torch.baddbmm(weights[-1][:, None], flat, weights[-2])


def _first_weights(architecture: str, seed: int) -> tuple[Tensor, ...]:
    """Return weights of variance 2 / inputs (He et al. 2015), and biases of 0."""
    random = torch.Generator().manual_seed(seed)
    return tuple(
        torch.zeros(shape)
        if len(shape) == 1
        else torch.randn(shape, generator=random) * math.sqrt(2 / (shape[0] if len(shape) == 2 else 9 * shape[1]))
        for shape in _SHAPES[architecture]
    )


def halved(network: Network) -> tuple[Tensor, ...]:
    """Return its weights with the smaller half of each matrix set to 0."""
    return tuple(_pruned(weight.detach()) for weight in network.weights)


def _pruned(weight: Tensor) -> Tensor:
    if weight.ndim == 1:
        return weight.clone()
    least = weight.abs().flatten().kthvalue(weight.numel() // 2).values
    return torch.where(weight.abs() < least, torch.zeros_like(weight), weight)
