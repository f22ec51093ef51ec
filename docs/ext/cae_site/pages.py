"""From a page as it is written to the page that Sphinx reads."""

import re
from pathlib import Path

from cae_site.generated import GENERATED

__all__ = ["MARKER", "keyboard_and_readers", "prepared"]

MARKER = re.compile(r"^<!-- generated: (?P<name>[a-z-]+) -->$", re.MULTILINE)
"""Where a generated part belongs."""

_OUTSIDE = re.compile(r"\[(?P<words>[^\]\n]+)\]\((?:\.\./)+(?P<path>[\w./-]+)\)")
"""A link to a file of the repository that is no page."""

_ROOT = Path(__file__).resolve().parents[3]


def prepared(text: str) -> str:
    """Return a page with its generated parts in place, in which no link leaves the site.

    The site has the files of `examples` to download; a link to another file of the repository becomes its name.

    Raises:
        KeyError: nothing of this name is generated.
    """
    text = _OUTSIDE.sub(_named, text)
    return MARKER.sub(lambda found: GENERATED[found["name"]](), text)


def keyboard_and_readers(html: str) -> str:
    """Return HTML in which a block of code can be scrolled by keyboard, and a heading of the navigation has a level.

    Example:
        >>> keyboard_and_readers('<pre>wide</pre>')
        '<pre tabindex="0">wide</pre>'
    """
    return html.replace("<pre>", '<pre tabindex="0">').replace('role="heading">', 'role="heading" aria-level="2">')


def _named(link: re.Match[str]) -> str:
    if link["path"].endswith(".md"):
        return link[0]
    plain = link["words"].strip("`")
    if link["path"].startswith("examples/") and (_ROOT / link["path"]).is_file():
        return f"{{download}}`{plain} </../{link['path']}>`"
    return f"`{link['path']}`" if plain in link["path"] else f"{link['words']} (`{link['path']}`)"
