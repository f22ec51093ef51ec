"""The recorded demonstration as a table and as drawings."""

from collections.abc import Iterator
from typing import Any

from cae_site.demo_record import load_record
from cae_site.svg import circle, drawing, line, rectangle, words
from cae_site.tables import table

__all__ = ["demo_examples", "demo_standing", "demo_table", "suspect_cells"]

_LEFT, _WIDTH = 132.0, 330.0
_PIXEL = 11.0
_BESIDE = 3


def suspect_cells(suspect: dict[str, Any]) -> tuple[str, ...]:
    """Return a suspect's cells as `cae demo` prints them."""
    standing = suspect["standing"]
    return (
        suspect["relation"],
        suspect["kind"],
        f"{suspect['accuracy']:.3f}",
        f"{suspect['caeacc']:.2f}",
        f"{suspect['p_value']:.2f}",
        f"{standing['as_high']}, {standing['as_low']}",
        suspect["verdict"],
    )


def demo_table() -> str:
    """Return the table of the held-out suspects."""
    headings = ["what it is", "kind", "accuracy", "CAEAcc", "p", "high, low", "verdict"]
    return table(headings, map(suspect_cells, load_record()["suspects"]))


def demo_standing() -> str:
    """Return the figure of all scores: calibration models above, held-out suspects below."""
    record = load_record()
    suspects = {
        relation: [each["caeacc"] for each in record["suspects"] if each["relation"] == relation]
        for relation in ("reference", "surrogate")
    }
    rows = (
        ("19 references", "reference", record["calibration"]["references"]),
        ("9 surrogates", "surrogate", record["calibration"]["surrogates"]),
        ("suspects: others", "reference", suspects["reference"]),
        ("suspects: copies", "surrogate", suspects["surrogate"]),
    )
    parts = [*_axis(len(rows)), *(part for place, row in enumerate(rows) for part in _row(place, *row))]
    return drawing(
        "demo-standing",
        parts,
        width=_LEFT + _WIDTH + 30,
        height=60 + 56 * len(rows),
        title="CAEAcc of the calibration models and of the held-out suspects",
        caption="Each dot is a model; dots of one score are stacked. The upper two rows are the models that calibrate. "
        "A suspect is accused where it scores above all 19 references.",
    )


def _axis(rows: int) -> Iterator[str]:
    bottom = 20 + 56 * rows
    for tenth in range(0, 11, 2):
        x = _LEFT + _WIDTH * tenth / 10
        yield line(x, 10, x, bottom, "muted", stroke_opacity=0.35)
        yield words(x, bottom + 18, f"{tenth / 10:.1f}", anchor="middle", size=14)
    yield words(_LEFT + _WIDTH / 2, bottom + 36, "CAEAcc", anchor="middle")


def _row(place: int, name: str, colour: str, scores: list[float]) -> Iterator[str]:
    floor = 56.0 * (place + 1)
    yield words(_LEFT - 14, floor, name, anchor="end", colour=colour)
    stacked: dict[int, int] = {}
    for score in sorted(scores):
        column = round(score * 50)
        height = stacked[column] = stacked.get(column, -1) + 1
        yield circle(_LEFT + _WIDTH * column / 50, floor - 9 * height, 4.5, colour)


def demo_examples() -> str:
    """Return the figure of some examples: the image above, the example below, three beside one another."""
    examples = load_record()["examples"]
    parts = [part for place, each in enumerate(examples) for part in _pair(place, each)]
    return drawing(
        "demo-examples",
        parts,
        width=80 + 120 * _BESIDE,
        height=268 * -(-len(examples) // _BESIDE),
        title="Handwritten digits, and the examples that were made of them",
        caption="Above the digit as it was written, below the example: no pixel differs by more than 48 of 255. "
        "The source and its copies read the lower number, independent models the upper one.",
    )


def _pair(place: int, example: dict[str, Any]) -> Iterator[str]:
    x, y = 84 + 120.0 * (place % _BESIDE), 268.0 * (place // _BESIDE)
    yield from _pixels(x, y + 6, example["seed"])
    yield words(x + 44, y + 112, f"truth: {example['truth']}", anchor="middle", colour="reference")
    yield from _pixels(x, y + 128, example["example"])
    yield words(x + 44, y + 234, f"copies: {example['label']}", anchor="middle", colour="surrogate")
    if place % _BESIDE == 0:
        yield words(74, y + 56, "image", anchor="end")
        yield words(74, y + 178, "example", anchor="end")


def _pixels(left: float, top: float, rows: list[list[int]]) -> Iterator[str]:
    for y, row in enumerate(rows):
        for x, value in enumerate(row):
            grey = f"fill: rgb({value}, {value}, {value})"
            yield rectangle(left + _PIXEL * x, top + _PIXEL * y, _PIXEL + 0.3, _PIXEL + 0.3, grey)
