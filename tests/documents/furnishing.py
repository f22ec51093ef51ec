"""The folder in which a reader reads a page."""

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import torch

from cae_backends.tensorflow.runtime import load_keras
from tests.backends.keras_nets import saving
from tests.backends.timestamping import make_authority
from tests.documents.pages import ROOT
from tests.documents.world import COLOURS, DIGITS, Linear, colours, digits, linear_onnx, write_mnist, write_pool

__all__ = ["furnish_colours", "furnish_digits", "programs"]

_SHIM = '#!/bin/sh\nexec {python} {arguments} "$@"\n'
_CAE = "from cae_cli.main import main; main()"
_CURL = '''
"""Stands for curl, and for the timestamping authority at the other end."""
import sys
from pathlib import Path
from tests.backends.timestamping import Authority

arguments = sys.argv[1:]
request = Path(arguments[arguments.index("--data-binary") + 1].removeprefix("@")).read_bytes()
output = Path(arguments[arguments.index("--output") + 1])
output.write_bytes(Authority(Path({folder!r})).answer(request))
'''

_THEIR_CODE = """from torch import nn


class Net(nn.Sequential):
    def __init__(self):
        super().__init__(nn.Flatten(), nn.Linear(8 * 8, 10))
"""

_TAKEN = 'layout = "NHWC"\nrange = [0, 255]\noutput = "probabilities"\n'


def programs(folder: Path) -> dict[str, str]:
    """Write the commands that a reader has, in a folder that goes before all others, and return the environment."""
    authority = make_authority(folder / "authority")
    (folder / "curl.py").write_text(_CURL.format(folder=str(authority.folder)), encoding="utf-8")
    shims = folder / "bin"
    shims.mkdir()
    for name, arguments in (("cae", f"-c '{_CAE}'"), ("python", ""), ("curl", folder / "curl.py")):
        shim = shims / name
        shim.write_text(_SHIM.format(python=sys.executable, arguments=arguments), encoding="utf-8")
        shim.chmod(0o755)
    paths = [ROOT, *(ROOT / part for part in ("backends", "converters", "cli"))]
    return {
        "PATH": os.pathsep.join([str(shims), str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": os.pathsep.join(map(str, paths)),
        "HOME": str(folder),
        "TMPDIR": os.environ.get("TMPDIR", "/tmp"),  # noqa: S108 - what every program takes
        "OMP_NUM_THREADS": "1",
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "COLUMNS": "160",
    }


def furnish_digits(folder: Path, authority: Path) -> None:
    """Handwritten digits: a claimed source, its pool, a suspect, and what a timestamping authority gives away."""
    world = digits()
    linear_onnx(folder / "claimed-source.onnx", world.source, DIGITS)
    suspect = world.surrogate()
    linear_onnx(folder / "theirs.onnx", suspect, DIGITS)
    (folder / "their_code.py").write_text(_THEIR_CODE, encoding="utf-8")
    weights = {"1.weight": torch.tensor(suspect.weights.T), "1.bias": torch.tensor(suspect.bias)}
    torch.save({name: value.float() for name, value in weights.items()}, folder / "theirs.pth")
    write_pool(folder, world, DIGITS, source=Path("claimed-source.onnx"))
    shutil.copy(authority / "root.pem", folder / "AUTHORITY.pem")
    shutil.copytree(ROOT / "examples", folder / "examples")


def furnish_colours(folder: Path) -> None:
    """CIFAR-10 with few images, a Keras source, folders of copies and others, a pool, and a suspect."""
    world = colours(folder)
    _write_keras(folder / "mine.keras", world.source)
    suspect = world.surrogate()
    linear_onnx(folder / "theirs.onnx", suspect, COLOURS, probabilities=True)
    (folder / "mine.toml").write_text(_TAKEN, encoding="utf-8")
    (folder / "theirs.toml").write_text(_TAKEN, encoding="utf-8")
    write_pool(folder, world, COLOURS, source=Path("mine.keras"))
    for name, relation in (("copies", "surrogate"), ("others", "reference")):
        (folder / name).mkdir()
        for path in (folder / "generate").glob(f"{relation}-*.onnx"):
            shutil.copy(path, folder / name)
    write_mnist(folder)


def _write_keras(path: Path, model: Linear) -> None:
    keras = load_keras()
    layers = keras.layers
    net = keras.Sequential(
        [layers.Input(COLOURS), layers.Rescaling(1 / 255), layers.Flatten(), layers.Dense(10, activation="softmax")]
    )
    net.layers[-1].set_weights([model.weights.astype(np.float32), model.bias.astype(np.float32)])
    with saving():
        net.save(path)
