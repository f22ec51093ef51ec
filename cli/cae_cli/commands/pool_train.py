"""`cae pool train`."""

import time
from collections import Counter
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cae_cli.options import Json, print_json
from cae_cli.progress import progress_bar, resumable

if TYPE_CHECKING:
    from cae_backends.training.executors import Crew
    from cae_backends.training.plans import Plan
    from cae_backends.training.pool_store import PoolData

__all__ = ["run"]

_MIXTURE = ("hard labels", "soft labels", "hard labels", "distilled", "hard labels", "fine-tuned", "pruned")
"""The kinds of surrogates in turn where no plan says them: hard labels are the hardest to catch."""


def run(
    plan: Annotated[Path | None, typer.Argument(help="What to make, in TOML; without it, the options say it.")] = None,
    *,
    pool: Annotated[Path, typer.Option("--pool", help="The manifest; the models go beside it.")] = Path("pool.toml"),
    data: Annotated[str | None, typer.Option(help="digits, or the path of a data set; default: the plan's.")] = None,
    test_data: Annotated[str | None, typer.Option(help="Where the data have one split only.")] = None,
    foreign: Annotated[str | None, typer.Option(help="Images for thieves with foreign queries; as --data.")] = None,
    seed: Annotated[int | None, typer.Option(help="Of the whole pool; default: the plan's, or 0.")] = None,
    epochs: Annotated[int | None, typer.Option(help="At most so many for each model.")] = None,
    share: Annotated[float, typer.Option(help="Of the images, for a quick try.")] = 1.0,
    source: Annotated[Path | None, typer.Option(help="Without a plan: a source that is there already.")] = None,
    architecture: Annotated[
        list[str] | None, typer.Option(help="Without a plan; repeatable, the source's first.")
    ] = None,
    recipe: Annotated[str, typer.Option(help="Without a plan: digits, fast or report.")] = "fast",
    surrogates: Annotated[int, typer.Option(help="Without a plan: how many for each role.")] = 7,
    references: Annotated[int, typer.Option(help="Without a plan: how many for each role.")] = 7,
    role: Annotated[list[str] | None, typer.Option(help="Without a plan; repeatable. Default: generate, test.")] = None,
    trainer: Annotated[str, typer.Option(help="Without a plan: torch or keras.")] = "torch",
    workers: Annotated[int | None, typer.Option(help="Models trained at a time; default: one for each core.")] = None,
    cluster: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, such as tcp://host:8786.")] = None,
    resource: Annotated[list[str] | None, typer.Option(help="With a cluster, what each job takes: GPU=1.")] = None,
    device: Annotated[str, typer.Option(help="Where a worker trains: auto, cpu, cuda.")] = "auto",
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite finished models of other settings.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be made.")] = False,
    json: Json = False,
) -> None:
    """Train a pool: a source, models derived from it as a thief would, and independent references.

    Example: cae pool train examples/pools/digits.toml --pool digits/pool.toml

    A second call does only what is missing; finished models of other settings are replaced with --replace only.

    On a cluster: start workers with `dask worker ADDRESS --nthreads 1`.
    """
    made = _plan(
        plan,
        source=source,
        architectures=architecture or ["cnn-small"],
        recipe=recipe,
        surrogates=surrogates,
        references=references,
        roles=role,
        trainer=trainer,
        seed=seed,
    ).shortened(epochs=epochs, share=share)
    start = time.perf_counter()
    if not dry_run:
        images = _images(made, data, test_data, foreign)
        crew = _crew(cluster, resource or [])
        _train(made, pool, images, workers=workers, crew=crew, device=device, replace=replace, quiet=json)
    seconds = time.perf_counter() - start
    counts = Counter((job.role, job.relation, job.kind) for job in made.jobs)
    if json:
        rows = [{"role": r, "relation": s, "kind": k, "jobs": n} for (r, s, k), n in counts.items()]
        print_json({"pool": str(pool), "jobs": rows, "seconds": None if dry_run else round(seconds, 3)})
        return
    from cae_cli.render import print_rows

    print_rows(["role", "relation", "kind", "jobs#"], [[*key, str(count)] for key, count in counts.items()])
    if not dry_run:
        typer.echo(f"\n{pool}: {len(made.jobs)} jobs are done; this run took {seconds:.0f} s.")


def _plan(
    plan: Path | None,
    *,
    source: Path | None,
    architectures: list[str],
    recipe: str,
    surrogates: int,
    references: int,
    roles: list[str] | None,
    trainer: str,
    seed: int | None,
) -> "Plan":
    from cae_backends.training.plans import parse_plan, read_plan

    if plan is not None:
        return read_plan(plan, seed=seed)
    mixture = Counter(_MIXTURE[i % len(_MIXTURE)] for i in range(surrogates))
    if source is not None:  # a source that only answers
        mixture = Counter({"hard labels": (surrogates + 1) // 2, "soft labels": surrogates // 2})
    groups = [(kind, count) for kind, count in [*mixture.items(), ("independent", references)] if count]
    common = {"architectures": architectures, "recipes": [recipe]}
    copying = {"recipes": [recipe]}
    members = [
        {
            "kind": kind,
            "count": dict.fromkeys(roles or ["generate", "test"], count),
            **(copying if kind in ("fine-tuned", "pruned") else common),
        }
        for kind, count in groups
    ]
    owner: dict[str, Any] = {"architecture": architectures[0], "recipe": recipe}
    if source is not None:
        owner = {"file": str(source.resolve())}
    table = {"seed": seed or 0, "trainer": trainer, "source": owner, "members": members}
    return parse_plan(table, origin="the options")


def _train(
    plan: "Plan",
    pool: Path,
    images: "PoolData",
    *,
    workers: int | None,
    crew: "AbstractContextManager[Crew] | None",
    device: str,
    replace: bool,
    quiet: bool,
) -> None:
    from cae_backends.training.pool_jobs import train_pool
    from cae_converters.exporting import export_member

    with resumable(), progress_bar(enabled=not quiet) as progress:
        train_pool(
            plan.jobs,
            images,
            pool,
            export=export_member,
            workers=workers,
            crew=crew,
            device=device,
            replace=replace,
            progress=lambda done, total, _name: progress("training", done, total),
        )


def _images(plan: "Plan", data: str | None, test_data: str | None, foreign: str | None) -> "PoolData":
    from cae_backends.datasets import open_data
    from cae_backends.training.pool_store import PoolData
    from cae_core.errors import OptionError

    spec, others = data or plan.data, foreign or plan.foreign
    if not spec:
        raise OptionError("Neither the plan nor --data says which images to train on.")
    train, test = open_data(spec, split="train"), open_data(test_data or spec, split="test")
    if train.sha256() == test.sha256():
        raise OptionError(f"{spec}: training and test images are the same. Name other ones with --test-data.")
    return PoolData(train, test, open_data(others, split="train").images if others else None)


def _crew(address: str | None, resources: list[str]) -> "AbstractContextManager[Crew] | None":
    from cae_backends.training.executors import cluster

    if address is None:
        return None
    taken: dict[str, float] = {}
    for resource in resources:
        name, _, amount = resource.partition("=")
        try:
            taken[name] = float(amount)
        except ValueError as error:
            raise typer.BadParameter(f"expected NAME=NUMBER, such as GPU=1; found {resource!r}") from error
    return cluster(address, resources=taken)
