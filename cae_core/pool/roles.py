"""Who plays which part in a job: from what a user names, or a manifest alone, to the members of each role."""

import dataclasses
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from cae_core.errors import PoolError
from cae_core.loaders import is_model
from cae_core.pool.manifest import Pool, PoolMember, Relation, Role, read_pool
from cae_core.pool.members import OpenPool

__all__ = [
    "CalibrationMembers",
    "GenerationMembers",
    "calibration_members",
    "collect_members",
    "control_members",
    "generation_members",
    "select_members",
    "source_member",
]


@dataclass(frozen=True, kw_only=True)
class GenerationMembers:
    """The members of a generation.

    Attributes:
        source: the owner's model.
        surrogates: derived from it, role *generate*.
        references: independent ones, role *generate*.
    """

    source: PoolMember
    surrogates: Sequence[PoolMember]
    references: Sequence[PoolMember]

    @property
    def everyone(self) -> tuple[PoolMember, ...]:
        """Source, surrogates and references, in this order."""
        return (self.source, *self.surrogates, *self.references)

    @classmethod
    def of_pool(cls, pool: Pool, *, source: PoolMember | None = None) -> Self:
        """Return those of a manifest alone; ``source`` takes the place of its own.

        Raises:
            PoolError: there is no source.
        """
        return cls(
            source=source or pool.source,
            surrogates=pool.select(role="generate", relation="surrogate"),
            references=pool.select(role="generate", relation="reference"),
        )


@dataclass(frozen=True, kw_only=True)
class CalibrationMembers:
    """The members of a calibration.

    Attributes:
        references: independent ones, role *calibrate*: suspects are ranked among them.
        surrogates: derived from the source, role *calibrate*; without them no suspect is called independent.
        screen: role *screen*, of both relations; without them there is no choice of examples and no weighted score.
        generation: the source and the role *generate*, which may not be among the others, converted or copied.
    """

    references: Sequence[PoolMember]
    surrogates: Sequence[PoolMember] = ()
    screen: Sequence[PoolMember] = ()
    generation: Sequence[PoolMember] = ()

    @classmethod
    def of_pool(cls, pool: Pool) -> Self:
        """Return those of a manifest alone."""
        return cls(
            references=pool.select(role="calibrate", relation="reference"),
            surrogates=pool.select(role="calibrate", relation="surrogate"),
            screen=pool.select(role="screen"),
            generation=[*pool.select(role="source"), *pool.select(role="generate")],
        )


def generation_members(
    *,
    source: Path | None = None,
    surrogates: Sequence[Path] = (),
    references: Sequence[Path] = (),
    pool: Path | None = None,
    trusted: bool = False,
    opened: OpenPool | None = None,
) -> GenerationMembers:
    """Return the members of a generation that a user names.

    Args:
        source: the model file; None: the manifest's.
        surrogates: model files, folders of them, or manifests, of which the surrogates of the role *generate* count.
        references: model files, folders of them, or manifests, of which the references of the role *generate* count.
        pool: a manifest whose source and *generate* members count besides.
        trusted: whether the files and folders are one's own; of its members a manifest says so itself.
        opened: what the job has hashed already.

    Raises:
        PoolError: neither a source nor a manifest is named, or as of `collect_members` and `source_member`.
    """
    whole = [pool] if pool else []
    manifests = [path for path in (*surrogates, *references, *whole) if path.suffix == ".toml"]
    opened = opened or OpenPool()

    def members(paths: Sequence[Path], relation: Relation) -> list[PoolMember]:
        return collect_members(
            [*paths, *whole], relation=relation, role="generate", manifests=manifests, trusted=trusted, opened=opened
        )

    if source is not None:
        owner = source_member(source, manifests=manifests, trusted=trusted, opened=opened)
    elif pool is not None:
        owner = read_pool(pool).source
    else:
        raise PoolError("Name the source model with --source, or a manifest that has one with --pool.")
    return GenerationMembers(
        source=owner, surrogates=members(surrogates, "surrogate"), references=members(references, "reference")
    )


