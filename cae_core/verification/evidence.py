"""Each null hypothesis that decides, against the answers: how likely a model of that kind scores as extreme.

A further null hypothesis that only informs is a finding (`cae_core.verification.findings`).
"""

import math
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cae_core.calibration.calibrated import Standing
from cae_core.calibration.record import Calibration
from cae_core.statistics.thresholds import LEAST_PARAMETRIC, as_counts
from cae_core.verification.examination import Examination

__all__ = ["Evidence", "Null", "Origin", "evidence_of"]

Null: TypeAlias = Literal["independent", "surrogate"]
Origin: TypeAlias = Literal["rank", "parametric", "literature"]


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """One null hypothesis against the answers.

    Attributes:
        models: n, how many known models of that kind stand behind it.
        as_extreme: of them, those that score as extreme as the suspect, ties included.
        p_value: how likely a model of that kind scores so, over calibrations and suspects together.
        origin: by ``rank``, or by a ``parametric`` model, which gives no bound.
    """

    models: int
    as_extreme: int
    p_value: float
    origin: Origin


def evidence_of(examination: Examination) -> dict[Null, Evidence]:
    """Return the evidence against each null hypothesis in use; none where nothing is calibrated."""
    calibration, standing, sides = examination.subject.calibration, examination.standing, examination.sides
    if calibration is None or standing is None or sides is None:
        return {}
    independent, surrogate = _p_values(examination, calibration, standing)
    origin: Origin = "parametric" if calibration.parametric else "rank"
    return {
        "independent": Evidence(models=sides.references, as_extreme=sides.as_high, p_value=independent, origin=origin),
        "surrogate": Evidence(models=sides.surrogates, as_extreme=sides.as_low, p_value=surrogate, origin=origin),
    }


def _p_values(examination: Examination, calibration: Calibration, standing: Standing) -> tuple[float, float]:
    if examination.sequential is not None:
        log_e = examination.sequential.log_e
        return _at_the_stop(calibration.fpr, log_e[0]), _at_the_stop(calibration.fnr, log_e[1])
    if calibration.parametric:
        return _parametric(standing, len(examination.matches))
    return standing.p_value, standing.p_value_surrogate


def _at_the_stop(rate: float, log_e: float) -> float:
    """Return rate(k) + 1/E at the stop, at most 1.

    K exceeds k0 for an independent model with at most the first, and E reaches 1/x while K <= k0 with at most x, so
    that p <= rate happens with at most that rate.
    """
    at_most = rate if log_e >= -math.log(rate / 2) else 1.0  # rounded, a sum of two halves can be more than the whole
    return min(at_most, rate / 2 + math.exp(-max(0.0, log_e)))


def _parametric(standing: Standing, asked: int) -> tuple[float, float]:
    from cae_core.statistics.parametric import beta_binomial_p_value

    observed = round(standing.value * asked)
    references, surrogates = as_counts(standing.references, asked), as_counts(standing.surrogates, asked)
    p = beta_binomial_p_value(references, asked, observed)
    if len(surrogates) < LEAST_PARAMETRIC:
        return p, 1.0
    return p, beta_binomial_p_value(asked - surrogates, asked, asked - observed)
