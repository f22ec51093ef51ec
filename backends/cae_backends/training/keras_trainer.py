"""The Keras trainer, found by its entry point; TensorFlow is imported when the first network is built."""

from collections.abc import Mapping
from pathlib import Path

from cae_backends.architectures.options import KERAS_NETWORKS, REPORT_ARCHITECTURES, PretrainedWeights, Scaling
from cae_backends.training.adoption import AdoptedNetwork
from cae_backends.training.trainers import Network
from cae_core.contract import Contract

__all__ = ["TRAINER", "KerasTrainer"]


class KerasTrainer:
    """Builds the networks of `small_keras` and of the report, and takes those of Keras files."""

    name = "keras"
    adopts = (".keras", ".h5", ".hdf5")
    pretrained: Mapping[str, str] = {name: f"keras.applications {network}" for name, network in KERAS_NETWORKS.items()}

    @property
    def architectures(self) -> tuple[str, ...]:
        """See `Trainer.architectures`."""
        from cae_backends.architectures.small_keras import ARCHITECTURES

        return (*ARCHITECTURES, *REPORT_ARCHITECTURES)

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
        from cae_backends.architectures.small_keras import build
        from cae_backends.tensorflow.runtime import resolve_device
        from cae_backends.training.keras_network import KerasNetwork, compute_reproducibly

        place = resolve_device(device)
        compute_reproducibly(place)
        model = build(
            architecture, image_shape=image_shape, classes=classes, seed=seed, scaling=scaling, weights=weights
        )
        return KerasNetwork(model, device=place)

    def adopt(self, path: Path, *, contract: Contract | None, device: str, trusted: bool) -> AdoptedNetwork:  # noqa: ARG002 - a Keras file runs no code
        """See `Adopter.adopt`."""
        from cae_backends.tensorflow.runtime import resolve_device
        from cae_backends.training.adopted_keras import AdoptedKeras
        from cae_backends.training.keras_network import compute_reproducibly

        place = resolve_device(device)
        compute_reproducibly(place)
        return AdoptedKeras(path, contract=contract, device=place)


TRAINER = KerasTrainer()
