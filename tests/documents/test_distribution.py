"""What `make dist` makes: the same bytes wherever and whenever, and with every file of the project."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
IGNORED = [line.strip("/") for line in (ROOT / ".gitignore").read_text().splitlines()]


def built(folder: Path, *, zone: str, umask: int) -> dict[str, bytes]:
    """Build both forms from a copy of the project that has nothing which a checkout has not."""
    shutil.copytree(ROOT, folder, ignore=shutil.ignore_patterns(".git", "PKG-INFO", *IGNORED))
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build"],
        cwd=folder,
        env={**os.environ, "TZ": zone},
        umask=umask,
        check=True,
        capture_output=True,
    )
    return {path.name: path.read_bytes() for path in (folder / "dist").iterdir()}


@pytest.mark.long
def test_a_distribution_has_the_same_bytes_elsewhere_and_every_file(tmp_path: Path) -> None:
    first = built(tmp_path / "here", zone="UTC", umask=0o022)
    second = built(tmp_path / "there/elsewhere", zone="Asia/Kolkata", umask=0o077)
    assert len(first) == 2
    assert first == second
    shutil.move(tmp_path / "here/dist", tmp_path / "dist")
    (source,) = (tmp_path / "dist").glob("*.tar.gz")
    with tarfile.open(source) as archive:
        packed = {member.name.partition("/")[2] for member in archive.getmembers() if member.isfile()}
    files = {
        path.relative_to(tmp_path / "here").as_posix() for path in (tmp_path / "here").rglob("*") if path.is_file()
    }
    assert packed == files | {"PKG-INFO"}
    assert "tests/documents/test_distribution.py" in packed
