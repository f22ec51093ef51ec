"""``torch:package.module:Class(args)=weights.pth``: what a user writes to name a network's class and its weights.

The class is his own code, imported here. Nothing else of the text is run: the arguments are literals of Python.
"""

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cae_backends.importing import imported, working_folder_first
from cae_core.errors import ModelError, first_line
from cae_core.foreign_text import visible

__all__ = ["NamedClass", "make_network", "parse_named_class"]

_FORM = "torch:package.module:Class(args)=weights.pth"

_MODULE = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*")


@dataclass(frozen=True, kw_only=True)
class NamedClass:
    """A class, or another callable, that makes a network, and the file with its weights.

    Attributes:
        spec: the text that the user wrote.
        module: name of the module, as Python imports it.
        name: name of the callable in the module; it may contain dots.
        args: literals.
        kwargs: likewise.
        weights: the file.
    """

    spec: str
    module: str
    name: str
    args: tuple[Any, ...] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict[str, Any])
    weights: Path

    @property
    def words(self) -> str:
        """What makes the network, as messages name it."""
        return visible(f"{self.module}:{self.name}")


def parse_named_class(spec: str) -> NamedClass:
    """Read such a text.

    Example:
        >>> found = parse_named_class("torch:nets.small:Net(10, wide=True)=runs/net.pth")
        >>> found.module, found.name, found.args, found.kwargs, found.weights.name
        ('nets.small', 'Net', (10,), {'wide': True}, 'net.pth')

    Raises:
        ModelError: it is none.
    """
    module, colon, rest = spec.removeprefix("torch:").partition(":")
    if not colon or not _MODULE.fullmatch(module):
        raise ModelError(
            f"{visible(spec)}: expected {_FORM}; {visible(module)!r} is no module. Name it as Python imports it from "
            "the working folder: models/net.py is models.net."
        )
    for called, weights in _divided(rest):
        return _called(spec, module, called, Path(weights))
    raise ModelError(f"{visible(spec)}: expected {_FORM}, with a class or function and a file of weights.")


def _divided(rest: str) -> Iterator[tuple[ast.expr, str]]:
    """Yield the expression and the file, where an equals sign stands between the two."""
    for found in re.finditer("=", rest):
        before, weights = rest[: found.start()], rest[found.end() :]
        try:
            called = ast.parse(before.strip(), mode="eval").body
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue
        if weights and isinstance(called, ast.Name | ast.Attribute | ast.Call):
            yield called, weights


def _called(spec: str, module: str, called: ast.expr, weights: Path) -> NamedClass:
    name = called.func if isinstance(called, ast.Call) else called
    arguments = called.args if isinstance(called, ast.Call) else []
    named = called.keywords if isinstance(called, ast.Call) else []
    try:
        args = tuple(ast.literal_eval(one) for one in arguments)
        kwargs = {one.arg: ast.literal_eval(one.value) for one in named if one.arg is not None}
    except (ValueError, TypeError, SyntaxError, RecursionError) as exc:
        raise ModelError(
            f"{visible(spec)}: the arguments must be literals of Python, such as 10, 'wide' or [2, 2]. Write a "
            "function without arguments that makes the network, and name that one."
        ) from exc
    if not _MODULE.fullmatch(ast.unparse(name)) or len(kwargs) != len(named):
        raise ModelError(f"{visible(spec)}: expected {_FORM}; {visible(ast.unparse(called))!r} names no class.")
    return NamedClass(spec=spec, module=module, name=ast.unparse(name), args=args, kwargs=kwargs, weights=weights)


def make_network(named: NamedClass) -> Any:  # noqa: ANN401 - whatever the user's code makes
    """Import the user's code, from the working folder or where packages are installed, and call it.

    Raises:
        ModelError: it cannot be imported, has no such name, or fails.
    """
    found = imported(named.module, named.name)
    with working_folder_first():
        try:
            return found(*named.args, **named.kwargs)
        except Exception as exc:
            # likewise
            raise ModelError(
                f"{named.words}: the network cannot be made ({type(exc).__name__}: {first_line(exc)}). Give the "
                f"arguments of its class: {_FORM}."
            ) from exc
