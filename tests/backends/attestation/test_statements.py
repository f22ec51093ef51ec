"""A verdict's statement is written and signed from files to files."""

import json
import sys
from pathlib import Path

import pytest

from cae_backends.attestation.signatures import check_signing_key, verify_signature
from cae_backends.attestation.statements import attest_verdict
from cae_core.errors import BackendMissing, OptionError, VerdictError
from cae_core.files.digests import sha256_of_file
from tests.backends.signing import KeyPair, make_keys
from tests.report.report_cases import Files, calibration_of, colour_fingerprint, write_case


@pytest.fixture
def case(tmp_path: Path) -> Files:
    fingerprint = colour_fingerprint()
    return write_case(tmp_path, fingerprint=fingerprint, calibration=calibration_of(fingerprint), rate=0.9)


@pytest.fixture
def keys(tmp_path: Path) -> KeyPair:
    return make_keys(tmp_path / "keys")


def test_it_is_written_and_signed(case: Files, keys: KeyPair, tmp_path: Path) -> None:
    made = attest_verdict(case.verdict, case.fingerprint, tmp_path / "s.json", signing_key=keys.private)
    assert (made.path, made.signature) == (tmp_path / "s.json", tmp_path / "s.sig.json")
    assert made.signature is not None
    content = made.path.read_bytes()
    signed_by = verify_signature(made.signature.read_bytes(), content, keys.public.read_bytes(), origin="s")
    assert signed_by == made.signed_by == check_signing_key(keys.private)
    assert made.sha256 == sha256_of_file(made.path)
    assert json.loads(content)["predicate"] == json.loads(case.verdict.read_bytes())
    with pytest.raises(VerdictError, match="it is of other content"):
        verify_signature(made.signature.read_bytes(), content + b" ", keys.public.read_bytes(), origin="s")


def test_without_a_key_nothing_is_signed_and_no_library_is_needed(
    case: Files, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    made = attest_verdict(case.verdict, case.fingerprint, tmp_path / "s.json")
    assert (made.signature, made.signed_by) == (None, None)
    first = made.path.read_bytes()
    attest_verdict(case.verdict, case.fingerprint, tmp_path / "s.json")  # one of its kind is replaced
    assert made.path.read_bytes() == first
    with pytest.raises(BackendMissing, match="signing"):
        attest_verdict(case.verdict, case.fingerprint, tmp_path / "t.json", signing_key=tmp_path / "key.pem")
    assert not (tmp_path / "t.json").exists()


def test_what_is_refused_leaves_nothing(case: Files, keys: KeyPair, tmp_path: Path) -> None:
    place = tmp_path / "s.json"
    with pytest.raises(VerdictError, match="no private key"):
        attest_verdict(case.verdict, case.fingerprint, place, signing_key=keys.public)
    for taken in (case.verdict, case.fingerprint):
        content = taken.read_bytes()
        with pytest.raises(OptionError):
            attest_verdict(case.verdict, case.fingerprint, taken)
        assert taken.read_bytes() == content
    case.edit(verdict="independent")
    with pytest.raises(VerdictError, match="the recorded answers do not give what the record says"):
        attest_verdict(case.verdict, case.fingerprint, place, signing_key=keys.private)
    assert not list(tmp_path.glob("s*.json"))
