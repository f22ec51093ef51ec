"""What a shell completes: the values of options that take one of a few."""

import os
import subprocess
import sys

import pytest

from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.generation.settings import PRESETS
from cae_core.statistics.exposure import ExposureRule
from cae_core.statistics.score import Score
from cae_core.statistics.unit import Unit


def completed(words: str) -> list[str]:
    """Return what bash would offer for the last one of the words."""
    given = {"_CAE_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    command = [sys.executable, "-c", "from cae_cli.main import main; import sys; sys.argv[0] = 'cae'; main()"]
    done = subprocess.run(command, env=os.environ | given, capture_output=True, text=True, check=True, timeout=120)
    return done.stdout.split()


@pytest.mark.parametrize(
    ("words", "values"),
    [
        ("cae calibrate --score ", [*Score]),
        ("cae calibrate --null ", [*NullHypothesis]),
        ("cae calibrate --exposure ", [rule for rule in ExposureRule if rule]),
        ("cae calibrate --unit r", [Unit.RECIPE]),
        ("cae generate --preset ", [*PRESETS]),
        ("cae generate --objective co", ["composite", "composite-keras"]),
        ("cae verify --defence sm", ["smooth:0.6"]),
        ("cae verify --defence bits:4+sm", ["bits:4+smooth:0.6"]),
        ("cae scan --correct ", ["bh", "holm", "none"]),
    ],
)
def test_values(words: str, values: list[str]) -> None:
    assert completed(words) == values


def test_help_begins_without_the_lists() -> None:
    listed = "import sys; from cae_cli.main import application; application(); print('numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", listed], capture_output=True, text=True, check=True, timeout=120)
    assert done.stdout.split() == ["False"]
