"""What a search for a contract has found, and the text that is written of it."""

import json
from dataclasses import dataclass
from typing import Any

from cae_core.contract import Contract
from cae_core.foreign_text import visible

__all__ = ["ContractFound", "Tried", "contract_text"]


@dataclass(frozen=True, kw_only=True)
class Tried:
    """A candidate and how it stood when it was asked last.

    Attributes:
        words: what is particular about it.
        contract: by which the model was asked.
        images: that it was asked; 0: the model could not be asked so.
        accuracy: on these.
        state: ``"found"``; ``"alike"``: gives the same labels as the first; ``"left"``: neither beaten nor alike;
            ``"doubted"``: not beaten, and still not the model's; ``"beaten"``: by another on the same images;
            ``"refused"``: the model cannot be asked so.
        why: of one that was refused.
    """

    words: str
    contract: Contract
    images: int
    accuracy: float
    state: str
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class ContractFound:
    """The outcome of a search.

    Attributes:
        model: as its user named it.
        sha256: of the model.
        data: the name of the labelled images.
        tried: every candidate: those that are left first, by accuracy.
        contract: what was found; None: nothing was.
        why: why nothing was found, and what to do; empty where something was.
    """

    model: str
    sha256: str
    data: str
    tried: tuple[Tried, ...]
    contract: Contract | None
    why: str = ""

    @property
    def left(self) -> tuple[Tried, ...]:
        """The candidates of which one is the model's contract, as far as the images tell: the best one first."""
        return tuple(one for one in self.tried if one.state in ("found", "alike", "left"))

    @property
    def contracts(self) -> tuple[Contract, ...]:
        """What a suspect is to be asked by: the contract that was found, or each of those that are left; else none."""
        return tuple(one.contract for one in self.left if one.state != "alike")


def contract_text(found: ContractFound) -> str:
    """Return the TOML file of a contract that was found: its table, and in comments how the candidates stood."""
    if found.contract is None:
        raise ValueError("no contract was found")
    first = found.tried[0]
    lines = [
        f"# Found by accuracy on {first.images} labelled images of {visible(found.data)}; model {found.sha256}.",
        "# accuracy  images  candidate",
        *(f"# {one.accuracy:8.4f}  {one.images:6d}  {visible(one.words)} ({one.state})" for one in found.tried),
        "[contract]",
        *(f"{name} = {_toml(value)}" for name, value in found.contract.stated().items()),
    ]
    return "\n".join(lines) + "\n"


def _toml(value: Any) -> str:  # noqa: ANN401 - the fields have different types
    return json.dumps(value, ensure_ascii=True)
