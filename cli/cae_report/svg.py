"""From a matplotlib figure to an SVG element for a page: its text is text, its colours are the page's.

Figures are drawn in stand-in colours that become CSS variables, so that one drawing reads well in light, in dark and on
paper. No text of a figure is mathematics, and none comes from the parties: names stand in the page's tables.
"""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import StringIO
from typing import TYPE_CHECKING, Any, Final
from xml.etree import ElementTree as ET

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from matplotlib.typing import RcKeyType

__all__ = [
    "DASHED",
    "INK",
    "LIMIT",
    "MUTED",
    "PAPER",
    "REFERENCE",
    "RELATION_COLOURS",
    "SURROGATE",
    "WIDTH",
    "Drawn",
    "drawing",
    "drawn",
]

WIDTH: Final = 5.0
"""Of every figure, in inches of 72 points: a phone shows them nearly one to one."""

DASHED: Final = (0, (4, 2))
"""The line of every threshold and limit."""

INK: Final = "#010101"
MUTED: Final = "#020202"
PAPER: Final = "#030303"
REFERENCE: Final = "#040404"
SURROGATE: Final = "#050505"
LIMIT: Final = "#060606"
RELATION_COLOURS: Final = {"reference": REFERENCE, "surrogate": SURROGATE}

_COLOURS = {
    INK: "var(--ink)",
    MUTED: "var(--muted)",
    PAPER: "var(--paper)",
    REFERENCE: "var(--reference)",
    SURROGATE: "var(--surrogate)",
    LIMIT: "var(--limit)",
}

_STYLE: "dict[RcKeyType, Any]" = {
    "svg.fonttype": "none",
    "text.parse_math": False,
    "font.size": 10,
    "axes.labelsize": 10,
    "axes.titlesize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "text.color": INK,
    "axes.titlecolor": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": MUTED,
    "xtick.color": MUTED,
    "ytick.color": MUTED,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "hatch.color": PAPER,
    "hatch.linewidth": 1.2,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": False,
    "axes.facecolor": "none",
    "figure.facecolor": "none",
    "figure.constrained_layout.use": True,
}

_SVG = "http://www.w3.org/2000/svg"
_XLINK = "http://www.w3.org/1999/xlink"


@dataclass(frozen=True)
class Drawn:
    """A figure as it stands in the page.

    Attributes:
        svg: one element.
        caption: what it shows.
    """

    svg: str
    caption: str


@contextmanager
def drawing() -> Iterator[None]:
    """Draw in the report's style, whatever the user's own configuration of matplotlib says."""
    with mpl.rc_context():
        mpl.rcdefaults()
        mpl.rcParams.update(_STYLE)
        yield


def drawn(figure: Figure, *, name: str, title: str, caption: str) -> Drawn:
    """Return the figure as it stands in the page, the same bytes for the same figure.

    Args:
        figure: drawn, and still inside `drawing`.
        name: unique in the page; every id in the element begins with it.
        title: what the figure is.
        caption: what it shows, also for those who do not see it.
    """
    mpl.rcParams["svg.hashsalt"] = name
    text = StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(text, format="svg", metadata=nothing)
    root = ET.fromstring(text.getvalue())  # noqa: S314 - matplotlib's own output
    _clean(root, name)
    _describe(root, name, title, caption)
    ET.register_namespace("", _SVG)
    ET.register_namespace("xlink", _XLINK)
    return Drawn(ET.tostring(root, encoding="unicode"), caption)


def _clean(root: ET.Element, name: str) -> None:
    """Make ids unique in the page, drop matplotlib's own style sheet and fonts, and put the page's colours in."""
    parents = {child: parent for parent in root.iter() for child in parent}
    for element in list(root.iter()):
        if element.tag in (f"{{{_SVG}}}style", f"{{{_SVG}}}metadata"):
            parents[element].remove(element)
        for key, value in list(element.attrib.items()):
            if key == "id":
                element.set(key, f"{name}-{value}")
            elif key == f"{{{_XLINK}}}href":
                element.set(key, value.replace("#", f"#{name}-", 1))
            elif value in _COLOURS:  # of a hatch; a variable is understood in a style only
                del element.attrib[key]
                element.set("style", f"{key}: {_COLOURS[value]}")
            else:
                element.set(key, _style(value, name))


def _style(style: str, name: str) -> str:
    style = style.replace("url(#", f"url(#{name}-")
    for stand_in, variable in _COLOURS.items():
        style = style.replace(stand_in, variable)
    # the family is the page's; the size stays
    return re.sub(r"font: (?:[a-z0-9]+ )*([\d.]+px)[^;]*", r"font-size: \1", style)


def _describe(root: ET.Element, name: str, title: str, description: str) -> None:
    for size in ("width", "height", "version"):
        root.attrib.pop(size, None)
    root.set("role", "img")
    root.set("aria-labelledby", f"{name}-title {name}-desc")
    for place, (tag, text) in enumerate((("title", title), ("desc", description))):
        child = ET.Element(f"{{{_SVG}}}{tag}", {"id": f"{name}-{tag}"})
        child.text = text
        root.insert(place, child)
