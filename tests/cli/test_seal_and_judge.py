"""A dispute through the command line: real models, a real (local) timestamping authority, and ways to lose a case."""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_backends.attestation.seals import attest_seal, dated_evidence, response_of, signed_by
from cae_backends.attestation.signatures import check_signing_key
from cae_backends.datasets import open_data
from cae_core import clock
from cae_core.calibration.calibrated import load_calibrated
from cae_core.calibration.file import save_calibration
from cae_core.calibration.record import Calibration
from cae_core.disputes.case import CaseFiles, JudgeOptions, judge_files
from cae_core.files.digests import sha256_of_file
from cae_core.files.records import as_json
from cae_core.fingerprint.file import load_fingerprint, save_fingerprint
from cae_core.opening.opened import open_model
from cae_core.pool.manifest_writing import write_manifest
from tests.backends.signing import KeyPair, make_keys
from tests.backends.timestamping import OPENSSL, make_authority, needs_openssl
from tests.cli.conftest import Outcome, Pool, Run, fit, fit_quickly, write_onnx
from tests.cli.test_bad_input import assert_one_sentence

NONCE = "00" * 16
REFERENCES = 19


@dataclass(frozen=True)
class Court:
    """What the parties hand over, and what the judge brings."""

    folder: Path
    pool: Pool
    claim: Path

    @property
    def seal(self) -> Path:
        return self.folder / "seal.json"

    @property
    def judge(self) -> Path:
        return self.folder / "judge.toml"

    @property
    def claimant(self) -> Path:
        return self.folder / "claimant.toml"

    @property
    def keys(self) -> KeyPair:
        return KeyPair(self.folder / "keys" / "key.pem", self.folder / "keys" / "pub.pem")

    @property
    def signed(self) -> tuple[str | Path, ...]:
        """The claimant's signature of the seal, and his public key."""
        return ("--signature", self.seal.with_suffix(".sig.json"), "--claimant-key", self.keys.public)

    def arguments(self, workdir: Path, suspect: Path, *more: str | Path, **changes: str | Path | int) -> list[str]:
        """Return the command; ``changes`` replace what stands in it, ``None`` included."""
        given: dict[str, str | Path | int] = {
            "claim": self.claim,
            "seal": self.seal,
            "source": self.pool.source,
            "pool": self.judge,
            "data": "digits",
            "seals": 1,
            "suspect": suspect,
            "workdir": workdir,
            **changes,
        }
        named = [word for name, value in given.items() for word in (f"--{name.replace('_', '-')}", str(value))]
        return ["judge", *named, *map(str, more), "--json", *(() if "nonce" in changes else ("--nonce", NONCE))]

    def dated(self, since: str = "2100-01-01") -> tuple[str | Path, ...]:
        """Return the evidence that the seal is older than the suspect."""
        certificate = self.folder / "authority" / "root.pem"
        return (
            *("--timestamp", self.seal.with_suffix(".tsr"), "--tsa-certificate", certificate),
            *("--suspect-since", since),
        )


