"""From what a user names to the members of a pool: a manifest, model files, or a folder of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cae_core.errors import PoolError
from cae_core.files.digests import sha256_of_file
from cae_core.loaders import Device, is_model
from cae_core.models import DifferentiableModel, Model
from cae_core.opening.opened import open_model
from cae_core.pool.manifest import PoolMember, Relation, Role, read_pool

__all__ = ["collect_members", "open_member", "open_white_box", "select_members", "source_member"]


def collect_members(
    paths: Iterable[Path],
    *,
    relation: Relation,
    role: Role,
    manifests: Iterable[Path] = (),
    trusted: bool = False,
) -> list[PoolMember]:
    """Return the models that ``paths`` name.

    A manifest (``.toml``) gives its members with this relation and role; a folder gives every model file in it, by
    name; a file is a model.

    Args:
        paths: what the user names.
        relation: of the members.
        role: of the members.
        manifests: further ones, whose members do not count; but a file that has another role in them, or in one of
            ``paths``, is refused.
        trusted: whether the files and folders are one's own; of its members a manifest says so itself.

    Raises:
        PoolError: a path does not exist, a folder holds no model, a manifest has no such member, or a file has another
            role.
    """
    paths = list(paths)
    known = [member for path in (*paths, *manifests) if path.suffix == ".toml" for member in read_pool(path).members]
    members: list[PoolMember] = []
    for path in paths:
        if path.suffix == ".toml":
            found: Sequence[PoolMember] = read_pool(path).select(role=role, relation=relation)
            missing = f"no {relation} with role {role!r}"
        elif path.is_dir() and not is_model(path):
            # a name with a dot in front is a draft that was interrupted
            files = [p for p in sorted(path.iterdir()) if is_model(p) and not p.name.startswith(".")]
            found = [_bare(p, relation, role, trusted=trusted) for p in files]
            missing = "no model file"
        elif path.exists():
            found, missing = [_bare(path, relation, role, trusted=trusted)], ""
        else:
            raise PoolError(f"{path}: no such model, folder or manifest. Check the path.")
        if path.suffix != ".toml":
            _check_roles(found, known, role)
        if not found:
            raise PoolError(f"{path}: holds {missing}. Name another path or add models.")
        members += found
    return members


def select_members(manifests: Iterable[Path], *, role: Role, relation: Relation | None = None) -> list[PoolMember]:
    """Return the members of ``manifests`` with this role (and relation), each file once; there may be none.

    Raises:
        PoolError: a manifest is wrong.
    """
    found = [m for path in manifests for m in read_pool(path).select(role=role, relation=relation)]
    return list({member.path.resolve(): member for member in found}.values())


def open_member(member: PoolMember, *, device: Device = "auto") -> Model:
    """Open a member as a black box.

    Raises:
        PoolError: it is trusted, and its file is not the one that the manifest trusts.
        ModelError: it cannot be opened.
    """
    _check_trusted(member)
    return open_model(str(member.path), contract=member.contract, device=device, trusted=member.trusted)


def open_white_box(
    member: PoolMember, *, device: Device = "auto", images: NDArray[np.uint8] | None = None
) -> DifferentiableModel:
    """Open a member with gradients.

    Args:
        member: of a pool.
        device: where to run it.
        images: uint8 (n, h, w, k), ordinary images by which it is checked; see `open_model`.

    Raises:
        PoolError: it is trusted, and its file is not the one that the manifest trusts.
        ModelError: it cannot be opened, or computes something else than its file.
    """
    _check_trusted(member)
    return open_model(
        str(member.path),
        gradients=True,
        contract=member.contract,
        device=device,
        trusted=member.trusted,
        images=images,
    )


def _check_trusted(member: PoolMember) -> None:
    if member.trusted and member.sha256 is not None:
        member.digest()


def source_member(path: Path, *, manifests: Iterable[Path] = (), trusted: bool = False) -> PoolMember:
    """Return the model file ``path`` as the source.

    Args:
        path: what the user names.
        manifests: whose members do not count; but a file that has another role in them is refused.
        trusted: whether the file is one's own.

    Raises:
        PoolError: a manifest gives the file another role, under its own path or as a copy elsewhere.
    """
    source = _bare(path, "source", "source", trusted=trusted)
    _check_roles([source], [member for manifest in manifests for member in read_pool(manifest).members], "source")
    return source


def _check_roles(found: Sequence[PoolMember], known: Sequence[PoolMember], role: Role) -> None:
    """Refuse a file to which a manifest gives another role, under its own path or as a copy elsewhere."""
    by_path = {member.path.resolve(): member for member in known}
    by_digest = {member.sha256.lower(): member for member in known if member.sha256 is not None}
    for bare in found:
        listed = by_path.get(bare.path.resolve())
        if listed is None and by_digest:
            listed = by_digest.get(sha256_of_file(bare.path))
        if listed is not None and listed.role != role:
            raise PoolError(
                f"{bare.path}: the pool has this model as {listed.path} with the role {listed.role}, and here only "
                f"{role} members may be used. Name another model."
            )


def _bare(path: Path, relation: Relation, role: Role, *, trusted: bool) -> PoolMember:
    return PoolMember(path=path, role=role, relation=relation, trusted=trusted)
