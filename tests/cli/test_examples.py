"""The scripts under examples/ run."""

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from onnx import helper

from tests.cli.conftest import Pool, save_graph

EXAMPLES = Path(__file__).parents[2] / "examples"


def load(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def write_manifest(pool: Pool) -> Path:
    """Describe the pool of the tests, its two held-out suspects in the role *test*."""
    rows = [("source", "source", pool.source)]
    rows += [("generate", "surrogate", path) for path in sorted(pool.surrogates.iterdir())]
    rows += [("generate", "reference", path) for path in sorted(pool.references.iterdir())]
    rows += [("test", "surrogate", pool.copy), ("test", "reference", pool.other)]
    manifest = pool.folder / "pool.toml"
    tables = [f'[[model]]\npath = "{path}"\nrole = "{role}"\nrelation = "{kind}"\n' for role, kind, path in rows]
    manifest.write_text("\n".join(tables))
    return manifest


@pytest.mark.long
def test_the_zoo_study_makes_a_table_and_repeats_nothing(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    study = load("cifar10_zoo")
    monkeypatch.setattr(study, "RADII", {"48/255": 48 / 255})
    ways = {
        "default": {"preset": "default", "tau": 0.5, "count": 10},
        "hopeless": {"preset": "report", "tau": 0.99, "max_seeds": 20, "iterations": 2},
    }
    monkeypatch.setattr(study, "WAYS", ways)
    arguments = ["--pool", str(write_manifest(pool)), "--data", "digits", "--output", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["cifar10_zoo", *arguments])
    study.main()
    table = (tmp_path / "table.md").read_text()
    assert "| copy | surrogate" in table
    assert "10 from" in table
    assert "0 from 20" in table
    before = {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")}
    study.main()
    assert {path: path.stat().st_mtime_ns for path in tmp_path.glob("*.json")} == before


@pytest.mark.long
def test_settings_are_compared_on_the_screen_members_only(
    pool: Pool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = load("screen_settings")
    manifest = write_manifest(pool)
    manifest.write_text(manifest.read_text().replace('role = "test"', 'role = "screen"'))
    arguments = ["--pool", str(manifest), "--data", "digits", "--eps", "48/255"]
    tries = ["--try", "tau=0.5 count=10", "--try", "tau=0.99 iterations=1 max_seeds=10"]
    monkeypatch.setattr("sys.argv", ["screen_settings", *arguments, *tries])
    script.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[2].startswith("| tau=0.5 count=10 | 10 from")
    surrogates, references = (float(cell) for cell in lines[2].split("|")[3:5])
    assert surrogates > references
    assert "| 0 from 10 |" in lines[3]


@pytest.mark.long
@pytest.mark.parametrize("name", ["keras_source_pytorch_suspects", "torch_source_keras_suspects"])
def test_a_source_of_one_framework_and_suspects_of_the_other(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setattr("sys.argv", [name, "--output", str(tmp_path)])
    found = load(name).main()
    assert found["auc"] == 1
    assert min(found["surrogate"]) - max(found["reference"]) > 0.1
    captured = capsys.readouterr()
    assert captured.out.count("CAEAcc") == 4
    assert captured.err == ""


@pytest.mark.long
def test_the_coverage_of_operators_is_a_table_of_operators_and_models(
    pool: Pool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = load("operator_coverage")
    odd = tmp_path / "odd.onnx"
    nodes = [helper.make_node("Flatten", ["image"], ["x"]), helper.make_node("Hardmax", ["x"], ["logits"], name="head")]
    save_graph(odd, nodes, {})
    output = tmp_path / "coverage"
    arguments = ["--families", "squeezenet1_1", "--onnx", str(pool.source), str(odd), "--output", str(output)]
    monkeypatch.setattr("sys.argv", ["operator_coverage", *arguments])
    script.main()
    lines = (output / "operators.md").read_text().splitlines()
    assert "| Relu | 14 (18) | onnx2torch | squeezenet1_1 | 1 of 1 |" in lines
    assert "| ReduceMean | 18 (18) | this project | squeezenet1_1 | 1 of 1 |" in lines
    assert "| Hardmax | 13 (17) | nobody | odd | 0 of 1 |" in lines
    rows = {line.split(" | ")[0]: line for line in lines}
    assert rows["| squeezenet1_1"].endswith("| yes |")
    assert rows["| source"].endswith("| yes |")
    assert "no: odd.onnx: operator Hardmax (opset 17, node 'head') cannot be converted" in rows["| odd"]
    before = {path: path.stat().st_mtime_ns for path in output.glob("*.json")}
    script.main()
    assert {path: path.stat().st_mtime_ns for path in output.glob("*.json")} == before
