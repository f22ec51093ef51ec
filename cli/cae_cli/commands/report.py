"""`cae report`."""

from pathlib import Path
from typing import Annotated

import typer

from cae_cli.options import FingerprintPath, Json, print_json
from cae_cli.streams import say
from cae_core.foreign_text import visible

__all__ = ["run"]


def run(
    record: Annotated[
        Path | None,
        typer.Argument(metavar="RECORD", help="The verdict's JSON file, as `cae verify --json` printed it."),
    ] = None,
    *,
    verdict: Annotated[Path | None, typer.Option("--verdict", help="Another way to name RECORD.")] = None,
    fingerprint: FingerprintPath = Path("fingerprint.safetensors"),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The HTML file; default: report.html, none with --json.")
    ] = None,
    examples: Annotated[int, typer.Option(min=0, max=100, help="Number of fingerprint examples to show.")] = 12,
    json: Json = False,
) -> None:
    """Write one verdict with all its evidence as an HTML page, for people who were not there.

    Example: cae report verdict.json --fingerprint fingerprint.safetensors --output report.html

    The verdict is first derived again from its recorded answers, and refused if they do not give it. The page loads
    nothing. It shows some examples of the fingerprint, which is a secret; with --examples 0 it shows none.
    """
    from cae_report.content import gather_content
    from cae_report.dossier import open_dossier
    from cae_report.writing import check_report, write_report

    given = _one_of(record, verdict)
    target = output or (None if json else Path("report.html"))
    if target is not None:
        check_report(target, inputs=[given, fingerprint])
    dossier = open_dossier(given, fingerprint)
    content = gather_content(dossier, examples=examples)
    if target is not None:
        write_report(dossier, content, target)
    if json:
        print_json(content, "report")
    else:
        found = dossier.verdict.decision.verdict
        say(f"{visible(str(target))}: {found}. The recorded answers give the recorded verdict.")


def _one_of(record: Path | None, verdict: Path | None) -> Path:
    given = [path for path in (record, verdict) if path is not None]
    if len(given) != 1:
        raise typer.BadParameter("name one file: cae report verdict.json", param_hint="RECORD")
    return given[0]
