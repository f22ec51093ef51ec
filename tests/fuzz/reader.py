"""What a reader's module tells the fuzzer."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, TypeAlias

__all__ = ["Case", "Context", "Make", "Reader"]

Context: TypeAlias = Any
"""What a reader has prepared once for all of its cases: valid files, mostly."""


@dataclass(frozen=True)
class Case:
    """One file, or a few, that are to be read.

    Attributes:
        run: reads them; it may raise errors of the project's own, and nothing else.
        what: was done to them, in a few words.
        parses: whether the outer format still parses (JSON, TOML, a zip directory, protobuf), so that what lies behind
            it is reached.
    """

    run: Callable[[], object]
    what: str
    parses: bool = True


Make: TypeAlias = Callable[[Random, Context, Path], Case]
"""Makes a case of random numbers and the context, in a folder of its own."""


@dataclass(frozen=True, kw_only=True)
class Reader:
    """A reader of foreign files, as the fuzzer knows it.

    Attributes:
        name: by which it is asked for.
        prepare: makes the context in a folder; called once in a process.
        make: a random case.
        failures: what has failed once, by a name of its own.
        valid: what must be accepted, likewise.
        heavy: whether a case takes some tenths of a second, so that fewer are run.
        memory: bytes that the reading process may have.
        containable: whether it opens models, and its context says ``contained`` where they run in a child of theirs.
        ends_processes: whether what reads these files ends the process now and then, so that a child has to read them.
    """

    name: str
    prepare: Callable[[Path], Context]
    make: Make
    failures: Mapping[str, Make] = field(default_factory=dict[str, Make])
    valid: Mapping[str, Make] = field(default_factory=dict[str, Make])
    heavy: bool = False
    memory: int = 1 << 30
    containable: bool = False
    ends_processes: bool = False
