"""A zygote whose forks open models and answer for them, as `serving` does; see `cae_core.containment.zygote`."""

import sys
import threading
from pathlib import Path

from cae_core import loaders
from cae_core.containment.child import Child
from cae_core.containment.zygote import Zygote, be_zygote
from cae_core.errors import CaeError, ModelError
from cae_core.loaders import Loader
from cae_core.opening.readable import readable_for
from cae_core.opening.serving import serve

__all__ = ["ModelZygote", "main", "may_have_zygote"]

_MODULE = "cae_core.opening.zygote"


def main(parent: int, main_thread: int) -> None:
    """Be a fresh interpreter's program; see `run_interpreter`."""
    be_zygote(parent, main_thread=bool(main_thread), serve=serve, prepare=_prepare)


def _prepare(suffix: str) -> None:
    """Import what the loader of such files takes; where that fails, opening the model says so."""
    readable_for(())  # what is found for that, the forks have
    for loader in loaders.installed_loaders():
        if suffix in loader.suffixes and _forks(loader):
            try:
                loader.prepare()  # type: ignore[attr-defined] # of those that can be forked
            except CaeError:
                return


def _forks(loader: Loader) -> bool:
    return bool(getattr(loader, "forks", False)) and hasattr(loader, "prepare")


def may_have_zygote() -> bool:
    """Return whether this thread can have one: on Linux, in the main thread, with which it ends."""
    return sys.platform == "linux" and threading.current_thread() is threading.main_thread()


class ModelZygote:
    """Gives a child for each model whose loader says that it can be forked, and none for others.

    Args:
        core: see `Zygote`.
    """

    def __init__(self, *, core: int | None = None) -> None:
        self._core = core
        self._zygotes: dict[str, Zygote | None] = {}

    def child(self, spec: str, loader: Loader) -> Child | None:
        """Return a new child for this model; None where it takes a fresh interpreter."""
        suffix = Path(spec).suffix.lower()
        try:
            if suffix not in self._zygotes:
                self._zygotes[suffix] = self._started(suffix) if _forks(loader) and Path(spec).is_file() else None
            zygote = self._zygotes[suffix]
            return None if zygote is None else Child(zygote.fork())
        except ModelError:  # killed, or out of processes: whatever it is, no suspect is at fault
            self._zygotes[suffix] = None
            return None

    def end(self) -> None:
        """End it."""
        for zygote in self._zygotes.values():
            if zygote is not None:
                zygote.end()
        self._zygotes.clear()

    def _started(self, suffix: str) -> Zygote | None:
        zygote = Zygote(_MODULE, core=self._core)
        if zygote.prepare(suffix):
            return zygote
        zygote.end()
        return None
