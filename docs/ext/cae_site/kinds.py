"""The kinds of surrogate and reference that `cae pool train` makes, from the table that it reads."""

from cae_backends.training.kinds.record import Kind
from cae_backends.training.kinds.table import KINDS
from cae_core.pool.manifest import Relation
from cae_site.tables import code, table

__all__ = ["kinds"]

_STARTS = {
    "nothing": "nothing of the source",
    "answers": "the source's answers",
    "weights": "the source's weights",
}


def kinds() -> str:
    """Return a table of thefts and a table of references."""
    return "\n\n".join(
        f"{heading}\n\n{_table([kind for kind in KINDS.values() if kind.relation == relation])}"
        for heading, relation in _HEADINGS
    )


_HEADINGS: tuple[tuple[str, Relation], ...] = (
    ("## Thefts (surrogates)", "surrogate"),
    ("## Independent models (references)", "reference"),
)


def _table(rows: list[Kind]) -> str:
    return table(
        ["kind", "how it is made", "what it starts from"],
        [(code(kind.name), kind.how, _STARTS[kind.starts_from]) for kind in rows],
    )
