"""What a calibrated fingerprint knows of models of either kind, and where a suspect stands among them.

The answers of every calibration model to every example are kept, not only its score. So a suspect that was asked a
part of the examples is compared with what the calibration models answered to that very part.
"""

import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels
from cae_core.errors import OptionError
from cae_core.fingerprint.file import Fingerprint
from cae_core.statistics.ranks import rank_p_value
from cae_core.statistics.thresholds import least_accused

__all__ = [
    "Calibration",
    "CalibrationModel",
    "Group",
    "LabelDrift",
    "Score",
    "Standing",
    "answer_shares",
    "checked_score",
    "third_labels",
]

Score: TypeAlias = Literal["caeacc", "llr"]
"""The fraction of matches, or the mean log-likelihood ratio of surrogate to reference, in nats an example."""


_SCORES: dict[str, Score] = {"caeacc": "caeacc", "llr": "llr"}


def checked_score(name: str) -> Score:
    """Return ``name`` as the name of a score.

    Raises:
        OptionError: there is no such score.
    """
    if name not in _SCORES:
        raise OptionError(f"score must be one of {', '.join(_SCORES)}; found {name!r}.")
    return _SCORES[name]


@dataclass(frozen=True, kw_only=True)
class CalibrationModel:
    """One model that was asked.

    Attributes:
        name: file stem.
        sha256: of the file.
        kind: how it was made, in words.
        architecture: in words.
        ancestor: the pretrained weights that it descends from; empty where none.
    """

    name: str
    sha256: str
    kind: str = ""
    architecture: str = ""
    ancestor: str = ""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Models of one relation and role, and what they answered.

    Attributes:
        models: the r models.
        answers: int64 (r, n), to the fingerprint's examples; -1 for none.
        right: bool (r, q), whether right about each benign probe.
        akh: int64 (r, e), answers to the images that the source gets wrong; (0, 0) where there are none.
    """

    models: tuple[CalibrationModel, ...]
    answers: Labels = field(repr=False)
    right: NDArray[np.bool_] = field(repr=False)
    akh: Labels = field(repr=False, default_factory=lambda: np.zeros((0, 0), np.int64))

    def __len__(self) -> int:
        return len(self.models)

    def matches(self, fingerprint: Fingerprint) -> NDArray[np.bool_]:
        """Return bool (r, n): which answers are the source's labels."""
        return np.asarray(self.answers == fingerprint.labels)

    def accuracy(self, probed: Labels) -> Floats64:
        """Return the accuracies (r,) on the benign probes ``probed`` (b,), at least one."""
        return np.asarray(self.right[:, probed].mean(axis=1, dtype=np.float64))

    def kinds(self) -> dict[str, int]:
        """Return how many models there are of each kind, the most frequent first."""
        return dict(Counter(model.kind or "unnamed" for model in self.models).most_common())


@dataclass(frozen=True)
class LabelDrift:
    """What models answer to the examples, as fractions of all their answers that sum to 1.

    Attributes:
        truth: the ground truth, as an independent model should answer.
        match: the source's label.
        third: another label or none. The report saw it happen; such answers tell neither way.
    """

    truth: float
    match: float
    third: float


