"""A method as somebody names it for a comparison, with the configurations among which it is chosen."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Self

from cae_core.arena.kinds import kind_named
from cae_core.arena.method import Method, MethodKind
from cae_core.arena.modifiers import modified
from cae_core.errors import OptionError, quoted

__all__ = ["GIVEN", "Contender", "parse_contenders"]

GIVEN = "given"
"""The name of a configuration whose parameters were given by hand."""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A method that takes part.

    Attributes:
        name: of the method, with its modifiers, as it was named.
        words: what it does, and of which paper it is.
        configurations: the method by the name of its configuration; of several one is chosen.
    """

    name: str
    words: str
    configurations: Mapping[str, Method]

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read ``NAME``, ``NAME+screened``, ``NAME:CONFIGURATION`` or ``NAME:eps=16/255,steps=10``.

        Parameters that are given change the usual configuration; numbers may be fractions.

        Example:
            >>> sorted(Contender.parse("akh").configurations)
            ['all-images', 'all-images-sure', 'random', 'sure']
            >>> Contender.parse("fgm+screened:eps=16/255").name
            'fgm+screened:eps=16/255'

        Raises:
            OptionError: an unknown method, modifier, configuration or parameter, or a value outside its range.
        """
        whole, colon, chosen = text.partition(":")
        name, *modifiers = whole.split("+")
        kind = kind_named(name)
        made = _made(kind, chosen) if colon else {each: kind.configured(each) for each in kind.configurations}
        found = {each: modified(method, modifiers) for each, method in made.items()}
        return cls(name=text, words=kind.words, configurations=found)

    @property
    def usual(self) -> str:
        """The first configuration's name."""
        return next(iter(self.configurations))


def parse_contenders(texts: Sequence[str]) -> list[Contender]:
    """Read each of the ``texts``, see `Contender.parse`.

    Raises:
        OptionError: one cannot be read, or is named twice.
    """
    for text in texts:
        if texts.count(text) > 1:
            raise OptionError(f"The method {quoted(text)} is named twice. Name it once.")
    return [Contender.parse(text) for text in texts]


def _made(kind: MethodKind, chosen: str) -> dict[str, Method]:
    if "=" not in chosen:
        return {chosen: kind.configured(chosen)}
    usual = next(iter(kind.configurations.values()))
    given = dict(_parameter(kind.name, each) for each in chosen.split(","))
    return {GIVEN: kind.with_parameters({**usual, **given})}


def _parameter(method: str, text: str) -> tuple[str, Any]:
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise OptionError(f"{method}: a parameter is given as name=value; found {quoted(text)}.")
    return name.strip(), _value(value.strip())


def _value(text: str) -> int | float | str:
    try:
        number = Fraction(text)
    except (ValueError, ZeroDivisionError):
        return text
    return int(number) if text.lstrip("+-").isdigit() else float(number)
