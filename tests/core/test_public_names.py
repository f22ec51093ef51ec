"""Every module says what is public, and all of it exists; that all of it is documented is ruff's to see."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest

PACKAGES = ("cae_core", "cae_backends", "cae_converters", "cae_report", "cae_cli")


def modules(package: str) -> Iterator[str]:
    """Yield the names of a package and its modules, importing no more than the packages."""
    yield package
    for info in pkgutil.walk_packages(importlib.import_module(package).__path__, prefix=f"{package}."):
        if not info.name.endswith("__main__"):
            yield info.name


def own_names(module: ModuleType) -> set[str]:
    """Return the public functions and classes that the module defines itself."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    }


def faults(name: str) -> Iterator[str]:
    """Yield what is wrong with the public names of a module."""
    module = importlib.import_module(name)
    declared = getattr(module, "__all__", [])
    if len(set(declared)) < len(declared):
        yield f"{name}.__all__ names something twice: {sorted(declared)}"
    missing = [public for public in declared if not hasattr(module, public)]
    if missing:
        yield f"{name}.__all__ names what is not there: {missing}"
    undeclared = own_names(module) - set(declared)
    if undeclared:
        yield f"{name}.__all__ lacks {sorted(undeclared)}"


def test_all_modules_are_walked() -> None:
    assert "cae_core.method.objectives.composite" in set(modules("cae_core"))


@pytest.mark.parametrize("package", PACKAGES)
def test_every_module_names_what_is_public(package: str) -> None:
    if package != "cae_core":
        pytest.importorskip("torch", reason="all modules but the core's are imported together with their frameworks")
    assert [fault for name in modules(package) for fault in faults(name)] == []
