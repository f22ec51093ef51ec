"""Pretrained weights that a training starts from: what a plan says of them, and what the manifest does.

No framework is imported here.
"""

import hashlib
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cae_backends.training.plan_fields import plan_field
from cae_backends.training.trainers import find_trainer
from cae_core.errors import PoolError
from cae_core.files.digests import sha256_of_file

__all__ = ["IMAGENET", "Pretrained", "read_pretrained"]

IMAGENET = "imagenet"
"""The name, in a plan and in a digest, of the weights that a framework publishes."""


@dataclass(frozen=True, kw_only=True)
class Pretrained:
    """Weights of the layers below a network's classifier.

    Attributes:
        ancestor: what they are, in words; the manifest's field of this name.
        path: their file; None for those that the framework publishes.
        sha256: SHA-256 of the weights' file.
    """

    ancestor: str
    path: Path | None = None
    sha256: str = ""

    @property
    def identity(self) -> str:
        """What stands for them in a job's digest: wherever a file lies, its content decides."""
        return self.sha256 or IMAGENET

    def content(self) -> bytes:
        """Return the file's bytes, none where there is no file.

        Raises:
            PoolError: the file cannot be read, or is another one by now.
        """
        if self.path is None:
            return b""
        try:
            content = self.path.read_bytes()
        except OSError as error:
            raise PoolError(f"{self.path}: the file of weights cannot be read ({error.strerror}).") from error
        if hashlib.sha256(content).hexdigest() != self.sha256:
            raise PoolError(f"{self.path}: the file of weights has changed since the plan was read. Start again.")
        return content


def read_pretrained(
    table: Mapping[str, Any], *, architectures: Collection[str], trainer: str, folder: Path, where: str
) -> dict[str, Pretrained]:
    """Return what the field ``weights`` of a plan's table means for each architecture; nothing where it is not there.

    Args:
        table: of the source or of a group of members.
        architectures: of its networks.
        trainer: by name.
        folder: where a relative path starts from.
        where: the beginning of messages.

    Raises:
        PoolError: an architecture has no published weights, or there is no such file.
    """
    if "weights" not in table:
        return {}
    published, given = find_trainer(trainer).pretrained, plan_field(table, "weights", where, default="")
    for architecture in architectures:
        if architecture not in published:
            known = ", ".join(published) or "none"
            raise PoolError(
                f"{where}: weights are for architectures that the trainer {trainer} has published ones of ({known}); "
                f"found {architecture!r}. Leave weights out."
            )
    if given == IMAGENET:
        return {name: Pretrained(ancestor=f"ImageNet weights of {published[name]}") for name in architectures}
    path = folder / given
    if not path.is_file():
        raise PoolError(f'{where}: weights are "{IMAGENET}" or a file; there is no file {path}. Correct the path.')
    digest = sha256_of_file(path)
    ancestor = f"{path.stem} (SHA-256 {digest[:12]})"
    return dict.fromkeys(architectures, Pretrained(ancestor=ancestor, path=path, sha256=digest))
