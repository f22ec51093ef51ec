"""The kinds of figures, by their names in a study file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from cae_study.figures.drawn import Material

__all__ = ["FIGURES", "FigureKind"]


@dataclass(frozen=True, kw_only=True)
class FigureKind:
    """How a figure is drawn.

    Attributes:
        module: in `cae_study.figures`, with a function ``draw``: matplotlib is loaded where something is drawn.
        rows: which rows of a step's result it shows, unless the study says otherwise.
        shows: what is to be seen, in a sentence for the caption.
    """

    module: str
    rows: str
    shows: str

    @property
    def draw(self) -> Callable[["Figure", "Material"], None]:
        """Draws the material into an empty figure."""
        found: Callable[[Figure, Material], None] = import_module(f"cae_study.figures.{self.module}").draw
        return found


FIGURES: Mapping[str, FigureKind] = {
    "match rates": FigureKind(
        module="match_rates",
        rows="models",
        shows="CAEAcc of each model, by role: red, surrogates, which derive from the source; blue, references.",
    ),
    "accuracy": FigureKind(
        module="accuracy",
        rows="models",
        shows="Accuracy on the benign probes against CAEAcc, a point for each model: red surrogates, blue references.",
    ),
    "epochs": FigureKind(
        module="epochs",
        rows="epochs",
        shows="Accuracy after each epoch on the images that the training holds out, a line for each model: black the "
        "source, red surrogates, for which right is what the source answers, blue dashed references.",
    ),
    "labels": FigureKind(
        module="labels",
        rows="labels",
        shows="How many examples the source puts into each class (left), and from which class they are (right).",
    ),
    "label changes": FigureKind(
        module="label_changes",
        rows="iterations",
        shows="The share of the seeds whose label by the source has changed after so many iterations, a line for each "
        "search.",
    ),
    "scores": FigureKind(
        module="scores",
        rows="models",
        shows="Left, the score of each suspect, red thieves and blue innocents; right, the share of working thieves "
        "against that of innocents that a threshold accuses, a line for each step.",
    ),
    "strength": FigureKind(
        module="strength",
        rows="summary",
        shows="Conferrability on held-out models against the largest change eps, a line for each method.",
    ),
}
