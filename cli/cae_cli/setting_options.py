"""The options of `cae generate` that are settings, each with its setting's name; the objectives' come from their table.

They are read only when `cae generate` itself is asked: the table loads NumPy, and the other commands begin without it.
"""

from collections.abc import Callable, Iterable
from functools import cache
from inspect import Parameter, Signature, signature
from typing import Any, TypeVar

import typer
from typer.core import TyperCommand
from typer.main import get_command

from cae_cli.completion import completing, objectives
from cae_cli.options import parse_eps

__all__ = ["CommandWithSettings", "takes_settings"]

_Function = TypeVar("_Function", bound=Callable[..., None])

_SEARCH, _LOSS, _KINDS = "The search", "The loss", "Kinds of examples"
"""The panels of the help in which the settings stand."""

_OF_KINDS = ("count", "errors", "natural", "blends", "blend_candidates", "label_quota", "akh")


class CommandWithSettings(TyperCommand):
    """A command that takes the settings before its option ``--output``, and gives them to its function by keyword."""

    def get_params(self, ctx: Any) -> list[Any]:  # noqa: ANN401 - click's, of which Typer has a copy
        """Return the parameters of the command's function, and the settings among them."""
        own = super().get_params(ctx)
        place = [parameter.name for parameter in own].index("output")
        return [*own[:place], *_parameters(), *own[place:]]


def takes_settings(run: _Function) -> _Function:
    """Hide the ``**settings`` of a command's function from Typer, which cannot read them and passes them anyway."""
    own = [p for p in signature(run).parameters.values() if p.kind is not p.VAR_KEYWORD]
    run.__dict__["__signature__"] = Signature(own)
    return run


@cache
def _parameters() -> list[Any]:
    """Return the settings as click's parameters; the same objects at each call, as parsing wants them."""

    def declared() -> None:
        """Typer reads the signature and nothing else."""

    declared.__dict__["__signature__"] = Signature(list(_declared()))
    app = typer.Typer(add_completion=False)
    app.command()(declared)
    return get_command(app).params


def _declared() -> Iterable[Parameter]:
    from cae_core.generation.settings import GenerationSettings
    from cae_core.method.objectives.table import OBJECTIVES, OPTIONS, objectives_with

    yield _option("eps", float, "Largest change of an image (eps), such as 8/255.", parser=parse_eps, metavar="NUMBER")
    yield _option("norm", str, "Norm of a change: linf or l2.", autocompletion=completing("linf", "l2"))
    yield _option("count", int, "Number of examples wanted.", default=GenerationSettings.count)
    yield _option(
        "seed",
        int,
        "Random seed for the order of the seed images and for model dropout.",
        default=GenerationSettings.seed,
    )
    words = f"Loss: {_listed(list(OBJECTIVES))}."
    yield _option("objective", str, words, rich_help_panel=_LOSS, autocompletion=objectives)
    for option in OPTIONS:
        first = objectives_with(option)[0].capitalize()
        yield _option(option.name, type(option.default), f"{first}: {option.help}", rich_help_panel=_LOSS)
    yield _option("iterations", int, "Search steps for each image.")
    yield _option("learning_rate", float, "Learning rate of Adam; default: 4 eps / iterations.")
    yield _option("dropout", float, "Probability that a model is left out of a step.")
    yield _option("tau", float, "Least conferrability of an example.")
    yield _option("check_every", int, "Steps between checks; 0: at the end only.")
    yield _option("batch", int, "Number of images searched together.")
    orders = completing("screened", "random")
    yield _option("ranking", str, "Order of the seed images: screened or random.", autocompletion=orders)
    yield _option("max_seeds", int, "Seed images that may be tried; default: all.")
    precisions = completing("float32", "bfloat16")
    yield _option("precision", str, "Arithmetic of the search: float32 or bfloat16.", autocompletion=precisions)
    yield _option("errors", float, "Share of examples that are perturbed errors of the source, 0 to 1.")
    yield _option("natural", float, "Share of examples that are natural errors of the source, unchanged, 0 to 1.")
    yield _option("blends", float, "Share of examples that are two images put together, 0 to 1.")
    yield _option("blend_candidates", int, "Pairs of images that are put together to choose from.")
    yield _option("label_quota", float, "Largest share of a kind's examples that one label may hold.")
    yield _option("akh", int, "Benign images to add that the source gets wrong and references get right.")


def _option(name: str, kind: type[Any], words: str, *, default: Any = None, **more: Any) -> Parameter:  # noqa: ANN401 - Typer's
    more.setdefault("rich_help_panel", _KINDS if name in _OF_KINDS else _SEARCH)
    described = typer.Option(default, help=words, **more)
    return Parameter(name, Parameter.KEYWORD_ONLY, annotation=kind | None, default=described)


def _listed(names: list[str]) -> str:
    return f"{', '.join(names[:-1])} or {names[-1]}"
