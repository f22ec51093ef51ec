"""The page of a verdict: content, figures and pictures in one HTML file that loads nothing."""

from typing import Any

from cae_core.files.records import as_json
from cae_report.content import ReportContent
from cae_report.dossier import Dossier
from cae_report.figures import draw_figures
from cae_report.matrix import matrix_of
from cae_report.pictures import draw_pictures
from cae_report.rendering import figures_for_page, render
from cae_report.text import all_visible

__all__ = ["render_page", "values_of"]


def render_page(dossier: Dossier, content: ReportContent) -> str:
    """Return the report as one HTML text: the same dossier gives the same text."""
    return render("verdict", values_of(dossier, content))


def values_of(dossier: Dossier, content: ReportContent) -> dict[str, Any]:
    """Return what the templates of a verdict take."""
    values: dict[str, Any] = as_json(content)
    return {
        "report": values,
        "verdict": values["verdict"],
        "figures": figures_for_page(draw_figures(dossier)),
        "pictures": draw_pictures(dossier.fingerprint, content.examples),
        "matrix": all_visible(as_json(matrix_of(content.classes, content.labels))),
    }
