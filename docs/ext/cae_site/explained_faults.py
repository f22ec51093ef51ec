"""The faults that change nothing, from the list that `python -m tests.mutants` reads."""

import tomllib
from pathlib import Path

from cae_site.tables import code, table

__all__ = ["explained_faults"]

_LIST = Path(__file__).parents[3] / "tests" / "mutants" / "explained.toml"


def explained_faults() -> str:
    """Return a table of them, with why no test can find one."""
    listed = tomllib.loads(_LIST.read_text(encoding="utf-8"))
    return table(
        ["module", "what is changed", "why nothing changes"],
        [
            (code(module.removeprefix("cae_core/")), "; ".join(map(code, group["mutants"].values())), group["why"])
            for module, groups in listed.items()
            for group in groups
        ],
    )
