"""Opening a model by one string, through whatever backend is installed for it: the one way from a file to a model."""

import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, Literal, TypeAlias, TypeVar, overload

import numpy as np
from numpy.typing import NDArray

from cae_core import loaders
from cae_core.containment.record import UNCONTAINED, Containment
from cae_core.contract import Contract, Task
from cae_core.errors import ModelError
from cae_core.loaders import Device, Loader, opens, refusal, runs_code
from cae_core.models import DifferentiableModel, Model
from cae_core.opening.model_files import ModelFiles
from cae_core.opening.own_code import check_own_code
from cae_core.paths import StrPath
from cae_core.reading import reading
from cae_core.signature import Signature

__all__ = [
    "Opened",
    "asked_by",
    "check_consent",
    "find_loader",
    "open_black_box",
    "open_model",
    "open_white_box",
    "read_signature",
]

ModelT_co = TypeVar("ModelT_co", bound=Model, covariant=True)


@dataclass(frozen=True, kw_only=True)
class Opened(Generic[ModelT_co]):
    """A model, and what it was opened from.

    Attributes:
        model: what answers.
        spec: the path or the address, as its user wrote it.
        files: what it is read from, and its digest.
        contract: replaces the one that the model carries; None: its own applies.
        trusted: whether its user has said that the file is one's own.
        containment: what stands around the model.
        role: role in its pool, such as ``"calibrate"``; empty if it is in no pool.
        relation: relation to the source; empty if it is in no pool.
    """

    model: ModelT_co = field(repr=False)
    spec: str
    files: ModelFiles
    contract: Contract | None = None
    trusted: bool = False
    containment: Containment = UNCONTAINED
    role: str = ""
    relation: str = ""

    @property
    def digest(self) -> str:
        """The SHA-256 by which the model is known, see `ModelFiles.digest`."""
        return self.files.digest


@overload
def open_model(
    spec: StrPath,
    *,
    gradients: Literal[True],
    contract: Contract | None = None,
    device: Device = "auto",
    trusted: bool = False,
    images: NDArray[np.uint8] | None = None,
) -> DifferentiableModel: ...
@overload
def open_model(
    spec: StrPath,
    *,
    gradients: Literal[False] = False,
    contract: Contract | None = None,
    device: Device = "auto",
    trusted: bool = False,
) -> Model: ...
def open_model(
    spec: StrPath,
    *,
    gradients: bool = False,
    contract: Contract | None = None,
    device: Device = "auto",
    trusted: bool = False,
    images: NDArray[np.uint8] | None = None,
) -> Model:
    """Open a model by its path or address; see `open_black_box`, and `open_white_box` for one with ``gradients``."""
    if gradients:
        return open_white_box(spec, contract=contract, device=device, trusted=trusted, images=images).model
    return open_black_box(spec, contract=contract, device=device, trusted=trusted).model


def open_black_box(
    spec: StrPath,
    *,
    contract: Contract | None = None,
    device: Device = "auto",
    trusted: bool = False,
    named_by_user: bool = False,
    files: ModelFiles | None = None,
    containment: Containment = UNCONTAINED,
    task: Task | None = None,
) -> Opened[Model]:
    """Open a model that is only asked; a loader without gradients is preferred.

    So an ``.onnx`` file is run by ONNX Runtime instead of being converted.

    Args:
        spec: a path or ``scheme:...``.
        contract: replaces the contract that the model carries.
        device: where to run it.
        trusted: whether the file is one's own: opening some forms runs whatever code the file holds.
        named_by_user: whether ``spec`` is the user's own word, and no list's: only then may it be code; see `own_code`.
        files: of the model, where somebody has hashed them already.
        containment: what stands around this process, or why nothing does.
        task: the classes that it will be asked about; None: whatever it answers.

    Raises:
        ModelError: there is no such file, no backend opens it, it cannot be opened, or it is of a form that runs code
            and not trusted.
    """
    spec = os.fspath(spec)
    loader = find_loader(spec, gradients=False, trusted=trusted, named_by_user=named_by_user)
    further = {"task": task} if getattr(loader, "takes_task", False) else {}
    with _border(spec):
        model = loader.open(spec, contract=contract, device=device, **further)
    return Opened(
        model=model,
        spec=spec,
        files=files or ModelFiles(spec),
        contract=contract,
        trusted=trusted,
        containment=containment,
    )


def open_white_box(
    spec: StrPath,
    *,
    contract: Contract | None = None,
    device: Device = "auto",
    trusted: bool = False,
    images: NDArray[np.uint8] | None = None,
    files: ModelFiles | None = None,
    containment: Containment = UNCONTAINED,
) -> Opened[DifferentiableModel]:
    """Open a model with gradients, and hold it against its file first, see `check_white_box`.

    Args:
        spec: a path or ``scheme:...``.
        contract: replaces the contract that the model carries.
        device: where to run it.
        trusted: whether the file is one's own: opening some forms runs whatever code the file holds.
        images: uint8 (n, h, w, k), ordinary images by which it is checked; None: some are made.
        files: of the model, where somebody has hashed them already.
        containment: what stands around this process, or why nothing does.

    Raises:
        ModelError: as of `open_black_box`, or the white box computes something else than the file.
    """
    spec = os.fspath(spec)
    loader = find_loader(spec, gradients=True, trusted=trusted)
    with _border(spec):
        model = loader.open(spec, contract=contract, device=device)
    if not isinstance(model, DifferentiableModel):
        raise ModelError(f"{spec}: the backend {loader.name} promises gradients and gives none.")
    opened = Opened(
        model=model,
        spec=spec,
        files=files or ModelFiles(spec),
        contract=contract,
        trusted=trusted,
        containment=containment,
    )
    with _border(spec):
        _check_once(opened, device, images)
    return opened


