"""`cae seal`."""

import shlex
from pathlib import Path
from typing import Annotated

import typer

from cae_cli.options import Json, print_json
from cae_core.errors import BackendMissing

__all__ = ["run"]

_AUTHORITY = "https://TIMESTAMPING-AUTHORITY"
# A placeholder: whom the judge will trust is for the parties to know.


def run(
    fingerprint: Annotated[Path, typer.Argument(help="The fingerprint file.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="The seal, which is public.")] = Path("seal.json"),
    claimant: Annotated[str, typer.Option(help="Who claims.")] = "",
    fpr: Annotated[
        float | None, typer.Option(help="Rate of false accusations; default: the calibration's, else 0.05.")
    ] = None,
    max_queries: Annotated[int | None, typer.Option(help="The most that a suspect may be asked.")] = None,
    signing_key: Annotated[
        Path | None, typer.Option(help="Private key (PEM, P-256, P-384 or P-521): sign the seal with it.")
    ] = None,
    json: Json = False,
) -> None:
    """Seal a claim: bind fingerprint, source, pools and rate, without showing any of them.

    Example: cae seal fingerprint.safetensors --output seal.json --claimant "Example Ltd"

    Writes the seal and, beside it, its opening (seal.opening.json, a secret). Publish the seal and have it dated: it
    counts from a trusted timestamp on. The commands for that are printed. With --signing-key its signature is written
    too (seal.sig.json): it proves who made the seal, not when.
    """
    from cae_core.disputes.sealing import seal_file
    from cae_core.files.digests import sha256_of_file

    signed_by = _checked_key(signing_key)
    sealed = seal_file(fingerprint, output, fpr=fpr, max_queries=max_queries, claimant=claimant)
    signature = _write_signature(output, signing_key)
    request = _write_request(output)
    facts = {
        "seal": str(output),
        "commitment": sealed.seal.commitment,
        "sha256": sha256_of_file(output),
        "opening": str(sealed.opening_path),
        "request": None if request is None else str(request),
        "signature": None if signature is None else str(signature),
        "signed_by": signed_by,
        "fpr": sealed.opening.fpr,
        "score": sealed.opening.score,
    }
    commands = _commands(output, written=request is not None)
    if sealed.unopened:
        typer.echo(
            f"The source is a {sealed.unopened} file, which a judge will not open: opening it runs the code in it. "
            "Convert it to ONNX (cae convert), and generate and seal the fingerprint of that file.",
            err=True,
        )
    if json:
        print_json({**facts, "commands": commands})
        return
    from cae_cli.render import print_facts

    shown = {
        "commitment": facts["commitment"],
        "SHA-256 of the seal": facts["sha256"],
        "opening (secret)": facts["opening"],
        "deciding score, rate": f"{facts['score']}, {facts['fpr']:g}",
    }
    if signature is not None:
        shown |= {"signature": facts["signature"], "signed by the key": signed_by}
    print_facts(shown, title=str(output))
    typer.echo("\nThe seal counts from a trusted timestamp on. With an authority that a judge will trust:")
    for command in commands:
        typer.echo(f"  {command}")
    typer.echo("Keep the seal as it is, byte for byte, its timestamp, and the opening.")


def _checked_key(key: Path | None) -> str | None:
    """Return the key's fingerprint, before anything is written that it cannot sign."""
    if key is None:
        return None
    from cae_backends.attestation.signatures import check_signing_key

    return check_signing_key(key)


def _write_signature(seal: Path, key: Path | None) -> Path | None:
    """Write the signature beside the seal; None where there is no key."""
    if key is None:
        return None
    from cae_backends.attestation.signatures import sign_file
    from cae_core.disputes.sealing import signature_of

    path = signature_of(seal)
    sign_file(seal, key, path)
    return path


def _write_request(seal: Path) -> Path | None:
    """Write the timestamp request beside the seal; None where the package for it is not installed."""
    from cae_backends.attestation.timestamps import timestamp_request
    from cae_core.files.storage import write_atomically

    path = seal.with_suffix(".tsq")
    try:
        write_atomically(path, timestamp_request(seal.read_bytes()))
    except BackendMissing:  # `openssl` writes the same
        return None
    return path


def _commands(seal: Path, *, written: bool) -> list[str]:
    request, response = str(seal.with_suffix(".tsq")), str(seal.with_suffix(".tsr"))
    header = "Content-Type: application/timestamp-query"
    query = ["openssl", "ts", "-query", "-data", str(seal), "-sha256", "-cert", "-out", request]
    ask = ["curl", "--header", header, "--data-binary", f"@{request}", "--output", response, _AUTHORITY]
    verify = ["openssl", "ts", "-verify", "-data", str(seal), "-in", response, "-CAfile", "AUTHORITY.pem"]
    return [shlex.join(command) for command in ((ask, verify) if written else (query, ask, verify))]
