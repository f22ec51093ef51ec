"""A study file: a whole experiment in TOML.

title = "A small study"
data = "digits"                        # as `open_data` takes it; `cae study --data` replaces it
seed = 0
floor = 0.8                            # a source less accurate tells nothing: its results are marked
quick = "a quarter of the epochs"      # in words, what `--quick` leaves out

[pool.main]
plan = "digits-plan.toml"              # beside this file; or manifest = "pool.toml"
quick = { epochs = 5 }                 # replaces options of the step in the reduced form; false leaves the step out

[fingerprint.ours]
pool = "main"
settings = { eps = 0.2, tau = 0.6 }

[match-rates.ours]
fingerprint = "ours"

[verdicts.ours]
fingerprint = "ours"
vary.queries = [100, 300]              # two steps, ours-queries-100 and ours-queries-300

[[table]]
title = "In the pool and held out"
of = ["match-rates.ours"]

[[table]]
title = "Few queries, and more"
of = ["verdicts.ours-*"]               # all that begin so

[[figure]]
title = "Who answers like the source"
kind = "match rates"
of = ["match-rates.ours"]
"""

import itertools
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cae_core.errors import CaeError, OptionError, StudyError, quoted
from cae_core.files.fields import check_known, read_field
from cae_core.reading import parse_toml, read_limited, reading
from cae_study.figures.table import FIGURES
from cae_study.kinds.table import KINDS
from cae_study.step import REQUIRED, Options, Step, StepKind

__all__ = ["Shown", "Study", "read_study"]

_LARGEST = 1 << 20
"""Bytes of a study file at most."""

_MOST = 1000
"""Steps of a study, tables and figures at most."""

_UNNAMED = re.compile(r"[^a-z0-9]+")
"""What the name of a step cannot hold."""

_TEXTS = {"title": "", "note": "", "data": "", "quick": ""}


@dataclass(frozen=True, kw_only=True)
class Shown:
    """A table or figure of a study.

    Attributes:
        title: in words.
        of: the ids of the steps whose rows it shows, at least one.
        kind: of a figure, see `cae_study.figures.table`; empty for a table.
        rows: which rows of the steps' results.
        columns: of a table, in order; empty: all.
        note: what a reader should know besides.
        report: of a figure, values that others published, as [x, y] by the name of a line.
    """

    title: str
    of: tuple[str, ...]
    kind: str = ""
    rows: str = "summary"
    columns: tuple[str, ...] = ()
    note: str = ""
    report: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Study:
    """A study as its file says it.

    Attributes:
        origin: the file.
        title: in words.
        note: what a reader should know before the tables.
        data: name or path of the data, as `open_data` takes it; empty: `--data` has to say it.
        seed: random seed of everything that does not name its own.
        floor: accuracy of a source below which a result is not informative, 0 to 1.
        quick: what the reduced form leaves out, in words; empty where this is the whole.
        steps: steps in the file's order.
        tables: tables in the file's order.
        figures: figures in the file's order.
    """

    origin: Path
    title: str
    note: str = ""
    data: str
    seed: int
    floor: float
    quick: str
    steps: tuple[Step, ...]
    tables: tuple[Shown, ...]
    figures: tuple[Shown, ...]


def read_study(path: Path, *, quick: bool = False, pools: Mapping[str, Path] | None = None) -> Study:
    """Read a study file, and check everything in it that can be checked before any work.

    Args:
        path: of the TOML file; paths in it are seen from its folder.
        quick: read the reduced form.
        pools: manifests of pools that are there already, by the names of the steps that would make them.

    Raises:
        StudyError: no such file, not TOML, a wrong field, an unknown step or kind; the message says where.
    """
    with reading(path, StudyError, fault="the study is refused", unread="the study cannot be read"):
        content = read_limited(path, _LARGEST)
    with reading(path, StudyError, fault="the study is not TOML"):
        table = parse_toml(content)
    known = {*_TEXTS, "seed", "floor", "table", "figure", *KINDS}
    _check_known(table, known, str(path))
    texts = {name: _typed(table, name, default, str(path)) for name, default in _TEXTS.items()}
    if quick and not texts["quick"]:
        raise StudyError(f"{path}: this study has no reduced form. Leave --quick out.")
    _put_pools(table, pools or {}, str(path))
    _spread(table, str(path))
    _leave_out(table, quick=quick)
    steps = tuple(_steps(table, path, quick=quick))
    ids = {step.id for step in steps}
    for step in steps:
        _check_ids(step.needs, ids, f"{path}, [{step.id}]")
    return Study(
        origin=path,
        title=texts["title"] or path.stem,
        note=texts["note"],
        data=texts["data"],
        seed=_typed(table, "seed", 0, str(path)),
        floor=_typed(table, "floor", 0.0, str(path)),
        quick=texts["quick"] if quick else "",
        steps=steps,
        tables=tuple(_shown(table, "table", ids, path)),
        figures=tuple(_shown(table, "figure", ids, path)),
    )


