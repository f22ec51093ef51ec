"""The example of a plug-in, installed beside the package as its users do, and used from outside."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cae_backends.datasets import open_data

ROOT = Path(__file__).parents[2]
Python = Callable[..., str]


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Python:
    """Run Python where the plug-in is installed, and return what it prints."""
    folder = tmp_path_factory.mktemp("plugin")
    shutil.copytree(ROOT / "examples/plugin", folder / "source")  # the build leaves files beside it
    offline = ["--no-deps", "--no-build-isolation", "--no-index", "--disable-pip-version-check", "--quiet"]
    install: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "install",
        *offline,
        "--target",
        folder / "site",
        folder / "source",
    ]
    subprocess.run(install, check=True, capture_output=True)
    path = os.pathsep.join([str(folder / "site"), *(str(ROOT / x) for x in ("", "backends", "converters", "cli"))])

    def run(*arguments: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, *arguments],
            env={**os.environ, "PYTHONPATH": path},
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    return run


def write_linear(path: Path) -> None:
    """Write a linear model of digits, by least squares."""
    data = open_data("digits", split="train")
    pixels = data.images.reshape(len(data), -1) / 255
    wanted = np.eye(10)[data.labels]
    solved = np.linalg.lstsq(np.c_[pixels, np.ones(len(pixels))], wanted, rcond=None)[0]
    path.write_text(json.dumps({"weights": solved[:-1].T.tolist(), "bias": solved[-1].tolist()}))


CONFORMS = """
import sys
from importlib.metadata import entry_points
from cae_backends.datasets import open_data
from cae_backends.training.kinds.foreign import foreign_names
from cae_backends.training.kinds.table import find_kind
from cae_core import open_model
from cae_core.testing import check_differentiable, check_model
import cae_example_plugin
assert "site" in cae_example_plugin.__file__, cae_example_plugin.__file__
data = open_data("digits", split="test").subset(range(64))
check_model(open_model(sys.argv[1]), data.images, classes=10)
white = open_model(sys.argv[1], gradients=True)
check_differentiable(white, data.images)
assert foreign_names() == ("confident answers",)
print((white.predict(data.images).labels == data.labels).mean())
print(find_kind("confident answers").starts_from, find_kind("confident answers, then pruned").starts_from)
"""

STEALS = """
import numpy as np
from cae_backends.training.kinds.setup import Setup
from cae_backends.training.kinds.table import find_kind
from cae_backends.training.recipe import Recipe
from tests.backends.blobs import blobs
from tests.backends.third_party import TRAINER
data, seen = blobs(), []
pixels = data.images.reshape(len(data), -1) / 255
truth = np.linalg.lstsq(pixels, np.eye(len(data.class_names))[data.labels], rcond=None)[0]
def teacher(images):
    seen.append(len(images))
    return images.reshape(len(images), -1) @ truth.astype(np.float32)
recipe = Recipe(epochs=6, batch_size=16, learning_rate=0.5)
made = find_kind("confident answers").make(
    teacher, Setup(trainer=TRAINER, data=data, architecture="linear", seed=0, recipe=recipe)
)
print(seen[0] - len(data), sum(seen[1:]) - (len(data) + 1) // 2)
answers = made.network.logits(np.float32(data.images) / 255).argmax(axis=1)
print((answers == teacher(np.float32(data.images) / 255).argmax(axis=1)).mean())
"""


def test_its_backend_conforms_and_its_theft_is_known(python: Python, tmp_path: Path) -> None:
    write_linear(tmp_path / "model.linear")
    accuracy, kinds = python("-c", CONFORMS, tmp_path / "model.linear").splitlines()
    assert float(accuracy) > 0.8
    assert kinds == "answers answers"


def test_a_suspect_of_its_form_is_judged(python: Python, fingerprint: Path, tmp_path: Path) -> None:
    write_linear(tmp_path / "model.linear")
    asked = ("--suspect", tmp_path / "model.linear", "--fingerprint", fingerprint, "--no-ledger", "--json")
    verdict = json.loads(python("-m", "cae_cli", "verify", *asked))
    assert verdict["containment"]["child"]
    assert verdict["verdict"] in ("independent", "inconclusive")
    assert verdict["unanswered"] == 0


def test_its_theft_trains_on_what_the_source_is_sure_of(python: Python) -> None:
    asked, agreement = python("-c", STEALS).splitlines()
    assert asked == "0 0"
    assert float(agreement) > 0.9
