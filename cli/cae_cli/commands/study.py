"""`cae study`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cae_cli.options import DeviceName, Json, Trusted, print_json
from cae_cli.progress import duration, interruptible, progress_bar
from cae_cli.streams import say
from cae_core.foreign_text import visible

if TYPE_CHECKING:
    from cae_study.run import Forecast

__all__ = ["run"]

_LIST = "list"


def run(
    study: Annotated[str, typer.Argument(help="A study file (.toml), the name of a shipped study, or: list.")],
    *,
    data: Annotated[str, typer.Option(help="The images (docs/data.md); default: the study's.")] = "",
    pool: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=MANIFEST", help="An existing pool, in place of one that the study would train; repeatable."
        ),
    ] = None,
    output: Annotated[Path | None, typer.Option(help="The study's folder; default: study-NAME.")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="Run the reduced form that the study describes.")] = False,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of models trained at a time; default: one for each core.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show the steps and an estimate of their time; run nothing.")
    ] = False,
    trusted: Trusted = False,
    device: DeviceName = "auto",
    json: Json = False,
) -> None:
    """Run a whole experiment that a file describes: pools, fingerprints, suspects, tables and figures.

    Example: cae study report-3.1 --data cifar-10-batches-py --quick

    Each step is kept under a name that follows from its inputs, so a study that was killed or changed does only what is
    missing. The results are OUTPUT/results.md, a CSV file for each table and a PNG file for each figure. A dry run
    after a --quick run in the same folder tells how long the whole study will take.
    """
    from cae_study.shipped import shipped_studies, study_named
    from cae_study.study_file import read_study

    if study == _LIST:
        _list(shipped_studies(), json=json)
        return
    path = study_named(study)
    described, folder = read_study(path, quick=quick, pools=_pools(pool or [])), output or Path(f"study-{path.stem}")
    if dry_run:
        from cae_study.run import forecast

        _show(forecast(described, folder, data=data), json=json)
        return
    from cae_study.results import write_results
    from cae_study.run import run_study

    with interruptible(kept=folder / "study.json"), progress_bar() as progress:
        done = run_study(
            described, folder, data=data, workers=workers, device=device, trusted=trusted, progress=progress
        )
        page = write_results(done, folder, command=shlex.join(["cae", *sys.argv[1:]]))
    if json:
        print_json({"page": str(page), "steps": {name: step.seconds for name, step in done.steps.items()}}, "study")
        return
    say(f"{visible(str(page))}: {len(described.tables)} tables and {len(described.figures)} figures.")


def _pools(given: list[str]) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for text in given:
        name, equals, manifest = text.partition("=")
        if not equals or not Path(manifest).is_file():
            raise typer.BadParameter(
                f"expected NAME=MANIFEST, a pool of the study and a pool.toml that is there; found {text!r}",
                param_hint="--pool",
            )
        found[name] = Path(manifest)
    return found


def _list(studies: dict[str, Path], *, json: bool) -> None:
    from cae_cli.render import print_rows
    from cae_study.study_file import read_study

    titles = {name: read_study(path).title for name, path in studies.items()}
    if json:
        print_json({"studies": titles}, "study-list")
    else:
        print_rows(["study", "what it is"], [[name, title] for name, title in titles.items()])


def _show(steps: "list[Forecast]", *, json: bool) -> None:
    from cae_cli.render import print_rows

    known = [step.seconds for step in steps if step.seconds is not None and not step.done]
    unknown = sum(step.seconds is None for step in steps)
    if json:
        print_json(
            {"steps": [vars(step) for step in steps], "seconds_left": sum(known), "unknown": unknown}, "study-plan"
        )
        return
    rows = [[step.step, "done" if step.done else "", _time(step)] for step in steps]
    print_rows(["step", "", "time#"], rows)
    more = f", and {unknown} steps of which nothing like it was measured here" if unknown else ""
    say(f"\nLeft: about {duration(sum(known))}{more}.")


def _time(step: "Forecast") -> str:
    if step.seconds is None:
        return "?"
    return duration(step.seconds) if step.done else f"about {duration(step.seconds)}"
