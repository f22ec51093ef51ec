"""``py:package.module:callable``: a function of the user's own that answers images."""

import re

from cae_backends.importing import imported
from cae_core.contract import Contract, Task
from cae_core.errors import ModelError
from cae_core.foreign_text import visible
from cae_core.own_models import BlackBox

__all__ = ["open_callable"]

_FORM = "py:package.module:callable"

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


def open_callable(spec: str, *, contract: Contract | None, task: Task | None) -> BlackBox:
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
    return BlackBox(found, name=spec, contract=contract, task=task)
