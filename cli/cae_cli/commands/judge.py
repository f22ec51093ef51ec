"""`cae judge`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cae_cli.contract_options import fields_of, takes_contract_fields
from cae_cli.options import ContractText, DeviceName, Json, LimitsText, Trusted, parse_eps, parse_nonce, print_json
from cae_cli.progress import interruptible, progress_bar
from cae_core.foreign_text import visible
from cae_core.progress import detail

if TYPE_CHECKING:
    from cae_core.disputes.case import Case
    from cae_core.disputes.judging import DatedEvidence

__all__ = ["EXIT_CODES", "run"]

EXIT_CODES = {"upheld": 0, "rejected": 3, "cannot judge": 4}

_STYLES = {"upheld": "bold red", "rejected": "bold green", "cannot judge": "bold yellow"}


def _parse_time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"expected an ISO date or time, such as 2026-05-01 or 2026-05-01T12:00+02:00; found {text!r}"
        ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


@takes_contract_fields
def run(
    *,
    claim: Annotated[Path, typer.Option(help="The claimant's fingerprint.")],
    seal: Annotated[Path, typer.Option(help="Seal of the claim.")],
    source: Annotated[Path, typer.Option(help="The claimed source model.")],
    pool: Annotated[
        Path, typer.Option(help="The judge's manifest, with the roles generate and calibrate, and possibly screen.")
    ],
    data: Annotated[str, typer.Option(help="The judge's benign images (docs/data.md).")],
    seals: Annotated[int, typer.Option(help="Number of seals that the claimant has made; p is multiplied by it.")],
    suspect: Annotated[str, typer.Option("--suspect", "-s", help="The suspect: the path of a model.")],
    opening: Annotated[
        Path | None, typer.Option(help="The opening of the seal; default: seal.opening.json beside seal.json.")
    ] = None,
    signature: Annotated[Path | None, typer.Option(help="The seal's signature (seal.sig.json).")] = None,
    claimant_key: Annotated[
        Path | None, typer.Option(help="The claimant's public key (PEM), which verifies the signature.")
    ] = None,
    timestamp: Annotated[Path | None, typer.Option(help="The seal's timestamp response (.tsr).")] = None,
    tsa_certificate: Annotated[
        Path | None, typer.Option(help="Certificates of the timestamping authority, its root included (PEM).")
    ] = None,
    suspect_since: Annotated[
        datetime | None,
        typer.Option(
            parser=_parse_time,
            metavar="DATE",
            help="Earliest time at which the suspect is proven to have existed (UTC).",
        ),
    ] = None,
    claimant_pool: Annotated[
        Path | None,
        typer.Option(help="The claimant's manifest; with it, some of the claim's examples are searched again."),
    ] = None,
    control: Annotated[
        list[Path] | None,
        typer.Option(
            help="Manifest of a control source that the judge has trained by the claimant's recipe, or a folder of "
            "such; repeatable. The larger p of both ranks counts."
        ),
    ] = None,
    behind: Annotated[
        list[str] | None,
        typer.Option(
            help="Defence such as jpeg:75 behind which the judge's references are asked as well, as a group of its "
            "own; the largest p counts. For a suspect that may change its images; repeatable."
        ),
    ] = None,
    sample: Annotated[int, typer.Option(help="Number of examples that are searched again.")] = 10,
    fpr: Annotated[float | None, typer.Option(help="Rate of false accusations; default: the sealed one.")] = None,
    eps: Annotated[
        float | None,
        typer.Option(
            parser=parse_eps,
            metavar="NUMBER",
            help="Largest change of a pixel in the regeneration; default: the claim's.",
        ),
    ] = None,
    tau: Annotated[
        float | None, typer.Option(help="Least conferrability in the regeneration; default: the claim's.")
    ] = None,
    count: Annotated[
        int | None, typer.Option(help="Examples wanted in the regeneration; default: the claim's.")
    ] = None,
    iterations: Annotated[
        int | None, typer.Option(help="Search steps for each image in the regeneration; default: the claim's.")
    ] = None,
    nonce: Annotated[
        bytes | None,
        typer.Option(parser=parse_nonce, metavar="HEX", help="The judge's nonce; default: random, and kept."),
    ] = None,
    split: Annotated[str, typer.Option(help="Part of the data: train, test or all.")] = "test",
    contract: ContractText = None,
    claimed_accuracy: Annotated[
        float | None, typer.Option(help="Accuracy that the suspect's owner claims, 0 to 1.")
    ] = None,
    workdir: Annotated[
        Path | None, typer.Option(help="Folder for the case; default: judge-COMMITMENT in this folder.")
    ] = None,
    trusted: Trusted = False,
    limits: LimitsText = "",
    device: DeviceName = "auto",
    json: Json = False,
    **fields: str | None,
) -> None:
    """Judge a sealed claim with the judge's own models, images and nonce.

    Nothing that the claimant has made decides, except the claimed source.

    Example: cae judge --claim f.safetensors --seal seal.json --source mine.onnx --pool judge.toml --data digits
    --seals 1 --suspect theirs.onnx --timestamp seal.tsr --tsa-certificate root.pem --suspect-since 2026-05-01

    The judge derives surrogates from the claimed source (cae pool train, with a plan whose [source] has file = ...) and
    trains independent references. A fresh fingerprint is made and calibrated with these, and the suspect is asked.
    The claimed source and the suspect run in processes of their own; the judge's models do not.

    Exit codes: 0 upheld, 3 rejected, 4 cannot judge. An interrupted run goes on when the command is given again.
    """
    from cae_backends.datasets import open_data
    from cae_core.containment.limits import parse_limits
    from cae_core.disputes.case import CaseFiles, JudgeOptions, judge_files
    from cae_core.disputes.sealing import opening_of
    from cae_core.opening.stating import stated_contract

    signer = _signer(seal, signature, claimant_key)  # before anything else of the other party's is opened
    limited = parse_limits(limits)
    files = CaseFiles(
        claim=claim,
        seal=seal,
        opening=opening or opening_of(seal),
        source=source,
        pool=pool,
        suspect=suspect,
        contract=stated_contract(str(suspect), contract, fields_of(fields), trusted=trusted, limits=limited),
        claimant_pool=claimant_pool,
        controls=control or (),
        workdir=workdir or _default_workdir(seal),
    )
    options = JudgeOptions(
        seals=seals,
        evidence=_evidence(seal, timestamp, tsa_certificate, suspect_since),
        fpr=fpr,
        eps=eps,
        tau=tau,
        count=count,
        iterations=iterations,
        nonce=nonce,
        behind=tuple(behind or ()),
        sample=sample,
        claimed_accuracy=claimed_accuracy,
        device=device,
        signed_by=signer,
        trusted=trusted,
        limits=limited,
    )
    with interruptible(kept=files.workdir / "case.json"), progress_bar() as progress:
        detail(progress, "reading images", data)
        images = open_data(data, split=split)
        case = judge_files(files, images, options, progress=progress)
    if json:
        print_json(case, "judge")
    else:
        _show(case, files.workdir)
    raise typer.Exit(EXIT_CODES[case.judgement.outcome])


def _default_workdir(seal: Path) -> Path:
    from cae_core.disputes.seal import parse_seal
    from cae_core.files.records import read_record

    return Path(f"judge-{parse_seal(read_record(seal), str(seal)).commitment[:12]}")


def _signer(seal: Path, signature: Path | None, key: Path | None) -> str | None:
    """Return the id of the key that signed the seal; None where no signature is given."""
    if signature is None and key is None:
        return None
    if signature is None:
        raise typer.BadParameter("a key alone shows nothing: give --signature as well", param_hint="--signature")
    if key is None:
        raise typer.BadParameter(
            "a signature needs the key that verifies it: give --claimant-key as well", param_hint="--claimant-key"
        )
    from cae_backends.attestation.seals import signed_by

    return signed_by(seal, signature=signature, public_key=key)


def _evidence(
    seal: Path, timestamp: Path | None, certificates: Path | None, suspect_since: datetime | None
) -> "DatedEvidence":
    from cae_core.disputes.judging import DatedEvidence

    if timestamp is None:
        return DatedEvidence(suspect_since=suspect_since)
    if certificates is None:
        raise typer.BadParameter(
            "a timestamp needs the authority's certificate: give --tsa-certificate as well",
            param_hint="--tsa-certificate",
        )
    from cae_backends.attestation.seals import dated_evidence

    return dated_evidence(seal, timestamp=timestamp, certificates=certificates, suspect_since=suspect_since)


def _show(case: "Case", workdir: Path) -> None:
    from rich.text import Text

    from cae_cli.case_facts import case_facts
    from cae_cli.render import print_facts

    title = Text.assemble(
        (case.judgement.outcome.upper(), _STYLES[case.judgement.outcome]), f"  {visible(case.files.suspect.name)}"
    )
    print_facts({**case_facts(case), "kept in": str(workdir)}, title=title)
