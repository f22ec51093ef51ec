r"""What somebody else has named, as it may stand on a screen, in a sentence or on a page.

A name comes from the other party in a dispute: a claimant, a file, a class, a node of a graph. It may hold what moves
the cursor, turns the direction of writing, ends a line, cannot be seen, or is no character at all.
"""

__all__ = ["LONGEST", "LONGEST_LINE", "clipped", "harmless", "visible"]

LONGEST = 200
"""As many characters of a foreign text stand in a sentence or in a table, where nobody says otherwise."""

LONGEST_LINE = 2000
"""As many characters of a line of ours are printed: a sentence with a few long names in it."""

_MARKS = 3
"""So many marks may stand over one character; more would be drawn over the lines above."""

_NOTHING_TO_SEE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180b\u180c\u180d\u180f\u2800\u3164\uffa0")
"""Characters that Python calls printable and that show nothing; the selectors of variants are two ranges besides."""


def visible(text: str, longest: int | None = LONGEST) -> str:
    r"""Return ``text`` in one line, with what cannot be seen written out; the middle of a long one is cut.

    Written out as ``\x1b`` or ``\u202e`` are control characters, ends of lines, marks that turn the direction of
    writing, spaces without width, halves of a surrogate pair (bytes of a file's name that are no UTF-8), characters for
    private use, and marks piled upon one another.

    Args:
        text: anybody's.
        longest: characters that are kept of it, at both ends; None: all.

    Example:
        >>> visible("cat\u202egpj.exe\n"), visible("a" * 900, longest=7)
        ('cat\\u202egpj.exe\\n', 'aaaa…aa')
    """
    short = text if longest is None else clipped(text, longest)  # before: a million of them are not written out
    written = short if _is_plain(short) else "".join(_written(short))
    return written if longest is None else clipped(written, longest)


def harmless(text: str) -> str:
    r"""Return lines of ours, in which names may stand, as they may be printed: line by line as `visible` has it.

    The lines stay, and so do their first characters: whoever prints them sees to it that none looks like another's.

    Example:
        >>> harmless("pool.toml: 2 problems.\n  a\x1b[2J.onnx: no such file")
        'pool.toml: 2 problems.\n  a\\x1b[2J.onnx: no such file'
    """
    return "\n".join(visible(line, LONGEST_LINE) for line in text.split("\n"))


def clipped(text: str, longest: int) -> str:
    """Return ``text`` with its middle cut, so that it has at most ``longest`` characters: both ends tell it apart.

    Example:
        >>> clipped("/a/long/path/of/model.onnx", 15), clipped("short", 15)
        ('/a/long/pa…onnx', 'short')
    """
    if len(text) <= longest:
        return text
    tail = (longest - 1) // 3
    return f"{text[: longest - 1 - tail]}…{text[len(text) - tail :]}"


def _is_plain(text: str) -> bool:
    return text.isascii() and text.isprintable()


def _written(text: str) -> list[str]:
    """Return the characters of ``text``, those written out that cannot be seen."""
    from unicodedata import combining  # most names are ASCII, and a command starts without it

    written: list[str] = []
    marks = _MARKS  # a mark at the beginning would stand over what is before the text
    for character in text:
        marks = marks + 1 if combining(character) else 0
        seen = character.isprintable() and marks <= _MARKS and not _shows_nothing(character)
        written.append(character if seen else character.encode("unicode_escape").decode())
    return written


def _shows_nothing(character: str) -> bool:
    return (
        character in _NOTHING_TO_SEE or "\ufe00" <= character <= "\ufe0f" or "\U000e0100" <= character <= "\U000e01ef"
    )
