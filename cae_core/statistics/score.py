"""The scores by which a suspect may be ranked, and what people call them."""

from enum import StrEnum

from cae_core.errors import OptionError

__all__ = ["Score"]


class Score(StrEnum):
    """The fraction of matches, or the mean log-likelihood ratio of surrogate to reference, in nats an example."""

    CAEACC = "caeacc"
    LLR = "llr"

    @property
    def words(self) -> str:
        """What people call it."""
        return {"caeacc": "CAEAcc", "llr": "mean log-likelihood ratio"}[self.value]

    @classmethod
    def named(cls, name: str) -> "Score":
        """Return the score that is called ``name``.

        Raises:
            OptionError: there is none.
        """
        if name not in tuple(cls):
            raise OptionError(f"score must be one of {', '.join(cls)}; found {name!r}.")
        return cls(name)