def control_members(paths: Sequence[Path], *, references: Sequence[PoolMember]) -> list[GenerationMembers]:
    """Return the members of the generation of each control source.

    Args:
        paths: manifests, each of one control source and its surrogates; or folders, of which every ``*/pool.toml`` is
            one, by name.
        references: the claimed source's, which a manifest without references of its own shares.

    Raises:
        PoolError: there is no such manifest, or one has no source.
    """
    found: list[GenerationMembers] = []
    for path in paths:
        manifests = sorted(path.glob("*/pool.toml")) if path.is_dir() else [path]
        if not manifests:
            raise PoolError(
                f"{path}: holds no manifest of a control source (control-01/pool.toml, ...). `cae pool train` with "
                "[controls] in the plan makes them; or name each manifest."
            )
        for manifest in manifests:
            members = GenerationMembers.of_pool(read_pool(manifest))
            found.append(members if members.references else dataclasses.replace(members, references=references))
    return found


def calibration_members(
    *,
    surrogates: Sequence[Path] = (),
    references: Sequence[Path] = (),
    pool: Path | None = None,
    trusted: bool = False,
    opened: OpenPool | None = None,
) -> CalibrationMembers:
    """Return the members of a calibration that a user names.

    Of a manifest in ``surrogates`` or ``references`` the members with the role *calibrate* and that relation count;
    screen and generation are those of all manifests together.

    Args:
        surrogates: model files, folders of them, or manifests.
        references: model files, folders of them, or manifests.
        pool: a manifest whose *calibrate* members of both relations count besides, where it has any.
        trusted: whether the files and folders are one's own; of its members a manifest says so itself.
        opened: what the job has hashed already.

    Raises:
        PoolError: as of `collect_members`.
    """
    named = [*([pool] if pool else []), *surrogates, *references]
    manifests = sorted({path for path in named if path.suffix == ".toml"})

    def members(paths: Sequence[Path], relation: Relation) -> list[PoolMember]:
        found = collect_members(
            paths, relation=relation, role="calibrate", manifests=manifests, trusted=trusted, opened=opened
        )
        return found + (select_members([pool], role="calibrate", relation=relation) if pool else [])

    return CalibrationMembers(
        references=members(references, "reference"),
        surrogates=members(surrogates, "surrogate"),
        screen=select_members(manifests, role="screen"),
        generation=[*select_members(manifests, role="source"), *select_members(manifests, role="generate")],
    )


def collect_members(
    paths: Iterable[Path],
    *,
    relation: Relation,
    role: Role,
    manifests: Iterable[Path] = (),
    trusted: bool = False,
    opened: OpenPool | None = None,
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
        opened: what the job has hashed already.

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
            _check_roles(found, known, role, opened or OpenPool())
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


def source_member(
    path: Path, *, manifests: Iterable[Path] = (), trusted: bool = False, opened: OpenPool | None = None
) -> PoolMember:
    """Return the model file ``path`` as the source.

    Args:
        path: what the user names.
        manifests: whose members do not count; but a file that has another role in them is refused.
        trusted: whether the file is one's own.
        opened: what the job has hashed already.

    Raises:
        PoolError: a manifest gives the file another role, under its own path or as a copy elsewhere.
    """
    source = _bare(path, "source", "source", trusted=trusted)
    known = [member for manifest in manifests for member in read_pool(manifest).members]
    _check_roles([source], known, "source", opened or OpenPool())
    return source


def _check_roles(found: Sequence[PoolMember], known: Sequence[PoolMember], role: Role, opened: OpenPool) -> None:
    """Refuse a file to which a manifest gives another role, under its own path or as a copy elsewhere."""
    by_path = {member.path.resolve(): member for member in known}
    by_digest = {member.sha256.lower(): member for member in known if member.sha256 is not None}
    for bare in found:
        listed = by_path.get(bare.path.resolve())
        if listed is None and by_digest:
            listed = by_digest.get(opened.files(bare.path).digest)
        if listed is not None and listed.role != role:
            raise PoolError(
                f"{bare.path}: the pool has this model as {listed.path} with the role {listed.role}, and here only "
                f"{role} members may be used. Name another model."
            )


def _bare(path: Path, relation: Relation, role: Role, *, trusted: bool) -> PoolMember:
    return PoolMember(path=path, role=role, relation=relation, trusted=trusted)
