"""Code of the user's own, imported by the words that he wrote: from the working folder, or where packages are."""

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from cae_core.errors import ModelError, first_line
from cae_core.foreign_text import visible

__all__ = ["imported", "working_folder_first"]


def imported(module: str, name: str) -> Any:  # noqa: ANN401 - whatever the user's code holds
    """Return what is called ``name``, perhaps with points, in a module.

    Raises:
        ModelError: the module cannot be imported, or has no such name.
    """
    words = visible(f"{module}:{name}")
    with working_folder_first():
        try:
            found: Any = importlib.import_module(module)
        except Exception as exc:
            # the user's code runs here
            raise ModelError(
                f"{words}: {visible(module)} cannot be imported ({type(exc).__name__}: {first_line(exc)}). Run the "
                "command in the folder from which it is imported, with what it needs installed."
            ) from exc
        for part in name.split("."):
            if not hasattr(found, part):
                raise ModelError(f"{words}: {visible(module)} has no {visible(name)}.{_others(found)}")
            found = getattr(found, part)
    return found


def _others(found: object) -> str:
    names = sorted(name for name, value in vars(found).items() if callable(value) and not name.startswith("_"))
    return f" It has {', '.join(visible(name, 40) for name in names[:12])}." if names else ""


@contextmanager
def working_folder_first() -> Iterator[None]:
    """Import from the working folder first; afterwards, for what is imported late, from there last."""
    here = str(Path.cwd())
    sys.path.insert(0, here)
    try:
        yield
    finally:
        sys.path.remove(here)
        if here not in sys.path:
            sys.path.append(here)
