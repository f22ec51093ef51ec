"""In which order the steps of a study are done, and the name of each one's result, which follows from its inputs."""

import graphlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from cae_core.files.digests import digest_of
from cae_study.step import Step

__all__ = ["FORMAT", "WorkOrder"]

FORMAT = 1
"""Of a step's result. Another one has other keys, so that nothing old is taken for its result."""


@dataclass(frozen=True, kw_only=True)
class WorkOrder:
    """The steps of a study in an order in which they can be done.

    Attributes:
        steps: each after those that it needs.
        folders: of each step's result by its id, below the study's.
    """

    steps: tuple[Step, ...]
    folders: Mapping[str, Path] = field(repr=False)

    @classmethod
    def of(cls, steps: Sequence[Step], *, images: str, seed: int, output: Path) -> "WorkOrder":
        """Order the steps, and name each by the SHA-256 of its kind, options and inputs.

        Args:
            steps: of a study; none needs one that is not among them.
            images: SHA-256 of the study's images.
            seed: of the study.
            output: the study's folder.
        """
        by_id = {step.id: step for step in steps}
        order = tuple(graphlib.TopologicalSorter({step.id: step.needs for step in steps}).static_order())
        keys: dict[str, str] = {}
        for name in order:
            step = by_id[name]
            keys[name] = digest_of(
                {
                    "format": FORMAT,
                    "kind": step.kind.name,
                    "options": {name: value for name, value in step.options.items() if name not in step.kind.paths},
                    "outside": step.outside,
                    "needs": [keys[need] for need in step.needs],
                    "images": images,
                    "seed": seed,
                }
            )
        folders = {name: output / "steps" / f"{name}-{keys[name][:12]}" for name in order}
        return cls(steps=tuple(by_id[name] for name in order), folders=folders)
