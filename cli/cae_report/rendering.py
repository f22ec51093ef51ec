"""From values to one HTML text that loads nothing: the templates, escaping and the style that every page shares."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cae_report.svg import Drawn
from cae_report.text import number, percent

__all__ = ["figures_for_page", "render"]

_TEMPLATES = Path(__file__).parent / "templates"


def render(template: str, values: Mapping[str, Any]) -> str:
    """Return a page as one HTML text: the same values give the same text.

    Every name comes from the parties and is escaped; figures hold none.

    Args:
        template: its name, such as ``verdict``.
        values: that it takes.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, percent=percent)
    # this package's own; no name of the parties is in it
    style = Markup((_TEMPLATES / "page.css").read_text("utf-8"))  # noqa: S704
    return environment.get_template(f"{template}.html.j2").render(values, style=style)


def figures_for_page(figures: Mapping[str, Drawn]) -> dict[str, dict[str, str]]:
    """Return figures as templates take them: the element is not escaped, for it holds no name of the parties."""
    return {
        name: {"svg": Markup(drawn.svg), "caption": drawn.caption}  # noqa: S704
        for name, drawn in figures.items()
    }
