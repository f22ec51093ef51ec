"""Timestamps of a real, if local, authority: what verifies, and everything that must not."""

import itertools
import ssl
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from cae_backends.attestation import timestamps
from cae_backends.attestation.certificate_order import sort_certificates
from cae_backends.attestation.timestamps import timestamp_request, verify_timestamp
from cae_core.errors import BackendMissing, VerdictError
from tests.backends.timestamping import Authority, make_authority, needs_openssl

CONTENT = b'{"format": 1}\n'
FIT = "critical,timeStamping"

pytestmark = needs_openssl


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return make_authority(tmp_path_factory.mktemp("authority"))


@pytest.fixture(scope="module")
def response(authority: Authority) -> bytes:
    return authority.answer(timestamp_request(CONTENT))


def test_a_timestamp_says_when_and_who(authority: Authority, response: bytes) -> None:
    found = verify_timestamp(response, CONTENT, authority.root.read_bytes(), origin="seal.tsr")
    assert found.time.tzinfo is UTC
    assert abs(found.time - datetime.now(UTC)) < timedelta(minutes=5)
    assert found.authority.startswith("CN=Root of the tests, certificate ")


def test_the_stated_accuracy_is_added(authority: Authority) -> None:
    """The file existed at the latest then: the doubt goes against who wants an early date."""
    answer = authority.answer(timestamp_request(CONTENT), accuracy="accuracy = secs:1000, millisecs:500")
    found = verify_timestamp(answer, CONTENT, authority.root.read_bytes(), origin="seal.tsr")
    assert timedelta(seconds=900) < found.time - datetime.now(UTC) < timedelta(seconds=1001)


@pytest.mark.parametrize("certificate", [True, False], ids=["certificate inside", "certificate given"])
def test_a_request_made_by_hand_does_as_well(authority: Authority, tmp_path: Path, *, certificate: bool) -> None:
    file = tmp_path / "seal.json"
    file.write_bytes(CONTENT)
    trusted = authority.root.read_bytes() + (b"" if certificate else authority.own.read_bytes())
    stamped = authority.stamp(file, certificate=certificate)
    assert verify_timestamp(stamped, CONTENT, trusted, origin="seal.tsr").authority


def refuses(response: bytes, content: bytes, certificates: bytes, said: str) -> None:
    with pytest.raises(VerdictError, match=said):
        verify_timestamp(response, content, certificates, origin="seal.tsr")


def test_other_content_is_refused(authority: Authority, response: bytes) -> None:
    refuses(response, CONTENT + b" ", authority.root.read_bytes(), r"seal\.tsr: .* does not verify \(Mismatch")


def test_another_authority_of_the_same_name_is_refused(response: bytes, tmp_path: Path) -> None:
    other = make_authority(tmp_path / "other")
    refuses(response, CONTENT, other.root.read_bytes(), "this timestamp does not verify")


@pytest.mark.parametrize("usage", ["critical,codeSigning", "timeStamping"])
def test_a_certificate_that_is_not_for_timestamps_is_refused(authority: Authority, tmp_path: Path, usage: str) -> None:
    """Whoever has any certificate of the root's could date as he likes."""
    file = tmp_path / "seal.json"
    file.write_bytes(CONTENT)
    # before the stamp: a certificate that is younger than the date is refused for that alone
    fit, unfit = (authority.root.read_bytes() + authority.same_for(u).read_bytes() for u in (FIT, usage))
    stamped = authority.stamp(file, certificate=False)
    assert verify_timestamp(stamped, CONTENT, fit, origin="seal.tsr")
    refuses(stamped, CONTENT, unfit, "this timestamp does not verify")


def test_an_edited_date_is_refused(authority: Authority, response: bytes) -> None:
    year = str(datetime.now(UTC).year).encode()
    assert response.count(year) >= 1
    edited = response.replace(year, str(int(year) - 5).encode())
    refuses(edited, CONTENT, authority.root.read_bytes(), "this timestamp does not verify")


@pytest.mark.parametrize("cut", [0, 1, 50, 500])
def test_truncated_and_foreign_responses_are_refused(authority: Authority, response: bytes, cut: int) -> None:
    refuses(response[:cut], CONTENT, authority.root.read_bytes(), "this timestamp does not verify")
    refuses(b"<html>" + response[:cut], CONTENT, authority.root.read_bytes(), "this timestamp does not verify")


