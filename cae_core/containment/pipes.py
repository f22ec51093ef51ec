"""Reading and writing pipes piece by piece, so that whoever waits can look around in between."""

import os
import select
import sys
import threading
import time
from collections.abc import Callable

__all__ = ["TICK_S", "Pipe", "read_exactly", "write_all"]

TICK_S = 0.05
"""Seconds between two looks around."""

_PIECE = 1 << 20
_WIDER = 1 << 20
_SET_SIZE = 1031  # F_SETPIPE_SZ of Linux


def read_exactly(descriptor: int, into: memoryview) -> None:
    """Fill ``into`` with what comes, however long it takes.

    Raises:
        EOFError: the other side has ended before.
    """
    done = 0
    while done < len(into):
        piece = os.read(descriptor, min(_PIECE, len(into) - done))
        if not piece:
            raise EOFError
        into[done : done + len(piece)] = piece
        done += len(piece)


def write_all(descriptor: int, content: memoryview) -> None:
    """Write all of ``content``, however long it takes.

    Raises:
        BrokenPipeError: the other side has ended.
    """
    done = 0
    while done < len(content):
        done += os.write(descriptor, content[done : done + _PIECE])


class Pipe:
    """The parent's ends of the two pipes to a child; ``look_around`` is called at least every `TICK_S` seconds.

    Args:
        requests: where the child's questions are written.
        answers: where its answers are read.
        look_around: raises what ends the waiting.
    """

    def __init__(self, requests: int, answers: int, look_around: Callable[[], None]) -> None:
        self._requests, self._answers, self._look_around = requests, answers, look_around
        if sys.platform != "win32":
            os.set_blocking(requests, False)
        if sys.platform == "linux":
            _widen(requests)
            _widen(answers)

    def send(self, content: memoryview) -> None:
        """Write ``content``.

        Raises:
            BrokenPipeError: the child has ended.
        """
        if sys.platform == "win32":
            self._send_beside(content)
            return
        done = 0
        while done < len(content):
            self._look_around()
            if _is_ready(self._requests, select.POLLOUT):
                done += os.write(self._requests, content[done : done + _PIECE])

    def receive(self, into: memoryview) -> None:
        """Fill ``into``.

        Raises:
            EOFError: the child has ended before.
        """
        done = 0
        while done < len(into):
            if not self._readable():
                self._look_around()
                continue
            piece = os.read(self._answers, min(_PIECE, len(into) - done))
            if not piece:
                raise EOFError
            into[done : done + len(piece)] = piece
            done += len(piece)
            if len(piece) < _PIECE:  # else it may say a little at a time, for ever
                self._look_around()

    def _readable(self) -> bool:
        if sys.platform != "win32":
            return _is_ready(self._answers, select.POLLIN)
        from cae_core.containment.windows import bytes_waiting

        if bytes_waiting(self._answers):
            return True
        time.sleep(TICK_S / 10)
        return False

    def _send_beside(self, content: memoryview) -> None:
        """Write in a thread: Windows does not say whether a pipe has room; the child's end ends the thread as well."""
        failed: list[OSError] = []

        def write() -> None:
            try:
                write_all(self._requests, content)
            except OSError as error:
                failed.append(error)

        thread = threading.Thread(target=write, daemon=True)
        thread.start()
        while thread.is_alive():
            thread.join(TICK_S)
            self._look_around()
        if failed:
            raise BrokenPipeError from failed[0]


def _is_ready(descriptor: int, event: int) -> bool:
    """Wait for a descriptor, whatever its number: `select.select` knows the first 1024 only."""
    poller = select.poll()
    poller.register(descriptor, event)
    return bool(poller.poll(TICK_S * 1000))


def _widen(descriptor: int) -> None:
    import fcntl

    try:
        fcntl.fcntl(descriptor, _SET_SIZE, _WIDER)
    except OSError:  # its user has many pipes already: it goes on in small pieces
        return
