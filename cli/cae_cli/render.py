"""Tables for people: as wide as a terminal is, and of whole lines where a file or another program reads them."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from rich.cells import cell_len, chop_cells
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from cae_cli.verdict_facts import verdict_facts
from cae_core.foreign_text import LONGEST_LINE, harmless, visible
from cae_core.verification.verdict import Verdict

__all__ = ["VERDICT_STYLES", "print_facts", "print_rows", "print_verdict"]

VERDICT_STYLES = {"surrogate": "bold red", "independent": "bold green", "inconclusive": "bold yellow"}

_DIGEST = re.compile(r"[0-9a-f]{16,128}")

_GAP = 2
_ENDLESS = 1_000_000
"""The width of what is no terminal: nothing is folded, so that a digest can be searched for."""


def print_facts(facts: Mapping[str, Any], *, title: str | Text) -> None:
    """Print names and values, one a line, under a title.

    A value is one line, whatever is in it; a `Text` may have several, which are ours. A digest is never broken, so that
    it can be copied.
    """
    console = _console()
    width = max(map(len, facts), default=0)
    head = Text(visible(title), "bold") if isinstance(title, str) else _ours(title)
    lines = list(_headed(head, console.width))
    for name, value in facts.items():
        shown = _ours(value) if isinstance(value, Text) else Text(visible(str(value), LONGEST_LINE))
        room = max(console.width - width - _GAP, 20)
        for place, line in enumerate(_wrapped(shown, room)):
            lines.append(Text.assemble((("" if place else name).ljust(width + _GAP), "dim"), line))
    console.print(Text("\n").join(_without_blanks(line) for line in lines), soft_wrap=True)


def print_rows(columns: Iterable[str], rows: Iterable[Sequence[str | Text]], *, title: str | None = None) -> None:
    """Print a table; a column whose name ends in ``#`` holds numbers, and one without any value is left out."""
    given, cells = list(columns), [list(row) for row in rows]
    kept = [place for place in range(len(given)) if not cells or any(str(row[place]) for row in cells)]
    table = Table(title=None if title is None else Text(title), title_justify="left", show_edge=False, pad_edge=False)
    for place in kept:
        column = given[place]
        table.add_column(
            column.removesuffix("#"),
            justify="right" if column.endswith("#") else "left",
            overflow="fold",  # a cut word is worse than a second line
        )
    for row in cells:
        table.add_row(*(_cell(row[place]) for place in kept))
    _print_table(table)


def print_verdict(verdict: Verdict) -> None:
    """Print a verdict and its evidence."""
    decision = verdict.decision
    title = Text.assemble(
        (decision.verdict.upper(), VERDICT_STYLES[decision.verdict]),
        " (weak)" if decision.weak else "",
        f"  {visible(verdict.suspect.name)}",
    )
    if decision.sides is not None:
        title.append(f"\n{visible(decision.sides.words, LONGEST_LINE)}", "not bold")
    facts = {fact.name: Text(fact.value, "yellow" if fact.doubt else "") for fact in verdict_facts(verdict)}
    print_facts(facts, title=title)


class _Console(Console):
    """One that lets its user know that nobody reads any more, instead of ending the program."""

    def on_broken_pipe(self) -> None:
        """Pass the error on."""
        raise  # noqa: PLE0704 - rich calls this where it has caught it


def _console() -> Console:
    console = _Console()
    return console if console.is_terminal else _Console(width=_ENDLESS)


def _print_table(table: RenderableType) -> None:
    console = _console()
    if console.is_terminal:
        console.print(table)
        return
    with console.capture() as captured:
        console.print(table)
    lines = (line.rstrip() for line in captured.get().split("\n"))
    console.file.write("\n".join(lines))
    console.file.flush()


def _ours(text: Text) -> Text:
    """Return a text that may have several lines, with the names in them made harmless."""
    plain = harmless(text.plain)
    return text if plain == text.plain else Text(plain, text.style)


def _cell(value: str | Text) -> Text:
    return _ours(value) if isinstance(value, Text) else Text(visible(value))  # "[torch]" is no markup


def _wrapped(text: Text, width: int) -> Iterator[Text]:
    """Divide a text into lines of ``width`` between its words; of longer words only a digest stays whole.

    A terminal goes on at its left edge with what is too long, where a name could pass for a line of ours.
    """
    for line in text.split("\n", allow_blank=True):
        offsets, used = list[int](), 0
        for found in re.finditer(r"(\S+)\s*", line.plain):
            word, place = found[1], found.start()
            parts = [word] if _DIGEST.fullmatch(word) else chop_cells(word, width)
            if used and used + cell_len(parts[0]) > width:
                offsets.append(place)
                used = 0
            for part in parts[:-1]:
                place += len(part)
                offsets.append(place)
                used = 0
            used += cell_len(parts[-1]) + len(found[0]) - len(word)
        yield from line.divide(offsets)


def _headed(title: Text, width: int) -> Iterator[Text]:
    """Divide the lines of a title, and set back what follows of each.

    A suspect's name stands in it, and where a terminal breaks a name, a line could begin with another outcome.
    """
    for line in title.split("\n", allow_blank=True):
        for place, part in enumerate(_wrapped(line, max(width - _GAP, 20))):
            yield Text.assemble(" " * _GAP if place else "", part)


def _without_blanks(line: Text) -> Text:
    line.rstrip()
    return line
