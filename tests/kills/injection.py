"""What runs inside of a command that is to be killed: it kills itself before or after its n-th call of something.

``CAE_KILL`` says when: ``fsync:2:after``, or ``count``, which kills nobody and counts the calls. It is installed by a
`sitecustomize` before anything else is imported, in workers too; so it imports nothing of the project.
"""

import atexit
import builtins
import io
import json
import os
import signal
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

__all__ = ["COUNTS", "KILL", "KILLED", "POINTS", "install", "passed"]

KILL, KILLED, COUNTS = "CAE_KILL", "CAE_KILLED", "CAE_KILL_COUNTS"
"""Variables of the environment: when to kill; the file that says that it was done; the file for the counts."""

POINTS = {
    "open": ((os, "open"),),
    "fsync": ((os, "fsync"),),
    "replace": ((os, "replace"), (os, "rename")),
    "link": ((os, "link"),),
    "unlink": ((os, "unlink"), (os, "remove"), (os, "rmdir")),
    "mkdir": ((os, "mkdir"),),
    "chmod": ((os, "chmod"),),
}
"""What can be killed at, besides ``write``, which is killed in the middle, and ``ask``, a suspect's answer."""

_CALLS: Counter[str] = Counter()


def install() -> None:
    """Wrap every point of `POINTS`, and the writing of files; nothing where ``CAE_KILL`` is not set."""
    if not os.environ.get(KILL):
        return
    for point, places in POINTS.items():
        for module, name in places:
            setattr(module, name, _wrapped(point, getattr(module, name)))
    builtins.open = io.open = _opener(io.open)
    if os.environ[KILL] == "count":
        atexit.register(_write_counts)


def passed(point: str, when: str) -> None:
    """Say that this point is reached; the process ends here if it is the moment."""
    if when == "before":
        _CALLS[point] += 1
    if os.environ.get(KILL) == f"{point}:{_CALLS[point]}:{when}":
        _kill()


def _kill() -> None:
    mark = _REAL_OPEN(os.environ[KILLED], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(mark, b"x")
    os.kill(os.getpid(), signal.SIGKILL)


_REAL_OPEN = os.open


def _wrapped(point: str, function: Callable[..., Any]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:  # noqa: ANN401
        passed(point, "before")
        answer = function(*arguments, **options)
        passed(point, "after")
        return answer

    return call


class _Written(io.FileIO):
    def write(self, data: Any, /) -> int:  # noqa: ANN401
        _CALLS["write"] += 1
        if os.environ.get(KILL, "").startswith(f"write:{_CALLS['write']}:"):
            super().write(memoryview(data)[: len(data) // 2])
            _kill()
        return super().write(data)


def _opener(real: Callable[..., Any]) -> Callable[..., Any]:
    def opened(file: Any, mode: str = "r", buffering: int = -1, *more: Any, **options: Any) -> Any:  # noqa: ANN401
        if "b" not in mode or not set(mode) & set("wxa") or isinstance(file, int) or any(more):
            return real(file, mode, buffering, *more, **options)
        raw = _Written(os.fspath(file), mode.replace("b", ""), opener=options.get("opener"))
        if buffering == 0:
            return raw
        return io.BufferedRandom(raw) if "+" in mode else io.BufferedWriter(raw)

    return opened


def _write_counts() -> None:
    path = Path(f"{os.environ[COUNTS]}-{os.getpid()}")
    path.write_text(json.dumps(_CALLS))
