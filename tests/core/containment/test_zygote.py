"""Forks of a zygote: each is locked, knows of no other one, and is watched like a process of its own."""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from cae_core.containment.child import Child
from cae_core.containment.limits import Limits
from cae_core.errors import ModelError
from cae_core.loaders import Loader
from cae_core.opening.party import Party
from cae_core.opening.zygote import ModelZygote, may_have_zygote
from tests.core.containment.hostile import program

pytestmark = pytest.mark.skipif(not may_have_zygote(), reason="zygotes are of Linux")

IMAGES = np.zeros((3, 4, 4, 1), np.uint8)


@pytest.fixture
def zygote(programs: Path) -> Iterator[ModelZygote]:
    assert programs.is_dir()
    made = ModelZygote(core=1)
    yield made
    made.end()


def asked(path: Path, born: Callable[[str, Loader], Child | None], **limits: float) -> tuple[list[int], str]:
    """Return what a program answers, and what stood around it."""
    party = Party(born=born, limits=Limits(**limits))  # type: ignore[arg-type] # each by its own type
    try:
        opened = party.black_box(str(path))
        return opened.model.predict(IMAGES).labels.tolist(), opened.containment.kind
    finally:
        party.end()


def test_the_second_suspect_finds_nothing_of_the_first(zygote: ModelZygote, programs: Path) -> None:
    """The first one does to its process and to its parent what it can."""
    first = program(
        programs / "first.program",
        "import os, cae_core.models, builtins\n"
        "builtins.seen = cae_core.models.seen = np.seen = 1\n"
        "np.zeros = None\n"
        "for what in (lambda: os.kill(os.getppid(), 9), lambda: os.killpg(os.getppid(), 9)):\n"
        "    try: what()\n"
        "    except OSError: pass\n"
        "def predict(images): return Predictions(np.ones(len(images), np.int64))\n",
    )
    second = program(
        programs / "second.program",
        "import builtins, cae_core.models\n"
        "seen = any(hasattr(x, 'seen') for x in (builtins, np, cae_core.models)) or np.zeros is None\n"
        "def predict(images): return Predictions(np.full(len(images), int(seen), np.int64))\n",
    )
    assert asked(first, zygote.child)[0] == [1, 1, 1]
    number = zygote.child(str(second), programs_loader())
    assert number is not None  # the zygote lives
    number.end()
    answers, kind = asked(second, zygote.child)
    assert answers == [0, 0, 0]
    assert kind == asked(second, lambda *_model: None)[1]


def programs_loader() -> Loader:
    from cae_core.loaders import installed_loaders

    return next(loader for loader in installed_loaders() if loader.name == "programs")


def test_one_that_hangs_or_dies_is_told_and_the_next_is_served(zygote: ModelZygote, programs: Path) -> None:
    hangs = program(programs / "a.program", "def predict(images):\n    while True: pass\n")
    dies = program(programs / "b.program", "import os\ndef predict(images): os._exit(7)\n")
    honest = program(programs / "c.program", "")
    with pytest.raises(ModelError, match="did not answer in time"):
        asked(hangs, zygote.child, seconds=2)
    with pytest.raises(ModelError, match=r"ended itself \(exit code 7\)"):
        asked(dies, zygote.child)
    assert asked(honest, zygote.child)[0] == [0, 0, 0]


def test_without_a_zygote_a_fresh_interpreter_serves(zygote: ModelZygote, programs: Path) -> None:
    """Such as where somebody has killed it: no suspect is at fault."""
    honest = program(programs / "c.program", "")
    assert zygote.child(str(honest), programs_loader()) is not None
    (made,) = zygote._zygotes.values()
    assert made is not None
    made._process.kill()
    made._process.wait()
    assert zygote.child(str(honest), programs_loader()) is None
    assert asked(honest, zygote.child)[0] == [0, 0, 0]


def test_forks_end_with_their_zygote(zygote: ModelZygote, programs: Path) -> None:
    child = zygote.child(str(program(programs / "c.program", "")), programs_loader())
    assert child is not None
    number = child._process.number
    zygote.end()
    until = time.monotonic() + 10
    while _lives(number) and time.monotonic() < until:
        time.sleep(0.02)
    assert not _lives(number)


def _lives(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text(encoding="ascii").rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False
