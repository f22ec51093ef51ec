"""A file is the old one or the new one: on a full disk, after Ctrl-C, and after kill -9 at any moment."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from cae_core.errors import StorageError
from cae_core.files.storage import write_atomically

WRITER = """
import sys
from pathlib import Path
from cae_core.files.storage import write_atomically
path = Path(sys.argv[1])
for i in range(10**9):
    write_atomically(path, bytes([i % 256]) * (1000 + 997 * (i % 500)))
    print("written", flush=True)
"""


def test_a_file_is_written_in_a_new_folder_with_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b" / "file"
    write_atomically(path, b"new", mode=0o600)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == 0o600
    write_atomically(path, b"newer")
    assert path.read_bytes() == b"newer"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [p.name for p in path.parent.iterdir()] == ["file"]


@pytest.mark.parametrize("call", ["fsync", "replace", "open"])
def test_a_full_disk_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def fail(*_args: object, **_options: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, fail)
    with pytest.raises(StorageError, match=r"cannot be written \(No space left on device\).*unchanged") as e:
        write_atomically(path, b"x" * 1000)
    monkeypatch.undo()
    assert isinstance(e.value.__cause__, OSError)
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_an_interruption_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def interrupt(_handle: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, b"new")
    monkeypatch.undo()
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_a_place_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"):
        write_atomically(tmp_path / "file" / "below", b"new")
    with pytest.raises(StorageError, match="cannot be written"):
        write_atomically(tmp_path, b"new")


def test_a_process_killed_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    """Twelve times kill -9 in a loop of writes; every content is one byte repeated to a length that it implies."""
    random, path, seen = np.random.default_rng(20_250_101), tmp_path / "file", set()
    write_atomically(path, bytes([0]) * 1000)
    for _ in range(12):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            for _ in range(random.integers(1, 20)):
                assert process.stdout.readline() == b"written\n"
            time.sleep(float(random.uniform(0.0, 0.01)))
            process.kill()
        content = path.read_bytes()
        value, size = content[0], len(content)
        assert content == bytes([value]) * size
        index = (size - 1000) // 997
        assert size == 1000 + 997 * index
        assert value in {(index + 500 * k) % 256 for k in range(64)}
        seen.add((value, size))
    assert len(seen) > 4