def _put_pools(table: dict[str, Any], pools: Mapping[str, Path], where: str) -> None:
    """Put manifests in the place of the plans of pools."""
    known = _typed(table, "pool", dict[str, Any](), where)
    for name, manifest in pools.items():
        if name not in known:
            raise StudyError(f"{where}: there is no pool {quoted(name)}; there are {', '.join(known) or 'none'}.")
        known[name] = {"manifest": str(manifest.absolute())}


def _spread(table: dict[str, Any], where: str) -> None:
    """Put the steps that one with ``vary`` stands for in its place; of what is shown, those that a star stands for."""
    ids: list[str] = []
    for kind in KINDS:
        named = _typed(table, kind, dict[str, Any](), where)
        varied = [one for name, given in named.items() for one in _varied(name, given, f"{where}, [{kind}.{name}]")]
        if len(dict(varied)) < len(varied):
            raise StudyError(f"{where}: two steps of the kind {kind} have one name. Call one otherwise.")
        if named:
            table[kind] = dict(varied)
        ids += [f"{kind}.{name}" for name, _ in varied]
    for own in (one for shown in ("table", "figure") for one in _typed(table, shown, list[Any](), where)):
        if isinstance(own, dict) and isinstance(own.get("of"), list):
            own["of"] = [one for name in own["of"] for one in _starred(name, ids)]


def _varied(name: str, given: object, where: str) -> Iterator[tuple[str, object]]:
    """Yield the step, or with ``vary`` one for each combination of the values that it lists, with its name."""
    if not isinstance(given, dict) or "vary" not in given:
        yield name, given
        return
    vary = _typed(given, "vary", dict[str, Any](), where)
    if not vary or not all(isinstance(values, list) and values for values in vary.values()):
        raise StudyError(f"{where}: vary = {{ OPTION = [...] }} lists the values of options; found {quoted(vary)}.")
    if math.prod(map(len, vary.values())) > _MOST:
        raise StudyError(f"{where}: a study has at most {_MOST} steps.")
    for values in itertools.product(*vary.values()):
        chosen = dict(zip(vary, values, strict=True))
        parts = (f"{option}-{_UNNAMED.sub('-', str(value).lower()).strip('-')}" for option, value in chosen.items())
        yield "-".join([name, *parts]), {key: kept for key, kept in given.items() if key != "vary"} | chosen


def _starred(name: object, ids: Iterable[str]) -> list[object]:
    """Return the steps that begin like a name with a star at its end, if there are any; else the name."""
    if not isinstance(name, str) or not name.endswith("*"):
        return [name]
    return [one for one in ids if one.startswith(name[:-1])] or [name]


def _leave_out(table: dict[str, Any], *, quick: bool) -> None:
    """Take the steps with ``quick = false`` out of the reduced form, and what is shown of them."""
    left: set[str] = set()
    for kind in KINDS:
        named = table.get(kind)
        if not isinstance(named, dict):
            continue  # which is refused later, with its place
        for name, given in list(named.items()):
            if not isinstance(given, dict) or given.get("quick") is not False:
                continue
            if quick:
                del named[name]
                left.add(f"{kind}.{name}")
            else:
                del given["quick"]
    for shown in ("table", "figure"):
        if left and isinstance(table.get(shown), list):
            table[shown] = [kept for own in table[shown] if (kept := _without(own, left)) is not None]


def _without(own: object, left: set[str]) -> object:
    """Return what is to be shown without the steps ``left`` out; None where nothing is left of it."""
    if not isinstance(own, dict) or not isinstance(own.get("of"), list):
        return own  # which is refused later, with its place
    of = [step for step in own["of"] if step not in left]
    return own | {"of": of} if of or not own["of"] else None


