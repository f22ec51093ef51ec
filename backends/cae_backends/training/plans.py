"""A plan: what a pool shall consist of, in TOML, and the jobs that it means.

    data = "digits"                       # as `open_data` takes it
    foreign = "other.npz"                 # only where a group of members says queries = "foreign"
    seed = 0
    trainer = "torch"                     # of every member that does not say otherwise
    count = { test = 10 }                 # of the groups of members that have none of their own
    controls = 19                         # control sources, each with the generate surrogates' like

    [source]
    architecture = "cnn-small"
    recipe = "owner"                      # or file = "model.onnx": a source that is there already
    # weights = "imagenet"                # or a file's path: what the layers below the classifier start from

    [recipe.owner]                        # beside the packaged recipes: digits, fast, report
    base = "digits"
    share = 0.25

    [parts.owner]                         # images of its own for the source: images = "owner" in [source]
    share = 0.5
    seed = 7

    [parts.others]                        # images = "others" in [[members]]: none of these is the owner's
    rest_of = "owner"

    [[members]]
    kind = "hard labels"
    architectures = ["cnn-small", "mlp"]
    recipes = ["digits", "fast"]
    count = { generate = 8, test = 4 }    # by role; architectures and recipes are taken in turn

A member's seed is derived from the plan's seed and its name, and its name from its group, role and number. So a higher
count adds members and leaves those that are there as they are.
"""

import hashlib
import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from cae_backends.training.adoption import find_adopter
from cae_backends.training.control_jobs import control_jobs
from cae_backends.training.jobs import PoolJob, check_jobs
from cae_backends.training.kinds.record import Estimator, Kind
from cae_backends.training.kinds.scratch import SOURCE as SOURCE_KIND
from cae_backends.training.kinds.table import find_kind, unknown_kind
from cae_backends.training.plan_fields import (
    architectures_of,
    check_architecture,
    check_fields,
    counts_field,
    names_field,
    plan_field,
)
from cae_backends.training.plan_parts import read_parts
from cae_backends.training.pretrained import Pretrained, read_pretrained
from cae_backends.training.recipe import Recipe, packaged_recipes, read_recipe
from cae_core.errors import CaeError, ModelError, PoolError, quoted
from cae_core.files.fields import fits
from cae_core.opening.opened import check_consent
from cae_core.pool.manifest import Role
from cae_core.pool.trained_on import Part
from cae_core.reading import parse_toml, read_limited, reading

__all__ = ["SOURCE", "Plan", "member_seed", "parse_plan", "read_plan"]

SOURCE = "source"
"""Name of the source's job, and the stem of its file."""

_LARGEST = 1 << 20
"""Bytes of a plan at most."""

_MOST, _MOST_SNAPSHOTS, _MOST_CONTROLS = 10_000, 1000, 999
"""Members of a plan, snapshots of one of them, and control sources."""

