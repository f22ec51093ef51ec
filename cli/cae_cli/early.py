"""The first act of `cae verify`: a fork in which the suspect will run, before anything has been read."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

__all__ = ["fork_for_suspect"]

_NAMES = ("-s", "--suspect")

_NOBODY_IS_ASKED = frozenset({"--trusted", "--replay", "--dry-run", "--help", "-h"})

_ONE_THREAD = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS")


def fork_for_suspect(arguments: Sequence[str]) -> None:
    """Fork a process for the suspect that ``arguments``, those behind the command's name, will most probably name.

    A process that knows NumPy already has done other things before, and is not forked: the suspect's process would know
    what it knows. Then, as on other systems than Linux, the suspect gets a fresh interpreter.
    """
    suspect = _value(arguments, _NAMES)
    if suspect is None or sys.platform != "linux" or "numpy" in sys.modules or _NOBODY_IS_ASKED & {*arguments}:
        return
    with _one_thread():  # NumPy's library of linear algebra starts its threads when it is imported
        from cae_core.opening.early import fork_early
    fork_early(suspect, device=_value(arguments, ("--device",)) or "auto")


def _value(arguments: Sequence[str], names: tuple[str, ...]) -> str | None:
    for place, argument in enumerate(arguments):
        name, equals, value = argument.partition("=")
        if name in names and equals:
            return value
        if argument in names and place + 1 < len(arguments):
            return arguments[place + 1]
    return None


@contextmanager
def _one_thread() -> Iterator[None]:
    before = {name: os.environ.get(name) for name in _ONE_THREAD}
    os.environ.update(dict.fromkeys(_ONE_THREAD, "1"))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
