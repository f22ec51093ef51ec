"""Match rates with what benign accuracy explains taken out, so that models of unlike accuracy can be ranked together.

A model that errs often repeats a source's errors more often, whoever made it, or less often, depending on the data.
So the rates are regressed on benign accuracy, over the suspect and the references together, and the models
are ranked by their studentised deleted residuals. Every model is treated alike, hence the rank of a suspect that is one
more draw from where the references came from is uniform, whatever the regression is worth (full conformal prediction;
Vovk, Gammerman & Shafer 2005, section 2.2; studentised deleted residuals: Cook & Weisberg 1982, section 2.2). It is
exact over suspects, not at a given accuracy: beyond the accuracies of the references a line is a guess.
"""

from dataclasses import dataclass
from typing import Self

import numpy as np

from cae_core.arrays import Floats64
from cae_core.errors import OptionError

__all__ = [
    "DEFAULT_DEGREE",
    "DEGREES",
    "REFERENCES_TO_ADJUST",
    "Fit",
    "adjusted_scores",
    "check_degree",
    "default_degree",
    "outside_hull",
    "predicted_scores",
    "stabilised",
    "studentised_deleted",
]

DEGREES = (0, 1, 2)
"""Degrees of the polynomial in benign accuracy that may be asked for; 0 takes the mean out and nothing else."""

DEFAULT_DEGREE = 2
"""A parabola, of calibrations that name none: very weak models repeat errors of the source for reasons of their own."""

_DIGITS = 9
"""Decimals of a residual: models with equal answers must tie, whatever the order of the sums behind them."""

_LEVERAGE_ONE = 1e-9
"""A leverage above one less this is one: the polynomial passes through the point whatever its score is."""

_LARGEST = 1e6
"""Of a residual, where the other points lie on the polynomial: finite, so that sums over kinds have a value."""

REFERENCES_TO_ADJUST = 40
"""From so many on a calibration adjusts by default, by a parabola; of fewer, accuracy tells how they were made."""


def default_degree(references: int) -> int:
    """Return the degree that so many references bear: 2 from 40 on, else 1.

    Very weak models repeat errors of the source for reasons of their own, which a line misses. But of few references of
    like accuracy a parabola learns the noise of the probes, and a suspect at the edge of their
    accuracies gets a residual as wide as that (docs/results/thieves.md).
    """
    return 2 if references >= REFERENCES_TO_ADJUST else 1


def check_degree(degree: int) -> None:
    """Refuse a degree that is none of `DEGREES`.

    Raises:
        OptionError: it is none.
    """
    if degree not in DEGREES:
        raise OptionError(f"degree must be one of {', '.join(map(str, DEGREES))}; found {degree}.")


def stabilised(rates: Floats64) -> Floats64:
    """Return arcsin √rate, whose variance hardly depends on the rate; ``rates`` lie in [0, 1]."""
    return np.asarray(np.arcsin(np.sqrt(np.clip(rates, 0, 1))), np.float64)


def studentised_deleted(scores: Floats64, accuracy: Floats64, degree: int) -> Floats64:
    """Return each model's residual in units of the deviation that the *other* models' fit has there.

    With leverages h, residuals e and rank p of the design, tᵢ = eᵢ / √(s₍ᵢ₎² (1 − hᵢ)), where
    s₍ᵢ₎² = (Σe² − eᵢ²/(1 − hᵢ)) / (n − p − 1). A model of leverage 1 has 0; all have 0 where there are too few models.

    Args:
        scores: float64 (n,), of all models, in any order.
        accuracy: float64 (n,), benign accuracies, 0 to 1.
        degree: one of `DEGREES`.

    Raises:
        OptionError: another degree.
    """
    basis = _orthonormal(accuracy, degree)
    free = len(scores) - basis.shape[1] - 1
    if free < 1:
        return np.zeros(len(scores))
    leverage = (basis**2).sum(axis=1)
    residuals = scores - basis @ (basis.T @ scores)
    inner = leverage < 1 - _LEVERAGE_ONE
    room = np.where(inner, 1 - leverage, 1.0)
    variance = np.maximum((residuals**2).sum() - residuals**2 / room, 0) / free
    return _ratio(np.where(inner, residuals, 0.0), np.sqrt(variance * room))


