"""Opening a model by one string, through whatever backend is installed for it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, overload

import numpy as np
from numpy.typing import NDArray

from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.files.digests import sha256_of_file
from cae_core.loaders import Device, Loader, installed_loaders, opens, refusal, runs_code
from cae_core.models import DifferentiableModel, Model

__all__ = ["check_consent", "open_model"]


@overload
def open_model(
    spec: str,
    *,
    gradients: Literal[True],
    contract: Contract | None = None,
    device: Device = "auto",
    trusted: bool = False,
    images: NDArray[np.uint8] | None = None,
) -> DifferentiableModel: ...
@overload
def open_model(
    spec: str,
    *,
    gradients: Literal[False] = False,
    contract: Contract | None = None,
    device: Device = "auto",
    trusted: bool = False,
) -> Model: ...
def open_model(
    spec: str,
    *,
    gradients: bool = False,
    contract: Contract | None = None,
    device: Device = "auto",
    trusted: bool = False,
    images: NDArray[np.uint8] | None = None,
) -> Model:
    """Open a model by its path or address; a white box is held against its file first, see `check_white_box`.

    Args:
        spec: a path or ``scheme:...``.
        gradients: whether a white box is needed; where not, a loader without gradients is preferred (an
            ``.onnx`` file is then run by ONNX Runtime instead of being converted).
        contract: replaces the contract that the model carries.
        device: where to run it.
        trusted: whether the file is one's own: opening some forms runs whatever code the file holds.
        images: uint8 (n, h, w, k), ordinary images by which a white box is checked; None: some are made.

    Raises:
        ModelError: there is no such file, no backend opens it, it cannot be opened, it is of a form that runs code and
            not trusted, or the white box computes something else than the file.
    """
    scheme, separator, _ = spec.partition(":")
    loaders = list(installed_loaders())
    by_scheme = [x for x in loaders if separator and scheme in x.schemes]
    serving = by_scheme or [x for x in loaders if opens(x, Path(spec))]
    if not by_scheme and not Path(spec).exists():
        raise ModelError(f"{spec}: no such model file. Give the path of an existing model.")
    fitting = [x for x in serving if x.gradients] if gradients else sorted(serving, key=lambda x: x.gradients)
    if not fitting:
        raise ModelError(_unknown(spec, loaders, gradients=gradients))
    if not by_scheme:
        check_consent(Path(spec), trusted=trusted)
    model = fitting[0].open(spec, contract=contract, device=device)
    if not gradients:
        return model
    if not isinstance(model, DifferentiableModel):
        raise ModelError(f"{spec}: the backend {fitting[0].name} promises gradients and gives none.")
    _check_once(model, spec, device, images)
    return model


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


def _unknown(spec: str, loaders: Sequence[Loader], *, gradients: bool) -> str:
    told = refusal(Path(spec))
    if told is not None:
        return told
    known = sorted({s for x in loaders if x.gradients or not gradients for s in (*x.suffixes, *x.schemes)})
    folders = sorted({marker for x in loaders if x.gradients or not gradients for marker in x.folders})
    need = "with gradients " if gradients else ""
    holding = f", and folders that hold {', '.join(folders)}" if folders else ""
    return f"{spec}: no installed backend opens this {need}(known: {', '.join(known)}{holding}). See `cae doctor`."


_CHECKED: set[tuple[str, str, str, bool]] = set()
"""What has been held against its file in this process: digest, contract, device, and whether on given images."""


def _check_once(model: DifferentiableModel, spec: str, device: Device, images: NDArray[np.uint8] | None) -> None:
    from cae_core.opening.white_box_check import OpenedWhiteBox, check_white_box

    if not isinstance(model, OpenedWhiteBox):  # a third party's, which says nothing of its file
        return
    if model.contract.output == "labels" or model.contract.dtype == "uint8":  # it says at once that it has no gradient
        return
    digest = sha256_of_file(Path(spec)) if Path(spec).exists() else spec
    key = (digest, repr(model.contract), device, images is not None)
    if key not in _CHECKED:
        check_white_box(model, origin=spec, images=images)
        _CHECKED.add(key)
