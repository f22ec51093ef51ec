"""The cases of `tests/data/verdicts-0.1.0.json`: verdicts by the first rule, which later releases must still derive.

The file was written by the release that knew no other rule; nothing writes it again.
"""

import dataclasses
from typing import Any

import numpy as np

from cae_core.calibration.record import Calibration
from cae_core.statistics.score import Score
from tests.core.toys import toy_calibration, toy_fingerprint, toy_group

FINGERPRINT = toy_fingerprint(n=30, probes=70, akh=4)
_REFERENCES, _SURROGATES = [i % 10 for i in range(39)], [20 + i % 10 for i in range(39)]
_RANK = toy_calibration(FINGERPRINT, _REFERENCES, _SURROGATES)
_FEW = toy_calibration(FINGERPRINT, _REFERENCES[:19], _SURROGATES[:9])
_WEIGHTS = np.random.default_rng(3).normal(size=(2, 30))
_ERRING = dataclasses.replace(
    _RANK, references=toy_group(FINGERPRINT, _RANK.references.matches(FINGERPRINT), "r", wrong_probes=6)
)

CASES: dict[str, tuple[Calibration | None, int, int, dict[str, Any]]] = {
    "surrogate": (_RANK, 26, 0, {}),
    "above references and below surrogates": (_RANK, 15, 0, {}),
    "independent": (_RANK, 4, 0, {}),
    "too few surrogates": (_FEW, 4, 0, {}),
    "one image too few": (_RANK, 26, 1, {}),
    "allowed": (_RANK, 26, 1, {"allow_extrapolation": True}),
    "erring references": (_ERRING, 26, 0, {}),
    "uncalibrated": (None, 26, 0, {"claimed_accuracy": 0.9}),
    "parametric": (dataclasses.replace(_RANK, parametric=True), 15, 0, {}),
    "likelihood ratio": (dataclasses.replace(_RANK, score=Score.LLR, weights=_WEIGHTS), 26, 0, {}),
    "budget": (_RANK, 26, 0, {"max_queries": 70}),
    "sequential": (_RANK, 26, 0, {"sequential": True}),
    "sequential, low": (_RANK, 2, 0, {"sequential": True}),
    "sequential, between": (_RANK, 15, 0, {"sequential": True}),
    "sequential, undecidable": (_FEW, 26, 0, {"sequential": True}),
}
"""Of each: calibration, matches, wrong probes, options."""
