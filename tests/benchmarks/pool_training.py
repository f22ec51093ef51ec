"""Training a pool: worker processes with one thread each against one process with one thread, start-up left out."""

import tempfile
from contextlib import nullcontext
from pathlib import Path

from cae_backends.datasets import open_data
from cae_backends.execution.crew import Crew
from cae_backends.execution.local import local_processes
from cae_backends.training.jobs import PoolJob
from cae_backends.training.pool_jobs import train_pool
from cae_backends.training.pool_store import PoolData
from cae_backends.training.recipe import Recipe
from tests.benchmarks.figures import Figure, Scale, paired_seconds

__all__ = ["measure_pool_training"]

_WORKERS = 2


def measure_pool_training(scale: Scale) -> list[Figure]:
    """Seconds for a pool of 16 small models in one process over those in two."""
    models, epochs = scale.pick(16, 2), scale.pick(30, 1)
    data = PoolData(open_data("digits", split="train"), open_data("digits", split="test"))
    jobs = _jobs(models, epochs)

    def train(crew: Crew) -> None:
        with tempfile.TemporaryDirectory() as folder:
            train_pool(jobs, data, Path(folder) / "pool.toml", crew=nullcontext(crew))

    with local_processes(1) as one, local_processes(_WORKERS) as two:
        # the round that does not count is the start-up: imports, and the graph that every export fills in
        rounds = paired_seconds([lambda: train(one), lambda: train(two)], scale.pick(3, 1))
    figure = Figure.of_pairs(
        f"pool training: {_WORKERS} processes over one, each with one thread",
        ((first, second) for first, second in rounds),
        lambda one, more: f"{models} models of digits, {epochs} epochs: {one:.1f} s against {more:.1f} s",
        target=1.8,
        at_least=True,
    )
    return [figure]


def _jobs(models: int, epochs: int) -> list[PoolJob]:
    recipe = Recipe(epochs=epochs)
    source = PoolJob(name="source", role="source", kind="source", architecture="cnn-small", seed=0, recipe=recipe)
    others = [
        PoolJob(
            name=f"model-{seed:02}", role="test", kind="independent", architecture="cnn-small", seed=seed, recipe=recipe
        )
        for seed in range(1, models)
    ]
    return [source, *others]
