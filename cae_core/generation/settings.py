"""The settings of a generation and its presets."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Self

from cae_core.errors import OptionError
from cae_core.fingerprint.example_kinds import BLEND, NATURAL_ERROR, PERTURBED, PERTURBED_ERROR, ExampleKind
from cae_core.method.adam import AdamForm
from cae_core.method.ball import Ball
from cae_core.method.objectives.objective import Objective
from cae_core.method.objectives.options import check_values
from cae_core.method.objectives.table import OBJECTIVES, OPTIONS, ObjectiveOptions, objective_named, objectives_with
from cae_core.models import Precision

__all__ = ["PRESETS", "PRESET_SPLITS", "GenerationSettings", "without_unused"]


@dataclass(frozen=True, kw_only=True)
class GenerationSettings(ObjectiveOptions):
    """Everything that decides what is generated, apart from the models and the data.

    The options of the objectives are settings too. One that the chosen objective does not read keeps its default.

    Attributes:
        eps: largest change of an image, the radius of the ball, on the scale [0, 1].
        norm: norm of the change, ``"linf"`` or ``"l2"``.
        count: number of examples that are wanted.
        seed: random seed for the order of the seed images and for the dropout masks.
        objective: name of the loss in `OBJECTIVES`; its options stand beside its class.
        iterations: search steps for each image.
        learning_rate: learning rate of Adam, about the length of one step on the scale [0, 1]; None: four times the
            rate that reaches eps.
        dropout: probability that a pool member is left out of one iteration.
        tau: least conferrability of an accepted example, over every pool member.
        min_margin: least logit margin of the source at its label: near-ties flip between runtimes.
        check_every: number of steps between acceptance checks; 0: only at the end of an image's iterations.
        batch: number of images searched together.
        ranking: order of the seeds: ``"screened"``, those with the most prior evidence for a wrong label first, or
            ``"random"``.
        max_seeds: number of seeds that may be tried; None: all that the source classifies correctly.
        precision: arithmetic of the search, ``"float32"`` or ``"bfloat16"``; acceptance is always in float32.
        akh: number of benign images to add that the source gets wrong, see `cae_core.generation.source_errors`; they
            decide nothing.
        adam: form of Adam: ``"paper"``, or ``"keras"`` as the report's code computes it, see
            `cae_core.method.adam.AdamForm`.
        errors: share of examples that are perturbed errors of the source, in [0, 1]; see
            `cae_core.fingerprint.example_kinds`. The remaining examples are perturbed images that it gets right.
        natural: share of examples that are natural errors of the source, unchanged.
        blends: share of examples that are two images put together.
        blend_candidates: number of pairs of images that are put together to choose from.
        label_quota: largest share of the examples of one kind that one label may hold while others are available, in
            (0, 1]; None: any.
    """

    eps: float
    norm: Literal["linf", "l2"] = "linf"
    count: int = 100
    seed: int = 0
    objective: str = "margins"
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
    errors: float = 0.0
    natural: float = 0.0
    blends: float = 0.0
    blend_candidates: int = 20_000
    label_quota: float | None = None

    def __post_init__(self) -> None:
        self.ball()
        for name, low in _LEAST.items():
            if getattr(self, name) < low:
                raise OptionError(f"{name} must be at least {low}; found {getattr(self, name)}.")
        if self.max_seeds is not None and self.max_seeds < 1:
            raise OptionError(f"max_seeds must be at least 1; found {self.max_seeds}.")
        for name, value in (("dropout", self.dropout), ("tau", self.tau)):
            if not 0 <= value < 1:
                raise OptionError(f"{name} must lie in [0, 1); found {value:g}.")
        check_values(self)
        if self.learning_rate is not None and self.learning_rate <= 0:
            raise OptionError(f"learning_rate must be above 0; found {self.learning_rate:g}.")
        self._refuse_shares()
        self._refuse_unused()
        self.make_objective()

    def _refuse_shares(self) -> None:
        shares = {name: getattr(self, name) for name in ("errors", "natural", "blends")}
        for name, share in shares.items():
            if not 0 <= share <= 1:
                raise OptionError(f"{name} must lie in [0, 1]; found {share:g}.")
        if sum(shares.values()) > 1 + _TINY:
            told = ", ".join(f"{name} {share:g}" for name, share in shares.items())
            raise OptionError(f"The shares of kinds of examples must add up to at most 1; found {told}. Lower one.")
        if self.label_quota is not None and not 0 < self.label_quota <= 1:
            raise OptionError(f"label_quota must lie in (0, 1]; found {self.label_quota:g}.")

    def _refuse_unused(self) -> None:
        used = objective_named(self.objective).options
        for option in OPTIONS:
            value = getattr(self, option.name)
            if option not in used and value != option.default:
                raise OptionError(
                    f"{option.name} is an option of {' and '.join(objectives_with(option))}; found {value!r} with the "
                    f"objective {self.objective}, which does not read it. Leave it out, or choose another objective."
                )

    @classmethod
    def from_preset(cls, preset: str, **changes: Any) -> Self:  # noqa: ANN401 - the fields have different types
        """Return a preset's settings with ``changes``; a change of None leaves the preset's value.

        What the preset says of its own objective is left out where another one is chosen.
        """
        if preset not in PRESETS:
            raise OptionError(f"There is no preset {preset!r}; there are {', '.join(PRESETS)}.")
        given = {name: value for name, value in changes.items() if value is not None}
        return cls(**{**without_unused({**PRESETS[preset], **given}), **given})

    @property
    def mixed(self) -> bool:
        """Whether anything but perturbed images that the source gets right is wanted, or labels have a quota."""
        return self.label_quota is not None or max(self.errors, self.natural, self.blends) > 0

    def wanted(self) -> dict[ExampleKind, int]:
        """Return how many examples of each kind are wanted; together they are ``count``."""
        wanted, told, share = dict[ExampleKind, int](), 0, 0.0
        for kind, own in ((NATURAL_ERROR, self.natural), (BLEND, self.blends), (PERTURBED_ERROR, self.errors)):
            share += own
            wanted[kind] = int(share * self.count + _TINY) - told
            told += wanted[kind]
        return {**wanted, PERTURBED: self.count - told}

    def label_cap(self, count: int) -> int:
        """Return how many of ``count`` examples one label may hold, at least 1."""
        return count if self.label_quota is None else max(1, int(self.label_quota * count + _TINY))

    @property
    def step_size(self) -> float:
        """Adam's learning rate. Adam moves about one learning rate a step, so the default is tied to eps."""
        return self.learning_rate if self.learning_rate is not None else 4 * self.eps / self.iterations

    def ball(self) -> Ball:
        """Return the ball that every example stays in."""
        return Ball(self.eps, self.norm)

    def make_objective(self) -> Objective:
        """Return the objective."""
        return objective_named(self.objective).build(self)

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: what came later is told only where it is used, so that old ids stay."""
        read = {option.name for option in objective_named(self.objective).options}
        unread = {option.name for option in OPTIONS} - read - _ALWAYS
        told = {name: getattr(self, name) for name in _names() if name not in unread}
        return {name: value for name, value in told.items() if (name, value) not in _LATER.items()}


def without_unused(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``settings`` without the options that their objective does not read, which have no effect.

    This is for what nobody chose, such as a preset's options, and for records of releases that kept every option.
    """
    kind = OBJECTIVES.get(settings.get("objective", GenerationSettings.objective))
    unused = {option.name for option in OPTIONS if kind is not None and option not in kind.options}
    return {name: value for name, value in settings.items() if name not in unused}


