"""`cae pool train`."""

import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cae_cli.clusters import cluster_named
from cae_cli.options import Json, Trusted, print_json
from cae_cli.progress import interruptible, progress_bar
from cae_cli.streams import say
from cae_core.foreign_text import visible
from cae_core.progress import detail, stage

if TYPE_CHECKING:
    from cae_backends.training.plans import Plan
    from cae_backends.training.pool_store import PoolData

__all__ = ["run"]

_REFERENCES = 7
_MIXTURE = ("hard labels", "soft labels", "hard labels", "distilled", "hard labels", "fine-tuned", "pruned")
"""The kinds of surrogates in turn where no plan says them: hard labels are the hardest to catch."""


def run(
    plan: Annotated[
        Path | None, typer.Argument(help="The plan, in TOML; without it, the options say what to train.")
    ] = None,
    *,
    pool: Annotated[Path, typer.Option("--pool", help="The manifest to write; the models go beside it.")] = Path(
        "pool.toml"
    ),
    data: Annotated[
        str | None, typer.Option(help="Training images: digits, or the path of a data set; default: the plan's.")
    ] = None,
    test_data: Annotated[str | None, typer.Option(help="Test images, if the data have one split only.")] = None,
    foreign: Annotated[
        str | None, typer.Option(help="Images for thieves with foreign queries; a name or path, as --data.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="Random seed of the whole pool; default: the plan's, or 0.")] = None,
    epochs: Annotated[int | None, typer.Option(help="Largest number of epochs for each model.")] = None,
    share: Annotated[float, typer.Option(help="Share of the images that is used, for a quick try.")] = 1.0,
    source: Annotated[Path | None, typer.Option(help="Without a plan: a source that exists already.")] = None,
    trusted: Trusted = False,
    architecture: Annotated[
        list[str] | None, typer.Option(help="Without a plan: architectures, the source's first; repeatable.")
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Without a plan: recipe, one of digits, fast and report. Default: fast.")
    ] = None,
    surrogates: Annotated[
        int | None, typer.Option(min=0, help="Without a plan: how many surrogates for each role. Default: 7.")
    ] = None,
    references: Annotated[
        int | None, typer.Option(min=0, help="Without a plan: how many references for each role. Default: 7.")
    ] = None,
    role: Annotated[
        list[str] | None,
        typer.Option(help="Without a plan: roles of the members; repeatable. Default: generate, test."),
    ] = None,
    trainer: Annotated[
        str | None, typer.Option(help="Without a plan: trainer, torch or keras. Default: torch.")
    ] = None,
    workers: Annotated[
        int | None, typer.Option(min=1, help="Number of models trained at a time; default: one for each core.")
    ] = None,
    cluster: Annotated[str | None, typer.Option(help="Address of a Dask scheduler, such as tcp://host:8786.")] = None,
    resource: Annotated[
        list[str] | None, typer.Option(help="With a cluster: resource that each job takes, such as GPU=1.")
    ] = None,
    device: Annotated[str, typer.Option(help="Where a worker trains: auto, cpu, cuda.")] = "auto",
    replace: Annotated[bool, typer.Option("--replace", help="Overwrite finished models of other settings.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be trained; train nothing.")] = False,
    json: Json = False,
) -> None:
    """Train a pool: a source, models derived from it as a thief would, and independent references.

    Example: cae pool train examples/pools/digits.toml --pool digits/pool.toml

    A second call trains only what is missing. Finished models of other settings are replaced with --replace only.

    On a cluster, start the workers with `dask worker ADDRESS --nthreads 1`.
    """
    from cae_backends.training.control_pools import train_controls
    from cae_backends.training.pool_jobs import train_pool

    instead = {
        "source": source,
        "trusted": trusted or None,
        "architecture": architecture or None,
        "recipe": recipe,
        "surrogates": surrogates,
        "references": references,
        "role": role or None,
        "trainer": trainer,
    }
    given = {name: value for name, value in instead.items() if value is not None}
    made = _plan(plan, given, seed=seed).shortened(epochs=epochs, share=share)
    start = time.perf_counter()
    crew = cluster_named(cluster, resource or [])
    if dry_run and data:
        _images(made, data, test_data, foreign)  # images that cannot be read are told of before a night of training
    if not dry_run:
        with interruptible(kept=pool.parent / "state"), progress_bar() as progress:
            detail(progress, "reading images", data or made.data)
            images = _images(made, data, test_data, foreign)
            train_pool(
                made.jobs,
                images,
                pool,
                workers=workers,
                crew=crew,
                device=device,
                replace=replace,
                progress=stage(progress, "training"),
            )
            train_controls(
                made.controls,
                images,
                pool,
                workers=workers,
                crew=lambda: cluster_named(cluster, resource or []),
                device=device,
                replace=replace,
                progress=lambda number: stage(progress, f"training control source {number} of {len(made.controls)}"),
            )
    seconds = time.perf_counter() - start
    counts = Counter[tuple[str, str, str]]((job.role, job.relation, job.kind) for job in made.jobs)
    counts += Counter(("control", job.relation, job.kind) for jobs in made.controls for job in jobs)
    if json:
        rows = [{"role": r, "relation": s, "kind": k, "jobs": n} for (r, s, k), n in counts.items()]
        print_json({"pool": str(pool), "jobs": rows, "seconds": None if dry_run else round(seconds, 3)}, "pool-train")
        return
    from cae_cli.render import print_rows

    print_rows(["role", "relation", "kind", "jobs#"], [[*key, str(count)] for key, count in counts.items()])
    if not dry_run:
        say(f"\n{visible(str(pool))}: {counts.total()} jobs are done; this run took {seconds:.0f} s.")


def _plan(plan: Path | None, instead: dict[str, Any], *, seed: int | None) -> "Plan":
    from cae_backends.training.plans import parse_plan, read_plan
    from cae_core.errors import OptionError

    if plan is None:
        return parse_plan(_table(**instead) | {"seed": seed or 0}, origin="the options")
    if instead:
        raise OptionError(f"The plan {plan} says what is trained; leave out --{next(iter(instead))}, or the plan.")
    return read_plan(plan, seed=seed)


def _table(
    *,
    source: Path | None = None,
    trusted: bool = False,
    architecture: Sequence[str] = ("cnn-small",),
    recipe: str = "fast",
    surrogates: int = len(_MIXTURE),
    references: int = _REFERENCES,
    role: Sequence[str] = ("generate", "test"),
    trainer: str = "torch",
) -> dict[str, Any]:
    """Return the plan that the options mean."""
    mixture = Counter(_MIXTURE[i % len(_MIXTURE)] for i in range(surrogates))
    if source is not None and not _has_copies(source):  # a source that only answers
        mixture = Counter({"hard labels": (surrogates + 1) // 2, "soft labels": surrogates // 2})
    groups = [(kind, count) for kind, count in [*mixture.items(), ("independent", references)] if count]
    common = {"architectures": list(architecture), "recipes": [recipe]}
    copying = {"recipes": [recipe]}
    members = [
        {
            "kind": kind,
            "count": dict.fromkeys(role, count),
            **(copying if kind in ("fine-tuned", "pruned") else common),
        }
        for kind, count in groups
    ]
    owner: dict[str, Any] = {"architecture": architecture[0], "recipe": recipe}
    if source is not None:
        owner = {"file": str(source.resolve()), "trusted": trusted}
    return {"trainer": trainer, "source": owner, "members": members}


def _has_copies(source: Path) -> bool:
    """Return whether a file's framework trains it further. An ONNX file may hold what nobody can: a plan says more."""
    from cae_backends.training.adoption import find_adopter

    return source.suffix.lower() != ".onnx" and bool(find_adopter(source))


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
