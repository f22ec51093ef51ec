"""What killed processes leave goes with the next that writes there, and nothing else does."""

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from threading import Barrier

import pytest

from cae_core.errors import ModelError, OverwriteError, StorageError
from cae_core.files import exclusion
from cae_core.files.exclusion import exclusive, lock_descriptor
from cae_core.files.owners import Owner, remove_litter
from cae_core.files.scratch import scratch_folder
from cae_core.files.storage import creating, replacing, write_atomically, write_new

STUCK = """
import sys, time
from pathlib import Path
from cae_core.files.exclusion import exclusive, lock_descriptor
from cae_core.files.scratch import scratch_folder
from cae_core.files.storage import replacing
folder = Path(sys.argv[1])
with (
    exclusive(folder / "pool.toml"),
    replacing(folder / "model.onnx") as draft,
    scratch_folder() as scratch,
    scratch_folder(folder) as near,
):
    draft.write_bytes(b"half of")
    (scratch / "secret").write_bytes(b"a secret")
    (near / "copy").write_bytes(b"a copy")
    print("ready", flush=True)
    time.sleep(600)
"""


@contextmanager
def stuck(folder: Path, scratch: Path) -> Iterator["subprocess.Popen[str]"]:
    """A process in the middle of its writing."""
    environment = {**os.environ, "TMPDIR": str(scratch)}
    command = [sys.executable, "-c", STUCK, str(folder)]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


@pytest.fixture
def scratch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of temporary folders."""
    folder = tmp_path / "scratch"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "folder"
    made.mkdir()
    return made


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def write_everything(folder: Path) -> None:
    """Do what `STUCK` does, to the end."""
    write_atomically(folder / "other", b"")
    with scratch_folder(), scratch_folder(folder):
        pass


def test_a_killed_process_leaves_four_things_that_go_with_the_next(folder: Path, scratch: Path) -> None:
    with stuck(folder, scratch):
        assert len(names(folder)) == 3
        assert len(names(scratch)) == 1
        write_everything(folder)
        assert len(names(folder) - {"other"}) == 3, "what a living process writes was taken away"
        assert len(names(scratch)) == 1
    assert len(names(folder) - {"other"}) == 3
    write_everything(folder)
    assert names(folder) == {"other", ".cae-lock-pool.toml"}
    assert not names(scratch)
    with exclusive(folder / "pool.toml"):
        assert ".cae-lock-pool.toml" in names(folder)
    assert names(folder) == {"other"}


def dead(name: str = "", *, machine: str | None = None) -> str:
    """Return the name of a draft whose owner has ended."""
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        process.wait()
    return f".{Owner(machine or Owner.present().machine, process.pid, 12345).new_name()}{name}"


def test_what_is_not_ours_stays(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = {
        "somebody's": folder / ".cae-notes",
        "an earlier release's": folder / ".0123abcd-model.onnx",
        "mine": folder / f".{Owner.present().new_name()}.onnx",
        "another machine's": folder / dead(machine="01234567"),
        "a folder": folder / dead(".d"),
    }
    for what, path in kept.items():
        path.mkdir() if what == "a folder" else path.write_bytes(b"content")
    target = folder / "target"
    target.write_bytes(b"content")
    link = folder / dead(".link")
    link.symlink_to(target)
    # of a number that another process has by now, which started at another time
    (folder / f".{Owner(Owner.present().machine, os.getpid(), 1).new_name()}").write_bytes(b"content")
    write_atomically(folder / "file", b"")
    assert names(folder) == {path.name for path in kept.values()} | {"file", "target", link.name}
    assert target.read_bytes() == b"content"
    # another user's
    other = folder / dead()
    other.write_bytes(b"content")
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: os.getuid() + 1)
        assert not remove_litter(other)
    assert remove_litter(other)


def test_a_lock_keeps_a_draft_whatever_is_known_of_its_owner(folder: Path) -> None:
    """In another container its number may be nobody's."""
    draft = folder / dead()
    draft.write_bytes(b"content")
    descriptor = os.open(draft, os.O_RDWR)
    assert lock_descriptor(descriptor)
    assert not remove_litter(draft)
    os.close(descriptor)
    assert remove_litter(draft)


def test_another_machines_draft_goes_once_it_is_old_and_free(folder: Path) -> None:
    draft = folder / dead(machine="01234567")
    draft.write_bytes(b"content")
    assert not remove_litter(draft)
    week = time.time() - 8 * 24 * 3600
    os.utime(draft, (week, week))
    assert remove_litter(draft)


