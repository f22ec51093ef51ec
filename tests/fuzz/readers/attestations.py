"""Timestamps with the certificates that vouch for them, and signatures with their keys."""

import base64
import json
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from cae_backends.attestation.seals import dated_evidence, signed_by
from cae_backends.attestation.signatures import sign_file
from cae_backends.attestation.timestamps import timestamp_request
from tests.fuzz.mutations import edited_bytes, edited_value, json_bytes
from tests.fuzz.reader import Case, Reader

__all__ = ["SIGNATURE", "TIMESTAMP"]

_SEAL = b'{"commitment": "00"}\n'


@dataclass(frozen=True)
class _Attested:
    """Valid files: a response with the authority's chain, and a signature with the key."""

    response: bytes = b""
    chain: bytes = b""
    signature: bytes = b""
    key: bytes = b""


def _prepare_timestamps(folder: Path) -> _Attested:
    from tests.backends.timestamping import make_authority

    authority = make_authority(folder / "authority")
    chain = authority.root.read_bytes() + authority.own.read_bytes()
    return _Attested(response=authority.answer(timestamp_request(_SEAL)), chain=chain)


def _prepare_signatures(folder: Path) -> _Attested:
    from tests.backends.signing import make_keys

    keys, seal, signature = make_keys(folder / "keys"), folder / "signed.json", folder / "signature.json"
    seal.write_bytes(_SEAL)
    sign_file(seal, keys.private, signature)
    return _Attested(signature=signature.read_bytes(), key=keys.public.read_bytes())


def _edited_pem(random: Random, pem: bytes) -> bytes:
    """Edit what stands inside of the letters, so that they still are PEM."""
    first, *lines = pem.decode().strip().splitlines()
    end = next(place for place, line in enumerate(lines) if line.startswith("-----END"))
    inside = edited_bytes(random, base64.b64decode("".join(lines[:end])))
    return "\n".join((first, base64.encodebytes(inside).decode().strip(), *lines[end:], "")).encode()


def _written(folder: Path, **files: bytes) -> dict[str, Path]:
    paths = {name: folder / name for name in files}
    for name, path in paths.items():
        path.write_bytes(files[name])
    return paths


def _dated(paths: dict[str, Path]) -> None:
    dated_evidence(paths["seal"], timestamp=paths["response"], certificates=paths["chain"])
    _check_content(paths)


def _check_content(paths: dict[str, Path]) -> None:
    if paths["seal"].read_bytes() != _SEAL:
        raise RuntimeError("an edited seal was accepted")


def _timestamp(random: Random, valid: _Attested, folder: Path) -> Case:
    response, chain, seal, kind = valid.response, valid.chain, _SEAL, random.randrange(7)
    if kind < 4:
        response = edited_bytes(random, response)
    elif kind == 4:
        chain = edited_bytes(random, chain) if random.random() < 0.3 else _edited_pem(random, chain)
    elif kind == 5:
        seal = edited_bytes(random, seal)
    else:
        chain *= random.choice((2, 50))
        response = edited_bytes(random, response)
    paths = _written(folder, response=response, chain=chain, seal=seal)
    return Case(partial(_dated, paths), f"kind {kind}", _is_response(response))


def _is_response(content: bytes) -> bool:
    from rfc3161_client import decode_timestamp_response

    try:
        decode_timestamp_response(content)
    except Exception:  # noqa: BLE001 - the question is whether anything at all is wrong
        return False
    return True


def _odd_subject(random: Random, valid: _Attested, folder: Path) -> Case:
    """A country of three letters, which its type does not allow."""
    chain = valid.chain
    first, *lines = chain.decode().strip().splitlines()
    end = next(place for place, line in enumerate(lines) if line.startswith("-----END"))
    inside = base64.b64decode("".join(lines[:end])).replace(
        b"\x55\x04\x03", b"\x55\x04\x06"
    )  # a name becomes a country
    text = "\n".join((first, base64.encodebytes(inside).decode().strip(), *lines[end:], ""))
    del random
    return Case(partial(_dated, _written(folder, response=valid.response, chain=text.encode(), seal=_SEAL)), "given")


def _valid_timestamp(_: Random, valid: _Attested, folder: Path) -> Case:
    return Case(partial(_dated, _written(folder, response=valid.response, chain=valid.chain, seal=_SEAL)), "valid")


def _large_response(_: Random, valid: _Attested, folder: Path) -> Case:
    paths = _written(folder, response=b"", chain=valid.chain, seal=_SEAL)
    with paths["response"].open("wb") as file:
        file.truncate(3 << 30)
    return Case(partial(_dated, paths), "three gigabytes")


TIMESTAMP = Reader(
    name="timestamp",
    prepare=_prepare_timestamps,
    make=_timestamp,
    failures={"an odd subject": _odd_subject, "three gigabytes": _large_response},
    valid={"a response": _valid_timestamp},
)


def _signed(paths: dict[str, Path]) -> None:
    signed_by(paths["seal"], signature=paths["signature"], public_key=paths["key"])
    _check_content(paths)


def _signature(random: Random, valid: _Attested, folder: Path) -> Case:
    signature, key, seal, kind = valid.signature, valid.key, _SEAL, random.randrange(7)
    what = f"kind {kind}"
    if kind == 0:
        signature = edited_bytes(random, signature)
    elif kind == 1:
        seal = edited_bytes(random, seal)
    elif kind == 2:
        key = edited_bytes(random, key) if random.random() < 0.4 else _edited_pem(random, key)
    elif kind < 5:
        bundle, what = edited_value(random, json.loads(signature))
        signature = json_bytes(bundle)
    else:
        signature, what = _edited_payload(random, json.loads(signature))
    paths = _written(folder, signature=signature, key=key, seal=seal)
    return Case(partial(_signed, paths), what, _is_json(signature))


def _edited_payload(random: Random, bundle: Any) -> tuple[bytes, str]:  # noqa: ANN401 - JSON
    envelope = bundle["dsseEnvelope"]
    payload, what = edited_value(random, json.loads(base64.b64decode(envelope["payload"])))
    envelope["payload"] = base64.b64encode(json_bytes(payload)).decode()
    return json_bytes(bundle), what


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True


def _valid_signature(_: Random, valid: _Attested, folder: Path) -> Case:
    return Case(partial(_signed, _written(folder, signature=valid.signature, key=valid.key, seal=_SEAL)), "valid")


SIGNATURE = Reader(
    name="signature", prepare=_prepare_signatures, make=_signature, valid={"a signature": _valid_signature}
)
