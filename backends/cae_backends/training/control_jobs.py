"""What a control source is made of: the source's own job and those of its *generate* surrogates, with other seeds.

The images that the source is trained on stay the owner's, also where its recipe takes a random share of them.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace

from cae_backends.training.jobs import PoolJob

__all__ = ["control_jobs"]


def control_jobs(jobs: Sequence[PoolJob], number: int, *, seed_of: Callable[[str], int]) -> tuple[PoolJob, ...]:
    """Return the jobs of one control source: the source's, and those of the surrogates that generate.

    Args:
        jobs: of the plan, the source first.
        number: of the control source, from 1.
        seed_of: gives the seed of a member by its name.
    """
    prefix = f"control-{number:02}-"
    source, chosen = jobs[0], [job for job in jobs if job.relation == "surrogate" and job.role == "generate"]

    def again(job: PoolJob) -> PoolJob:
        name = prefix + job.name
        return replace(job, name=name, seed=seed_of(name), parent=prefix + job.parent if job.parent else "")

    return (replace(again(source), images_seed=source.seed), *map(again, chosen))
