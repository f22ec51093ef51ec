"""`cae verify`."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from typer.core import TyperCommand

from cae_cli.completion import completing, defences
from cae_cli.contract_options import fields_of, takes_contract_fields
from cae_cli.options import (
    ContractText,
    DeviceName,
    FingerprintPath,
    Json,
    LimitsText,
    Trusted,
    parse_nonce,
    print_json,
)
from cae_cli.progress import progress_bar
from cae_cli.rescue import print_or_keep
from cae_cli.streams import complain, say
from cae_core.foreign_text import visible
from cae_core.progress import stage

if TYPE_CHECKING:
    from cae_core.dataset import ImageSet
    from cae_core.verification.options import VerificationOptions
    from cae_core.verification.verdict import Verdict

__all__ = ["COMMAND_CLASS", "EXIT_CODES", "run"]

_MISPLACED = "misplaced"


class COMMAND_CLASS(TyperCommand):  # noqa: N801 - the name by which `cae_cli.main` finds it
    """A command that says nothing of the arguments which it takes in order to tell where they belong."""

    def collect_usage_pieces(self, ctx: Any) -> list[str]:  # noqa: ANN401 - click's, of which Typer has a copy
        """Return the parts of the usage line."""
        return [piece for piece in super().collect_usage_pieces(ctx) if _MISPLACED not in piece]


EXIT_CODES = {"independent": 0, "surrogate": 3, "inconclusive": 4}


@takes_contract_fields
def run(
    misplaced: Annotated[list[str] | None, typer.Argument(hidden=True)] = None,
    *,
    suspects: Annotated[
        list[str] | None,
        typer.Option(
            "--suspect",
            "-s",
            help="The suspect: the path of a model, of recorded answers (.csv, .jsonl) or of a service "
            "(.toml), or an address.",
        ),
    ] = None,
    fingerprint: FingerprintPath = Path("fingerprint.safetensors"),
    contract: ContractText = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="Labelled images of the task (digits, or the path of a data set), which find the suspect's contract "
            "if nobody states it."
        ),
    ] = None,
    split: Annotated[
        str,
        typer.Option(help="Part of the data: train, test or all.", autocompletion=completing("train", "test", "all")),
    ] = "test",
    sequential: Annotated[
        bool,
        typer.Option(
            "--sequential", help="Ask one image at a time, and stop as soon as the answers settle the verdict."
        ),
    ] = False,
    max_queries: Annotated[int | None, typer.Option(help="Ask at most this many images.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say how many queries the verification takes; ask nothing.")
    ] = False,
    cost: Annotated[float | None, typer.Option(help="Cost of one query, in any currency; for --dry-run.")] = None,
    allow_extrapolation: Annotated[
        bool, typer.Option("--allow-extrapolation", help="Judge the suspect even if no reference has its accuracy.")
    ] = False,
    claimed_accuracy: Annotated[
        float | None, typer.Option(help="Accuracy that the suspect's owner claims, 0 to 1.")
    ] = None,
    nonce: Annotated[
        bytes | None,
        typer.Option(
            parser=parse_nonce,
            metavar="HEX",
            help="Number that determines the order of the questions; default: drawn after all else is recorded.",
        ),
    ] = None,
    beacon: Annotated[
        str,
        typer.Option(
            metavar="TEXT|FILE",
            help="With --sequential: value of a public beacon, later than calibration and suspect; it "
            "determines the order.",
        ),
    ] = "",
    beacon_time: Annotated[
        str, typer.Option(metavar="DATE", help="Time at which the beacon's value was published (ISO 8601).")
    ] = "",
    defence: Annotated[
        str,
        typer.Option(
            metavar="NAME:VALUE",
            autocompletion=defences,
            help="Judge as if the suspect had this defence, such as jpeg:75 or bits:4+noise:0.05 (docs/defences.md).",
        ),
    ] = "",
    case: Annotated[str, typer.Option(help="Name of the case, which verdict, report and ledger state.")] = "",
    self_check: Annotated[
        bool, typer.Option("--self-check", help="Confirm that the suspect is meant to be the source's own file.")
    ] = False,
    replay: Annotated[
        Path | None, typer.Option(help="A verdict's JSON file: derive it again from its recorded answers.")
    ] = None,
    ledger: Annotated[
        Path | None,
        typer.Option(help="Ledger: file that records which suspect has seen what; default: beside the fingerprint."),
    ] = None,
    no_ledger: Annotated[bool, typer.Option("--no-ledger", help="Keep no ledger.")] = False,
    answers: Annotated[
        Path | None, typer.Option(help="File that keeps a service's answers; default: beside the ledger.")
    ] = None,
    offline: Annotated[
        bool, typer.Option("--offline", help="Judge a service by its kept answers alone; ask nothing.")
    ] = False,
    trusted: Trusted = False,
    limits: LimitsText = "",
    device: DeviceName = "auto",
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Tell the verdict by the exit code.")] = False,
    json: Json = False,
    **fields: str | None,
) -> None:
    """Judge one suspect by a fingerprint.

    Example: cae verify --suspect model.onnx --fingerprint fingerprint.safetensors --json --exit-code

    A calibrated fingerprint (cae calibrate) gives p-values at known error rates; without a calibration the threshold
    is the literature's 0.75, which carries no error rate. "independent" means that no evidence was found, not that
    independence is proven. A suspect that scores above the independent models and is also unlike every known copy is
    "inconclusive".

    All benign images of the fingerprint are asked, as far as --max-queries allows, and 50 with --sequential. With
    either option, each earlier verification in the ledger doubles p. With --sequential and --beacon the order follows
    from a public random number, so that half as many references and fewer images are enough. A model that made the
    fingerprint or its calibration is refused as a suspect.

    If nobody states the suspect's contract, --data finds it, as cae contract does, before the first example is asked.
    If several contracts fit about equally well, the suspect is asked by each, and the verdict that claims least counts.

    The suspect runs in a process of its own, without network and files if the system allows it.

    With --exit-code: 0 independent, 3 surrogate, 4 inconclusive.
    """
    from cae_core.containment.limits import parse_limits
    from cae_core.opening.stating import stated_contract
    from cae_core.verification.beacon import read_beacon
    from cae_core.verification.options import VerificationOptions
    from cae_core.verification.remembered import UnrecordedVerdict
    from cae_core.workflows import verify_suspect

    suspect = _one_suspect(suspects or [], misplaced or [])
    unrecorded: UnrecordedVerdict | None = None
    if cost is not None and not dry_run:
        raise typer.BadParameter("--cost needs --dry-run", param_hint="--cost")
    if ledger is not None and no_ledger:
        raise typer.BadParameter("--ledger and --no-ledger exclude each other", param_hint="--ledger")
    if replay is not None and defence:
        raise typer.BadParameter(
            "--replay and --defence exclude each other: a replay uses recorded answers and asks nobody",
            param_hint="--defence",
        )
    if replay is not None and suspect is None:
        verdict = _replayed(replay, fingerprint, json=json)
    elif suspect is None or replay is not None:
        raise typer.BadParameter("expected either --suspect or --replay", param_hint="--suspect")
    elif dry_run:
        planned = VerificationOptions(
            sequential=sequential,
            max_queries=max_queries,
            beacon=read_beacon(beacon),
            beacon_time=beacon_time,
            defence=defence,
        )
        _plan(suspect, fingerprint, planned, cost=cost, json=json)
        return
    else:
        options = VerificationOptions(
            sequential=sequential,
            max_queries=max_queries,
            allow_extrapolation=allow_extrapolation,
            claimed_accuracy=claimed_accuracy,
            beacon=read_beacon(beacon),
            beacon_time=beacon_time,
            defence=defence,
        )
        limited = parse_limits(limits)
        try:
            with progress_bar() as progress:
                verdict = verify_suspect(
                    suspect,
                    fingerprint,
                    contract=stated_contract(suspect, contract, fields_of(fields), trusted=trusted, limits=limited),
                    data=_labelled(data, split),
                    device=device,
                    trusted=trusted,
                    options=options,
                    nonce=nonce,
                    case=case,
                    self_check=self_check,
                    ledger=None if no_ledger else ledger or "auto",
                    answers=answers,
                    offline=offline,
                    limits=limited,
                    progress=stage(progress, "asking"),
                )
        except UnrecordedVerdict as error:
            verdict, unrecorded = error.verdict, error
    printed = print_or_keep(lambda: _show(verdict, json=json), verdict, what="verdict", beside=fingerprint)
    if unrecorded is not None:
        complain(f"cae: {unrecorded}")
    code = EXIT_CODES[verdict.decision.verdict] if exit_code else 0
    if code or unrecorded is not None or not printed:
        raise typer.Exit(code or 1)


def _labelled(data: str | None, split: str) -> "ImageSet | None":
    if data is None:
        return None
    from cae_backends.datasets import open_data

    return open_data(data, split=split)


def _one_suspect(named: Sequence[str], misplaced: Sequence[str]) -> str | None:
    """Return the suspect that was named; None: none was.

    Raises:
        BadParameter: several were, or one without its option.
    """
    if misplaced:
        name = visible(misplaced[0])
        raise typer.BadParameter(f"the suspect is given by an option: cae verify --suspect {name}", param_hint=name)
    if len(named) > 1:
        raise typer.BadParameter(
            f"a verdict is about one suspect; found {len(named)}. Verify each by a command of its own",
            param_hint="--suspect",
        )
    return named[0] if named else None


def _show(verdict: "Verdict", *, json: bool) -> None:
    if json:
        print_json(verdict, "verify")
        return
    from cae_cli.render import print_verdict

    print_verdict(verdict)


def _replayed(record: Path, fingerprint: Path, *, json: bool) -> "Verdict":
    from cae_core.workflows import replay_file

    replay = replay_file(record, fingerprint)
    verdict = replay.agreed(str(record))
    if not json:
        say(f"{visible(str(record))}: the recorded answers give the recorded verdict.")
    if not json and replay.reworded:
        say("The sentences of the record are worded by another release, and were not checked. Rely on those below.")
    return verdict


def _plan(suspect: str, fingerprint: Path, options: "VerificationOptions", *, cost: float | None, json: bool) -> None:
    from cae_core.fingerprint.kinds import BENIGN, EXAMPLE, FURTHER
    from cae_core.workflows import plan_suspect

    plan = plan_suspect(suspect, fingerprint, options=options)
    counts, total, at_most = plan.queries, len(plan.questions), options.sequential
    total_cost = None if cost is None else total * cost
    if json:
        told = {"queries": counts, "total": total, "at_most": at_most, "cost": total_cost}
        print_json(told | ({"warnings": list(plan.out_of_reach)} if plan.out_of_reach else {}), "verify-plan")
        return
    further = "".join(f", {counts[kind.name]} {kind.words}" for kind in FURTHER if kind.name in counts)
    say(
        f"{'at most ' if at_most else ''}{total} queries: {counts[EXAMPLE.name]} for the fingerprint, "
        f"{counts[BENIGN.name]} benign{further} ({plan.repeats} of them repeats)"
        + ("" if total_cost is None else f"; cost {total_cost:g}")
    )
    for warning in plan.out_of_reach:
        say(f"warning: {warning}")
