"""What a file of torch's is, by a bounded look at it: torch writes programs and pickles under the same suffixes."""

from pathlib import Path

__all__ = ["is_torchscript"]

_ARCHIVE = b"PK\x03\x04"

_CONSTANTS = b"/constants.pkl"
"""The member that every TorchScript archive has and no other of torch's; torch writes it near the end of the list."""

_LOOKED_AT = 1 << 20
"""Bytes at the end of a file, in which the list of an archive's members stands."""


def is_torchscript(path: Path) -> bool:
    """Return whether a file is what ``torch.jit.save`` wrote; a file that cannot be read is not."""
    try:
        if not path.is_file():
            return False
        with path.open("rb") as file:
            if file.read(len(_ARCHIVE)) != _ARCHIVE:
                return False
            file.seek(-min(_LOOKED_AT, path.stat().st_size), 2)
            return _CONSTANTS in file.read(_LOOKED_AT)
    except OSError:
        return False
