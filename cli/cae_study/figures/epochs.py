"""Accuracy by epoch, a line for each model, a panel for each step."""

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from cae_study.figures.drawn import REFERENCE, SURROGATE, Material
from cae_study.step import Row

__all__ = ["draw"]

_LOOKS = {"reference": (REFERENCE, "--"), "surrogate": (SURROGATE, "-"), "source": ("black", "-")}
"""Colour and line of each relation; what comes last is drawn on top."""


def draw(figure: Figure, material: Material) -> None:
    """Draw the panels beside each other; dotted in all, the values of others, ``{NAME = [[x, y], ...]}``."""
    panels = figure.subplots(1, len(material.rows), sharey=True, squeeze=False)[0]
    for axes, (step, rows) in zip(panels, material.rows.items(), strict=True):
        _lines(axes, rows)
        for name, points in material.report.items():
            axes.plot(*zip(*points, strict=True), ":", color="0.35", label=name)
        axes.set_title(step.split(".", 1)[1], fontsize=9)
        axes.set_xlabel("epoch")
        axes.xaxis.get_major_locator().set_params(integer=True)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=7)
    panels[0].set_ylabel("validation accuracy")
    panels[0].set_ylim(0, 1.02)


def _lines(axes: Axes, rows: Sequence[Row]) -> None:
    if not rows:
        axes.text(0.5, 0.5, "no images held out", transform=axes.transAxes, ha="center", color="0.35")
    for relation, (colour, line) in _LOOKS.items():
        models = dict.fromkeys(str(row["model"]) for row in rows if row["relation"] == relation)
        for number, model in enumerate(models):
            own = sorted(
                (int(row["epoch"]), float(row["validation accuracy"])) for row in rows if row["model"] == model
            )
            axes.plot(
                *zip(*own, strict=True),
                line,
                color=colour,
                linewidth=2 if relation == "source" else 1,
                marker="o" if len(own) < 12 else "",
                markersize=3,
                alpha=0.8,
                label=None if number else relation,
            )
