"""The figure of where the suspects of a scan lie among the calibration models."""

import numpy as np
from matplotlib.figure import Figure

from cae_core.statistics.score import Score
from cae_report.scan import Scan
from cae_report.scan_scores import ScanScores, scan_scores
from cae_report.standing_figure import edges_of, show_bars, show_threshold, title_side
from cae_report.svg import INK, RELATION_COLOURS, WIDTH, Drawn, drawing, drawn
from cae_report.text import counted, number

__all__ = ["draw_scan"]


def draw_scan(scan: Scan) -> Drawn:
    """Draw the scores of references, surrogates and suspects as bars, a panel each, and the threshold."""
    scores = scan_scores(scan)
    groups = [
        (counted(len(found), f"calibration {name}"), found, RELATION_COLOURS[name])
        for name, found in (("reference", scores.references), ("surrogate", scores.surrogates))
        if found
    ]
    groups.append((counted(len(scores.suspects), "suspect"), scores.suspects, INK))
    every = [score for _, found, _ in groups for score in found]
    examples = int(scan.subject.chosen.sum()) if scores.score == Score.CAEACC else None
    edges = edges_of([*every, *([] if scores.threshold is None else [scores.threshold])] or [0.0], examples=examples)
    with drawing():
        figure = Figure(figsize=(WIDTH, 0.9 + 1.15 * len(groups)))
        panels = figure.subplots(len(groups), 1, sharex=True, squeeze=False)[:, 0]
        for axes, (name, found, colour) in zip(panels, groups, strict=True):
            show_bars(axes, np.histogram(found, edges)[0], edges, colour)
            axes.set_title(name, loc="left" if scores.threshold is None else title_side(scores.threshold, edges))
        panels[-1].set_xlabel(", ".join(filter(None, (scores.score.words, scores.score.unit))))
        panels[-1].set_xlim(edges[0], edges[-1])
        if scores.threshold is not None:
            show_threshold(panels.tolist(), scores.threshold, edges)
        title = "Where the suspects lie among the calibration models"
        return drawn(figure, name="scan", title=title, caption=_in_words(scores))


def _in_words(scores: ScanScores) -> str:
    parts = [] if scores.threshold is None else [f"Dashed line: the threshold, {number(scores.threshold)}."]
    groups: list[tuple[str, tuple[float, ...]]] = [
        ("calibration reference", scores.references),
        ("calibration surrogate", scores.surrogates),
        ("suspect", scores.suspects),
    ]
    for name, found in groups:
        if found:
            low, high = number(min(found)), number(max(found))
            span = f"at {low}" if len(found) == 1 else f"from {low} to {high}"
            parts.append(f"{counted(len(found), name)} {span}.")
    if scores.note:
        parts.append(scores.note)
    return " ".join(parts)
