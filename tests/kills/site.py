"""A folder with everything that the commands start from, and runs of them that may be killed."""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from tests.golden.world import write_world
from tests.kills.injection import COUNTS, KILL, KILLED

__all__ = ["ASKED", "Run", "Site"]

ASKED = "CAE_KILLS_ASKED"
"""Variable of the environment that names the file in which a suspect notes that it was asked."""

_LOADER = f"""
import dataclasses, os
from tests.golden.models import ExactLoader, ExactModel
from tests.kills.injection import passed

class Noting(ExactModel):
    def predict(self, images):
        with open(os.environ["{ASKED}"], "ab") as file:
            file.write(b"x")
        passed("ask", "before")
        answers = super().predict(images)
        passed("ask", "after")
        return answers

@dataclasses.dataclass(frozen=True)
class Loader(ExactLoader):
    def open(self, spec, *, contract, device):
        model = super().open(spec, contract=contract, device=device)
        return Noting(**vars(model)) if "suspects" in str(spec) else model

LOADER = Loader()
"""

_TRAINER = """
from tests.backends.third_party import LinearTrainer, export

TRAINER = LinearTrainer(pause=0.002)
"""

_PLAN = """
data = "images.npz"
trainer = "linear"

[source]
architecture = "linear"
recipe = "short"

[recipe.short]
base = "fast"
epochs = 2
batch_size = 32

[[members]]
kind = "hard labels"
architectures = ["linear"]
recipes = ["short"]
count = { generate = 2 }

[[members]]
kind = "independent"
architectures = ["linear"]
recipes = ["short"]
count = { generate = 2, test = 1 }
"""

_STUDY = """
data = "images.npz"

[pool.main]
manifest = "pool.toml"

[fingerprint.ours]
pool = "main"
preset = "perturbed"
split = "all"
settings = { eps = 0.196, tau = 0.6, count = 20, iterations = 30, batch = 5 }

[match-rates.ours]
fingerprint = "ours"
roles = ["generate"]

[[table]]
of = ["fingerprint.ours"]

[[table]]
of = ["match-rates.ours"]
rows = "models"
"""

_PREPARED = """
generate --split all --eps 50/255 --count 30 --iterations 20 --tau 0.6 --pool pool.toml --data images.npz --output plain.safetensors
calibrate --fpr 0.1 --fnr 0.1 --pool calibrate.toml --fingerprint plain.safetensors --output fixed.safetensors
seal plain.safetensors --output seal.json --claimant "Example Ltd" --fpr 0.1
"""  # noqa: E501 - one command a line


@dataclass(frozen=True)
class Run:
    """A run that has ended.

    Attributes:
        code: its exit code; negative: the signal.
        out: what it printed.
        errors: likewise, on stderr.
        killed: whether it, or a worker of it, was killed.
        asked: whether a suspect was asked.
        counts: how often it reached each point, where that was counted.
    """

    code: int
    out: str
    errors: str
    killed: bool
    asked: bool
    counts: Counter[str]


class Site:
    """A folder with the packages that the commands see, the world before any of them, and the trials."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.world = folder, folder / "world"
        self._trials = 0
        packages = folder / "packages"
        packages.mkdir(parents=True)
        (packages / "sitecustomize.py").write_text("from tests.kills.injection import install\n\ninstall()\n")
        (packages / "kills_loader.py").write_text(_LOADER)
        (packages / "kills_trainer.py").write_text(_TRAINER)
        installed = packages / "kills-0.dist-info"
        installed.mkdir()
        (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: kills\nVersion: 0\n")
        (installed / "entry_points.txt").write_text(
            "[cae.backends]\nexact = kills_loader:LOADER\n"
            "[cae.trainers]\nlinear = kills_trainer:TRAINER\n[cae.exporters]\nlinear = kills_trainer:export\n"
        )
        roots = [str(Path(__file__).parents[2] / part) for part in (".", "backends", "converters", "cli")]
        path = os.pathsep.join([str(packages), *roots, os.environ.get("PYTHONPATH", "")])
        self._environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}
        self.world.mkdir()
        write_world(self.world)
        (self.world / "plan.toml").write_text(_PLAN)
        (self.world / "study.toml").write_text(_STUDY)
        for arguments in _PREPARED.strip().splitlines():
            run = self.run(self.world, arguments)
            assert run.code == 0, run.errors

    def trial(self, name: str) -> Path:
        """Return a fresh folder with the world in it."""
        self._trials += 1
        folder = self.folder / "trials" / f"{name}-{self._trials}"
        shutil.copytree(self.world, folder, copy_function=os.link)  # the program puts new files in the place of old
        return folder

    def scratch(self, folder: Path) -> Path:
        """Return where the runs in ``folder`` have their temporary folders."""
        return self.folder / "scratch" / folder.name

    def run(self, folder: Path, arguments: str, *, at: str = "", after: float | None = None) -> Run:
        """Run `cae` in ``folder``.

        Args:
            folder: the working folder.
            arguments: of the command.
            at: the point at which it kills itself, or ``count``.
            after: the seconds after which it is killed.
        """
        notes = self.folder / "notes" / folder.name
        shutil.rmtree(notes, ignore_errors=True)
        notes.mkdir(parents=True)
        self.scratch(folder).mkdir(parents=True, exist_ok=True)
        environment = {
            **self._environment,
            "TMPDIR": str(self.scratch(folder)),
            KILL: at,
            KILLED: str(notes / "killed"),
            COUNTS: str(notes / "counts"),
            ASKED: str(notes / "asked"),
        }
        command = [sys.executable, "-m", "cae_cli", *shlex.split(arguments)]
        process = subprocess.Popen(
            command, cwd=folder, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        try:
            out, errors = process.communicate(timeout=after if after is not None else 300)
        except subprocess.TimeoutExpired:
            process.kill()
            out, errors = process.communicate()
            if after is None:
                raise
        counts: Counter[str] = Counter()
        for path in notes.glob("counts-*"):
            counts |= Counter(json.loads(path.read_text()))
        killed = process.returncode < 0 or (notes / "killed").exists()
        return Run(process.returncode, out, errors, killed, (notes / "asked").exists(), counts)
