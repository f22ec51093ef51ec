"""The reference of the public names: directives for Sphinx's autodoc, from what the packages export."""

from importlib import import_module
from inspect import isfunction
from types import ModuleType

from sphinx.pycode import ModuleAnalyzer

import cae_core

__all__ = ["BORDER", "api"]

BORDER = (
    "cae_core.models",
    "cae_core.contract",
    "cae_core.loaders",
    "cae_core.testing",
    "cae_core.errors",
    "cae_core.arrays",
    "cae_core.preprocessing",
    "cae_core.resize",
    "cae_core.progress",
)
"""The modules that a backend, a theft or a script of another package imports from."""


def api() -> str:
    """Return a section for the facade's names, and one for each module of the border."""
    return "\n\n".join([_section("cae_core", cae_core, set()), *(_border(name) for name in BORDER)])


def _border(name: str) -> str:
    return _section(name, import_module(name), {id(getattr(cae_core, each)) for each in cae_core.__all__})


def _section(name: str, module: ModuleType, shown: set[int]) -> str:
    """Return the directives for a module's public names, but for the objects that are shown already."""
    public = [each for each in module.__all__ if not each.startswith("__") and id(getattr(module, each)) not in shown]
    body = "\n\n".join(_directive(name, each, getattr(module, each)) for each in public)
    return f"## `{name}`\n\n```{{eval-rst}}\n{body}\n```"


def _directive(module: str, name: str, value: object) -> str:
    if isinstance(value, type):
        kind = "exception" if issubclass(value, Exception) else "class"
        return f".. auto{kind}:: {module}.{name}\n   :members:"
    if isfunction(value):
        return f".. autofunction:: {module}.{name}"
    # not autodata: it would show the docstring of NumPy's own class for an alias of it
    words = " ".join(ModuleAnalyzer.for_module(module).find_attr_docs().get(("", name), [])).strip()
    return f".. py:data:: {module}.{name}\n\n   {words}"