_PLAN_FIELDS = ("data", "foreign", "seed", "trainer", "count", "controls", "source", "recipe", "parts", "members")
_SOURCE_FIELDS = ("architecture", "recipe", "trainer", "file", "trusted", "changes", "weights", "images")
_GROUP_FIELDS = (
    "name",
    "kind",
    "architectures",
    "recipes",
    "count",
    "trainer",
    "snapshots",
    "queries",
    "images",
    "changes",
    "weights",
)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a pool shall consist of.

    Attributes:
        data: name or path of the data, as `open_data` takes it; empty if the plan names none.
        foreign: likewise, images that thieves with foreign queries ask about.
        jobs: the members, the source first.
        controls: jobs of each control source, the source first.
    """

    data: str
    foreign: str
    jobs: tuple[PoolJob, ...]
    controls: tuple[tuple[PoolJob, ...], ...] = ()

    def shortened(self, *, epochs: int | None = None, share: float = 1.0) -> "Plan":
        """Return the plan with at most so many ``epochs`` for each member, on this further share of the images."""

        def short(recipe: Recipe) -> Recipe:
            most = recipe.epochs if epochs is None else min(epochs, recipe.epochs)
            return replace(recipe, epochs=most, average=min(recipe.average, most), share=recipe.share * share)

        def shortly(jobs: Iterable[PoolJob]) -> tuple[PoolJob, ...]:
            return tuple(replace(job, recipe=short(job.recipe)) for job in jobs)

        return replace(self, jobs=shortly(self.jobs), controls=tuple(map(shortly, self.controls)))


def member_seed(seed: int, name: str) -> int:
    """Return the seed of the member ``name``: other names or plan seeds practically always have others.

    Example:
        >>> member_seed(0, "source") == member_seed(0, "source") != member_seed(1, "source")
        True
    """
    return int.from_bytes(hashlib.sha256(f"{seed}/{name}".encode()).digest()[:4], "big") >> 1


def read_plan(path: Path, *, seed: int | None = None) -> Plan:
    """Read a plan.

    Args:
        path: of the TOML file.
        seed: replaces the plan's.

    Raises:
        PoolError: no such file, not TOML, or a wrong field; the message says where.
        OptionError: a recipe is unknown or wrong.
        BackendMissing: no such trainer is installed.
    """
    with reading(path, PoolError, fault="the plan is refused", unread="the plan cannot be read"):
        content = read_limited(path, _LARGEST)
    with reading(path, PoolError, fault="the plan is not TOML"):
        table = parse_toml(content)
    if seed is not None:
        table["seed"] = seed
    return parse_plan(table, origin=str(path), folder=path.parent)


def parse_plan(table: Mapping[str, Any], *, origin: str, folder: Path = Path()) -> Plan:
    """Make a plan of a TOML table.

    Args:
        table: see the module.
        origin: what it was read from, for messages.
        folder: where a relative ``file`` of the source and relative ``weights`` are looked for.

    Raises:
        PoolError: a wrong field, or an architecture that the trainer does not know or has no weights of.
        OptionError: a recipe is unknown or wrong.
        BackendMissing: no such trainer is installed.
    """
    with reading(origin, PoolError, fault="the plan is malformed"):
        check_fields(table, _PLAN_FIELDS, origin)
        reader = _Reader(table, origin, folder)
        jobs = tuple(itertools.islice(reader.jobs(), _MOST + 1))
    controls = reader.controls(jobs) if len(jobs) <= _MOST else ()
    if len(jobs) + sum(map(len, controls)) > _MOST:
        raise PoolError(f"{origin}: a plan has at most {_MOST} members. Make several pools of it.")
    try:
        for pool in (jobs, *controls):
            check_jobs(pool)
    except PoolError as error:
        raise PoolError(f"{origin}: {error}") from error
    data, foreign = (plan_field(table, name, origin, default="") for name in ("data", "foreign"))
    return Plan(data=data, foreign=foreign, jobs=jobs, controls=controls)


class _Reader:
    """Turns one plan's tables into jobs."""

    def __init__(self, table: Mapping[str, Any], origin: str, folder: Path) -> None:
        self._table, self._origin, self._folder = table, origin, folder
        self._seed, self._trainer = table.get("seed", 0), plan_field(table, "trainer", origin, default="torch")
        if not fits(self._seed, int):
            raise PoolError(f"{origin}: seed must be an integer; found {quoted(self._seed)}.")
        own = table.get("recipe", {})
        if not isinstance(own, dict) or not all(isinstance(recipe, dict) for recipe in own.values()):
            raise PoolError(f"{origin}: recipes are tables, such as [recipe.quick].")
        self._recipes = packaged_recipes() | own
        self._parts = read_parts(table.get("parts", {}), origin)
        self._read_all(own)

    def _read_all(self, own: Mapping[str, Mapping[str, Any]]) -> None:
        """Refuse a wrong recipe also where no member uses it; a base is read with those that build on it."""
        bases = {plan_field(own[name], "base", f"{self._origin}: recipe {name!r}", default="") for name in own}
        done: set[str] = set()
        for name in sorted(own, key=lambda name: name in bases):
            if name not in done:
                self._recipe(name, {}, self._origin)
            while name in own and name not in done:
                done.add(name)
                name = own[name].get("base", "")  # noqa: PLW2901 - along the bases

    def jobs(self) -> Iterator[PoolJob]:
        source = self._source()
        yield source
        groups = self._table.get("members", [])
        if not isinstance(groups, list) or not all(isinstance(group, dict) for group in groups):
            raise PoolError(f"{self._origin}: members are tables, [[members]].")
        seen: set[str] = set()
        for group in groups:
            kind = plan_field(group, "kind", f"{self._origin}: members", default="")
            name = plan_field(
                group, "name", f"{self._origin}: members", default=kind.replace(",", "").replace(" ", "-")
            )
            if name in seen:
                raise PoolError(f"{self._origin}: two groups of members are called {name!r}. Give one another name.")
            seen.add(name)
            yield from self._group(group, name, source)

    def controls(self, jobs: Sequence[PoolJob]) -> tuple[tuple[PoolJob, ...], ...]:
        """Return the jobs of each control source, given those of the pool."""
        count = self._table.get("controls", 0)
        if not fits(count, int) or not 0 <= count <= _MOST_CONTROLS:
            raise PoolError(
                f"{self._origin}: controls is a number of control sources, at most {_MOST_CONTROLS}; found "
                f"{quoted(count)}."
            )
        if count and jobs[0].origin is not None:
            raise PoolError(
                f"{self._origin}: control sources are trained by the source's recipe, which a file does not tell. Give "
                "[source] an architecture and a recipe, or leave controls out."
            )
        if count and not any(job.relation == "surrogate" and job.role == "generate" for job in jobs):
            raise PoolError(f"{self._origin}: control sources have surrogates like the generate ones; there are none.")
        numbers = range(1, count + 1)
        return tuple(control_jobs(jobs, number, seed_of=partial(member_seed, self._seed)) for number in numbers)

    def _source(self) -> PoolJob:
        where, table = f"{self._origin}: source", self._table.get("source")
        if not isinstance(table, dict):
            raise PoolError(f"{self._origin}: a plan has a table [source] with architecture and recipe, or a file.")
        check_fields(table, _SOURCE_FIELDS, where)
        origin = self._folder / plan_field(table, "file", where, default="") if "file" in table else None
        if origin is not None and not origin.is_file():
            raise PoolError(f"{where}: {origin} is no such model file.")
        architecture = plan_field(table, "architecture", where, default="")
        adopter = find_adopter(origin) if origin is not None else ""
        trainer = plan_field(table, "trainer", where, default=adopter or self._trainer)
        recipe = Recipe()
        if origin is None:
            recipe = self._recipe(table.get("recipe"), table, where)
            check_architecture(architecture, architectures_of(trainer, where), where)
        elif "weights" in table:
            raise PoolError(
                f"{where}: a source that is there already starts from no weights. Leave out weights or file."
            )
        start = self._weights(table, [architecture], trainer, where)
        return PoolJob(
            name=SOURCE,
            role="source",
            kind=SOURCE_KIND.name,
            architecture=architecture,
            seed=member_seed(self._seed, SOURCE),
            recipe=recipe,
            trainer=trainer,
            origin=origin,
            trusted=self._consent(table, origin, where),
            part=self._part(table, where),
            weights=start.get(architecture),
        )

    def _consent(self, table: Mapping[str, Any], origin: Path | None, where: str) -> bool:
        trusted = plan_field(table, "trusted", where, default=False)
        if origin is not None:
            try:
                check_consent(origin, trusted=trusted)
            except ModelError as error:
                raise PoolError(f"{where}: {error} In a plan, trusted = true stands in [source].") from error
        return trusted

    def _group(self, table: Mapping[str, Any], name: str, source: PoolJob) -> Iterator[PoolJob]:
        where = f"{self._origin}: members {name!r}"
        check_fields(table, _GROUP_FIELDS, where)
        kind = _kind(table, where)
        architectures = names_field(table, "architectures", [source.architecture] if kind.copies else None, where)
        recipes = names_field(table, "recipes", None if kind.trained else ["digits"], where)
        trainer = plan_field(table, "trainer", where, default=self._trainer)
        if source.origin is not None and kind.copies:
            _refuse_fields(table, ("architectures", "trainer"), where)
            trainer = source.trainer
        else:
            _check_architectures(architectures, kind, trainer, where)
        queries, snapshots, part = _queries(table, where), _snapshots(table, where), self._part(table, where)
        start = self._weights(table, architectures, trainer, where)
        for role, number, recipe, architecture in _turns(self._counts(table, where), recipes, architectures):
            member = f"{role}-{name}-{number:03}"
            yield PoolJob(
                name=member,
                role=role,
                kind=kind.name,
                architecture=architecture,
                seed=member_seed(self._seed, member),
                parent=SOURCE if kind.relation == "surrogate" else "",
                recipe=self._recipe(recipe, table, where),
                recipe_name=recipe,
                trainer=trainer,
                queries=queries,
                part=part,
                snapshots=snapshots if role in ("generate", "screen") else 0,
                weights=start.get(architecture),
            )

    def _counts(self, table: Mapping[str, Any], where: str) -> Iterator[tuple[Role, int]]:
        """Yield the numbers of a group's members by role: its own, or those of the plan."""
        return counts_field(self._table if "count" not in table and "count" in self._table else table, where)

    def _weights(
        self, table: Mapping[str, Any], architectures: list[str], trainer: str, where: str
    ) -> dict[str, Pretrained]:
        return read_pretrained(table, architectures=architectures, trainer=trainer, folder=self._folder, where=where)

    def _part(self, table: Mapping[str, Any], where: str) -> Part | None:
        """Return the part of the training images that is named; None where none is."""
        name = plan_field(table, "images", where, default="")
        if not name:
            return None
        if name not in self._parts:
            raise PoolError(f"{where}: images is the name of one of [parts]; found {quoted(name)}.")
        if "file" in table or table.get("queries") == "foreign":
            raise PoolError(f"{where}: images is a part of the training images, of which this one sees none.")
        return self._parts[name]

    def _recipe(self, name: object, table: Mapping[str, Any], where: str) -> Recipe:
        changes = table.get("changes", {})
        if not isinstance(name, str):
            raise PoolError(f"{where}: a recipe is named by a text; found {quoted(name)}.")
        if not isinstance(changes, dict):
            raise PoolError(f"{where}: changes to a recipe are a table; found {quoted(changes)}.")
        try:
            return read_recipe(name, tables=self._recipes, changes=changes)
        except CaeError as error:
            raise type(error)(f"{where}: {error}") from error