def _names() -> list[str]:
    """Return the names of all settings in the order of the records: the objectives' options follow the objective."""
    options = [option.name for option in OPTIONS]
    own = [field.name for field in dataclasses.fields(GenerationSettings) if field.name not in options]
    after = own.index("objective") + 1
    return [*own[:after], *options, *own[after:]]


_LEAST = {"count": 1, "iterations": 1, "batch": 1, "check_every": 0, "seed": 0, "akh": 0, "blend_candidates": 1}
"""The least value of each whole number."""

_TINY = 1e-9
"""What sums of shares may be wrong by."""

_ALWAYS = {"target", "w_confer", "w_adversarial", "w_transfer", "cap", "w_references"}
"""Options that every fingerprint names, whatever its objective; those of later objectives stand with their own only."""

_LATER: dict[str, Any] = {
    "akh": 0,
    "adam": "paper",
    "errors": 0.0,
    "natural": 0.0,
    "blends": 0.0,
    "blend_candidates": 20_000,
    "label_quota": None,
}
"""Settings that earlier fingerprints do not name, each with the value that it had for them."""

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

_DEFAULT: dict[str, Any] = {"eps": 8 / 255, "count": 150, "natural": 1.0, "label_quota": 1 / 3}
"""The mixture that tells most on development models (docs/results/thieves.md); other kinds fill what is lacking."""

PRESETS: dict[str, dict[str, Any]] = {
    "default": _DEFAULT,
    "perturbed": {"eps": 8 / 255},  # only images that the source gets right, as in the paper
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

PRESET_SPLITS = {"default": "all"}
"""The part of the data from which a preset takes its seeds, where it is not the test images."""
