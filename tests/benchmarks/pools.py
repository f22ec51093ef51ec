"""The models that every benchmark runs on: eight ResNet20s that classify enlarged digits."""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from cae_backends.datasets import open_data
from cae_backends.torch.model import TorchModel
from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.generation.white_boxes import WhiteBoxes

__all__ = ["CONTRACT", "Modules", "ResNet", "digits_32", "load_modules", "make_modules", "save_modules"]

CONTRACT = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")

_SURROGATES, _REFERENCES = 4, 3
_NOISE = 0.1
_SHARPNESS = 12.0  # makes logits of regressed 0s and 1s


class ResNet(nn.Module):
    """The ResNet of He et al. 2016, section 4.2, for 3x32x32 images; three blocks a stage make ResNet20."""

    def __init__(self, *, blocks: int = 3, width: int = 16, classes: int = 10) -> None:
        super().__init__()
        self.head = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width), nn.ReLU())
        stages: list[nn.Module] = []
        inputs = width
        for stage in range(3):
            for block in range(blocks):
                outputs = width << stage
                stages.append(_Block(inputs, outputs, 2 if stage and not block else 1))
                inputs = outputs
        self.stages = nn.Sequential(*stages)
        self.pool = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.linear = nn.Linear(inputs, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Answer (n, 3, h, w) in [0, 1] with logits (n, c)."""
        answer: Tensor = self.linear(self.features(images))
        return answer

    def features(self, images: Tensor) -> Tensor:
        """Return what the linear layer sees, (n, 4 width)."""
        features: Tensor = self.pool(self.stages(self.head((images - 0.5) * 4)))
        return features


class _Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False),
            nn.BatchNorm2d(outputs),
            nn.ReLU(),
            nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False),
            nn.BatchNorm2d(outputs),
        )
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.body(x) + self.shortcut(x))


@dataclass(frozen=True)
class Modules:
    """The models of one generation as plain modules in eval mode, their weights not frozen."""

    source: nn.Module
    surrogates: Sequence[nn.Module]
    references: Sequence[nn.Module]

    @property
    def all(self) -> tuple[nn.Module, ...]:
        """Source, surrogates and references, in this order."""
        return (self.source, *self.surrogates, *self.references)

    def pools(self) -> WhiteBoxes:
        """Return them as our code takes them, on the CPU."""
        models = [TorchModel(module, contract=CONTRACT, device="cpu") for module in self.all]
        boundary = 1 + len(self.surrogates)
        return WhiteBoxes(models[0], models[1:boundary], models[boundary:])


def digits_32(split: str) -> ImageSet:
    """Return the digits as uint8 (n, 32, 32, 3): every pixel becomes 4x4, in three equal channels."""
    digits = open_data("digits", split=split)
    images = digits.images.repeat(4, axis=1).repeat(4, axis=2).repeat(3, axis=3)
    return ImageSet(np.ascontiguousarray(images), digits.labels, digits.class_names, "digits at 32x32")


def make_modules(*, blocks: int = 3, width: int = 16, images: int = 512) -> Modules:
    """Make classifiers of the digits in seconds: random convolutions, and a linear layer fitted by least squares.

    What matters is equal work on both sides. The surrogates are the source with noise on its convolutions, fitted to
    the source's labels; the references have convolutions of their own and are fitted to the truth.

    Args:
        blocks: per stage.
        width: of the first stage.
        images: how many each is fitted to.
    """
    data = digits_32("train").subset(range(images))
    pixels = torch.tensor(data.images).permute(0, 3, 1, 2).float() / 255
    truth = torch.tensor(data.labels)

    def make(seed: int) -> ResNet:
        torch.manual_seed(seed)
        return ResNet(blocks=blocks, width=width)

    source = _fit(make(0), pixels, truth)
    with torch.no_grad():
        answers = source(pixels).argmax(1)
    surrogates = [_fit(_disturb(source, 1 + i), pixels, answers) for i in range(_SURROGATES)]
    references = [_fit(make(100 + i), pixels, truth) for i in range(_REFERENCES)]
    return Modules(source, surrogates, references)


def _disturb(module: ResNet, seed: int) -> ResNet:
    torch.manual_seed(seed)
    copied = copy.deepcopy(module)
    with torch.no_grad():
        for parameter in copied.parameters():
            parameter.add_(torch.randn_like(parameter) * parameter.std(), alpha=_NOISE)
    return copied


def _fit(module: ResNet, pixels: Tensor, labels: Tensor) -> ResNet:
    """Set the batch norms' statistics and the linear layer from the data."""
    for part in module.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # the plain mean over the batches that follow
            part.reset_running_stats()
    with torch.no_grad():
        module.train()(pixels)
        module.eval()
        features = module.features(pixels)
        centre, spread = features.mean(0), features.std(0) + 1e-3
        design = torch.cat([(features - centre) / spread, torch.ones(len(features), 1)], dim=1)
        targets = nn.functional.one_hot(labels, 10).float() - 0.1
        gram = design.T @ design + torch.eye(design.shape[1])
        solution = _SHARPNESS * torch.linalg.solve(gram, design.T @ targets)
        module.linear.weight.copy_((solution[:-1] / spread[:, None]).T)
        module.linear.bias.copy_(solution[-1] - centre / spread @ solution[:-1])
    return module


def save_modules(modules: Modules, path: Path) -> None:
    """Write the weights, for another process."""
    torch.save([module.state_dict() for module in modules.all], path)


def load_modules(path: Path) -> Modules:
    """Read what `save_modules` wrote of ResNet20s."""
    loaded: list[nn.Module] = []
    for weights in torch.load(path, weights_only=True):
        module = ResNet().eval()
        module.load_state_dict(weights)
        loaded.append(module)
    return Modules(loaded[0], loaded[1 : 1 + _SURROGATES], loaded[1 + _SURROGATES :])
