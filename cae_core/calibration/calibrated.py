"""What suspects are examined by: a fingerprint with the calibration that belongs to it, read once and hashed once."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels
from cae_core.calibration.adjusting import Adjustment
from cae_core.calibration.file import calibration_digest, save_calibration, unpack_calibration
from cae_core.calibration.groups import Group, LabelDrift, RankedGroup, answer_shares
from cae_core.calibration.leaving_out import KindPower, power_of
from cae_core.calibration.record import Calibration
from cae_core.calibration.standing import Ranking, Seen, Standing, largest
from cae_core.errors import FingerprintError, OptionError
from cae_core.fingerprint.file import Fingerprint, FingerprintFile, save_fingerprint
from cae_core.paths import StrPath
from cae_core.statistics.score import Score
from cae_core.statistics.unit import Unit

__all__ = ["CalibratedFingerprint", "load_calibrated", "save_calibrated"]


@dataclass(frozen=True, kw_only=True)
class CalibratedFingerprint:
    """A fingerprint and, if it is calibrated, the answers of models that had no part in it.

    Attributes:
        fingerprint: the fingerprint, see `Fingerprint`.
        calibration: its calibration; None: the literature's threshold applies.
        sha256: SHA-256 of the file that both were read from; empty if they were not read from a file.

    Raises:
        FingerprintError: the calibration is another fingerprint's.
    """

    fingerprint: Fingerprint
    calibration: Calibration | None = None
    sha256: str = ""

    def __post_init__(self) -> None:
        if self.calibration is not None and self.calibration.fingerprint_id != self.fingerprint.id:
            raise FingerprintError(
                f"The calibration belongs to the fingerprint {self.calibration.fingerprint_id[:12]}… and the one at "
                f"hand is {self.fingerprint.id[:12]}…. Calibrate this fingerprint (`cae calibrate`)."
            )
        bound = "" if self.calibration is None else self.calibration.fingerprint_sha256
        if bound not in ("", self.fingerprint.content_sha256):
            raise FingerprintError(
                "The fingerprint is not as it was when it was calibrated: its probes, its descriptions or its record "
                "of the search are others. Use the original file, or calibrate again (`cae calibrate`)."
            )

    def __repr__(self) -> str:
        return f"CalibratedFingerprint({self.fingerprint!r}, {self.calibration!r})"

    @cached_property
    def content_sha256(self) -> str:
        """SHA-256 of everything that was read of the calibration, whatever its file says; empty where there is none."""
        return "" if self.calibration is None else calibration_digest(self.calibration)

    @property
    def asks_controls(self) -> bool:
        """Whether suspects are asked the control sources' examples, too."""
        return self.calibration is not None and self.calibration.null.asks_controls

    @property
    def chosen(self) -> NDArray[np.bool_]:
        """Which examples may be asked, bool (n,)."""
        return np.ones(len(self.fingerprint), bool) if self.calibration is None else self.calibration.chosen

    def scores(self, group: Group, asked: Labels, score: Score) -> Floats64:
        """Return the scores (r,) of a group's models over the examples ``asked`` (a,)."""
        return self.calibrated.scored(group.matches(self.fingerprint)[:, asked], asked, score)

    def standing(
        self, seen: Seen, *, score: Score | None = None, compared: Labels | None = None, plainly: bool = True
    ) -> Standing:
        """Place a suspect among the calibration models.

        Beside the adjusted score CAEAcc is ranked as well, and the larger p counts: what a fit leads to expect of an
        accuracy is said of references that have it for reasons of their own, such as robust training, and an innocent
        suspect that has it for another reason, such as an image that it compresses, is none of their kind.

        Args:
            seen: what the suspect showed.
            score: the deciding one where None.
            compared: int64, the examples over which the calibration models are scored; those asked where None.
            plainly: whether CAEAcc counts beside the adjusted score at any accuracy; otherwise only beyond those of
                all references, where a fit is a guess.
        """
        calibration = self.calibrated
        which = calibration.score if score is None else score
        if which == Score.ADJUSTED:
            return self._adjusted(seen, plainly=plainly)
        high = [self._high(seen, which, group, compared) for group in calibration.ranked_groups()]
        return Standing(references=self._by_units(high), surrogates=(self._low(seen, high, compared),))

    def _adjusted(self, seen: Seen, *, plainly: bool) -> Standing:
        calibration = self.calibrated
        high: list[Ranking] = []
        low: list[Ranking] = []
        outside = False
        for group in calibration.ranked_groups():
            if group.behind:  # the fit is of models as they are; among these CAEAcc alone ranks
                high.append(self._high(seen, Score.CAEACC, group, None))
                continue
            adjustment = Adjustment(
                fingerprint=self.fingerprint,
                references=group.group,
                rows=group.rows,
                seen=seen,
                degree=calibration.degree,
                exposure=group.exposure,
            )
            high.append(adjustment.among_references())
            low.append(adjustment.among_surrogates(calibration.surrogates))
            beyond = adjustment.outside
            outside = outside or beyond
            if plainly or beyond:
                high.append(self._high(seen, Score.CAEACC, group, None))
        plain = [ranking for ranking in high if ranking.score == Score.CAEACC]
        if plain:
            low.append(self._low(seen, plain, None))
        return Standing(references=self._by_units(high), surrogates=tuple(low), outside=outside)

    def _by_units(self, rankings: Iterable[Ranking]) -> tuple[Ranking, ...]:
        """Return each ranking among references by each attribute that makes a unit."""
        calibration = self.calibrated
        if calibration.unit == Unit.MODEL:
            return tuple(rankings)
        return tuple(
            dataclasses.replace(ranking, unit=unit, units=calibration.units(unit, ranking.rows))
            for ranking in rankings
            for unit in calibration.unit.attributes
        )

    def _high(self, seen: Seen, score: Score, among: RankedGroup, compared: Labels | None) -> Ranking:
        return _ranking(among, score, self._value(seen, score), self._scores(among.group, seen, score, compared))

    def _low(self, seen: Seen, among: Sequence[Ranking], compared: Labels | None) -> Ranking:
        """Rank among surrogates by the score that ranks the suspect ``among`` groups of references."""
        score, value = among[0].score, among[0].value
        scores = self._scores(self.calibrated.surrogates, seen, score, compared)
        highest = max((ranking.highest for ranking in among), default=np.nan)
        rows = np.arange(len(scores))
        return Ranking(score=score, value=value, rows=rows, scores=scores, high=False, opposite=highest)

    def _value(self, seen: Seen, score: Score) -> float:
        return float(self.calibrated.scored(seen.matches[np.newaxis], seen.asked, score)[0])

    def _scores(self, group: Group, seen: Seen, score: Score, compared: Labels | None) -> Floats64:
        return self.scores(group, seen.asked if compared is None else compared, score)

    def threshold(self) -> float | None:
        """Return the least deciding score, over all chosen examples, that is called a surrogate; None: none is.

        None as well where it depends on the suspect, as by the adjusted score or among control sources.
        """
        calibration, asked = self.calibrated, np.flatnonzero(self.chosen)
        if calibration.score == Score.ADJUSTED or calibration.null.asks_controls:
            return None
        score = calibration.score
        rankings = (
            _ranking(group, score, 0.0, self.scores(group.group, asked, score)) for group in calibration.ranked_groups()
        )
        return largest(
            ranking.threshold(len(asked), rate=calibration.fpr, parametric=calibration.parametric)
            for ranking in self._by_units(rankings)
        )

    @cached_property
    def power(self) -> tuple[KindPower, ...]:
        """How many of its own surrogates of each kind it would accuse, see `power_of`."""
        return power_of(self)

    def label_drift(self) -> LabelDrift | None:
        """Return what the references answer to the chosen examples; None without references."""
        if not len(self.calibrated.references):
            return None
        asked = np.flatnonzero(self.chosen)
        return answer_shares(self.calibrated.references.answers[:, asked], self.fingerprint, asked)

    @property
    def calibrated(self) -> Calibration:
        """The calibration.

        Raises:
            OptionError: there is none.
        """
        if self.calibration is None:
            raise OptionError("This fingerprint is not calibrated. Calibrate it (`cae calibrate`).")
        return self.calibration


