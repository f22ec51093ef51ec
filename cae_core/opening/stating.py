"""The contract that a user states for a model: a file, or inline, and single fields that replace those of another."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cae_core.containment.limits import GENEROUS, Limits
from cae_core.contract import Contract, Contracts, contract_from_metadata, parse_contract, read_contracts
from cae_core.foreign_text import visible
from cae_core.loaders import files_told
from cae_core.opening.party import Party

__all__ = ["carried_contract", "changed_contract", "stated_contract", "stated_for_many"]


def stated_contract(
    spec: str,
    text: str | None = None,
    fields: Mapping[str, Any] | None = None,
    *,
    trusted: bool = False,
    limits: Limits = GENEROUS,
) -> Contract | None:
    """Return the contract that replaces the one that a model carries; None: its own applies.

    Args:
        spec: of the model.
        text: a TOML file, see `cae_core.contract.read_contracts`, or inline TOML; None: none is given.
        fields: that replace those of the contract in ``text``, else of the one that the model carries; a contract may
            consist of them alone.
        trusted: whether the model is one's own.
        limits: of the process that reads what the model carries.

    Raises:
        ContractError: a field is unknown or malformed, or the fields alone say too little.
        ModelError: the model cannot be read.
    """
    given = None if text is None else read_contracts(text).of(spec)
    if not fields:
        return given
    carried = carried_contract(spec, trusted=trusted, limits=limits) if given is None else given
    return changed_contract(carried, fields)


def changed_contract(contract: Contract | None, fields: Mapping[str, Any]) -> Contract:
    """Return ``contract`` with other ``fields``, or one of these alone.

    Raises:
        ContractError: see `stated_contract`.
    """
    before = {} if contract is None else contract.stated()
    image = None if fields.keys() & {"mean", "mean_image"} else before.pop("mean_image", None)
    before.pop("mean_image", None)
    if "class_names" in fields or "classes" in fields:  # one says the order anew
        before = {name: value for name, value in before.items() if name not in ("classes", "class_names")}
    made = parse_contract({**before, **fields}, origin="the contract's options")
    return made if image is None else made.replace(mean_image=image)


def stated_for_many(text: str | None = None, fields: Mapping[str, Any] | None = None) -> Contracts | Contract | None:
    """Return the contracts that a user states for models that are not looked at; None: their own apply.

    Args:
        text: see `stated_contract`.
        fields: see `stated_contract`; without ``text`` they are a whole contract.

    Raises:
        ContractError: see `stated_contract`.
    """
    given = None if text is None else read_contracts(text)
    if not fields:
        return given
    if given is None:
        return changed_contract(None, fields)
    return Contracts(tuple((files, changed_contract(each, fields)) for files, each in given.rules), given.folder)


def carried_contract(spec: str, *, trusted: bool = False, limits: Limits = GENEROUS) -> Contract | None:
    """Return the contract that a model carries, in its file or beside it; None where it carries none that can be told.

    The file is read in a process of its own, unless it is ``trusted``.

    Raises:
        ContractError: the contract is malformed.
        ModelError: the model cannot be read.
    """
    party = Party(device="cpu", limits=limits)
    try:
        signature = party.signature(spec, trusted=trusted)
    finally:
        party.end()
    inside = None if signature is None else contract_from_metadata(signature.metadata, origin=visible(spec))
    if inside is not None or not Path(spec).exists():
        return inside
    beside = next((file for file in files_told(spec)[1] if file.suffix == ".toml"), None)
    return None if beside is None else read_contracts(str(beside)).of(spec)
