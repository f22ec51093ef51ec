"""Control sources: further sources by a plan's own recipe, each with surrogates like the *generate* ones.

They are trained as pools of their own, ``controls/control-01/pool.toml`` and so on beside the plan's manifest, which
name no references: all sources share those of the plan's pool.
"""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path

from cae_backends.execution.crew import Crew
from cae_backends.training.jobs import PoolJob
from cae_backends.training.pool_jobs import PoolData, PoolProgress, train_pool

__all__ = ["control_manifest", "train_controls"]


def control_manifest(manifest: Path, number: int) -> Path:
    """Return where the manifest of a control source lies, given the plan's pool's."""
    return manifest.parent / "controls" / f"control-{number:02}" / "pool.toml"


def train_controls(
    controls: Sequence[Sequence[PoolJob]],
    data: PoolData,
    manifest: Path,
    *,
    workers: int | None = None,
    crew: Callable[[], AbstractContextManager[Crew] | None] = lambda: None,
    device: str = "auto",
    replace: bool = False,
    progress: Callable[[int], PoolProgress | None] = lambda _number: None,
) -> list[Path]:
    """Train what is missing of the control sources, one after the other, and return their manifests.

    Args:
        controls: the jobs of each, see `cae_backends.training.control_jobs`.
        data: of the pool.
        manifest: the pool's.
        workers: see `train_pool`, as the next.
        crew: gives one for each control source.
        device: where a worker trains.
        replace: whether finished models of other settings may be overwritten.
        progress: gives what is told of each.

    Raises:
        CaeError: see `train_pool`.
    """
    made: list[Path] = []
    for number, jobs in enumerate(controls, start=1):
        path = control_manifest(manifest, number)
        path.parent.mkdir(parents=True, exist_ok=True)
        told = progress(number)
        made.append(
            train_pool(jobs, data, path, workers=workers, crew=crew(), device=device, replace=replace, progress=told)
        )
    return made
