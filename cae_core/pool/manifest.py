"""The pool manifest, ``pool.toml``: which models there are, what they are and what each may be used for.

Four roles, disjoint by model: *generate* (gradients), *screen* (choosing examples and settings), *calibrate*
(threshold and p-value only) and *test* (reported figures). A file may play one role only.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias, get_type_hints

from cae_core.contract import Contract, parse_contract
from cae_core.errors import OptionError, PoolError, quoted
from cae_core.files.fields import check_known, fits, read_field
from cae_core.opening.model_files import ModelFiles
from cae_core.paths import StrPath
from cae_core.pool.trained_on import TrainedOn, parse_trained_on
from cae_core.reading import parse_toml, read_limited, reading

__all__ = ["Pool", "PoolMember", "Relation", "Role", "parse_member", "parse_pool", "read_pool"]

Role: TypeAlias = Literal["source", "generate", "screen", "calibrate", "test"]
Relation: TypeAlias = Literal["source", "surrogate", "reference"]

_LARGEST = 1 << 22
"""Bytes of a manifest at most: 10,000 models with all that can be said of them."""


@dataclass(frozen=True, kw_only=True)
class PoolMember:
    """One model of a pool.

    Attributes:
        path: path of the model, absolute or relative to the working folder.
        role: what the model may be used for.
        relation: relation to the source.
        kind: how the model was made, in words.
        architecture: architecture, in words.
        parent: file stem of the member that the model was made from.
        ancestor: pretrained weights that the model descends from.
        twin: file stem of the reference with the same seed, architecture and images, trained on the true labels.
        seed: random seed of the training.
        recipe: how the model was trained, in words that models of one recipe share.
        trained_on: images that the model was trained on; None: unknown.
        exposure: exposure to the seeds of fingerprints, stated directly: ``"all"``, ``"partly"`` or ``"none"``.
        accuracy: accuracy on the data set's test images, 0 to 1.
        sha256: SHA-256 of the model, if the manifest states it.
        contract: contract, if the manifest states one; otherwise the file's own applies.
        trusted: whether the manifest declares the file to be the user's own, so that a form whose opening runs code
            may be opened; it holds only for the file with ``sha256``.
    """

    path: Path
    role: Role
    relation: Relation
    kind: str = ""
    architecture: str = ""
    parent: str = ""
    ancestor: str = ""
    twin: str = ""
    seed: int | None = None
    recipe: str = ""
    trained_on: TrainedOn | None = None
    exposure: Literal["", "all", "partly", "none"] = ""
    accuracy: float | None = None
    sha256: str | None = None
    contract: Contract | None = None
    trusted: bool = False

    @property
    def name(self) -> str:
        """The file's stem."""
        return self.path.stem

    def digest(self, files: ModelFiles | None = None) -> str:
        """Return the SHA-256 of the file, checked against the manifest's.

        Args:
            files: the model's, where the job has hashed them already; None: they are hashed now.

        Raises:
            PoolError: the file is missing, or is not the one that the manifest describes.
        """
        if not self.path.exists():
            raise PoolError(f"{self.path}: the pool names this model, but there is no such file.")
        found = (files or ModelFiles(str(self.path))).digest
        if self.sha256 is not None and found != self.sha256.lower():
            raise PoolError(
                f"{self.path}: the file has changed since the manifest was written "
                f"(expected SHA-256 {self.sha256[:12]}…, found {found[:12]}…). Restore it or correct the manifest."
            )
        return found


@dataclass(frozen=True)
class Pool:
    """The members of a manifest, in its order."""

    members: tuple[PoolMember, ...]
    origin: str

    @classmethod
    def checked(cls, members: Iterable[PoolMember], manifest: Path) -> Self:
        """Make a pool of the members of ``manifest``.

        Raises:
            PoolError: one model stands in it twice, or it has two sources.
        """
        found = tuple(members)
        _check_disjoint(found, manifest)
        sources = [member.path for member in found if member.relation == "source"]
        if len(sources) > 1:
            raise PoolError(f"{manifest}: a pool has one source; found {sources[0]} and {sources[1]}. Remove one.")
        return cls(found, str(manifest))

    def __len__(self) -> int:
        return len(self.members)

    def select(self, *, role: Role | None = None, relation: Relation | None = None) -> tuple[PoolMember, ...]:
        """Return the members with this role and relation."""
        return tuple(m for m in self.members if role in (None, m.role) and relation in (None, m.relation))

    @property
    def source(self) -> PoolMember:
        """The only member with the relation *source*.

        Raises:
            PoolError: there is none, or more than one (in a pool that was not checked).
        """
        sources = self.select(relation="source")
        if len(sources) != 1:
            raise PoolError(f'{self.origin}: expected one model with relation = "source"; found {len(sources)}.')
        return sources[0]


