"""A timestamp of the seal that the cases judge. It is kept, because an authority gives another one each time."""

import hashlib
import os
import shutil
import tempfile
from pathlib import Path

from tests.backends.timestamping import make_authority
from tests.golden.expected import RECORD

__all__ = ["add_timestamp"]

_KEPT = Path(__file__).parent / "authority"


def add_timestamp(folder: Path) -> None:
    """Copy the timestamp of ``folder``'s seal, and the root that vouches for it.

    Where the goldens are written anew and the seal is another one, a new authority dates it, by the command `openssl`.
    """
    seal = folder / "seal.json"
    if os.environ.get(RECORD) and not _dates(_KEPT / "seal.tsr", seal):
        _issue(seal)
    for name in ("root.pem", "seal.tsr"):
        shutil.copyfile(_KEPT / name, folder / name)


def _dates(response: Path, seal: Path) -> bool:
    return response.exists() and hashlib.sha256(seal.read_bytes()).digest() in response.read_bytes()


def _issue(seal: Path) -> None:
    _KEPT.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        authority = make_authority(Path(folder))
        (_KEPT / "seal.tsr").write_bytes(authority.stamp(seal))
        shutil.copyfile(authority.root, _KEPT / "root.pem")
