"""TensorFlow and triton end the process when they are imported in the wrong order: no user of ours meets that.

Each test is one fresh process that really opens a model file with each backend and pulls a gradient back.
"""

import os
import subprocess
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from itertools import combinations, permutations
from pathlib import Path

import pytest
import torch
from torch import nn

from cae_converters.torch_to_onnx import export_torch
from cae_core.contract import Contract
from tests.backends.keras_nets import convnet, saving

CONTRACT = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")
BACKENDS = ("onnxruntime", "tensorflow", "torch")
ORDERS = (
    ("torch", "tensorflow", "onnxruntime"),
    ("tensorflow", "torch", "onnxruntime"),
    ("onnxruntime", "tensorflow"),
    ("onnxruntime", "torch"),
)
"""Every pair in both orders; what comes first decides."""

PROGRAM = """
import sys
import numpy as np
from cae_core.contract import Contract
from cae_core.loaders import installed_loaders
from cae_core.models import DifferentiableModel

loaders = {loader.name: loader for loader in installed_loaders()}
folder = sys.argv[1]

def ask(backend):
    keras = backend == "tensorflow"
    contract = Contract(layout="NHWC" if keras else "NCHW", range=(0.0, 1.0), output="logits")
    file = folder + ("/net.keras" if keras else "/net.onnx")
    model = loaders[backend].open(file, contract=contract, device="cpu")
    labels = model.predict(np.full((3, 8, 8, 3), 90, np.uint8)).labels
    assert labels.shape == (3,) and (labels >= 0).all()
    if isinstance(model, DifferentiableModel):
        logits, pullback = model.vjp(np.full((2, 8, 8, 3), 0.3, np.float32))
        assert np.abs(pullback(logits)).max() > 0
    print(backend)
"""

EXPORT = """
import torch
from pathlib import Path
from cae_converters.torch_to_onnx import export_torch
contract = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")
net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.Flatten(), torch.nn.Linear(144, 5))
print(export_torch(net, Path(folder, "again.onnx"), contract=contract, image_shape=(8, 8, 3)) < 1e-4)
"""


@dataclass(frozen=True)
class Outcome:
    """How a process ended: ``code`` is negative where a signal ended it."""

    code: int
    lines: list[str]
    err: str


def run(code: str, folder: Path) -> Outcome:
    kept = {name: value for name, value in os.environ.items() if name not in ("TF_CPP_MIN_LOG_LEVEL", "KERAS_BACKEND")}
    command = [sys.executable, "-c", code, str(folder)]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={**kept, "KERAS_BACKEND": "tensorflow"}
    )
    return Outcome(done.returncode, done.stdout.split(), done.stderr)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("order")
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.SiLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    export_torch(net, made / "net.onnx", contract=CONTRACT, image_shape=(8, 8, 3))
    with saving():
        convnet(0).save(made / "net.keras")
    return made


def test_triton_is_installed() -> None:
    """Without it the trap is not there, and the tests below show nothing."""
    assert find_spec("triton") is not None


@pytest.mark.long
def test_the_trap_is_real(tmp_path: Path) -> None:
    found = run("import tensorflow, triton; print('alive')", tmp_path)
    assert found.code != 0, (
        "This TensorFlow survives `import tensorflow, triton`: the trap is gone, and cae_backends.import_order may go "
        "with the oldest TensorFlow that has it."
    )
    assert "alive" not in found.lines
    assert "ImportError" not in found.err
    assert "ModuleNotFoundError" not in found.err


@pytest.mark.long
@pytest.mark.parametrize("order", ORDERS, ids="-".join)
def test_every_ordered_pair_of_backends(folder: Path, order: tuple[str, ...]) -> None:
    calls = "\n".join(f"ask({backend!r})" for backend in order)
    found = run(f"{PROGRAM}\n{calls}", folder)
    assert (found.code, found.lines) == (0, [*order]), found.err


def test_the_orders_have_every_pair() -> None:
    assert {pair for order in ORDERS for pair in combinations(order, 2)} == set(permutations(BACKENDS, 2))


@pytest.mark.long
@pytest.mark.parametrize(
    ("before", "asked", "after"),
    [
        ("import tensorflow", ("torch",), EXPORT),
        ("import keras", ("torch",), ""),
        ("import torchvision", ("tensorflow",), ""),
    ],
    ids=["tensorflow", "keras", "torchvision"],
)
def test_a_user_who_imported_a_framework_first(folder: Path, before: str, asked: tuple[str, ...], after: str) -> None:
    calls = "\n".join(f"ask({backend!r})" for backend in asked)
    found = run(f"{before}\n{PROGRAM}\n{calls}\n{after}", folder)
    assert (found.code, found.lines) == (0, [*asked, *(["True"] if after else [])]), found.err
