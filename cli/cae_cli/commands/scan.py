"""`cae scan`."""

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cae_cli.clusters import cluster_named
from cae_cli.completion import completing, defences
from cae_cli.options import DeviceName, FingerprintPath, Json, LimitsText, print_json
from cae_cli.progress import interruptible, progress_bar
from cae_cli.streams import say
from cae_core.foreign_text import visible

if TYPE_CHECKING:
    from cae_core.dataset import ImageSet
    from cae_core.scan.running import Workers
    from cae_core.scan.summary import Row, ScanSummary

__all__ = ["run"]

_SHOWN = 100
"""Rows of the table at most; the output has all."""


def run(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="DIR|LIST|POOL", help="The suspects: a folder of models, a list of paths, or a manifest."
        ),
    ],
    *,
    fingerprint: FingerprintPath = Path("fingerprint.safetensors"),
    output: Annotated[
        Path,
        typer.Option(
            "--output",
            "-o",
            help="File for the results: a line of JSON for each suspect, written as soon as it is judged.",
        ),
    ] = Path("scan.jsonl"),
    contract: Annotated[
        str | None,
        typer.Option(help="Contract of the suspects, in place of their own: a TOML file, also by patterns; or inline."),
    ] = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Labelled images of the task (digits, or the path of a data set), which find the contracts that "
            "nobody states; asked before any example."
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(help="Part of the data: train, test or all.", autocompletion=completing("train", "test", "all")),
    ] = "test",
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of suspects judged at a time; default: one for each core.")
    ] = None,
    cluster: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, such as tcp://host:8786.")] = None,
    resource: Annotated[
        list[str] | None, typer.Option(help="With a cluster: resource that each suspect takes, such as GPU=1.")
    ] = None,
    correct: Annotated[
        str | None,
        typer.Option(
            autocompletion=completing("bh", "holm", "none"),
            help="Correction of p for the number of suspects: bh, holm or none; default: bh if it holds, "
            "otherwise holm.",
        ),
    ] = None,
    role: Annotated[
        list[str] | None, typer.Option(help="With a manifest: judge only the models with this role; repeatable.")
    ] = None,
    full: Annotated[bool, typer.Option("--full", help="Put the whole verdict into each line.")] = False,
    allow_extrapolation: Annotated[
        bool, typer.Option("--allow-extrapolation", help="Judge a suspect even if no reference has its accuracy.")
    ] = False,
    defence: Annotated[
        str,
        typer.Option(
            metavar="NAME:VALUE",
            autocompletion=defences,
            help="Judge as if every suspect had this defence, such as jpeg:75 (docs/defences.md).",
        ),
    ] = "",
    sarif: Annotated[Path | None, typer.Option(help="File for the findings as SARIF 2.1.0.")] = None,
    ledger: Annotated[
        Path | None,
        typer.Option(help="Ledger: file that records which suspect has seen what; default: beside the fingerprint."),
    ] = None,
    no_ledger: Annotated[bool, typer.Option("--no-ledger", help="Keep no ledger.")] = False,
    limits: LimitsText = "",
    device: DeviceName = "auto",
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Tell what was found by the exit code.")] = False,
    json: Json = False,
) -> None:
    """Judge many suspects by a fingerprint: the models of a folder, of a list, or of a pool.

    Example: cae scan models --fingerprint fingerprint.safetensors --output scan.jsonl --exit-code

    Each suspect is asked all examples and benign images, in a process of its own that knows of no other suspect. A
    file that cannot be opened does not end the scan: its line says why. An interrupted scan goes on when the same
    command is given again. Equal files are one suspect.

    The table at the end says which accusations stand when all suspects are counted. With 19 references, ten copies
    among twenty suspects cannot be found at 5 %: `cae calibrate --plan --suspects 20` says how many references it
    takes.

    With --exit-code: 3 if a suspect is a surrogate by its own verdict, otherwise 4 if a suspect is inconclusive or
    failed, otherwise 0.
    """
    from cae_core.containment.limits import Limits, parse_limits
    from cae_core.contract import read_contracts
    from cae_core.files.outputs import RECORD, check_output
    from cae_core.scan.scan import ScanSettings, scan_suspects
    from cae_core.verification.options import VerificationOptions

    if ledger is not None and no_ledger:
        raise typer.BadParameter("--ledger and --no-ledger exclude each other", param_hint="--ledger")
    if cluster is not None and workers is not None:
        raise typer.BadParameter(
            "--workers and --cluster exclude each other: a cluster has its own workers", param_hint="--workers"
        )
    if sarif is not None and defence:
        raise typer.BadParameter(
            "--sarif and --defence exclude each other: SARIF holds findings, and a simulated defence gives none",
            param_hint="--sarif",
        )
    if sarif is not None:
        check_output(sarif, RECORD, inputs=[fingerprint, output])
    settings = ScanSettings(
        options=VerificationOptions(allow_extrapolation=allow_extrapolation, defence=defence),
        correct=correct,
        roles=tuple(role or ()),
        contracts=None if contract is None else read_contracts(contract),
        full=full,
        device=device,
        limits=parse_limits(limits) if limits else Limits(threads=1),
        forks=cluster is None,
    )
    with (
        interruptible(kept=output),
        progress_bar() as progress,
        _workers(workers or _cores(), cluster, resource or []) as crew,
    ):
        summary = scan_suspects(
            target,
            fingerprint,
            output,
            settings=settings,
            workers=crew,
            ledger=ledger,
            keeps_ledger=not no_ledger,
            data=_labelled(data, split),
            progress=progress,
        )
    if sarif is not None:
        _write_sarif(summary, sarif)
    if json:
        print_json(summary, "scan")
    else:
        _show(summary)
    if exit_code and summary.exit_code:
        raise typer.Exit(summary.exit_code)


