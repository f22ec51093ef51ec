"""All defences by name, and the text that names one or several of them."""

from collections.abc import Callable, Sequence

import numpy as np

from cae_core.dataset import ImageSet
from cae_core.defences.answers import ANSWER_DEFENCES
from cae_core.defences.defence import Context, Defence
from cae_core.defences.images import IMAGE_DEFENCES
from cae_core.errors import OptionError, quoted
from cae_core.models import Model

__all__ = ["DEFENCES", "accuracy_cost", "check_all_preprocessing", "check_defence", "defended"]

DEFENCES: dict[str, Defence] = {defence.name: defence for defence in (*IMAGE_DEFENCES, *ANSWER_DEFENCES)}
"""Every defence, in the order in which messages list them."""

_LONGEST = 500
"""Characters of the text."""

_TAKES_A_PATH = "second-model"


def check_defence(spec: str) -> None:
    """Refuse a text that names no defence.

    Raises:
        OptionError: saying what is wrong with it, and what there is.
    """
    _parsed(spec)


def check_all_preprocessing(specs: Sequence[str]) -> None:
    """Refuse texts of which one names no defence, stands twice, or takes a second model.

    Raises:
        OptionError: saying what is wrong.
    """
    if len(set(specs)) < len(specs):
        raise OptionError(f"Each defence is named once; found {', '.join(map(quoted, specs))}.")
    for spec in specs:
        if any(defence.name == _TAKES_A_PATH for defence, _ in _parsed(spec)):
            raise OptionError(f"{quoted(spec)} takes a second model, whose path would be kept. Leave it out.")


def defended(
    model: Model,
    spec: str,
    *,
    classes: int | None = None,
    open_model: Callable[[str], Model] | None = None,
) -> Model:
    """Return ``model`` behind a defence.

    Args:
        model: a black box.
        spec: such as ``"jpeg:75"``, or several, ``"bits:5+noise:0.02"``: an image passes the first one first.
        classes: number of classes, which ``random`` needs where the model answers labels only.
        open_model: opens the second model of ``second-model``; None: it runs in a process of its own, as suspects do.

    Returns:
        A black box that answers each image by itself, whatever is asked beside it; and the same image always the same.

    Raises:
        OptionError: see `check_defence`.
        CaeError: the second model cannot be opened.
    """
    context = Context(classes=classes, open_model=open_model or _opened)
    for defence, value in reversed(_parsed(spec)):  # the last one stands next to the model
        model = defence.make(model, value, context)
    return model


def accuracy_cost(model: Model, behind: Model, data: ImageSet) -> tuple[float, float]:
    """Return the accuracy, 0 to 1, on ``data`` without and with a defence; what is refused is not right."""
    without, with_it = (
        float((np.asarray(each.predict(data.images).labels) == data.labels).mean()) for each in (model, behind)
    )
    return without, with_it


def _parsed(spec: str) -> list[tuple[Defence, str]]:
    if len(spec) > _LONGEST:
        raise OptionError(f"A defence is named in at most {_LONGEST} characters; found {len(spec)}.")
    found: list[tuple[Defence, str]] = []
    rest, more = spec, "+"
    while more:
        name, colon, _ = rest.partition(":")
        part, more, rest = (rest, "", "") if name == _TAKES_A_PATH else rest.partition("+")
        value = part.partition(":")[2]
        if name not in DEFENCES or not colon:
            examples = ", ".join(defence.example for defence in DEFENCES.values())
            raise OptionError(f"Unknown defence {quoted(part)}; there are, each with its value: {examples}.")
        wrong = DEFENCES[name].check(value)
        if wrong:
            raise OptionError(f"The defence {name} {wrong}; found {quoted(value)}.")
        found.append((DEFENCES[name], value))
    return found


def _opened(path: str) -> Model:
    from cae_core.opening.party import Party

    return Party(device="cpu").black_box(path).model
