"""The methods of the arena and the forms of model, from the tables that the commands read."""

from cae_core.arena.kinds import kind_named, known_kinds
from cae_core.loaders import installed_loaders
from cae_site.tables import code, table

__all__ = ["forms", "methods"]


def methods() -> str:
    """Return the table of methods that `cae compare` knows."""
    rows = []
    for name in known_kinds():
        kind = kind_named(name)
        usual = kind.configured(next(iter(kind.configurations)))
        rows.append((code(name), kind.words, usual.needs.words, " ".join(map(code, kind.configurations))))
    return table(["method", "what it is", "what it needs", "configurations"], rows)


def forms() -> str:
    """Return the table of the installed backends: which files and addresses each opens."""
    return table(
        ["backend", "files", "folders with", "addresses", "gradients"],
        [
            (
                loader.name,
                " ".join(map(code, loader.suffixes)),
                " ".join(map(code, loader.folders)),
                " ".join(map(code, loader.schemes)),
                "yes" if loader.gradients else "no",
            )
            for loader in installed_loaders()
        ],
    )
