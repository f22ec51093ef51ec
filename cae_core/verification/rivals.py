"""A suspect whose contract is not certain: it is asked by each that fits, and the verdict that says least counts.

Each side takes its largest p. An accusation holds if the suspect is accused by every contract that may be its own, and
"independent" likewise; so what holds by the right one, whichever it is, is never overstated.
"""

from collections.abc import Sequence

from cae_core.errors import VerdictError
from cae_core.verification.verdict import Verdict

__all__ = ["that_says_least"]


def that_says_least(verdicts: Sequence[Verdict], name: str) -> int:
    """Return which of the verdicts by several contracts says least.

    An inconclusive one, if there is any; else all say the same, and it is the one with the largest p on its side;
    of equals, the one whose score is nearest to the other side.

    Raises:
        VerdictError: the suspect is accused by one contract and called independent by another.
    """
    outcomes = [each.decision.verdict for each in verdicts]
    if {*outcomes} == {"surrogate", "independent"}:
        raise VerdictError(
            f"{name}: by one contract that may be its own it is a surrogate, and by another it is independent. "
            "State its contract (--contract)."
        )
    least = "inconclusive" if "inconclusive" in outcomes else outcomes[0]
    return max((i for i, outcome in enumerate(outcomes) if outcome == least), key=lambda i: _doubt(verdicts[i]))


def _doubt(verdict: Verdict) -> tuple[float, float]:
    """Return p, 0 where uncalibrated, and how near the score is to the other side."""
    decision = verdict.decision
    low = decision.verdict == "independent"
    p = decision.p_value_surrogate if low else decision.p_value
    return p or 0.0, decision.value if low else -decision.value
