"""The files that a model is read from, and the digest by which it is known: hashed here, when first asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from cae_core.files.digests import sha256_of_file, sha256_of_files, suspect_digest
from cae_core.loaders import files_told

__all__ = ["ModelFiles"]


@dataclass(frozen=True)
class ModelFiles:
    """What lies at a path or an address; each file is read once, when a digest is first asked for.

    Attributes:
        spec: the path or the address.
    """

    spec: str

    @property
    def digest(self) -> str:
        """The SHA-256 by which the model is known: of its file, of its folder's files, or of the address itself."""
        return self._own[0]

    @cached_property
    def sha256(self) -> Mapping[Path, str]:
        """The SHA-256 of every file that opening the model may read: its own ones and, after them, those beside it.

        Beside it lie a contract, and the weights of an ONNX model with external data. Its digest does not cover them.

        Raises:
            ModelError: see `files_told`.
        """
        own = self._own[1]
        return {**own, **{file: sha256_of_file(file) for file in sorted(set(files_told(self.spec)) - own.keys())}}

    @cached_property
    def _own(self) -> tuple[str, dict[Path, str]]:
        path = Path(self.spec)
        return sha256_of_files(path) if path.exists() else (suspect_digest(self.spec), {})
