"""The output of a scan: nothing is lost, a torn line is dropped, and another scan's file stays as it is."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from cae_core.errors import CaeError, OptionError, StorageError, VerdictError
from cae_core.scan.log import ScanLog, read_lines

HEAD: dict[str, Any] = {
    "scan": 1,
    "family": "ab",
    "fingerprint": {"id": "f", "sha256": "00"},
    "options": {"sequential": False},
    "asked_by": "ef",
    "full": False,
}


def suspect(name: str, sha256: str = "") -> dict[str, Any]:
    return {"suspect": {"name": name, "sha256": sha256 or name}, "verdict": "independent"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "scan.jsonl"


def begun(path: Path, *names: str) -> bytes:
    with ScanLog(path, HEAD) as log:
        for name in names:
            log.add(suspect(name))
        return log.nonce


def test_each_line_says_whose_it_is(path: Path) -> None:
    begun(path, "a", "b")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["family"] for line in lines] == ["ab"] * 3
    assert lines[1:] == [{"scan": 1, "family": "ab", "format": 1, **suspect(name)} for name in "ab"]
    assert path.stat().st_mode & 0o777 == 0o600


def test_several_lines_are_as_many_one_by_one(path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    begun(path, "a", "b", "c")
    monkeypatch.setattr(os, "fsync", synced.append)
    together = tmp_path / "together.jsonl"
    with ScanLog(together, HEAD) as log:
        log.add(suspect("a"), suspect("b", "b"), suspect("c"))
        assert log.line_of("b")["suspect"]["name"] == "b"
        assert log.finished == {"a", "b", "c"}
    assert len(synced) == 2
    assert together.read_bytes().split(b"\n")[1:] == path.read_bytes().split(b"\n")[1:]


def test_cut_anywhere_it_goes_on_with_what_was_ended(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every place where a crash can have cut the file."""
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    nonce = begun(path, "a", "b")
    assert len(synced) == 3
    whole = path.read_bytes()
    ends = [place for place in range(1, len(whole) + 1) if whole[place - 1 : place] == b"\n"]
    for cut in range(len(whole) + 1):
        path.write_bytes(whole[:cut])
        with ScanLog(path, HEAD) as log:
            lines = sum(end <= cut for end in ends)
            assert sorted(log.finished) == ["a", "b"][: max(0, lines - 1)]
            assert (log.nonce == nonce) == (lines > 0) == log.went_on
            for name in sorted({"a", "b"} - log.finished):
                log.add(suspect(name))
        assert path.read_bytes().split(b"\n")[1:] == whole.split(b"\n")[1:]


def test_a_models_first_line_is_found_again(path: Path) -> None:
    begun(path, "a")
    with ScanLog(path, HEAD) as log:
        log.add(suspect("b", "a") | {"verdict": "surrogate"})
        assert log.line_of("a")["suspect"]["name"] == "a"
        log.add(suspect("c"))
        assert log.line_of("c")["suspect"]["name"] == "c"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"family": "cd"}, "of a scan of other models"),
        ({"fingerprint": {"id": "f", "sha256": "11"}}, "of another fingerprint or calibration"),
        ({"options": {}}, "of other options"),
        ({"asked_by": "00"}, "of other contracts"),
        ({"full": True}, "of other options"),
    ],
)
def test_another_scans_output_is_refused_and_stays(path: Path, changes: dict[str, Any], words: str) -> None:
    begun(path, "a")
    before = path.read_bytes()
    with pytest.raises(VerdictError, match=words):
        ScanLog(path, {**HEAD, **changes})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "line",
    [
        b"[1]",
        b'{"scan": 2, "family": "ab"}',
        b'{"scan": 1}',
        b"\xff",
        b'{"scan": 1, "family": "ab", "suspect": "a"}',
        b'{"scan": 1, "family": "ab", "suspect": {"name": 3, "sha256": ""}}',
        b"[" * 1000,
    ],
)
def test_a_line_that_no_scan_writes_is_refused(path: Path, line: bytes) -> None:
    begun(path, "a")
    path.write_bytes(path.read_bytes() + line + b"\n")
    with pytest.raises(VerdictError, match="line 3: this is no line"):
        ScanLog(path, HEAD)
    assert line in path.read_bytes()


def test_a_head_without_a_nonce_is_refused(path: Path) -> None:
    path.write_text(json.dumps({**HEAD, "nonce": "xy"}) + "\n")
    with pytest.raises(VerdictError, match="finished lines do not hold for this one"):
        ScanLog(path, HEAD)


def test_other_files_are_refused_and_two_scans_do_not_write_one(path: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(OptionError, match="another kind"):
        ScanLog(tmp_path / "notes.txt", HEAD)
    with ScanLog(path, HEAD), pytest.raises(StorageError, match="another scan writes this file"):
        ScanLog(path, HEAD)
    with pytest.raises(CaeError, match="cannot be written"):
        ScanLog(tmp_path / "no" / "scan.jsonl", HEAD)


def test_lengths_add_up_to_the_file(path: Path) -> None:
    begun(path, "a", "b")
    assert sum(length for _, length in read_lines(path)) == path.stat().st_size
