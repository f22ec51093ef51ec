"""The recipe for CI: its script on real models, and what workflow and hook run, in a repository of their own."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Pool
from tests.output_schema import check_value

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "examples/ci"

STUB = """#!/bin/sh
# answers as `cae` does, by the name of the suspect
case $1 in
verify)
    case $3 in
    *copy*) echo '{"verdict": "surrogate"}'; exit 3 ;;
    *unsure*) echo '{"verdict": "inconclusive"}'; exit 4 ;;
    *broken*) echo 'cae: no model' >&2; exit 1 ;;
    esac
    echo '{"verdict": "independent"}' ;;
statement) [ "$7" != unwritable ] && cp "$3" "$7" ;;
esac
"""


def shell(folder: Path, command: str, *, path: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command in ``folder``, with what is in ``path`` before all other programs."""
    environment = {**os.environ, "PATH": f"{path}{os.pathsep}{os.environ['PATH']}", "CAE_FINGERPRINT": "f", **more}
    return subprocess.run(
        ["sh", "-c", command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )


def program(folder: Path, text: str) -> Path:
    """Write a program `cae` into a folder of its own."""
    folder.mkdir()
    (folder / "cae").write_text(text)
    (folder / "cae").chmod(0o755)
    return folder


@pytest.fixture
def stub(tmp_path: Path) -> Path:
    return program(tmp_path / "bin", STUB)


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with the script in its tools, and models in two folders."""
    folder = tmp_path / "repository"
    for name in ("models/fine.onnx", "models/the copy.keras", "other/unsure.onnx", "notes.txt"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    (folder / "tools").mkdir()
    shutil.copy(RECIPE / "verify-models.sh", folder / "tools")
    for command in (("init", "-q"), ("add", ".")):
        subprocess.run(["git", *command], cwd=folder, check=True)
    return folder


def step(name: str) -> str:
    """Return what a step of the workflow runs."""
    found = re.search(
        rf"- name: {name}\n(?: {{8}}.*\n)*? {{8}}run: \|\n((?: {{10}}.*\n)+)", (RECIPE / "workflow.yml").read_text()
    )
    assert found is not None
    return "\n".join(line.strip() for line in found[1].splitlines())


@pytest.mark.parametrize(
    ("models", "strict", "code"),
    [
        ("fine.onnx", "", 0),
        ("fine.onnx unsure.onnx", "", 0),
        ("fine.onnx unsure.onnx", "1", 4),
        ("copy.onnx fine.onnx", "", 3),
        ("broken.onnx copy.onnx unsure.onnx", "1", 3),
        ("broken.onnx unsure.onnx", "1", 1),
        ("-broken.onnx", "", 1),
        ("", "1", 0),
    ],
)
def test_the_exit_code_says_what_is_worst(stub: Path, tmp_path: Path, models: str, strict: str, code: int) -> None:
    done = shell(tmp_path, f"sh {RECIPE}/verify-models.sh {models}", path=stub, CAE_STRICT=strict)
    assert done.returncode == code, done
    assert done.stdout.count("\n") == len(models.split())
    kept = [path for path in (tmp_path / "verdicts").iterdir() if path.name.endswith("statement.json")]
    assert len(kept) == sum("broken" not in model for model in models.split())


def test_two_models_of_one_name_keep_their_verdicts_apart(stub: Path, tmp_path: Path) -> None:
    done = shell(tmp_path, f"sh {RECIPE}/verify-models.sh a/copy.onnx b/copy.onnx", path=stub, CAE_VERDICTS="v")
    assert done.returncode == 3
    assert len(list((tmp_path / "v").iterdir())) == 4


def test_without_a_fingerprint_nothing_is_said(stub: Path, tmp_path: Path) -> None:
    done = shell(tmp_path, f"sh {RECIPE}/verify-models.sh fine.onnx", path=stub, CAE_FINGERPRINT="")
    assert done.returncode != 0
    assert "name the file of the fingerprint" in done.stderr


def test_the_workflow_verifies_every_model_file_of_the_repository(stub: Path, repository: Path) -> None:
    done = shell(repository, step("Verify the models"), path=stub)
    assert done.returncode != 0
    assert "models/the copy.keras: surrogate: judged to be derived from the source" in done.stdout
    assert "models/fine.onnx: independent: no evidence" in done.stdout
    assert "other/unsure.onnx: inconclusive" in done.stdout
    assert "notes.txt" not in done.stdout
    (repository / "models/the copy.keras").unlink()
    subprocess.run(["git", "add", "-A"], cwd=repository, check=True)
    assert shell(repository, step("Verify the models"), path=stub).returncode == 0


def test_the_hook_runs_the_script_on_the_files_that_its_pattern_takes(stub: Path, repository: Path) -> None:
    hook = dict(re.findall(r"^ {8}(\w+): (.+)$", (RECIPE / "pre-commit-config.yaml").read_text(), re.MULTILINE))
    files = subprocess.run(["git", "ls-files"], cwd=repository, capture_output=True, text=True, check=True).stdout
    taken = [f"'{name}'" for name in files.splitlines() if re.search(hook["files"], name)]
    assert len(taken) == 3
    assert shell(repository, f"{hook['entry']} {' '.join(taken)}", path=stub).returncode == 3


def test_a_copy_among_real_models_is_found(pool: Pool, fingerprint: Path, tmp_path: Path) -> None:
    parts = os.pathsep.join(str(ROOT / part) for part in ("", "backends", "converters", "cli"))
    cae = program(tmp_path / "bin", f'#!/bin/sh\nPYTHONPATH={parts} exec {sys.executable} -m cae_cli "$@"\n')
    command = f"sh {RECIPE}/verify-models.sh {pool.copy} {pool.other} {tmp_path / 'none.onnx'}"
    done = shell(tmp_path, command, path=cae, CAE_FINGERPRINT=str(fingerprint))
    assert done.returncode == 3, done
    assert [line.partition(": ")[2].split(" (")[0] for line in done.stdout.splitlines()] == [
        "surrogate: judged to be derived from the source",
        "independent: no evidence of derivation was found",
        "it could not be verified",
    ]
    check_value("verify", json.loads((tmp_path / "verdicts/1-copy.onnx.json").read_text()))
    check_value("in-toto-statement", json.loads((tmp_path / "verdicts/2-other.onnx.statement.json").read_text()))
