"""Ours and its rivals on the same models: `cae compare` as a step."""

import csv
import io

from cae_core.arena.compare import compare
from cae_core.arena.contender import parse_contenders
from cae_core.arena.settings import BUDGETS, CompareSettings
from cae_core.arena.tables import as_csv
from cae_core.errors import StudyError
from cae_core.pool.members import OpenPool
from cae_study.bench import Bench
from cae_study.step import REQUIRED, Options, Result, StepKind, Units

__all__ = ["COMPARE"]


def _settings(options: Options, seed: int) -> CompareSettings:
    return CompareSettings(budgets=tuple(options["queries"]), rate=options["fpr"], role=options["role"], seed=seed)


def _run(bench: Bench) -> Result:
    found = compare(
        bench.pool(bench.options["pool"]),
        bench.images.of("all"),
        parse_contenders(bench.options["methods"]),
        settings=_settings(bench.options, bench.seed),
        output=bench.folder / "arena",
        opened=OpenPool(device=bench.device),
        progress=bench.progress,
    )
    return {"summary": list(csv.DictReader(io.StringIO(as_csv(found))))}


def _needs(options: Options) -> tuple[str, ...]:
    """Refuse what is wrong before any work."""
    if not options["methods"]:
        raise StudyError("methods = [...] names what is compared, at least one; see `cae compare`.")
    if not all(isinstance(budget, int) for budget in options["queries"]):
        raise StudyError(f"queries is a list of whole numbers; found {options['queries']!r}.")
    parse_contenders(options["methods"])
    _settings(options, 0)
    return (f"pool.{options['pool']}",)


def _units(bench: Bench) -> Units:
    return {f"methods compared on {bench.options['pool']}": float(len(bench.options["methods"]))}


COMPARE = StepKind(
    name="compare",
    options={"pool": REQUIRED, "methods": [], "queries": list(BUDGETS), "fpr": 0.05, "role": "test"},
    needs=_needs,
    run=_run,
    units=_units,
)
