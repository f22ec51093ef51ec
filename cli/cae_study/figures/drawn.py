"""What all figures have in common: what they are made of, and how they look on light and dark pages."""

from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from cae_study.step import Row

__all__ = ["REFERENCE", "SURROGATE", "Material", "drawn_png"]

SURROGATE, REFERENCE = "#b3261e", "#1f5fa8"
"""Colours of the two relations; told apart without colours by their markers."""

_WIDTH, _HEIGHT, _DPI = 5.0, 3.2, 216
"""Inches, so few that their text can be read on a phone, which shows a page in about as many; and pixels an inch."""


@dataclass(frozen=True, kw_only=True)
class Material:
    """What a figure shows.

    Attributes:
        rows: by the name of the step that they are of, at least one.
        report: values that others published.
        classes: names of the classes of the images.
    """

    rows: Mapping[str, Sequence[Row]]
    report: Mapping[str, Any]
    classes: Sequence[str] = ()


def drawn_png(draw: Any, material: Material) -> bytes:  # noqa: ANN401 - a function of figure and material
    """Return a PNG with a white background, readable on dark pages as well; the same material gives the same bytes."""
    with _style():
        figure = Figure(figsize=(_WIDTH, _HEIGHT), layout="constrained", facecolor="white")
        draw(figure, material)
        content = BytesIO()
        figure.savefig(content, format="png", dpi=_DPI, metadata={"Software": None})
    return content.getvalue()


@contextmanager
def _style() -> Generator[None]:
    with rc_context(
        {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.3}
    ):
        yield
