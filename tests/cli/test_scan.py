"""`cae scan`: a folder, from the command line to the exit code; killed and given again; on a cluster."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from cae_backends.datasets import open_data
from tests.cli.conftest import CalibrationPool, Pool, Run, fit_quickly, write_onnx
from tests.core.scan.sarif_schema import faults_of

DECIDING = ("verdict", "p_value", "p_value_surrogate", "score", "matches", "asked", "reason", "nonce", "contract")


@pytest.fixture
def models(pool: Pool, tmp_path: Path) -> Path:
    """Two suspects, one of them twice, and a file that is broken."""
    folder = tmp_path / "models"
    (folder / "more").mkdir(parents=True)
    shutil.copy(pool.copy, folder / "copy.onnx")
    shutil.copy(pool.copy, folder / "more" / "same.onnx")
    shutil.copy(pool.other, folder / "other.onnx")
    (folder / "broken.onnx").write_bytes(b"no model")
    return folder


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def deciding(path: Path) -> dict[str, list[Any]]:
    return {line["suspect"]["name"]: [line.get(name) for name in DECIDING] for line in lines(path)[1:]}


def command(folder: Path, fingerprint: Path, output: Path, *more: str) -> list[str]:
    return ["scan", str(folder), "-f", str(fingerprint), "-o", str(output), "--allow-extrapolation", *more]


def test_a_folder(calibrated: Path, models: Path, tmp_path: Path, run_cae: Run) -> None:
    """One subprocess, as a user's: what a library call's fork of this process would know is not asked here."""
    ledger, sarif = tmp_path / "ledger.jsonl", tmp_path / "scan.sarif"
    arguments = command(models, calibrated, tmp_path / "scan.jsonl", "--workers", "2", "--ledger", str(ledger))
    ran = subprocess.run(
        [sys.executable, "-m", "cae_cli", *arguments, "--json", "--exit-code", "--sarif", str(sarif)],
        capture_output=True,
        text=True,
        check=False,
    )
    told = json.loads(ran.stdout)
    assert (ran.returncode, ran.stderr) == (3, "")
    assert told["counts"] == {"surrogate": 1, "inconclusive": 1, "independent": 0, "failed": 1}
    assert (told["suspects"], told["models"], told["correction"], told["asked_now"]) == (4, 3, "bh", 3)
    assert [(Path(row["name"]).name, row["others"]) for row in told["rows"]] == [
        *(("copy.onnx", 1), ("other.onnx", 0), ("broken.onnx", 0)),
    ]
    assert told["rows"][0]["p_adjusted"] == pytest.approx(0.3)  # three at 0.1 each, and 0.2 is the rate
    assert told["accused"] == 0
    head, *found = lines(tmp_path / "scan.jsonl")
    assert {line["family"] for line in found} == {head["family"]}
    by_name = {Path(line["suspect"]["name"]).name: line for line in found}
    assert by_name["same.onnx"]["same_as"] == str(models / "copy.onnx")
    assert "cannot open this file" in by_name["broken.onnx"]["error"]
    assert by_name["copy.onnx"]["containment"] == ("sandbox" if sys.platform == "linux" else "limits")
    assert [line["event"] for line in lines(ledger)].count("ended") == 2  # one entry a model
    assert faults_of(json.loads(sarif.read_text())) == []
    again = run_cae(*arguments, "--workers", "1")
    assert "3 models by p" in again.out
    assert "With all models counted, 0 are accused, at " in again.out
    assert "(Benjamini-Hochberg: " in again.out
    assert len(lines(ledger)) == 4 * 2 - 2  # nobody was asked again
    judged = run_cae("verify", "-s", models / "copy.onnx", "-f", calibrated, "--no-ledger", "--allow-extrapolation")
    assert judged.out.startswith("SURROGATE") or "surrogate" in judged.out


@pytest.mark.long
def test_contracts_that_nobody_states_are_found_as_verify_finds_them(
    calibrated: Path, pool: Pool, tmp_path: Path, run_cae: Run
) -> None:
    """Workers of their own get the images; the same scan does not go on by others."""
    train = open_data("digits", split="train")
    (tmp_path / "models").mkdir()
    unstated, output = tmp_path / "models" / "unstated.onnx", tmp_path / "scan.jsonl"
    write_onnx(unstated, fit_quickly(0, train.images[:400], train.labels[:400]), gain=1 / 255, metadata={})
    shutil.copy(pool.other, tmp_path / "models" / "stated.onnx")
    arguments = command(tmp_path / "models", calibrated, output, "--no-ledger")
    without = run_cae(*arguments, "--workers", "1")
    assert without.code == 0, without.err
    failed = next(line for line in lines(output) if "error" in line)
    assert "does not say what it takes" in failed["error"]
    refused = run_cae(*arguments, "--workers", "1", "--data", "digits")
    assert refused.code == 1
    assert "other labelled images" in refused.err
    output.unlink()
    ran = [sys.executable, "-m", "cae_cli", *arguments, "--workers", "2", "--data", "digits"]
    subprocess.run(ran, check=True, capture_output=True)
    found = {Path(line["suspect"]["name"]).name: line for line in lines(output)[1:]}
    asked = ("-s", unstated, "-f", calibrated, "--allow-extrapolation", "--no-ledger", "--data", "digits", "--json")
    alone = run_cae("verify", *asked).json()
    line = found["unstated.onnx"]
    assert (line["contract"], line["verdict"]) == (alone["contract"]["sha256"], alone["verdict"])
    assert (line["matches"], line["benign_accuracy"]) == (alone["matches"], alone["benign_accuracy"])
    assert "error" not in found["stated.onnx"]
    went_on = run_cae(*arguments, "--workers", "1", "--data", "digits")
    assert went_on.code == 0, went_on.err
    assert len(lines(output)) == 3
    assert run_cae(*arguments, "--workers", "1", "--data", "digits", "--split", "train").code == 1


@pytest.mark.skipif(sys.platform != "linux", reason="asks the system which file a descriptor is of")
def test_what_the_ledger_says_of_a_suspect_is_on_the_disk_before_its_line_is(
    calibrated: Path, models: Path, tmp_path: Path, run_cae: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    output, ledger = tmp_path / "scan.jsonl", tmp_path / "ledger.jsonl"
    fsync, on_disk, waits = os.fsync, b"", Counter[str]()

    def noted(descriptor: int) -> None:
        nonlocal on_disk
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        waits[path.name] += 1
        if path == ledger:
            on_disk = ledger.read_bytes()
        elif path == output:
            told = [json.loads(line) for line in on_disk.splitlines()]
            ended = {line["suspect"] for line in told if line["event"] == "ended"}
            judged = {line["suspect"]["sha256"] for line in lines(output)[1:] if "error" not in line}
            assert judged <= ended
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", noted)
    told = run_cae(*command(models, calibrated, output, "--workers", "1", "--ledger", str(ledger)))
    assert told.code == 0, told.err
    assert len(lines(output)) == 5
    assert waits["ledger.jsonl"] == 2 * 2  # of either, before its questions and before its line


def test_other_scans_and_bad_options_are_refused(calibrated: Path, models: Path, tmp_path: Path, run_cae: Run) -> None:
    output = tmp_path / "scan.jsonl"
    assert run_cae(*command(models / "other.onnx", calibrated, output, "--no-ledger", "--workers", "1")).code == 0
    before = output.read_bytes()
    refused = run_cae(*command(models, calibrated, output, "--no-ledger", "--workers", "1"))
    assert refused.code == 1
    assert "the output of a scan of other models" in refused.err
    assert output.read_bytes() == before
    assert "Take --correct holm" not in refused.err
    assert run_cae(*command(models, calibrated, output, "--correct", "what")).code == 2
    assert run_cae(*command(models, calibrated, output, "--ledger", "x", "--no-ledger")).code == 2
    assert run_cae(*command(models, calibrated, output, "--cluster", "tcp://127.0.0.1:9", "--workers", "2")).code == 2
    nobody = run_cae(*command(tmp_path / "no", calibrated, output))
    assert "no such folder, list, manifest or model" in nobody.err


def test_a_simulated_defence_is_told_everywhere(calibrated: Path, models: Path, tmp_path: Path, run_cae: Run) -> None:
    """Where every answer is drawn, nobody is a copy."""
    output = tmp_path / "scan.jsonl"
    arguments = command(models, calibrated, output, "--no-ledger", "--workers", "1")
    assert run_cae(*arguments, "--defence", "magic:1").code == 2
    refused = run_cae(*arguments, "--defence", "random:1", "--sarif", str(tmp_path / "scan.sarif"))
    assert refused.code == 2
    assert "findings" in refused.err
    assert not output.exists()
    told = run_cae(*arguments, "--defence", "random:1")
    assert "Simulated: every suspect had the defence random:1" in told.out
    head, *found = lines(output)
    assert head["options"]["defence"] == "random:1"
    judged = [line for line in found if "verdict" in line]
    assert len(judged) == 3  # one of them twice
    for line in judged:
        assert line["defence"] == "random:1"
        assert line["verdict"] != "surrogate"
    again = run_cae(*arguments, "--defence", "random:1", "--json").json()
    assert (again["defence"], again["asked_now"]) == ("random:1", 0)
    assert "other options" in run_cae(*arguments).err  # without the defence it is another scan


def test_a_pool_is_told_with_its_roles(
    calibrated: Path, calibration_pool: CalibrationPool, tmp_path: Path, run_cae: Run
) -> None:
    """And the whole verdict of a line is derived again."""
    manifest, output = calibration_pool.copied(tmp_path), tmp_path / "scan.jsonl"
    more = ("--no-ledger", "--workers", "1", "--role", "source", "--json", "--full")
    told = run_cae(*command(manifest, calibrated, output, *more))
    (row,) = told.json()["rows"]
    assert (row["role"], row["relation"], row["verdict"]) == ("source", "source", "surrogate")
    assert told.code == 0
    assert lines(output)[1]["is_source"] == "file"
    (tmp_path / "verdict.json").write_text(json.dumps(lines(output)[1]["record"]))
    replayed = run_cae("verify", "--replay", tmp_path / "verdict.json", "-f", calibrated)
    assert "the recorded answers give the recorded verdict" in replayed.out


def test_the_plan_says_what_many_suspects_take(run_cae: Run, calibration_pool: CalibrationPool) -> None:
    arguments = ("calibrate", "--plan", "--pool", calibration_pool.manifest, "--fpr", "0.05", "--suspects", "20")
    plan = run_cae(*arguments, "--json").json()["scan"]
    assert plan["least"] is None
    assert [(t["copies"], t["benjamini_hochberg"], t["holm"]) for t in plan["takes"]] == [
        *((1, 399, 399), (2, 199, 399), (10, 39, 399), (20, 19, 399)),
    ]
    assert "no copy among 20 suspects can be found at 0.05" in run_cae(*arguments).out
    assert run_cae("calibrate", "--suspects", "20", "-f", "x").code == 2


def test_killed_at_any_moment_it_goes_on_to_the_same_end(
    calibrated: Path, models: Path, tmp_path: Path, run_cae: Run
) -> None:
    """By a signal that nobody can catch; the first line, and with it the nonce, is there before anybody is asked."""
    output, ledger = tmp_path / "scan.jsonl", tmp_path / "ledger.jsonl"
    arguments = command(models, calibrated, output, "--workers", "1", "--ledger", str(ledger))
    process = subprocess.Popen([sys.executable, "-m", "cae_cli", *arguments], stdout=subprocess.DEVNULL)
    while process.poll() is None and not (output.exists() and len(output.read_bytes().splitlines()) > 1):
        pass
    process.send_signal(signal.SIGKILL)
    process.wait()
    head = lines(output)[0]
    kept = output.read_bytes()
    output.write_bytes(kept + b'{"scan": 1, "fam')  # as a crash of the machine leaves it
    assert run_cae(*arguments).code == 0
    assert output.read_bytes().startswith(kept)
    whole = deciding(output)
    assert len(whole) == 4
    output.write_bytes(json.dumps(head).encode() + b"\n")
    assert run_cae(*arguments).code == 0
    assert deciding(output) == whole
    begun = [line["id"] for line in lines(ledger) if line["event"] == "begun"]
    assert len(set(begun)) == 2  # a run that goes on writes into the entries that are there


def test_interrupted_it_says_that_it_goes_on(calibrated: Path, models: Path, tmp_path: Path) -> None:
    output = tmp_path / "scan.jsonl"
    process = subprocess.Popen(
        [sys.executable, "-m", "cae_cli", *command(models, calibrated, output, "--workers", "1", "--no-ledger")],
        stderr=subprocess.PIPE,
        text=True,
    )
    while process.poll() is None and not (output.exists() and output.read_bytes()):
        pass
    process.send_signal(signal.SIGINT)
    told = process.communicate(timeout=60)[1]
    assert (process.returncode, told) in (
        (130, "cae: interrupted; the same command goes on where it was.\n"),
        (0, ""),  # it was through
    )