def test_a_draft_that_was_taken_for_litter_before_its_lock_is_made_again(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    taken: list[int] = []

    def late(descriptor: int) -> bool:
        taken.append(descriptor)
        if len(taken) == 1:
            next(folder.glob(".cae-*")).unlink()
        return True

    monkeypatch.setattr(exclusion, "lock_descriptor", late)
    write_atomically(folder / "file", b"content")
    assert (folder / "file").read_bytes() == b"content"
    assert len(taken) == 2
    assert names(folder) == {"file"}


def test_long_names_and_suffixes_are_written(folder: Path) -> None:
    for name in ("n" * 250, "n." + "s" * 248, "é" * 120 + ".onnx"):
        write_atomically(folder / name, b"content")
        with exclusive(folder / name):
            assert len(names(folder)) == 2
        assert names(folder) == {name}
        (folder / name).unlink()
    with replacing(folder / "model.onnx") as draft:
        assert draft.suffix == ".onnx"
        assert draft.stat().st_mode & 0o777 == 0o600


def test_a_new_file_replaces_nothing(folder: Path) -> None:
    path = folder / "file"
    write_new(path, b"first", mode=0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(OverwriteError, match="there is a file already, and it is never overwritten"):
        write_new(path, b"second")
    (folder / "link").symlink_to(folder / "nowhere")
    with pytest.raises(OverwriteError):
        write_new(folder / "link", b"second")
    assert path.read_bytes() == b"first"
    assert names(folder) == {"file", "link"}


@pytest.mark.parametrize("links", [True, False])
def test_of_many_one_creates(folder: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool) -> None:
    """With and without a file system that has links."""

    def refuse(*_paths: object, **_options: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    start = Barrier(8)

    def create(number: int) -> bool:
        try:
            with creating(folder / "file") as draft:
                draft.write_bytes(bytes([number]) * 1000)
                start.wait()
        except OverwriteError:
            return False
        return True

    with ThreadPoolExecutor(8) as threads:
        made = list(threads.map(create, range(8)))
    assert sum(made) == 1
    assert (folder / "file").read_bytes() == bytes([made.index(True)]) * 1000
    assert names(folder) == {"file"}


def test_one_at_a_time_comes_through(folder: Path) -> None:
    path, most = folder / "counter", list[int]()

    def add(_number: int) -> None:
        with exclusive(path):
            before = int(path.read_text()) if path.exists() else 0
            most.append(len(names(folder)))
            time.sleep(0.002)
            path.write_text(str(before + 1))

    with ThreadPoolExecutor(8) as threads:
        list(threads.map(add, range(24)))
    assert path.read_text() == "24"
    assert max(most) <= 2
    assert names(folder) == {"counter"}


def test_a_draft_goes_although_there_is_nothing_to_write(folder: Path) -> None:
    """Killed after the file has its name and before the draft has lost its own, there is nothing left to do."""
    write_new(folder / "seal.json", b"content")
    os.link(folder / "seal.json", folder / dead(".json"))
    with exclusive(folder / "seal.json"):
        assert len(names(folder)) == 2
    assert names(folder) == {"seal.json"}
    assert (folder / "seal.json").read_bytes() == b"content"


def test_where_no_lock_can_be_made_it_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot be written"), exclusive(tmp_path / "file" / "below"):
        pass


def test_a_scratch_folder_is_this_users_alone_and_goes_whatever_happens(scratch: Path) -> None:
    def interrupted() -> None:
        with scratch_folder() as made:
            assert made.parent.stat().st_mode & 0o777 == 0o700
            assert not list(made.iterdir())
            (made / "below").mkdir()
            (made / "below" / "file").write_bytes(b"content")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert not names(scratch)


def test_a_folder_that_only_looks_like_ours_stays(scratch: Path, tmp_path: Path) -> None:
    (scratch / "cae-models").mkdir()
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    link = scratch / dead()[1:]
    link.symlink_to(precious)
    with scratch_folder():
        pass
    assert (precious / "file").exists()
    assert names(scratch) == {"cae-models", link.name}
    link.unlink()
    shutil.copytree(precious, scratch / dead()[1:])
    with scratch_folder():
        pass
    assert names(scratch) == {"cae-models"}


def test_what_is_wrong_with_a_draft_is_said_of_the_file(folder: Path) -> None:
    path = folder / "model.onnx"

    def refused() -> None:
        with replacing(path) as draft:
            raise ModelError(f"{draft}: no model.")

    with pytest.raises(ModelError) as caught:
        refused()
    assert str(caught.value) == f"{path}: no model."
