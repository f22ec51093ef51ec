"""A child that lies in its frames is ended with one sentence; one that says the truth is heard."""

import json
import os
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_core.containment import frames
from cae_core.containment.child import Answer, Child
from cae_core.containment.limits import Limits
from cae_core.errors import CaeError, ContractError, ModelError
from cae_core.opening.contained import Connection, ContainedWhiteBox

IMAGES = np.zeros((3, 4, 4, 1), np.uint8)

LABELS = np.array([1, 0, -1], np.int64)
SCORES = np.array([[0.1, 0.9], [0.5, 0.5], [np.nan, np.nan]], np.float32)


class Scripted:
    """A process that is a thread of this one, and writes what it was told to, whatever it is asked."""

    def __init__(self, content: bytes, *, closes: bool = True) -> None:
        theirs_in, self.requests = os.pipe()
        self.answers, theirs_out = os.pipe()
        self.number, self.ended = 0, False

        def write() -> None:
            with suppress(OSError):
                os.write(theirs_out, content)
            if closes:
                os.close(theirs_out)

        self._kept = (theirs_in,) if closes else (theirs_in, theirs_out)
        threading.Thread(target=write, daemon=True).start()

    def poll(self) -> int | None:
        return -9 if self.ended else None

    def limit_memory(self, memory: int) -> bool:  # noqa: ARG002
        return False

    def kill(self) -> None:
        self.ended = True
        for descriptor in self._kept:
            with suppress(OSError):
                os.close(descriptor)


def model(content: bytes, *, closes: bool = True, seconds: float = 2.0) -> ContainedWhiteBox:
    child = Child(Scripted(content, closes=closes))
    return ContainedWhiteBox(Connection(child, 0, "m.onnx", 10, Limits(seconds=seconds)), None)


def frame(header: object, *arrays: NDArray[Any]) -> bytes:
    content = json.dumps(header).encode()
    return struct.pack(">I", len(content)) + content + b"".join(array.tobytes() for array in arrays)


def test_the_truth() -> None:
    told = model(frame({"classes": 2}, LABELS, SCORES)).predict(IMAGES)
    assert told.labels.tolist() == [1, 0, -1]
    assert told.probabilities is not None
    np.testing.assert_array_equal(told.probabilities, SCORES)
    assert model(frame({"classes": 0}, LABELS)).predict(IMAGES).probabilities is None


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "stopped listening"),
        (b"\0\0", "stopped listening"),
        (struct.pack(">I", 0), "a header that is no JSON"),
        (struct.pack(">I", 1 << 31), "a header of 2147483648 bytes"),
        (struct.pack(">I", 100_000) + b"[" * 100_000, "a header that is no JSON"),
        (frame([]), "a header that is no object"),
        (frame({}), "classes None"),
        (frame({"classes": True}), "classes True"),
        (frame({"classes": "2"}), "classes '2'"),
        (frame({"classes": -1}), "classes -1"),
        (frame({"classes": 10**7}), "classes 10000000"),
        (frame({"classes": 2}, LABELS), "stopped listening"),
        (frame({"classes": 2}, np.array([0, 0, -1]), SCORES), "that of its largest probability"),
        (frame({"classes": 2}, np.array([1, 0, 1]), SCORES), "that of its largest probability"),
        (frame({"classes": 2}, np.array([1, 2, -1]), SCORES), "outside of its 2 classes"),
        (frame({"classes": 2}, np.array([1, -2, -1]), SCORES), "outside of its 2 classes"),
        (frame({"classes": 0}, np.array([1, 2**40, -1])), "label 1099511627776"),
    ],
)
def test_lies(content: bytes, words: str) -> None:
    lying = model(content)
    with pytest.raises(ModelError, match=words) as caught:
        lying.predict(IMAGES)
    assert str(caught.value).startswith("m.onnx: the process that ran it ")
    assert not lying.connection.child.alive
    with pytest.raises(ModelError, match=r"m\.onnx: the process that ran it"):  # and says so again
        lying.predict(IMAGES)


@pytest.mark.parametrize("content", [b"", b"\0\0", frame({"classes": 2}, LABELS)])
def test_silence(content: bytes) -> None:
    with pytest.raises(ModelError, match=r"did not answer in time, and was ended\. Raise the limit with --limits"):
        model(content, closes=False, seconds=0.3).predict(IMAGES)


def test_gradients_have_the_shape_of_the_images() -> None:
    logits, gradient = np.ones((3, 2), np.float32), np.full((3, 4, 4, 1), 2, np.float32)
    white_box = model(frame({"classes": 2}, logits) + frame({}, gradient))
    found, pull_back = white_box.vjp(IMAGES.astype(np.float32))
    np.testing.assert_array_equal(found, logits)
    with pytest.raises(ModelError, match="must have the logits' shape"):
        pull_back(np.ones((2, 2), np.float32))
    np.testing.assert_array_equal(pull_back(logits), gradient)
    child = white_box.connection.child
    del pull_back
    assert len(child.forgotten["free"]) == 1


@pytest.mark.parametrize("classes", [0, 1 << 17])
def test_logits_have_classes(classes: int) -> None:
    with pytest.raises(ModelError, match=f"classes {classes}"):
        model(frame({"classes": classes})).vjp(IMAGES.astype(np.float32))


def test_a_large_answer_is_refused_before_it_is_read() -> None:
    many = np.zeros((1 << 13, 1, 1, 1), np.uint8)
    with pytest.raises(ModelError, match="an answer of 2147549184 bytes"):
        model(frame({"classes": 1 << 16}, np.zeros(len(many), np.int64))).predict(many)


def test_errors_are_ours_and_readable() -> None:
    def raised(header: dict[str, object]) -> CaeError:
        with pytest.raises(CaeError) as caught:
            model(frame(header)).predict(IMAGES)
        return caught.value

    named = raised({"error": "ContractError", "text": "the size is wrong", "named": True})
    assert (type(named), str(named)) == (ContractError, "m.onnx: the size is wrong")
    assert type(raised({"error": "SystemExit", "text": "x"})) is ModelError
    assert type(raised({"error": ["x"], "text": "x"})) is ModelError
    assert str(raised({"error": "ModelError", "text": "UPHELD\x1b[2A"})) == "UPHELD\\x1b[2A"
    assert len(str(raised({"error": "ModelError", "text": "x" * 9999}))) == 2000


def test_ctrl_c_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = model(b"", closes=False, seconds=60)

    def interrupt() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(waiting.connection.child._pipe, "_look_around", interrupt)
    with pytest.raises(KeyboardInterrupt):
        waiting.predict(IMAGES)
    assert not waiting.connection.child.alive
    with pytest.raises(ModelError, match="the process that ran it was interrupted"):
        waiting.predict(IMAGES)


def test_an_answer_has_one_reader() -> None:
    receive: Callable[[memoryview], None] = lambda _into: None  # noqa: E731
    with pytest.raises(frames.BadFrame, match="an answer of"):
        Answer({}, receive).array(np.float32, (1 << 20, 1 << 10))


def test_many_images_travel_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cae_core.opening.contained._SENT_TOGETHER", 2 * IMAGES[:1].nbytes)
    parts = frame({"classes": 2}, LABELS[:2], SCORES[:2]) + frame({"classes": 2}, LABELS[2:], SCORES[2:])
    told = model(parts).predict(IMAGES)
    assert told.labels.tolist() == [1, 0, -1]
    assert told.probabilities is not None
    assert told.probabilities.shape == (3, 2)
