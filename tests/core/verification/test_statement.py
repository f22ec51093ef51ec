"""Statements are read by another implementation of the specification, and by a reader that only knows its text."""

import dataclasses
import hashlib
import json
from typing import Any

import pytest
from google.protobuf.json_format import Parse  # type: ignore[import-untyped]
from in_toto_attestation.v1 import statement_pb2
from in_toto_attestation.v1.statement import Statement as Attestation

from cae_core.errors import VerdictError
from cae_core.files.digests import digest_of_files
from cae_core.files.records import as_json, readable_json
from cae_core.verification.statement import PREDICATE_TYPE, state_verdict
from cae_core.verification.verdict import VERDICT_FORMAT, Suspect
from cae_core.verification.verify import verify
from tests.core.suspects import NONCE, matching
from tests.core.toys import paired, toy_calibration, toy_fingerprint
from tests.output_schema import check_value

FINGERPRINT = toy_fingerprint(n=60)
BY = paired(
    FINGERPRINT, toy_calibration(FINGERPRINT, [5 + i % 20 for i in range(39)], [40 + i % 15 for i in range(39)])
)
READ = hashlib.sha256(b"the fingerprint's file").hexdigest()
FILES = {name: hashlib.sha256(name.encode()).hexdigest() for name in ("model.onnx", "model.onnx.data")}
LINES = tuple(f"{sha256}  {name}" for name, sha256 in FILES.items())
ATTESTATION: Any = vars(statement_pb2)["Statement"]
"""The fields of a statement, in the form in which that implementation has them."""

MODEL = Suspect(name="models/model.onnx", sha256=digest_of_files(FILES), files=LINES)

Record = dict[str, Any]


def record(named: Suspect = MODEL, *, read: str = READ) -> Record:
    """Return a verdict about a model, as a file holds it."""
    by = dataclasses.replace(BY, sha256=read)
    told: Record = json.loads(json.dumps(as_json(verify(matching(FINGERPRINT, 60), by, named=named, nonce=NONCE))))
    return told


def stated(told: Record) -> dict[str, Any]:
    made = state_verdict(told, BY, fingerprint="here/own.safetensors", origin="v.json")
    found: dict[str, Any] = json.loads(readable_json(made))
    return found


def test_another_implementation_accepts_it() -> None:
    fields = Parse(json.dumps(stated(record())), ATTESTATION())
    Attestation.copy_from_pb(fields).validate()
    assert [dict(each.digest) for each in fields.subject] == [{"sha256": x} for x in (*FILES.values(), READ)]
    assert fields.predicate["verdict"] == "surrogate"


def test_it_has_the_fields_of_the_specification_and_no_other() -> None:
    verdict = record()
    told = stated(verdict)
    check_value("in-toto-statement", told)
    assert list(told) == ["_type", "subject", "predicateType", "predicate"]
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["predicateType"] == PREDICATE_TYPE == f"urn:cae-fingerprint:verdict:{VERDICT_FORMAT}"
    named = {f"suspect/{name}": sha256 for name, sha256 in FILES.items()} | {"fingerprint/own.safetensors": READ}
    assert told["subject"] == [{"name": name, "digest": {"sha256": sha256}} for name, sha256 in named.items()]
    assert told["predicate"] == verdict


def test_a_folder_of_one_file_has_another_digest_than_the_file() -> None:
    hashed = {"saved_model.pb": FILES["model.onnx"]}
    folder = Suspect(
        name="saved", sha256=digest_of_files(hashed, folder=True), files=(f"{FILES['model.onnx']}  saved_model.pb",)
    )
    assert stated(record(folder))["subject"][0]["digest"]["sha256"] == FILES["model.onnx"] != folder.sha256


def test_of_an_address_no_file_is_named() -> None:
    told = stated(record(Suspect(name="https://example.org", sha256="c" * 64)))
    assert [each["name"] for each in told["subject"]] == ["fingerprint/own.safetensors"]


@pytest.mark.parametrize(
    ("sha256", "files"),
    [
        ("0" * 64, LINES),
        (MODEL.sha256, LINES[:1]),
        (MODEL.sha256, (*LINES, "no line")),
        (FILES["model.onnx"], ("no line",)),
        (FILES["model.onnx"], (LINES[0] + "\nand another",)),
        (FILES["model.onnx"], (LINES[0], LINES[0])),
        (FILES["model.onnx"], (LINES[0].replace("  ", " "),)),
    ],
)
def test_a_list_of_files_that_does_not_give_the_digest_is_refused(sha256: str, files: tuple[str, ...]) -> None:
    told = record(Suspect(name="model.onnx", sha256=sha256, files=files))
    with pytest.raises(VerdictError, match=r"^v\.json: the suspect's list of files does not give its SHA-256"):
        stated(told)


def test_a_digest_of_the_fingerprint_that_is_none_is_refused() -> None:
    with pytest.raises(VerdictError, match=r"^v\.json: the fingerprint's SHA-256 is 'unknown'"):
        stated(record(read="unknown"))


def test_an_edited_verdict_is_refused() -> None:
    with pytest.raises(VerdictError, match="the recorded answers do not give what the record says"):
        stated(record() | {"verdict": "independent"})
