"""The process in which cases run: it says what it begins and what became of it, a line of JSON each, to its watch.

``python -m tests.fuzz.working '{"reader": ..., "seed": ..., "cases": [...]}'``; a case is a number, or a name.
"""

import contextlib
import dataclasses
import json
import os
import shutil
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutations import deep_stack
from tests.fuzz.outcome import Outcome, outcome_of
from tests.fuzz.reader import Case, Context, Make, Reader
from tests.fuzz.readers.table import find_reader

__all__ = ["made", "work"]


def made(reader: Reader, context: Context, seed: int, case: int | str, folder: Path) -> Case:
    """Make a case in an empty folder: the same each time."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    make: Make = reader.make if isinstance(case, int) else {**reader.failures, **reader.valid}[case]
    with deep_stack():
        return make(Random(f"{seed}/{reader.name}/{case}"), context, folder)  # noqa: S311 - it has to be repeatable


def work(order: dict[str, Any], tell: Callable[[dict[str, Any]], None], folder: Path) -> None:
    """Run the cases of an order, and tell of each that it begins, and what became of it."""
    reader = find_reader(order["reader"])
    context = reader.prepare(folder)
    if order["contained"] and reader.containable:
        context = dataclasses.replace(context, contained=True)
    elif reader.containable or reader.heavy:
        _limit_memory(reader.memory)
    tell({"ready": True})
    for case in order["cases"]:
        tell({"case": case})
        try:
            prepared = made(reader, context, order["seed"], case, folder / "case")
        except Exception as error:  # noqa: BLE001 - a grammar's mistake, told as what it is
            tell({"case": case, "kind": "unmade", "detail": f"{type(error).__name__}: {error}"[:300]})
            continue
        found = outcome_of(prepared.run)
        if Path("HARMED").exists():
            found = Outcome("traceback", "code that stands in the file has run")
        tell({"case": case, "what": prepared.what[:300], "parses": prepared.parses, **vars(found)})


def _limit_memory(size: int) -> None:
    """Have no more memory than the child has in which the product opens such files: what asks for more is refused."""
    import resource

    resource.setrlimit(resource.RLIMIT_DATA, (size, size))


@contextlib.contextmanager
def _quiet() -> Iterator[int]:
    """Give a copy of stdout, and keep everything else that is printed off it; the copy alone is the watch's."""
    told = os.dup(1)  # which no child inherits
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, 1)
    yield told


def main() -> None:
    """Work off the order in the first argument."""
    warnings.simplefilter("ignore")
    os.environ["CAE_DEBUG"] = ""
    with _quiet() as told, tempfile.TemporaryDirectory() as folder:

        def tell(message: dict[str, Any]) -> None:
            os.write(told, json.dumps(message).encode() + b"\n")

        os.chdir(folder)
        work(json.loads(sys.argv[1]), tell, Path(folder))
        tell({"done": True})


if __name__ == "__main__":
    main()
