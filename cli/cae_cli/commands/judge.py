"""`cae judge`."""

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cae_cli.options import ContractText, DeviceName, Json, Trusted, parse_eps, parse_nonce, print_json
from cae_cli.progress import progress_bar, resumable
from cae_core.errors import VerdictError

if TYPE_CHECKING:
    from cae_core.disputes.case import Case
    from cae_core.disputes.judging import DatedEvidence

__all__ = ["EXIT_CODES", "run"]

EXIT_CODES = {"upheld": 0, "rejected": 3, "cannot judge": 4}


def _parse_time(text: str) -> datetime:
    try:
        found = datetime.fromisoformat(text)
    except ValueError as error:
        raise typer.BadParameter(
            f"expected an ISO date or time, such as 2026-05-01 or 2026-05-01T12:00+02:00; found {text!r}"
        ) from error
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)


def run(
    *,
    claim: Annotated[Path, typer.Option(help="The claimant's fingerprint.")],
    seal: Annotated[Path, typer.Option(help="Its seal.")],
    source: Annotated[Path, typer.Option(help="The claimed source model.")],
    pool: Annotated[Path, typer.Option(help="The judge's manifest: roles generate, calibrate, and screen if any.")],
    data: Annotated[str, typer.Option(help="The judge's benign images (docs/data.md).")],
    seals: Annotated[int, typer.Option(help="How many seals the claimant has made; p is multiplied by it.")],
    suspect: Annotated[str, typer.Option("--suspect", "-s", help="The suspect: the path of a model.")],
    opening: Annotated[
        Path | None, typer.Option(help="What opens the seal; default: seal.opening.json beside seal.json.")
    ] = None,
    signature: Annotated[Path | None, typer.Option(help="The seal's signature (seal.sig.json).")] = None,
    claimant_key: Annotated[
        Path | None, typer.Option(help="The claimant's public key (PEM), which the signature is verified with.")
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
            help="Earliest time at which the suspect is proven to have existed; UTC.",
        ),
    ] = None,
    claimant_pool: Annotated[
        Path | None, typer.Option(help="The claimant's manifest: replay some of the claim's examples.")
    ] = None,
    sample: Annotated[int, typer.Option(help="How many examples are replayed.")] = 10,
    fpr: Annotated[float | None, typer.Option(help="Rate of false accusations; default: the sealed one.")] = None,
    eps: Annotated[
        float | None,
        typer.Option(parser=parse_eps, metavar="NUMBER", help="Of the regeneration; default: the claim's."),
    ] = None,
    tau: Annotated[float | None, typer.Option(help="Likewise: least conferrability.")] = None,
    count: Annotated[int | None, typer.Option(help="Likewise: examples wanted.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Likewise: steps for each image.")] = None,
    nonce: Annotated[
        bytes | None, typer.Option(parser=parse_nonce, metavar="HEX", help="The judge's; default: random, and kept.")
    ] = None,
    split: Annotated[str, typer.Option(help="Part of the data: train, test or all.")] = "test",
    contract: ContractText = None,
    claimed_accuracy: Annotated[float | None, typer.Option(help="Of the suspect, by its owner, 0 to 1.")] = None,
    workdir: Annotated[
        Path | None, typer.Option(help="Where the case is kept; default: judge-COMMITMENT in this folder.")
    ] = None,
    trusted: Trusted = False,
    device: DeviceName = "auto",
    json: Json = False,
) -> None:
    """Judge a sealed claim with the judge's own models, images and nonce; nothing of the claimant's decides.

    Example: cae judge --claim f.safetensors --seal seal.json --source mine.onnx --pool judge.toml --data digits
    --seals 1 --suspect theirs.onnx --timestamp seal.tsr --tsa-certificate root.pem --suspect-since 2026-05-01

    The judge derives surrogates from the claimed source (cae pool train, with a plan whose [source] has file = ...) and
    has independent references; a fresh fingerprint is made and calibrated with them, and the suspect is asked.

    Exit codes: 0 upheld, 3 rejected, 4 cannot judge. An interrupted run goes on when the command is given again.
    """
    from cae_backends.datasets import open_data
    from cae_core.contract import read_contract
    from cae_core.disputes.case import CaseFiles, JudgeOptions, judge_files
    from cae_core.disputes.sealing import opening_of

    signed_by = _signer(seal, signature, claimant_key)  # before anything else of the other party's is opened
    files = CaseFiles(
        claim=claim,
        seal=seal,
        opening=opening or opening_of(seal),
        source=source,
        pool=pool,
        suspect=suspect,
        contract=read_contract(contract) if contract else None,
        claimant_pool=claimant_pool,
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
        sample=sample,
        claimed_accuracy=claimed_accuracy,
        device=device,
        signed_by=signed_by,
        trusted=trusted,
    )
    images = open_data(data, split=split)
    with resumable(), progress_bar(enabled=not json) as progress:
        case = judge_files(files, images, options, progress=progress)
    if json:
        print_json(case)
    else:
        _show(case, files.workdir)
    raise typer.Exit(EXIT_CODES[case.judgement.outcome])


