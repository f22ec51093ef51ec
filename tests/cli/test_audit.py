"""The audit script of examples/: a folder and a service, kept as JSON, told by the exit code."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from tests.backends.services.service import serving
from tests.cli.conftest import CONTRACT, save_graph
from tests.cli.test_service import GOLDEN, SERVICE

SCRIPT = Path(__file__).parents[2] / "examples" / "audit.sh"
BASH = shutil.which("bash")

pytestmark = pytest.mark.skipif(BASH is None, reason="the script is one of bash")


def audit(folder: Path, *arguments: object) -> "subprocess.CompletedProcess[str]":
    environment = {**os.environ, "CAE": f"{sys.executable} -m cae_cli", "CAE_TEST_TOKEN": "t"}
    command = [str(BASH), str(SCRIPT), *map(str, arguments)]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_a_folder_and_a_service_are_judged_and_kept(tmp_path: Path) -> None:
    own = Path(shutil.copy(GOLDEN, tmp_path / "own.safetensors"))
    weights = {"w": np.zeros((60, 3), np.float32)}
    nodes = [
        helper.make_node("Flatten", ["image"], ["x"], axis=1),
        helper.make_node("MatMul", ["x", "w"], ["logits"]),
    ]
    save_graph(tmp_path / "models" / "a.onnx", nodes, weights, shape=("n", 4, 5, 3), metadata=CONTRACT)
    with serving() as served:
        (tmp_path / "service.toml").write_text(SERVICE.format(url=served.url))
        ran = audit(tmp_path, own, "models", "service.toml", "found")
        asked = len(served.asked)
        again = audit(tmp_path, own, "models", "service.toml", "found")
        assert (asked > 0, len(served.asked)) == (True, asked)  # who was judged is not asked again
    scan, service = (json.loads((tmp_path / "found" / f"{name}.json").read_text()) for name in ("scan", "service"))
    verdicts = {*(row["verdict"] for row in scan["rows"]), service["verdict"]}
    assert verdicts <= {"surrogate", "inconclusive", "independent"}
    expected = 3 if "surrogate" in verdicts else 4 if "inconclusive" in verdicts else 0
    assert (ran.returncode, again.returncode) == (expected, expected), ran.stderr
    assert json.loads((tmp_path / "found" / "scan.sarif").read_text())["version"] == "2.1.0"
    assert len((tmp_path / "found" / "scan.jsonl").read_text().splitlines()) == 2


def test_what_cannot_be_done_is_told(tmp_path: Path) -> None:
    usage = audit(tmp_path, "f.safetensors")
    assert (usage.returncode, usage.stderr) == (2, "audit.sh FINGERPRINT MODELS SERVICE [OUTPUT]\n")
