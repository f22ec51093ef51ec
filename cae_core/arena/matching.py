"""Methods whose score is how many of their queries are answered as expected."""

from typing import ClassVar

from cae_core.arena.method import Needs
from cae_core.arena.queries import Queries
from cae_core.models import Predictions

__all__ = ["Matching", "match_rate"]


def match_rate(queries: Queries, answers: Predictions) -> float:
    """Return the share of ``queries`` that are answered with their labels, in [0, 1]; a refusal is none of them."""
    return float((answers.labels == queries.labels).mean()) if len(queries) else 0.0


class Matching:
    """What these methods share; their queries' labels are what the source answers."""

    matches: ClassVar[bool] = True

    @property
    def needs(self) -> Needs:
        """Labels of a suspect, and gradients of the source."""
        return Needs(gradients=True)

    def score(self, queries: Queries, answers: Predictions) -> float:
        """Return the match rate."""
        return match_rate(queries, answers)
