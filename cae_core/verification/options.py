"""How a suspect is asked and judged."""

from dataclasses import dataclass

from cae_core.errors import OptionError
from cae_core.verification.beacon import check_beacon

__all__ = ["DEFAULT", "EARLIER_RULES", "RULE", "VerificationOptions", "factor_of"]

EARLIER_RULES = {
    1: "By that rule the rank among independent models alone decided an accusation, whatever known copies scored, "
    "and one benign image could decide whether the references cover the suspect's accuracy.",
    2: "By that rule a suspect below every known copy was not accused, however few copies were known.",
    3: "By that rule CAEAcc did not count beside the adjusted score, unless the suspect was more or less accurate than "
    "every reference.",
}
"""The rules of earlier releases, kept so that old records can be derived again, and what each did otherwise."""

RULE = len(EARLIER_RULES) + 1
"""The present rule."""


@dataclass(frozen=True, kw_only=True)
class VerificationOptions:
    """How a suspect is asked and judged.

    Attributes:
        sequential: whether to ask one example at a time and stop as soon as the answers settle the verdict.
        max_queries: largest number of images that are asked, see `plan_questions`; None: all.
        allow_extrapolation: whether a verdict stands although the references do not cover the suspect's accuracy.
        claimed_accuracy: accuracy that the suspect's owner claims, in (0, 1]; None: no claim.
        rule: number of the rule by which the answers are judged. 4: the present one. 3, for earlier records: the
            adjusted score decides alone within the references' accuracies. 2: moreover, known copies, however few, keep
            a suspect below all of them from being accused. 1: moreover, 50 benign probes are asked, an accuracy beyond
            the references' by a single image makes a verdict inconclusive, known copies cannot keep a suspect from
            being accused, and a sequential run that can decide nothing is asked to its end.
        verifications: number of verifications of this suspect, this one included, of which one could have been
            chosen; a ledger counts them. Each one after the first doubles p. It is 1 if no order could be chosen,
            because everything was asked.
        recognised: number of further verifications that only the answers showed to be of this suspect.
        beacon: value of a public beacon in hexadecimal digits, which determines the order of the sequential mode; the
            mode then stops by path ranks. Empty: it stops by an e-process, in the nonce's order.
        beacon_time: time at which the beacon was published, ISO 8601; empty without a beacon.
        recorded: whether somebody else recorded the answers, to all images, each asked once and in no order.
        versions: number of versions that a service has named while it was asked, the declared one included; more than
            one are several suspects, about which nothing is said.
        defence: defence that is simulated in front of the suspect, see `cae_core.defences`; the verdict is then about
            what would be. Empty: none.
    """

    sequential: bool = False
    max_queries: int | None = None
    allow_extrapolation: bool = False
    claimed_accuracy: float | None = None
    rule: int = RULE
    verifications: int = 1
    recognised: int = 0
    beacon: str = ""
    beacon_time: str = ""
    recorded: bool = False
    versions: int = 1
    defence: str = ""

    def __post_init__(self) -> None:
        if self.claimed_accuracy is not None and not 0 < self.claimed_accuracy <= 1:
            raise OptionError(f"The claimed accuracy must lie in (0, 1]; found {self.claimed_accuracy}.")
        if not 1 <= self.rule <= RULE:
            earlier = ", ".join(map(str, EARLIER_RULES))
            raise OptionError(
                f"There are the rules {earlier} and {RULE}; found {self.rule}. A later release may know it."
            )
        check_beacon(self.beacon, self.beacon_time, sequential=self.sequential)
        if self.beacon and self.rule == 1:
            raise OptionError("Rule 1 knows no beacons. Leave the beacon out, or take a later rule.")
        if self.recorded and (self.sequential or self.max_queries is not None):
            raise OptionError(
                "Recorded answers answer all questions at once. Leave --sequential and --max-queries out, or ask the "
                "suspect."
            )
        if self.defence:
            from cae_core.defences.table import check_defence

            check_defence(self.defence)
            if self.recorded:
                raise OptionError(
                    "Recorded answers were given without a defence, and nobody is asked again. Leave --defence out, or "
                    "ask the suspect."
                )
        if self.versions < 1:
            raise OptionError(f"The versions of a service are counted from 1; found {self.versions}.")
        if self.verifications < 1 or self.recognised < 0:
            raise OptionError(
                "The verifications of a suspect are counted from 1, this one included, and those recognised from 0; "
                f"found {self.verifications} and {self.recognised}."
            )

    @property
    def all_probes(self) -> bool:
        """Whether all benign probes are asked that the budget allows; the sequential mode asks few."""
        return self.rule > 1 and not self.sequential

    @property
    def weighs_copies(self) -> bool:
        """Whether the number of known copies counts if a suspect scores below all of them."""
        return self.rule > 2

    @property
    def ranks_plainly(self) -> bool:
        """Whether CAEAcc counts beside the adjusted score at any accuracy, not only outside the references' range."""
        return self.rule > 3

    @property
    def factor(self) -> float:
        """Factor by which p is multiplied for earlier verifications, see `factor_of`."""
        return factor_of(self.verifications + self.recognised)

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: a field that came later is told only where it is not what was meant before there was it."""
        return {name: value for name, value in vars(self).items() if name not in _BEFORE or _BEFORE[name] != value}


_BEFORE = {
    "rule": 1,
    "verifications": 1,
    "recognised": 0,
    "beacon": "",
    "beacon_time": "",
    "recorded": False,
    "versions": 1,
    "defence": "",
}
"""Of each field that came later, its value in the records of before."""

_MOST_DOUBLINGS = 60


def factor_of(verifications: int) -> float:
    """Return 2 to the number of verifications after the first.

    Whoever verifies again in another order, and stops when it suits, has many chances. If the i-th chance is taken at
    the rate / 2^(i-1), all that come after the first add at most the rate once more, however many they are: Σ 2^(1-i)
    is 2. The plain count, rate / i, would add (1/2 + 1/3 + ...) times the rate, which has no bound.

    Example:
        >>> factor_of(1), factor_of(2), factor_of(4)
        (1.0, 2.0, 8.0)
    """
    return 2.0 ** min(verifications - 1, _MOST_DOUBLINGS)


DEFAULT = VerificationOptions()
"""All examples and benign probes, asked at once."""