@dataclass(frozen=True)
class Standing:
    """Where a suspect stands among the calibration models, by one score over the examples that it was asked.

    Attributes:
        score: which one.
        value: the suspect's.
        references: float64 (r,), theirs.
        surrogates: float64 (r_S,), theirs.
    """

    score: Score
    value: float
    references: Floats64
    surrogates: Floats64

    @property
    def p_value(self) -> float:
        """How likely an independent model scores this high, by rank."""
        return rank_p_value(self.references, self.value)

    @property
    def p_value_surrogate(self) -> float:
        """How likely a surrogate scores this low, by rank."""
        return rank_p_value(-self.surrogates, -self.value)


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Threshold, p-value and score of a fingerprint, from models that had no part in making it.

    Attributes:
        fingerprint_id: of the fingerprint that the models were asked about.
        score: the one that decides; fixed here.
        fpr: the rate of false accusations that is asked for, in (0, 1).
        fnr: the rate of surrogates called independent that is asked for, in (0, 1).
        parametric: whether the p-value comes from a beta-binomial model instead of ranks: no bound.
        chosen: bool (n,), the examples that are asked; all where nothing was screened.
        weights: float64 (2, n), the log-likelihood ratio of a match and of anything else; None without a screen role.
        references: the calibrate role's.
        surrogates: the calibrate role's.
        screen: the screen role's models, by which ``chosen`` and ``weights`` came about.
    """

    fingerprint_id: str
    score: Score = "caeacc"
    fpr: float
    fnr: float
    parametric: bool = False
    chosen: NDArray[np.bool_] = field(repr=False)
    weights: Floats64 | None = field(default=None, repr=False)
    references: Group
    surrogates: Group
    screen: tuple[CalibrationModel, ...] = ()

    def scored(self, matches: NDArray[np.bool_], asked: Labels, score: Score) -> Floats64:
        """Return the scores (m,) of ``matches`` (m, a) over the examples ``asked`` (a,), in any order.

        Raises:
            OptionError: the likelihood-ratio score where no screen role has weighed the examples.
        """
        if score == "caeacc":
            return np.asarray(matches.mean(axis=-1), np.float64)
        if self.weights is None:
            raise OptionError("This calibration has no weights for the likelihood-ratio score: it had no screen role.")
        match, other = self.weights[:, asked]
        # exact sums: equal answers tie to the last bit, in whichever order somebody asked
        ratios = np.asarray(np.where(matches, match, other), np.float64)
        return np.array([math.fsum(row) for row in ratios]) / len(asked)

    def standing(
        self, fingerprint: Fingerprint, asked: Labels, matches: NDArray[np.bool_], score: Score | None = None
    ) -> Standing:
        """Place a suspect among the calibration models.

        Args:
            fingerprint: the one that this calibration belongs to.
            asked: int64 (a,), the examples that the suspect was asked.
            matches: bool (a,), whether it answered the source's label.
            score: the deciding one where None.
        """
        which = self.score if score is None else score
        groups = (self.references, self.surrogates)
        theirs = [self.scored(group.matches(fingerprint)[:, asked], asked, which) for group in groups]
        return Standing(which, float(self.scored(matches[np.newaxis], asked, which)[0]), *theirs)

    def threshold(self, fingerprint: Fingerprint) -> float | None:
        """Return the least deciding score, over all chosen examples, that is called a surrogate; None: none is."""
        asked = np.flatnonzero(self.chosen)
        n = len(asked)
        scores = self.scored(self.references.matches(fingerprint)[:, asked], asked, self.score)
        return least_accused(scores, n, fpr=self.fpr, score=self.score, parametric=self.parametric)

    def label_drift(self, fingerprint: Fingerprint) -> LabelDrift:
        """Return what the references answer to the chosen examples."""
        return answer_shares(self.references.answers[:, self.chosen], fingerprint, np.flatnonzero(self.chosen))

    def provenance(self) -> dict[str, Any]:
        """Return how many models of which kinds stand behind a verdict, as JSON holds it."""
        return {
            "references": len(self.references),
            "surrogates": len(self.surrogates),
            "kinds": {"references": self.references.kinds(), "surrogates": self.surrogates.kinds()},
            "screen": len(self.screen),
            "examples_chosen": int(self.chosen.sum()),
            "fpr": self.fpr,
            "fnr": self.fnr,
        }


def answer_shares(answers: Labels, fingerprint: Fingerprint, asked: Labels) -> LabelDrift:
    """Return what ``answers`` (..., a), at least one, to the examples ``asked`` (a,) are."""
    labels, truth = fingerprint.labels[asked], fingerprint.ground_truth[asked]
    match = float((answers == labels).mean())
    third = float(((answers != labels) & (answers != truth)).mean())
    return LabelDrift(max(0.0, 1 - match - third), match, third)


def third_labels(answers: Labels, fingerprint: Fingerprint) -> NDArray[np.bool_]:
    """Return bool (..., n): which ``answers`` (..., n) are neither the source's label nor the truth."""
    return np.asarray((answers != fingerprint.labels) & (answers != fingerprint.ground_truth))
