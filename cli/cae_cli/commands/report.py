"""`cae report`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cae_cli.options import FingerprintPath, Json, print_json
from cae_cli.streams import say
from cae_core.errors import BackendMissing, OptionError
from cae_core.foreign_text import visible

if TYPE_CHECKING:
    from cae_report.content import ReportContent
    from cae_report.dossier import Dossier

__all__ = ["run"]


def run(
    *,
    verdict: Annotated[Path, typer.Option("--verdict", help="What `cae verify --json` printed.")],
    fingerprint: FingerprintPath = Path("fingerprint.safetensors"),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The HTML file; default: report.html, none with --json.")
    ] = None,
    examples: Annotated[int, typer.Option(min=0, max=100, help="Number of fingerprint examples to show.")] = 12,
    json: Json = False,
) -> None:
    """Write one verdict with all its evidence as an HTML page, for people who were not there.

    Example: cae report --verdict verdict.json --fingerprint fingerprint.safetensors --output report.html

    The verdict is derived again from its recorded answers first; one that they do not give is refused. The page
    loads nothing and shows some examples of the fingerprint, which is a secret: none with --examples 0.
    """
    from cae_report.content import gather_content
    from cae_report.dossier import open_dossier

    target = output or (None if json else Path("report.html"))
    if target is not None and target.resolve() in (verdict.resolve(), fingerprint.resolve()):
        raise OptionError(f"{target}: the report would replace what it is made from. Name another file with --output.")
    dossier = open_dossier(verdict, fingerprint)
    content = gather_content(dossier, examples=examples)
    if target is not None:
        _write(dossier, content, target)
    if json:
        print_json(content)
    else:
        found = dossier.verdict.decision.verdict
        say(f"{visible(str(target))}: {found}. The recorded answers give the recorded verdict.")


def _write(dossier: "Dossier", content: "ReportContent", target: Path) -> None:
    from cae_core.files.storage import write_atomically

    try:
        from cae_report.page import render_page
    except ImportError as error:
        message = f"A report needs the extra 'report' ({error}): pip install 'cae-fingerprint[report]'."
        raise BackendMissing(message) from error
    # it shows examples of a secret file
    write_atomically(target, render_page(dossier, content).encode(), mode=0o600)