def test_a_rejected_request_is_no_timestamp(authority: Authority, tmp_path: Path) -> None:
    request = bytearray(timestamp_request(CONTENT))
    place = request.index(bytes.fromhex("608648016503040201"))  # SHA-256
    request[place + 8] = 4  # SHA-224, which is not served
    said = r"dated nothing: it answered rejection \(Message digest algorithm is not supported\)\. Ask it again"
    refuses(authority.answer(bytes(request)), CONTENT, authority.root.read_bytes(), said)


def in_order(response: bytes, order: tuple[int, ...]) -> bytes:
    """The response with its certificates in another order."""
    parts = certificates_of(response)
    return response.replace(b"".join(parts), b"".join(parts[i] for i in order))


def certificates_of(response: bytes) -> list[bytes]:
    """The certificates as they stand in the response: all of them are longer than 256 bytes and than anything else."""
    found, at = [], response.index(b"\xa0\x82", response.index(bytes.fromhex("2a864886f70d0109100104")) + 60) + 4
    while response[at : at + 2] == b"\x30\x82":
        end = at + 4 + int.from_bytes(response[at + 2 : at + 4])
        found.append(response[at:end])
        at = end
    return found


@pytest.fixture(scope="module")
def chained(authority: Authority) -> bytes:
    """A response that holds the authority's certificate, its root and another one."""
    other = make_authority(authority.folder / "other").root.read_bytes()
    chain = authority.folder / "chain.pem"
    chain.write_bytes(authority.root.read_bytes() + other)
    return authority.answer(timestamp_request(CONTENT), accuracy=f"certs = {chain}")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_certificates_in_any_order_are_taken(authority: Authority, chained: bytes, order: tuple[int, ...]) -> None:
    assert len(certificates_of(chained)) == 3
    response = in_order(chained, order)
    found = verify_timestamp(response, CONTENT, authority.root.read_bytes(), origin="seal.tsr")
    assert found.authority.startswith("CN=Root of the tests")
    refuses(response, CONTENT + b" ", authority.root.read_bytes(), "does not verify")
    refuses(response, CONTENT, make_authority(authority.folder / "third").root.read_bytes(), "does not verify")


def test_sorting_touches_the_certificates_only(chained: bytes, response: bytes) -> None:
    certificates = sorted(certificates_of(chained))
    first = chained.index(certificates_of(chained)[0])
    for order in itertools.permutations(range(3)):
        made = sort_certificates(in_order(chained, order))
        assert certificates_of(made) == certificates
        size = sum(map(len, certificates))
        assert (made[:first], made[first + size :]) == (chained[:first], chained[first + size :])
    assert sort_certificates(response) == response
    cut = chained[: len(chained) // 2]
    for odd in (b"", b"\x30", b"<html>", cut, b"\x30\x80\x00\x00", b"\x3f" * 9, b"\x30\x89" + b"\xff" * 9):
        assert sort_certificates(odd) == odd


def test_an_odd_name_in_a_certificate_is_refused(authority: Authority, chained: bytes) -> None:
    name = b"Root of the tests"
    der = ssl.PEM_cert_to_DER_cert(authority.root.read_text())
    odd = ssl.DER_cert_to_PEM_cert(der.replace(name, b"\xff" * len(name))).encode()
    refuses(chained, CONTENT, odd, r"These are no certificates in PEM form \(.*\)\. Give")
    refuses(chained, CONTENT, odd + authority.root.read_bytes(), "These are no certificates")
    for old, new in ((name, b"\xff" * len(name)), (b"Authority", b"\xff" * 9)):
        refuses(chained.replace(old, new), CONTENT, authority.root.read_bytes(), "this timestamp does not verify")


def test_certificates_without_a_root_or_at_all_are_refused(authority: Authority, response: bytes) -> None:
    refuses(response, CONTENT, authority.own.read_bytes(), "hold no root")
    refuses(response, CONTENT, b"", "no certificates in PEM form")


def test_without_the_package_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    with pytest.raises(BackendMissing, match=r"cae-fingerprint\[seal\]"):
        timestamp_request(CONTENT)


def test_the_module_loads_no_cryptography_before_it_is_used() -> None:
    script = f"import sys, {timestamps.__name__}; print('rfc3161_client' in sys.modules, 'cryptography' in sys.modules)"
    found = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert found.stdout.split() == ["False", "False"]
