"""A seal with what attests it: signed and ready to be dated by its maker, verified by a judge.

What `cae seal` and `cae judge` do with signatures and timestamps, file by file, and a script may do as well.
"""

from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from cae_backends.attestation.signatures import check_signing_key, sign_file, verify_signature
from cae_backends.attestation.timestamps import timestamp_request, verify_timestamp
from cae_core.disputes.judging import DatedEvidence
from cae_core.disputes.sealing import Sealed, opening_of, seal_file, signature_of
from cae_core.errors import BackendMissing, OptionError, VerdictError
from cae_core.files.digests import sha256_of_file
from cae_core.files.outputs import RECORD, REQUEST, check_output
from cae_core.files.storage import write_atomically
from cae_core.reading import read_limited, reading

__all__ = ["AttestedSeal", "attest_seal", "dated_evidence", "request_of", "response_of", "signed_by"]

_LARGEST = 1 << 22
"""Bytes of a seal, signature, timestamp or key at most; the largest, a timestamp with its chain, has some thousands."""

_REMEDY = "Give the files as they were made."


@dataclass(frozen=True)
class AttestedSeal:
    """A seal, and what was written beside it.

    Attributes:
        sealed: see `seal_file`.
        sha256: SHA-256 of the seal's file.
        request: what is sent to a timestamping authority; None where the package for it is not installed.
        signature: the file; None where the seal was not signed.
        signed_by: id of the key that signed the seal; None if nobody signed it.
    """

    sealed: Sealed
    sha256: str
    request: Path | None
    signature: Path | None
    signed_by: str | None

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: as ``cae seal --json`` prints it."""
        return {
            "seal": self.sealed.path,
            "commitment": self.sealed.seal.commitment,
            "sha256": self.sha256,
            "opening": self.sealed.opening_path,
            "request": self.request,
            "signature": self.signature,
            "signed_by": self.signed_by,
            "fpr": self.sealed.opening.fpr,
            "score": self.sealed.opening.score,
        }


def request_of(seal: Path) -> Path:
    """Return where the timestamp request of a seal is kept: ``seal.tsq`` beside ``seal.json``."""
    return seal.with_suffix(".tsq")


def response_of(seal: Path) -> Path:
    """Return where the authority's answer belongs: ``seal.tsr`` beside ``seal.json``."""
    return seal.with_suffix(".tsr")


def attest_seal(
    fingerprint: Path,
    output: Path,
    *,
    fpr: float | None = None,
    max_queries: int | None = None,
    claimant: str = "",
    signing_key: Path | None = None,
) -> AttestedSeal:
    """Seal a claim, sign the seal, and write the request by which an authority dates it.

    Args:
        fingerprint: the file.
        output: of the seal; everything else is written beside it.
        fpr: the rate of false accusations; None: the calibration's, else 0.05.
        max_queries: the most that a suspect may be asked.
        claimant: who claims.
        signing_key: private key (PEM); None: the seal is not signed.

    Raises:
        BackendMissing: there is a key and the extra ``signing`` is not installed.
        OptionError: something would take the place of something else; see `check_output`.
        VerdictError: the key cannot sign (then nothing is written), or there is a seal already.
        CaeError: see `seal_file`.
    """
    _check_places(fingerprint, output, signing_key)
    key = None if signing_key is None else check_signing_key(signing_key)
    signature = None if key is None else signature_of(output)
    requests: list[Path] = []

    def attest(seal: Path) -> None:  # before the seal is there: a killed run leaves no seal without the rest
        if signing_key is not None and signature is not None:
            sign_file(seal, signing_key, signature)
        with suppress(BackendMissing):  # `openssl` writes the same
            requests.append(_write_request(seal, request_of(output)))

    sealed = seal_file(fingerprint, output, fpr=fpr, max_queries=max_queries, claimant=claimant, attest=attest)
    return AttestedSeal(sealed, sha256_of_file(output), requests[0] if requests else None, signature, key)


def _write_request(seal: Path, output: Path) -> Path:
    write_atomically(output, timestamp_request(seal.read_bytes()))
    return output


def _check_places(fingerprint: Path, seal: Path, signing_key: Path | None) -> None:
    """Refuse to write over something else; a seal and its opening are never replaced at all, see `seal_file`."""
    kinds = {opening_of(seal): RECORD, signature_of(seal): RECORD, request_of(seal): REQUEST, response_of(seal): None}
    if seal in kinds:
        raise OptionError(f"{seal}: this name is used for a file beside a seal. Give a name that ends in .json.")
    for path, kind in {seal: RECORD, **kinds}.items():
        if kind is not None:
            check_output(path, kind, inputs=[fingerprint, *([] if signing_key is None else [signing_key])])


def signed_by(seal: Path, *, signature: Path, public_key: Path) -> str:
    """Check that the holder of a key has signed the seal, and return the key's id.

    Args:
        seal: the file as it was signed, byte for byte.
        signature: that `attest_seal` wrote.
        public_key: PEM, of whom the judge takes for the claimant.

    Raises:
        BackendMissing: the extra ``signing`` is not installed.
        VerdictError: a file cannot be read, or the signature does not verify; see `verify_signature`.
    """
    given, content, pem = (_read(path) for path in (signature, seal, public_key))
    with reading(signature, VerdictError, fault="this signature does not verify", remedy=_REMEDY):
        return verify_signature(given, content, pem, origin=str(signature))


def dated_evidence(
    seal: Path, *, timestamp: Path, certificates: Path, suspect_since: datetime | None = None
) -> DatedEvidence:
    """Check that an authority whom the judge trusts has dated the seal, and return what that proves.

    Args:
        seal: the file as it was dated, byte for byte.
        timestamp: the authority's response (``.tsr``).
        certificates: of the authority, its root included (PEM).
        suspect_since: the earliest time at which the suspect is proven to have existed, with its time zone.

    Raises:
        BackendMissing: the extra ``seal`` is not installed.
        VerdictError: a file cannot be read, or the timestamp does not verify; see `verify_timestamp`.
    """
    response, content, pem = (_read(path) for path in (timestamp, seal, certificates))
    with reading(timestamp, VerdictError, fault="this timestamp does not verify", remedy=_REMEDY):
        found = verify_timestamp(response, content, pem, origin=str(timestamp))
    return DatedEvidence(sealed_at=found.time, authority=found.authority, suspect_since=suspect_since)


def _read(path: Path) -> bytes:
    with reading(path, VerdictError, fault="cannot be read", remedy="Give an existing file."):
        return read_limited(path, _LARGEST)
