"""The log of a service's answers: appended to, counted, and believed only for the images and places that it names."""

import json
from pathlib import Path

import numpy as np
import pytest

from cae_core.errors import CaeError, StorageError, VerdictError
from cae_core.opening.services import Asked
from cae_core.verification.answer_log import AnswerLog, Logged

BEGUN = {"fingerprint": "f", "options": {"sequential": False}}


def asked(*labels: int, unreached: tuple[int, ...] = (), scores: bool = False) -> Asked:
    reached = np.array([i not in unreached for i in range(len(labels))])
    told = np.eye(3, dtype=np.float32)[np.maximum(labels, 0)] * np.float32(0.1) if scores else None
    return Asked(labels=np.array(labels, np.int64), scores=told, reached=reached, requests=2, sent=3, versions=("1",))


def fill(path: Path) -> None:
    with AnswerLog(path, BEGUN) as log:
        log.sending(0, ["a", "b"])
        log.answered(0, ["a", "b"], asked(1, -1, unreached=(1,)))
        log.sending(2, ["c"])
        log.answered(2, ["c"], asked(0))


def test_what_was_answered_is_there_again(tmp_path: Path) -> None:
    fill(tmp_path / "log")
    with AnswerLog(tmp_path / "log", BEGUN) as log:
        assert log.answers == {0: Logged("a", 1), 1: Logged("b", -1, reached=False), 2: Logged("c", 0)}
        assert (log.requests, log.sent, log.versions) == (4, 6, {"1"})
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_scores_come_back_to_the_last_bit(tmp_path: Path) -> None:
    with AnswerLog(tmp_path / "log", BEGUN) as log:
        log.answered(0, ["a"], asked(2, scores=True))
    with AnswerLog(tmp_path / "log", BEGUN) as log:
        assert np.array_equal(np.array(log.answers[0].scores, np.float32), np.array([0, 0, 0.1], np.float32))


def test_a_sending_without_an_answer_is_counted(tmp_path: Path) -> None:
    fill(tmp_path / "log")
    with AnswerLog(tmp_path / "log", BEGUN) as log:
        log.sending(3, ["d", "e"])
    for _ in range(2):  # however often it is looked at
        with AnswerLog(tmp_path / "log", BEGUN) as log:
            assert (log.requests, log.sent) == (5, 8)
            assert 3 not in log.answers


@pytest.mark.parametrize("cut", range(1, 40, 3))
def test_a_line_that_was_cut_short_is_no_answer(cut: int, tmp_path: Path) -> None:
    fill(tmp_path / "log")
    whole = (tmp_path / "log").read_bytes()
    (tmp_path / "log").write_bytes(whole[:-cut])
    with AnswerLog(tmp_path / "log", BEGUN) as log:
        assert set(log.answers) == {0}  # the second was not reached, and is at the end now
        log.answered(1, ["b", "c"], asked(2, 0))
    with AnswerLog(tmp_path / "log", BEGUN) as log:
        assert {place: found.label for place, found in log.answers.items()} == {0: 1, 1: 2, 2: 0}


def test_the_end_that_was_not_reached_is_asked_again(tmp_path: Path) -> None:
    with AnswerLog(tmp_path / "log", BEGUN) as log:
        log.answered(0, ["a", "b", "c"], asked(1, -1, -1, unreached=(1, 2)))
    with AnswerLog(tmp_path / "log", BEGUN) as log:
        assert set(log.answers) == {0}
        assert log.sent == 3


def test_another_verification_or_process_is_refused(tmp_path: Path) -> None:
    fill(tmp_path / "log")
    with pytest.raises(VerdictError, match="another verification"):
        AnswerLog(tmp_path / "log", {**BEGUN, "fingerprint": "g"})
    with AnswerLog(tmp_path / "log", BEGUN), pytest.raises(StorageError, match="another process"):
        AnswerLog(tmp_path / "log", BEGUN)
    assert AnswerLog.is_of(tmp_path / "log", BEGUN)
    assert not AnswerLog.is_of(tmp_path / "log", {})
    assert not AnswerLog.is_of(tmp_path / "none", BEGUN)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "change",
    [
        {"event": "else"},
        {"labels": [1]},
        {"labels": [True, 1]},
        {"labels": [-2, 1]},
        {"labels": [1 << 40, 1]},
        {"first": -1},
        {"first": "0"},
        {"sent": 0.5},
        {"scores": [1, 2]},
        {"images": 3},
        {"unreached": None},
    ],
)
def test_a_damaged_line_is_one_sentence(change: dict[str, object], tmp_path: Path) -> None:
    fill(tmp_path / "log")
    lines = (tmp_path / "log").read_bytes().splitlines()
    lines[2] = json.dumps({**json.loads(lines[2]), **change}).encode()
    (tmp_path / "log").write_bytes(b"\n".join(lines) + b"\n")
    with pytest.raises(CaeError, match="damaged"):
        AnswerLog(tmp_path / "log", BEGUN)


@pytest.mark.hostile
@pytest.mark.parametrize(
    "content", [b"\x00" * 10 + b"\n", b"[1]\n", b"hello", b'{"event":"ended"}\n', b"[" * 9999 + b"\n"]
)
def test_another_file_is_left_alone(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(content)
    with pytest.raises(CaeError, match="no log of answers"):
        AnswerLog(tmp_path / "log", BEGUN)
    assert (tmp_path / "log").read_bytes() == content
