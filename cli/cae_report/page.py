"""The page: content, figures and pictures in one HTML file that loads nothing."""

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cae_core.files.records import as_json
from cae_report.content import ReportContent
from cae_report.dossier import Dossier
from cae_report.figures import draw_figures
from cae_report.matrix import matrix_of
from cae_report.pictures import draw_pictures
from cae_report.text import all_visible, number, percent

__all__ = ["render_page"]

_TEMPLATES = Path(__file__).parent / "templates"


def render_page(dossier: Dossier, content: ReportContent) -> str:
    """Return the report as one HTML text: the same dossier gives the same text.

    Every name comes from the parties and is escaped; figures hold none.
    """
    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(number=number, percent=percent)
    # both are this package's own; no name of the parties is in them
    style = Markup((_TEMPLATES / "report.css").read_text("utf-8"))  # noqa: S704
    figures = {
        name: {"svg": Markup(drawn.svg), "caption": drawn.caption}  # noqa: S704
        for name, drawn in draw_figures(dossier).items()
    }
    values: dict[str, Any] = as_json(content)
    return environment.get_template("report.html.j2").render(
        report=values,
        verdict=values["verdict"],
        figures=figures,
        pictures=draw_pictures(dossier.fingerprint, content.examples),
        matrix=all_visible(as_json(matrix_of(content.classes, content.labels))),
        style=style,
    )
