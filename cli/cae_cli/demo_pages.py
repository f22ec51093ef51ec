"""The pages that the demonstration ends with: those of the suspects that tell most, for people who decide."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cae_core.errors import BackendMissing
from cae_core.files.outputs import RECORD, check_output
from cae_core.files.records import readable_json
from cae_core.files.storage import write_atomically
from cae_core.pool.manifest import PoolMember
from cae_core.verification.verdict import Verdict

__all__ = ["DemoPages", "telling", "write_pages"]


@dataclass(frozen=True, kw_only=True)
class DemoPages:
    """Where the pages are.

    Attributes:
        pages: HTML files; none where what draws them is not installed.
        missing: a sentence that says how to get it; empty where it is there.
    """

    pages: tuple[Path, ...] = ()
    missing: str = ""


def telling(verdicts: Sequence[tuple[PoolMember, Verdict]]) -> tuple[tuple[PoolMember, Verdict], ...]:
    """Return three suspects: of the highest score, of the others the nearest to the threshold, and of the lowest score.

    They are fewer where there are fewer; without a threshold it is the one nearest to the middle score.
    """
    ranked = sorted(verdicts, key=lambda pair: -pair[1].decision.value)
    if len(ranked) <= 3:
        return tuple(ranked)
    middle = ranked[len(ranked) // 2][1].decision.value
    nearest = min(ranked[1:-1], key=lambda pair: abs(pair[1].decision.value - _limit(pair[1], middle)))
    return ranked[0], nearest, ranked[-1]


def _limit(verdict: Verdict, otherwise: float) -> float:
    return otherwise if verdict.decision.threshold is None else verdict.decision.threshold


def write_pages(verdicts: Sequence[tuple[PoolMember, Verdict]], fingerprint: Path, folder: Path) -> DemoPages:
    """Write the record of each suspect, and its page, which is made from that record as `cae report` does.

    Args:
        verdicts: of the suspects.
        fingerprint: the file that they were judged by.
        folder: where records and pages go; made where it is missing.

    Raises:
        CaeError: see `open_dossier` and `write_report`.
    """
    from cae_report.content import gather_content
    from cae_report.dossier import open_dossier
    from cae_report.writing import write_report

    folder.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    for member, verdict in verdicts:
        record, page = folder / f"{member.name}.json", folder / f"{member.name}.html"
        check_output(record, RECORD)
        write_atomically(record, readable_json(verdict), mode=0o600)
        dossier = open_dossier(record, fingerprint)
        try:
            write_report(dossier, gather_content(dossier, examples=6), page)
        except BackendMissing as error:
            return DemoPages(missing=str(error))
        written.append(page)
    return DemoPages(pages=tuple(written))