def read_pool(path: StrPath) -> Pool:
    """Read a manifest.

    Raises:
        PoolError: no such file, not TOML, an unknown role or field, one model in two roles, two sources, no model.
    """
    path = Path(path)
    with reading(path, PoolError, fault="the pool manifest is refused", unread="the pool manifest cannot be read"):
        content = read_limited(path, _LARGEST)
    return parse_pool(content, path)


def parse_pool(content: bytes, path: Path) -> Pool:
    """Make a pool of a manifest's ``content``, which stands or will stand at ``path``.

    Raises:
        PoolError: as `read_pool`.
    """
    with reading(path, PoolError, fault="the pool manifest is not TOML"):
        table = parse_toml(content)
    common = table.get("contract")
    rows: Any = table.get("model")
    if not rows or not fits(rows, list[dict[str, Any]]):
        raise PoolError(f"{path}: the pool manifest has no [[model]] table.")
    with reading(path, PoolError, fault="the pool manifest has a model that cannot be looked for"):
        return Pool.checked([parse_member(row, path, common) for row in rows], path)


def parse_member(row: Mapping[str, Any], manifest: Path, common: object = None) -> PoolMember:
    """Make a member of the fields of a ``[[model]]`` table.

    Args:
        row: the fields.
        manifest: whose folder a relative path starts from.
        common: the contract table that applies where the row has none.

    Raises:
        PoolError: a field is unknown, missing or wrong.
    """
    path = row.get("path", "(without path)")
    where = f"{manifest}: model {path if isinstance(path, str) else quoted(path)}"
    if not isinstance(row.get("path"), str):
        raise PoolError(f"{where}: every [[model]] needs a path.")
    kinds = get_type_hints(PoolMember)
    try:
        check_known(row, sorted(kinds))
        for name in ("role", "relation"):
            read_field(row, name, kinds[name])
    except OptionError as error:
        raise PoolError(f"{where}: {error}") from error
    if (row["role"] == "source") != (row["relation"] == "source"):
        raise PoolError(f'{where}: role and relation are both "source", or neither is.')
    if row.get("twin") and row["relation"] != "surrogate":
        raise PoolError(f"{where}: twin is said of a surrogate, and names a reference; this is a {row['relation']}.")
    own = row.get("contract", common)
    if own is not None and not fits(own, dict):
        raise PoolError(f"{where}: contract must be a table; found {quoted(own)}.")
    contract = parse_contract(own, origin=where, folder=manifest.parent) if own else None
    values = {k: v for k, v in row.items() if k not in ("path", "contract", "trained_on")}
    accuracy = values.get("accuracy")
    if isinstance(accuracy, int | float) and not 0 <= accuracy <= 1:
        raise PoolError(f"{where}: accuracy must lie in [0, 1]; found {quoted(accuracy)}.")
    for name, value in values.items():
        if value is None or not fits(value, kinds[name]):
            raise PoolError(f"{where}: {name} cannot be {quoted(value)}.")
    if values.get("trusted") and "sha256" not in values:
        raise PoolError(
            f"{where}: trusted = true is said of one file, so its sha256 must stand beside it. "
            "`cae pool add --trusted` writes both."
        )
    trained_on = _trained_on(row, manifest.parent, where)
    return PoolMember(path=manifest.parent / path, contract=contract, trained_on=trained_on, **values)


def _trained_on(row: Mapping[str, Any], folder: Path, where: str) -> TrainedOn | None:
    if "trained_on" not in row:
        return None
    try:
        return parse_trained_on(row["trained_on"], folder)
    except OptionError as error:
        raise PoolError(f"{where}: {error}") from error


def _check_disjoint(members: Sequence[PoolMember], manifest: Path) -> None:
    for label, keys in (
        ("path", [str(m.path.resolve()) for m in members]),
        ("sha256", [m.sha256 for m in members if m.sha256]),
    ):
        key, count = Counter(keys).most_common(1)[0] if keys else ("", 0)
        if count > 1:
            raise PoolError(f"{manifest}: one model stands in the pool twice (same {label} {key}). Remove one.")
