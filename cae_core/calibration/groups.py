"""Models that a fingerprint was calibrated on, and what they answered to each of its images."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Floats64, Labels
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE
from cae_core.statistics.exposure import Exposure
from cae_core.statistics.unit import Unit

__all__ = [
    "CalibrationModel",
    "Group",
    "KnownModel",
    "KnownModels",
    "LabelDrift",
    "RankedGroup",
    "answer_shares",
    "third_labels",
]


@dataclass(frozen=True, kw_only=True)
class CalibrationModel:
    """One model that was asked.

    Attributes:
        name: file stem.
        sha256: of the file.
        kind: how it was made, in words.
        architecture: in words.
        ancestor: the pretrained weights that it descends from; empty where none.
        recipe: how it was trained, in words; empty in calibrations of before.
        exposure: to the seeds of the examples; unknown in calibrations of before.
    """

    name: str
    sha256: str
    kind: str = ""
    architecture: str = ""
    ancestor: str = ""
    recipe: str = ""
    exposure: Exposure = Exposure.UNKNOWN

    def in_common(self, unit: Unit) -> tuple[str, ...]:
        """Return what it has in common with the models that count as one with it."""
        if unit == Unit.RECIPE:
            return self.kind, self.recipe
        return (self.architecture,) if unit == Unit.ARCHITECTURE else (self.name, self.sha256)

    def described(self) -> dict[str, str]:
        """Return it as the file tells it: what came later only where it is known."""
        later = ("recipe", "exposure")
        return {name: str(value) for name, value in vars(self).items() if value or name not in later}


@dataclass(frozen=True, kw_only=True)
class KnownModel:
    """One model that was asked and told its probabilities.

    Attributes:
        name: file stem.
        sha256: of the file.
        role: in its pool.
        relation: to the source: ``"source"``, ``"surrogate"`` or ``"reference"``.
    """

    name: str
    sha256: str
    role: str
    relation: str


@dataclass(frozen=True, kw_only=True)
class KnownModels:
    """By what a suspect is known to be one of the pool's models, whatever its file.

    Attributes:
        models: all k that were asked and tell probabilities, the generation's among them.
        scores: float32 (k, m, 2), see `scores_of`, of the m images in the order of `Fingerprint.all_images`.
    """

    models: tuple[KnownModel, ...] = ()
    scores: Floats32 = field(repr=False, default_factory=lambda: np.zeros((0, 0, 2), np.float32))


@dataclass(frozen=True, kw_only=True)
class Group:
    """Models of one relation and role, and what they answered.

    Attributes:
        models: the r models.
        answers: int64 (r, n), to the fingerprint's examples; -1 for none.
        right: bool (r, q), whether right about each benign probe.
        further: int64 (r, e), answers to the images of kinds that only inform, by the kind's name.
    """

    models: tuple[CalibrationModel, ...]
    answers: Labels = field(repr=False)
    right: NDArray[np.bool_] = field(repr=False)
    further: Mapping[str, Labels] = field(repr=False, default_factory=dict[str, Labels])

    @classmethod
    def of_labels(cls, models: Sequence[CalibrationModel], labels: Labels, fingerprint: Fingerprint) -> Self:
        """Return models with their answers to the examples and the benign probes.

        Args:
            models: the r models.
            labels: int64 (r, m), what each answered to all images, in the order of `Fingerprint.all_images`.
            fingerprint: whose images these are.
        """
        return cls(
            models=tuple(models),
            answers=labels[:, fingerprint.rows(EXAMPLE)],
            right=labels[:, fingerprint.rows(BENIGN)] == fingerprint.probe_labels,
        )

    def __len__(self) -> int:
        return len(self.models)

    def subset(self, rows: Labels) -> "Group":
        """Return some of the models (k,), in that order."""
        places: list[int] = rows.tolist()
        return Group(
            models=tuple(self.models[row] for row in places),
            answers=self.answers[rows],
            right=self.right[rows],
            further={name: answers[rows] for name, answers in self.further.items()},
        )

    def matches(self, fingerprint: Fingerprint) -> NDArray[np.bool_]:
        """Return bool (r, n): which answers are the source's labels."""
        return np.asarray(self.answers == fingerprint.labels)

    def accuracy(self, probed: Labels) -> Floats64:
        """Return the accuracies (r,) on the benign probes ``probed`` (b,), at least one."""
        return np.asarray(self.right[:, probed].mean(axis=1, dtype=np.float64))

    def kinds(self) -> dict[str, int]:
        """Return how many models there are of each kind, the most frequent first."""
        return dict(Counter(model.kind or "unnamed" for model in self.models).most_common())


@dataclass(frozen=True, kw_only=True)
class RankedGroup:
    """References among which a suspect is ranked by themselves.

    Attributes:
        group: the references, with their answers.
        rows: int64 (r_g,), which of them belong to it.
        exposure: what these saw of the fingerprint's images.
        behind: the defence behind which they gave the answers; empty where none.
    """

    group: Group
    rows: Labels
    exposure: Exposure
    behind: str = ""


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


def answer_shares(answers: Labels, fingerprint: Fingerprint, asked: Labels) -> LabelDrift:
    """Return what ``answers`` (..., a), at least one, to the examples ``asked`` (a,) are."""
    labels, truth = fingerprint.labels[asked], fingerprint.ground_truth[asked]
    match = float((answers == labels).mean())
    third = float(((answers != labels) & (answers != truth)).mean())
    return LabelDrift(max(0.0, 1 - match - third), match, third)


def third_labels(answers: Labels, fingerprint: Fingerprint) -> NDArray[np.bool_]:
    """Return bool (..., n): which ``answers`` (..., n) are neither the source's label nor the truth."""
    return np.asarray((answers != fingerprint.labels) & (answers != fingerprint.ground_truth))