AskedBy: TypeAlias = Callable[[Contract, Task | None], Model]
"""Gives an open model as it is asked by another contract."""


def asked_by(model: Model) -> AskedBy | None:
    """Return the method ``by_contract(contract, task)`` of a model; None where it has none, and is opened again.

    It gives the same model as it is asked by another contract, without reading its file again.
    """
    found: AskedBy | None = getattr(model, "by_contract", None)
    return found


def read_signature(spec: StrPath, *, trusted: bool = False, named_by_user: bool = False) -> Signature | None:
    """Return what a model's file says of its tensors; None where the backend that opens it cannot tell.

    Args:
        spec: a path or ``scheme:...``.
        trusted: whether the file is one's own; see `open_black_box`.
        named_by_user: whether ``spec`` is the user's own word; see `open_black_box`.

    Raises:
        ModelError: as of `open_black_box`.
    """
    spec = os.fspath(spec)
    loader = find_loader(spec, gradients=False, trusted=trusted, named_by_user=named_by_user)
    tell: Callable[[str], Signature | None] | None = getattr(loader, "signature", None)
    with _border(spec):
        return None if tell is None else tell(spec)


def find_loader(spec: str, *, gradients: bool, trusted: bool, named_by_user: bool = False) -> Loader:
    """Return the loader that is to open ``spec``, after what can be said against opening it.

    Raises:
        ModelError: there is no such file, no backend opens it, it is of a form that runs code and not trusted, or it is
            code that somebody else than the user may have named.
    """
    check_own_code(spec, named_by_user=named_by_user)
    scheme, separator, _ = spec.partition(":")
    installed = list(loaders.installed_loaders())
    by_scheme = [x for x in installed if separator and scheme in x.schemes]
    serving = by_scheme or [x for x in installed if opens(x, Path(spec))]
    if not by_scheme and not Path(spec).exists():
        raise ModelError(f"{spec}: no such model file. Give the path of an existing model.")
    fitting = [x for x in serving if x.gradients] if gradients else sorted(serving, key=lambda x: x.gradients)
    if not fitting:
        raise ModelError(_unknown(spec, installed, gradients=gradients))
    if not by_scheme:
        check_consent(Path(spec), trusted=trusted)
    return fitting[0]


def _border(spec: str) -> AbstractContextManager[None]:
    """Return the border around a backend that opens ``spec``: whatever it raises becomes one sentence."""
    return reading(spec, ModelError, fault="this model cannot be opened", remedy="Export or copy it again.")


def check_consent(path: Path, *, trusted: bool) -> None:
    """Refuse a file whose opening runs the code in it, unless its user says that it is his own.

    Raises:
        ModelError: it is of such a form, and not trusted.
    """
    if not trusted and runs_code(path):
        raise ModelError(
            f"{path}: opening a {path.suffix.lower()} file runs whatever code stands in it, so another party's is "
            "never opened. Ask its owner for an ONNX export (torch.onnx.export). If the file is your own, say so: "
            "--trusted, or trusted = true in its [[model]] table of the manifest."
        )


def _unknown(spec: str, installed: Sequence[Loader], *, gradients: bool) -> str:
    told = refusal(Path(spec))
    if told is not None:
        return told
    known = sorted({s for x in installed if x.gradients or not gradients for s in (*x.suffixes, *x.schemes)})
    folders = sorted({marker for x in installed if x.gradients or not gradients for marker in x.folders})
    need = "with gradients " if gradients else ""
    holding = f", and folders that hold {', '.join(folders)}" if folders else ""
    return f"{spec}: no installed backend opens this {need}(known: {', '.join(known)}{holding}). See `cae doctor`."


_CHECKED: set[tuple[tuple[str, ...], str, str, bool]] = set()
"""What has been held against its file in this process: digests, contract, device, and whether on given images."""


def _check_once(opened: Opened[DifferentiableModel], device: Device, images: NDArray[np.uint8] | None) -> None:
    from cae_core.opening.white_box_check import OpenedWhiteBox, check_white_box

    model, files = opened.model, opened.files
    if not isinstance(model, OpenedWhiteBox):  # a third party's, which says nothing of its file
        return
    if model.contract.output == "labels" or model.contract.takes_integers:  # it says at once that it has no gradient
        return
    digests = (files.digest, *files.sha256.values())  # two models with external data may differ in their weights alone
    key = (digests, repr(model.contract), device, images is not None)
    if key not in _CHECKED:
        check_white_box(model, origin=opened.spec, images=images)
        _CHECKED.add(key)
