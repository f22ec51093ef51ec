"""Honest training: the source itself, and the references that were trained without it."""

from cae_backends.training.kinds.record import Training
from cae_backends.training.kinds.setup import Made, Setup

__all__ = ["INDEPENDENT", "SOURCE", "independent"]


def independent(setup: Setup) -> Made:
    """Train a network from scratch on the true labels: the source itself, or a reference."""
    return setup.fit_truth(setup.fresh())


SOURCE = Training(name="source", relation="source", make=independent, how="trained from scratch on true labels")
INDEPENDENT = Training(
    name="independent", relation="reference", make=independent, how="trained from scratch on true labels"
)