def _ranking(among: RankedGroup, score: Score, value: float, scores: Floats64) -> Ranking:
    """Place ``value`` among the models of a group, whose scores stand among those of all references (r,)."""
    return Ranking(
        score=score,
        value=value,
        rows=among.rows,
        scores=scores[among.rows],
        exposure=among.exposure,
        behind=among.behind,
    )


def load_calibrated(path: StrPath) -> CalibratedFingerprint:
    """Read a fingerprint's file once: the fingerprint, its calibration where it has one, and its digest.

    Raises:
        FingerprintError: see `load_fingerprint`; or the calibration is of an unknown version, edited or inconsistent.
    """
    file = FingerprintFile.read(Path(path))
    fingerprint = file.fingerprint()
    calibration = unpack_calibration(file, fingerprint)
    return CalibratedFingerprint(fingerprint=fingerprint, calibration=calibration, sha256=file.sha256)


def save_calibrated(subject: CalibratedFingerprint, path: Path) -> None:
    """Write both into one file, atomically, mode 0600; the same content gives the same bytes.

    Raises:
        StorageError: it cannot be written.
    """
    if subject.calibration is None:
        save_fingerprint(subject.fingerprint, path)
    else:
        save_calibration(subject.calibration, subject.fingerprint, path, digest=subject.content_sha256)
