"""Which contract a model file has: said by the caller, by the file's metadata, or by a ``model.toml`` beside it.

Shared by every backend that opens files. It imports no framework.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from cae_backends.contract_template import NOTHING, Shown, template
from cae_core.contract import (
    FOLDER_CONTRACTS,
    Contract,
    contract_from_metadata,
    files_named,
    read_contract,
    read_contracts,
)
from cae_core.errors import CaeError, ContractError, ContractMissing
from cae_core.foreign_text import visible
from cae_core.signature import Signature

__all__ = [
    "PROGRAM_CONTRACT",
    "check_end",
    "check_rank",
    "find_contract",
    "find_sidecar",
    "image_shape",
    "sidecar_files",
    "sidecar_path",
    "write_sidecar",
]


PROGRAM_CONTRACT = "cae.json"
"""The extra file in an exported torch program that holds its contract, as an ONNX file's metadata would."""


def find_contract(
    path: Path,
    metadata: Mapping[str, str],
    input_shape: Sequence[int | str | None],
    explicit: Contract | None,
    *,
    dtype: str = "float32",
    look: Callable[[], Signature | None] = lambda: None,
    shown: Shown = NOTHING,
) -> Contract:
    """Return the contract of a model file: ``explicit``, else its metadata's, else its sidecar's.

    Args:
        path: the file; the sidecar of ``folder/model.onnx`` is ``folder/model.toml``.
        metadata: of the file, such as ONNX's ``metadata_props``.
        input_shape: of the image input; a symbolic or unknown axis is a string or None.
        explicit: the caller's contract, which replaces all others.
        dtype: of the image input, for the message.
        look: reads what the file says of its outputs, for the message; called where there is no contract only.
        shown: by the model itself, where that is known without a look.

    Raises:
        ContractMissing: nobody says what the model takes.
        ContractError: what is said is malformed.
    """
    # The file's own goes before the sidecar: model.toml may describe model.keras, from which model.onnx was made.
    found = explicit or contract_from_metadata(metadata, origin=str(path)) or find_sidecar(path)
    if found is not None:
        return found
    try:
        signature = look()
    except CaeError:  # what is wrong with the file is not what is asked here
        signature = None
    if signature is not None and not input_shape:
        input_shape = signature.inputs[0].shape or ()
    raise ContractMissing(_missing(path, input_shape, dtype, template(input_shape, dtype, signature, shown)))


def check_end(contract: Contract, *, softmax: bool, origin: str) -> None:
    """Refuse a contract that says logits for a model whose graph ends in a softmax.

    Raises:
        ContractError: it does.
    """
    if softmax and contract.output == "logits":
        raise ContractError(
            f'{origin}: its contract says output = "logits" and the model ends in a softmax. '
            'Correct it to output = "probabilities".'
        )


def check_rank(contract: Contract, input_shape: Sequence[int | str | None], *, origin: str) -> None:
    """Refuse a contract of images with three axes for a tensor that has fewer, or more; an empty shape is not known.

    Raises:
        ContractError: naming the layouts that fit.
    """
    rank = len(input_shape)
    if contract.layout in ("NHWC", "NCHW") and rank not in (0, 4):
        axes = ", ".join("?" if axis is None else str(axis) for axis in input_shape)
        raise ContractError(
            f"{origin}: the model takes a tensor of rank {rank}, ({axes}), and the contract's layout {contract.layout} "
            'has rank 4. Images as rows of numbers have layout = "FLAT" (or "FLAT_NCHW"), and those without an axis of '
            'channels "HW".'
        )


def image_shape(
    contract: Contract, input_shape: Sequence[int | str | None]
) -> tuple[int | None, int | None, int | None]:
    """Return (h, w, k) of the model's tensor as its file has them; None where it takes any.

    Example:
        >>> image_shape(Contract(layout="NCHW", range=(0, 1), output="logits"), ["n", 3, 32, "width"])
        (32, None, 3)
    """
    axes = [axis if isinstance(axis, int) and axis > 0 else None for axis in input_shape[1:]]
    if contract.layout == "HW" and len(axes) == 2:
        return axes[0], axes[1], 1
    if contract.layout not in ("NHWC", "NCHW") or len(axes) != 3:
        return None, None, None
    height, width, channels = axes if contract.layout == "NHWC" else (axes[1], axes[2], axes[0])
    return height, width, channels


def sidecar_path(path: Path) -> Path:
    """Return where the contract of the model file ``path`` is looked for.

    Example:
        >>> sidecar_path(Path("pool/resnet.onnx")).as_posix()
        'pool/resnet.toml'
    """
    return path.with_suffix(".toml")


def find_sidecar(path: Path) -> Contract | None:
    """Read the contract beside the model file ``path``, its own or one for its folder; None where there is none.

    Raises:
        ContractError: the sidecar is malformed.
    """
    if sidecar_path(path).is_file():
        return read_contract(str(sidecar_path(path)))
    shared = path.parent / FOLDER_CONTRACTS
    return read_contracts(str(shared)).of(path) if shared.is_file() else None


def sidecar_files(path: Path) -> tuple[Path, ...]:
    """Return the file of the contract beside the model file ``path``, and what it names; none where there is none."""
    beside = (sidecar_path(path), path.parent / FOLDER_CONTRACTS)
    sidecar = next((file for file in beside if file.is_file()), None)
    return () if sidecar is None else (sidecar, *files_named(sidecar))


def write_sidecar(path: Path, contract: Contract) -> None:
    """Write a contract, with its mean image, beside the model file ``path``, as `find_sidecar` reads it."""
    fields = contract.stated()
    if contract.mean_image is not None:
        fields["mean_image"] = f"{path.stem}.npy"
        np.save(path.with_suffix(".npy"), contract.mean_image)
    lines = [f"{name} = {json.dumps(value)}" for name, value in fields.items()]
    sidecar_path(path).write_text("\n".join(lines), encoding="utf-8")


def _missing(path: Path, shape: Sequence[int | str | None], dtype: str, proposed: str) -> str:
    found = ", ".join("?" if axis is None else visible(str(axis), longest=40) for axis in shape)
    command = f"cae contract {visible(str(path))} --data NAME|PATH"
    return (
        f"{path}: the model does not say what it takes; its input is {dtype} with shape ({found}). Its contract is "
        f"found by labelled images: {command}. Or write it to {visible(str(sidecar_path(path)))}, after checking every "
        f"line:\n\n{proposed}"
    )
