"""A Keras source and suspects from PyTorch: generate over both frameworks, judge ONNX files.

    python examples/keras_source_pytorch_suspects.py --output DIR

The owner's model is a Keras file. The fingerprint is made with torch surrogates and with references from Keras and
torch, each giving its gradients in its own framework; the suspects are torch networks, exported to ONNX. Everything is
trained here, on scikit-learn's digits; the owner and the others have different training images.
"""

from typing import Any

from cae_backends.datasets import open_data
from digits_networks import (
    fingerprint_and_verify,
    output_option,
    train_copy,
    train_keras,
    train_other,
    train_torch,
    two_halves,
)

__all__ = ["main"]


def main() -> dict[str, Any]:
    """Train, generate, verify; return the CAEAccs."""
    folder = output_option(__doc__)
    owner, others = two_halves(seed=0)
    source = train_keras(owner.images, owner.labels, 0, folder / "source.keras")
    surrogates = [folder / f"copy-{seed}.onnx" for seed in (1, 2, 3)]
    references = [folder / "other-11.keras", folder / "other-12.onnx", folder / "other-13.onnx"]
    suspects = [("surrogate", folder / f"suspect-copy-{seed}.onnx") for seed in (21, 22)]
    suspects += [("reference", folder / f"suspect-other-{seed}.onnx") for seed in (31, 32)]
    for path in [*surrogates, *(path for relation, path in suspects if relation == "surrogate")]:
        train_copy(train_torch, source, others, path)
    for path in [*references, *(path for relation, path in suspects if relation == "reference")]:
        train_other(train_keras if path.suffix == ".keras" else train_torch, others, path)
    return fingerprint_and_verify(
        folder / "source.keras",
        surrogates,
        references,
        suspects,
        data=open_data("digits", split="test"),
        output=folder / "fingerprint.safetensors",
    )


if __name__ == "__main__":
    main()
