"""Signatures of seals: what verifies, and everything that must not."""

import base64
import hashlib
import json
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_public_key
from model_signing import hashing, signing, verifying

from cae_backends.attestation import signatures
from cae_backends.attestation.signatures import check_signing_key, sign_file, verify_signature
from cae_core.errors import BackendMissing, StorageError, VerdictError
from tests.backends.signing import KeyPair, Private, make_keys

CONTENT = b'{"format": 1}\n'


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("signed")
    (made / "seal.json").write_bytes(CONTENT)
    return made


@pytest.fixture(scope="module")
def keys(folder: Path) -> KeyPair:
    return make_keys(folder)


@pytest.fixture(scope="module")
def signature(folder: Path, keys: KeyPair) -> bytes:
    sign_file(folder / "seal.json", keys.private, folder / "seal.sig.json")
    return (folder / "seal.sig.json").read_bytes()


def refuses(signature: bytes, content: bytes, public: Path, said: str) -> None:
    with pytest.raises(VerdictError, match=said) as refused:
        verify_signature(signature, content, public.read_bytes(), origin="seal.sig.json")
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("curve", [ec.SECP256R1(), ec.SECP384R1(), ec.SECP521R1()], ids=lambda curve: curve.name)
def test_a_signature_says_which_key(folder: Path, tmp_path: Path, curve: ec.EllipticCurve) -> None:
    pair = make_keys(tmp_path, ec.generate_private_key(curve))
    sign_file(folder / "seal.json", pair.private, tmp_path / "sig")
    public = pair.public.read_bytes()
    der = load_pem_public_key(public).public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    expected = hashlib.sha256(der).hexdigest()
    assert verify_signature((tmp_path / "sig").read_bytes(), CONTENT, public, origin="sig") == expected
    assert check_signing_key(pair.private) == expected


def test_the_signature_covers_the_bytes_of_the_file(signature: bytes) -> None:
    statement = json.loads(base64.b64decode(json.loads(signature)["dsseEnvelope"]["payload"]))
    (covered,) = statement["predicate"]["resources"]
    assert (covered["algorithm"], covered["digest"]) == ("sha256", hashlib.sha256(CONTENT).hexdigest())


def test_nothing_asks_a_network(
    folder: Path, keys: KeyPair, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object, **named: object) -> NoReturn:
        raise AssertionError("a connection")

    for name in ("socket", "create_connection", "getaddrinfo"):
        monkeypatch.setattr(socket, name, refuse)
    sign_file(folder / "seal.json", keys.private, tmp_path / "sig")
    assert verify_signature((tmp_path / "sig").read_bytes(), CONTENT, keys.public.read_bytes(), origin="sig")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("content", [CONTENT + b" ", CONTENT[:-1], b"", CONTENT.replace(b"1", b"2")])
def test_an_edited_file_is_refused(signature: bytes, keys: KeyPair, content: bytes) -> None:
    refuses(signature, content, keys.public, r"seal\.sig\.json: .* does not verify \(it is of other content\)")


def test_another_key_is_refused(signature: bytes, tmp_path: Path) -> None:
    refuses(signature, CONTENT, make_keys(tmp_path).public, r"does not verify \(it was made with another key\)")


def test_another_key_that_names_itself_the_signer_is_refused(signature: bytes, keys: KeyPair, tmp_path: Path) -> None:
    """The name of the key is not signed: what counts is the signature."""
    other = make_keys(tmp_path)
    bundle = json.loads(signature)
    bundle["verificationMaterial"]["publicKey"]["hint"] = hashlib.sha256(other.public.read_bytes()).hexdigest()
    refuses(json.dumps(bundle).encode(), CONTENT, other.public, r"does not verify \(InvalidSignature\)")


def test_a_statement_that_was_edited_with_the_file_is_refused(signature: bytes, keys: KeyPair) -> None:
    content = CONTENT.replace(b"1", b"2")
    bundle = json.loads(signature)
    text = base64.b64decode(bundle["dsseEnvelope"]["payload"]).decode()
    old, new = (hashlib.sha256(given).digest() for given in (CONTENT, content))
    for wrong, right in ((old, new), (hashlib.sha256(old).digest(), hashlib.sha256(new).digest())):
        assert wrong.hex() in text
        text = text.replace(wrong.hex(), right.hex())
    bundle["dsseEnvelope"]["payload"] = base64.b64encode(text.encode()).decode()
    refuses(json.dumps(bundle).encode(), content, keys.public, r"does not verify \(InvalidSignature\)")


def test_a_signature_that_ignores_everything_is_refused(folder: Path, keys: KeyPair, tmp_path: Path) -> None:
    """The library takes what to leave out from the signature, and verifies this one for any file."""
    nothing = hashing.Config().set_ignored_paths(paths=["."])
    config = signing.Config().use_elliptic_key_signer(private_key=keys.private).set_hashing_config(nothing)
    config.sign(folder / "seal.json", tmp_path / "sig")
    (tmp_path / "any").write_bytes(b"anything")
    verifying.Config().use_elliptic_key_verifier(public_key=keys.public).verify(tmp_path / "any", tmp_path / "sig")
    refuses((tmp_path / "sig").read_bytes(), CONTENT, keys.public, "it is of other content")


def test_a_signature_that_names_no_key_prints_nothing(
    signature: bytes, keys: KeyPair, capfd: pytest.CaptureFixture[str]
) -> None:
    """Older releases of the library name none, and the newer ones say so on the standard output."""
    bundle = json.loads(signature)
    del bundle["verificationMaterial"]["publicKey"]["hint"]
    assert verify_signature(json.dumps(bundle).encode(), CONTENT, keys.public.read_bytes(), origin="sig")
    assert capfd.readouterr().out == ""


