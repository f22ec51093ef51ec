"""Taking models from elsewhere into a pool: what `cae pool add` does, and a script may do as well.

`describe_models` makes the rows and refuses what the manifest refuses; `add_models` asks the models and writes them.
"""

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cae_core.containment.limits import GENEROUS, Limits
from cae_core.contract import Contract, Contracts
from cae_core.dataset import ImageSet
from cae_core.errors import ContractError, OptionError
from cae_core.files.exclusion import exclusive
from cae_core.files.outputs import MANIFEST, check_output
from cae_core.loaders import Device
from cae_core.opening.model_files import suspect_digest
from cae_core.pool.check import MemberReport, check_members, refuse_problems
from cae_core.pool.manifest import Pool, PoolMember, parse_member, parse_pool, read_pool
from cae_core.pool.manifest_writing import ManifestRow, append_rows
from cae_core.progress import StageProgress, silent

__all__ = ["add_models", "describe_models"]


def describe_models(
    models: Sequence[Path],
    manifest: Path,
    *,
    role: str,
    relation: str,
    kind: str = "",
    architecture: str = "",
    parent: str = "",
    ancestor: str = "",
    recipe: str = "",
    exposure: str = "",
    contract: Contract | Contracts | None = None,
    trusted: bool = False,
) -> list[ManifestRow]:
    """Return the rows by which ``manifest`` would name these model files; none of them is opened.

    Args:
        models: files; they stay where they are.
        manifest: the pool's; there may be none yet.
        role: what they may be used for; see `PoolMember`.
        relation: what they are to the source.
        kind: how they were made, in words.
        architecture: in words.
        parent: file stem of the member that they were made from.
        ancestor: the pretrained weights that they descend from.
        recipe: how they were trained, in words that models of one recipe share.
        exposure: to the seeds of fingerprints, see `PoolMember`.
        contract: where the files have none; one, or one for each by patterns.
        trusted: whether the files are one's own: they then run in their user's process, and a form whose opening runs
            code may be opened.

    Raises:
        OptionError: the manifest is one of the models, or a file of another kind; see `check_output`.
        ContractError: the contract holds a mean image, which no manifest can.
        OptionError: the pool has no such parent.
        PoolError: the manifest is wrong, or would be with these rows.
    """
    check_output(manifest, MANIFEST, inputs=models)
    common = {
        "role": role,
        "relation": relation,
        "kind": kind,
        "architecture": architecture,
        "parent": parent,
        "ancestor": ancestor,
        "recipe": recipe,
        "exposure": exposure,
    }
    rows: list[ManifestRow] = [
        {
            "path": _named_from(manifest, model),
            **common,
            "contract": _table(contract.of(model) if isinstance(contract, Contracts) else contract),
            **_consent(model, trusted=trusted),
        }
        for model in models
    ]
    before = _members(manifest)
    if parent and parent not in {member.name for member in before}:
        raise OptionError(
            f"--parent: {manifest} has no model with the file stem {parent!r}; `cae pool list` shows them."
        )
    Pool.checked((*before, *_parsed(rows, manifest)), manifest)
    return rows


def add_models(
    rows: Sequence[ManifestRow],
    manifest: Path,
    data: ImageSet,
    *,
    device: Device = "auto",
    limits: Limits = GENEROUS,
    progress: StageProgress = silent,
) -> list[MemberReport]:
    """Check the described models beside those of the pool, and append them to the manifest: all of them, or none.

    Several processes may add at once: who finds the manifest changed after his check checks again.

    Args:
        rows: see `describe_models`.
        manifest: the pool's, which is made where there is none.
        data: labelled images; see `check_members`.
        device: where to run the models.
        limits: of the process of the models that are not trusted.
        progress: called with the models done and their number, those of the pool included.

    Returns:
        One report for each added model.

    Raises:
        PoolError: a model has a problem, such as answering like another one; or the manifest is wrong.
        StorageError: the manifest cannot be written.
    """
    while True:
        found = _content(manifest)
        before = () if found is None else parse_pool(found, manifest).members
        reports = check_members(
            (*before, *_parsed(rows, manifest)), data, device=device, limits=limits, progress=progress
        )
        added = reports[len(before) :]
        refuse_problems(added, "Nothing was added")
        measured = [
            {**row, "accuracy": round(report.accuracy or 0.0, 6), "sha256": report.sha256}
            for row, report in zip(rows, added, strict=True)
        ]
        with exclusive(manifest):
            if _content(manifest) == found:
                append_rows(manifest, measured)
                return added
        # somebody else has added models meanwhile, and ours were not told apart from those


def _content(manifest: Path) -> bytes | None:
    return manifest.read_bytes() if manifest.exists() else None


def _members(manifest: Path) -> tuple[PoolMember, ...]:
    return read_pool(manifest).members if manifest.exists() else ()


def _parsed(rows: Sequence[ManifestRow], manifest: Path) -> list[PoolMember]:
    return [parse_member({name: value for name, value in row.items() if value}, manifest) for row in rows]


def _named_from(manifest: Path, model: Path) -> str:
    """Return the path of a model as a manifest names it: relative where it lies below the manifest."""
    folder, target = manifest.resolve().parent, Path(os.path.abspath(model))  # noqa: PTH100 - links stay links
    return (target.relative_to(folder) if target.is_relative_to(folder) else target).as_posix()


def _consent(model: Path, *, trusted: bool) -> dict[str, Any]:
    """Return the fields by which the manifest trusts this very file."""
    if not trusted or not model.exists():
        return {}
    return {"trusted": True, "sha256": suspect_digest(model)}


def _table(contract: Contract | None) -> dict[str, Any] | None:
    if contract is None:
        return None
    if contract.mean_image is not None:
        raise ContractError("A mean image goes into a contract file beside the model, not into the manifest.")
    return {name: value for name, value in dataclasses.asdict(contract).items() if value is not None}