def _default_workdir(seal: Path) -> Path:
    from cae_core.disputes.seal import parse_seal
    from cae_core.files.records import read_record

    return Path(f"judge-{parse_seal(read_record(seal), str(seal)).commitment[:12]}")


def _signer(seal: Path, signature: Path | None, key: Path | None) -> str | None:
    """Return the fingerprint of the key that signed the seal; None where no signature is given."""
    if signature is None and key is None:
        return None
    if signature is None:
        raise typer.BadParameter("a key alone shows nothing: give the signature too", param_hint="--signature")
    if key is None:
        raise typer.BadParameter("a signature is worth whose key it is", param_hint="--claimant-key")
    from cae_backends.attestation.signatures import verify_signature

    given, content, pem = (_read(path) for path in (signature, seal, key))
    return verify_signature(given, content, pem, origin=str(signature))


def _evidence(
    seal: Path, timestamp: Path | None, certificates: Path | None, suspect_since: datetime | None
) -> "DatedEvidence":
    from cae_core.disputes.judging import DatedEvidence

    if timestamp is None:
        return DatedEvidence(suspect_since=suspect_since)
    if certificates is None:
        raise typer.BadParameter("a timestamp is worth what vouches for it", param_hint="--tsa-certificate")
    from cae_backends.attestation.timestamps import verify_timestamp

    response, content, pem = (_read(path) for path in (timestamp, seal, certificates))
    found = verify_timestamp(response, content, pem, origin=str(timestamp))
    return DatedEvidence(sealed_at=found.time, authority=found.authority, suspect_since=suspect_since)


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise VerdictError(f"{path}: cannot be read ({error.strerror}). Give an existing file.") from error


def _show(case: "Case", workdir: Path) -> None:
    from rich.text import Text

    from cae_cli.render import print_facts
    from cae_core.files.records import as_json

    judgement, consistency = case.judgement, case.consistency
    style = {"upheld": "bold red", "rejected": "bold green", "cannot judge": "bold yellow"}[judgement.outcome]
    title = Text.assemble((judgement.outcome.upper(), style), f"  {case.files['suspect']['name']}")
    facts = {"reason": judgement.reason}
    if judgement.remedy:
        facts["remedy"] = judgement.remedy
    if judgement.p_value is not None and judgement.p_adjusted is not None:
        facts["p-value"] = (
            f"{judgement.p_value:.4g}, times {judgement.seals} seal(s) {judgement.p_adjusted:.4g}; "
            f"rate {judgement.fpr:g}"
        )
    facts["references"] = f"{judgement.references} of the judge's; the rate takes {judgement.needed}"
    sealed_at, since = judgement.evidence.sealed_at, judgement.evidence.suspect_since
    facts["sealed"] = f"{'not dated' if sealed_at is None else sealed_at.isoformat()}  {judgement.evidence.authority}"
    facts["suspect since"] = "not known" if since is None else since.isoformat()
    facts["claim"] = f"{case.claim.opening.fingerprint_id[:16]}, by {case.claim.opening.claimant or 'nobody named'}"
    facts["signed by"] = "not signed" if case.signed_by is None else f"the key {case.signed_by}; decides nothing"
    facts["consistency"] = (
        f"of {consistency.examples} examples {consistency.within_eps} within eps, {consistency.source_label} with the "
        f"source's label, {consistency.seeds_right} seeds right; decides nothing"
    )
    if case.replay is not None:
        replay = as_json(case.replay)
        facts["replay"] = (
            f"{replay['passed']} of {replay['examples']} examples; largest difference of conferrability "
            f"{replay['largest_conferrability_difference']:.2g}, least share of pixels within one level "
            f"{replay['least_pixels_within_one_level']:.3f}; decides nothing"
        )
    if case.regeneration is not None:
        facts["regenerated"] = f"{case.regeneration.fingerprint.id[:16]}, {len(case.regeneration.fingerprint)} examples"
    facts["nonce"] = case.nonce.hex()
    facts["kept in"] = str(workdir)
    print_facts(facts, title=title)
