"""What cannot be read or written is said of its file, and not of whatever is printed at the same time."""

import sys
from pathlib import Path

import pytest

from cae_core.errors import ModelError
from cae_core.files.digests import copied_with_digest, sha256_of_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="files of Linux that cannot be read, and that are full")


def test_a_file_that_cannot_be_read() -> None:
    with pytest.raises(ModelError, match=r"^/proc/self/mem: the file cannot be read \(Input/output error\)\.$"):
        sha256_of_file(Path("/proc/self/mem"))


def test_a_copy_that_cannot_be_written(tmp_path: Path) -> None:
    source = tmp_path / "m.onnx"
    source.write_bytes(b"content")
    with pytest.raises(OSError, match="No space left on device: '/dev/full'"):
        copied_with_digest(source, Path("/dev/full"))
