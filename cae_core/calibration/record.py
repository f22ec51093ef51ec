"""A calibration: threshold, p-value and score of a fingerprint, from models that had no part in making it.

The answers of every calibration model to every example are kept, not only its score. So a suspect that was asked a
part of the examples is compared with what the calibration models answered to that very part.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels
from cae_core.calibration.groups import CalibrationModel, Group, KnownModels, RankedGroup
from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.errors import OptionError
from cae_core.statistics.adjustment import DEFAULT_DEGREE
from cae_core.statistics.exposure import Exposure, ExposureRule
from cae_core.statistics.score import Score
from cae_core.statistics.unit import Unit

__all__ = ["Calibration", "ModelsBehind"]


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Threshold, p-value and score of a fingerprint, from models that had no part in making it.

    Attributes:
        fingerprint_id: id of the fingerprint that the models were asked about.
        score: score that decides; fixed here.
        fpr: requested rate of false accusations, in (0, 1).
        fnr: requested rate of surrogates called independent, in (0, 1).
        parametric: whether the p-value comes from a beta-binomial model instead of ranks; it carries no bound.
        chosen: bool (n,), the examples that are asked; all if nothing was screened.
        weights: float64 (2, n), the log-likelihood ratio of a match and of anything else; None without a screen role.
        references: references of the role calibrate, with their answers.
        surrogates: surrogates of the role calibrate, with their answers.
        screen: models of the role screen, which determined ``chosen`` and ``weights``.
        fingerprint_sha256: SHA-256 of all that the fingerprint holds, see `Fingerprint.content_sha256`; empty in
            earlier calibrations, which the fingerprint's id alone binds.
        null: the hypothesis that an accusation rejects; fixed here.
        known: numbers by which a suspect is recognised as one of these models; empty in earlier calibrations.
        degree: degree of the polynomial in benign accuracy that the adjusted score takes out.
        exposure: which groups of references count; fixed here.
        unit: what counts as one draw among the references; fixed here.
        preprocessed: what the same references answered behind each of these defences; a suspect is ranked among them,
            too, and the largest p counts.
    """

    fingerprint_id: str
    score: Score = Score.CAEACC
    fpr: float
    fnr: float
    parametric: bool = False
    chosen: NDArray[np.bool_] = field(repr=False)
    weights: Floats64 | None = field(default=None, repr=False)
    references: Group
    surrogates: Group
    screen: tuple[CalibrationModel, ...] = ()
    fingerprint_sha256: str = ""
    null: NullHypothesis = NullHypothesis.REFERENCES
    known: KnownModels = field(default_factory=KnownModels, repr=False)
    degree: int = DEFAULT_DEGREE
    exposure: ExposureRule = ExposureRule.ONE_GROUP
    unit: Unit = Unit.MODEL
    preprocessed: Mapping[str, Group] = field(default_factory=dict[str, Group])

    def __repr__(self) -> str:
        return (
            f"Calibration({len(self.references)} references, {len(self.surrogates)} surrogates, {self.score.value}, "
            f"fpr {self.fpr:g}, fnr {self.fnr:g})"
        )

    def reference_groups(self) -> dict[Exposure, Labels]:
        """Return which references count, int64 (r_g,), by the group that each belongs to; see `ExposureRule`."""
        groups = self.exposure.groups([model.exposure for model in self.references.models])
        return {exposure: np.array(rows, np.int64) for exposure, rows in groups.items()}

    def ranked_groups(self) -> tuple[RankedGroup, ...]:
        """Return the groups of references among each of which a suspect is ranked: those as they are first."""
        return tuple(
            RankedGroup(group=group, rows=rows, exposure=exposure, behind=behind)
            for behind, group in {"": self.references, **self.preprocessed}.items()
            for exposure, rows in self.reference_groups().items()
        )

    def with_references(self, rows: Labels) -> Self:
        """Return the same with some of the references (k,), in that order."""
        return dataclasses.replace(
            self,
            references=self.references.subset(rows),
            preprocessed={behind: group.subset(rows) for behind, group in self.preprocessed.items()},
        )

    def units(self, unit: Unit, rows: Labels) -> Labels:
        """Return the number of the unit that each of these references (r,) belongs to, int64 (r,)."""
        numbers: dict[tuple[str, ...], int] = {}
        places: list[int] = rows.tolist()
        found = (self.references.models[row].in_common(unit) for row in places)
        return np.array([numbers.setdefault(own, len(numbers)) for own in found], np.int64)

    @property
    def counted(self) -> Labels:
        """Which references count, int64 (r,), ascending."""
        return np.sort(np.concatenate(list(self.reference_groups().values())))

    @property
    def right(self) -> NDArray[np.bool_]:
        """Whether the references that count are right about each benign probe, bool (k, q), of every group."""
        return np.vstack([each.group.right[each.rows] for each in self.ranked_groups()])

    def scored(self, matches: NDArray[np.bool_], asked: Labels, score: Score) -> Floats64:
        """Return the scores (m,) of ``matches`` (m, a) over the examples ``asked`` (a,), in any order.

        Raises:
            OptionError: the likelihood-ratio score where no screen role has weighed the examples; the adjusted one,
                which a model has only beside others.
        """
        if score == Score.CAEACC:
            return np.asarray(matches.mean(axis=-1), np.float64)
        if score == Score.ADJUSTED:
            raise OptionError("The adjusted score is of a model beside all references. Place it among them.")
        if self.weights is None:
            raise OptionError("This calibration has no weights for the likelihood-ratio score: it had no screen role.")
        match, other = self.weights[:, asked]
        # exact sums: equal answers tie to the last bit, in whichever order somebody asked
        ratios = np.asarray(np.where(matches, match, other), np.float64)
        return np.array([math.fsum(row) for row in ratios]) / len(asked)

    def behind(self) -> "ModelsBehind":
        """Return how many models of which kinds stand behind a verdict."""
        return ModelsBehind(
            references=len(self.references),
            surrogates=len(self.surrogates),
            kinds={"references": self.references.kinds(), "surrogates": self.surrogates.kinds()},
            screen=len(self.screen),
            examples_chosen=int(self.chosen.sum()),
            fpr=self.fpr,
            fnr=self.fnr,
        )


@dataclass(frozen=True, kw_only=True)
class ModelsBehind:
    """What stands behind a calibrated verdict.

    Attributes:
        references: r.
        surrogates: r_S.
        kinds: of either relation, how many models of which kind.
        screen: models of the screen role.
        examples_chosen: of the fingerprint.
        fpr: the rate of false accusations that is asked for.
        fnr: the rate of surrogates called independent that is asked for.
    """

    references: int
    surrogates: int
    kinds: dict[str, dict[str, int]]
    screen: int
    examples_chosen: int
    fpr: float
    fnr: float
