"""Signatures of seals (OpenSSF Model Signing, with elliptic-curve keys): who made one, shown without a network.

The only module that knows `model_signing`; it needs the extra ``signing`` and loads it when it is used.
"""

import contextlib
import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from cae_core.errors import BackendMissing, VerdictError, first_line
from cae_core.files.scratch import scratch_folder
from cae_core.files.storage import replacing

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey
    from model_signing.hashing import Config as HashingConfig

__all__ = ["check_signing_key", "sign_file", "verify_signature"]

_CURVES = ("secp256r1", "secp384r1", "secp521r1")
_MAKE_ONE = "`openssl ecparam -name prime256v1 -genkey -noout` makes one that fits."
_REASONS = {
    "Signature mismatch": "it is of other content",
    "Key mismatch": "it was made with another key",
}


def check_signing_key(path: Path) -> str:
    """Return the key id of a private key's public half; see `verify_signature`.

    Raises:
        BackendMissing: the extra ``signing`` is not installed.
        VerdictError: the file cannot be read, or is no unencrypted key (PEM) of a supported curve.
    """
    _require_library()
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    try:
        key = load_pem_private_key(path.read_bytes(), None)
    except OSError as error:
        raise VerdictError(f"{path}: cannot be read ({error.strerror}). Give an existing private key.") from error
    except (TypeError, ValueError, UnsupportedAlgorithm) as error:  # TypeError: it is encrypted
        raise VerdictError(
            f"{path}: this is no private key in PEM form without a password ({first_line(error)}). {_MAKE_ONE}"
        ) from error
    return _key_id(_checked(key.public_key(), str(path)))


def sign_file(file: Path, key: Path, output: Path) -> None:
    """Sign the content of ``file``; its name is not covered.

    Args:
        file: what is signed, byte for byte.
        key: private, as `check_signing_key` accepts it.
        output: of the signature, a Sigstore bundle (JSON) without certificate or log entry.

    Raises:
        BackendMissing: the extra ``signing`` is not installed.
        VerdictError: see `check_signing_key`.
        StorageError: the signature cannot be written.
    """
    check_signing_key(key)
    from model_signing.signing import Config

    signer = Config().use_elliptic_key_signer(private_key=key)
    with replacing(output) as draft:
        signer.sign(file, draft)


def verify_signature(signature: bytes, content: bytes, public_key: bytes, *, origin: str) -> str:
    """Check that the holder of a key has signed ``content``, and return the key's id.

    The key id is SHA-256 over the public key's SubjectPublicKeyInfo (DER), hex. The signature says nothing of
    when it was made.

    Args:
        signature: what `sign_file` wrote.
        content: the signed bytes.
        public_key: PEM, of whom the judge takes for the claimant.
        origin: name of the signature, for messages.

    Raises:
        BackendMissing: the extra ``signing`` is not installed.
        VerdictError: this is no signature, it is of other content or another key's, or the public key is none.
    """
    _require_library()
    from cryptography.exceptions import InvalidSignature

    key = _public_key(public_key)
    try:
        _verify(signature, content, public_key)
    except (InvalidSignature, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        found = str(error)
        reason = next((why for start, why in _REASONS.items() if found.startswith(start)), first_line(error))
        raise VerdictError(
            f"{origin}: this signature does not verify ({reason}). Give the seal as it was signed, byte for byte, "
            "its signature, and the claimant's public key."
        ) from error
    return _key_id(key)


def _verify(signature: bytes, content: bytes, public_key: bytes) -> None:
    from model_signing.verifying import Config

    with scratch_folder() as folder:  # the library takes files; these hold what was read, and no secret
        signed, bundle, key = (folder / name for name in ("content", "signature", "key"))
        for path, given in ((signed, content), (bundle, signature), (key, public_key)):
            path.write_bytes(given)
        verifier = Config().use_elliptic_key_verifier(public_key=key).set_hashing_config(_whole_file())
        with contextlib.redirect_stdout(io.StringIO()):  # it prints a warning on bundles of its older releases
            verifier.verify(signed, bundle)


def _whole_file() -> "HashingConfig":
    """Return a hashing that leaves nothing out.

    The library's own takes what to ignore from the signature: one that ignores everything would verify for any file.
    """
    from model_signing.hashing import Config, PathLike

    class WholeFile(Config):
        def add_ignored_paths(self, *, model_path: PathLike, paths: Iterable[PathLike]) -> None:
            """Ignore nothing."""

    return WholeFile()  # type: ignore[no-untyped-call]  # its constructor is inherited


def _require_library() -> None:
    try:
        import model_signing  # noqa: F401 - whether it is there, with all that it imports
    except ImportError as error:
        raise BackendMissing(
            f"Signatures take the package model-signing, which cannot be imported ({first_line(error)}). "
            "Install it with `pip install 'cae-fingerprint[signing]'`."
        ) from error


def _public_key(pem: bytes) -> "EllipticCurvePublicKey":
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_public_key

    try:
        key = load_pem_public_key(pem)
    except (ValueError, UnsupportedAlgorithm) as error:
        raise VerdictError(
            f"The claimant's key is no public key in PEM form ({first_line(error)}). "
            "Give what `openssl pkey -pubout` writes of it."
        ) from error
    return _checked(key, "The claimant's key")


def _checked(key: object, what: str) -> "EllipticCurvePublicKey":
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePublicKey

    if not isinstance(key, EllipticCurvePublicKey) or key.curve.name not in _CURVES:
        found = key.curve.name if isinstance(key, EllipticCurvePublicKey) else type(key).__name__
        raise VerdictError(f"{what}: expected a key on the curve P-256, P-384 or P-521; found {found}. {_MAKE_ONE}")
    return key


def _key_id(key: "EllipticCurvePublicKey") -> str:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return hashlib.sha256(key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)).hexdigest()
