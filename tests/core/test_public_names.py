"""Every module says what is public, all of it exists, and all of it is documented."""

import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from types import ModuleType

import pytest

PACKAGES = ("cae_core", "cae_backends", "cae_converters", "cae_report", "cae_cli")


def modules() -> Iterator[str]:
    """Yield the names of all modules of the four packages, without importing more than the packages."""
    for package in PACKAGES:
        yield package
        for info in pkgutil.walk_packages(importlib.import_module(package).__path__, prefix=f"{package}."):
            if not info.name.endswith("__main__"):
                yield info.name


MODULES = tuple(modules())


def own_names(module: ModuleType) -> set[str]:
    """Return the public functions and classes that the module defines itself."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_")
        and (inspect.isfunction(value) or inspect.isclass(value))
        and value.__module__ == module.__name__
    }


def test_all_packages_are_walked() -> None:
    assert {name.split(".")[0] for name in MODULES} == set(PACKAGES)
    assert "cae_core.method.objectives.composite" in MODULES


@pytest.mark.parametrize("name", MODULES)
def test_every_module_is_documented_and_names_what_is_public(name: str) -> None:
    module = importlib.import_module(name)
    assert module.__doc__
    declared = getattr(module, "__all__", [])
    assert len(set(declared)) == len(declared)
    missing = [public for public in declared if not hasattr(module, public)]
    assert not missing, f"{name}.__all__ names what is not there: {missing}"
    undeclared = own_names(module) - set(declared)
    assert not undeclared, f"{name}.__all__ lacks {sorted(undeclared)}"


@pytest.mark.parametrize("name", MODULES)
def test_everything_public_is_documented(name: str) -> None:
    module = importlib.import_module(name)
    for public in own_names(module):
        value = getattr(module, public)
        generated = inspect.isclass(value) and (value.__doc__ or "").startswith(f"{public}(")
        assert value.__doc__, f"{name}.{public} has no docstring"
        assert not generated, f"{name}.{public} has the docstring that dataclass makes"
        if inspect.isclass(value):
            for method, function in vars(value).items():
                if inspect.isfunction(function) and not method.startswith("_"):
                    assert inspect.getdoc(function), f"{name}.{public}.{method} has no docstring"
