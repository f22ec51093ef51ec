"""Progress bars on stderr, for people only."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from cae_core.progress import Progress, silent

__all__ = ["progress_bar", "resumable"]


@contextmanager
def resumable() -> Iterator[None]:
    """Answer Ctrl-C by saying that nothing is lost, and exit with 130."""
    try:
        yield
    except KeyboardInterrupt:
        typer.echo("cae: interrupted; the same command goes on where it was.", err=True)
        raise typer.Exit(130) from None


@contextmanager
def progress_bar(*, enabled: bool = True) -> Iterator[Progress]:
    """Show one bar a stage on stderr; nothing where stderr is no terminal."""
    if not (enabled and sys.stderr.isatty()):
        yield silent
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn
    from rich.progress import Progress as Bars

    columns = (
        TextColumn("{task.description:<18}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    tasks: dict[str, TaskID] = {}
    with Bars(*columns, console=Console(stderr=True)) as bars:

        def show(stage: str, done: int, total: int, /) -> None:
            if stage not in tasks:
                tasks[stage] = bars.add_task(stage, total=total)
            bars.update(tasks[stage], completed=done, total=total)

        yield show
