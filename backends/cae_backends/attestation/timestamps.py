"""Trusted timestamps (RFC 3161): who vouches, and since when, that a file existed.

The only module that knows `rfc3161_client`; it needs the extra ``seal`` and loads it when it is used.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from cae_backends.attestation.certificate_order import sort_certificates
from cae_core.errors import BackendMissing, VerdictError, first_line

if TYPE_CHECKING:
    from cryptography.x509 import Certificate
    from rfc3161_client import TimeStampResponse

__all__ = ["Timestamp", "timestamp_request", "verify_timestamp"]


_STATUS = {2: "rejection", 3: "waiting", 4: "revocation warning", 5: "revocation notification"}
"""What an authority answers instead of a timestamp; RFC 3161, 2.4.2."""


@dataclass(frozen=True)
class Timestamp:
    """A verified timestamp.

    Attributes:
        time: UTC, the latest moment that its stated accuracy allows.
        authority: distinguished name of the certificate that signed it.
        sha256: SHA-256 of the dated bytes.
    """

    time: datetime
    authority: str
    sha256: str


def timestamp_request(content: bytes) -> bytes:
    """Return the request (DER) to have ``content`` dated; a timestamping authority sees its SHA-256 only.

    Raises:
        BackendMissing: the extra ``seal`` is not installed.
    """
    _require_library()
    from rfc3161_client import HashAlgorithm, TimestampRequestBuilder

    return TimestampRequestBuilder().data(content).hash_algorithm(HashAlgorithm.SHA256).build().as_bytes()


def verify_timestamp(response: bytes, content: bytes, certificates: bytes, *, origin: str) -> Timestamp:
    """Check that an authority whom the judge trusts has dated ``content``, and return when.

    The certificates must have been valid at that time, not today.

    Args:
        response: of the authority, DER (``.tsr``).
        content: the dated bytes.
        certificates: PEM, the authority's root; where the response does not carry them, intermediate ones and the
            authority's own too.
        origin: name of the response, for messages.

    Raises:
        BackendMissing: the extra ``seal`` is not installed.
        VerdictError: this is no timestamp response, it dates something else, or these certificates do not vouch for it.
    """
    _require_library()
    from rfc3161_client import VerifierBuilder, decode_timestamp_response

    roots, others = _certificates(certificates)
    try:
        decoded = decode_timestamp_response(sort_certificates(response))
        _check_granted(decoded, origin)
        own = None if decoded.signed_data.certificates else next((x for x in others if _signed(decoded, x)), None)
        verifier = VerifierBuilder(roots=roots, intermediates=others, tsa_certificate=own).build()
        verifier.verify_message(decoded, content)
        return Timestamp(_latest(decoded), _authority(decoded), hashlib.sha256(content).hexdigest())
    except VerdictError:
        raise
    except Exception as error:  # both libraries raise more about a broken certificate than they say
        raise VerdictError(
            f"{origin}: this timestamp does not verify ({first_line(error)}). Give the response for exactly this file, "
            "and the certificate of the authority's root."
        ) from error


def _require_library() -> None:
    try:
        import rfc3161_client  # noqa: F401 - whether it is there
    except ImportError as error:
        raise BackendMissing(
            "Timestamps take the package rfc3161-client, which is not installed. "
            "Install it with `pip install 'cae-fingerprint[seal]'`, or verify by hand with `openssl ts -verify`."
        ) from error


def _certificates(pem: bytes) -> "tuple[list[Certificate], list[Certificate]]":
    """Return the roots, which sign themselves, and the others."""
    from cryptography.x509 import load_pem_x509_certificates

    try:
        found = list(dict.fromkeys(load_pem_x509_certificates(pem)))
        roots = [certificate for certificate in found if certificate.issuer == certificate.subject]
    except Exception as error:  # a name is parsed when it is asked for, and there are many ways in which it can be odd
        raise VerdictError(
            f"These are no certificates in PEM form ({first_line(error)}). Give the file that the authority publishes."
        ) from error
    if not roots:
        raise VerdictError(
            "The certificates hold no root (one that signs itself). Give the authority's whole chain, root included."
        )
    return roots, [certificate for certificate in found if certificate not in roots]


def _check_granted(response: "TimeStampResponse", origin: str) -> None:
    if response.status in _STATUS:
        said = ", ".join(response.status_string or ())
        reason = f" ({first_line(ValueError(said))})" if said else ""
        raise VerdictError(
            f"{origin}: the authority has dated nothing: it answered {_STATUS[response.status]}{reason}. Ask it again, "
            "with the request that was written beside the seal."
        )


def _signed(response: "TimeStampResponse", certificate: "Certificate") -> bool:
    named = {(signer.issuer, signer.serial_number) for signer in response.signed_data.signer_infos}
    return (certificate.issuer, certificate.serial_number) in named


def _latest(response: "TimeStampResponse") -> datetime:
    time, accuracy = response.tst_info.gen_time.astimezone(UTC), response.tst_info.accuracy
    if accuracy is None:  # its type does not say so, and many authorities leave it out
        return time
    return time + timedelta(
        seconds=accuracy.seconds or 0, milliseconds=accuracy.millis or 0, microseconds=accuracy.micros or 0
    )


def _authority(response: "TimeStampResponse") -> str:
    """Return who signed: the certificate that the signature names, not a name in the token that nobody checked."""
    (signer,) = response.signed_data.signer_infos
    return f"{signer.issuer.rfc4514_string()}, certificate {signer.serial_number:x}"
