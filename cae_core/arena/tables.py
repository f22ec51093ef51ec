"""A comparison as a Markdown page and as a CSV table."""

import csv
import io
from collections.abc import Iterable, Sequence

from cae_core.arena.compare import Comparison, Entry
from cae_core.arena.outcome import ALL, Count, Outcome, Summary
from cae_core.foreign_text import visible

__all__ = ["COLUMNS", "as_csv", "as_markdown", "cells", "kind_rows"]

COLUMNS = (
    "method",
    "configuration",
    "queries#",
    "all queries#",
    "AUC#",
    "95 %",
    "detected#",
    "detected, least rate#",
    "false claims#",
    "false claims, least rate#",
    "needs",
    "seconds#",
    "MB#",
)
"""Of the table; ``#`` after the name of a column of numbers."""

_CSV = (
    "method",
    "configuration",
    "budget",
    "queries",
    "all_queries",
    "adjusted",
    "kind",
    "surrogates",
    "auc",
    "auc_low",
    "auc_high",
    "detected",
    "detected_least",
    "references_judged",
    "false_claims",
    "false_claims_least",
    "references",
    "rate",
    "least_rate",
    "answers",
    "gradients",
    "pools",
    "own_budget",
    "seconds",
    "peak_mb",
)


def cells(entry: Entry, outcome: Outcome) -> tuple[str, ...]:
    """Return a row of the table whose columns are `COLUMNS`."""
    whole = outcome.summaries[0]
    return (
        visible(outcome.method),
        visible(outcome.configuration) + (" (adjusted)" if outcome.adjusted else ""),
        str(outcome.queries) if outcome.queries == outcome.budget else f"{outcome.queries} ({outcome.budget})",
        str(outcome.all_queries),
        f"{whole.auc:.3f}",
        f"{whole.interval[0]:.3f} to {whole.interval[1]:.3f}",
        _count(whole.detected),
        _count(whole.detected_least),
        _count(outcome.false_claims),
        _count(outcome.false_claims_least),
        entry.needs.words,
        f"{entry.seconds:.0f}",
        "–" if entry.peak_mb is None else f"{entry.peak_mb:.0f}",
    )


def kind_rows(outcomes: Sequence[Outcome]) -> tuple[list[str], list[list[str]]]:
    """Return columns and rows of a table by kind of theft: models detected at the rate, or at the least, and the AUC.

    Args:
        outcomes: one a method.
    """
    kinds = [summary.kind for summary in outcomes[0].summaries if summary.kind != ALL] if outcomes else []
    rows = [[visible(o.method), *(_of_kind(summary) for summary in o.summaries[1:])] for o in outcomes]
    return ["method", *(visible(kind) for kind in kinds)], rows


def as_markdown(comparison: Comparison) -> str:
    """Return the page: what was compared, the table, the kinds of theft at the largest budget, and the choices."""
    entries, settings = _entries(comparison), comparison.settings
    largest = [o for o in comparison.outcomes if o.budget == settings.budgets[-1]]
    columns, kinds = kind_rows(largest)
    failed = [
        f"- {visible(e.method)}, {visible(e.configuration)}: {visible(e.failed, None)}"
        for e in comparison.entries
        if e.failed
    ]
    parts = [
        "# Comparison",
        "",
        *_head(comparison),
        "",
        *_table(COLUMNS, (cells(entries[o.method, o.configuration], o) for o in comparison.outcomes)),
        "",
        f"By kind of theft, with {settings.budgets[-1]} queries: models accused at {settings.rate:g}, and the AUC.",
        "",
        *_table(columns, kinds),
        *(["", "Without queries:", "", *failed] if failed else []),
        *_choices(comparison),
        "",
    ]
    return "\n".join(parts)


def as_csv(comparison: Comparison) -> str:
    """Return a row for each method, budget and kind of theft; the kind ``all`` comes first."""
    entries, text = _entries(comparison), io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_CSV)
    for outcome in comparison.outcomes:
        entry = entries[outcome.method, outcome.configuration]
        for summary in outcome.summaries:
            writer.writerow(_csv_row(entry, outcome, summary))
    return text.getvalue()


def _csv_row(entry: Entry, outcome: Outcome, summary: Summary) -> list[object]:
    needs, false, detected = entry.needs, outcome.false_claims, summary.detected
    return [
        visible(outcome.method),
        visible(outcome.configuration),
        outcome.budget,
        outcome.queries,
        outcome.all_queries,
        outcome.adjusted,
        visible(summary.kind),
        summary.detected_least.models,
        f"{summary.auc:.6f}",
        *(f"{limit:.6f}" for limit in summary.interval),
        "" if detected is None else detected.accused,
        summary.detected_least.accused,
        outcome.false_claims_least.models,
        "" if false is None else false.accused,
        outcome.false_claims_least.accused,
        outcome.references,
        outcome.rate,
        f"{outcome.least_rate:.6f}",
        needs.answers,
        needs.gradients,
        needs.pools,
        needs.own_budget,
        f"{entry.seconds:.3f}",
        "" if entry.peak_mb is None else f"{entry.peak_mb:.0f}",
    ]


def _head(comparison: Comparison) -> list[str]:
    settings, suspects = comparison.settings, comparison.suspects
    least = 1 / (comparison.references + 1)
    what = (
        f"Pool {visible(comparison.pool)}, data {visible(str(comparison.data['name']))}, seed {settings.seed}. "
        f"{suspects['surrogate']} surrogates and {suspects['reference']} references of the role {settings.role}, each "
        f"ranked among {comparison.references} references of the role calibrate."
    )
    if settings.defence:
        without = comparison.accuracy_without or comparison.accuracy
        what += (
            f" What if: every suspect is behind the simulated defence {visible(settings.defence)}. It takes the "
            f"surrogates' mean accuracy on {comparison.probes} benign images from {without['surrogate']:.3f} to "
            f"{comparison.accuracy['surrogate']:.3f}."
        )
    how = (
        f"Detected and false claims: models accused at a rate of {settings.rate:g}, and at the least that the "
        f"references support, {least:.4g}. AUC: surrogates against references of the role {settings.role}, with a 95 % "
        "interval over models. Queries: those that the score is made of; a number in brackets is the budget where a "
        "method found fewer, or has a budget of its own. All queries: with the benign images by which a score is "
        "adjusted."
    )
    return [what, "", how]


def _choices(comparison: Comparison) -> list[str]:
    if not comparison.choices:
        return []
    rows = [
        (
            visible(choice.method),
            visible(choice.configuration),
            f"{choice.surrogates} + {choice.references}",
            ", ".join(f"{visible(name)} {auc:.3f}" for name, auc in choice.auc.items()),
        )
        for choice in comparison.choices
    ]
    head = "Configurations, chosen by the mean AUC over the budgets on models of the roles generate and screen:"
    return ["", head, "", *_table(("method", "chosen", "surrogates + references", "mean AUC"), rows)]


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    names = [name.removesuffix("#") for name in columns]
    marks = ["---:" if name.endswith("#") else "---" for name in columns]
    lines = [names, marks, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return [f"| {' | '.join(line)} |" for line in lines]


def _entries(comparison: Comparison) -> dict[tuple[str, str], Entry]:
    return {(entry.method, entry.configuration): entry for entry in comparison.entries}


def _count(count: Count | None) -> str:
    return "–" if count is None else f"{count.accused}/{count.models}"


def _of_kind(summary: Summary) -> str:
    return f"{_count(summary.detected or summary.detected_least)}, {summary.auc:.2f}"
