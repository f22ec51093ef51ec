"""`cae queries`."""

from pathlib import Path
from typing import Annotated

import typer

from cae_cli.options import Json, print_json
from cae_cli.streams import say
from cae_core.foreign_text import visible

__all__ = ["app", "export"]

app = typer.Typer(no_args_is_help=True, help="Let somebody else ask the suspect, and judge their recorded answers.")


@app.callback()
def _group() -> None:
    """Let somebody else ask the suspect, and judge their recorded answers."""


@app.command("export")
def export(
    fingerprint: Annotated[Path, typer.Argument(help="The fingerprint file.")],
    folder: Annotated[
        Path, typer.Argument(help="A new folder for the images, to be sent to whoever runs the suspect.")
    ],
    *,
    suspect: Annotated[str, typer.Option("--suspect", "-s", help="Name of the suspect, for ledger and verdict.")],
    ledger: Annotated[
        Path | None,
        typer.Option(help="Ledger: file that records which suspect has seen what; default: beside the fingerprint."),
    ] = None,
    case: Annotated[str, typer.Option(help="Name of the case, which verdict, report and ledger state.")] = "",
    json: Json = False,
) -> None:
    """Write every image that a suspect is asked into a folder, for a technician who has no `cae`.

    Example: cae queries export fingerprint.safetensors images --suspect "Example Ltd"

    The verification begins with this export, and the ledger records it. A README.txt in the folder says what to do.
    The folder's list comes back with the labels filled in, and is judged by: cae verify --suspect answers.csv
    """
    from cae_core.workflows import export_images

    made = export_images(fingerprint, folder, suspect=suspect, ledger=ledger or "auto", case=case)
    if json:
        print_json(made, "queries")
        return
    say(f"{visible(str(folder))}: {len(made.files)} images, and what to do with them in README.txt; export {made.id}.")
    say("Give away the whole folder. Judge what comes back with: cae verify --suspect answers.csv")
