"""The settings of a generation and its presets."""

import math
from dataclasses import dataclass
from typing import Any, Literal, Self

from cae_core.errors import OptionError
from cae_core.files.fields import check_choices
from cae_core.method.adam import AdamForm
from cae_core.method.ball import Ball
from cae_core.method.objectives.composite import CompositeLoss
from cae_core.method.objectives.margins import MarginLoss
from cae_core.method.objectives.objective import Objective
from cae_core.models import Precision

__all__ = ["PRESETS", "GenerationSettings"]


@dataclass(frozen=True, kw_only=True)
class GenerationSettings:
    """Everything that decides what is generated, apart from the models and the data.

    Attributes:
        eps: radius of the ball, on the scale [0, 1].
        norm: ``"linf"`` or ``"l2"``.
        count: how many examples are wanted.
        seed: of the order of seeds and of the dropout masks.
        objective: ``"composite"`` (Eq. 5), ``"composite-keras"`` (clipped as the report's code does) or ``"margins"``.
        target: the composite loss's label: ``"max"`` conferrability (paper) or the ``"source"``'s (report's code).
        w_confer: α of the composite loss.
        w_adversarial: β of the composite loss.
        w_transfer: γ of the composite loss.
        cap: of the margins.
        w_references: of the margins.
        iterations: steps for each image.
        learning_rate: of Adam, about the way of one step on the scale [0, 1]; None: four times what reaches eps.
        dropout: probability that a pool member sits out one iteration.
        tau: least conferrability of an accepted example, over every pool member.
        min_margin: least logit margin of the source at its label: near-ties flip between runtimes.
        check_every: steps between acceptance checks; 0: only at the end of an image's iterations.
        batch: images searched together.
        ranking: ``"screened"``: seeds with the most prior evidence for a wrong label first; ``"random"``.
        max_seeds: how many seeds may be tried; None: all that the source classifies correctly.
        precision: arithmetic of the search; acceptance is float32 always.
        akh: benign images wanted that the source gets wrong, see `cae_core.generation.source_errors`; they decide
            nothing.
        adam: ``"paper"``, or ``"keras"`` as the report's code computes it, see `cae_core.method.adam.AdamForm`.
    """

    eps: float
    norm: Literal["linf", "l2"] = "linf"
    count: int = 100
    seed: int = 0
    objective: Literal["composite", "composite-keras", "margins"] = "margins"
    target: Literal["max", "source"] = "max"
    w_confer: float = 1.0
    w_adversarial: float = 1.0
    w_transfer: float = 1.0
    cap: float = 6.0
    w_references: float = 2.0
    iterations: int = 60
    learning_rate: float | None = None
    dropout: float = 0.3
    tau: float = 0.8
    min_margin: float = 0.1
    check_every: int = 10
    batch: int = 100
    ranking: Literal["screened", "random"] = "screened"
    max_seeds: int | None = None
    precision: Precision = "float32"
    akh: int = 0
    adam: AdamForm = "paper"

    def __post_init__(self) -> None:
        self.ball()
        for name, low in (("count", 1), ("iterations", 1), ("batch", 1), ("check_every", 0), ("seed", 0), ("akh", 0)):
            if getattr(self, name) < low:
                raise OptionError(f"{name} must be at least {low}; found {getattr(self, name)}.")
        if self.max_seeds is not None and self.max_seeds < 1:
            raise OptionError(f"max_seeds must be at least 1; found {self.max_seeds}.")
        for name, value in (("dropout", self.dropout), ("tau", self.tau)):
            if not 0 <= value < 1:
                raise OptionError(f"{name} must lie in [0, 1); found {value:g}.")
        for name, value in vars(self).items():
            if isinstance(value, float) and not math.isfinite(value):
                raise OptionError(f"{name} must be a finite number; found {value:g}.")
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise OptionError(f"learning_rate must be above 0; found {self.learning_rate:g}.")
        check_choices(self)

    @classmethod
    def from_preset(cls, preset: str, **changes: Any) -> Self:  # noqa: ANN401 - the fields have different types
        """Return a preset's settings with ``changes``; a change of None leaves the preset's value."""
        if preset not in PRESETS:
            raise OptionError(f"There is no preset {preset!r}; there are {', '.join(PRESETS)}.")
        given = {name: value for name, value in changes.items() if value is not None}
        return cls(**{**PRESETS[preset], **given})

    @property
    def step_size(self) -> float:
        """Adam's learning rate. Adam moves about one learning rate a step, so the default is tied to eps."""
        return self.learning_rate if self.learning_rate is not None else 4 * self.eps / self.iterations

    def ball(self) -> Ball:
        """Return the ball that every example stays in."""
        return Ball(self.eps, self.norm)

    def make_objective(self) -> Objective:
        """Return the objective."""
        if self.objective == "margins":
            return MarginLoss(cap=self.cap, w_references=self.w_references)
        return CompositeLoss(
            w_confer=self.w_confer,
            w_adversarial=self.w_adversarial,
            w_transfer=self.w_transfer,
            target=self.target,
            keras_clipping=self.objective == "composite-keras",
        )

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: what came later is told only where it is used, so that old ids stay."""
        return {name: value for name, value in vars(self).items() if (name, value) not in _LATER.items()}


_LATER: dict[str, Any] = {"akh": 0, "adam": "paper"}
# Settings that fingerprints of before do not name, with the value that they had.

_REPORT: dict[str, Any] = {
    "eps": 0.025,
    "objective": "composite-keras",
    "iterations": 300,
    "learning_rate": 5e-4,
    "tau": 0.95,
    "min_margin": 0.0,
    "check_every": 0,
    "ranking": "random",
    "adam": "keras",
}

PRESETS: dict[str, dict[str, Any]] = {
    "default": {"eps": 8 / 255},
    "report": _REPORT,  # the 2023 report's text: all iterations, then the filter
    "report-code": {  # its code
        **_REPORT,
        "eps": 0.15,
        "target": "source",
        "iterations": 100,
        "tau": 0.85,
    },
}
"""What each preset changes; the report's settings are kept so that its figures can be reproduced."""
