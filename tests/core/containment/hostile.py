"""A backend whose models are programs: what a file could do that has found a hole in an honest backend.

A file that ends in ``.program`` holds Python. Its code runs when the model is opened, and it may define ``predict`` and
``vjp``. The backend is installed by a folder with an entry point, in a parent's import paths and so in its children's.
"""

import importlib
import sys
from pathlib import Path

import pytest

from cae_core import loaders

__all__ = ["install", "program"]

_BACKEND = """
from pathlib import Path

import numpy as np

from cae_core.models import Predictions


class Program:
    def __init__(self, path):
        names = {"model": self, "np": np, "Predictions": Predictions, "path": path}
        exec(compile(Path(path).read_text(), str(path), "exec"), names)
        self.names = names
        if "contract" in names:
            self.contract = names["contract"]
        self.image_shape, self.witness = names.get("image_shape", (None, None, None)), names.get("witness")
        self.runtime = names.get("runtime")

    def predict(self, images):
        if "predict" in self.names:
            return self.names["predict"](images)
        return Predictions(np.zeros(len(images), np.int64))

    def vjp(self, images):
        return self.names["vjp"](images)


class Loader:
    name, suffixes, folders, schemes, gradients, forks = "programs", (".program",), (), (), True, True

    def prepare(self):
        pass

    def open(self, spec, *, contract, device):
        return Program(spec)


LOADER = Loader()
"""


def install(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Install the backend below ``folder``, beside those that are there."""
    (folder / "hostile_programs.py").write_text(_BACKEND, encoding="utf-8")
    described = folder / "hostile_programs-1.0.dist-info"
    described.mkdir()
    (described / "METADATA").write_text("Metadata-Version: 2.1\nName: hostile-programs\nVersion: 1.0\n")
    (described / "entry_points.txt").write_text("[cae.backends]\nprograms = hostile_programs:LOADER\n")
    patch.syspath_prepend(str(folder))
    importlib.invalidate_caches()
    loaders._entry_points.cache_clear()
    patch.setattr(sys, "dont_write_bytecode", True)


def program(path: Path, text: str) -> Path:
    """Write a model that is a program."""
    path.write_text(text, encoding="utf-8")
    return path