def adjusted_scores(rates: Floats64, accuracy: Floats64, degree: int) -> Floats64:
    """Return the sum over the k kinds of examples of the studentised deleted residuals of arcsin √rate, (n,).

    Args:
        rates: float64 (k, n), match rates of each model on the examples of each kind, 0 to 1.
        accuracy: float64 (n,), benign accuracies on the same probes.
        degree: of the polynomial.

    Example:
        >>> rates = np.array([[0.3, 0.2, 0.1, 0.2, 0.9]])
        >>> int(adjusted_scores(rates, np.array([0.7, 0.8, 0.9, 0.8, 0.9]), 1).argmax())
        4

    Raises:
        OptionError: see `studentised_deleted`.
    """
    return np.asarray(sum(studentised_deleted(row, accuracy, degree) for row in stabilised(rates)), np.float64)


@dataclass(frozen=True, kw_only=True)
class Fit:
    """A polynomial in benign accuracy, fitted to the references alone.

    Attributes:
        accuracy: float64 (r,), of the references.
        scores: float64 (r,), theirs.
        degree: of the polynomial.
    """

    accuracy: Floats64
    scores: Floats64
    degree: int

    @classmethod
    def of(cls, scores: Floats64, accuracy: Floats64, degree: int) -> Self:
        """Fit ``scores`` (r,) to ``accuracy`` (r,)."""
        return cls(accuracy=accuracy, scores=scores, degree=degree)

    def standardised(self, scores: Floats64, accuracy: Floats64) -> Floats64:
        """Return how far other models (s,) lie from their prediction, in its standard errors; 0 if r is too small."""
        design, rank = _design(self.accuracy, self.accuracy, self.degree)
        free = len(self.scores) - rank
        if free < 1:
            return np.zeros(len(scores))
        inverse = np.linalg.pinv(design, rcond=_RANK)
        there, _ = _design(accuracy, self.accuracy, self.degree)
        weights = inverse @ self.scores
        variance = ((self.scores - design @ weights) ** 2).sum() / free
        leverage = ((there @ inverse) ** 2).sum(axis=1)
        return _ratio(scores - there @ weights, np.sqrt(variance * (1 + leverage)))


def predicted_scores(
    references: Floats64, accuracy: Floats64, *, rates: Floats64, accuracies: Floats64, degree: int
) -> Floats64:
    """Return the sum over kinds of how far models (s,) lie from what the references alone predict for their accuracy.

    Args:
        references: float64 (k, r), match rates of the references by kind.
        accuracy: float64 (r,), theirs.
        rates: float64 (k, s), of the models.
        accuracies: float64 (s,), theirs.
        degree: of the polynomial.
    """
    fits = (Fit.of(row, accuracy, degree) for row in stabilised(references))
    rows = zip(fits, stabilised(rates), strict=True)
    return np.asarray(sum(fit.standardised(row, accuracies) for fit, row in rows), np.float64)


def outside_hull(accuracy: float, references: Floats64) -> bool:
    """Return whether an accuracy is below or above those of all references (r,), so that a fit extrapolates there."""
    return not len(references) or not references.min() <= accuracy <= references.max()


_RANK = 1e-8
"""Singular values below this share of the largest are none: fewer distinct accuracies than the degree takes."""


def _design(accuracy: Floats64, reference: Floats64, degree: int) -> tuple[Floats64, int]:
    """Return powers (n, degree + 1) of the accuracies, on the scale of ``reference``, and the rank they have there."""
    check_degree(degree)
    middle, width = (reference.min() + reference.max()) / 2, max(float(np.ptp(reference)) / 2, _RANK)

    def powers(values: Floats64) -> Floats64:
        return np.asarray(np.vander((values - middle) / width, degree + 1, increasing=True), np.float64)

    return powers(accuracy), int(np.linalg.matrix_rank(powers(reference), tol=_RANK * len(reference)))


def _orthonormal(accuracy: Floats64, degree: int) -> Floats64:
    """Return an orthonormal basis (n, p) of the polynomials on these accuracies."""
    design, rank = _design(accuracy, accuracy, degree)
    return np.asarray(np.linalg.svd(design, full_matrices=False)[0][:, :rank], np.float64)


def _ratio(residuals: Floats64, deviations: Floats64) -> Floats64:
    """Return the quotients, rounded and at most `_LARGEST`; a residual that is zero but for rounding gives 0."""
    found = np.where(np.abs(residuals) < 10.0**-_DIGITS, 0.0, residuals)
    with np.errstate(divide="ignore", invalid="ignore"):
        quotients = np.where(found == 0, 0.0, found / deviations)
    return np.asarray(np.round(np.clip(quotients, -_LARGEST, _LARGEST), _DIGITS - 2), np.float64)
