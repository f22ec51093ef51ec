"""`cae doctor`."""

import sys

import typer

from cae_cli.options import Json, print_json
from cae_cli.progress import progress_bar

__all__ = ["run"]


def run(*, json: Json = False) -> None:
    """Say which backends, providers and versions are installed, and what to install for the rest.

    Example: cae doctor
    """
    from cae_cli.checkup import check_up

    with progress_bar() as progress:
        findings = check_up(progress)
    if json:
        print_json({"python": sys.version.split()[0], "findings": findings}, "doctor")
    else:
        from rich.text import Text

        from cae_cli.render import print_rows

        styles = {"ok": "green", "missing": "yellow", "broken": "bold red"}
        rows: list[list[str | Text]] = [
            [finding.part, Text(finding.state, styles[finding.state]), finding.found, finding.remedy]
            for finding in findings
        ]
        print_rows(["part", "state", "found", "what to do"], rows, title=f"Python {sys.version.split()[0]}")
    if any(finding.state == "broken" for finding in findings):
        raise typer.Exit(1)
