"""Conferrability: the surrogates transfer a label and the references do not.

Lukas, Zhang, Kerschbaum, "Deep Neural Network Fingerprinting by Conferrable Adversarial Examples", ICLR 2021,
section 4.1; the 2023 report's Eq. 1-4:

    Surr_t(x) = mean over surrogates of p_S,t(x)
    Ref_t(x)  = mean over references of p_R,t(x)
    Conferr_t(x) = Surr_t(x) (1 - Ref_t(x))
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64
from cae_core.method.softmax import log_mean_exp, log_others, log_softmax

__all__ = ["conferrability", "log_conferrability"]


def log_conferrability(surrogates: NDArray[Any], references: NDArray[Any]) -> Floats64:
    """Return log Conferr_t, float64 (n, c), from logits (m, n, c) of both pools."""
    log_surr = log_mean_exp(log_softmax(surrogates))
    log_no_ref = log_mean_exp(log_others(log_softmax(references)))
    return np.asarray(log_surr + log_no_ref, np.float64)


def conferrability(surrogates: NDArray[Any], references: NDArray[Any]) -> Floats64:
    """Return Conferr_t in [0, 1], float64 (n, c), from logits (m, n, c) of both pools (report, Eq. 4).

    Example:
        >>> sure = np.array([[[40.0, 0.0]]])
        >>> conferrability(sure, -sure).round(3).tolist()
        [[1.0, 0.0]]
    """
    return np.exp(log_conferrability(surrogates, references))
