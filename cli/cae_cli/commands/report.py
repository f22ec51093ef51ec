"""`cae report`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cae_cli.options import Json, print_json
from cae_cli.streams import say
from cae_core.errors import OptionError
from cae_core.foreign_text import visible

if TYPE_CHECKING:
    from cae_report.kinds import RecordKind

__all__ = ["run"]

_FINGERPRINT = Path("fingerprint.safetensors")


def run(
    record: Annotated[
        Path | None,
        typer.Argument(
            metavar="RECORD",
            help="A verdict (cae verify --json), a judgement (judgement-….json of cae judge) or a scan (scan.jsonl).",
        ),
    ] = None,
    *,
    verdict: Annotated[Path | None, typer.Option("--verdict", help="Another way to name RECORD.")] = None,
    fingerprint: Annotated[
        Path | None,
        typer.Option(
            "--fingerprint",
            "-f",
            envvar="CAE_FINGERPRINT",
            help="The fingerprint file; default: fingerprint.safetensors, for a judgement the one beside it.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="The HTML file; default: report.html, none with --json.")
    ] = None,
    examples: Annotated[int, typer.Option(min=0, max=100, help="Number of fingerprint examples to show.")] = 12,
    correct: Annotated[
        str | None,
        typer.Option(help="For a scan, the correction of p for the number of suspects, as `cae scan` takes it."),
    ] = None,
    json: Json = False,
) -> None:
    """Write a verdict, a judgement or a scan with all its evidence as an HTML page, for people who were not there.

    Example: cae report verdict.json --fingerprint fingerprint.safetensors --output report.html

    The record is first derived again from its recorded answers, and refused if they do not give it. The page loads
    nothing. It shows some examples of the fingerprint, which is a secret; with --examples 0 it shows none.
    """
    from cae_report.kinds import kind_of
    from cae_report.writing import check_report

    given = _one_of(record, verdict)
    kind = kind_of(given)
    _check_options(kind, correct=correct, json=json)
    by = fingerprint or (given.parent / _FINGERPRINT if kind == "judgement" else _FINGERPRINT)
    target = output or (None if json else Path("report.html"))
    if target is not None:
        check_report(target, inputs=[given, by])
    if kind == "judgement":
        found = _report_judgement(given, by, target or Path("report.html"), examples)
    elif kind == "scan":
        found = _report_scan(given, by, target or Path("report.html"), correct)
    else:
        found = _report_verdict(given, by, target, examples, json=json)
    if not json:
        say(f"{visible(str(target))}: {found}")


def _check_options(kind: "RecordKind", *, correct: str | None, json: bool) -> None:
    if json and kind != "verdict":
        raise OptionError(f"A {kind} is JSON as it is, and --json prints the report of a verdict. Leave --json out.")
    if correct is not None and kind != "scan":
        raise OptionError(f"--correct counts the suspects of a scan, and this is a {kind}. Leave --correct out.")


def _report_verdict(record: Path, fingerprint: Path, target: Path | None, examples: int, *, json: bool) -> str:
    from cae_report.content import gather_content
    from cae_report.dossier import open_dossier
    from cae_report.writing import write_report

    dossier = open_dossier(record, fingerprint)
    content = gather_content(dossier, examples=examples)
    if target is not None:
        write_report(dossier, content, target)
    if json:
        print_json(content, "report")
    return f"{dossier.verdict.decision.verdict}. The recorded answers give the recorded verdict."


def _report_judgement(record: Path, fingerprint: Path, target: Path, examples: int) -> str:
    from cae_report.judgement import open_case
    from cae_report.judgement_content import gather_judgement
    from cae_report.writing import write_judgement

    case = open_case(record, fingerprint)
    content = gather_judgement(case, examples=examples)
    write_judgement(case, content, target)
    return f"{content.outcome}. {content.replay}"


def _report_scan(record: Path, fingerprint: Path, target: Path, correct: str | None) -> str:
    from cae_report.scan import open_scan
    from cae_report.scan_content import gather_scan
    from cae_report.writing import write_scan

    scan = open_scan(record, fingerprint, correct=correct)
    content = gather_scan(scan)
    write_scan(scan, content, target)
    return f"{content.sentence} {content.replay}"


def _one_of(record: Path | None, verdict: Path | None) -> Path:
    given = [path for path in (record, verdict) if path is not None]
    if len(given) != 1:
        raise typer.BadParameter("name one file: cae report verdict.json", param_hint="RECORD")
    return given[0]