def _kind(table: Mapping[str, Any], where: str) -> Kind:
    name = str(table.get("kind", ""))
    try:
        if name == SOURCE_KIND.name:
            raise unknown_kind(name)
        return find_kind(name)
    except PoolError as error:
        raise PoolError(f"{where}: {error}") from error


def _refuse_fields(table: Mapping[str, Any], fields: Iterable[str], where: str) -> None:
    for field in fields:
        if field in table:
            raise PoolError(f"{where}: a copy of a file has the file's architecture and framework. Leave {field} out.")


def _check_architectures(names: Iterable[str], kind: Kind, trainer: str, where: str) -> None:
    known = kind.architectures if isinstance(kind, Estimator) else architectures_of(trainer, where)
    for name in names:
        check_architecture(name, known, where)


def _turns(
    counts: Iterable[tuple[Role, int]], recipes: Iterable[str], architectures: Iterable[str]
) -> Iterator[tuple[Role, int, str, str]]:
    """Yield the role, number, recipe and architecture of each member; in each role recipes begin anew."""
    pairs = list(itertools.product(recipes, architectures))
    for role, count in counts:
        for number, (recipe, architecture) in zip(range(1, count + 1), itertools.cycle(pairs), strict=False):
            yield role, number, recipe, architecture


def _queries(table: Mapping[str, Any], where: str) -> Literal["own", "foreign"]:
    queries = table.get("queries", "own")
    if queries not in ("own", "foreign"):
        raise PoolError(f"{where}: queries are own or foreign; found {quoted(queries)}.")
    return "foreign" if queries == "foreign" else "own"


def _snapshots(table: Mapping[str, Any], where: str) -> int:
    snapshots = table.get("snapshots", 0)
    if not fits(snapshots, int) or snapshots < 0:
        raise PoolError(f"{where}: snapshots must be a number; found {quoted(snapshots)}.")
    if snapshots > _MOST_SNAPSHOTS:
        raise PoolError(f"{where}: a member has at most {_MOST_SNAPSHOTS} snapshots; found {quoted(snapshots)}.")
    return int(snapshots)
