"""Contracts as texts: TOML files, inline TOML, and the metadata that an exported model carries."""

import dataclasses
import io
import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32
from cae_core.contract.fields import Contract
from cae_core.errors import ContractError, quoted
from cae_core.reading import check_depth, parse_toml, read_limited, reading

__all__ = [
    "METADATA_PREFIX",
    "contract_from_metadata",
    "files_named",
    "metadata_of",
    "parse_contract",
    "read_contract",
    "read_table",
]

METADATA_PREFIX = "cae."
"""Prefix of the keys under which an exported model carries its contract (ONNX ``metadata_props``)."""

_AS_JSON = ("size", "mean", "std", "classes", "class_names", "scale", "zero_point")
"""The fields that metadata hold as JSON."""

_LARGEST_FILE = 1 << 20
"""Bytes of a contract's file at most."""

_LARGEST_IMAGE = 1 << 29
"""Bytes of a mean image's file at most: 4096 x 4096 pixels of three channels, in float64."""


def parse_contract(table: Mapping[str, Any], *, origin: str, folder: Path | None = None) -> Contract:
    """Make a contract from a TOML table, or from the metadata of an exported model.

    Args:
        table: the fields of `Contract`; ``mean_image`` is the path of an ``.npy`` file.
        origin: what the table was read from, for the message.
        folder: where the ``mean_image`` lies; None: it may lie anywhere.

    Raises:
        ContractError: a field is unknown, missing or malformed.
    """
    fields = {field.name for field in dataclasses.fields(Contract)}
    unknown = sorted(set(table) - fields)
    if unknown:
        raise ContractError(f"{origin}: unknown contract field {unknown[0]!r}; known are {', '.join(sorted(fields))}.")
    missing = [name for name in ("layout", "range", "output") if name not in table]
    if missing:
        raise ContractError(
            f"{origin}: the contract does not say {', '.join(missing)}. These are never guessed: "
            'for example layout = "NCHW", range = [0, 1], output = "logits".'
        )
    values = dict(table)
    with reading(origin, ContractError, fault="the contract is malformed"):
        return _made(values, origin, folder)


_CONVERTED: Mapping[str, Callable[[Any], Any]] = {
    "size": int,
    "classes": int,
    "mean": float,
    "std": float,
    "class_names": str,
}


def _made(values: dict[str, Any], origin: str, folder: Path | None) -> Contract:
    try:
        values["range"] = tuple(float(v) for v in values["range"])
        for name, convert in _CONVERTED.items():
            if name in values:
                given = values[name] if isinstance(values[name], list | tuple) else [values[name]]
                values[name] = tuple(convert(v) for v in given)
        for name, number in (("scale", float), ("zero_point", _whole)):
            if name in values:
                values[name] = number(values[name])
        if "mean_image" in values:
            values["mean_image"] = _mean_image(str(values["mean_image"]), folder)
        return Contract(**values)
    except ContractError as error:
        raise ContractError(f"{origin}: {error}") from error


def _whole(value: Any) -> int:  # noqa: ANN401 - of a foreign table
    if int(value) != value:
        raise ValueError(f"{value} is no whole number")
    return int(value)


def _mean_image(name: str, folder: Path | None) -> Floats32:
    """Read the ``.npy`` file ``name`` in ``folder``; None: in the working folder, or anywhere.

    Raises:
        ContractError: it lies elsewhere, is no regular file, or holds something else or more than there is memory for.
        OSError, ValueError: it cannot be read.
    """
    path = (folder or Path()) / name
    # a contract that comes with a model may be another party's
    if folder is not None and not path.resolve().is_relative_to(folder.resolve()):
        raise ContractError(f"the mean image {path} must lie in the contract's own folder, {folder}. Copy it there.")
    if path.exists() and not path.is_file():
        raise ContractError(f"the mean image {path} must be a file.")
    try:
        image: Any = np.load(io.BytesIO(read_limited(path, _LARGEST_IMAGE)), allow_pickle=False)
    except MemoryError as error:
        raise ContractError(f"the mean image {path} is larger than the memory.") from error
    if not isinstance(image, np.ndarray):
        raise ContractError(f"the mean image {path} must be one array in an .npy file; found an archive.")
    made = cast("NDArray[Any]", image)
    if made.dtype.kind not in "biuf":
        raise ContractError(f"the mean image {path} must hold numbers; found {made.dtype}.")
    return np.asarray(made, np.float32)


