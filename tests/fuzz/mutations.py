"""Edits of bytes, of values of JSON, and of TOML; random numbers alone decide which."""

import copy
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from random import Random
from typing import Any, TypeAlias

__all__ = [
    "ODD",
    "as_toml",
    "deep_stack",
    "edited_bytes",
    "edited_value",
    "json_bytes",
    "odd_json",
    "odd_toml",
    "places",
]

Value: TypeAlias = Any
"""Of JSON or TOML."""

_LARGE = (2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400)
ODD: tuple[Value, ...] = (
    *(None, True, False, 0, 1, -1, *_LARGE, 0.5, -0.0, 1e308, 1e-320, float("nan"), float("inf"), -float("inf")),
    *("", "a", "x" * 5000, "\ud800", "\x1b[2J\x1b[31mUPHELD", "\u202egnp", "a\nb", "\0", "1", "0.5", "nan", "1e999"),
    *("<script>alert(1)</script>", "{{7*7}}", "[bold]x[/bold]", "[/]", "%s%n", "../../etc/passwd", "\u0664"),
    *([], [1], ["a"], [[]], [None], [0.1, 0.2], [float("nan")], [{"sha256": []}], [{"name": "x", "sha256": "y"}]),
    *({}, {"a": 1}, {"sha256": 1}, {"": {}}),
)
"""Values that a field may have in a file of somebody who wants to do harm."""

_DEPTHS = (10, 60, 64, 65, 66, 100, 400, 700, 900, 950, 970, 980, 985, 990, 993)
_DEEP_STACK = 20_000
_KEYS = ("extra", "", "a" * 300, "\x1b[2J", "sha256", "name", "akh", "format")


@contextmanager
def deep_stack() -> Iterator[None]:
    """Let Python write values that are nested more deeply than it usually can."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(_DEEP_STACK)
    try:
        yield
    finally:
        sys.setrecursionlimit(before)


def edited_bytes(random: Random, content: bytes, *, most: int = 8) -> bytes:
    """Return a copy that was cut, lengthened, doubled or overwritten here and there."""
    data, kind = bytearray(content), random.randrange(8)
    start = random.randrange(len(data)) if data else 0
    end = min(len(data), start + random.randrange(1, 200))
    match kind:
        case 0:
            del data[start:]
        case 1:
            data += random.randbytes(random.randrange(1, 200))
        case 2:
            del data[start:end]
        case 3:
            data[start:start] = data[start:end]
        case 4:
            width = random.choice((1, 2, 4, 8))
            first, rest = random.choice((b"\xff\xff", b"\0\0", b"\x7f\xff", b"\x80\0", b"\xff\x7f"))
            data[start : start + width] = bytes([first]) + bytes([rest]) * (width - 1)
        case _:
            for _ in range(random.randrange(1, most) if data else 0):
                place = random.randrange(len(data))
                flipped, next_ = data[place] ^ 1 << random.randrange(8), data[place] + 1 & 255
                data[place] = random.choice((random.randrange(256), flipped, 0, 255, next_))
    return bytes(data)


def places(value: Value, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Yield the way to every value inside of a table or list; of a list the first four items."""
    yield before
    if isinstance(value, dict):
        for key in value:
            yield from places(value[key], (*before, key))
    elif isinstance(value, list):
        for index in range(min(len(value), 4)):
            yield from places(value[index], (*before, index))


def edited_value(random: Random, value: Value, *, within: Sequence[str] = (), times: int = 0) -> tuple[Value, str]:
    """Return a copy with some values replaced, removed, added or nested, and what was done.

    Args:
        random: decides.
        value: a table or list.
        within: names of the top fields that may be edited; empty: all.
        times: how many edits; 0: one to three.
    """
    changed, done = copy.deepcopy(value), list[str]()
    for _ in range(times or random.choice((1, 1, 1, 1, 2, 3))):
        known = [place for place in places(changed) if place and (not within or place[0] in within)]
        if not known:
            break
        place = random.choice(known)
        holder = changed
        for key in place[:-1]:
            holder = holder[key]
        done.append(f"{'.'.join(map(str, place))}: {_edit(random, holder, place[-1])}")
    return changed, "; ".join(done)


