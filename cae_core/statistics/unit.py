"""What is counted as one draw where a suspect is ranked: a model, or all models of one recipe or architecture.

Seeds of one recipe are much alike. A suspect of a recipe that the references lack is one more *recipe* rather than one
more model, and among models its rate is not kept; among recipes it is.
"""

from enum import StrEnum

from cae_core.statistics.choices import choice_named

__all__ = ["Unit"]


class Unit(StrEnum):
    """The unit of the null hypothesis; ``group`` takes the larger p of recipes and architectures."""

    MODEL = "model"
    RECIPE = "recipe"
    ARCHITECTURE = "architecture"
    GROUP = "group"

    @property
    def attributes(self) -> tuple["Unit", ...]:
        """By what models are put together, each with a p of its own."""
        return (Unit.RECIPE, Unit.ARCHITECTURE) if self == Unit.GROUP else (self,)

    @property
    def plural(self) -> str:
        """Several of them, in words."""
        return f"{self.value}s"

    @classmethod
    def named(cls, name: str) -> "Unit":
        """Return the unit that is called ``name``.

        Raises:
            OptionError: there is none.
        """
        return choice_named(cls, name, option="unit")