def edited(place: tuple[str, ...], value: Any) -> Callable[[bytes], bytes]:  # noqa: ANN401 - whatever JSON holds
    def edit(signature: bytes) -> bytes:
        bundle = json.loads(signature)
        inner = bundle
        for name in place[:-1]:
            inner = inner[name]
        inner[place[-1]] = value
        return json.dumps(bundle).encode()

    return edit


@pytest.mark.parametrize("edit", [
    lambda signature: signature[:-2],
    lambda _: b"",
    lambda _: b"\xff\xfe",
    lambda _: b"{}",
    lambda _: b"[]",
    lambda _: b"null",
    lambda _: b"[" * 100_000,
    edited(("mediaType",), "text/plain"),
    edited(("verificationMaterial",), None),
    edited(("verificationMaterial", "publicKey"), None),
    edited(("dsseEnvelope",), None),
    edited(("dsseEnvelope", "signatures"), []),
    edited(("dsseEnvelope", "payloadType"), "text/plain"),
    edited(("dsseEnvelope", "payload"), "no base64"),
    edited(("dsseEnvelope", "payload"), base64.b64encode(b"{}").decode()),
])  # fmt: skip
def test_truncated_and_foreign_signatures_are_refused(
    signature: bytes, keys: KeyPair, edit: Callable[[bytes], bytes]
) -> None:
    refuses(edit(signature), CONTENT, keys.public, r"seal\.sig\.json: this signature does not verify \(.+\)\. Give")


@pytest.mark.parametrize("statement", [b"{}", b"null", b"[]", b'"a"', b'{"_type": "https://in-toto.io/Statement/v1"}'])
def test_foreign_statements_of_the_right_key_are_refused(keys: KeyPair, statement: bytes) -> None:
    refuses(envelope(keys, statement), CONTENT, keys.public, r"this signature does not verify \(.+\)\. Give")


def envelope(keys: KeyPair, statement: bytes) -> bytes:
    """Return a bundle over any statement, truly signed."""
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    private = load_pem_private_key(keys.private.read_bytes(), None)
    assert isinstance(private, ec.EllipticCurvePrivateKey)
    kind = "application/vnd.in-toto+json"
    signed = private.sign(f"DSSEv1 {len(kind)} {kind} {len(statement)} ".encode() + statement, ec.ECDSA(SHA256()))
    hint = hashlib.sha256(keys.public.read_bytes()).hexdigest()
    bundle = {
        "mediaType": "application/vnd.dev.sigstore.bundle.v0.3+json",
        "verificationMaterial": {"publicKey": {"hint": hint}, "tlogEntries": []},
        "dsseEnvelope": {
            "payload": base64.b64encode(statement).decode(),
            "payloadType": kind,
            "signatures": [{"sig": base64.b64encode(signed).decode(), "keyid": ""}],
        },
    }
    return json.dumps(bundle).encode()


def test_a_bundle_of_our_own_making_verifies(signature: bytes, keys: KeyPair) -> None:
    """So that what the statements above are refused for is the statement."""
    statement = base64.b64decode(json.loads(signature)["dsseEnvelope"]["payload"])
    assert verify_signature(envelope(keys, statement), CONTENT, keys.public.read_bytes(), origin="sig")


@pytest.mark.parametrize(("key", "said"), [
    (ec.generate_private_key(ec.SECP256K1()), "found secp256k1"),
    (ed25519.Ed25519PrivateKey.generate(), "found .*Ed25519"),
    (rsa.generate_private_key(65537, 2048), "found .*RSA"),
], ids=["secp256k1", "ed25519", "rsa"])  # fmt: skip
def test_other_kinds_of_keys_are_refused(
    folder: Path, signature: bytes, tmp_path: Path, key: Private, said: str
) -> None:
    pair = make_keys(tmp_path, key)
    with pytest.raises(VerdictError, match=rf"key\.pem: expected a key on the curve P-256.*{said}"):
        sign_file(folder / "seal.json", pair.private, tmp_path / "sig")
    assert not (tmp_path / "sig").exists()
    refuses(signature, CONTENT, pair.public, f"The claimant's key: expected .*{said}")


def test_files_that_hold_no_key_are_refused(keys: KeyPair, signature: bytes, tmp_path: Path) -> None:
    locked = make_keys(tmp_path, password=b"secret")
    for path in (locked.private, keys.public, Path(__file__)):
        with pytest.raises(VerdictError, match="is no private key in PEM form without a password"):
            check_signing_key(path)
    with pytest.raises(VerdictError, match=r"none\.pem: cannot be read"):
        check_signing_key(tmp_path / "none.pem")
    for path in (keys.private, Path(__file__)):
        refuses(signature, CONTENT, path, "is no public key in PEM form")


def test_a_signature_that_cannot_be_written_is_one_sentence(folder: Path, keys: KeyPair) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        sign_file(folder / "seal.json", keys.private, folder / "seal.json" / "sig")


@pytest.mark.parametrize("package", ["model_signing", "model_signing.signing"])
def test_without_the_package_the_remedy_is_named(
    keys: KeyPair, signature: bytes, monkeypatch: pytest.MonkeyPatch, package: str
) -> None:
    monkeypatch.delitem(sys.modules, "model_signing")
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BackendMissing, match=r"cae-fingerprint\[signing\]"):
        check_signing_key(keys.private)
    with pytest.raises(BackendMissing, match=r"cae-fingerprint\[signing\]"):
        verify_signature(signature, CONTENT, keys.public.read_bytes(), origin="sig")


def test_the_module_loads_no_cryptography_before_it_is_used() -> None:
    script = f"import sys, {signatures.__name__}; print('model_signing' in sys.modules, 'cryptography' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["False", "False"]
