"""The notebooks: without outputs, and each runs from its first cell to its last one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "examples/notebooks").glob("*.ipynb"))
SLOW = 120
"""Seconds that a notebook may take of a processor."""

CHECKS = {
    "digits": """
told = {relation: [] for relation, _ in verdicts.values()}
for relation, found in verdicts.values():
    told[relation].append(found.decision.verdict)
assert told["surrogate"] == ["surrogate"] * 2, told
assert "surrogate" not in told["reference"], told
assert str(verdict).startswith("Verdict(surrogate, their service, "), verdict
assert len(calibrated.calibration.references) == 9
assert shown[-1] == ()
""",
    "keras-source-pytorch-suspects": """
assert {relation: v.decision.verdict for relation, v in verdicts.items()} == {
    "surrogate": "surrogate", "reference": "independent"
}, verdicts
assert shown[2] > 0.9, shown
""",
}


def read(path: Path) -> dict[str, Any]:
    notebook: dict[str, Any] = json.loads(path.read_text())
    return notebook


def as_script(notebook: dict[str, Any]) -> str:
    """Return the cells of code as one program, in which ``shown`` holds the value that each cell shows."""
    cells = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    return f"""
import ast
shown, names = [], globals()
for number, cell in enumerate({cells!r}):
    tree = ast.parse(cell, f"cell {{number}}")
    last = tree.body.pop() if isinstance(tree.body[-1], ast.Expr) else None
    exec(compile(tree, f"cell {{number}}", "exec"), names)
    shown.append(last and eval(compile(ast.Expression(last.value), f"cell {{number}}", "eval"), names))
"""


def test_there_are_two() -> None:
    assert [path.stem for path in NOTEBOOKS] == list(CHECKS)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path: Path) -> None:
    notebook = read(path)
    assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])
    assert notebook["cells"][0]["source"][0].startswith("# ")
    for cell in notebook["cells"]:
        assert cell["metadata"] == {}
        if cell["cell_type"] == "code":
            assert (cell["execution_count"], cell["outputs"]) == (None, [])
            compile("".join(cell["source"]), path.name, "exec")


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs(path: Path, tmp_path: Path) -> None:
    parts = os.pathsep.join(str(ROOT / part) for part in ("", "backends", "converters", "cli"))
    script = tmp_path / "notebook.py"
    told = "\nimport resource, time\nassert sum(resource.getrusage(resource.RUSAGE_SELF)[:2]) < {}, 'slow'\n"
    script.write_text(as_script(read(path)) + CHECKS[path.stem] + told.format(SLOW))
    done = subprocess.run(
        [sys.executable, script],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": parts, "TMPDIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
