"""The torch trainer, found by its entry point; torch is imported when the first network is built."""

from cae_backends.training.trainers import Network, Scaling
from cae_core.errors import BackendMissing

__all__ = ["TRAINER", "TorchTrainer"]


class TorchTrainer:
    """Builds the networks of `torch_architectures`."""

    name = "torch"

    def build(
        self,
        architecture: str,
        *,
        image_shape: tuple[int, int, int],
        classes: int,
        seed: int,
        scaling: Scaling,
        device: str = "auto",
    ) -> Network:
        """See `Trainer.build`."""
        try:
            from cae_backends.training.torch_architectures import build
            from cae_backends.training.torch_network import TorchNetwork
        except ImportError as error:
            message = f"Training with torch needs {error.name}: pip install 'cae-fingerprint[torch]'."
            raise BackendMissing(message) from error
        module = build(architecture, image_shape=image_shape, classes=classes, seed=seed, scaling=scaling)
        return TorchNetwork(module, device=device)


TRAINER = TorchTrainer()
