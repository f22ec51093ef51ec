"""What a method of the arena is: queries made from the source, and one number from a suspect's answers to them.

Ours and every rival are a `Method`. A `MethodKind` makes one of a table of parameters; kinds are found by name, those
of other packages through the entry points of the group ``cae.methods`` (see `cae_core.arena.kinds`).
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias, cast, runtime_checkable

from cae_core.arena.material import Material
from cae_core.arena.queries import Queries
from cae_core.errors import OptionError, quoted
from cae_core.files.fields import read_fields
from cae_core.models import Predictions
from cae_core.progress import StageProgress

__all__ = ["MOST_CONFIGURATIONS", "Answer", "Method", "MethodKind", "Needs", "adjusts"]

MOST_CONFIGURATIONS = 8
"""Of one method: whoever may try more finds one that fits the models at hand by chance."""

Answer: TypeAlias = Literal["labels", "probabilities"]
"""What a suspect has to tell."""


@dataclass(frozen=True, kw_only=True)
class Needs:
    """What a method takes.

    Attributes:
        answers: what the method needs of a suspect's answers.
        gradients: whether the method needs gradients of the source.
        pools: surrogates and references of the role *generate*.
        own_budget: whether it asks more than a budget's number of images, so that its budget is its own.
    """

    answers: Answer = "labels"
    gradients: bool = False
    pools: bool = False
    own_budget: bool = False

    @property
    def words(self) -> str:
        """What it takes, in words.

        Example:
            >>> Needs(gradients=True).words
            'labels; gradients'
        """
        more = (("gradients", self.gradients), ("pools", self.pools), ("a budget of its own", self.own_budget))
        return "; ".join([self.answers, *(words for words, needed in more if needed)])


@runtime_checkable
class Method(Protocol):
    """A method with its parameters: a frozen dataclass, whose fields they are.

    Two attributes are optional. ``adjusts``: whether the score is a rate in [0, 1] that is ranked by what benign
    accuracy does not explain of it, where there are references enough. ``matches``: whether it is the share of
    queries that are answered with their ``labels``, so that ``+screened`` can choose among the queries.
    """

    @property
    def needs(self) -> Needs:
        """What it takes."""
        ...

    def make(self, material: Material, budgets: Sequence[int], *, progress: StageProgress) -> Queries:
        """Return the queries, with a plan for each of the ``budgets``, ascending; see `Queries.in_order`.

        Raises:
            GenerationError: none can be made of this material; the comparison says so and goes on.
        """
        ...

    def score(self, queries: Queries, answers: Predictions) -> float:
        """Return how alike a suspect is, the higher the more, from its ``answers`` to ``queries``, a plan's rows.

        A refused query has the label `cae_core.models.NO_ANSWER`. Probabilities are there where `Needs.answers` asks
        for them.
        """
        ...


def adjusts(method: Method) -> bool:
    """Return whether the method's score is ranked by what benign accuracy does not explain of it."""
    return bool(getattr(method, "adjusts", False))


@dataclass(frozen=True, kw_only=True)
class MethodKind:
    """A method by its name, before its parameters are chosen.

    Attributes:
        name: letters, digits and hyphens.
        words: what it does, and of which paper it is.
        build: the class of the method, a frozen dataclass.
        configurations: the tables of parameters that are tried, by name, at most eight; the first is the usual one.
    """

    name: str
    words: str
    build: type[Method]
    configurations: Mapping[str, Mapping[str, Any]] = field(default_factory=lambda: {"usual": {}})

    def __post_init__(self) -> None:
        if not 1 <= len(self.configurations) <= MOST_CONFIGURATIONS:
            raise OptionError(
                f"{self.name}: a method has 1 to {MOST_CONFIGURATIONS} configurations; found "
                f"{len(self.configurations)}. Leave some out."
            )

    def configured(self, name: str) -> Method:
        """Return the method with the configuration ``name``.

        Raises:
            OptionError: there is none of this name.
        """
        if name not in self.configurations:
            known = ", ".join(self.configurations)
            raise OptionError(f"{self.name} has no configuration {quoted(name)}; it has {known}.")
        return self.with_parameters(self.configurations[name])

    def with_parameters(self, parameters: Mapping[str, Any]) -> Method:
        """Return the method with these parameters, and the class's own for the others.

        Raises:
            OptionError: one is unknown, of another type, or outside its range.
        """
        build = cast("Callable[..., Method]", self.build)
        try:
            return build(**read_fields(self.build, parameters))
        except OptionError as error:
            raise OptionError(f"{self.name}: {error}") from error
