"""What a comparison fixes before any model is asked."""

from dataclasses import dataclass
from typing import Literal, TypeAlias

from cae_core.defences.table import check_defence
from cae_core.errors import OptionError
from cae_core.statistics.ranks import models_needed

__all__ = ["BUDGETS", "JUDGED_ROLES", "CompareSettings", "JudgedRole"]

JudgedRole: TypeAlias = Literal["test", "screen"]
"""Whose models are the suspects."""

JUDGED_ROLES: tuple[JudgedRole, ...] = ("test", "screen")

BUDGETS = (10, 20, 50, 100, 200)

_MOST = 10_000


@dataclass(frozen=True, kw_only=True)
class CompareSettings:
    """What is compared, and how.

    Attributes:
        budgets: scoring queries, ascending.
        rate: requested rate of false accusations, in (0, 1).
        role: whose models are judged. With *screen* nothing is chosen: every configuration is shown.
        seed: random seed for everything that is drawn.
        choose: whether of several configurations one is chosen; else the usual one takes part.
        defence: simulated before each suspect, see `cae_core.defences`: what would be if all had it. Empty: none.
    """

    budgets: tuple[int, ...] = BUDGETS
    rate: float = 0.05
    role: JudgedRole = "test"
    seed: int = 0
    choose: bool = True
    defence: str = ""

    def __post_init__(self) -> None:
        models_needed(self.rate)
        if not self.budgets or list(self.budgets) != sorted(set(self.budgets)):
            raise OptionError(f"Budgets are whole numbers, each once and ascending; found {self.budgets}.")
        if not 1 <= self.budgets[0] <= self.budgets[-1] <= _MOST:
            raise OptionError(f"A budget is 1 to {_MOST} queries; found {self.budgets}.")
        if self.role not in JUDGED_ROLES:
            raise OptionError(
                f"The suspects are of the role test or screen; found {self.role}. The role calibrate gives the "
                "references that they are ranked among, and generate what methods are made of: neither is judged."
            )
        if self.defence:
            check_defence(self.defence)
        if self.seed < 0:
            raise OptionError(f"seed must be at least 0; found {self.seed}.")
