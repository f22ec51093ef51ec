"""The figure of where a suspect lies among the calibration models."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from cae_core.arrays import Floats64, Labels
from cae_core.statistics.score import Score
from cae_report.dossier import Dossier
from cae_report.svg import DASHED, INK, LIMIT, PAPER, RELATION_COLOURS, WIDTH, Drawn, drawn
from cae_report.tables import ModelRow
from cae_report.text import counted, number

__all__ = ["draw_standing", "edges_of", "show_bars", "show_threshold", "title_side"]

_MOST_BARS = 128  # one a possible count of matches, so that none reaches over the threshold
_BARS = 50  # of a score that is no count


def draw_standing(dossier: Dossier, models: tuple[ModelRow, ...]) -> Drawn:
    """Draw the calibration models' scores as bars, a panel a relation, the suspect below, and the threshold."""
    decision, scores = dossier.verdict.decision, _scores(models)
    figure = Figure(figsize=(WIDTH, 1.1 + 1.15 * len(scores)))
    heights = [*(2 for _ in scores), 0.7]
    panels = figure.subplots(len(heights), 1, sharex=True, squeeze=False, height_ratios=heights)[:, 0]
    edges = _edges(dossier, [score for found in scores.values() for score in found])
    for axes, (relation, found) in zip(panels, scores.items(), strict=False):
        show_bars(axes, np.histogram(found, edges)[0], edges, RELATION_COLOURS[relation])
    _suspect(panels[-1], dossier)
    panels[-1].set_xlabel(", ".join(filter(None, (decision.score.words, decision.score.unit))))
    panels[-1].set_xlim(edges[0], edges[-1])
    side = "left" if decision.threshold is None else title_side(decision.threshold, edges)
    names = [*(counted(len(found), relation) for relation, found in scores.items()), "the suspect"]
    for axes, name in zip(panels, names, strict=True):
        axes.set_title(name, loc=side)
        axes.axvline(decision.value, color=INK, linewidth=1)
    if decision.threshold is not None:
        show_threshold(panels.tolist(), decision.threshold, edges)
    caption = _standing_in_words(dossier, scores)
    title = "Where the suspect lies among the calibration models"
    return drawn(figure, name="standing", title=title, caption=caption)


def show_bars(axes: Axes, counts: Labels, edges: Floats64, colour: str) -> None:
    """Draw how many models lie between each two edges."""
    axes.bar(edges[:-1], counts, np.diff(edges), align="edge", color=colour)
    axes.set_ylabel("models")
    axes.yaxis.set_major_locator(MaxNLocator(3, integer=True))


def title_side(threshold: float, edges: Floats64) -> Literal["left", "right"]:
    """Return at which side the titles of the panels stand: the other one is the threshold's."""
    return "right" if threshold < (edges[0] + edges[-1]) / 2 else "left"


def show_threshold(panels: Sequence[Axes], threshold: float, edges: Floats64) -> None:
    """Draw the threshold through all panels, with its name above the first."""
    for axes in panels:
        axes.axvline(threshold, color=LIMIT, linewidth=1.5, linestyle=DASHED)
    side = "left" if title_side(threshold, edges) == "right" else "right"
    panels[0].annotate(
        "threshold",
        (threshold, 1),
        (0, 4),
        ha=side,
        xycoords=("data", "axes fraction"),
        textcoords="offset points",
        color=LIMIT,
    )


def _edges(dossier: Dossier, scores: list[float]) -> Floats64:
    decision = dossier.verdict.decision
    examples = len(dossier.examination.compared) if decision.score == Score.CAEACC else None
    return edges_of(
        [*scores, decision.value, *([] if decision.threshold is None else [decision.threshold])], examples=examples
    )


def edges_of(values: Sequence[float], *, examples: int | None) -> Floats64:
    """Return the edges of the bars: around the possible fractions of matches, or evenly over the values.

    Args:
        values: everything that is drawn; at least one.
        examples: how many examples the fractions are of; None: the values are no fractions of matches.
    """
    if examples is not None:
        step = math.ceil((examples + 1) / _MOST_BARS)
        return np.append(np.arange(0, examples + 1, step), examples + 1) / examples - 0.5 / examples
    margin = 0.05 * (max(values) - min(values)) or 1.0
    return np.linspace(min(values) - margin, max(values) + margin, _BARS)


def _suspect(axes: Axes, dossier: Dossier) -> None:
    decision, caeacc = dossier.verdict.decision, dossier.examination.caeacc
    if decision.score == Score.CAEACC:
        axes.plot([caeacc.low, caeacc.high], [0, 0], color=INK, linewidth=2.5, solid_capstyle="butt")
    axes.plot([decision.value], [0], marker="D", markersize=8, color=INK, markeredgecolor=PAPER, clip_on=False)
    axes.set_yticks([])
    axes.set_ylim(-1, 1)
    axes.spines["left"].set_visible(False)


def _standing_in_words(dossier: Dossier, scores: dict[str, list[float]]) -> str:
    decision, caeacc = dossier.verdict.decision, dossier.examination.caeacc
    interval = f", with its 95 % interval, {number(caeacc.low)} to {number(caeacc.high)}"
    parts = [f"Diamond: the suspect at {number(decision.value)}{interval if decision.score == Score.CAEACC else ''}."]
    if decision.threshold is not None:
        parts.append(f"Dashed line: the threshold, {number(decision.threshold)}.")
    for relation, found in scores.items():
        span = f"from {number(min(found))} to {number(max(found))}" if len(found) > 1 else f"at {number(found[0])}"
        parts.append(f"{counted(len(found), relation)} {span}.")
    if scores and dossier.examination.stopped is not None:
        n = len(dossier.examination.compared)
        parts.append(f"The suspect was asked {counted(caeacc.asked, 'example')}, the calibration models {n}.")
    return " ".join(parts)


def _scores(models: tuple[ModelRow, ...]) -> dict[str, list[float]]:
    """Return the scores by relation, references first; a relation without models is left out."""
    found: dict[str, list[float]] = {}
    for model in models:
        found.setdefault(model.relation, []).append(model.score)
    return found
