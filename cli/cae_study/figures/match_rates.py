"""CAEAcc of each model, by step and role."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cae_study.figures.drawn import REFERENCE, SURROGATE, Material
from cae_study.step import Row

__all__ = ["draw"]


def draw(figure: Figure, material: Material) -> None:
    """Draw a row of points for each step and role."""
    axes = figure.subplots()
    places: list[str] = []
    for step, rows in material.rows.items():
        for role in dict.fromkeys(str(row["role"]) for row in rows):
            _points(axes, len(places), [row for row in rows if row["role"] == role])
            places.append(f"{step.split('.', 1)[1]}, {role}" if len(material.rows) > 1 else role)
    for name, value in material.report.items():
        axes.axvline(float(value), linestyle="--", linewidth=1, color="0.35")
        axes.annotate(
            name, (float(value), 1.0), xycoords=("data", "axes fraction"), fontsize=7, ha="center", va="bottom"
        )
    axes.set_yticks(range(len(places)), places)
    axes.invert_yaxis()
    axes.set_xlim(-0.02, 1.02)
    axes.set_xlabel("CAEAcc")


def _points(axes: Axes, place: int, rows: Sequence[Row]) -> None:
    for relation, colour, marker in (("surrogate", SURROGATE, "o"), ("reference", REFERENCE, "^")):
        values = [float(row["CAEAcc"]) for row in rows if row["relation"] == relation]
        lift = -0.15 if relation == "surrogate" else 0.15
        spread = np.linspace(-0.1, 0.1, len(values)) if len(values) > 1 else np.zeros(len(values))
        axes.plot(values, place + lift + spread, marker, color=colour, markersize=4, alpha=0.8)
