"""Writing a report: where, and never over what it is made from."""

from collections.abc import Iterable
from pathlib import Path

from cae_core.errors import BackendMissing
from cae_core.files.outputs import REPORT, check_output
from cae_core.files.storage import write_atomically
from cae_report.content import ReportContent
from cae_report.dossier import Dossier

__all__ = ["check_report", "write_report"]


def check_report(target: Path, *, inputs: Iterable[Path]) -> None:
    """Refuse a place where a report would take the place of its inputs or of something else; see `check_output`.

    Raises:
        OptionError: it is one of the inputs, or a file of another kind.
        StorageError: it is no regular file.
    """
    check_output(target, REPORT, inputs=inputs)


def write_report(dossier: Dossier, content: ReportContent, target: Path) -> None:
    """Write the page, mode 0600: it shows examples of a secret file.

    Raises:
        BackendMissing: the extra ``report`` is not installed.
        OptionError: the target is a file of another kind.
        StorageError: it cannot be written.
    """
    check_report(target, inputs=[])
    try:
        from cae_report.page import render_page
    except ImportError as error:
        message = f"A report needs the extra 'report' ({error}): pip install 'cae-fingerprint[report]'."
        raise BackendMissing(message) from error
    write_atomically(target, render_page(dossier, content).encode(), mode=0o600)