def _edit(random: Random, holder: Value, key: Any) -> str:  # noqa: ANN401 - a name or an index
    match random.randrange(10):
        case 0:
            holder.pop(key)
            return "removed"
        case 1:
            if isinstance(holder, dict):
                holder[random.choice(_KEYS)] = copy.deepcopy(random.choice(ODD))
            else:
                holder.append(copy.deepcopy(random.choice(holder)))
            return "one added"
        case 2:
            depth = random.choice(_DEPTHS)
            holder[key] = _nested(depth, as_table=random.random() < 0.5)
            return f"{depth} deep"
        case 3 | 4:
            holder[key] = _varied(random, holder[key])
            return "varied"
        case _:
            holder[key] = copy.deepcopy(random.choice(ODD))
            return ascii(holder[key])[:40]


def _nested(depth: int, *, as_table: bool) -> Value:
    value: Value = 1
    for _ in range(depth):
        value = {"a": value} if as_table else [value]
    return value


def _varied(random: Random, value: Value) -> Value:
    match value:
        case bool() | None:
            return not value
        case int() | float() if abs(value) < 1e300:
            return random.choice((value + 1, -value, value * 1000003, value * 10**20, value / 2, str(value), [value]))
        case str():
            return random.choice((value + "a", value[:-1], value.upper(), value * 100, ascii(value)))
        case list():
            return random.choice(
                (value * 2, value[:1], value[::-1], value * 500, {str(i): x for i, x in enumerate(value)})
            )
        case dict():
            return random.choice((list(value), list(value.values()), str(value)[:1000], [value]))
        case _:
            return value


def json_bytes(value: Value) -> bytes:
    """Return a value as JSON, halves of surrogate pairs and infinities included."""
    return json.dumps(value).encode("utf-8", "surrogatepass")


def odd_json(random: Random) -> bytes:
    """Return a text that is hard on a parser of JSON."""
    n = random.choice((50, 900, 990, 3000, 100000))
    texts = (
        "[" * n,
        "[" * n + "]" * n,
        '{"a":' * n + "1" + "}" * n,
        "1" * n,
        "-" + "9" * n,
        "1e" + "9" * n,
        "[" + "[]," * n,
    )
    more = ('"\\ud800"', "\ufeff{}", "null", "{}", "[]", '{"format":1,"format":2}', "NaN", '{"a":NaN}', "\0", "")
    return random.choice((*texts, *more)).encode()


def as_toml(value: Value) -> str:
    """Return a value as inline TOML."""
    match value:
        case bool() | None:
            return str(value).lower() if isinstance(value, bool) else '"none"'
        case int() | float():
            return repr(value)  # TOML knows inf and nan as well
        case str():
            return json.dumps(value)
        case list():
            return f"[{', '.join(map(as_toml, value))}]"
        case _:
            return "{" + ", ".join(f"{json.dumps(key)} = {as_toml(item)}" for key, item in value.items()) + "}"


def odd_toml(random: Random) -> str:
    """Return a text that is hard on a parser of TOML, or that is none of the tables that a reader expects."""
    n = random.choice((50, 64, 300, 500, 900, 1000, 3000, 20000))
    deep = ("a = " + "[" * n, "a = " + "[" * n + "]" * n, "a = " + "{a=" * n + "1" + "}" * n)
    long = (".".join(["a"] * n) + " = 1", f"[{'.'.join(['a'] * n)}]", 'a = "' + "x" * n * 50 + '"', "[[model]]\n" * n)
    many = ("a = 1" + "0" * n * 3, "a = 0x" + "f" * n, "a = 1e" + "9" * n, "a=" + "'" * n)
    other = ("a = 1979-05-27T07:32:00Z", 'a = "\\ud800"', 'a = "\\U00110000"', "\0", "a = 1\r", "# \x01", "a = -nan")
    kinds = ("contract = 5", 'contract = "abc"', "contract = [1]", "contract = []", "contract = true", "model = 5")
    rows = (
        '[model]\npath = "x"',
        "model = [1]",
        "\ufeffa = 1",
        "members = 5",
        "source = 1",
        "recipe = 1",
        "[recipe]\na=1",
    )
    tables = "\n".join(f"[a{'.b' * i}]" for i in range(1, 200))
    return random.choice((*deep, *long, *many, *other, *kinds, *rows, tables))
