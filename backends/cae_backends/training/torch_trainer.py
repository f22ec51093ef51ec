"""The torch trainer, found by its entry point; torch is imported when the first network is built."""

from collections.abc import Mapping
from pathlib import Path

from cae_backends.architectures.options import (
    EFFICIENTNET_LITE,
    REPORT_ARCHITECTURES,
    TORCH_NETWORKS,
    PretrainedWeights,
    Scaling,
)
from cae_backends.training.adoption import AdoptedNetwork
from cae_backends.training.trainers import Network
from cae_core.contract import Contract
from cae_core.errors import BackendMissing

__all__ = ["TRAINER", "TorchTrainer"]

_SMALL = (
    "cnn-small",
    "cnn-wide",
    "cnn-deep",
    "resnet-tiny",
    "mlp",
    "resnet8-quarter",
    "plain-quarter",
    "patch-quarter",
    "mobile-quarter",
)
"""The keys of `small_torch.ARCHITECTURES`, which cannot be read without torch."""


class TorchTrainer:
    """Builds the networks of `small_torch`, `report_torch` `efficientnet_torch`; takes those of .pt2 and ONNX files."""

    name = "torch"
    adopts = (".onnx", ".pt2")
    architectures = (*_SMALL, *REPORT_ARCHITECTURES, EFFICIENTNET_LITE)
    pretrained: Mapping[str, str] = {
        name: f"torchvision {network} (IMAGENET1K_V1)" for name, network in TORCH_NETWORKS.items()
    } | {EFFICIENTNET_LITE: "EfficientNet-Lite0 (efficientnet-lite0-57934424.pth)"}

    def build(
        self,
        architecture: str,
        *,
        image_shape: tuple[int, int, int],
        classes: int,
        seed: int,
        scaling: Scaling,
        device: str = "auto",
        weights: PretrainedWeights = None,
    ) -> Network:
        """See `Trainer.build`."""
        try:
            from cae_backends.architectures.small_torch import build
            from cae_backends.training.torch_network import TorchNetwork
        except ImportError as error:
            message = f"Training with torch needs {error.name}: pip install 'cae-fingerprint[torch]'."
            raise BackendMissing(message) from error
        module = build(
            architecture, image_shape=image_shape, classes=classes, seed=seed, scaling=scaling, weights=weights
        )
        return TorchNetwork(module, device=device)

    def adopt(self, path: Path, *, contract: Contract | None, device: str, trusted: bool) -> AdoptedNetwork:
        """See `Adopter.adopt`."""
        try:
            from cae_backends.training.adopted_torch import AdoptedTorch
        except ImportError as error:
            message = f"Training with torch needs {error.name}: pip install 'cae-fingerprint[torch]'."
            raise BackendMissing(message) from error
        return AdoptedTorch(path, contract=contract, device=device, trusted=trusted)


TRAINER = TorchTrainer()
