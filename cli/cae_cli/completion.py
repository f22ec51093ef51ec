"""The values that a shell completes for an option; each list is made only when a shell asks for it."""

from collections.abc import Callable, Iterable

__all__ = ["completing", "defences", "exposures", "nulls", "objectives", "presets", "scores", "units"]


def completing(*values: str) -> Callable[[str], list[str]]:
    """Return what Typer takes as ``autocompletion`` for these values."""

    def complete(incomplete: str) -> list[str]:
        return _begun(incomplete, values)

    return complete


def scores(incomplete: str) -> list[str]:
    """Return the scores that decide a verdict."""
    from cae_core.statistics.score import Score

    return _begun(incomplete, Score)


def nulls(incomplete: str) -> list[str]:
    """Return the null hypotheses of a calibration."""
    from cae_core.calibration.null_hypothesis import NullHypothesis

    return _begun(incomplete, NullHypothesis)


def exposures(incomplete: str) -> list[str]:
    """Return the rules by which references count."""
    from cae_core.statistics.exposure import ExposureRule

    return _begun(incomplete, ExposureRule)


def units(incomplete: str) -> list[str]:
    """Return what may count as one draw."""
    from cae_core.statistics.unit import Unit

    return _begun(incomplete, Unit)


def presets(incomplete: str) -> list[str]:
    """Return the presets of `cae generate`."""
    from cae_core.generation.settings import PRESETS

    return _begun(incomplete, PRESETS)


def objectives(incomplete: str) -> list[str]:
    """Return the losses of the search."""
    from cae_core.method.objectives.table import OBJECTIVES

    return _begun(incomplete, OBJECTIVES)


def defences(incomplete: str) -> list[str]:
    """Return an example of each defence, after those that are joined by ``+`` already."""
    from cae_core.defences.table import DEFENCES

    before, plus, last = incomplete.rpartition("+")
    return [f"{before}{plus}{example}" for example in _begun(last, (each.example for each in DEFENCES.values()))]


def _begun(incomplete: str, values: Iterable[str]) -> list[str]:
    return [str(value) for value in values if value and value.startswith(incomplete)]
