"""Running the tests against mutants: in a copy of the project, each mutant in a process of its own.

pytest collects the tests once. For each mutant it forks, puts the fault into the functions that are loaded, and runs
those tests that call the function, until one fails. A constant is set in every loaded module that has it. A fault in a
class's body or in a default is run from the start, with the faulty file in its place.
"""

import gc
import importlib
import inspect
import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import Any

import pytest
from hypothesis import Phase, settings

from tests.mutants.mutating import Mutant

__all__ = ["Outcome", "outcomes"]

_ROOT = Path(__file__).parents[2]
_PARTS = ("pyproject.toml", "README.md", "backends", "cae_core", "cli", "converters", "docs", "tests")
_SOURCES = (".", "backends", "converters", "cli")
_OURS = ("tests", "cae_core", "cae_backends", "cae_converters", "cae_cli", "cae_report", "cae_study", "cae_site")
_WARM = ("scipy.stats", "hypothesis.extra.numpy", "safetensors.numpy")
"""What tests import, and no mutant changes: imported once for all modules."""

_PROFILE = "mutants"


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What the tests said of a mutant.

    Attributes:
        mutant: of which.
        killed: whether a test failed.
        by: which one; ``time`` where they took too long, empty where none failed or none could be run.
    """

    mutant: Mutant
    killed: bool
    by: str = ""


def outcomes(module: str, tests: Sequence[str], mutants: Sequence[Mutant]) -> Iterator[Outcome]:
    """Yield what the tests say of each mutant of a module.

    Args:
        module: path from the project's root.
        tests: likewise, of the files that hold the tests.
        mutants: of the module.

    Raises:
        RuntimeError: the tests fail without any fault.
    """
    for name in _WARM:
        importlib.import_module(name)
    settings.register_profile(
        _PROFILE, deadline=None, derandomize=True, database=None, phases=[Phase.explicit, Phase.generate]
    )
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for part in _PARTS:
            if (_ROOT / part).is_dir():  # without what is compiled, which tells the original's paths
                shutil.copytree(_ROOT / part, root / part, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(_ROOT / part, root / part)
        found, told = os.pipe()
        child = os.fork()
        if not child:
            os.close(found)
            _finally_exit(lambda: _collect(root, module, tests, mutants, told))
        os.close(told)
        with os.fdopen(found) as lines:
            for line in lines:
                answer = json.loads(line)
                yield Outcome(mutant=mutants[answer["mutant"]], killed=answer["killed"], by=answer["by"])
        if os.waitpid(child, 0)[1]:
            raise RuntimeError(f"{module}: its tests fail without any fault:\n{(root / 'log.txt').read_text()[-4000:]}")


def _collect(root: Path, module: str, tests: Sequence[str], mutants: Sequence[Mutant], told: int) -> int:
    """Run pytest in the copy, with every loaded module of ours forgotten."""
    log = os.open(root / "log.txt", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.chdir(root)
    own = {(_ROOT / part).resolve() for part in _SOURCES}  # but not an environment that lies in the project's folder
    sys.path[:] = [str(root), *(place for place in sys.path if (_ROOT / place).resolve() not in own)]
    os.environ["PYTHONPATH"] = os.pathsep.join(str(root / part) for part in _SOURCES)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"
    sys.dont_write_bytecode = True  # it is known by size and second alone
    return _pytest(root, tests, _Forking(root, module, tests, mutants, told))


def _pytest(root: Path, tests: Sequence[str], plugin: object) -> int:
    for name in [name for name in sys.modules if name.partition(".")[0] in _OURS]:
        del sys.modules[name]
    options = [
        "-x",
        "-q",
        "-s",
        "--tb=native",
        "--assert=plain",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        f"--hypothesis-profile={_PROFILE}",
    ]
    places = ["--rootdir", str(root), "--basetemp", str(root / "tmp")]
    warnings = ["-W", "ignore::pytest.PytestAssertRewriteWarning"]
    return int(pytest.main([*options, *places, *warnings, *tests], plugins=[plugin]))


class _Watch:
    """A plug-in of pytest that remembers the first failure, and of each test how long it took and what it ran.

    Args:
        path: of the module whose functions are told; empty: none are.
    """

    def __init__(self, path: str = "") -> None:
        self._path = path
        self.failed = ""
        self.seconds: dict[str, float] = {}
        self.ran: dict[str, set[str]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        """See pytest."""
        ran = self.ran[item.nodeid] = set[str]()

        def called(frame: FrameType, _event: str, _argument: object) -> None:
            if frame.f_code.co_filename == self._path:
                ran.add(frame.f_code.co_qualname.partition(".<locals>")[0])

        sys.settrace(called if self._path else None)
        try:
            return (yield)
        finally:
            sys.settrace(None)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """See pytest."""
        self.seconds[report.nodeid] = self.seconds.get(report.nodeid, 0) + report.duration
        if report.failed and not self.failed:
            self.failed = report.nodeid

    def answer(self, code: int = 0) -> dict[str, Any]:
        """Return all that as JSON holds it."""
        return {
            "code": code,
            "failed": self.failed,
            "seconds": self.seconds,
            "ran": {name: sorted(ran) for name, ran in self.ran.items()},
        }


class _Forking:
    """A plug-in of pytest that runs the collected tests once for each mutant."""

    def __init__(self, root: Path, module: str, tests: Sequence[str], mutants: Sequence[Mutant], told: int) -> None:
        self._root, self._place, self._tests = root, root / module, tests
        self._mutants, self._told = mutants, told

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """See pytest."""
        if session.testsfailed:
            raise session.Interrupted("the tests cannot be collected")
        path = str(self._place)
        gc.unfreeze()  # which `tests/conftest.py` did, and what is frozen is none of the objects
        functions = [
            found
            for found in gc.get_objects()
            if isinstance(found, FunctionType) and found.__code__.co_filename == path
        ]
        original = _codes(compile(self._place.read_bytes(), path, "exec"))
        whole = self._forked(partial(_run, session, session.items, _Watch(path)), 3600)
        if whole is None or whole["failed"] or whole["code"]:
            raise session.Interrupted(f"a test fails without any fault: {whole and whole['failed']}")
        items = sorted(session.items, key=lambda item: whole["seconds"][item.nodeid])
        gc.freeze()  # so that no collection in a forked process copies all that is loaded
        name = self._place.relative_to(self._root).with_suffix("").as_posix().replace("/", ".")
        for number, mutant in enumerate(self._mutants):
            faulty = compile(mutant.source, path, "exec")
            changed = _changed(original, _codes(faulty))
            if changed is None and mutant.scope:
                answer = self._from_the_start(mutant.source, _limit(whole["seconds"].values()))
            else:
                put_in = partial(_put_in, functions, changed) if changed is not None else partial(_set, name, faulty)
                calling = [item for item in items if _reaches(whole["ran"][item.nodeid], mutant.scope)]
                limit = _limit(whole["seconds"][item.nodeid] for item in calling)
                answer = self._forked(partial(_run_changed, session, calling, put_in), limit)
            by = "time" if answer is None else str(answer["failed"])
            killed = answer is None or bool(answer["failed"] or answer["code"])
            items.sort(key=lambda item: item.nodeid != by)  # what has found one fault may find the next
            os.write(self._told, f"{json.dumps({'mutant': number, 'killed': killed, 'by': by})}\n".encode())
        return True

    def _from_the_start(self, source: str, limit: float) -> dict[str, Any] | None:
        kept = self._place.read_bytes()
        self._place.write_text(source, encoding="utf-8")
        try:
            return self._forked(self._anew, limit)
        finally:
            self._place.write_bytes(kept)

    def _anew(self) -> dict[str, Any]:
        watch = _Watch()
        return watch.answer(_pytest(self._root, self._tests, watch))

    def _forked(self, work: Callable[[], dict[str, Any]], limit: float) -> dict[str, Any] | None:
        """Return what a forked process finds; None where it takes longer than the limit, in seconds."""
        place = self._root / "answer.json"
        place.unlink(missing_ok=True)
        child = os.fork()
        if not child:
            os.setsid()
            _finally_exit(lambda: bool(place.write_text(json.dumps(work()))) and 0)
        end = time.monotonic() + limit
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            if time.monotonic() > end:
                os.killpg(child, signal.SIGKILL)
                os.waitpid(child, 0)
                return None
            time.sleep(0.005)
        with suppress(ProcessLookupError):  # what the tests have started and left
            os.killpg(child, signal.SIGKILL)
        found: dict[str, Any] = json.loads(place.read_text()) if place.exists() else {"code": 1, "failed": ""}
        return found


def _run_changed(session: pytest.Session, items: Sequence[pytest.Item], put_in: Callable[[], None]) -> dict[str, Any]:
    put_in()
    return _run(session, items, _Watch())


def _limit(seconds: Iterable[float]) -> float:
    """Return how long tests may take that took so long while they were watched, which is slower."""
    return 10 + 3 * sum(seconds)


def _reaches(ran: Sequence[str], scope: str) -> bool:
    """Return whether a test that ran these functions may notice a fault in a function, or in one inside of it."""
    return not scope or any(f"{scope}.".startswith(f"{name}.") for name in ran)


def _put_in(functions: Sequence[FunctionType], changed: Mapping[str, CodeType]) -> None:
    """Give loaded functions the code that differs."""
    for function in functions:
        if (code := changed.get(function.__code__.co_qualname)) is not None:
            function.__code__ = code


def _set(name: str, faulty: CodeType) -> None:
    """Set the constants of a loaded module as the faulty one has them, wherever they were imported to."""
    anew, loaded = ModuleType(name), vars(sys.modules[name])
    exec(faulty, vars(anew))  # noqa: S102 - our own
    for constant, value in vars(anew).items():
        before = loaded.get(constant)
        if not constant.startswith("__") and not callable(value) and repr(value) != repr(before):
            for module in list(sys.modules.values()):
                if vars(module).get(constant, anew) is before:
                    setattr(module, constant, value)


def _run(session: pytest.Session, items: Sequence[pytest.Item], watch: _Watch) -> dict[str, Any]:
    session.config.pluginmanager.register(watch)
    for item, following in zip(items, [*items[1:], None], strict=False):
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        if session.shouldfail:
            break
    return watch.answer()


def _codes(code: CodeType) -> dict[str, CodeType]:
    """Return the code of a module, of its classes and of their functions by name, but not of what functions hold."""
    found = {code.co_qualname: code}
    for inner in _inside(code):
        found |= {inner.co_qualname: inner} if _is_function(inner) else _codes(inner)
    return found


def _changed(original: Mapping[str, CodeType], mutated: Mapping[str, CodeType]) -> dict[str, CodeType] | None:
    """Return the functions that differ; None where a loaded function cannot just be given the code."""
    if original.keys() != mutated.keys():
        return None
    differing = {name: code for name, code in mutated.items() if code != original[name]}
    changed = {name: code for name, code in differing.items() if _is_function(code)}
    as_before = all(_body(code) == _body(original[name]) for name, code in differing.items() if name not in changed)
    fits = all(
        not name.endswith(">") and code.co_freevars == original[name].co_freevars for name, code in changed.items()
    )
    return changed if as_before and fits else None


def _inside(code: CodeType) -> list[CodeType]:
    return [inner for inner in code.co_consts if isinstance(inner, CodeType)]


def _is_function(code: CodeType) -> bool:
    return bool(code.co_flags & inspect.CO_NEWLOCALS)


def _body(code: CodeType) -> tuple[object, ...]:
    constants = [
        constant.co_qualname if isinstance(constant, CodeType) else (type(constant), constant)
        for constant in code.co_consts
    ]
    return code.co_code, code.co_names, constants


def _finally_exit(work: Callable[[], int]) -> None:
    code = 1
    try:
        code = work()
    finally:
        os._exit(code)
