"""What a service was asked and what it answered: lines of JSON that are only ever appended to.

An answer is known by its position in the plan *and* by the image's digest: a repeat is asked again, and the log of
another run answers nothing. A line goes before each sending, and one after it; so whatever interrupts a run, every
sending is counted, and no answer that came is asked for again.
"""

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from cae_core.errors import StorageError, VerdictError
from cae_core.files.digests import canonical_json
from cae_core.files.exclusion import lock_descriptor
from cae_core.opening.services import Asked
from cae_core.reading import check_depth, read_limited, reading

__all__ = ["AnswerLog", "Logged", "digest_of_image", "log_of"]

_LARGEST = 1 << 30
_MOST_POSITIONS = 1 << 24
_LARGEST_LABEL = 1 << 31


@dataclass(frozen=True)
class Logged:
    """An answer.

    Attributes:
        image: SHA-256 of the image's pixels.
        label: -1 for none.
        scores: scores of each class; None if the service did not tell them.
        reached: whether the service answered at all.
    """

    image: str
    label: int
    scores: tuple[float, ...] | None = None
    reached: bool = True


def digest_of_image(image: NDArray[np.uint8]) -> str:
    """Return the SHA-256 of the pixels of an image (h, w, k)."""
    return hashlib.sha256(np.ascontiguousarray(image).tobytes()).hexdigest()


def log_of(ledger: Path, identity: str) -> Path:
    """Return where the answers of an entry of a ledger are kept."""
    return ledger.with_name(f"{ledger.name.removesuffix('.jsonl')}.{identity}.answers.jsonl")


