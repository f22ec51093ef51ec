"""Tables for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cae_core.verdict import Verdict

__all__ = ["VERDICT_STYLES", "print_facts", "print_rows", "print_verdict"]

VERDICT_STYLES = {"surrogate": "bold red", "independent": "bold green", "inconclusive": "bold yellow"}


def print_facts(facts: Mapping[str, Any], *, title: str | Text) -> None:
    """Print names and values, one a line, under a title."""
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in facts.items():
        table.add_row(name, value if isinstance(value, Text) else Text(str(value)))
    console = Console()
    console.print(title, style=None if isinstance(title, Text) else "bold")
    console.print(table)


def print_rows(columns: Iterable[str], rows: Iterable[Sequence[str | Text]], *, title: str | None = None) -> None:
    """Print a table; a column whose name ends in ``#`` holds numbers."""
    table = Table(title=title, title_justify="left", show_edge=False, pad_edge=False)
    for column in columns:
        table.add_column(
            column.removesuffix("#"),
            justify="right" if column.endswith("#") else "left",
            overflow="fold",  # a cut word is worse than a second line
        )
    for row in rows:
        table.add_row(*(cell if isinstance(cell, Text) else Text(cell) for cell in row))  # "[torch]" is no markup
    Console().print(table)


def print_verdict(verdict: Verdict) -> None:
    """Print a verdict and its evidence."""
    decision, caeacc = verdict.decision, verdict.caeacc
    title = Text.assemble(
        (decision.verdict.upper(), VERDICT_STYLES[decision.verdict]),
        " (weak)" if decision.weak else "",
        f"  {verdict.suspect['name']}",
    )
    p_value = "none: uncalibrated" if decision.p_value is None else f"{decision.p_value:.4g}"
    facts = {
        "reason": decision.reason,
        "CAEAcc": f"{caeacc.value:.3f}  ({caeacc.matches} of {caeacc.asked} examples)",
        "95 % interval": f"{caeacc.low:.3f} to {caeacc.high:.3f}  (over examples, not over models)",
        "threshold": f"{decision.threshold:g}  ({decision.provenance})",
        "p-value": p_value,
        "benign accuracy": f"{verdict.benign_accuracy:.3f}",
        "queries": f"{verdict.queries['fingerprint']} fingerprint + {verdict.queries['benign']} benign",
        "nonce": verdict.nonce,
        "fingerprint": verdict.fingerprint["id"][:16],
        "suspect SHA-256": verdict.suspect["sha256"][:16],
    }
    if verdict.unanswered:
        facts["unanswered"] = f"{verdict.unanswered} queries (refused or not a number; no match)"
    if verdict.nondeterministic:
        facts["nondeterministic"] = f"{verdict.nondeterministic} repeated images got another answer"
    print_facts(facts, title=title)
