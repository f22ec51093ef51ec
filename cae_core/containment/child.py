"""A child process as its parent sees it: asked, waited for, watched, and ended."""

import contextlib
import os
import shutil
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cae_core.containment import frames
from cae_core.containment.frames import BadFrame
from cae_core.containment.pipes import TICK_S, Pipe
from cae_core.containment.resident import MOST_THREADS, resident_bytes, scratch_bytes, threads_of
from cae_core.containment.starting import Process
from cae_core.errors import CaeError, ModelError

__all__ = ["Answer", "Child"]

T = TypeVar("T")

_LOOK_S = 1.0
"""Seconds between two looks at what costs more than a look at the memory."""


_LONGEST_SENTENCE = 2000
"""Characters of what is wrong: a proposed contract has a dozen lines."""


class _Ended(Exception):  # noqa: N818 - it never leaves this module
    """Why the waiting has ended, in words that follow "the process that ran it"."""


class Answer:
    """What a child answers: a header, and arrays whose dtype and shape its parent says.

    Args:
        header: of the answer.
        receive: fills a view with what comes next.
    """

    def __init__(self, header: Mapping[str, Any], receive: Callable[[memoryview], None]) -> None:
        self.header = header
        self._receive = receive
        self._bytes = 0

    def array(self, dtype: type[Any], shape: tuple[int, ...]) -> NDArray[Any]:
        """Return the next array.

        Raises:
            BadFrame: it would be larger than any answer.
        """
        array = np.empty(shape, dtype)
        self._bytes += array.nbytes
        if self._bytes > frames.LARGEST_ANSWER:
            raise BadFrame(f"an answer of {self._bytes} bytes")
        if array.nbytes:
            self._receive(array.data.cast("B"))
        return array

    def number(self, name: str, *, least: int, most: int) -> int:
        """Return a whole number of the header.

        Raises:
            BadFrame: there is none, or it lies outside.
        """
        found = self.header.get(name)
        if not isinstance(found, int) or isinstance(found, bool) or not least <= found <= most:
            raise BadFrame(f"{name} {frames.readable(repr(found), longest=40)}")
        return found