@pytest.fixture(autouse=True)
def present(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later than the seal, which the authority dates now, and than the suspects."""
    monkeypatch.setattr(clock, "utc_now", lambda: datetime(2101, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def court(pool: Pool, fingerprint: Path, tmp_path_factory: pytest.TempPathFactory) -> Court:
    """The claimant seals the fingerprint of the tests' pool; the judge derives copies and trains references."""
    folder = tmp_path_factory.mktemp("court")
    made = Court(folder, pool, folder / "claim.safetensors")
    made.claim.write_bytes(fingerprint.read_bytes())
    signed = ("--signing-key", make_keys(made.keys.private.parent).private)
    run_command("seal", made.claim, "--output", made.seal, "--claimant", "Example Ltd", "--fpr", "0.05", *signed)
    if OPENSSL is not None:
        authority = make_authority(folder / "authority")
        made.seal.with_suffix(".tsr").write_bytes(authority.answer(made.seal.with_suffix(".tsq").read_bytes()))
    _write_claimants_manifest(made)
    _write_judges_manifest(made)
    return made


def _write_claimants_manifest(court: Court) -> None:
    members = [("surrogate", path) for path in sorted(court.pool.surrogates.iterdir())]
    members += [("reference", path) for path in sorted(court.pool.references.iterdir())]
    rows = [{"path": str(path), "role": "generate", "relation": relation} for relation, path in members]
    write_manifest(court.claimant, [{"path": str(court.pool.source), "role": "source", "relation": "source"}, *rows])


def _write_judges_manifest(court: Court) -> None:
    """Derive copies by asking the source about noisy images; train references on parts of the market's images."""
    data = open_data("digits", split="train")
    random = np.random.default_rng(5)
    noisy = np.clip(data.images + random.normal(0, 60, data.images.shape), 0, 255).astype(np.uint8)
    queries = np.concatenate([data.images, noisy])
    answers = open_model(str(court.pool.source)).predict(queries).labels
    rows = [{"path": str(court.pool.source), "role": "source", "relation": "source"}]
    for seed in range(40, 43):
        path = court.folder / "judge" / f"copy-{seed}.onnx"
        write_onnx(path, fit(seed, queries, answers))
        rows.append({"path": str(path), "role": "generate", "relation": "surrogate"})
    for seed in range(50, 53 + REFERENCES):
        part = random.permutation(len(data))[: random.integers(150, 900)]  # of many accuracies, as suspects are
        path = court.folder / "judge" / f"reference-{seed}.onnx"
        write_onnx(path, fit(seed, data.images[part], data.labels[part]))
        rows.append({"path": str(path), "role": "generate" if seed < 53 else "calibrate", "relation": "reference"})
    write_manifest(court.judge, rows)


def run_command(*arguments: str | Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(program(*arguments), check=True, capture_output=True, text=True)


def program(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "cae_cli", *map(str, arguments)]


@pytest.fixture(scope="module")
def workdir(court: Court) -> Path:
    """One folder for one case: what was generated there is not generated again."""
    return court.folder / "case"


@pytest.fixture
def ask(court: Court, workdir: Path, run_cae: Run) -> Run:
    def run(suspect: Path, *more: str | Path, **changes: Any) -> Outcome:  # noqa: ANN401 - of different types
        return run_cae(*court.arguments(changes.pop("workdir", workdir), suspect, *more, **changes))

    return run


@needs_openssl
def test_an_honest_claim_is_upheld(court: Court, ask: Run) -> None:
    outcome = ask(court.pool.copy, *court.dated(), "--claimant-pool", court.claimant)
    case = outcome.json()
    assert (outcome.code, case["outcome"], case["attested"]) == (0, "upheld", True), case["reason"]
    assert case["p_value"] == case["p_adjusted"] == 1 / (REFERENCES + 1)
    assert (case["seals"], case["references"], case["fpr"]) == (1, REFERENCES, 0.05)
    assert case["evidence"]["proven"]
    assert (case["claim"]["claimant"], case["claim"]["signed_by"]) == ("Example Ltd", None)
    assert case["consistency"]["complete"]
    assert case["nonce"] == NONCE
    replay = case["replay"]
    assert (replay["examples"], replay["consistent"]) == (10, True)
    assert replay["largest_conferrability_difference"] <= 1e-2
    assert replay["least_pixels_within_one_level"] >= 0.95
    assert case["regeneration"]["fingerprint_id"] != case["claim"]["fingerprint_id"]
    assert case["verification"]["answers"]
    assert {"claim", "seal", "source", "suspect"} == set(case["files"])


@needs_openssl
@pytest.mark.long
def test_a_script_seals_dates_and_judges_as_the_commands_do(court: Court, ask: Run, tmp_path: Path) -> None:
    made = attest_seal(court.claim, tmp_path / "seal.json", fpr=0.05, signing_key=court.keys.private)
    assert made.request is not None
    assert made.signature is not None
    seal, authority = made.sealed.path, make_authority(tmp_path / "authority")
    response_of(seal).write_bytes(authority.answer(made.request.read_bytes()))
    files = CaseFiles(
        claim=court.claim,
        seal=seal,
        opening=made.sealed.opening_path,
        source=court.pool.source,
        pool=court.judge,
        suspect=str(court.pool.copy),
        workdir=tmp_path / "case",
    )
    evidence = dated_evidence(
        seal,
        timestamp=response_of(seal),
        certificates=authority.root,
        suspect_since=datetime(2100, 1, 1, tzinfo=UTC),
    )
    signer = signed_by(seal, signature=made.signature, public_key=court.keys.public)
    options = JudgeOptions(seals=1, evidence=evidence, nonce=bytes.fromhex(NONCE), signed_by=signer)
    case = as_json(judge_files(files, open_data("digits"), options))
    assert (case["outcome"], case["claim"]["signed_by"]) == ("upheld", check_signing_key(court.keys.private))
    by_command = ask(court.pool.copy, *court.dated()).json()
    same = ("outcome", "reason", "p_value", "p_adjusted", "references", "nonce", "verification")
    assert {name: case[name] for name in same} == {name: by_command[name] for name in same}


@pytest.fixture(scope="module")
def controls(court: Court) -> Path:
    """Three sources that the judge trained by the claimant's recipe, each with as many copies as the claimed one."""
    folder, data = court.folder / "controls", open_data("digits", split="train")
    random = np.random.default_rng(9)
    noisy = np.clip(data.images + random.normal(0, 60, data.images.shape), 0, 255).astype(np.uint8)
    queries = np.concatenate([data.images, noisy])
    for number in range(3):
        own = folder / f"control-{number:02}"
        part = data.subset(random.permutation(len(data))[:500])
        write_onnx(own / "source.onnx", fit_quickly(300 + number, part.images, part.labels))
        answers = open_model(str(own / "source.onnx")).predict(queries).labels
        rows = [{"path": str(own / "source.onnx"), "role": "source", "relation": "source"}]
        for copy in range(3):
            path = own / f"copy-{copy}.onnx"
            write_onnx(path, fit_quickly(400 + 10 * number + copy, queries, answers))
            rows.append({"path": str(path), "role": "generate", "relation": "surrogate"})
        write_manifest(own / "pool.toml", rows)
    return folder


@pytest.mark.long
@needs_openssl
def test_control_sources_of_the_judges_own_are_judged_by_as_well(
    court: Court, controls: Path, ask: Run, tmp_path: Path, run_cae: Run
) -> None:
    quick = ("--control", controls, "--count", "12", "--iterations", "15")
    outcome = ask(court.pool.copy, *court.dated(), *quick, "--fpr", "0.25", workdir=tmp_path / "case")
    case = outcome.json()
    assert (outcome.code, case["outcome"], case["p_value"]) == (0, "upheld", 0.25), case["reason"]
    assert (case["controls"], case["controls_needed"], case["references"]) == (3, 3, REFERENCES)
    manifests = [controls / f"control-{number:02}" for number in range(3)]
    assert [each["source"] for each in case["control_sources"]] == [
        {"name": str(own / "source.onnx"), "sha256": sha256_of_file(own / "source.onnx")} for own in manifests
    ]
    assert [len(each["surrogates"]) for each in case["control_sources"]] == [3, 3, 3]
    assert case["regeneration"]["calibration"]["null"] == "both"
    few = ask(court.pool.copy, *court.dated(), *quick, workdir=tmp_path / "few")
    assert (few.code, few.json()["outcome"]) == (4, "cannot judge")
    assert few.json()["reason"] == "3 control sources are too few for an error rate of 0.05"
    assert not (tmp_path / "few" / "fingerprint.safetensors").exists()
    arguments = court.arguments(tmp_path / "few", court.pool.copy, *quick)
    told = " ".join(run_cae(*(word for word in arguments if word != "--json")).out.split())
    assert "control sources 3 of the judge's; the rate needs 19; the larger p counts" in told


def test_a_folder_without_control_sources_is_refused(court: Court, ask: Run, tmp_path: Path) -> None:
    (tmp_path / "controls").mkdir()
    outcome = ask(court.pool.copy, "--control", tmp_path / "controls", workdir=tmp_path / "case")
    assert_one_sentence(outcome, "holds no manifest of a control source")


def test_a_suspect_that_exists_since_tomorrow_is_refused(
    court: Court, ask: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(clock, "utc_now", lambda: datetime(2099, 12, 31, 23, 59, 59, tzinfo=UTC))
    outcome = ask(court.pool.copy, *court.dated())
    assert_one_sentence(outcome, "said to exist since 2100-01-01T00:00:00+00:00, and it is only 2099-12-31T23:59:59")


def test_the_same_without_a_timestamp_cannot_be_judged(court: Court, ask: Run) -> None:
    outcome = ask(court.pool.copy)
    case = outcome.json()
    assert (outcome.code, case["outcome"]) == (4, "cannot judge")
    assert case["reason"].startswith("direction not proven")
    assert case["p_value"] == 1 / (REFERENCES + 1)
    assert case["remedy"]


def test_an_independent_suspect_is_rejected_and_the_record_gives_a_page(
    court: Court, ask: Run, workdir: Path, run_cae: Run, tmp_path: Path
) -> None:
    outcome = ask(court.pool.other)
    assert (outcome.code, outcome.json()["outcome"]) == (3, "rejected"), outcome.json()["reason"]
    (record,) = (path for path in workdir.glob("judgement-*.json") if "rejected" in path.read_text())
    reported = run_cae("report", record, "--output", tmp_path / "page.html")
    assert reported.code == 0, reported.err
    page = (tmp_path / "page.html").read_text()
    assert "The judge rejects the claim" in page
    assert outcome.json()["claim"]["commitment"] in page


@needs_openssl
@pytest.mark.parametrize("since", ["2001-01-01", "2001-01-01T12:00+02:00"])
def test_a_suspect_that_is_older_than_the_seal_cannot_be_judged(court: Court, ask: Run, since: str) -> None:
    outcome = ask(court.pool.copy, *court.dated(since))
    assert outcome.code == 4
    assert "direction not proven: the seal dates from" in outcome.json()["reason"]


@needs_openssl
def test_a_timestamp_of_another_authority_is_refused(court: Court, ask: Run, tmp_path: Path) -> None:
    other = make_authority(tmp_path)
    stamp = ("--timestamp", court.seal.with_suffix(".tsr"), "--tsa-certificate", other.root)
    outcome = ask(court.pool.copy, *stamp)
    assert (outcome.code, outcome.out) == (1, "")
    assert "seal.tsr: this timestamp does not verify" in outcome.err


def test_a_timestamp_needs_certificates_and_files_that_are_there(court: Court, ask: Run, tmp_path: Path) -> None:
    assert ask(court.pool.copy, "--timestamp", tmp_path / "none.tsr").code == 2
    outcome = ask(court.pool.copy, "--timestamp", tmp_path / "none.tsr", "--tsa-certificate", tmp_path / "none.pem")
    assert outcome.code == 1
    assert "none.tsr: cannot be read" in outcome.err


def tampered(court: Court, path: Path) -> Path:
    """Return the claim with a calibration that accuses everybody: its references never match, its rate is 0.99."""
    claimed = load_fingerprint(court.claim)
    n, q = len(claimed), len(claimed.probe_images)
    save_fingerprint(claimed, path)
    run_command("calibrate", "--fingerprint", path, "--pool", court.judge, "--fpr", "0.05")
    honest = load_calibrated(path).calibration
    assert isinstance(honest, Calibration)
    never = np.full((len(honest.references), n), -1, np.int64)
    right = np.zeros((len(honest.references), q), bool)
    liars = dataclasses.replace(honest.references, answers=never, right=right)
    save_calibration(dataclasses.replace(honest, references=liars, fpr=0.99), claimed, path)
    return path


def test_a_calibration_that_accuses_everybody_changes_nothing(court: Court, ask: Run, tmp_path: Path) -> None:
    honest, forged = (ask(court.pool.other, claim=claim) for claim in (court.claim, tampered(court, tmp_path / "f")))
    same = ("outcome", "reason", "p_value", "p_adjusted", "fpr", "verification", "regeneration")
    assert forged.code == honest.code == 3
    assert {name: forged.json()[name] for name in same} == {name: honest.json()[name] for name in same}


def test_a_thousand_seals_cannot_be_judged(court: Court, ask: Run) -> None:
    outcome = ask(court.pool.copy, seals=1000)
    case = outcome.json()
    assert (outcome.code, case["needed"], case["p_value"], case["attested"]) == (4, 19_999, None, False)
    assert "when p is multiplied by 1000 seals" in case["reason"]


def test_eighteen_references_cannot_judge(court: Court, ask: Run) -> None:
    text = court.judge.read_text().rstrip()
    fewer = court.folder / "fewer.toml"
    fewer.write_text(text[: text.rindex("[[model]]")])
    outcome = ask(court.pool.copy, pool=fewer)
    assert outcome.code == 4
    assert "18 references are fewer than the 19" in outcome.json()["reason"]


def test_the_judges_rate_goes_before_the_sealed_one(court: Court, ask: Run) -> None:
    outcome = ask(court.pool.copy, fpr=0.01)
    assert outcome.code == 4
    assert "19 references are too few for an error rate of 0.01" in outcome.json()["reason"]


@pytest.mark.parametrize("seals", [0, -1])
def test_fewer_seals_than_one_are_refused(court: Court, ask: Run, seals: int) -> None:
    outcome = ask(court.pool.copy, seals=seals)
    assert (outcome.code, outcome.out) == (1, "")
    assert f"at least 1; found {seals}" in outcome.err


def edited_json(path: Path, target: Path, **changes: Any) -> Path:  # noqa: ANN401 - whatever JSON holds
    target.write_text(json.dumps({**json.loads(path.read_text()), **changes}))
    return target


@pytest.mark.parametrize(("changes", "said"), [
    ({"fpr": 0.2}, "does not open the seal"),
    ({"claimant": "Somebody Else"}, "does not open the seal"),
    ({"format": 3}, "format version 3 and this release reads 1 and 2"),
    ({"format": 0}, "format version 0 and this release reads 1 and 2"),
])  # fmt: skip
def test_an_edited_opening_is_refused(
    court: Court, ask: Run, tmp_path: Path, changes: dict[str, Any], said: str
) -> None:
    opening = edited_json(court.seal.with_suffix(".opening.json"), tmp_path / "opening.json", **changes)
    outcome = ask(court.pool.copy, "--opening", opening)
    assert (outcome.code, outcome.out) == (1, "")
    assert said in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.parametrize(("changes", "said"), [
    ({"commitment": "0" * 64}, "does not open the seal"),
    ({"format": 7}, "format version 7 and this release reads 1"),
    ({"commitment": None}, "this is no seal"),
])  # fmt: skip
def test_an_edited_seal_is_refused(court: Court, ask: Run, tmp_path: Path, changes: dict[str, Any], said: str) -> None:
    seal = edited_json(court.seal, tmp_path / "seal.json", **changes)
    outcome = ask(court.pool.copy, "--opening", court.seal.with_suffix(".opening.json"), seal=seal)
    assert (outcome.code, outcome.out) == (1, "")
    assert said in outcome.err


def test_an_edited_claim_another_source_and_missing_files_are_refused(court: Court, ask: Run, tmp_path: Path) -> None:
    content = bytearray(court.claim.read_bytes())
    content[content.index(load_fingerprint(court.claim).images.tobytes())] ^= 1
    broken = tmp_path / "claim.safetensors"
    broken.write_bytes(bytes(content))
    missing = tmp_path / "none.json"
    for changes, said in (
        ({"claim": broken}, "the file was edited"),
        ({"source": court.pool.copy}, "The source that the seal binds has SHA-256"),
        ({"source": missing}, "none.json: no such file"),
        ({"seal": missing}, "none.json: no such file"),
        ({"pool": missing}, "none.json: the pool manifest cannot be read"),
    ):
        outcome = ask(court.pool.other, **changes)
        assert (outcome.code, outcome.out) == (1, ""), changes
        assert said in outcome.err
        assert outcome.err.count("\n") == 1
    outcome = ask(missing)
    assert outcome.code == 1
    assert "none.json: no such model file" in outcome.err


def test_one_folder_holds_one_case(court: Court, ask: Run, tmp_path: Path) -> None:
    assert ask(court.pool.other).code == 3
    assert ask(court.pool.other, nonce="11" * 16).code == 2
    second = tmp_path / "second.json"
    run_command("seal", court.claim, "--output", second)
    outcome = ask(court.pool.other, seal=second)
    assert outcome.code == 1
    assert "holds the case of another seal" in outcome.err


@pytest.mark.long
def test_foreign_images_in_the_claim_fail_the_replay_and_decide_nothing(court: Court, ask: Run, tmp_path: Path) -> None:
    """The claimant seals examples that his record does not lead to: noise that the source gets wrong."""
    claimed = load_fingerprint(court.claim)
    source = open_model(str(court.pool.source))
    random = np.random.default_rng(1)
    images, labels = claimed.images.copy(), claimed.labels.copy()
    for _ in range(300):
        noise = np.clip(claimed.seeds + random.choice([-48, 48], claimed.seeds.shape), 0, 255).astype(np.uint8)
        said = source.predict(noise).labels
        wrong = said != claimed.ground_truth
        images[wrong], labels[wrong] = noise[wrong], said[wrong]
    foreign = tmp_path / "claim.safetensors"
    save_fingerprint(dataclasses.replace(claimed, images=images, labels=labels), foreign)
    run_command("seal", foreign, "--output", tmp_path / "seal.json", "--fpr", "0.05")
    changes = {"claim": foreign, "seal": tmp_path / "seal.json", "workdir": tmp_path / "case"}
    outcome = ask(court.pool.other, "--claimant-pool", court.claimant, **changes)
    case = outcome.json()
    assert case["consistency"]["complete"]
    assert not case["replay"]["consistent"]
    assert case["replay"]["passed"] < 5
    assert outcome.code == 3


def test_people_are_told_what_was_looked_at(court: Court, workdir: Path, run_cae: Run) -> None:
    arguments = [word for word in court.arguments(workdir, court.pool.other) if word != "--json"]
    outcome = run_cae(*arguments)
    assert outcome.code == 3
    for said in ("REJECTED", "p-value", "references", "consistency", "decides nothing", "not dated", NONCE):
        assert said in outcome.out


def test_the_case_is_kept_and_is_a_secret(court: Court, workdir: Path, ask: Run) -> None:
    case = ask(court.pool.other).json()
    (record,) = workdir.glob(f"judgement-{case['files']['suspect']['sha256'][:12]}.json")
    assert json.loads(record.read_text()) == case
    assert record.stat().st_mode & 0o077 == 0


def test_without_a_nonce_one_is_drawn_and_kept(court: Court, run_cae: Run, tmp_path: Path) -> None:
    arguments: Sequence[str] = court.arguments(tmp_path / "case", court.pool.other, seals=1000)
    arguments = list(arguments)[:-2]
    first, second = (run_cae(*arguments).json()["nonce"] for _ in range(2))
    assert first == second != NONCE
    assert len(bytes.fromhex(first)) == 16


@pytest.mark.long
def test_an_interrupted_case_goes_on(court: Court, ask: Run, tmp_path: Path) -> None:
    folder = tmp_path / "case"
    long = ("--count", "60", "--iterations", "400")
    arguments = court.arguments(folder, court.pool.other, *long)
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        program(*arguments), env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    checkpoint = folder / "fingerprint.safetensors.partial"
    deadline = time.monotonic() + 120
    while not checkpoint.exists() and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 130, errors
    assert errors.strip() == "cae: interrupted; the same command goes on where it was."
    assert checkpoint.exists()
    resumed = ask(court.pool.other, *long, workdir=folder)
    assert resumed.code in (0, 3, 4)
    whole = ask(court.pool.other, *long, workdir=tmp_path / "whole")
    assert resumed.json()["regeneration"]["fingerprint_id"] == whole.json()["regeneration"]["fingerprint_id"]


def test_the_seal_says_what_to_have_dated(court: Court, run_cae: Run, tmp_path: Path) -> None:
    outcome = run_cae("seal", court.claim, "--output", tmp_path / "seal.json", "--max-queries", "80")
    assert outcome.code == 0
    for said in ("commitment", "opening (secret)", "curl", "openssl ts -verify", "seal.tsq"):
        assert said in outcome.out
    assert (tmp_path / "seal.tsq").stat().st_size > 40
    told = run_cae("seal", court.claim, "--output", tmp_path / "other.json", "--json").json()
    assert {"seal", "commitment", "sha256", "opening", "request", "commands"} <= set(told)
    again = run_cae("seal", court.claim, "--output", tmp_path / "seal.json")
    assert (again.code, again.out) == (1, "")
    assert "there is a seal already" in again.err


def test_without_the_package_the_request_is_made_by_hand(
    court: Court, run_cae: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "rfc3161_client", None)
    told = run_cae("seal", court.claim, "--output", tmp_path / "seal.json", "--json").json()
    assert told["request"] is None
    assert told["commands"][0].startswith("openssl ts -query -data")


def test_a_signature_says_who_made_the_seal_and_decides_nothing(court: Court, ask: Run, workdir: Path) -> None:
    unsigned, signed = ask(court.pool.copy), ask(court.pool.copy, *court.signed)
    key = check_signing_key(court.keys.private)
    assert [outcome.json()["claim"].pop("signed_by") for outcome in (unsigned, signed)] == [None, key]
    same = ("outcome", "reason", "p_value", "evidence", "files", "regeneration")
    assert signed.code == unsigned.code == 4
    assert {name: signed.json()[name] for name in same} == {name: unsigned.json()[name] for name in same}
    (record,) = workdir.glob(f"judgement-{signed.json()['files']['suspect']['sha256'][:12]}.json")
    assert json.loads(record.read_text())["claim"]["signed_by"] == key


def test_people_are_told_who_signed(court: Court, run_cae: Run, tmp_path: Path) -> None:
    key = check_signing_key(court.keys.private)
    sealed = run_cae("seal", court.claim, "--output", tmp_path / "seal.json", "--signing-key", court.keys.private)
    assert sealed.code == 0
    assert "seal.sig.json" in sealed.out
    assert key in "".join(sealed.out.split())  # whatever the width of the terminal
    for more, said in ((court.signed, key), ((), "notsigned")):
        arguments = court.arguments(tmp_path / "case", court.pool.other, *more, seals=1000)
        outcome = run_cae(*(word for word in arguments if word != "--json"))
        assert outcome.code == 4
        assert said in "".join(outcome.out.split())


def test_a_wrong_signature_is_refused_before_anything_is_opened(court: Court, ask: Run, tmp_path: Path) -> None:
    """The claim is no fingerprint: whoever opened it first would complain of that."""
    broken = tmp_path / "claim.safetensors"
    broken.write_bytes(b"no fingerprint")
    edited_seal = tmp_path / "edited.json"
    edited_seal.write_bytes(court.seal.read_bytes() + b"\n")
    other, signature = make_keys(tmp_path / "other").public, court.seal.with_suffix(".sig.json")
    edited_signature = edited_json(signature, tmp_path / "sig.json", dsseEnvelope=None)
    given = ("--signature", "--claimant-key")
    for seal, evidence, said in (
        (court.seal, (signature, other), "it was made with another key"),
        (edited_seal, (signature, court.keys.public), "it is of other content"),
        (court.seal, (edited_signature, court.keys.public), "sig.json: this signature does not verify"),
        (court.seal, (signature, court.keys.private), "no public key in PEM form"),
        (court.seal, (tmp_path / "none.json", other), "none.json: cannot be read"),
        (court.seal, (signature, tmp_path / "none.pem"), "none.pem: cannot be read"),
    ):
        more = [word for pair in zip(given, evidence, strict=True) for word in pair]
        outcome = ask(court.pool.other, *more, claim=broken, seal=seal, workdir=tmp_path / "case")
        assert (outcome.code, outcome.out) == (1, ""), said
        assert said in outcome.err
        assert outcome.err.count("\n") == 1
    assert not (tmp_path / "case").exists()


def test_a_signature_and_its_key_come_together(court: Court, ask: Run) -> None:
    assert ask(court.pool.other, *court.signed[:2]).code == 2
    assert ask(court.pool.other, *court.signed[2:]).code == 2


def test_a_key_that_cannot_sign_leaves_no_seal(court: Court, run_cae: Run, tmp_path: Path) -> None:
    outcome = run_cae("seal", court.claim, "--output", tmp_path / "seal.json", "--signing-key", court.keys.public)
    assert (outcome.code, outcome.out) == (1, "")
    assert "pub.pem: this is no private key" in outcome.err
    assert not list(tmp_path.iterdir())


def test_without_the_package_nothing_is_sealed_or_judged_unverified(
    court: Court, ask: Run, run_cae: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "model_signing", None)
    seal = ("seal", court.claim, "--output", tmp_path / "seal.json")
    for outcome in (run_cae(*seal, "--signing-key", court.keys.private), ask(court.pool.other, *court.signed)):
        assert (outcome.code, outcome.out) == (1, "")
        assert "cae-fingerprint[signing]" in outcome.err
        assert outcome.err.count("\n") == 1
    assert not list(tmp_path.iterdir())
    told = run_cae(*seal, "--json").json()
    assert (told["signature"], told["signed_by"]) == (None, None)
