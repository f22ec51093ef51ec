"""What a verdict's record says beside what follows from the answers: when, with what and in whose name it was asked.

None of it decides, and nothing in the answers shows it: a verdict that is derived again takes it from the record.
"""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, TypeAlias, cast

from cae_core import clock
from cae_core import version as release
from cae_core.contract import Contract, contract_of
from cae_core.errors import OptionError, VerdictError
from cae_core.files.digests import digest_of
from cae_core.files.fields import read_field

__all__ = ["MOST_CHARACTERS", "AskedBy", "Likeness", "Occasion", "recorded_occasion"]

MOST_CHARACTERS = 200
"""Of a case's name, and of what a model says of its runtime."""

Likeness: TypeAlias = Literal["file", "scores"]
"""How the source itself was known: by the SHA-256 of its file, or by its scores."""


@dataclass(frozen=True, kw_only=True)
class AskedBy:
    """The contract by which a suspect was asked.

    Attributes:
        sha256: see `Contract.digest`.
        table: see `Contract.table`.
    """

    sha256: str
    table: Mapping[str, Any]

    @classmethod
    def of(cls, contract: Contract) -> "AskedBy":
        """Return how a record names ``contract``."""
        return cls(sha256=contract.digest, table=contract.table())

    @classmethod
    def of_model(cls, model: object) -> "AskedBy | None":
        """Return how a record names the contract of ``model``; None where it does not say."""
        contract = contract_of(model)
        return None if contract is None else cls.of(contract)


@dataclass(frozen=True, kw_only=True)
class Occasion:
    """When, with what and in whose name a suspect was asked.

    Attributes:
        date: date and time in UTC, ISO 8601, by the clock of the machine that asked.
        case: name of the case; empty if there is none.
        tool: release of `cae` that asked.
        runtime: runtime of the suspect and its release; None if the model does not say.
        contract: contract by which the suspect was asked; None if the model does not say.
        nonce_given: whether the user gave the nonce; otherwise it was drawn once everything else was fixed.
        is_source: how the suspect was recognised as the source itself; None: it was not.
        self_check: whether the suspect was meant to be the source.
        rivals: other contracts that fit the suspect about as well, by which it was asked too; of all verdicts this one
            claims least.
    """

    date: str
    case: str = ""
    tool: str
    runtime: str | None = None
    contract: AskedBy | None = None
    nonce_given: bool
    is_source: Likeness | None = None
    self_check: bool = False
    rivals: tuple[AskedBy, ...] = ()

    def __post_init__(self) -> None:
        if len(self.case) > MOST_CHARACTERS:
            raise OptionError(
                f"The name of a case has at most {MOST_CHARACTERS} characters; found {len(self.case)}. Shorten it."
            )

    def stated(self) -> dict[str, Any]:
        """Return the fields as a record has them; rivals where there are any."""
        return {name: value for name, value in vars(self).items() if name != "rivals" or value}

    @classmethod
    def of(
        cls,
        model: object,
        *,
        nonce_given: bool,
        case: str = "",
        is_source: Likeness | None = None,
        self_check: bool = False,
        rivals: Sequence[object] = (),
    ) -> "Occasion":
        """Return the present one: now, by this release, with what the model says of itself.

        Raises:
            OptionError: the case's name is too long.
        """
        runtime = getattr(model, "runtime", None)
        return cls(
            date=clock.utc_now().isoformat(),
            case=case,
            tool=f"cae-fingerprint {release.__version__}",
            runtime=runtime[:MOST_CHARACTERS] if isinstance(runtime, str) else None,
            contract=AskedBy.of_model(model),
            nonce_given=nonce_given,
            is_source=is_source,
            self_check=self_check,
            rivals=tuple(asked for asked in map(AskedBy.of_model, rivals) if asked is not None),
        )


def recorded_occasion(record: Mapping[str, Any]) -> Occasion | None:
    """Return what the record of a verdict says; None where it is of a release that did not say it.

    Raises:
        VerdictError: it is malformed.
    """
    if "date" not in record:
        return None
    try:
        given = {name: read_field(record, name, kind) for name, kind in _KINDS.items()}
        _check_lengths(given)
        given["contract"] = None if given["contract"] is None else _contract(given["contract"])
        given["rivals"] = tuple(map(_contract, read_field(record, "rivals", list[dict[str, Any]], default=[])))
        datetime.fromisoformat(given["date"])
        return Occasion(**given)
    except (OptionError, ValueError) as error:
        raise VerdictError(
            f"This is no verdict as `cae verify --json` prints it ({error}). Give the JSON file of one verdict."
        ) from error


def _check_lengths(given: Mapping[str, Any]) -> None:
    for name in ("date", "tool", "runtime"):
        if len(given[name] or "") > MOST_CHARACTERS:
            raise OptionError(f"{name} must have at most {MOST_CHARACTERS} characters")


def _contract(table: Mapping[str, Any]) -> AskedBy:
    """Return the contract that a record names; its digest is that of its table.

    Raises:
        OptionError: it is not, or the table is none of a contract.
    """
    found = AskedBy(**{name: read_field(table, name, kind) for name, kind in _CONTRACT.items()})
    if not found.table.keys() <= _FIELDS or not all(_is_plain(value) for value in found.table.values()):
        raise OptionError("contract must be the table of a contract")
    if digest_of(found.table) != found.sha256:
        raise OptionError("contract must have the SHA-256 of its table")
    return found


def _is_plain(value: object) -> bool:
    """Return whether it is what a field of a contract holds: a text or number, or a list or an object of some."""
    if isinstance(value, dict):
        return all(_is_plain(x) and not isinstance(x, dict) for x in cast("dict[str, object]", value).values())
    parts = cast("list[object]", value) if isinstance(value, list) else [value]
    return all(isinstance(part, str | int | float) for part in parts)


_FIELDS = {field.name for field in dataclasses.fields(Contract)}

_KINDS: dict[str, Any] = {
    "date": str,
    "case": str,
    "tool": str,
    "runtime": str | None,
    "contract": dict[str, Any] | None,
    "nonce_given": bool,
    "is_source": Likeness | None,
    "self_check": bool,
}

_CONTRACT: dict[str, Any] = {"sha256": str, "table": dict[str, Any]}