def _steps(table: Mapping[str, Any], path: Path, *, quick: bool) -> Iterator[Step]:
    count = 0
    for kind in KINDS.values():
        for name, given in _typed(table, kind.name, dict[str, Any](), str(path)).items():
            where = f"{path}, [{kind.name}.{name}]"
            count += 1
            if count > _MOST:
                raise StudyError(f"{path}: a study has at most {_MOST} steps.")
            if not isinstance(given, dict) or not name.replace("-", "").replace("_", "").isalnum():
                raise StudyError(f"{where}: a step is a table, named by letters, digits and dashes.")
            options = _options(given, kind, where, quick=quick)
            yield _step(kind, name, options, path.parent, where)


def _step(kind: StepKind, name: str, options: Options, folder: Path, where: str) -> Step:
    """Return a step whose options its kind accepts; what the kind refuses is told with its place."""
    try:
        with reading(where, StudyError, fault="the step is refused"):
            step = Step(kind=kind, name=name, options=options, outside=kind.outside(options, folder))
            kind.needs(options)
    except CaeError as error:
        raise StudyError(str(error) if str(error).startswith(where) else f"{where}: {error}") from error
    return step


def _options(given: dict[str, Any], kind: StepKind, where: str, *, quick: bool) -> Options:
    """Return the options of a step: those of the reduced form in the place of the others, tables put together."""
    _check_known(given, {*kind.options, "quick"}, where)
    instead = _typed(given, "quick", dict[str, Any](), where)
    _check_known(instead, set(kind.options), f"{where}, quick")
    if quick:
        given = given | {
            name: given.get(name, {}) | value if isinstance(value, dict) else value for name, value in instead.items()
        }
    found: dict[str, Any] = {}
    for name, default in kind.options.items():
        if default is REQUIRED and name not in given:
            raise StudyError(f"{where}: {name} is missing. Say {name} = ...")
        found[name] = _typed(given, name, "" if default is REQUIRED else default, where)
    return found


def _shown(table: Mapping[str, Any], name: str, ids: set[str], path: Path) -> Iterator[Shown]:
    given = _typed(table, name, list[Any](), str(path))
    for number, own in enumerate(given[:_MOST], start=1):
        where = f"{path}, [[{name}]] number {number}"
        if not isinstance(own, dict):
            raise StudyError(f"{where}: expected a table; found {quoted(own)}.")
        fields = {"title", "of", "rows", "note", *(("columns",) if name == "table" else ("kind", "report"))}
        _check_known(own, fields, where)
        of, columns = (_names(own, field, where) for field in ("of", "columns"))
        _check_ids(of, ids, where)
        if not of:
            raise StudyError(f"{where}: of = [...] names the steps whose results are shown, at least one.")
        kind = _typed(own, "kind", "", where)
        if name == "figure" and kind not in FIGURES:
            raise StudyError(f"{where}: kind must be one of {', '.join(FIGURES)}; found {quoted(kind)}.")
        yield Shown(
            title=_typed(own, "title", f"{name} {number}", where),
            of=of,
            kind=kind,
            rows=_typed(own, "rows", FIGURES[kind].rows if kind else "summary", where),
            columns=columns,
            note=_typed(own, "note", "", where),
            report=_typed(own, "report", dict[str, Any](), where),
        )


def _names(table: Mapping[str, Any], field: str, where: str) -> tuple[str, ...]:
    with _told(where):
        return tuple(read_field(table, field, list[str], []))


def _typed(table: Mapping[str, Any], field: str, default: Any, where: str) -> Any:  # noqa: ANN401 - of the default's type
    with _told(where):
        value = read_field(table, field, type(default), default)
    return float(value) if isinstance(default, float) else value


def _check_known(table: Mapping[str, Any], known: Iterable[str], where: str) -> None:
    with _told(where):
        check_known(table, sorted(known))


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Put the place before the sentence."""
    try:
        yield
    except OptionError as error:
        raise StudyError(f"{where}: {error}") from error


def _check_ids(found: tuple[str, ...], ids: set[str], where: str) -> None:
    for name in found:
        if name not in ids:
            raise StudyError(f"{where}: there is no step {quoted(name)}; there are {', '.join(sorted(ids)) or 'none'}.")
