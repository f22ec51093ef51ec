"""What became of many cases: counted, and shown as a table."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from tests.fuzz.watching import Result

__all__ = ["FAULTS", "Tally", "rendered"]

FAULTS = ("traceback", "hang", "crash", "memory", "unmade")
_COLUMNS = ("accepted", "refused", *FAULTS)


@dataclass
class Tally:
    """What became of a reader's cases.

    Attributes:
        kinds: how many of each.
        parsed: how many passed the outer parse.
        caught: the exceptions that only a border caught.
        faults: the cases that ended otherwise than accepted or refused.
        peak: bytes.
    """

    kinds: Counter[str] = field(default_factory=Counter[str])
    parsed: int = 0
    caught: Counter[str] = field(default_factory=Counter[str])
    faults: list[Result] = field(default_factory=list[Result])
    peak: int = 0

    def add(self, result: Result) -> None:
        """Count a result."""
        self.kinds[result.outcome.kind] += 1
        self.parsed += result.parses
        self.caught.update(result.outcome.caught)
        self.peak = max(self.peak, result.peak)
        if result.outcome.kind in FAULTS:
            self.faults.append(result)


def rendered(tallies: Mapping[str, Tally]) -> Iterable[str]:
    """Yield the lines of a Markdown table, and after it the exceptions that only a border has caught."""
    yield f"| reader | cases | past the outer parse | {' | '.join(_COLUMNS)} | peak, MiB |"
    yield "| --- " * (len(_COLUMNS) + 4) + "|"
    whole = Tally()
    for name, tally in tallies.items():
        yield _row(name, tally)
        whole.kinds += tally.kinds
        whole.parsed += tally.parsed
        whole.peak = max(whole.peak, tally.peak)
    yield _row("all", whole)
    yield ""
    yield "Caught by nothing but a border:"
    for name, tally in tallies.items():
        kinds = ", ".join(f"{kind} {count}" for kind, count in tally.caught.most_common())
        yield f"- {name}: {kinds or 'nothing'}"


def _row(name: str, tally: Tally) -> str:
    cases = tally.kinds.total()
    share = f"{tally.parsed / cases:.0%}" if cases else "–"
    counts = " | ".join(str(tally.kinds[kind]) for kind in _COLUMNS)
    return f"| {name} | {cases} | {share} | {counts} | {tally.peak >> 20} |"