def read_contract(text_or_path: str) -> Contract:
    """Read a contract from a TOML file (its ``[contract]`` table, or the whole file), or from inline TOML.

    Example:
        >>> read_contract('layout = "NHWC", range = [0, 255], output = "labels"').range
        (0.0, 255.0)

    Raises:
        ContractError: neither a file nor TOML, or a field is wrong.
    """
    where, table, folder = read_table(text_or_path)
    found: Any = table.get("contract", table)
    if isinstance(found, list):
        raise ContractError(
            f"{where}: it holds contracts for several models, [[contract]], and here one is wanted. Write it as "
            "[contract]."
        )
    if not isinstance(found, dict):
        raise ContractError(f"{where}: contract must be a table, [contract]; found {quoted(found)}.")
    return parse_contract(cast("dict[str, Any]", found), origin=where, folder=folder)


def read_table(text_or_path: str) -> tuple[str, dict[str, Any], Path | None]:
    """Return what a contract is called in messages, its TOML, and the folder of its file; None: it is inline.

    Raises:
        ContractError: neither a file nor TOML.
    """
    path = Path(text_or_path)
    inline = "=" in text_or_path and path.suffix != ".toml"
    if not inline and not path.exists():
        raise ContractError(f"{_short(text_or_path)}: no such contract file.")
    with reading(_short(text_or_path), ContractError, fault="this is not TOML"):
        content = f"contract = {{{text_or_path}}}".encode() if inline else read_limited(path, _LARGEST_FILE)
        table = parse_toml(content)
    return ("the contract option" if inline else str(path)), table, None if inline else path.parent


def files_named(contract: Path) -> tuple[Path, ...]:
    """Return the files that the contracts in a TOML file name: their mean images, where they have some.

    What is wrong with them is for `read_contract` to say.
    """
    try:
        table = parse_toml(read_limited(contract, _LARGEST_FILE))
    except (OSError, ValueError, RecursionError):
        return ()
    found: Any = table.get("contract", table)
    rows = cast("list[object]", found if isinstance(found, list) else [found])
    named: list[Any] = [cast("dict[str, Any]", row).get("mean_image") for row in rows if isinstance(row, dict)]
    return tuple(dict.fromkeys(image for name in named for image in _beside(contract, name)))


def _beside(contract: Path, named: object) -> tuple[Path, ...]:
    if not isinstance(named, str) or "\0" in named:
        return ()
    below = Path(os.path.relpath(contract.parent / named, contract.parent))
    image = contract.parent / below
    try:
        return (image,) if ".." not in below.parts and image.is_file() else ()
    except OSError:  # such as a name that is longer than any
        return ()


def metadata_of(contract: Contract) -> dict[str, str]:
    """Return ``contract`` as the string metadata that an exported model carries."""
    if contract.mean_image is not None:
        raise ContractError("A mean image does not fit into metadata: export the model with it inside the graph.")
    stated = contract.stated()
    metadata = {METADATA_PREFIX + k: v if isinstance(v, str) else json.dumps(v) for k, v in stated.items()}
    metadata[METADATA_PREFIX + "range"] = f"{contract.range[0]:g}..{contract.range[1]:g}"
    return metadata


def contract_from_metadata(metadata: Mapping[str, str], *, origin: str) -> Contract | None:
    """Read back what `metadata_of` wrote; None where the model carries no contract.

    A model's file is somebody else's text, so it may not name a file of this machine: a mean image is refused.

    Raises:
        ContractError: the model carries a contract that is malformed, or that names a mean image.
    """
    known = {field.name for field in dataclasses.fields(Contract)}
    found = {k.removeprefix(METADATA_PREFIX): v for k, v in metadata.items() if k.startswith(METADATA_PREFIX)}
    found = {k: v for k, v in found.items() if k in known}  # other keys, such as the data set's name, are free
    if not found:
        return None
    if "mean_image" in found:
        raise ContractError(
            f"{origin}: its metadata name a file, cae.mean_image, and a model cannot name files of this machine. "
            "Put the mean image into the graph, or name it in a contract of your own (--contract)."
        )
    return parse_contract({k: _from_text(k, v, origin) for k, v in found.items()}, origin=origin)


def _from_text(name: str, value: str, origin: str) -> Any:  # noqa: ANN401 - the fields have different types
    """Return what a line of metadata says, as TOML would give it."""
    with reading(origin, ContractError, fault=f"the metadata cae.{name} is malformed: {quoted(value)}"):
        if name == "range":
            return value.split("..")
        parsed = json.loads(value) if name in _AS_JSON else value
        check_depth(parsed)
        return parsed


def _short(text: str) -> str:
    return text if len(text) <= 80 else text[:79] + "…"
