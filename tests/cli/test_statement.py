"""`cae statement`: a verdict of a real model becomes a statement that `sha256sum` can check."""

import hashlib
import json
from pathlib import Path

from tests.backends.signing import make_keys
from tests.cli.conftest import Pool, Run
from tests.output_schema import check_value


def test_a_verdict_becomes_a_signed_statement(run_cae: Run, pool: Pool, fingerprint: Path, tmp_path: Path) -> None:
    record, place = tmp_path / "verdict.json", tmp_path / "statement.json"
    asked = run_cae("verify", "--suspect", pool.copy, "-f", fingerprint, "--no-ledger", "--trusted", "--json")
    record.write_text(asked.out)
    keys = make_keys(tmp_path / "keys")
    options = ("statement", "--verdict", record, "-f", fingerprint, "-o", place, "--signing-key", keys.private)
    told = run_cae(*options, "--json").json()
    statement = json.loads(place.read_text())
    check_value("in-toto-statement", statement)
    files = {"suspect/copy.onnx": pool.copy, f"fingerprint/{fingerprint.name}": fingerprint}
    assert told["subject"] == {name: hashlib.sha256(path.read_bytes()).hexdigest() for name, path in files.items()}
    assert [each["name"] for each in statement["subject"]] == list(files)
    assert statement["predicate"] == asked.json()
    assert (told["verdict"], told["signature"]) == (asked.json()["verdict"], str(tmp_path / "statement.sig.json"))
    shown = run_cae(*options)
    assert shown.code == 0
    for text in (*told["subject"].values(), told["sha256"], told["signed_by"], "give the recorded verdict"):
        assert text in shown.out


def test_what_is_no_verdict_is_one_sentence(run_cae: Run, fingerprint: Path, tmp_path: Path) -> None:
    (tmp_path / "verdict.json").write_text("{}")
    outcome = run_cae("statement", "--verdict", tmp_path / "verdict.json", "-f", fingerprint, "-o", tmp_path / "s.json")
    assert outcome.code == 1
    assert outcome.err.count("\n") == 1
    assert "This is no verdict as `cae verify --json` prints it" in outcome.err
    assert not (tmp_path / "s.json").exists()
