"""Recorded answers as the parent sees them: a table that a child process reads, and a model that plays it back."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import numpy as np

from cae_core.arrays import Images, Labels
from cae_core.containment.child import Answer, Child
from cae_core.containment.frames import BadFrame
from cae_core.containment.limits import GENEROUS, Limits
from cae_core.containment.record import Containment
from cae_core.errors import ModelError
from cae_core.models import NO_ANSWER, Predictions
from cae_core.opening.answer_table import SUFFIXES
from cae_core.opening.early import files_known_early, take_early_child
from cae_core.opening.party import SERVING, files_to_read, lock_child, start_child

__all__ = ["AnswerFile", "Playback", "is_answer_file", "is_export_id"]

T = TypeVar("T")

_HEXADECIMAL = frozenset("0123456789abcdef")


def is_answer_file(spec: str) -> bool:
    """Return whether a suspect's path is that of recorded answers, by its suffix."""
    return Path(spec).suffix.lower() in SUFFIXES


def is_export_id(text: str) -> bool:
    """Return whether a text can be the id of an export: 32 hexadecimal digits."""
    return len(text) == 32 and set(text) <= _HEXADECIMAL


class AnswerFile:
    """A file of recorded answers in a child process that reads it, see `cae_core.opening.answer_table`.

    Args:
        path: of the file.
        limits: of the process.

    Attributes:
        containment: what stands around the reader.
    """

    def __init__(self, path: Path, *, limits: Limits = GENEROUS) -> None:
        if not path.is_file():
            raise ModelError(f"{path}: no such file. Give the recorded answers, a .csv or .jsonl file.")
        self._path, self._limits = path, limits
        self._child, layers = _locked(str(path), limits)
        self.containment = Containment(child=True, layers=layers)

    def export(self) -> str:
        """Return the id of the export that is answered.

        Raises:
            CaeError: see `read_answers`; or the process ends.
        """
        return self._ask({"do": "answers", "names": None, "classes": []}, _export)

    def labels(self, names: Sequence[str], classes: Sequence[str]) -> Labels:
        """Return the label of each of ``names``; see `AnswerTable.labels`.

        Raises:
            CaeError: see `AnswerTable.labels`; or the process ends.
        """

        def read(answer: Answer) -> Labels:
            found: Labels = answer.array(np.int64, (len(names),))
            if len(found) and not NO_ANSWER <= found.min() <= found.max() < len(classes):
                raise BadFrame("a label of no class")
            return found

        return self._ask({"do": "answers", "names": list(names), "classes": list(classes)}, read)

    def end(self) -> None:
        """End the process."""
        self._child.end()

    def _ask(self, header: dict[str, object], read: Callable[[Answer], T]) -> T:
        seconds = self._limits.opening_seconds(self._path.stat().st_size)
        asked = {**header, "spec": str(self._path)}
        return self._child.ask(asked, seconds=seconds, origin=str(self._path), read=read)


def _export(answer: Answer) -> str:
    told = answer.header.get("export")
    if not isinstance(told, str) or len(told) > 200:
        raise BadFrame("no id of an export")
    return told


def _locked(spec: str, limits: Limits) -> tuple[Child, tuple[str, ...]]:
    """Return a child that may read the file, and its layers: the one that was forked early, or a fresh interpreter."""
    files = files_known_early(spec) or files_to_read(spec)
    memory = limits.bytes_of_memory(Path(spec).stat().st_size)
    for made in (take_early_child, lambda: start_child(SERVING, limits=limits, scratch=False)):
        child = made()
        if child is None:
            continue
        layers = lock_child(child, files, memory=memory, threads=limits.threads, device="cpu", origin=spec)
        if layers is not None:
            return child, layers
    raise ModelError(f"{spec}: the process for these answers did not start as expected.")


class Playback:
    """A black box that gives recorded labels in their order, whatever it is asked.

    Args:
        labels: int64 (n,), of the questions in the order in which they are put.
    """

    def __init__(self, labels: Labels) -> None:
        self._labels, self._done = labels, 0

    def predict(self, images: Images) -> Predictions:
        """Return the labels that come next.

        Raises:
            ModelError: more is asked than was recorded.
        """
        start, self._done = self._done, self._done + len(images)
        if self._done > len(self._labels):
            raise ModelError(f"{len(self._labels)} answers were recorded, and more is asked.")
        return Predictions(self._labels[start : self._done])
