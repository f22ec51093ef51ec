"""How a suspect is asked and judged."""

from dataclasses import dataclass

from cae_core.errors import OptionError

__all__ = ["DEFAULT", "EARLIER_RULES", "RULE", "VerificationOptions"]

EARLIER_RULES = {
    1: "There the rank among independent models alone decided an accusation, whatever known copies score, and one "
    "benign image could decide whether the suspect's accuracy is covered.",
}
"""The rules of earlier releases, kept so that old records can be derived again, and what each did otherwise."""

RULE = len(EARLIER_RULES) + 1
"""The present rule."""


@dataclass(frozen=True, kw_only=True)
class VerificationOptions:
    """How a suspect is asked and judged.

    Attributes:
        sequential: ask one example at a time and stop once the answer is certain enough.
        max_queries: budget, see `plan_questions`.
        allow_extrapolation: let a verdict stand although the references do not cover the suspect's accuracy.
        claimed_accuracy: of the suspect, by its owner, 0 to 1.
        rule: by which the answers are judged. 2: the present one. 1, for records of before: 50 benign probes are asked,
            an accuracy beyond the references' by a single image makes a verdict inconclusive, known copies cannot keep
            a suspect from being accused, and a sequential run that can decide nothing is asked to its end.
    """

    sequential: bool = False
    max_queries: int | None = None
    allow_extrapolation: bool = False
    claimed_accuracy: float | None = None
    rule: int = RULE

    def __post_init__(self) -> None:
        if self.claimed_accuracy is not None and not 0 < self.claimed_accuracy <= 1:
            raise OptionError(f"The claimed accuracy must lie in (0, 1]; found {self.claimed_accuracy}.")
        if not 1 <= self.rule <= RULE:
            earlier = ", ".join(map(str, EARLIER_RULES))
            raise OptionError(
                f"There are the rules {earlier} and {RULE}; found {self.rule}. A later release may know it."
            )

    @property
    def all_probes(self) -> bool:
        """Whether every benign probe is asked that the budget allows: not where few queries are the point."""
        return self.rule > 1 and not self.sequential

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: ``rule`` is told only where it is not 1, as before there was any other."""
        return {name: value for name, value in vars(self).items() if name != "rule" or value != 1}


DEFAULT = VerificationOptions()
"""All examples and benign probes, asked at once."""
