"""What is read of somebody else's file, and what becomes of whatever that raises."""

import os
from pathlib import Path
from typing import Any

import pytest

from cae_core.errors import CaeError, ModelError, PoolError
from cae_core.reading import DEEPEST, check_depth, file_size, parse_toml, read_limited, reading


class OddError(Exception):
    """What no list of exceptions names."""


@pytest.mark.parametrize(
    ("raised", "said"),
    [
        (OddError("first\nsecond"), "a.toml: this is no pool (first). Copy it again."),
        (OddError(), "a.toml: this is no pool (OddError). Copy it again."),
        (RecursionError("deep"), "a.toml: this is no pool (it is nested too deeply). Copy it again."),
        (MemoryError(), "a.toml: this takes more memory than there is. Copy it again."),
        (PermissionError(13, "Permission denied"), "a.toml: cannot be read (Permission denied). Copy it again."),
        (OSError("odd"), "a.toml: cannot be read (odd). Copy it again."),
    ],
)
def test_whatever_is_raised_becomes_one_sentence(raised: Exception, said: str) -> None:
    with (
        pytest.raises(PoolError) as found,
        reading("a.toml", PoolError, fault="this is no pool", remedy="Copy it again."),
    ):
        raise raised
    assert str(found.value) == said
    assert found.value.__cause__ is raised


def test_errors_of_the_projects_own_and_interruptions_pass() -> None:
    for raised in (ModelError("a sentence"), KeyboardInterrupt(), SystemExit(3)):
        with pytest.raises(type(raised)) as found, reading("a", PoolError, fault="no"):
            raise raised
        assert found.value is raised


def test_a_regular_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"12345")
    assert read_limited(path, 5) == b"12345"
    assert file_size(path) == 5
    with pytest.raises(ValueError, match="it has 5 bytes, and such a file has at most 4"):
        read_limited(path, 4)
    link = tmp_path / "link"
    link.symlink_to(path)
    assert read_limited(link, 5) == b"12345"


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_devices_and_folders_are_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name in ("pipe", "zero"):
        with pytest.raises(ValueError, match="no regular file"):
            read_limited(tmp_path / name, 100)
        with pytest.raises(ValueError, match="no regular file"):
            file_size(tmp_path / name)
    with pytest.raises((ValueError, OSError)):
        read_limited(tmp_path, 100)


def test_a_file_that_says_nothing_of_its_size_is_read_up_to_the_limit() -> None:
    path = Path("/proc/self/maps")
    if not path.exists():
        pytest.skip("this system has no file without a size")
    assert file_size(path) == 0
    with pytest.raises(ValueError, match="it has more than 10 bytes"):
        read_limited(path, 10)


def nested(levels: int, *, as_table: bool) -> Any:  # noqa: ANN401 - JSON
    value: Any = 1
    for _ in range(levels):
        value = {"a": value} if as_table else [value]
    return value


@pytest.mark.parametrize("as_table", [False, True])
def test_depth_is_counted_whatever_is_nested(as_table: bool) -> None:  # noqa: FBT001 - a case
    check_depth(nested(DEEPEST, as_table=as_table))
    with pytest.raises(ValueError, match="nested more than 64 levels deep"):
        check_depth(nested(DEEPEST + 2, as_table=as_table))
    with pytest.raises(ValueError, match="nested more than"):
        check_depth({"small": 1, "deep": [0, nested(100_000, as_table=False)]})


@pytest.mark.parametrize(
    "text",
    ["a = " + "[" * 70 + "]" * 70, ".".join(["a"] * 30_000) + " = 1", "a = " + "1" * 9000, "a = \udcff"],
)
def test_toml_that_is_made_to_hurt_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r".") as found:
        parse_toml(text.encode(errors="surrogateescape"))
    assert not isinstance(found.value, CaeError)


def test_toml_is_read() -> None:
    assert parse_toml('[a]\nb = ["é", 1]'.encode()) == {"a": {"b": ["é", 1]}}
