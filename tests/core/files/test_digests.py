"""Digests, against those that hashlib and json give of bytes that are written out here."""

import errno
import hashlib
import os
from pathlib import Path

import pytest

from cae_core.errors import ModelError
from cae_core.files.digests import (
    canonical_json,
    copied_with_digest,
    digest_of,
    digest_of_files,
    files_in,
    leads_into_store,
    sha256_of_file,
    sha256_of_text,
)


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


A, B = sha256(b"a"), sha256(b"b")


class TestOfValues:
    def test_keys_are_sorted_nothing_is_spaced_and_nothing_escaped(self) -> None:
        value = {"b": [1, 2.5, None], "a": {"z": True, "ä": "ö"}}
        assert canonical_json(value) == '{"a":{"z":true,"ä":"ö"},"b":[1,2.5,null]}'
        assert digest_of(value) == sha256('{"a":{"z":true,"ä":"ö"},"b":[1,2.5,null]}'.encode())

    @pytest.mark.parametrize("value", [float("nan"), float("inf")])
    def test_what_is_no_number_of_json_has_no_digest(self, value: float) -> None:
        with pytest.raises(ValueError, match="JSON compliant"):
            digest_of([value])

    def test_half_of_a_surrogate_pair_has_one(self) -> None:
        half = chr(0xDCFF)
        assert sha256_of_text("a" + half) == sha256(b"a\xed\xb3\xbf")
        assert digest_of(half) == sha256(b'"\xed\xb3\xbf"')


class TestOfFiles:
    def test_one_file_has_its_own_digest_and_a_folder_of_one_has_not(self) -> None:
        assert digest_of_files({"m.onnx": A}) == A
        assert digest_of_files({"a\nb": A}) == A  # no line is written
        assert digest_of_files({"m.onnx": A}, folder=True) == sha256(b"cae-model-v2\0" + f"{A}  m.onnx\n".encode())

    def test_of_several_the_lines_are_sorted_as_bytes(self) -> None:
        names = {"z": A, "ä": A, "B": B, os.fsdecode(b"\xff"): A}
        lines = [f"{A}  z\n".encode(), f"{A}  ä\n".encode(), f"{B}  B\n".encode(), A.encode() + b"  \xff\n"]
        assert digest_of_files(names) == sha256(b"cae-model-v2\0" + b"".join(sorted(lines)))

    def test_every_other_character_may_be_in_a_name(self) -> None:
        names = [chr(code) for code in range(1, 128) if chr(code) not in "\n\r\\"]
        lines = sorted(f"{A}  {name}\n" for name in names)
        assert digest_of_files(dict.fromkeys(names, A)) == sha256(b"cae-model-v2\0" + "".join(lines).encode())

    def test_none_at_all_have_one(self) -> None:
        assert digest_of_files({}) == sha256(b"cae-model-v2\0")

    @pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\\b"])
    def test_a_name_that_no_line_holds_is_refused(self, name: str) -> None:
        for folder in (False, True):
            with pytest.raises(ModelError, match="line's end or a backslash"):
                digest_of_files({name: A, **({} if folder else {"c": B})}, folder=folder)


