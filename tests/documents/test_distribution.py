"""What `make dist` makes: the same bytes wherever and whenever, and with everything that the tests take."""

import os
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
WITHOUT = shutil.ignore_patterns(
    ".git", ".venv*", ".*_cache", "__pycache__", "demo", "dist", "node_modules", "*.partial"
)


def built(folder: Path, *, zone: str, umask: int) -> dict[str, bytes]:
    shutil.copytree(ROOT, folder, ignore=WITHOUT)
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build"],
        cwd=folder,
        env={**os.environ, "TZ": zone},
        umask=umask,
        check=True,
        capture_output=True,
    )
    return {path.name: path.read_bytes() for path in (folder / "dist").iterdir()}


@pytest.mark.slow
def test_a_distribution_has_the_same_bytes_elsewhere(tmp_path: Path) -> None:
    first = built(tmp_path / "here", zone="UTC", umask=0o022)
    second = built(tmp_path / "there/elsewhere", zone="Asia/Kolkata", umask=0o077)
    assert len(first) == 2
    assert first == second
    (source,) = (tmp_path / "here/dist").glob("*.tar.gz")
    with tarfile.open(source) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    for needed in ("Makefile", "README.md", "tests/cli/test_study.py", "examples/audit.sh", "docs/design.md"):
        assert needed in names