def _labelled(data: str | None, split: str) -> "ImageSet | None":
    if data is None:
        return None
    from cae_backends.datasets import open_data

    return open_data(data, split=split)


def _workers(count: int, address: str | None, resources: list[str]) -> "AbstractContextManager[Workers | None]":
    """Return what gives those that judge; None: this thread."""
    crew = cluster_named(address, resources)
    if crew is not None:
        return crew
    if count == 1:
        return nullcontext()
    from cae_backends.execution.local import local_processes

    return local_processes(count)


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _write_sarif(summary: "ScanSummary", path: Path) -> None:
    from cae_core.files.records import readable_json
    from cae_core.files.storage import write_atomically
    from cae_core.scan.sarif import sarif_of

    write_atomically(path, readable_json(sarif_of(summary)))


def _show(summary: "ScanSummary") -> None:
    from cae_cli.render import print_rows

    print_rows(
        ("suspect", "verdict", "p#", "adjusted p#", "counting all", "score#", "reason"),
        [_cells(row) for row in summary.rows[:_SHOWN]],
        title=f"{summary.models} models by p",
    )
    if len(summary.rows) > _SHOWN:
        say(f"{len(summary.rows) - _SHOWN} more are in {visible(str(summary.output))}.")
    counts = ", ".join(f"{count} {outcome}" for outcome, count in summary.counts.items())
    if summary.defence:
        say(
            f"Simulated: every suspect had the defence {visible(summary.defence)}. The verdicts are about models with "
            "that defence and are no evidence against these."
        )
    say(f"{summary.suspects} suspects, {summary.models} models: {counts}. Family {summary.family[:32]}.")
    if summary.rate is None:
        say("The fingerprint is not calibrated, so the error rate of these verdicts is unknown (cae calibrate).")
        return
    say(
        f"If all of them were independent, at most {summary.expected_by_chance:.3g} would be accused by chance, on "
        f"average, at a rate of {summary.rate:g} each."
    )
    say(f"With all models counted, {summary.accused} are accused, at {summary.rate:g} ({summary.correction.words}).")


def _cells(row: "Row") -> tuple[str, ...]:
    more = f" (+{row.others})" if row.others else ""
    return (
        visible(row.name, 60) + more,
        row.verdict,
        _number(row.p_value),
        _number(row.p_adjusted),
        row.adjusted_verdict,
        _number(row.value),
        visible(row.reason, 120),
    )


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4g}"
