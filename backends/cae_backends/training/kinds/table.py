"""All kinds by name. Reading the table imports no framework, so that a plan can be read without one."""

from cae_backends.training.kinds.answers import THEFTS
from cae_backends.training.kinds.copies import COPIES
from cae_backends.training.kinds.estimators import SCIKIT_LEARN
from cae_backends.training.kinds.record import Kind
from cae_backends.training.kinds.scratch import INDEPENDENT, SOURCE

__all__ = ["KINDS"]

KINDS: dict[str, Kind] = {kind.name: kind for kind in (SOURCE, *THEFTS, *COPIES, INDEPENDENT, SCIKIT_LEARN)}
"""Every kind of member, in the order in which messages list them."""
