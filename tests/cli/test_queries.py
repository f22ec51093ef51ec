"""`cae queries export`, a technician without `cae`, and `cae verify` with what he recorded."""

import csv
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
from PIL import Image

from tests.cli.conftest import Pool, Run
from tests.cli.test_bad_input import assert_one_sentence

ALLOWED = "--allow-extrapolation"


def record(folder: Path, model: Path) -> Path:
    """Answer by ONNX Runtime, Pillow and the standard library."""
    session = onnxruntime.InferenceSession(str(model))
    rows = list(csv.DictReader((folder / "index.csv").read_text(encoding="utf-8").splitlines()))
    for row in rows:
        pixels = np.asarray(Image.open(folder / "images" / row["file"]), np.float32) / 255
        row["label"] = str(np.asarray(session.run(None, {"image": pixels.reshape(1, 8, 8, 1)})[0]).argmax())
    answers = folder.parent / "answers.csv"
    with answers.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["export", "file", "label"])
        writer.writeheader()
        writer.writerows(rows)
    return answers


def test_recorded_answers_are_judged_as_asked_ones(calibrated: Path, pool: Pool, tmp_path: Path, run_cae: Run) -> None:
    own = Path(shutil.copy(calibrated, tmp_path / "own.safetensors"))
    told = run_cae("queries", "export", own, tmp_path / "out", "--suspect", "Acme \x1b[2J", "--json").json()
    answers = record(tmp_path / "out", pool.source)
    verdict = run_cae("verify", "-s", answers, "-f", own, ALLOWED, "--json").json()
    asked = run_cae("verify", "-s", pool.source, "-f", own, ALLOWED, "--no-ledger", "--json").json()
    for name in ("verdict", "p_value", "caeacc", "matches", "asked", "benign_accuracy"):
        assert verdict[name] == asked[name], name
    assert verdict["verdict"] == "surrogate"
    assert (verdict["attested"], sum(verdict["queries"].values())) == (False, told["images"])
    (tmp_path / "verdict.json").write_text(run_cae("verify", "-s", answers, "-f", own, ALLOWED, "--json").out)
    text = run_cae("verify", "--replay", tmp_path / "verdict.json", "-f", own).out
    assert "the recorded answers give the recorded verdict" in text
    assert "SURROGATE  Acme \\x1b[2J" in text
    assert "only whoever recorded them can vouch" in text
    report = run_cae("report", "--verdict", tmp_path / "verdict.json", "-f", own, "--output", tmp_path / "r.html")
    assert report.code == 0
    assert "recorded answers" in (tmp_path / "r.html").read_text(encoding="utf-8")


def test_a_mistake_is_one_sentence(calibrated: Path, tmp_path: Path, run_cae: Run) -> None:
    own = Path(shutil.copy(calibrated, tmp_path / "own.safetensors"))
    (tmp_path / "a.csv").write_text(f"export,file,label\n{'0' * 32},a.png,0\n")
    assert_one_sentence(run_cae("verify", "-s", tmp_path / "a.csv", "-f", own), "knows of no questions", code=1)
    assert_one_sentence(run_cae("verify", "-s", tmp_path / "b.csv", "-f", own), "no such file", code=1)
    sequential = run_cae("verify", "-s", tmp_path / "a.csv", "-f", own, "--no-ledger")
    assert_one_sentence(sequential, "leave --contract", code=2)
