"""What an accusation rejects: the hypothesis that a calibration declares before any suspect is asked."""

from enum import StrEnum

from cae_core.statistics.choices import choice_named

__all__ = ["NullHypothesis"]


class NullHypothesis(StrEnum):
    """Among what an independent suspect's match with the claimed source would be one more draw.

    ``references``: among those of the calibration references, so that the suspect has to be like them. ``sources``:
    among its own matches with control sources, made as the claimed one is; the suspect may be anything. ``two-way``:
    among all pairs of a reference, or the suspect, with a source; it takes both, and few of either. ``both``: the
    larger p of ``references`` and ``sources``, so that it holds where either does, and only takes accusations away.

    Each keeps its rate; the smallest of several does not.
    """

    REFERENCES = "references"
    SOURCES = "sources"
    TWO_WAY = "two-way"
    BOTH = "both"

    @property
    def asks_controls(self) -> bool:
        """Whether a suspect is asked the control sources' examples."""
        return self != NullHypothesis.REFERENCES

    @property
    def for_any_suspect(self) -> bool:
        """Whether it holds for a suspect of any kind, if the claimed source is one more of the sources."""
        return self in (NullHypothesis.SOURCES, NullHypothesis.BOTH)

    @classmethod
    def named(cls, name: str) -> "NullHypothesis":
        """Return the one that is called ``name``.

        Raises:
            OptionError: there is none.
        """
        return choice_named(cls, name, option="null")
