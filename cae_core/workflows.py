"""The whole jobs, from files to files: what the command line calls and a script may call as well.

The search is imported by the jobs that search: a verification starts without it.
"""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cae_core.contract import Contract
from cae_core.errors import PoolError
from cae_core.file_digest import sha256_of_file
from cae_core.fingerprint import load_fingerprint, save_fingerprint
from cae_core.loaders import Device, open_model
from cae_core.models import DifferentiableModel
from cae_core.verdict import Verdict
from cae_core.verification import verify

if TYPE_CHECKING:
    from cae_core.dataset import ImageSet
    from cae_core.generation import GenerationResult, Progress
    from cae_core.pool import PoolMember
    from cae_core.pools import Pools
    from cae_core.settings import GenerationSettings

__all__ = ["checkpoint_of", "generate_fingerprint", "open_pools", "suspect_digest", "verify_suspect"]


def checkpoint_of(output: Path) -> Path:
    """Return where an interrupted generation of ``output`` keeps its state."""
    return output.with_name(output.name + ".partial")


def open_pools(
    source: "PoolMember",
    surrogates: "Sequence[PoolMember]",
    references: "Sequence[PoolMember]",
    *,
    device: Device = "auto",
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> "Pools":
    """Open every member with gradients.

    Raises:
        PoolError: a pool is empty.
        ModelError: a member cannot be opened.
    """
    from cae_core.pools import Pools

    members = [source, *surrogates, *references]
    models: list[DifferentiableModel] = []
    for position, member in enumerate(members):
        models.append(open_model(str(member.path), gradients=True, contract=member.contract, device=device))
        progress(position + 1, len(members))
    boundary = 1 + len(surrogates)
    return Pools(models[0], models[1:boundary], models[boundary:], [member.name for member in members])


def generate_fingerprint(
    source: "PoolMember",
    surrogates: "Sequence[PoolMember]",
    references: "Sequence[PoolMember]",
    data: "ImageSet",
    *,
    settings: "GenerationSettings",
    output: Path,
    device: Device = "auto",
    progress: "Progress" = lambda _stage, _done, _total: None,
) -> "GenerationResult":
    """Open the pools, generate a fingerprint and write it to ``output``.

    An interrupted run leaves its state beside ``output`` and goes on from there when it is called again with the same
    inputs.

    Raises:
        PoolError: a pool is empty, a file has changed, or one file plays two parts.
        CaeError: see `generate`, `open_model` and `save_fingerprint`.
    """
    from cae_core.generation import generate

    provenance = _provenance(source, surrogates, references)
    pools = open_pools(
        source,
        surrogates,
        references,
        device=device,
        progress=lambda done, total: progress("opening models", done, total),
    )
    checkpoint = checkpoint_of(output)
    result = generate(pools, data, settings, provenance=provenance, checkpoint=checkpoint, progress=progress)
    save_fingerprint(result.fingerprint, output)
    checkpoint.unlink(missing_ok=True)
    return result


def _provenance(
    source: "PoolMember", surrogates: "Sequence[PoolMember]", references: "Sequence[PoolMember]"
) -> dict[str, Any]:
    seen: dict[str, str] = {}

    def describe(member: "PoolMember") -> dict[str, str]:
        digest = member.digest()
        if digest in seen:
            raise PoolError(
                f"{member.path} and {seen[digest]} are one file. "
                "A model is either the source, a surrogate or a reference."
            )
        seen[digest] = str(member.path)
        return {"name": member.name, "sha256": digest, "kind": member.kind, "architecture": member.architecture}

    return {
        "source": describe(source),
        "surrogates": [describe(member) for member in surrogates],
        "references": [describe(member) for member in references],
    }


def suspect_digest(spec: str) -> str:
    """Return the SHA-256 of the suspect's file or folder, else of the string that names it."""
    path = Path(spec)
    return sha256_of_file(path) if path.exists() else hashlib.sha256(spec.encode()).hexdigest()


def verify_suspect(
    suspect: str,
    fingerprint: Path,
    *,
    contract: Contract | None = None,
    device: Device = "auto",
    nonce: bytes | None = None,
    max_queries: int | None = None,
    progress: Callable[[int, int], None] = lambda _done, _total: None,
) -> Verdict:
    """Open the suspect and judge it by the fingerprint in a file.

    Args:
        suspect: a path or an address, see `open_model`.
        fingerprint: the file.
        contract: replaces the one that the suspect carries.
        device: where to run it.
        nonce: decides the order of the questions; random where None.
        max_queries: budget.
        progress: called with the queries done and in total.

    Raises:
        CaeError: see `load_fingerprint`, `open_model` and `verify`.
    """
    loaded = load_fingerprint(fingerprint)
    model = open_model(suspect, contract=contract, device=device)
    return verify(
        model,
        loaded,
        suspect_name=suspect,
        suspect_sha256=suspect_digest(suspect),
        fingerprint_sha256=sha256_of_file(fingerprint),
        nonce=nonce,
        max_queries=max_queries,
        progress=progress,
    )
