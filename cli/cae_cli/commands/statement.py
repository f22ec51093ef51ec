"""`cae statement`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cae_cli.options import FingerprintPath, Json, print_json
from cae_cli.streams import say

if TYPE_CHECKING:
    from cae_backends.attestation.statements import AttestedStatement

__all__ = ["run"]


def run(
    *,
    verdict: Annotated[Path, typer.Option("--verdict", help="What `cae verify --json` printed.")],
    fingerprint: FingerprintPath = Path("fingerprint.safetensors"),
    output: Annotated[Path, typer.Option("--output", "-o", help="The statement.")] = Path("statement.json"),
    signing_key: Annotated[
        Path | None, typer.Option(help="Private key (PEM, P-256, P-384 or P-521): sign the statement with it.")
    ] = None,
    json: Json = False,
) -> None:
    """Write a verdict as an in-toto statement about the files that were read for it.

    Example: cae statement --verdict verdict.json --fingerprint fingerprint.safetensors --output statement.json

    The verdict is derived again from its recorded answers first. A verdict that its answers do not give is refused.
    The statement lists the SHA-256 of the suspect's files and of the fingerprint's file, and holds the whole verdict.
    With --signing-key its signature is written beside it (statement.sig.json).
    """
    from cae_backends.attestation.statements import attest_verdict

    made = attest_verdict(verdict, fingerprint, output, signing_key=signing_key)
    if json:
        print_json(made, "statement")
    else:
        _show(made)


def _show(made: "AttestedStatement") -> None:
    from cae_cli.render import print_facts

    shown = {
        "verdict": made.statement.verdict.decision.verdict,
        **{file.name: file.sha256 for file in made.statement.subject},
        "SHA-256 of the statement": made.sha256,
    }
    if made.signature is not None:
        shown |= {"signature": str(made.signature), "signed by the key": str(made.signed_by)}
    print_facts(shown, title=str(made.path))
    say("The recorded answers give the recorded verdict.")
