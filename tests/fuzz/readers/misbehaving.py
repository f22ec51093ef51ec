"""A reader that ends in every way, for the tests of the fuzzer itself."""

import os
import signal
import time
from functools import partial
from pathlib import Path
from random import Random

from cae_core.errors import CaeError
from tests.fuzz.reader import Case, Reader

__all__ = ["MISBEHAVING"]

_MIB = 1 << 20


def _misbehave(random: Random, context: object, folder: Path) -> Case:
    """Return a case that ends as its number says."""
    del context, folder
    kind = random.choice((_refuse, _accept))
    return Case(kind, kind.__name__)


def _refuse() -> None:
    raise CaeError("no")


def _accept() -> None:
    return


def _hang() -> None:
    time.sleep(600)


def _grow() -> None:
    held = [b"x" * (16 * _MIB) for _ in range(1000)]  # zeros would take no memory
    time.sleep(600)
    del held


MISBEHAVING = Reader(
    name="misbehaving",
    prepare=lambda _: None,
    make=_misbehave,
    failures={
        "traceback": lambda *_: Case(partial(int, "x"), "given"),
        "crash": lambda *_: Case(partial(os.kill, os.getpid(), signal.SIGSEGV), "given"),
        "exit": lambda *_: Case(partial(os._exit, 3), "given"),
        "hang": lambda *_: Case(_hang, "given"),
        "memory": lambda *_: Case(_grow, "given"),
        "refused": lambda *_: Case(_refuse, "given"),
    },
)
