"""Pages: content, figures and pictures in one HTML file that loads nothing."""

from typing import Any

from cae_core.files.records import as_json
from cae_report.content import ReportContent
from cae_report.dossier import Dossier
from cae_report.figures import draw_figures
from cae_report.judgement import Case
from cae_report.judgement_content import JudgementContent
from cae_report.matrix import matrix_of
from cae_report.pictures import draw_pictures
from cae_report.rendering import figures_for_page, render
from cae_report.scan import Scan
from cae_report.scan_content import ScanContent
from cae_report.scan_figure import draw_scan
from cae_report.text import all_visible

__all__ = ["render_judgement", "render_page", "render_scan"]


def render_page(dossier: Dossier, content: ReportContent) -> str:
    """Return the page of a verdict as one HTML text: the same dossier gives the same text."""
    return render("verdict", _values(dossier, content))


def render_judgement(case: Case, content: JudgementContent) -> str:
    """Return the page of a judgement as one HTML text: the same case gives the same text."""
    asked: dict[str, Any] = {"report": None}
    if case.dossier is not None and content.verification is not None:
        asked = _values(case.dossier, content.verification)
    return render("judgement", asked | {"judgement": all_visible(as_json(content))})


def render_scan(scan: Scan, content: ScanContent) -> str:
    """Return the page of a scan as one HTML text: the same scan gives the same text."""
    told: dict[str, Any] = all_visible(as_json({**vars(content), "accused": scan.summary.accused}))
    told["rows"] = [all_visible(vars(row)) for row in content.rows]  # every field of each, whether or not it is empty
    return render("scan", {"scan": told, "figures": figures_for_page({"scan": draw_scan(scan)})})


def _values(dossier: Dossier, content: ReportContent) -> dict[str, Any]:
    """Return what the templates of a verdict take."""
    values: dict[str, Any] = as_json(content)
    return {
        "report": values,
        "verdict": values["verdict"],
        "figures": figures_for_page(draw_figures(dossier)),
        "pictures": draw_pictures(dossier.fingerprint, content.examples),
        "matrix": all_visible(as_json(matrix_of(content.classes, content.labels))),
    }
