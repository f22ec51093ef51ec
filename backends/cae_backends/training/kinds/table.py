"""All kinds by name. Reading the table imports no framework, so that a plan can be read without one."""

from cae_backends.training.kinds.answers import THEFTS
from cae_backends.training.kinds.chains import THEN, Chain
from cae_backends.training.kinds.copies import COPIES
from cae_backends.training.kinds.erasure import ERASED
from cae_backends.training.kinds.estimators import SCIKIT_LEARN
from cae_backends.training.kinds.foreign import foreign_kind, foreign_names
from cae_backends.training.kinds.queries import QUERY_THEFTS
from cae_backends.training.kinds.record import Copy, Kind, Theft
from cae_backends.training.kinds.scratch import INDEPENDENT, SOURCE
from cae_backends.training.kinds.unlearning import UNLEARNED
from cae_core.errors import PoolError, quoted

__all__ = ["KINDS", "find_kind", "unknown_kind"]

KINDS: dict[str, Kind] = {
    kind.name: kind for kind in (SOURCE, *THEFTS, *QUERY_THEFTS, *COPIES, ERASED, UNLEARNED, INDEPENDENT, SCIKIT_LEARN)
}
"""Every kind of member, in the order in which messages list them."""


def find_kind(name: str) -> Kind:
    """Return the kind of this name: one of `KINDS`, another package's, or two thefts, ``"pruned, then distilled"``.

    Raises:
        PoolError: there is no such kind; the message says which there are. Or another package's cannot be loaded.
    """
    if name in KINDS:
        return KINDS[name]
    parts = name.split(THEN)
    kinds = [KINDS.get(part) or foreign_kind(part) for part in parts]
    if len(parts) == 1 and kinds[0] is not None:
        return kinds[0]
    thefts = [kind for kind in kinds if isinstance(kind, Theft | Copy)]
    if len(parts) == 2 and len(thefts) == 2:
        return Chain.of(*thefts)
    raise unknown_kind(name)


def unknown_kind(name: str) -> PoolError:
    """Return the error that says which kinds a member may have."""
    known = ", ".join((*(kind for kind in KINDS if kind != SOURCE.name), *foreign_names()))
    return PoolError(f'kind must be one of {known}, or two thefts as "pruned{THEN}distilled"; found {quoted(name)}.')
