"""A PyTorch source and Keras suspects: the counterpart of keras_source_pytorch_suspects.py.

    python examples/torch_source_keras_suspects.py --output DIR

The owner's model is a torch network, kept as ONNX. The fingerprint is made with Keras surrogates and with references
from Keras and torch; one suspect of each relation is judged as the Keras file that it is, the others as ONNX.
Everything is trained here, on scikit-learn's digits; the owner and the others have different training images.
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
    owner, others = two_halves(seed=1)
    source = train_torch(owner.images, owner.labels, 0, folder / "source.onnx")
    surrogates = [folder / f"copy-{seed}.keras" for seed in (1, 2, 3)]
    references = [folder / "other-11.keras", folder / "other-12.keras", folder / "other-13.onnx"]
    suspects = [("surrogate", folder / "suspect-copy-21.keras"), ("surrogate", folder / "suspect-copy-22.onnx")]
    suspects += [("reference", folder / "suspect-other-31.keras"), ("reference", folder / "suspect-other-32.onnx")]
    for path in [*surrogates, *(path for relation, path in suspects if relation == "surrogate")]:
        train_copy(train_keras, source, others, path)
    for path in [*references, *(path for relation, path in suspects if relation == "reference")]:
        train_other(train_torch if path == references[-1] else train_keras, others, path)
    return fingerprint_and_verify(
        folder / "source.onnx",
        surrogates,
        references,
        suspects,
        data=open_data("digits", split="test"),
        output=folder / "fingerprint.safetensors",
    )


if __name__ == "__main__":
    main()
