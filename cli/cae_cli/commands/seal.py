"""`cae seal`."""

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cae_cli.options import Json, print_json
from cae_cli.streams import complain, say

if TYPE_CHECKING:
    from cae_backends.attestation.seals import AttestedSeal

__all__ = ["run"]

_AUTHORITY = "https://TIMESTAMPING-AUTHORITY"
"""A placeholder: whom the judge will trust is for the parties to know."""


def run(
    fingerprint: Annotated[Path, typer.Argument(help="The fingerprint file.")],
    *,
    output: Annotated[Path, typer.Option("--output", "-o", help="File for the seal, which is public.")] = Path(
        "seal.json"
    ),
    claimant: Annotated[str, typer.Option(help="Name of the claimant.")] = "",
    fpr: Annotated[
        float | None, typer.Option(help="Rate of false accusations; default: the calibration's, else 0.05.")
    ] = None,
    max_queries: Annotated[
        int | None, typer.Option(help="Largest number of images that a suspect may be asked.")
    ] = None,
    signing_key: Annotated[
        Path | None, typer.Option(help="Private key (PEM, P-256, P-384 or P-521): sign the seal with it.")
    ] = None,
    json: Json = False,
) -> None:
    """Seal a claim: commit to fingerprint, source, pool and rate without disclosing any of them.

    Example: cae seal fingerprint.safetensors --output seal.json --claimant "Example Ltd"

    The command writes the seal and, beside it, its opening (seal.opening.json, a secret). Publish the seal and have it
    dated: it counts from its trusted timestamp on. The command prints how to do that. With --signing-key it also
    writes a signature (seal.sig.json), which proves who made the seal, not when.
    """
    from cae_backends.attestation.seals import attest_seal

    made = attest_seal(
        fingerprint, output, fpr=fpr, max_queries=max_queries, claimant=claimant, signing_key=signing_key
    )
    commands = _commands(made)
    if made.sealed.unopened:
        complain(
            f"The source is a {made.sealed.unopened} file, which a judge will not open: opening it runs the code in "
            "it. Convert it to ONNX (cae convert), and generate and seal the fingerprint of that file.",
        )
    if json:
        print_json({**made.json_fields(), "commands": commands}, "seal")
    else:
        _show(made, commands)


def _show(made: "AttestedSeal", commands: list[str]) -> None:
    from cae_cli.render import print_facts

    opening = made.sealed.opening
    shown = {
        "commitment": made.sealed.seal.commitment,
        "SHA-256 of the seal": made.sha256,
        "opening (secret)": str(made.sealed.opening_path),
        "deciding score, rate": f"{opening.score}, {opening.fpr:g}",
    }
    if made.signature is not None:
        shown |= {"signature": str(made.signature), "signed by the key": str(made.signed_by)}
    print_facts(shown, title=str(made.sealed.path))
    say("\nThe seal counts from a trusted timestamp on. With an authority that a judge will trust:")
    for command in commands:
        say(f"  {command}")
    say("Keep the seal as it is, byte for byte, its timestamp, and the opening.")


def _commands(made: "AttestedSeal") -> list[str]:
    """Return what has the seal dated, and what verifies the answer."""
    from cae_backends.attestation.seals import request_of, response_of

    seal = made.sealed.path
    request, response = str(request_of(seal)), str(response_of(seal))
    header = "Content-Type: application/timestamp-query"
    query = ["openssl", "ts", "-query", "-data", str(seal), "-sha256", "-cert", "-out", request]
    ask = ["curl", "--header", header, "--data-binary", f"@{request}", "--output", response, _AUTHORITY]
    verify = ["openssl", "ts", "-verify", "-data", str(seal), "-in", response, "-CAfile", "AUTHORITY.pem"]
    return [shlex.join(command) for command in ((query, ask, verify) if made.request is None else (ask, verify))]
