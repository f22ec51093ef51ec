"""Opening a model by one string, through whatever backend is installed for it.

Backends are found through the entry points of the group ``cae.backends``; each names one `Loader`. So a third
party adds a framework without touching this repository, and nothing of a backend is imported before it is needed.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import lru_cache
from importlib import import_module
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any, Protocol, TypeAlias

from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.models import Model

__all__ = [
    "BACKEND_GROUP",
    "Device",
    "Loader",
    "files_told",
    "installed_loaders",
    "is_model",
    "opens",
    "plugin_modules",
    "refusal",
    "runs_code",
]

BACKEND_GROUP = "cae.backends"

_OUR_GROUPS = "cae."

Device: TypeAlias = str
"""``"auto"`` (an accelerator where one is usable), ``"cpu"``, or what the backend calls it, such as ``"cuda:1"``."""


class Loader(Protocol):
    """What a backend's entry point names. Importing it must not import the framework.

    Ten further attributes are optional: ``runs_code``, the suffixes of files whose opening runs code that stands in
    them, so that they are opened with consent only; ``refused``, a mapping of suffixes that are never opened to the
    sentence that says why and what to do; ``looked_at``, which maps suffixes that several forms have to functions of
    the path: whether the file is of the loader's form, by a bounded look at it; ``scratch``, whether opening a model
    may take a folder in which it can write; the method ``prepare()``, which imports what opening a model takes;
    ``forks``, whether a process that has called it can be forked, and its forks open models; the method
    ``files(spec)``, which returns the path of every file that the model is read from, each in the model's folder:
    without it the file or folder itself counts, and nothing beside it; the method ``contract_files(spec)``, which
    returns the files that say how it is asked; ``takes_task``, whether `open` takes a further keyword ``task``,
    the classes that the model is asked about (`cae_core.contract.Task`, or None); and the method ``signature(spec)``,
    which returns what the file says of its tensors (`cae_core.signature.Signature`). The model's digest covers the
    files of ``files``, whatever else they are.
    """

    @property
    def name(self) -> str:
        """The backend's name, as messages use it."""
        ...

    @property
    def suffixes(self) -> tuple[str, ...]:
        """The file suffixes that it opens, with the dot."""
        ...

    @property
    def folders(self) -> tuple[str, ...]:
        """The files by which it recognises a folder that is one model, such as ``"saved_model.pb"``."""
        ...

    @property
    def schemes(self) -> tuple[str, ...]:
        """The schemes that it opens, such as ``"https"``."""
        ...

    @property
    def gradients(self) -> bool:
        """Whether the opened model is a `DifferentiableModel`."""
        ...

    def open(self, spec: str, *, contract: Contract | None, device: Device) -> Model:
        """Open ``spec``; ``contract`` replaces the one that the model carries.

        Raises:
            BackendMissing: the framework is not installed.
            ModelError: the model cannot be opened.
            ContractError: neither ``contract`` nor the model says what it takes.
        """
        ...


@lru_cache(maxsize=1)
def _entry_points() -> tuple[EntryPoint, ...]:
    return tuple(sorted(entry_points(group=BACKEND_GROUP), key=lambda point: point.name))


def installed_loaders() -> Iterator[Loader]:
    """Yield the loader of every installed backend, by name."""
    for point in _entry_points():
        yield point.load()


def plugin_modules() -> tuple[str, ...]:
    """Return the names of the modules in which loaders, and what else is found likewise, stand; none is imported."""
    points = entry_points()
    groups = sorted(group for group in points.groups if group.startswith(_OUR_GROUPS))
    return tuple(sorted({point.module for group in groups for point in points.select(group=group)}))


def is_model(path: Path) -> bool:
    """Return whether an installed backend opens what is at ``path``, by its suffix or by what the folder holds."""
    return any(opens(loader, path) for loader in installed_loaders())


def runs_code(path: Path) -> bool:
    """Return whether opening the file would run code that stands in it, so that its user's consent is asked for."""
    return any(opens(loader, path) and path.suffix.lower() in _code_forms(loader) for loader in installed_loaders())


def _code_forms(loader: Loader) -> Collection[str]:
    return getattr(loader, "runs_code", ())


def opens(loader: Loader, path: Path) -> bool:
    """Return whether ``loader`` opens what is at ``path``, by its suffix or by what the folder holds."""
    if path.is_dir():
        return any((path / marker).is_file() for marker in loader.folders)
    looked_at: Mapping[str, Callable[[Path], bool]] = getattr(loader, "looked_at", {})
    suffix = path.suffix.lower()
    return suffix in loader.suffixes and (suffix not in looked_at or looked_at[suffix](path))


def files_told(spec: str) -> tuple[tuple[Path, ...], tuple[Path, ...]]:
    """Return the files that opening ``spec`` may read: those that it is read from, and those of its contract.

    By the word of the first backend that opens it and says so; both are empty where none does.

    Raises:
        ModelError: the model names a file that is not there, or may not be read.
    """
    path = Path(spec)
    if path.exists() and not (path.is_file() or path.is_dir()):  # who reads a pipe waits, and a device has no end
        raise ModelError(f"{spec}: expected a file or a folder of files; this is neither.")
    for loader in installed_loaders():
        tell = getattr(loader, "files", None)
        if tell is not None and (opens(loader, path) or _scheme(spec) in loader.schemes):
            # a file that says how the model is asked may hold weights as well: then it belongs to both
            return _told(tell, spec), _told(getattr(loader, "contract_files", None), spec)
    return (), ()


def _scheme(spec: str) -> str:
    scheme, colon, _ = spec.partition(":")
    return scheme if colon else ""


def _told(tell: Callable[[str], Iterable[Path]] | None, spec: str) -> tuple[Path, ...]:
    return () if tell is None else tuple(tell(spec))


def refusal(path: Path) -> str | None:
    """Return the sentence that says why no backend opens what is at ``path``, and what to do; None where none knows."""
    for loader in installed_loaders():
        if path.name in loader.folders:
            return f"{path}: this is a part of a model. Give the folder that holds {path.name}: {path.parent}."
        refused: Mapping[str, str] = getattr(loader, "refused", {})
        if path.suffix.lower() in refused and not opens(loader, path):
            return f"{path}: {refused[path.suffix.lower()]}"
    return None


def __getattr__(name: str) -> Any:  # noqa: ANN401 - a function
    """Keep `open_model` a name of the border; it stands in a room above this one, so that nothing here imports it."""
    if name != "open_model":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module("cae_core.opening.opened"), name)
