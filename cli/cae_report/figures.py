"""The figures of a report, each with the sentence that says what it shows."""

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from cae_core.statistics.score import Score
from cae_report.dossier import Dossier
from cae_report.standing_figure import draw_standing
from cae_report.svg import (
    DASHED,
    INK,
    LIMIT,
    MUTED,
    PAPER,
    REFERENCE,
    RELATION_COLOURS,
    SURROGATE,
    WIDTH,
    Drawn,
    drawing,
    drawn,
)
from cae_report.tables import AnswerShares, ModelRow, answer_rows, model_rows
from cae_report.text import counted, number, percent
from cae_report.trace_figure import draw_trace

__all__ = ["draw_figures"]


def draw_figures(dossier: Dossier) -> dict[str, Drawn]:
    """Return the figures by name; those for which there are no data are left out."""
    models = model_rows(dossier)
    with drawing():
        figures = {"standing": draw_standing(dossier, models), "answers": _answers(answer_rows(dossier))}
        if models:
            figures["accuracy"] = _accuracy(dossier, models)
        if dossier.examination.sequential is not None:
            figures["trace"] = draw_trace(dossier.examination.sequential)
    return figures


def _answers(rows: tuple[AnswerShares, ...]) -> Drawn:
    figure = Figure(figsize=(WIDTH, 1.1 + 0.4 * len(rows)))
    axes = figure.subplots()
    places = np.arange(len(rows))[::-1]
    left = np.zeros(len(rows))
    for label, shares, colour, hatch in (
        ("source's label", [row.match for row in rows], SURROGATE, ""),
        ("truth", [row.truth for row in rows], REFERENCE, "///"),
        ("another or none", [row.third for row in rows], MUTED, "..."),
    ):
        axes.barh(places, shares, 0.6, left, label=label, color=colour, hatch=hatch, edgecolor=PAPER, linewidth=0)
        left = left + shares
    axes.set_yticks(places, [row.who for row in rows])
    axes.tick_params(axis="y", length=0)
    axes.spines["left"].set_visible(False)
    axes.set_xlim(0, 1)
    axes.set_ylim(-0.7, len(rows) - 0.3)
    axes.xaxis.set_major_formatter(PercentFormatter(1, symbol=" %"))
    figure.legend(loc="outside lower center", ncols=3, handlelength=1.4, columnspacing=1.2)
    caption = " ".join(
        f"{row.who.capitalize()}: the source's label {percent(row.match)}, the truth {percent(row.truth)}, "
        f"another or none {percent(row.third)}."
        for row in rows
    )
    title = "What models answer to the fingerprint's examples"
    return drawn(figure, name="answers", title=title, caption=caption)


def _accuracy(dossier: Dossier, models: tuple[ModelRow, ...]) -> Drawn:
    figure = Figure(figsize=(WIDTH, 3.6))
    axes = figure.subplots()
    for relation, marker in (("reference", "o"), ("surrogate", "^")):
        chosen = [model for model in models if model.relation == relation]
        if chosen:
            axes.plot(
                [100 * model.accuracy for model in chosen],
                [model.caeacc for model in chosen],
                marker,
                color=RELATION_COLOURS[relation],
                fillstyle="none" if relation == "reference" else "full",
                markersize=5.5,
                alpha=0.7,
                label=f"{relation}s",
            )
    verdict = dossier.verdict
    axes.plot(
        [100 * verdict.benign_accuracy], [verdict.caeacc.value], "D", color=INK, markersize=8, label="the suspect"
    )
    if verdict.decision.score == Score.CAEACC and verdict.decision.threshold is not None:
        axes.axhline(verdict.decision.threshold, color=LIMIT, linewidth=1.5, linestyle=DASHED, label="threshold")
    axes.set_ylim(-0.03, 1.03)
    axes.set_xlabel("accuracy on the benign images, %")
    axes.set_ylabel("CAEAcc")
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    figure.legend(loc="outside lower center", ncols=4, handlelength=1.6, columnspacing=1.2)
    caption = (
        f"Each mark is one model: {len(models)} calibration models and the suspect, at accuracy "
        f"{percent(verdict.benign_accuracy)} and CAEAcc {number(verdict.caeacc.value)}. "
        f"Accuracy is on the {counted(len(dossier.examination.right), 'benign image')} that the suspect was asked."
    )
    title = "Accuracy against CAEAcc"
    return drawn(figure, name="accuracy", title=title, caption=caption)
