"""The share of seeds that the source labels otherwise, by iteration, a line for each search."""

from matplotlib.figure import Figure

from cae_study.figures.drawn import Material

__all__ = ["draw"]

_MARKERS = "os^Dv*P"


def draw(figure: Figure, material: Material) -> None:
    """Draw the lines; all begin at no change."""
    axes = figure.subplots()
    for number, (step, rows) in enumerate(material.rows.items()):
        axes.plot(
            [0, *(row["iteration"] for row in rows)],
            [0, *(row["changed"] / row["seeds"] for row in rows)],
            marker=_MARKERS[number % len(_MARKERS)],
            markersize=4,
            color=f"C{number}",
            label=step.split(".", 1)[1],
        )
    axes.set_xlabel("iterations of the search")
    axes.set_ylabel("seeds whose label has changed")
    axes.set_ylim(-0.02, 1.02)
    figure.legend(loc="outside right upper", fontsize=7)
