"""Prints the oldest versions that pyproject.toml allows, as constraints for pip: ``python tests/lower_bounds.py``.

The oldest allowed versions are a promise too: a dependency that reads what a file of another party names may do so
safely from some version on only.
"""

import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

EXTRAS = ("torch", "tensorflow", "tflite", "digits", "data", "images", "seal", "services")
"""Whose packages read files of other parties."""

_BOUND = re.compile(r"([A-Za-z0-9_.-]+)(?:\[[^]]*\])?>=([0-9][0-9.]*)")


def lower_bounds(content: str) -> Iterator[str]:
    """Yield ``name==version`` for the run-time requirements in a ``pyproject.toml``."""
    project = tomllib.loads(content)["project"]
    named = [*project["dependencies"], *(line for extra in EXTRAS for line in project["optional-dependencies"][extra])]
    for requirement in named:
        found = _BOUND.match(requirement)
        if found is None:
            raise ValueError(f"{requirement}: a requirement names its oldest version, such as name>=1.2.")
        yield f"{found[1]}=={found[2]}"


if __name__ == "__main__":
    content = (Path(__file__).parent.parent / "pyproject.toml").read_text(encoding="utf-8")
    sys.stdout.write("\n".join(sorted(set(lower_bounds(content)))) + "\n")
