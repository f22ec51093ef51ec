"""What a study leaves for people: CSV a table, PNG a figure, and one Markdown page with all of it."""

import csv
import io
import platform
import sys
from collections.abc import Iterator, Sequence
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed
from pathlib import Path
from typing import Any

from cae_core import version
from cae_core.errors import StudyError
from cae_core.files.storage import write_atomically
from cae_core.foreign_text import visible
from cae_study.figures.table import FIGURES
from cae_study.run import Finished
from cae_study.step import Row
from cae_study.study_file import Shown

__all__ = ["write_results"]

_PACKAGES = ("numpy", "onnxruntime-gpu", "onnxruntime", "torch", "tensorflow", "keras")


def write_results(done: Finished, output: Path, *, command: str) -> Path:
    """Write tables, figures and the page; what the study says last stands where it stood before.

    Args:
        done: the study with its results.
        output: its folder.
        command: by which it was done, for the page.

    Returns:
        the page, ``results.md``.

    Raises:
        StudyError: a step has no such rows.
        StorageError: something cannot be written.
    """
    lines = [*_head(done, command)]
    for number, table in enumerate(done.study.tables, start=1):
        lines += _table(table, done, output, f"table-{number}.csv")
    for number, figure in enumerate(done.study.figures, start=1):
        lines += _figure(figure, done, output, f"figure-{number}.png")
    lines += _steps(done)
    page = output / "results.md"
    write_atomically(page, ("\n".join(lines) + "\n").encode())
    return page


def _head(done: Finished, command: str) -> Iterator[str]:
    study = done.study
    yield f"# {visible(study.title)}\n"
    if study.note:
        yield f"{_prose(study.note)}\n"
    yield f"```sh\n{visible(command)}\n```\n"
    if study.quick:
        yield f"**This is the reduced form**: {_prose(study.quick)}. Its figures are not those of the whole study.\n"
    if done.uninformative:
        names = ", ".join(map(visible, done.uninformative))
        yield f"**Not informative**: the source behind {names} is less accurate than {study.floor:.0%}.\n"
    yield (
        f"Images: {visible(done.data)} (SHA-256 {done.images[:12]}…). Seed: {study.seed}. Verifications use the nonce "
        f"of 16 zero bytes and no ledger. {_machine()}\n"
    )


def _prose(text: str) -> str:
    """Return a text of the study's file as one line."""
    return visible(" ".join(text.split()), None)


def _machine() -> str:
    found: list[str] = []
    for package in _PACKAGES:
        try:
            found.append(f"{package} {installed(package)}")
        except PackageNotFoundError:
            continue
    return (
        f"cae {version.__version__}, Python {sys.version.split()[0]}, {', '.join(found)}; {platform.system()} on "
        f"{platform.machine()}."
    )


def _rows(shown: Shown, done: Finished) -> dict[str, Sequence[Row]]:
    found: dict[str, Sequence[Row]] = {}
    for name in shown.of:
        result = done.steps[name].result
        if shown.rows not in result:
            raise StudyError(f"{name} has no rows {shown.rows!r}; it has {', '.join(result)}.")
        found[name] = result[shown.rows]
    return found


def _table(shown: Shown, done: Finished, output: Path, name: str) -> Iterator[str]:
    rows = [row for own in _rows(shown, done).values() for row in own]
    columns = _columns(shown, list(dict.fromkeys(column for row in rows for column in row)))
    write_atomically(output / name, _csv(columns, rows))
    yield f"## {visible(shown.title)}\n"
    yield f"| {' | '.join(map(_cell, columns))} |"
    yield f"|{' --- |' * len(columns)}"
    for row in rows:
        yield f"| {' | '.join(_cell(row.get(column)) for column in columns)} |"
    yield f"\n{_prose(shown.note)} Rows: [{name}]({name}).\n".replace("\n ", "\n")


def _columns(shown: Shown, known: Sequence[str]) -> list[str]:
    """Return the columns of a table; one that ends in a star stands for all that begin so, be there any or none."""
    columns = list[str]()
    for wanted in shown.columns or known:
        if known and wanted not in known and not wanted.endswith("*"):
            raise StudyError(f"The table {shown.title!r} has no column {wanted!r}; there are {', '.join(known)}.")
        found = [column for column in known if column.startswith(wanted[:-1])] if wanted.endswith("*") else [wanted]
        columns += found
    return columns


def _csv(columns: Sequence[str], rows: Sequence[Row]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(columns)
    writer.writerows([["" if row.get(column) is None else row[column] for column in columns] for row in rows])
    return text.getvalue().encode()


def _cell(value: Any) -> str:  # noqa: ANN401 - of a table
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.3f}"
    return visible(str(value)).replace("|", "\\|")


def _figure(shown: Shown, done: Finished, output: Path, name: str) -> Iterator[str]:
    from cae_study.figures.drawn import Material, drawn_png

    rows = _rows(shown, done)
    kind = FIGURES[shown.kind]
    write_atomically(
        output / name, drawn_png(kind.draw, Material(rows=rows, report=shown.report, classes=done.classes))
    )
    count = sum(map(len, rows.values()))
    report = " Dashed: the values that the report prints." if shown.report else ""
    note = f" {_prose(shown.note)}" if shown.note else ""
    yield f"## {visible(shown.title)}\n"
    yield f"![{visible(shown.title)}]({name})\n"
    yield f"{kind.shows}{report} n = {count}, seed {done.study.seed}.{note}\n"


def _steps(done: Finished) -> Iterator[str]:
    yield "## Steps\n"
    yield "| step | seconds |"
    yield "| --- | --- |"
    for name, step in done.steps.items():
        yield f"| {visible(name)} | {step.seconds:.0f} |"
