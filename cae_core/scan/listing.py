"""Which suspects a scan judges: the models of a folder, of a list, or of a pool's manifest.

A list may be anybody's. It names files; code and addresses are taken from the command line of `cae verify` only.
"""

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cae_core.contract import Contract
from cae_core.errors import OptionError, PoolError, quoted
from cae_core.files.fields import check_known, read_field
from cae_core.foreign_text import visible
from cae_core.loaders import installed_loaders, is_model
from cae_core.opening.own_code import OWN_CODE_SCHEMES
from cae_core.pool.manifest import read_pool
from cae_core.reading import read_limited, reading

__all__ = ["MOST", "Listed", "list_suspects"]

MOST = 100_000
"""Suspects of a scan at most."""

_LARGEST = 1 << 25
"""Bytes of a list at most: 300 for each suspect."""

_LONGEST_PATH = 4096


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One suspect of a list.

    Attributes:
        name: its path, absolute or relative to the working folder.
        contract: a TOML file, or inline, as ``--contract`` takes it; empty: the model's own applies.
        given: the contract, where a manifest holds it.
        role: role in its pool; empty if it is in no pool.
        relation: relation to the pool's source; empty if it is in no pool.
    """

    name: str
    contract: str = ""
    given: Contract | None = None
    role: str = ""
    relation: str = ""


def list_suspects(target: Path, *, roles: Sequence[str] = ()) -> tuple[Listed, ...]:
    """Return the suspects that ``target`` names, each path once.

    Args:
        target: a folder, in which every model is one, at any depth, hidden files and links left out; a model; a
            manifest (``.toml``), of which every model is one; or a list, with a path on each line, seen from the
            list's folder, or a JSON object with ``path`` and perhaps ``contract``.
        roles: of the manifest's models that count; all where empty.

    Raises:
        OptionError: there is nothing, or a role is asked for where there are none.
        PoolError: the manifest or list is wrong, names code or an address, or names no model, or too many.
    """
    if roles and target.suffix != ".toml":
        raise OptionError("Only the models of a pool's manifest have roles. Leave --role out, or name a manifest.")
    if not target.exists():
        raise OptionError(f"{_named(target)}: there is no such folder, list, manifest or model. Check the path.")
    found = _first(_found(target, roles), target)
    if not found:
        raise PoolError(f"{_named(target)}: no model found that an installed backend opens. See `cae doctor`.")
    return found


def _first(suspects: Iterable[Listed], target: Path) -> tuple[Listed, ...]:
    """Return the suspects, the first of each path."""
    found: dict[str, Listed] = {}
    for suspect in suspects:
        found.setdefault(suspect.name, suspect)
        if len(found) > MOST:
            raise PoolError(f"{_named(target)}: it names more than {MOST} suspects. Divide it into several scans.")
    return tuple(found.values())


def _found(target: Path, roles: Sequence[str]) -> Iterator[Listed]:
    if is_model(target):
        return iter([Listed(name=str(target))])
    if target.is_dir():
        return (Listed(name=path) for path in _models_in(str(target)))
    return _of_pool(target, roles) if target.suffix == ".toml" else _of_list(target)


def _models_in(folder: str) -> Iterator[str]:
    """Yield the models of a folder in the order of their names."""
    try:
        with os.scandir(folder) as entries:
            found = sorted((entry.name, entry.is_dir(follow_symlinks=False), entry.is_symlink()) for entry in entries)
    except OSError as error:
        raise PoolError(f"{visible(folder)}: the folder cannot be read ({error.strerror}).") from error
    for name, is_folder, is_link in found:
        path = os.path.join(folder, name)  # noqa: PTH118 - a hundred thousand of them
        if name.startswith(".") or is_link:
            continue
        if is_model(Path(path)):
            yield path
        elif is_folder:
            yield from _models_in(path)


def _of_pool(manifest: Path, roles: Sequence[str]) -> Iterator[Listed]:
    members = read_pool(manifest).members
    unknown = sorted(set(roles) - {member.role for member in members})
    if unknown:
        raise PoolError(f"{_named(manifest)}: no model in it has the role {quoted(unknown[0])}. Correct --role.")
    for member in members:
        if not roles or member.role in roles:
            yield Listed(
                name=_checked(str(member.path), str(manifest)),
                given=member.contract,
                role=member.role,
                relation=member.relation,
            )


def _of_list(path: Path) -> Iterator[Listed]:
    with reading(_named(path), PoolError, fault="this is no list of models: a path on each line, in UTF-8"):
        lines = read_limited(path, _LARGEST).decode("utf-8").splitlines()
    for number, line in enumerate(lines, start=1):
        if line.strip() and not line.startswith("#"):
            yield _listed(line.strip(), path.parent, f"{_named(path)}, line {number}")


def _listed(line: str, folder: Path, where: str) -> Listed:
    table = _object(line, where) if line.startswith("{") else {"path": line}
    try:
        check_known(table, ("path", "contract"))
        name, contract = read_field(table, "path", str), read_field(table, "contract", str, "")
    except OptionError as error:
        raise PoolError(f"{where}: {error}") from error
    if not 0 < len(name) <= _LONGEST_PATH or "\0" in name:
        raise PoolError(f"{where}: this is no path of a file; found {quoted(name)}.")
    if contract and ("=" not in contract or contract.endswith(".toml")):  # a file, and not inline
        contract = str(folder / contract)
    return Listed(name=str(folder / _checked(name, where)), contract=contract)


def _object(line: str, where: str) -> dict[str, Any]:
    import json

    with reading(where, PoolError, fault='this is no JSON object such as {"path": "a.onnx"}'):
        found: object = json.loads(line)
    if not isinstance(found, dict):
        raise PoolError(f'{where}: this is no JSON object such as {{"path": "a.onnx"}}.')
    return cast("dict[str, Any]", found)


def _checked(name: str, where: str) -> str:
    """Return the name of a file.

    Raises:
        PoolError: it names code or an address.
    """
    scheme, colon, _ = name.partition(":")
    schemes = {*OWN_CODE_SCHEMES, "http", "https", *(s for loader in installed_loaders() for s in loader.schemes)}
    if colon and scheme in schemes:
        raise PoolError(
            f"{where}: {quoted(name)} is no file; code and services are named on the command line only, one at a time "
            "(cae verify --suspect). Take it out of the list."
        )
    return name


def _named(path: Path) -> str:
    return visible(str(path))