class AnswerLog:
    """The log of one verification; one process at a time writes it.

    Args:
        path: the file; made where there is none, mode 0600.
        begun: what its first line says: of which verification it is. A log that says something else is refused.

    Attributes:
        path: see above.
        answers: answers by their position.
        requests: number of requests that were sent, answered or not, in earlier runs and in this one.
        sent: images that were sent, each sending counted.
        versions: versions that the service has declared in its answers.

    Raises:
        StorageError: it cannot be written, is no such log, or another process writes it.
        VerdictError: it is of another verification.
    """

    def __init__(self, path: Path, begun: Mapping[str, Any]) -> None:
        self.path, self.answers = path, dict[int, Logged]()
        self.requests, self.sent, self.versions = 0, 0, set[str]()
        self._pending = 0
        try:
            self._file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_NOFOLLOW", 0), 0o600)
        except OSError as error:
            raise StorageError(f"{path}: the answers cannot be kept ({error.strerror}). Name another file.") from error
        if not lock_descriptor(self._file):
            os.close(self._file)
            raise StorageError(
                f"{path}: another process is asking the service and writes this file. Wait until it is done."
            )
        try:
            self._begin(json.loads(canonical_json(begun)))
        except BaseException:
            os.close(self._file)
            raise

    @staticmethod
    def is_of(path: Path, begun: Mapping[str, Any]) -> bool:
        """Return whether there is a log whose first line says so."""
        try:
            with path.open("rb") as file:
                first = _parsed(file.readline(1 << 20))
        except (OSError, ValueError, TypeError, RecursionError):
            return False
        return first == {"answers": 1, "event": "begun", **json.loads(canonical_json(begun))}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._file)

    def sending(self, first: int, images: Sequence[str]) -> None:
        """Write down that these images are sent, the first of them at this position of the plan."""
        self._pending = len(images)
        self._append("sending", {"first": first, "images": list(images)})

    def answered(self, first: int, images: Sequence[str], asked: Asked) -> None:
        """Write down what was answered."""
        told = {
            "first": first,
            "images": list(images),
            "labels": asked.labels.tolist(),
            "scores": None if asked.scores is None else [_finite(row) for row in asked.scores.tolist()],
            "unreached": np.flatnonzero(~asked.reached).tolist(),
            "requests": asked.requests,
            "sent": asked.sent,
            "versions": sorted(asked.versions),
            **({"why": asked.why} if asked.why else {}),
        }
        self._append("answered", told)
        self._take(told)

    def _begin(self, begun: Mapping[str, Any]) -> None:
        with reading(self.path, StorageError, fault="this is no log of answers", remedy="Name another file."):
            content = read_limited(self.path, _LARGEST)
            whole = content[: content.rfind(b"\n") + 1]  # a line that was cut short tells nothing
            lines = whole.splitlines()
            told = [_parsed(line) for line in lines]
            if content and (not told or told[0].get("event") != "begun"):
                raise ValueError("its first line is not one that `cae` writes")
        if told and told[0] != {"answers": 1, "event": "begun", **begun}:
            raise VerdictError(
                f"{self.path}: these are the answers of another verification. Name another file, or none."
            )
        if len(whole) < len(content):
            os.ftruncate(self._file, len(whole))
        if not told:
            self._write({"answers": 1, "event": "begun", **begun})
        with reading(self.path, StorageError, fault="this log of answers is damaged", remedy="Name another file."):
            for line in told[1:]:
                self._read(line)
        self._count_what_is_pending()
        self._forget_the_last_unreached()

    def _read(self, line: Mapping[str, Any]) -> None:
        if line["event"] == "sending":
            self._count_what_is_pending()
            self._pending = len(line["images"])
        elif line["event"] == "answered":
            self._take(line)
        else:
            raise ValueError("an unknown line")

    def _take(self, line: Mapping[str, Any]) -> None:
        """Take in a line of answers."""
        first, images, labels = _whole(line["first"]), _list(line["images"]), _list(line["labels"])
        scores = [None] * len(labels) if line["scores"] is None else _list(line["scores"])
        unreached = set(_list(line["unreached"]))
        if not len(images) == len(labels) == len(scores):
            raise ValueError("a line of other lengths")
        for place, (image, label, row) in enumerate(zip(images, labels, scores, strict=True)):
            told = None if row is None else tuple(math.nan if x is None else float(x) for x in _list(row))
            self.answers[first + place] = Logged(str(image), _label(label), told, reached=place not in unreached)
        self.requests += _whole(line["requests"])
        self.sent += _whole(line["sent"])
        self.versions |= {str(version) for version in line["versions"]}
        self._pending = 0

    def _count_what_is_pending(self) -> None:
        """Count images whose sending was interrupted: at least once each they may have been seen."""
        self.sent += self._pending
        self.requests += bool(self._pending)
        self._pending = 0

    def _forget_the_last_unreached(self) -> None:
        """Forget the end of the log as far as nothing was reached: the service was away, and is asked again."""
        for place in sorted(self.answers, reverse=True):
            if self.answers[place].reached:
                return
            del self.answers[place]

    def _append(self, event: str, told: Mapping[str, Any]) -> None:
        self._write({"event": event, **told})

    def _write(self, told: Mapping[str, Any]) -> None:
        line = json.dumps(told, separators=(",", ":"), allow_nan=False).encode() + b"\n"
        try:
            written = os.write(self._file, line)
            os.fsync(self._file)
        except OSError as error:
            raise StorageError(f"{self.path}: the answers cannot be kept ({error.strerror}).") from error
        if written != len(line):
            raise StorageError(f"{self.path}: the answers cannot be kept (the disk is full).")


def _finite(row: list[float]) -> list[float | None]:
    return [x if math.isfinite(x) else None for x in row]


def _parsed(line: bytes) -> dict[str, Any]:
    value: Any = json.loads(line)
    check_depth(value)
    if not isinstance(value, dict):
        raise TypeError("a line is no object")
    return cast("dict[str, Any]", value)


def _list(value: object) -> list[Any]:
    if not isinstance(value, list):
        raise TypeError("a malformed list")
    return list(cast("list[object]", value))


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 1 << 40:
        raise TypeError("a malformed number")
    return value


def _label(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not -1 <= value < _LARGEST_LABEL:
        raise TypeError("a malformed label")
    return value
