"""The deciding score of each suspect, by group, and how many thieves and innocents a threshold of it accuses."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cae_study.figures.drawn import REFERENCE, SURROGATE, Material
from cae_study.step import Row

__all__ = ["draw"]


def draw(figure: Figure, material: Material) -> None:
    """Draw the scores of the last step beside the ROC curves of all."""
    strip, roc = figure.subplots(1, 2, width_ratios=[1.3, 1])
    _strip(strip, list(material.rows.values())[-1])
    for step, rows in material.rows.items():
        _curve(roc, step.split(".", 1)[1], rows)
    roc.set_xlabel("innocents accused")
    roc.set_ylabel("thieves accused")
    roc.set_ylim(-0.02, 1.02)
    figure.legend(loc="outside upper right", fontsize=7, ncols=len(material.rows))


def _strip(axes: Axes, rows: Sequence[Row]) -> None:
    groups = sorted({str(row["group"]) for row in rows}, key=lambda group: (group == "references", group))
    for place, group in enumerate(groups):
        values = [float(row["score"]) for row in rows if row["group"] == group]
        spread = np.linspace(-0.25, 0.25, len(values)) if len(values) > 1 else np.zeros(1)
        innocent = group == "references"
        colour, marker = (REFERENCE, "^") if innocent else (SURROGATE, "o")
        axes.plot(values, place + spread, marker, color=colour, markersize=3, alpha=0.8)
    axes.set_yticks(range(len(groups)), groups, fontsize=7)
    axes.invert_yaxis()
    axes.set_xlabel("score")


def _curve(axes: Axes, name: str, rows: Sequence[Row]) -> None:
    """Draw the share of thieves that are not known to be useless against that of innocents, threshold by threshold."""
    thieves = np.array([row["score"] for row in rows if row["relation"] == "surrogate" and row["working"] is not False])
    innocents = np.array([row["score"] for row in rows if row["relation"] == "reference"])
    edges = [np.inf, *sorted((*thieves, *innocents), reverse=True)]
    accused, innocent = ([float(np.mean(side >= edge)) for edge in edges] for side in (thieves, innocents))
    axes.step(innocent, accused, where="post", label=name)
