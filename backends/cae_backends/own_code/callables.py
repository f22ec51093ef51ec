"""``py:package.module:callable``: a function of the user's own that answers images."""

import re
from collections.abc import Callable
from typing import Any

from cae_backends.importing import imported
from cae_backends.own_code.answers import read_answers
from cae_core.arrays import Images, check_images
from cae_core.contract import Contract, Task
from cae_core.errors import CaeError, ModelError, first_line
from cae_core.foreign_text import visible
from cae_core.models import Predictions

__all__ = ["CallableModel", "open_callable"]

_FORM = "py:package.module:callable"

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def open_callable(spec: str, *, contract: Contract | None, task: Task | None) -> "CallableModel":
    """Import the callable; it is called when images are asked.

    Raises:
        ModelError: it cannot be imported, or is none.
    """
    module, colon, name = spec.removeprefix("py:").partition(":")
    if not colon or not _NAME.fullmatch(module) or not _NAME.fullmatch(name):
        raise ModelError(f"{visible(spec)}: expected {_FORM}, as Python imports it from the working folder.")
    found = imported(module, name)
    if not callable(found):
        raise ModelError(f"{visible(spec)}: {visible(name)} is no function. It takes images, uint8 (n, h, w, k).")
    return CallableModel(found, spec=spec, contract=contract, task=task)


class CallableModel:
    """A callable as a black box.

    Args:
        function: takes images, uint8 (n, h, w, k), or what the contract makes of them; returns labels, names or scores.
        spec: as its user wrote it.
        contract: of the callable; None: it takes the images as they are.
        task: the classes of the data.
    """

    def __init__(
        self, function: Callable[[Any], object], *, spec: str, contract: Contract | None, task: Task | None
    ) -> None:
        self.contract = contract
        self._function, self._origin, self._task = function, visible(spec), task

    def predict(self, images: Images) -> Predictions:
        """See `cae_core.models.Model.predict`.

        Raises:
            ModelError: the callable raises, or answers what no classifier answers.
        """
        check_images(images)
        given = images.copy() if self.contract is None else self.contract.to_input(images)
        try:
            told = self._function(given)
        except CaeError:
            raise
        except Exception as exc:
            # the user's code runs here
            raise ModelError(f"{self._origin}: it fails ({type(exc).__name__}: {first_line(exc)}).") from exc
        return read_answers(told, len(images), contract=self.contract, task=self._task, origin=self._origin)
