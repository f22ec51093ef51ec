"""What a scan of many suspects takes: references, so that a copy among the suspects can be found at a rate."""

from dataclasses import dataclass

from cae_core.statistics.multiplicity import copies_found, references_for

__all__ = ["ScanPlan", "Takes", "plan_scan"]

_SHARES = (2, 10)
"""Beside a single copy and all suspects: every second one, and every tenth."""


@dataclass(frozen=True, kw_only=True)
class Takes:
    """What finding so many copies takes, where each scores above all references.

    Attributes:
        copies: among the suspects.
        benjamini_hochberg: references, where that correction holds.
        holm: references, whatever p is.
    """

    copies: int
    benjamini_hochberg: int
    holm: int


@dataclass(frozen=True, kw_only=True)
class ScanPlan:
    """What a scan takes.

    Attributes:
        suspects: distinct models.
        rate: of false accusations.
        references: at hand.
        least: copies that there must be, so that Benjamini-Hochberg finds them with these; None: it finds none.
        takes: for some numbers of copies, ascending.
    """

    suspects: int
    rate: float
    references: int
    least: int | None
    takes: tuple[Takes, ...]

    @property
    def words(self) -> str:
        """What the references at hand are good for, in a sentence."""
        told = f"With the {self.references} references at hand"
        if self.least is None:
            return (
                f"{told} no copy among {self.suspects} suspects can be found at {self.rate:g}, however many there are."
            )
        if self.least == 1:
            return f"{told} a single copy among {self.suspects} suspects can be found at {self.rate:g}."
        return (
            f"{told} copies among {self.suspects} suspects can be found at {self.rate:g} only where they are at least "
            f"{self.least}, all of them above every reference."
        )


def plan_scan(rate: float, *, suspects: int, references: int) -> ScanPlan:
    """Say what finding copies among so many suspects takes.

    Args:
        rate: of false accusations, after the correction.
        suspects: distinct models of the scan.
        references: at hand.

    Example:
        >>> plan_scan(0.05, suspects=20, references=19).words
        'With the 19 references at hand copies among 20 suspects can be found at 0.05 only where they are at least 20, \
all of them above every reference.'

    Raises:
        OptionError: the rate is not in (0, 1), or there is no suspect.
    """
    counts = sorted({1, suspects, *(max(1, suspects // share) for share in _SHARES)})
    alone = references_for(rate, suspects=suspects)
    return ScanPlan(
        suspects=suspects,
        rate=rate,
        references=references,
        least=copies_found(rate, suspects=suspects, references=references),
        takes=tuple(
            Takes(copies=k, benjamini_hochberg=references_for(rate, suspects=suspects, copies=k), holm=alone)
            for k in counts
        ),
    )
