"""The composite loss of conferrable adversarial examples (report, Eq. 5), with its gradients in closed form.

    L = α H([1, 0], [c*, 1 - c*]) - β H(onehot(y0), p_M) + γ H(p_M, Surr),   c* = Conferr_{t*}

where H is cross-entropy, p_M the source's softmax, and t* the label of largest conferrability (the paper) or the
source's current label (the report's code). So the three terms are -log c*, +log p_M[y0] and -Σ_t p_M,t log Surr_t.
"""

from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels
from cae_core.method.objectives.objective import Goal, ObjectiveKind, ObjectiveValue
from cae_core.method.objectives.options import check_values, option
from cae_core.method.softmax import log_mean_exp, log_others, log_softmax

__all__ = ["COMPOSITE", "COMPOSITE_KERAS", "CompositeLoss", "CompositeOptions"]

_LOG_FLOOR = float(np.log(1e-7))
"""Keras' fuzz factor; here the only unbounded term, log p_M[y0], stops there too."""

_LOG_CEILING = float(np.log1p(-1e-7))


@dataclass(frozen=True, kw_only=True)
class CompositeOptions:
    """The options of the composite loss.

    Attributes:
        target: ``"max"``: t* is the label of largest conferrability; ``"source"``: the source's current label.
        w_confer: α, weight of conferrability.
        w_adversarial: β, weight of leaving the source's label y0.
        w_transfer: γ, weight of agreement between source and surrogates.
    """

    target: Literal["max", "source"] = option("max", "max or source.")
    w_confer: float = option(1.0, "weight of conferrability.")
    w_adversarial: float = option(1.0, "weight of leaving the label.")
    w_transfer: float = option(1.0, "weight of agreement.")


@dataclass(frozen=True, kw_only=True)
class CompositeLoss(CompositeOptions):
    """The composite loss; its other attributes are its options.

    Attributes:
        keras_clipping: clip every probability to [1e-7, 1 - 1e-7] inside the logarithms, gradient 0 outside, as the
            report's code does. Otherwise only the β term is bounded: it stops at p_M[y0] = 1e-7.
    """

    keras_clipping: bool = False

    def __post_init__(self) -> None:
        check_values(self)

    def __call__(
        self, source: NDArray[Any], surrogates: NDArray[Any], references: NDArray[Any], goal: Goal
    ) -> ObjectiveValue:
        """See `Objective`."""
        log_m, log_s, log_r = log_softmax(source), log_softmax(surrogates), log_softmax(references)
        log_surr = log_mean_exp(log_s)
        log_other = log_others(log_r)
        log_no_ref = log_mean_exp(log_other)
        log_c = log_surr + log_no_ref
        t = (log_c if self.target == "max" else log_m).argmax(axis=1)
        p_m = np.exp(log_m)

        log_best, confer_live = self._clip(_pick(log_c, t))
        log_y0, adversarial_live = self._clip(_pick(log_m, goal.original), always=True)
        log_mix, transfer_live = self._clip(log_surr)
        value = (
            -self.w_confer * log_best
            + self.w_adversarial * log_y0
            - self.w_transfer * (p_m * log_mix).sum(axis=1)
        )  # fmt: skip

        # dL/dz_M = β (onehot(y0) - p_M) + γ p_M (g - <p_M, g>),   g = -log Surr
        g = -log_mix
        d_source = self.w_transfer * p_m * (g - (p_m * g).sum(axis=1, keepdims=True))
        d_source += self.w_adversarial * adversarial_live[:, np.newaxis] * (_onehot(goal.original, p_m) - p_m)

        # dL/dz_S = a - p_S <1, a>,   a_t = -(γ p_M,t + α [t = t*]) p_S,t / (m Surr_t):
        # the quotient is at most 1, however small Surr_t is
        alpha = np.asarray(self.w_confer * confer_live, np.float64)
        pull = self.w_transfer * p_m * transfer_live + alpha[:, np.newaxis] * _onehot(t, p_m)
        a = -pull * np.exp(log_s - log_surr) / len(log_s)
        d_surrogates = a - np.exp(log_s) * a.sum(axis=-1, keepdims=True)
        return ObjectiveValue(value, d_source, d_surrogates, _away_from(t, log_r, log_other, log_no_ref, alpha))

    def _clip(self, log_p: Floats64, *, always: bool = False) -> tuple[Floats64, NDArray[np.bool_]]:
        """Clip log-probabilities; return them and where the gradient lives."""
        if self.keras_clipping:
            return np.clip(log_p, _LOG_FLOOR, _LOG_CEILING), (log_p >= _LOG_FLOOR) & (log_p <= _LOG_CEILING)
        if always:
            return np.maximum(log_p, _LOG_FLOOR), log_p >= _LOG_FLOOR
        return log_p, np.ones(log_p.shape, np.bool_)


COMPOSITE = ObjectiveKind("composite", CompositeOptions, CompositeLoss)
COMPOSITE_KERAS = ObjectiveKind("composite-keras", CompositeOptions, partial(CompositeLoss, keras_clipping=True))


def _away_from(t: Labels, log_r: Floats64, log_other: Floats64, log_no_ref: Floats64, alpha: Floats64) -> Floats64:
    """Return the gradient of -α log(1 - Ref_t) with respect to the references' logits, (m, n, c).

    It is p_R,t (1 - p_R,t) / (m (1 - Ref_t)) at t and -p_R,t p_R,j / (m (1 - Ref_t)) elsewhere. Written with
    p_R (v - <p_R, v>) it would lose all digits where a reference is sure of t.
    """
    log_t = _pick(log_r, t)[..., np.newaxis]
    log_scale = log_t - _pick(log_no_ref, t)[:, np.newaxis] - np.log(len(log_r))
    rows = np.broadcast_to(t, log_r.shape[:2])[..., np.newaxis]
    elsewhere = log_scale + log_r
    np.put_along_axis(elsewhere, rows, -np.inf, axis=-1)  # at t it may overflow, and is not used
    gradient = -np.exp(elsewhere)
    np.put_along_axis(gradient, rows, np.exp(log_scale + _pick(log_other, t)[..., np.newaxis]), axis=-1)
    return np.asarray(alpha[:, np.newaxis] * gradient, np.float64)


def _pick(values: Floats64, labels: Labels) -> Floats64:
    """Return ``values[..., i, labels[i]]``."""
    index = np.broadcast_to(labels, values.shape[:-1])[..., np.newaxis]
    return np.take_along_axis(values, index, axis=-1)[..., 0]


def _onehot(labels: Labels, like: Floats64) -> Floats64:
    return np.asarray(labels[:, np.newaxis] == np.arange(like.shape[1]), np.float64)
