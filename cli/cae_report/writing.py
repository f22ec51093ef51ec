"""Writing a page: where, and never over what it is made from."""

from collections.abc import Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from cae_core.errors import BackendMissing
from cae_core.files.outputs import REPORT, check_output
from cae_core.files.storage import write_atomically
from cae_report.content import ReportContent
from cae_report.dossier import Dossier
from cae_report.judgement import Case
from cae_report.judgement_content import JudgementContent
from cae_report.scan import Scan
from cae_report.scan_content import ScanContent

__all__ = ["check_report", "write_judgement", "write_report", "write_scan"]


def check_report(target: Path, *, inputs: Iterable[Path]) -> None:
    """Refuse a place where a report would take the place of its inputs or of something else; see `check_output`.

    Raises:
        OptionError: it is one of the inputs, or a file of another kind.
        StorageError: it is no regular file.
    """
    check_output(target, REPORT, inputs=inputs)


def write_report(dossier: Dossier, content: ReportContent, target: Path) -> None:
    """Write the page of a verdict, mode 0600: it shows examples of a secret file.

    Raises:
        BackendMissing: the extra ``report`` is not installed.
        OptionError: the target is a file of another kind.
        StorageError: it cannot be written.
    """
    check_report(target, inputs=[])
    with _needing_the_extra():
        from cae_report.page import render_page
    _write(target, render_page(dossier, content))


def write_judgement(case: Case, content: JudgementContent, target: Path) -> None:
    """Write the page of a judgement, mode 0600 likewise.

    Raises:
        CaeError: see `write_report`.
    """
    check_report(target, inputs=[])
    with _needing_the_extra():
        from cae_report.page import render_judgement
    _write(target, render_judgement(case, content))


def write_scan(scan: Scan, content: ScanContent, target: Path) -> None:
    """Write the page of a scan, mode 0600 too: its scores tell a thief how close he came.

    Raises:
        CaeError: see `write_report`.
    """
    check_report(target, inputs=[])
    with _needing_the_extra():
        from cae_report.page import render_scan
    _write(target, render_scan(scan, content))


@contextmanager
def _needing_the_extra() -> Generator[None]:
    try:
        yield
    except ImportError as error:
        message = f"A report needs the extra 'report' ({error}): pip install 'cae-fingerprint[report]'."
        raise BackendMissing(message) from error


def _write(target: Path, page: str) -> None:
    write_atomically(target, page.encode(), mode=0o600)
