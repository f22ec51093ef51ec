"""From what a user names to the members of a pool: a manifest, model files, or a folder of them."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from cae_core.errors import PoolError
from cae_core.loaders import is_model
from cae_core.pool import PoolMember, Relation, Role, read_pool

__all__ = ["collect_members"]


def collect_members(paths: Iterable[Path], *, relation: Relation, role: Role) -> list[PoolMember]:
    """Return the models that ``paths`` name.

    A manifest (``.toml``) gives its members with this relation and role; a folder gives every model file in it, by
    name; a file is a model.

    Raises:
        PoolError: a path does not exist, a folder holds no model, or a manifest has no such member.
    """
    members: list[PoolMember] = []
    for path in paths:
        if path.suffix == ".toml":
            found: Sequence[PoolMember] = read_pool(path).select(role=role, relation=relation)
            missing = f"no {relation} with role {role!r}"
        elif path.is_dir() and not is_model(path):
            # a name with a dot in front is a draft that was interrupted
            files = [p for p in sorted(path.iterdir()) if is_model(p) and not p.name.startswith(".")]
            found = [_bare(p, relation, role) for p in files]
            missing = "no model file"
        elif path.exists():
            found, missing = [_bare(path, relation, role)], ""
        else:
            raise PoolError(f"{path}: no such model, folder or manifest. Check the path.")
        if not found:
            raise PoolError(f"{path}: holds {missing}. Name another path or add models.")
        members += found
    return members


def _bare(path: Path, relation: Relation, role: Role) -> PoolMember:
    return PoolMember(path=path, role=role, relation=relation)
