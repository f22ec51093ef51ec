"""Where a step works: its folder, what it needs, and the images of the study."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cae_core.loaders import Device
from cae_core.progress import Progress, silent
from cae_study.images import Images
from cae_study.step import Options, Step

if TYPE_CHECKING:
    from cae_core.fingerprint.file import Fingerprint
    from cae_core.pool.manifest import Pool

__all__ = ["Bench"]


@dataclass(frozen=True, kw_only=True)
class Bench:
    """Where a step works.

    Attributes:
        step: which one.
        folder: of its own, which holds its result; what lies there was left by an earlier run with the same inputs.
        beside: the folders of all steps, by their ids.
        steps: all of them, likewise.
        images: images of the study.
        seed: random seed of the study.
        root: the folder of the study file.
        workers: processes at a time; None: one for each core.
        device: device on which models run: auto, cpu, cuda.
        trusted: whether the models of manifests that are there already are one's own, and run in this process.
        progress: told how far it is.
    """

    step: Step
    folder: Path
    beside: Mapping[str, Path] = field(repr=False)
    steps: Mapping[str, Step] = field(repr=False)
    images: Images
    seed: int
    root: Path
    workers: int | None = None
    device: Device = "auto"
    trusted: bool = False
    progress: Progress = silent

    @property
    def options(self) -> Options:
        """Of the step."""
        return self.step.options

    @property
    def answers(self) -> Path:
        """The folder with what models answered, by model and questions, whichever step has asked them."""
        return self.folder.parents[1] / "answers"

    def option(self, step: str, name: str) -> Any:  # noqa: ANN401 - of different types
        """Return an option of another step, by its id."""
        return self.steps[step].options[name]

    def manifest(self, name: str) -> Path:
        """Return the manifest of the pool that is called ``name``."""
        own = self.steps[f"pool.{name}"].options["manifest"]
        return self.root / own if own else self.beside[f"pool.{name}"] / "pool.toml"

    def pool(self, name: str) -> "Pool":
        """Return the pool that is called ``name``."""
        from cae_core.pool.manifest import read_pool

        pool = read_pool(self.manifest(name))
        if not self.trusted:
            return pool
        return dataclasses.replace(pool, members=tuple(dataclasses.replace(m, trusted=True) for m in pool.members))

    def fingerprint(self, name: str) -> "Fingerprint | None":
        """Return the fingerprint that is called ``name``; None where no image became an example."""
        from cae_core.fingerprint.file import load_fingerprint

        path = self.beside[f"fingerprint.{name}"] / "fingerprint.safetensors"
        return load_fingerprint(path) if path.exists() else None