class Child:
    """A child process that answers questions one after the other.

    Args:
        process: that was started.
        scratch: the folder that it may write, which goes with it; None: it has none.

    Attributes:
        memory: bytes that it may take; None: not limited yet.
        scratch: see above.
        forgotten: what nobody holds any more, by what it is; the child is told with the next question.
    """

    def __init__(self, process: Process, *, scratch: Path | None = None) -> None:
        self.memory: int | None = None
        self.scratch = scratch
        self.forgotten: dict[str, list[int]] = {}
        self._process = process
        self._pipe = Pipe(process.requests, process.answers, self._look_around)
        self._until = float("inf")
        self._looked = 0.0
        self._one_at_a_time = threading.RLock()
        self._why = ""
        self._end = weakref.finalize(self, _end, process, scratch)

    @property
    def alive(self) -> bool:
        """Whether it can be asked."""
        return self._end.alive

    def limit_memory(self, memory: int) -> bool:
        """Limit its memory from outside; return whether a layer of the system's does so, beside the watching."""
        self.memory = memory
        return self._process.limit_memory(memory)

    def forget(self, kind: str, number: int) -> None:
        """Note that nobody holds something any more: it may be said while something else is asked."""
        self.forgotten.setdefault(kind, []).append(number)

    def ask(
        self,
        header: Mapping[str, Any],
        arrays: Sequence[NDArray[Any]] = (),
        *,
        seconds: float,
        origin: str,
        read: Callable[[Answer], T],
    ) -> T:
        """Ask one question; what is no proper answer, or none in time, ends the child.

        Args:
            header: of the question; the arrays' dtypes and shapes are added.
            arrays: that go with it.
            seconds: until the last byte of the answer.
            origin: what the model is called in messages.
            read: makes something of the answer, and raises `BadFrame` of what is none.

        Raises:
            ModelError: the child has ended, or was ended.
            CaeError: what the child says is wrong with the model.
        """
        with self._one_at_a_time:
            if not self.alive:
                raise ModelError(f"{origin}: the process that ran it {self._why or 'has been ended'}.")
            self._until = time.monotonic() + seconds
            try:
                return self._asked(header, arrays, origin, read)
            except _Ended as ended:
                why, remedy = str(ended), _REMEDY
            except (EOFError, OSError):
                why, remedy = self._how_it_ended(), _ASK_FOR_ANOTHER
            except BadFrame as bad:
                why, remedy = f"answered what no model answers ({bad}), and was ended", _ASK_FOR_ANOTHER
            except CaeError:
                raise
            except BaseException:  # Ctrl-C above all: half an answer is no state to go on from
                self._why = "was interrupted"
                self.end()
                raise
            self._why = why
            self.end()
            raise ModelError(f"{origin}: the process that ran it {why}. {remedy}")

    def _asked(
        self,
        header: Mapping[str, Any],
        arrays: Sequence[NDArray[Any]],
        origin: str,
        read: Callable[[Answer], T],
    ) -> T:
        gone, self.forgotten = self.forgotten, {}
        described = {**header, **gone, "arrays": [[array.dtype.str, array.shape] for array in arrays]}
        self._pipe.send(memoryview(frames.encoded_header(described)))
        for array in arrays:
            self._pipe.send(frames.array_bytes(array))
        length = frames.header_length(bytes(self._received(4)))
        if length > frames.LARGEST_HEADER:
            raise BadFrame(f"a header of {length} bytes")
        answered = frames.decoded_header(bytes(self._received(length)))
        if "error" not in answered:
            return read(Answer(answered, self._pipe.receive))
        text = frames.readable(answered.get("text", ""), longest=_LONGEST_SENTENCE)
        raise frames.one_of_ours(answered["error"], f"{origin}: {text}" if answered.get("named") is True else text)

    def _received(self, count: int) -> bytearray:
        content = bytearray(count)
        if count:
            self._pipe.receive(memoryview(content))
        return content

    def _look_around(self) -> None:
        now = time.monotonic()
        if now > self._until:
            raise _Ended("did not answer in time, and was ended")
        if self.memory is not None and resident_bytes(self._process.number) > self.memory:
            raise _Ended(f"took more than {_gigabytes(self.memory)} of memory, and was ended")
        if now < self._looked + _LOOK_S:
            return
        self._looked = now
        if self._process.poll() is not None:  # whatever it has started may still hold its pipes
            raise EOFError
        if threads_of(self._process.number) > MOST_THREADS:
            raise _Ended(f"started more than {MOST_THREADS} threads, and was ended")
        if self.scratch is not None and scratch_bytes(self.scratch) > (self.memory or frames.LARGEST_ANSWER):
            raise _Ended("filled its temporary folder, and was ended")

    def _how_it_ended(self) -> str:
        """Say how a child has ended whose pipes are closed; it may have closed them and gone on."""
        until = time.monotonic() + 1.0
        code = self._process.poll()
        while code is None and time.monotonic() < until:
            time.sleep(TICK_S / 10)
            code = self._process.poll()
        if code is None:
            return "stopped listening, and was ended"
        if code >= 0:
            return f"ended itself (exit code {code})"
        name = signal.Signals(-code).name if -code in {*signal.Signals} else f"signal {-code}"
        if sys.platform != "win32" and -code == signal.SIGKILL:
            return "was killed by the system, which does so when memory runs out"
        return f"crashed ({name})"

    def end(self) -> None:
        """End it, and all that it has started; its temporary folder goes."""
        self._end()


_REMEDY = (
    "Raise the limit with --limits, such as seconds=600,memory=16GB, if the model is known to be harmless; see "
    "docs/containment.md."
)

_ASK_FOR_ANOTHER = "Its file is damaged, or attacks its reader. Ask for another export."


def _end(process: Process, scratch: Path | None) -> None:
    process.kill()
    for descriptor in (process.requests, process.answers):
        with contextlib.suppress(OSError):
            os.close(descriptor)
    if scratch is not None:
        shutil.rmtree(scratch, ignore_errors=True)


def _gigabytes(count: int) -> str:
    return f"{count / (1 << 30):.3g} GB"
