"""`cae compare` on perceptrons of digits."""

import csv
from pathlib import Path

import pytest

from tests.cli.conftest import CalibrationPool, Run


@pytest.fixture(scope="module")
def compared(calibration_pool: CalibrationPool, tmp_path_factory: pytest.TempPathFactory) -> list[str | Path]:
    """Return a quick comparison on the screen role: the pool has no models to test."""
    folder = tmp_path_factory.mktemp("arena")
    methods = ("ours:eps=48/255", "akh:random", "pgd:eps=48/255,steps=5", "random")
    return [
        *("compare", "--pool", calibration_pool.manifest, "--data", "digits", "--role", "screen"),
        *("--queries", "10,30", "--fpr", "0.1", "--output", folder / "comparison"),
        *(word for method in methods for word in ("--method", method)),
    ]


def test_methods_are_compared_and_the_tables_written(run_cae: Run, compared: list[str | Path]) -> None:
    outcome = run_cae(*compared)
    assert outcome.code == 0, outcome.err
    assert "3 surrogates and 3 references of the role screen, among 9 references" in outcome.out
    folder = next(part for part in compared if isinstance(part, Path) and part.name == "comparison")
    table = (folder / "comparison.csv").read_text().splitlines()
    rows = [row for row in csv.DictReader(table) if row["kind"] == "all"]
    assert [(row["method"], row["budget"]) for row in rows][:3] == [
        ("ours:eps=48/255", "10"),
        ("ours:eps=48/255", "30"),
        ("akh:random", "10"),
    ]
    assert float(rows[3]["auc"]) > 0.9  # copies repeat the source's errors
    assert (folder / "comparison.md").read_text().startswith("# Comparison")
    again = run_cae(*compared, "--json").json()
    assert [each["queries"] for each in again["outcomes"]][:2] == [10, 30]
    assert again["settings"]["role"] == "screen"


def test_the_methods_are_listed(run_cae: Run) -> None:
    outcome = run_cae("compare", "--list")
    assert outcome.code == 0
    assert "ours-report" in outcome.out
    assert "eps-16" in outcome.out
    listed = run_cae("compare", "--list", "--json").json()["methods"]
    assert {"ours-report", "sac"} <= {method["name"] for method in listed}


@pytest.mark.parametrize(
    ("changed", "code", "sentence"),
    [
        (("--method", "pdg"), 2, "There is no method 'pdg'; there are ours"),
        (("--method", "pgd:eps=0"), 2, "pgd: eps must be at least 1/255"),
        (("--pool", "nowhere.toml"), 1, "nowhere.toml"),
        (("--role", "calibrate"), 2, "The suspects are of the role test or screen; found calibrate"),
        (("--role", "test"), 1, "no surrogate of the role test"),
        (("--queries", "ten"), 2, "expected whole numbers"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    run_cae: Run, compared: list[str | Path], changed: tuple[str, ...], code: int, sentence: str
) -> None:
    arguments = [*compared, *changed] if changed[0] != "--method" else [*compared[:13], *changed]
    outcome = run_cae(*arguments)
    assert outcome.code == code
    assert sentence in " ".join(outcome.err.replace("│", " ").split())
