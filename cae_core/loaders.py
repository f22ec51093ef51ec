"""Opening a model by one string, through whatever backend is installed for it.

Backends are found through the entry points of the group ``cae.backends``; each names one `Loader`. So a third
party adds a framework without touching this repository, and nothing of a backend is imported before it is needed.
"""

from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, overload

from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.models import DifferentiableModel, Model

__all__ = ["BACKEND_GROUP", "Device", "Loader", "installed_loaders", "is_model", "open_model"]

BACKEND_GROUP = "cae.backends"

Device: TypeAlias = str
"""``"auto"`` (an accelerator where one is usable), ``"cpu"``, or what the backend calls it, such as ``"cuda:1"``."""


class Loader(Protocol):
    """What a backend's entry point names. Importing it must not import the framework."""

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


def is_model(path: Path) -> bool:
    """Return whether an installed backend opens what is at ``path``, by its suffix or by what the folder holds."""
    return any(_opens(loader, path) for loader in installed_loaders())


def _opens(loader: Loader, path: Path) -> bool:
    if path.is_dir():
        return any((path / marker).is_file() for marker in loader.folders)
    return path.suffix.lower() in loader.suffixes


@overload
def open_model(
    spec: str, *, gradients: Literal[True], contract: Contract | None = None, device: Device = "auto"
) -> DifferentiableModel: ...
@overload
def open_model(
    spec: str, *, gradients: Literal[False] = False, contract: Contract | None = None, device: Device = "auto"
) -> Model: ...
def open_model(
    spec: str, *, gradients: bool = False, contract: Contract | None = None, device: Device = "auto"
) -> Model:
    """Open a model by its path or address.

    Args:
        spec: a path or ``scheme:...``.
        gradients: whether a white box is needed; where not, a loader without gradients is preferred (an
            ``.onnx`` file is then run by ONNX Runtime instead of being converted).
        contract: replaces the contract that the model carries.
        device: where to run it.

    Raises:
        ModelError: there is no such file, no backend opens it, or it cannot be opened.
    """
    scheme, separator, _ = spec.partition(":")
    loaders = list(installed_loaders())
    by_scheme = [x for x in loaders if separator and scheme in x.schemes]
    serving = by_scheme or [x for x in loaders if _opens(x, Path(spec))]
    if not by_scheme and not Path(spec).exists():
        raise ModelError(f"{spec}: no such model file. Give the path of an existing model.")
    fitting = [x for x in serving if x.gradients] if gradients else sorted(serving, key=lambda x: x.gradients)
    if not fitting:
        known = sorted({s for x in loaders if x.gradients or not gradients for s in (*x.suffixes, *x.schemes)})
        need = "with gradients " if gradients else ""
        raise ModelError(
            f"{spec}: no installed backend opens this {need}(known: {', '.join(known)}). See `cae doctor`."
        )
    model = fitting[0].open(spec, contract=contract, device=device)
    if gradients and not isinstance(model, DifferentiableModel):
        raise ModelError(f"{spec}: the backend {fitting[0].name} promises gradients and gives none.")
    return model
