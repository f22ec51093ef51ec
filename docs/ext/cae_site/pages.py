"""From a page as it is written to the page that Sphinx reads."""

import re

from cae_site.generated import GENERATED

__all__ = ["MARKER", "prepared"]

MARKER = re.compile(r"^<!-- generated: (?P<name>[a-z-]+) -->$", re.MULTILINE)
"""Where a generated part belongs."""

_OUTSIDE = re.compile(r"\[(?P<words>[^\]\n]+)\]\((?:\.\./)+(?P<path>[\w./-]+)\)")
"""A link to a file of the repository that is no page: the site does not have it."""


def prepared(text: str) -> str:
    """Return a page with its generated parts in place, and with the names of files where a link would leave the site.

    Raises:
        KeyError: nothing of this name is generated.
    """
    text = _OUTSIDE.sub(_named, text)
    return MARKER.sub(lambda found: GENERATED[found["name"]](), text)


def _named(link: re.Match[str]) -> str:
    if link["path"].endswith(".md"):
        return link[0]
    plain = link["words"].strip("`")
    return f"`{link['path']}`" if plain in link["path"] else f"{link['words']} (`{link['path']}`)"
