"""Words and numbers as a report shows them."""

import json
from typing import Any

from cae_core.foreign_text import LONGEST_LINE, visible
from cae_core.verification.occasion import AskedBy
from cae_core.verification.verdict import Verdict

__all__ = ["all_visible", "contract_in_words", "counted", "few", "few_examples", "number", "percent"]

_ENOUGH_EXAMPLES = 20
"""From here on one answer changes CAEAcc by 0.05 at most."""

_LONGEST = 100
"""Characters of a contract's field at most: the classes of a model may be a thousand."""


def all_visible(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can hold
    r"""Return ``value`` with every string in it, keys included, made `visible`; tuples become lists.

    Names come from the other party in a dispute, and sentences of ours hold some.

    Example:
        >>> all_visible({"name": ("cat\u202egpj.exe", 3)})
        {'name': ['cat\\u202egpj.exe', 3]}
    """
    if isinstance(value, str):
        return visible(value, LONGEST_LINE)
    if isinstance(value, dict):
        return {visible(str(key), LONGEST_LINE): all_visible(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [all_visible(item) for item in value]
    return value


def contract_in_words(contract: AskedBy) -> str:
    """Return a contract in a line: its fields and the beginning of its digest."""
    fields = ", ".join(f"{name} {_in_words(value)}" for name, value in contract.table.items())
    return f"{visible(fields)} (SHA-256 {visible(contract.sha256)[:16]}…)"


def _in_words(value: Any) -> str:  # noqa: ANN401 - whatever JSON can hold
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def percent(share: float) -> str:
    """Return a share of 1 in per cent.

    Example:
        >>> percent(0.005), percent(0.05), percent(1 / 3)
        ('0.5 %', '5 %', '33.3 %')
    """
    return f"{100 * share:.3g} %"


def number(value: float) -> str:
    """Return a score or p-value with as many digits as anybody reads.

    Example:
        >>> number(0.857142), number(0.0076361), number(-2.5389)
        ('0.857', '0.00764', '-2.54')
    """
    return f"{value:.3g}"


def counted(count: int, singular: str) -> str:
    """Return the count with its noun.

    Example:
        >>> counted(1, "example"), counted(245, "reference")
        ('1 example', '245 references')
    """
    return f"{count} {singular}" if count == 1 else f"{count} {singular}s"


def few(examples: int) -> str:
    """Return what it means that a verdict rests on so few examples; empty if they are enough.

    Example:
        >>> few(4)
        '4, so that one answer changes CAEAcc by 0.25, and a copy that differs a little may get away'
    """
    if examples >= _ENOUGH_EXAMPLES:
        return ""
    change = 1 / max(examples, 1)
    return (
        f"{examples}, so that one answer changes CAEAcc by {change:.2f}, and a copy that differs a little may get away"
    )


def few_examples(verdict: Verdict) -> str:
    """Return the same of a verdict; empty, too, where it asked no more because few were enough."""
    early = verdict.sequential is not None or verdict.path is not None
    return "" if early else few(verdict.caeacc.asked)
