"""Drawings as SVG inside a page: text is text, and the colours are variables of `docs/static/site.css`."""

from collections.abc import Iterable
from html import escape

__all__ = ["circle", "drawing", "element", "line", "path", "rectangle", "words"]


def element(name: str, content: str = "", /, **attributes: object) -> str:
    """Return one element; an underscore in a name is a hyphen, and one at its end is left out.

    Example:
        >>> element("circle", r=2, stroke_width=1)
        '<circle r="2" stroke-width="1"/>'
    """
    given = "".join(f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"' for key, value in attributes.items())
    return f"<{name}{given}>{content}</{name}>" if content else f"<{name}{given}/>"


def circle(x: float, y: float, radius: float, colour: str, **attributes: object) -> str:
    """Return a filled circle; lengths are in the drawing's units."""
    return element("circle", cx=_short(x), cy=_short(y), r=_short(radius), style=f"fill: var(--{colour})", **attributes)


def rectangle(x: float, y: float, width: float, height: float, style: str) -> str:
    """Return a rectangle with a style of its own."""
    return element("rect", x=_short(x), y=_short(y), width=_short(width), height=_short(height), style=style)


def line(x1: float, y1: float, x2: float, y2: float, colour: str, **attributes: object) -> str:
    """Return a line."""
    ends = {"x1": _short(x1), "y1": _short(y1), "x2": _short(x2), "y2": _short(y2)}
    return element("line", style=f"stroke: var(--{colour})", **ends, **attributes)


def path(course: str, colour: str, **attributes: object) -> str:
    """Return a line along ``course``, in SVG's own words."""
    return element("path", d=course, style=f"stroke: var(--{colour}); fill: none", **attributes)


def words(x: float, y: float, text: str, *, colour: str = "ink", size: float = 16, anchor: str = "start") -> str:
    """Return a line of text; ``anchor`` is start, middle or end."""
    style = f"fill: var(--{colour}); font-size: {size}px"
    return element("text", escape(text), x=_short(x), y=_short(y), text_anchor=anchor, style=style)


def drawing(name: str, parts: Iterable[str], *, width: float, height: float, title: str, caption: str) -> str:
    """Return a figure of HTML, without an empty line, so that Markdown leaves it as it is.

    Args:
        name: unique in the page.
        parts: elements, the later ones on top.
        width: of the drawing, in its units.
        height: likewise.
        title: what it is, for those who do not see it.
        caption: what it shows.
    """
    content = "\n".join([element("title", escape(title), id=f"{name}-title"), *parts])
    svg = element(
        "svg",
        f"\n{content}\n",
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {width:g} {height:g}",
        role="img",
        aria_labelledby=f"{name}-title",
    )
    return f'<figure class="drawing" id="{name}">\n{svg}\n<figcaption>{escape(caption)}</figcaption>\n</figure>'


def _short(number: float) -> str:
    return f"{number:.4g}"
