"""Conferrability against eps, a line for each method."""

from matplotlib.figure import Figure

from cae_study.figures.drawn import Material

__all__ = ["draw"]

_MARKERS = "os^Dv*P"


def draw(figure: Figure, material: Material) -> None:
    """Draw a line for each method; dashed and hollow, the report's, ``{METHOD = [[eps, value], ...]}``."""
    axes = figure.subplots()
    rows = [row for own in material.rows.values() for row in own]
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    for number, method in enumerate(methods):
        own = sorted((row["eps"], row["conferrability"]) for row in rows if row["method"] == method)
        known = [(x, y) for x, y in own if y is not None]
        marker = _MARKERS[number % len(_MARKERS)]
        if known:
            axes.plot(*zip(*known, strict=True), marker=marker, color=f"C{number}", label=method)
        if method in material.report:
            x, y = zip(*material.report[method], strict=True)
            label = f"{method}, report"
            axes.plot(x, y, "--", marker=marker, color=f"C{number}", fillstyle="none", alpha=0.7, label=label)
    axes.set_xlabel("eps, largest change of a pixel on the scale 0 to 1")
    axes.set_ylabel("conferrability, held out")
    axes.set_ylim(bottom=0)
    figure.legend(loc="outside right upper", fontsize=7)
