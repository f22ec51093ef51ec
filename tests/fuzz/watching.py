"""The watch outside of the process that reads: for time, memory, and the signal by which it ends.

A process takes many cases, and another one goes on after a case that ended or outlived it.
"""

import json
import os
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

from tests.fuzz.outcome import Outcome

__all__ = ["HANG", "PARENT", "Result", "watch"]

HANG = 20.0
"""Seconds of computing that a case may take; three times as many may pass, on a machine with other work."""

PARENT = 1 << 30
"""Bytes of memory that a process may have which opens models in a child."""

_ROOT = Path(__file__).parents[2]
_GLANCE = 0.02
_STARTING = 300.0
_PAGE, _TICKS = os.sysconf("SC_PAGE_SIZE"), os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Result:
    """A case and what became of it.

    Attributes:
        case: its number or name.
        outcome: see `Outcome`.
        what: was done to the file.
        parses: see `Case`.
        peak: bytes of memory that the process had at most, over its cases until then.
    """

    case: int | str
    outcome: Outcome
    what: str = ""
    parses: bool = False
    peak: int = 0


def watch(
    reader: str, cases: Sequence[int | str], *, seed: int, memory: int, contained: bool = False, size: int = 2000
) -> Iterator[Result]:
    """Run cases, and yield what became of each.

    Args:
        reader: its name.
        cases: numbers or names.
        seed: decides each.
        memory: bytes that the reading process may have; that of its own children is theirs to limit.
        contained: whether models are opened as the product opens a stranger's, in a child of the process.
        size: cases that one process takes at most.
    """
    left = list(cases)
    while left:
        order = {"reader": reader, "seed": seed, "cases": left[:size], "contained": contained}
        done = 0
        with _Process(order, memory) as process:
            for result in process.results():
                done += 1
                yield result
        left = left[done:]


class _Process:
    """One process, from its start to its end."""

    def __init__(self, order: dict[str, Any], memory: int) -> None:
        self.order, self.memory, self.peak = order, memory, 0
        self.complaints: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed with the process

    def __enter__(self) -> "_Process":
        command = (sys.executable, "-m", "tests.fuzz.working", json.dumps(self.order))
        given = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "3"}
        self.process = subprocess.Popen(
            command, cwd=_ROOT, env=given, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.complaints
        )
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.complaints.close()
        assert self.process.stdout is not None
        self.process.stdout.close()

    def results(self) -> Iterator[Result]:
        """Yield results until the process has no cases left, or was ended."""
        self.case: int | str | None = None
        self.since, self.used = time.monotonic(), 0.0
        for message in self._messages():
            if "kind" in message:
                outcome = Outcome(message["kind"], message["detail"], tuple(message.get("caught", ())))
                yield Result(message["case"], outcome, message.get("what", ""), message.get("parses", False), self.peak)
                self.case = None
            elif "case" in message:
                self.case, self.since, self.used = message["case"], time.monotonic(), self._computed()
            elif "ended" in message:
                if self.case is None:
                    raise RuntimeError(f"{self.order['reader']}: the process ended by itself: {self._complaint()}")
                yield Result(self.case, Outcome(message["ended"], message["why"]), peak=self.peak)

    def _messages(self) -> Iterator[dict[str, Any]]:
        stream, pending = self.process.stdout, b""
        assert stream is not None
        while True:
            ready, _, _ = select.select([stream], [], [], _GLANCE)
            if not ready:
                found = self._excess()
                if found is not None:
                    self.process.kill()
                    yield found
                    return
                continue
            block = os.read(stream.fileno(), 1 << 16)
            if not block:
                yield from self._end()
                return
            *lines, pending = (pending + block).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if "done" in message:
                    return
                yield message

    def _end(self) -> Iterator[dict[str, Any]]:
        code = self.process.wait()
        why = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        yield {"ended": "crash", "why": f"{why} {self._complaint()}".strip()}

    def _excess(self) -> dict[str, Any] | None:
        """Return what is too much of the process, if anything."""
        used = self._resident()
        self.peak = max(self.peak, used)
        if used > self.memory:
            return {"ended": "memory", "why": f"{used >> 20} MiB"}
        passed, computed = time.monotonic() - self.since, self._computed() - self.used
        if self.case is None:
            return {"ended": "hang", "why": "it did not start"} if passed > _STARTING else None
        if computed > HANG or passed > 3 * HANG:
            return {"ended": "hang", "why": f"{computed:.0f} s computed, {passed:.0f} s passed"}
        return None

    def _resident(self) -> int:
        try:
            return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * _PAGE
        except (OSError, IndexError):  # it has just ended, or this system has no such folder
            return 0

    def _computed(self) -> float:
        try:
            fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
            return sum(int(field) for field in fields[11:15]) / _TICKS
        except (OSError, IndexError):
            return 0.0

    def _complaint(self) -> str:
        self.complaints.seek(0)
        lines = self.complaints.read().decode(errors="replace").strip().splitlines()
        return lines[-1][:200] if lines else ""
