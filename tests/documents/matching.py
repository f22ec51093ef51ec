"""Is what a page shows what a command prints?"""

import re

__all__ = ["missing_line"]


def missing_line(shown: str, printed: str) -> str | None:
    """Return the first line of ``shown`` that ``printed`` does not have after those before it; None where it has all.

    Lines are compared without the spaces around them, several spaces count as one, and ``…`` stands for anything. A
    line ``…`` of its own stands for any lines; between two others there must be none.

    Example:
        >>> missing_line("p = …\\nthe end", "p = 0.05\\nthe end\\nmore")
        >>> missing_line("one\\nthree", "one\\ntwo\\nthree")
        'three'
        >>> missing_line("one\\n…\\nthree", "one\\ntwo\\nthree")
    """
    left, anywhere = [_plain(line) for line in printed.splitlines() if line.strip()], True
    for line in (_plain(line) for line in shown.splitlines() if line.strip()):
        if line == "…":
            anywhere = True
            continue
        pattern = re.compile(".*".join(map(re.escape, line.split("…"))))
        places = [i for i, text in enumerate(left if anywhere else left[:1]) if pattern.fullmatch(text)]
        if not places:
            return line
        left, anywhere = left[places[0] + 1 :], False
    return None


def _plain(line: str) -> str:
    return " ".join(line.split())
