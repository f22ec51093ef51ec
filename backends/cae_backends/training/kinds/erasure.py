"""Erasure of what is the source's own in a copy, after RemovalNet (Yao et al., 2023), from the paper's description."""

from cae_backends.training.kinds.record import Copy
from cae_backends.training.kinds.setup import Made, Setup
from cae_backends.training.trainers import Network
from cae_core.errors import OptionError

__all__ = ["ERASED", "erased"]


def erased(copy: Network, setup: Setup) -> Made:
    """Drive the copy's features and logits away from the source's, and keep its labels right, in turn.

    Raises:
        OptionError: the copy is no torch network, whose inner layers could be looked at.
    """
    from cae_backends.training.torch_erasure import ErasedTorch
    from cae_backends.training.torch_network import TorchNetwork

    if not isinstance(copy, TorchNetwork):
        raise OptionError(
            f"Only the trainer torch erases, because the layers inside are looked at; found {type(copy).__name__}. "
            "Leave this kind out, or train with torch."
        )
    made = setup.fit_truth(ErasedTorch(copy))
    return Made(copy, made.snapshots, made.validation)


ERASED = Copy(
    name="erased",
    make=erased,
    needs={"erasure": "the recipe of an erased model gives the weight of its erasure"},
    how="a copy whose features and logits are driven away from the source's by the weight `erasure`, in turn with "
    "training on true labels (torch only)",
)
