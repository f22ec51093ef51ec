"""A verdict's statement with its signature, file by file: what `cae statement` does, and a script may do as well."""

from dataclasses import dataclass
from pathlib import Path

from cae_backends.attestation.signatures import check_signing_key, sign_file
from cae_core.disputes.sealing import signature_of
from cae_core.files.digests import sha256_of_file
from cae_core.files.outputs import RECORD, check_output
from cae_core.files.records import readable_json
from cae_core.files.storage import write_atomically
from cae_core.verification.statement import PREDICATE_TYPE, Statement
from cae_core.workflows import state_file

__all__ = ["AttestedStatement", "attest_verdict"]


@dataclass(frozen=True)
class AttestedStatement:
    """A statement, and what was written.

    Attributes:
        statement: what it says.
        path: path of the statement's file.
        sha256: SHA-256 of the statement's file.
        signature: the file; None where it was not signed.
        signed_by: id of the key that signed the statement; None if nobody signed it.
    """

    statement: Statement
    path: Path
    sha256: str
    signature: Path | None
    signed_by: str | None

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: as ``cae statement --json`` prints it."""
        return {
            "statement": self.path,
            "sha256": self.sha256,
            "predicate_type": PREDICATE_TYPE,
            "verdict": self.statement.verdict.decision.verdict,
            "subject": {file.name: file.sha256 for file in self.statement.subject},
            "signature": self.signature,
            "signed_by": self.signed_by,
        }


def attest_verdict(
    record: Path, fingerprint: Path, output: Path, *, signing_key: Path | None = None
) -> AttestedStatement:
    """Derive the verdict in a JSON file again, write it as an in-toto statement, and sign that.

    Args:
        record: what ``cae verify --json`` printed.
        fingerprint: that it was made by.
        output: of the statement; the signature is written beside it, see `signature_of`.
        signing_key: private key (PEM); None: the statement is not signed.

    Raises:
        BackendMissing: there is a key and the extra ``signing`` is not installed.
        OptionError: a file would take the place of something else; see `check_output`.
        VerdictError: the key cannot sign, or the record is none or was edited, see `state_verdict`; then nothing is
            written.
        StorageError: a file cannot be written.
    """
    signature = None if signing_key is None else signature_of(output)
    inputs = [record, fingerprint, *([] if signing_key is None else [signing_key])]
    for path in filter(None, (output, signature)):
        check_output(path, RECORD, inputs=inputs)
    key = None if signing_key is None else check_signing_key(signing_key)
    statement = state_file(record, fingerprint)
    write_atomically(output, readable_json(statement))
    if signing_key is not None and signature is not None:
        sign_file(output, signing_key, signature)
    return AttestedStatement(statement, output, sha256_of_file(output), signature, key)
