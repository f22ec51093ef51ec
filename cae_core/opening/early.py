"""A child process that is forked before its parent has read anything: the cheapest there is, for a program's first act.

The fork has the modules that were imported, and so does not import them again. It has nothing else of its parent's:
whoever calls `fork_early` later than first would hand over what was read in the meantime.
"""

import contextlib
from pathlib import Path

from cae_core import loaders
from cae_core.containment.child import Child
from cae_core.containment.starting import fork, may_fork
from cae_core.loaders import Device

__all__ = ["files_known_early", "fork_early", "take_early_child"]

_WAITING: list[Child] = []

_FILES: dict[str, tuple[Path, ...]] = {}


def fork_early(suspect: str, *, device: Device = "auto") -> None:
    """Fork a child that will probably be asked to open ``suspect``; nothing where a fork would not be safe.

    Args:
        suspect: the model's path.
        device: where it will run.
    """
    from cae_core.opening.party import files_to_read
    from cae_core.opening.services import service_loader
    from cae_core.opening.serving import Hint, serve

    if not may_fork() or not Path(suspect).exists() or service_loader(suspect) is not None:
        return
    list(loaders.installed_loaders())
    _FILES[suspect] = files_to_read(suspect)
    hint = Hint(files=_FILES[suspect], device=device)
    with contextlib.suppress(OSError):  # no process can be made: the model's opening says so
        _WAITING.append(Child(fork(lambda born: serve(born, hint))))


def take_early_child(*_model: object) -> Child | None:
    """Return the child that waits, once, whatever the model; None where there is none."""
    return _WAITING.pop() if _WAITING else None


def files_known_early(spec: str) -> tuple[Path, ...]:
    """Return the files of the model for which a child was forked, found then; none of any other model."""
    return _FILES.pop(spec, ())
