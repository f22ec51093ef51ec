"""A process that has imported what models take, and forks a child for each: the second does not know of the first.

It is a fresh interpreter and was never told anything but which module to run, so that its forks know nothing of
fingerprints either; and none of them pays for the imports again. It runs no model itself. Linux only.
"""

import contextlib
import gc
import json
import os
import socket
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from cae_core.containment.birth import Born, let_go
from cae_core.containment.starting import kill_group, run_interpreter, waited
from cae_core.errors import ModelError

if TYPE_CHECKING:
    import subprocess

__all__ = ["Zygote", "ZygoteFork", "be_zygote"]

_LARGEST = 1 << 16
"""Bytes of a message at most."""

_ANSWER_S = 120.0
"""Until it has imported a runtime, on a machine that is busy."""


class Zygote:
    """A zygote as its owner sees it.

    Args:
        module: whose ``main(parent, main_thread)`` calls `be_zygote`.
        core: of the processor's, on which it and its forks run; None: on any.

    Attributes:
        end: ends it, and its forks with it.

    Raises:
        ModelError: it cannot be started, or not from this thread: it ends with the thread that has started it.
    """

    def __init__(self, module: str, *, core: int | None = None) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(_ANSWER_S)
        with theirs:
            self._process = run_interpreter(module, threads=None, stdin=theirs.fileno())
        self.end = weakref.finalize(self, _end, self._channel, self._process)
        self._ask({"do": "begin", "core": core})

    def prepare(self, suffix: str) -> bool:
        """Import what models with this suffix take; return whether it can be forked then."""
        return self._ask({"do": "prepare", "suffix": suffix})["fits"] is True

    def fork(self) -> "ZygoteFork":
        """Return a new child, see `Process`.

        Raises:
            ModelError: none can be made, or the zygote has ended.
        """
        theirs_in, ours_out = os.pipe()
        ours_in, theirs_out = os.pipe()
        try:
            told = self._ask({"do": "fork"}, theirs_in, theirs_out)
        except ModelError:
            os.close(ours_out)
            os.close(ours_in)
            raise
        finally:
            os.close(theirs_in)
            os.close(theirs_out)
        return ZygoteFork(self, int(told["number"]), ours_out, ours_in)

    def poll(self, number: int) -> int | None:
        """Return how a fork has ended; None while it runs."""
        ended: int | None = self._ask({"do": "poll", "number": number})["ended"]
        return ended

    def kill(self, number: int) -> None:
        """End a fork and all that it has started, and wait for it."""
        self._ask({"do": "kill", "number": number})

    def _ask(self, question: dict[str, Any], *descriptors: int) -> dict[str, Any]:
        try:
            socket.send_fds(self._channel, [json.dumps(question).encode()], descriptors)
            answer = self._channel.recv(_LARGEST)
        except OSError as error:
            raise _ended(error.strerror or str(error)) from error
        told = cast("dict[str, Any]", json.loads(answer)) if answer else {"error": "it has ended"}
        if "error" in told:
            raise _ended(str(told["error"]))
        return told


def _end(channel: socket.socket, process: "subprocess.Popen[bytes]") -> None:
    channel.close()
    process.kill()
    process.wait()


class ZygoteFork:
    """A child that a zygote has forked; see `Process`."""

    def __init__(self, zygote: Zygote, number: int, requests: int, answers: int) -> None:
        self._zygote, self.number, self.requests, self.answers = zygote, number, requests, answers
        self._ended: int | None = None

    def poll(self) -> int | None:
        """See `Process`."""
        if self._ended is None:
            try:
                self._ended = self._zygote.poll(self.number)
            except ModelError:  # it ends with its zygote
                self._ended = -9
        return self._ended

    def limit_memory(self, memory: int) -> bool:  # noqa: ARG002 - it limits itself
        """See `Process`."""
        return False

    def kill(self) -> None:
        """See `Process`."""
        if self._ended is None:
            with contextlib.suppress(ModelError):
                self._zygote.kill(self.number)
            self._ended = -9


def _ended(why: str) -> ModelError:
    return ModelError(f"No process for the model can be forked ({why}). Start again.")


def be_zygote(parent: int, *, main_thread: bool, serve: Callable[[Born], None], prepare: Callable[[str], None]) -> None:
    """Answer the owner until it has ended; returns in no process.

    Args:
        parent: number of the process that has started this one.
        main_thread: whether it was that one's main thread; it ends with the thread otherwise, and is refused.
        serve: what a fork does.
        prepare: imports what models with a suffix take.
    """
    descriptor = os.dup(0)
    let_go(descriptor, descriptor, parent=parent, main_thread=True, forked=False)
    channel = socket.socket(fileno=descriptor)
    while True:
        content, descriptors, _, _ = socket.recv_fds(channel, _LARGEST, 2)
        if not content:
            os._exit(0)
        question = cast("dict[str, Any]", json.loads(content))
        if question["do"] == "fork":
            answer = _forked(channel, descriptors, serve)
            for each in descriptors:
                os.close(each)
        else:
            answer = _ANSWERS[question["do"]](question, prepare) if main_thread else {"error": "not the main thread"}
        channel.send(json.dumps(answer).encode())


def _forked(channel: socket.socket, descriptors: list[int], serve: Callable[[Born], None]) -> dict[str, Any]:
    """Fork; in the child, serve and end."""
    requests, answers = descriptors
    own = os.getpid()
    try:
        number = os.fork()
    except OSError as error:
        return {"error": error.strerror}
    if number == 0:
        try:
            channel.detach()
            serve(let_go(requests, answers, parent=own, main_thread=True, forked=True))
        finally:  # whatever happens, what follows in the zygote's program is none of the child's
            os._exit(0)
    return {"number": number}


def _begin(question: dict[str, Any], _: object) -> dict[str, Any]:
    if question["core"] is not None:
        cores: list[int] = sorted(os.sched_getaffinity(0))
        place = int(question["core"]) % len(cores)
        os.sched_setaffinity(0, [cores[place]])
    return {}


def _prepare(question: dict[str, Any], prepare: Callable[[str], None]) -> dict[str, Any]:
    from cae_core.containment.linux import threads_here

    prepare(question["suffix"])
    gc.collect()
    gc.freeze()  # a collection would write into the pages that the forks share
    return {"fits": threads_here() == 1}


def _poll(question: dict[str, Any], _: object) -> dict[str, Any]:
    return {"ended": waited(question["number"], os.WNOHANG)}


def _kill(question: dict[str, Any], _: object) -> dict[str, Any]:
    kill_group(question["number"])
    return {"ended": waited(question["number"], 0)}


_ANSWERS: dict[str, Callable[[dict[str, Any], Callable[[str], None]], dict[str, Any]]] = {
    "begin": _begin,
    "prepare": _prepare,
    "poll": _poll,
    "kill": _kill,
}
