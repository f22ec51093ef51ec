"""Tables for people."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cae_cli.verdict_facts import verdict_facts
from cae_core.verification.verdict import Verdict

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
    decision = verdict.decision
    title = Text.assemble(
        (decision.verdict.upper(), VERDICT_STYLES[decision.verdict]),
        " (weak)" if decision.weak else "",
        f"  {verdict.suspect.name}",
    )
    if decision.sides is not None:
        title.append(f"\n{decision.sides.words}", "not bold")
    facts = {fact.name: Text(fact.value, "yellow" if fact.doubt else "") for fact in verdict_facts(verdict)}
    print_facts(facts, title=title)
