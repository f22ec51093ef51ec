"""Accuracy against CAEAcc, a point for each model."""

from matplotlib.figure import Figure

from cae_study.figures.drawn import REFERENCE, SURROGATE, Material

__all__ = ["draw"]


def draw(figure: Figure, material: Material) -> None:
    """Draw the points, and the report's where they are given: ``{surrogates = [[x, y], ...], references = ...}``."""
    axes = figure.subplots()
    rows = [row for own in material.rows.values() for row in own if row["accuracy"] is not None]
    for relation, colour, marker in (("surrogate", SURROGATE, "o"), ("reference", REFERENCE, "^")):
        own = [row for row in rows if row["relation"] == relation]
        axes.plot(
            [row["accuracy"] for row in own],
            [row["CAEAcc"] for row in own],
            marker,
            color=colour,
            markersize=5,
            alpha=0.8,
            label=f"{relation}s",
        )
        theirs = material.report.get(f"{relation}s", [])
        if theirs:
            x, y = zip(*theirs, strict=True)
            axes.plot(x, y, "--", marker=marker, color=colour, fillstyle="none", label=f"{relation}s, report")
    axes.set_xlabel("accuracy on benign probes")
    axes.set_ylabel("CAEAcc")
    axes.set_ylim(-0.02, 1.02)
    axes.legend(fontsize=8)
