"""A seal is signed, dated and verified from files to files, without a command line."""

import dataclasses
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest

from cae_backends.attestation.seals import attest_seal, dated_evidence, request_of, response_of, signed_by
from cae_backends.attestation.signatures import check_signing_key
from cae_core.errors import BackendMissing, VerdictError
from cae_core.files.digests import sha256_of_file
from cae_core.files.records import as_json
from cae_core.fingerprint.file import save_fingerprint
from tests.backends.signing import KeyPair, make_keys
from tests.backends.timestamping import make_authority, needs_openssl
from tests.core.toys import toy_fingerprint


@pytest.fixture
def claim(tmp_path: Path) -> Path:
    """A fingerprint that says which files it was made with."""
    toy, path = toy_fingerprint(), tmp_path / "claim" / "fingerprint.safetensors"
    path.parent.mkdir()
    source = {**toy.generation["source"], "sha256": "0" * 64}
    behind = {"source": source, "surrogates": [], "references": []}
    save_fingerprint(dataclasses.replace(toy, generation={**toy.generation, **behind}), path)
    return path


@pytest.fixture
def keys(tmp_path: Path) -> KeyPair:
    return make_keys(tmp_path / "keys")


@pytest.fixture
def seal(tmp_path: Path) -> Path:
    (tmp_path / "seals").mkdir()
    return tmp_path / "seals" / "seal.json"


def test_everything_is_written_beside_the_seal(claim: Path, seal: Path, keys: KeyPair) -> None:
    made = attest_seal(claim, seal, fpr=0.01, claimant="Example Ltd", signing_key=keys.private)
    assert {path.name for path in seal.parent.iterdir()} == {
        "seal.json",
        "seal.opening.json",
        "seal.sig.json",
        "seal.tsq",
    }
    assert (made.request, made.sha256) == (request_of(seal), sha256_of_file(seal))
    assert made.signed_by == check_signing_key(keys.private)
    assert (made.sealed.opening.fpr, made.sealed.opening.claimant) == (0.01, "Example Ltd")
    told = as_json(made)
    assert (told["commitment"], told["signature"]) == (made.sealed.seal.commitment, str(made.signature))


def test_a_key_that_cannot_sign_leaves_nothing(claim: Path, seal: Path, keys: KeyPair) -> None:
    with pytest.raises(VerdictError, match="no private key"):
        attest_seal(claim, seal, signing_key=keys.public)
    assert not list(seal.parent.iterdir())


def test_without_the_packages_there_is_neither_request_nor_signature(
    claim: Path, seal: Path, keys: KeyPair, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    monkeypatch.setitem(sys.modules, "model_signing", None)
    with pytest.raises(BackendMissing, match="signing"):
        attest_seal(claim, seal, signing_key=keys.private)
    made = attest_seal(claim, seal)
    assert (made.request, made.signature, made.signed_by) == (None, None, None)
    assert not request_of(seal).exists()


def test_the_judge_learns_who_signed(claim: Path, seal: Path, keys: KeyPair, tmp_path: Path) -> None:
    made = attest_seal(claim, seal, signing_key=keys.private)
    assert made.signature is not None
    assert signed_by(seal, signature=made.signature, public_key=keys.public) == made.signed_by
    with pytest.raises(VerdictError, match="another key"):
        signed_by(seal, signature=made.signature, public_key=make_keys(tmp_path / "other").public)
    seal.write_bytes(seal.read_bytes() + b"\n")
    with pytest.raises(VerdictError, match="other content"):
        signed_by(seal, signature=made.signature, public_key=keys.public)


@needs_openssl
def test_the_judge_learns_since_when(claim: Path, seal: Path, tmp_path: Path) -> None:
    made, authority = attest_seal(claim, seal), make_authority(tmp_path / "authority")
    assert made.request is not None
    response_of(seal).write_bytes(authority.answer(made.request.read_bytes()))
    dated = partial(dated_evidence, seal, timestamp=response_of(seal), certificates=authority.root)
    now = datetime.now(UTC)
    evidence = dated(suspect_since=now + timedelta(days=1))
    assert evidence.sealed_at is not None
    assert abs(evidence.sealed_at - now) < timedelta(minutes=5)
    assert "Root of the tests" in evidence.authority
    assert evidence.doubt() is None
    assert dated().doubt() is not None
    seal.write_bytes(seal.read_bytes() + b"\n")
    with pytest.raises(VerdictError, match=r"seal\.tsr: this timestamp does not verify"):
        dated()


def test_a_file_that_is_not_there_is_named(seal: Path, tmp_path: Path) -> None:
    with pytest.raises(VerdictError, match=r"none\.tsr: cannot be read"):
        dated_evidence(seal, timestamp=tmp_path / "none.tsr", certificates=tmp_path / "none.pem")
    with pytest.raises(VerdictError, match=r"none\.json: cannot be read"):
        signed_by(seal, signature=tmp_path / "none.json", public_key=tmp_path / "none.pem")
