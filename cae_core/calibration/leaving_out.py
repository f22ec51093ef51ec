"""What a calibration would say of its own models: how often it accuses innocents of a make that it lacks, and copies.

Both follow from the answers that it holds; nothing is asked. Each model is taken out, placed among the others, and
judged by the calibration's own rule, everything asked at once.
"""

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from cae_core.arrays import Labels
from cae_core.calibration.groups import CalibrationModel, Group
from cae_core.calibration.standing import Seen
from cae_core.statistics.accuracies import unlike_all
from cae_core.statistics.score import Score
from cae_core.statistics.unit import Unit

if TYPE_CHECKING:
    from cae_core.calibration.calibrated import CalibratedFingerprint
    from cae_core.calibration.record import Calibration

__all__ = ["KindPower", "LeftOut", "left_out", "power_of", "seen_by"]

Attribute: TypeAlias = Literal["recipe", "architecture", "exposure"]

_MOST = 1 << 21
"""Pairs of a surrogate and another model at most: each verdict says its power, and is not to wait for it."""

_ATTRIBUTES: tuple[Attribute, ...] = ("recipe", "architecture", "exposure")


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """References of one make, judged by the others.

    Attributes:
        attribute: what the others lack.
        value: of it.
        models: how many references are of it.
        accused: how many of them would be accused, had there been none like them.
        rate: at this rate; above the calibration's where the others are too few for that.
    """

    attribute: Attribute
    value: str
    models: int
    accused: int
    rate: float


@dataclass(frozen=True, kw_only=True)
class KindPower:
    """Known copies of one kind, judged by the calibration.

    Attributes:
        kind: of theft, in words.
        models: how many such surrogates the calibration has.
        accused: how many of them it would accuse.
    """

    kind: str
    models: int
    accused: int


def left_out(subject: "CalibratedFingerprint") -> tuple[LeftOut, ...]:
    """Return, for each recipe, architecture and exposure among several, what leaving it out would do to its models.

    Empty where the references are no ranking's, or p is parametric.
    """
    calibration = subject.calibration
    if calibration is None or calibration.parametric or calibration.null.asks_controls:
        return ()
    return tuple(_each(subject, calibration))


def _each(subject: "CalibratedFingerprint", calibration: "Calibration") -> Iterator[LeftOut]:
    counted = calibration.counted
    for attribute in _ATTRIBUTES:
        places: list[int] = counted.tolist()
        values = [_value(calibration.references.models[row], attribute) for row in places]
        if len(set(values)) < 2:
            continue
        for value in dict.fromkeys(values):
            own = counted[np.array([found == value for found in values])]
            rest = _with(subject, calibration.with_references(np.setdiff1d(counted, own)))
            rate = max(calibration.fpr, _least_rate(rest))
            judged: list[int] = own.tolist()
            accused = sum(_accuses(rest, seen_by(subject, calibration.references, row), rate) for row in judged)
            yield LeftOut(attribute=attribute, value=value, models=len(own), accused=accused, rate=rate)


def power_of(subject: "CalibratedFingerprint") -> tuple[KindPower, ...]:
    """Return how many of its surrogates of each kind the calibration would accuse, the most frequent kind first.

    Empty where sources are ranked, p is parametric, or there are more than some thousand models.
    """
    calibration = subject.calibration
    if calibration is None or calibration.parametric or calibration.null.asks_controls:
        return ()
    if len(calibration.surrogates) * max(map(len, (calibration.surrogates, calibration.references))) > _MOST:
        return ()
    surrogates, accused = calibration.surrogates, dict.fromkeys(calibration.surrogates.kinds(), 0)
    everyone = np.arange(len(surrogates))
    for row, model in enumerate(surrogates.models):
        left: Labels = np.delete(everyone, row).astype(np.int64)
        others = _with(subject, dataclasses.replace(calibration, surrogates=surrogates.subset(left)))
        accused[model.kind or "unnamed"] += _accuses(others, seen_by(subject, surrogates, row), calibration.fpr)
    counts = surrogates.kinds().items()
    return tuple(KindPower(kind=kind, models=models, accused=accused[kind]) for kind, models in counts)


def seen_by(subject: "CalibratedFingerprint", group: Group, row: int) -> Seen:
    """Return what a calibration model showed, everything asked at once."""
    asked = np.flatnonzero(subject.chosen)
    matches = group.answers[row, asked] == subject.fingerprint.labels[asked]
    probed = np.arange(len(subject.fingerprint.probe_labels))
    return Seen(asked=asked, matches=matches, probed=probed, right=group.right[row])


def _value(model: CalibrationModel, attribute: Attribute) -> str:
    if attribute == "exposure":
        return model.exposure.counted.value
    words = model.in_common(Unit(attribute))
    return ", ".join(filter(None, words)) or "unnamed"


def _with(subject: "CalibratedFingerprint", calibration: "Calibration") -> "CalibratedFingerprint":
    """Return the subject as if it had been calibrated with other models."""
    return dataclasses.replace(subject, calibration=calibration)


def _least_rate(subject: "CalibratedFingerprint") -> float:
    """Return the least p that a suspect can have."""
    calibration = subject.calibrated
    groups, units = calibration.reference_groups().values(), calibration.unit.attributes
    draws = min(len(set(calibration.units(unit, rows).tolist())) for rows in groups for unit in units)
    return 1 / (draws + 1)


def _accuses(subject: "CalibratedFingerprint", seen: Seen, rate: float) -> bool:
    """Return whether a verdict would be *surrogate*: by rank, not unlike all copies, of an accuracy that is covered."""
    standing, calibration = subject.standing(seen), subject.calibrated
    if not standing.accuses(fpr=rate, fnr=calibration.fnr):
        return False
    return calibration.score == Score.ADJUSTED or not unlike_all(seen.right, calibration.right)
