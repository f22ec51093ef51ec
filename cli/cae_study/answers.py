"""Asking the models of a pool once: what each has answered is kept at once, so that nothing is asked twice."""

import hashlib
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np

from cae_core.arrays import Labels
from cae_core.files.storage import write_atomically
from cae_core.fingerprint.file import Fingerprint
from cae_core.pool.manifest import PoolMember
from cae_core.pool.members import OpenPool
from cae_core.progress import detail
from cae_study.bench import Bench

__all__ = ["asked"]

_STAGE = "asking models"


def asked(bench: Bench, fingerprint: Fingerprint, members: Sequence[PoolMember], opened: OpenPool) -> dict[str, Labels]:
    """Return by each model's name its labels, int64 (n + q,), of the examples and then of the benign probes.

    Args:
        bench: whose folder keeps them.
        fingerprint: with n examples and q probes.
        members: whom to ask.
        opened: where they run.
    """
    images = np.concatenate([fingerprint.images, fingerprint.probe_images])
    found: dict[str, Labels] = {}
    opened.expect(members)
    for done, member in enumerate(members, start=1):
        path = _place(bench.folder, member)
        if not path.exists():
            detail(bench.progress, _STAGE, member.name)
            content = BytesIO()
            np.save(content, opened.open(member).model.predict(images).labels, allow_pickle=False)
            write_atomically(path, content.getvalue())
        found[member.name] = np.load(path, allow_pickle=False)
        bench.progress(_STAGE, done, len(members))
    return found


def _place(folder: Path, member: PoolMember) -> Path:
    """Return where a model's answers are kept: a member's name may hold what no file's name may."""
    folder = folder / "answers"
    folder.mkdir(exist_ok=True)
    return folder / f"{hashlib.sha256(f'{member.role}/{member.name}'.encode()).hexdigest()[:24]}.npy"
