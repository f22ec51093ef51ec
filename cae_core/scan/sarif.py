"""A scan's findings as SARIF 2.1.0 (OASIS 2020), which code hosts and audit tools show."""

from pathlib import Path
from urllib.parse import quote

from cae_core import version as release
from cae_core.scan.summary import Found, Row, ScanSummary

__all__ = ["sarif_of"]

_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

_RULES: dict[Found, tuple[str, str, str]] = {
    "surrogate": ("error", "fail", "The model is derived from the source of the fingerprint."),
    "inconclusive": ("none", "review", "The evidence is not enough for either verdict."),
    "independent": ("none", "pass", "No evidence of derivation was found, which does not prove independence."),
}
"""Level and kind of each verdict, and what it means; what is no failure has no level (section 3.27.10)."""


def sarif_of(summary: ScanSummary) -> dict[str, object]:
    """Return the log: a result for each model that was judged, a notification for each that was not.

    A result's level is that of the verdict with the whole family in mind; its properties have both.
    """
    rules = [
        {"id": name, "shortDescription": {"text": text}, "defaultConfiguration": {"level": level}}
        for name, (level, _, text) in _RULES.items()
    ]
    driver = {"name": "cae", "version": release.__version__, "semanticVersion": release.__version__, "rules": rules}
    failed = [_notification(row) for row in summary.rows if row.verdict == "failed"]
    run = {
        "tool": {"driver": driver},
        "invocations": [{"executionSuccessful": not failed, "toolExecutionNotifications": failed}],
        "results": [_result(row) for row in summary.rows if row.verdict != "failed"],
        "properties": {"family": summary.family, "correction": summary.correction, "rate": summary.rate},
    }
    return {"$schema": _SCHEMA, "version": "2.1.0", "runs": [run]}


def _result(row: Row) -> dict[str, object]:
    level, kind, _ = _RULES[row.adjusted_verdict]
    return {
        "ruleId": row.adjusted_verdict,
        "level": level,
        "kind": kind,
        "message": {"text": row.reason or row.verdict},
        "locations": [_location(row)],
        "fingerprints": {"model/sha256": row.sha256},
        "properties": {
            "verdict": row.verdict,
            "pValue": row.p_value,
            "pAdjusted": row.p_adjusted,
            "score": row.value,
        },
    }


def _notification(row: Row) -> dict[str, object]:
    return {"level": "error", "message": {"text": row.reason}, "locations": [_location(row)]}


def _location(row: Row) -> dict[str, object]:
    path = Path(row.name)
    uri = path.as_uri() if path.is_absolute() else quote(path.as_posix())
    return {"physicalLocation": {"artifactLocation": {"uri": uri}}}
