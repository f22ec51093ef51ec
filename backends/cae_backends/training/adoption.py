"""A model file as a network that can be trained further: what a thief has who took the file itself.

Trainers do this who know their framework's files. It is optional: a trainer that has no `adopts` trains its own
architectures only, and of a source that is a file of another framework there are thefts by its answers only.
"""

from collections.abc import Collection
from importlib.metadata import entry_points
from pathlib import Path
from typing import Protocol, runtime_checkable

import numpy as np

from cae_backends.training.trainers import TRAINER_GROUP, Network, Weights, find_trainer
from cae_core.contract import Contract

__all__ = ["AdoptedNetwork", "Adopter", "drawn_head", "find_adopter", "suffixes_adopted"]

_SCALES = ("weight", "gamma", "scale", "running_var", "moving_variance")
"""What vectors are called that multiply; others are added."""


class AdoptedNetwork(Network, Protocol):
    """The network of a file. What it takes and answers is its file's, and all that follows from it its own business."""

    @property
    def contract(self) -> Contract:
        """What `model` takes and answers."""
        ...


@runtime_checkable
class Adopter(Protocol):
    """A trainer that also trains what stands in files."""

    @property
    def adopts(self) -> Collection[str]:
        """The suffixes of these files, in small letters."""
        ...

    def adopt(self, path: Path, *, contract: Contract | None, device: str, trusted: bool) -> AdoptedNetwork:
        """Return the network of a file; it takes canonical images and answers canonical logits, as any `Network`.

        Args:
            path: of the file.
            contract: replaces the one that the file carries, or that lies beside it.
            device: see `Trainer.build`.
            trusted: whether the file is one's own: opening some forms runs whatever code the file holds.

        Raises:
            ModelError: it cannot be opened, answers labels only, or has no weights that could be trained.
            ContractError: nobody says what it takes, or what is said does not fit.
            BackendMissing: the framework is not installed.
        """
        ...


def find_adopter(path: Path) -> str:
    """Return the name of the trainer that trains the network of such a file; empty where there is none."""
    for name in sorted(entry_points(group=TRAINER_GROUP).names):
        trainer = find_trainer(name)
        if isinstance(trainer, Adopter) and path.suffix.lower() in trainer.adopts:
            return name
    return ""


def suffixes_adopted() -> list[str]:
    """Return the suffixes of all files whose networks can be trained."""
    trainers = map(find_trainer, entry_points(group=TRAINER_GROUP).names)
    return sorted({suffix for trainer in trainers if isinstance(trainer, Adopter) for suffix in trainer.adopts})


def drawn_head(network: Network, seed: int) -> Weights:
    """Return the weights of a network's last layer, drawn anew, where nobody says how they once began.

    Kernels are uniform in ± sqrt(6 / (inputs + outputs)) (Glorot & Bengio, 2010); vectors that multiply are 1, and
    those that are added 0.
    """
    rng, weights = np.random.default_rng(seed), network.weights()
    drawn: Weights = {}
    for name in network.head:
        old = weights[name]
        if name in network.kernels:
            outputs = old.shape[network.output_axis]
            bound = np.sqrt(6 / (old.size / outputs + outputs))
            drawn[name] = rng.uniform(-bound, bound, old.shape).astype(old.dtype)
        elif np.issubdtype(old.dtype, np.floating):
            drawn[name] = np.full_like(old, float(name.rpartition(".")[2] in _SCALES))
    return drawn