class TestOnDisk:
    @pytest.mark.parametrize("size", [0, 1, (1 << 20) - 1, 1 << 20, (1 << 20) + 1])
    def test_every_byte_is_read_and_copied(self, tmp_path: Path, size: int) -> None:
        content = os.urandom(size)
        (tmp_path / "m").write_bytes(content)
        assert sha256_of_file(tmp_path / "m") == sha256(content)
        assert copied_with_digest(tmp_path / "m", tmp_path / "copy") == sha256(content)
        assert (tmp_path / "copy").read_bytes() == content

    def test_a_folders_names_are_seen_from_it(self, tmp_path: Path) -> None:
        (tmp_path / "m" / "sub" / "empty").mkdir(parents=True)
        for name in ("b", "sub/a"):
            (tmp_path / "m" / name).write_bytes(name[-1].encode())
        assert files_in(tmp_path / "m") == [tmp_path / "m" / "b", tmp_path / "m" / "sub" / "a"]
        lines = "".join(sorted(f"{digest}  {name}\n" for name, digest in (("sub/a", A), ("b", B))))
        assert sha256_of_file(tmp_path / "m") == sha256(b"cae-model-v2\0" + lines.encode())

    def test_a_folder_of_one_file_is_not_that_file(self, tmp_path: Path) -> None:
        (tmp_path / "m").mkdir()
        (tmp_path / "m" / "a").write_bytes(b"a")
        assert sha256_of_file(tmp_path / "m" / "a") == A
        assert sha256_of_file(tmp_path / "m") == sha256(b"cae-model-v2\0" + f"{A}  a\n".encode())

    def test_a_pipe_in_a_folder_is_refused_before_anything_is_read(self, tmp_path: Path) -> None:
        (tmp_path / "m").mkdir()
        os.mkfifo(tmp_path / "m" / "pipe")
        with pytest.raises(ModelError, match="m: it holds pipe, which is neither a file nor a folder"):
            files_in(tmp_path / "m")

    def test_a_device_has_no_digest(self) -> None:
        with pytest.raises(ModelError, match="/dev/null: expected a file or a folder of files; this is neither"):
            sha256_of_file(Path("/dev/null"))

    def test_a_failing_copy_says_of_which_file(self, tmp_path: Path) -> None:
        (tmp_path / "m").write_bytes(b"x")
        full = Path("/dev/full")
        with pytest.raises(OSError, match="No space left") as caught:
            copied_with_digest(tmp_path / "m", full)
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, "/dev/full")
        with pytest.raises(OSError, match="No such file") as caught:
            copied_with_digest(tmp_path / "gone", tmp_path / "copy")
        assert caught.value.filename == str(tmp_path / "gone")


class TestStoresOfDownloads:
    """A folder of links into a store beside it, as caches keep them, and what only looks like one."""

    @pytest.fixture
    def hub(self, tmp_path: Path) -> Path:
        for folder in ("hub/blobs", "hub/more", "hub/snapshots/rev", "elsewhere/deep"):
            (tmp_path / folder).mkdir(parents=True)
        for file in ("hub/blobs/1", "hub/blobs/2", "hub/more/3", "elsewhere/deep/4"):
            (tmp_path / file).write_bytes(file[-1].encode())
        return tmp_path / "hub"

    def test_links_into_one_store_are_followed(self, hub: Path) -> None:
        folder = hub / "snapshots" / "rev"
        for name in ("1", "2"):
            (folder / name).symlink_to(hub / "blobs" / name)
        assert leads_into_store(folder / "1", folder)
        lines = "".join(sorted(f"{sha256(name.encode())}  {name}\n" for name in ("1", "2")))
        assert sha256_of_file(folder) == sha256(b"cae-model-v2\0" + lines.encode())

    @pytest.mark.parametrize("other", ["hub/more/3", "elsewhere/deep/4", "a file"])
    def test_a_folder_with_anything_else_is_refused(self, hub: Path, other: str) -> None:
        folder = hub / "snapshots" / "rev"
        (folder / "1").symlink_to(hub / "blobs" / "1")
        if other == "a file":
            (folder / "2").write_bytes(b"2")
        else:
            (folder / "2").symlink_to(hub.parent / other)
        with pytest.raises(ModelError, match="it holds a link, 1,"):
            files_in(folder)

    def test_one_link_out_of_the_store_alone_is_refused(self, hub: Path) -> None:
        folder = hub / "snapshots" / "rev"
        (folder / "4").symlink_to(hub.parent / "elsewhere" / "deep" / "4")
        assert not leads_into_store(folder / "4", folder)
        with pytest.raises(ModelError, match="it holds a link"):
            files_in(folder)

    def test_a_folder_at_the_root_is_no_store(self, tmp_path: Path) -> None:
        """Every folder lies below the root: a link to ``/etc/passwd`` would lead into the store of all of them."""
        (tmp_path / "passwd").symlink_to("/etc/passwd")
        assert not leads_into_store(tmp_path / "passwd", tmp_path)
