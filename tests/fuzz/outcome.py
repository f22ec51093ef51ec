"""What became of a case: accepted, refused in a sentence, or a traceback; and which exceptions only a border caught."""

import ast
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from traceback import extract_tb
from types import TracebackType

from cae_core.errors import CaeError

__all__ = ["Outcome", "outcome_of"]

_ROOT = Path(__file__).parents[2]
_BLANKET = frozenset({"Exception", "BaseException"})


@dataclass(frozen=True)
class Outcome:
    """What became of one case.

    Attributes:
        kind: accepted, refused, traceback; or, as the watch saw it, hang, crash, memory.
        detail: the sentence, or where the traceback comes from.
        caught: types of the exceptions that only an ``except Exception`` has turned into a sentence.
    """

    kind: str
    detail: str = ""
    caught: tuple[str, ...] = ()


def outcome_of(run: Callable[[], object]) -> Outcome:
    """Run a case."""
    try:
        run()
    except CaeError as error:
        return Outcome("refused", str(error)[:400], tuple(_caught(error)))
    except BaseException as error:  # noqa: BLE001 - whatever a reader lets through is what is looked for
        return Outcome("traceback", _place(error))
    return Outcome("accepted")


def _place(error: BaseException) -> str:
    """Return type, place in the project and message of an exception that nobody caught."""
    frames = extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename.startswith(str(_ROOT)) and "/tests/" not in frame.filename]
    places = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in (*own[-1:], *frames[-1:])]
    with contextlib.suppress(Exception):  # an exception of a foreign library may not even have a text
        return f"{type(error).__name__} at {' <- '.join(places)}: {str(error)[:200]}"
    return f"{type(error).__name__} at {' <- '.join(places)}"


def _caught(error: BaseException) -> Iterator[str]:
    """Yield the types of those causes that a blanket ``except`` has caught, beginning with the outermost."""
    while (cause := error.__cause__) is not None:
        if not isinstance(cause, CaeError) and _raised_in_blanket(error.__traceback__):
            yield type(cause).__name__
        error = cause


def _raised_in_blanket(traceback: TracebackType | None) -> bool:
    frames = extract_tb(traceback)
    return bool(frames) and any(frames[-1].lineno in lines for lines in _blankets(frames[-1].filename))


@lru_cache
def _blankets(filename: str) -> tuple[range, ...]:
    """Return the lines of each handler of a file that catches every exception."""
    path = Path(filename)
    if not path.is_file():
        return ()
    handlers = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.ExceptHandler))
    return tuple(
        range(node.lineno, (node.end_lineno or node.lineno) + 1)
        for node in handlers
        if isinstance(node.type, ast.Name) and node.type.id in _BLANKET
    )
