"""`cae report`."""

from pathlib import Path
from typing import Annotated

import typer

from cae_cli.options import FingerprintPath, Json, print_json
from cae_cli.streams import say
from cae_core.foreign_text import visible

__all__ = ["run"]


def run(
    *,
    verdict: Annotated[
        Path, typer.Option("--verdict", help="The verdict's JSON file, as `cae verify --json` printed it.")
    ],
    fingerprint: FingerprintPath = Path("fingerprint.safetensors"),
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The HTML file; default: report.html, none with --json.")
    ] = None,
    examples: Annotated[int, typer.Option(min=0, max=100, help="Number of fingerprint examples to show.")] = 12,
    json: Json = False,
) -> None:
    """Write one verdict with all its evidence as an HTML page, for people who were not there.

    Example: cae report --verdict verdict.json --fingerprint fingerprint.safetensors --output report.html

    The verdict is first derived again from its recorded answers, and refused if they do not give it. The page loads
    nothing. It shows some examples of the fingerprint, which is a secret; with --examples 0 it shows none.
    """
    from cae_report.content import gather_content
    from cae_report.dossier import open_dossier
    from cae_report.writing import check_report, write_report

    target = output or (None if json else Path("report.html"))
    if target is not None:
        check_report(target, inputs=[verdict, fingerprint])
    dossier = open_dossier(verdict, fingerprint)
    content = gather_content(dossier, examples=examples)
    if target is not None:
        write_report(dossier, content, target)
    if json:
        print_json(content, "report")
    else:
        found = dossier.verdict.decision.verdict
        say(f"{visible(str(target))}: {found}. The recorded answers give the recorded verdict.")
