"""The figure of how the evidence grew in sequential mode."""

import math

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from cae_core.verification.sequential_evidence import SequentialEvidence
from cae_report.svg import DASHED, LIMIT, REFERENCE, SURROGATE, WIDTH, Drawn, drawn
from cae_report.text import counted, number

__all__ = ["draw_trace"]

_DECADES_BELOW = 4  # of E, shown at most


def draw_trace(sequential: SequentialEvidence) -> Drawn:
    """Draw both e-processes, on a logarithmic scale, with the limits at which they end the questions."""
    asked = [0, *(row[0] for row in sequential.trace)]
    sides = [("derived", 2, sequential.level_surrogate, SURROGATE, "-")]
    if sequential.k1 is not None:
        sides.append(("independent", 3, sequential.level_independent, REFERENCE, "--"))
    figure = Figure(figsize=(WIDTH, 3.3))
    axes = figure.subplots()
    logs = [np.array([0, *(float(row[column]) for row in sequential.trace)]) / math.log(10) for _, column, *_ in sides]
    finite = np.concatenate([log[np.isfinite(log)] for log in logs])
    top = max(float(finite.max()), *(-math.log10(level) for _, _, level, *_ in sides)) + 0.5
    bottom = max(float(finite.min()), -_DECADES_BELOW) - 0.3
    for (name, _, _, colour, line), log in zip(sides, logs, strict=True):
        axes.plot(asked, np.clip(log, bottom, top), line, color=colour, marker=".", markersize=3, label=f"for {name}")
    for level in {level: None for _, _, level, *_ in sides}:
        names = " and ".join(name for name, _, own, *_ in sides if own == level)
        limit = -math.log10(level)
        axes.axhline(limit, color=LIMIT, linewidth=1.2, linestyle=DASHED)
        axes.annotate(f"1/level = {1 / level:g}, {names}", (0, limit), (4, 3), textcoords="offset points", color=LIMIT)
    axes.set_xlim(0, asked[-1] * 1.02)
    axes.set_ylim(bottom, top)
    axes.yaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda log, _: f"{10**log:g}"))
    axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
    axes.set_xlabel("examples asked")
    axes.set_ylabel("evidence E, log scale")
    figure.legend(loc="outside lower center", ncols=2)
    caption = _trace_in_words(sequential)
    return drawn(figure, name="trace", title="How the evidence grew", caption=caption)


def _trace_in_words(sequential: SequentialEvidence) -> str:
    asked, _, surrogate, independent = sequential.trace[-1]
    ends = [f"that more than {sequential.k0} of all {sequential.examples} match is {_e_value(surrogate)}"]
    if sequential.k1 is not None:
        ends.append(f"that fewer than {sequential.k1} do is {_e_value(independent)}")
    stop = {"surrogate": "that for derived", "independent": "that for independent", None: "none"}[sequential.outcome]
    return (
        f"After {counted(asked, 'example')} the evidence {' and '.join(ends)}. A line that reaches its dashed limit "
        f"ends the questions: here {stop}."
    )


def _e_value(log: float) -> str:
    return "infinity" if log == math.inf else f"E = {number(math.exp(log))}"
