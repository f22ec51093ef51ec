"""`cae verify`."""

from pathlib import Path
from typing import Annotated

import typer

from cae_cli.options import ContractText, DeviceName, FingerprintPath, Json, parse_nonce, print_json
from cae_cli.progress import progress_bar

__all__ = ["EXIT_CODES", "run"]

EXIT_CODES = {"independent": 0, "surrogate": 3, "inconclusive": 4}


def run(
    *,
    suspect: Annotated[str, typer.Option("--suspect", "-s", help="The suspect: the path of a model.")],
    fingerprint: FingerprintPath = Path("fingerprint.safetensors"),
    contract: ContractText = None,
    max_queries: Annotated[int | None, typer.Option(help="Ask at most this many images.")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say how many queries it takes; ask nothing.")] = False,
    nonce: Annotated[
        bytes | None, typer.Option(parser=parse_nonce, metavar="HEX", help="Decides the order; default: random.")
    ] = None,
    device: DeviceName = "auto",
    exit_code: Annotated[bool, typer.Option("--exit-code", help="Tell the verdict by the exit code.")] = False,
    json: Json = False,
) -> None:
    """Judge one suspect by a fingerprint.

    Example: cae verify --suspect model.onnx --fingerprint fingerprint.safetensors --json --exit-code

    Without a calibration the threshold is the literature's 0.75, which carries no error rate. "independent" means
    that no evidence was found, not that independence is proven.

    With --exit-code: 0 independent, 3 surrogate, 4 inconclusive.
    """
    from cae_core.contract import read_contract
    from cae_core.workflows import verify_suspect

    if dry_run:
        _plan(suspect, fingerprint, max_queries, json=json)
        return
    with progress_bar(enabled=not json) as progress:
        verdict = verify_suspect(
            suspect,
            fingerprint,
            contract=read_contract(contract) if contract else None,
            device=device,
            nonce=nonce,
            max_queries=max_queries,
            progress=lambda done, total: progress("asking", done, total),
        )
    if json:
        print_json(verdict.as_dict())
    else:
        from cae_cli.render import print_verdict

        print_verdict(verdict)
    if exit_code:
        raise typer.Exit(EXIT_CODES[verdict.decision.verdict])


def _plan(suspect: str, fingerprint: Path, max_queries: int | None, *, json: bool) -> None:
    from cae_core.fingerprint import load_fingerprint
    from cae_core.questions import plan_questions
    from cae_core.workflows import suspect_digest

    loaded = load_fingerprint(fingerprint)
    # how many questions there are does not depend on the nonce
    plan = plan_questions(loaded, suspect_id=suspect_digest(suspect), nonce=b"", max_queries=max_queries)
    counts = {kind: sum(question.kind == kind for question in plan) for kind in ("fingerprint", "benign")}
    if json:
        print_json({"queries": counts, "total": len(plan)})
    else:
        typer.echo(
            f"{len(plan)} queries: {counts['fingerprint']} for the fingerprint, {counts['benign']} benign "
            f"({sum(question.repeat for question in plan)} of them repeats)"
        )
