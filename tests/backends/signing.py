"""Keys of the tests' own."""

from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    BestAvailableEncryption,
    Encoding,
    KeySerializationEncryption,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

Private = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True)
class KeyPair:
    """Two PEM files."""

    private: Path
    public: Path


def make_keys(folder: Path, key: Private | None = None, *, password: bytes | None = None) -> KeyPair:
    """Write a pair of keys, by default on P-256."""
    folder.mkdir(parents=True, exist_ok=True)
    made, pair = key or ec.generate_private_key(ec.SECP256R1()), KeyPair(folder / "key.pem", folder / "pub.pem")
    locked: KeySerializationEncryption = NoEncryption() if password is None else BestAvailableEncryption(password)
    pair.private.write_bytes(made.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, locked))
    pair.public.write_bytes(made.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return pair
