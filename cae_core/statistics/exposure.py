"""How much of a fingerprint's seeds a model was trained on: an attribute by which references are grouped.

Whoever was trained on an image learned its truth, and so repeats a source's error on it less often than a model that
never saw it. References that all saw the owner's images would make an honest competitor with data of its own look
guilty. So each group is ranked by itself, and the largest p counts: it is valid where the suspect is one more draw from
any one of them.
"""

from collections.abc import Sequence
from enum import StrEnum

from cae_core.statistics.choices import choice_named

__all__ = ["Exposure", "ExposureRule"]


class Exposure(StrEnum):
    """Of how many of the seeds a model saw the image in its training."""

    ALL = "all"
    PARTLY = "partly"
    NONE = "none"
    UNKNOWN = ""

    @property
    def words(self) -> str:
        """What is said of such models."""
        return {
            "all": "trained on all of its images",
            "partly": "trained on some of its images",
            "none": "trained on none of its images",
            "": "of unknown training images",
        }[self.value]

    @property
    def counted(self) -> "Exposure":
        """The group that such a model belongs to: unknown counts as partly."""
        return Exposure.PARTLY if self == Exposure.UNKNOWN else self


class ExposureRule(StrEnum):
    """Which groups of references count, fixed in a calibration; empty: all are one group, whatever they saw."""

    LARGEST = "largest"
    ALL = "all"
    PARTLY = "partly"
    NONE = "none"
    ONE_GROUP = ""

    @property
    def assumed(self) -> Exposure | None:
        """The exposure of the suspect that is taken for granted; None where none is."""
        return None if self in (ExposureRule.LARGEST, ExposureRule.ONE_GROUP) else Exposure(self.value)

    @classmethod
    def named(cls, name: str) -> "ExposureRule":
        """Return the rule that is called ``name``.

        Raises:
            OptionError: there is none.
        """
        return choice_named(cls, name, option="exposure")

    def groups(self, exposures: Sequence[Exposure]) -> dict[Exposure, list[int]]:
        """Return which of the references count, by the group that each belongs to, the more exposed first.

        Args:
            exposures: of each reference, in their order.

        Example:
            >>> ExposureRule.LARGEST.groups([Exposure.NONE, Exposure.UNKNOWN, Exposure.NONE])
            {<Exposure.PARTLY: 'partly'>: [1], <Exposure.NONE: 'none'>: [0, 2]}
        """
        if self == ExposureRule.ONE_GROUP:
            return {Exposure.UNKNOWN: list(range(len(exposures)))}
        counted = [exposure.counted for exposure in exposures]
        found = {kind: [row for row, own in enumerate(counted) if own == kind] for kind in dict.fromkeys(Exposure)}
        wanted = tuple(Exposure) if self.assumed is None else (self.assumed,)
        return {kind: rows for kind, rows in found.items() if rows and kind in wanted}
