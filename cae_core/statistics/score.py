"""The scores by which a suspect may be ranked, and what people call them."""

from enum import StrEnum

from cae_core.statistics.choices import choice_named

__all__ = ["Score"]


class Score(StrEnum):
    """The fraction of matches, the mean log-likelihood ratio of surrogate to reference, or the adjusted matches.

    The second is in nats an example; the third is what of the matches benign accuracy does not explain, in standard
    deviations (`cae_core.statistics.adjustment`).
    """

    CAEACC = "caeacc"
    LLR = "llr"
    ADJUSTED = "adjusted"

    @property
    def words(self) -> str:
        """What people call it."""
        return {
            "caeacc": "CAEAcc",
            "llr": "mean log-likelihood ratio",
            "adjusted": "adjusted score",
        }[self.value]

    @property
    def unit(self) -> str:
        """What one of it is; empty where it is a fraction."""
        return {"llr": "nats an example", "adjusted": "standard deviations"}.get(self.value, "")

    @classmethod
    def named(cls, name: str) -> "Score":
        """Return the score that is called ``name``.

        Raises:
            OptionError: there is none.
        """
        return choice_named(cls, name, option="score")
