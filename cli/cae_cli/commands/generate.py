"""`cae generate`."""

from pathlib import Path
from typing import Annotated

import typer

from cae_cli.options import DeviceName, Json, Trusted, parse_eps, print_json
from cae_cli.progress import progress_bar, resumable

__all__ = ["run"]


def run(
    *,
    data: Annotated[
        str, typer.Option(help="Benign images: a name or path, and options (docs/data.md): mnist,size=32.")
    ],
    source: Annotated[Path | None, typer.Option(help="The source model; default: the manifest's.")] = None,
    surrogates: Annotated[list[Path] | None, typer.Option(help="Model, folder or manifest; repeatable.")] = None,
    references: Annotated[list[Path] | None, typer.Option(help="Model, folder or manifest; repeatable.")] = None,
    pool: Annotated[Path | None, typer.Option(help="Manifest; only its generate members are used.")] = None,
    split: Annotated[str, typer.Option(help="Part of the data: train, test or all.")] = "test",
    preset: Annotated[str, typer.Option(help="default, report or report-code.")] = "default",
    eps: Annotated[float | None, typer.Option(parser=parse_eps, metavar="NUMBER", help="Such as 8/255.")] = None,
    norm: Annotated[str | None, typer.Option(help="linf or l2.")] = None,
    count: Annotated[int, typer.Option(help="Examples wanted.")] = 100,
    seed: Annotated[int, typer.Option(help="Of the seeds' order and the dropout.")] = 0,
    objective: Annotated[str | None, typer.Option(help="composite, composite-keras or margins.")] = None,
    target: Annotated[str | None, typer.Option(help="Composite: max or source.")] = None,
    w_confer: Annotated[float | None, typer.Option(help="Composite: weight of conferrability.")] = None,
    w_adversarial: Annotated[float | None, typer.Option(help="Composite: weight of leaving the label.")] = None,
    w_transfer: Annotated[float | None, typer.Option(help="Composite: weight of agreement.")] = None,
    cap: Annotated[float | None, typer.Option(help="Margins: largest margin that counts.")] = None,
    w_references: Annotated[float | None, typer.Option(help="Margins: weight of the references.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Steps for each image.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="Adam's; default: 4 eps / iterations.")] = None,
    dropout: Annotated[float | None, typer.Option(help="Probability that a member sits out a step.")] = None,
    tau: Annotated[float | None, typer.Option(help="Least conferrability of an example.")] = None,
    check_every: Annotated[int | None, typer.Option(help="Steps between checks; 0: at the end only.")] = None,
    batch: Annotated[int | None, typer.Option(help="Images searched together.")] = None,
    ranking: Annotated[str | None, typer.Option(help="Seeds: screened or random.")] = None,
    max_seeds: Annotated[int | None, typer.Option(help="Seeds that may be tried; default: all.")] = None,
    precision: Annotated[str | None, typer.Option(help="Of the search: float32 or bfloat16.")] = None,
    akh: Annotated[
        int | None, typer.Option(help="Benign images to add that the source gets wrong and references get right.")
    ] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="The fingerprint file.")] = Path(
        "fingerprint.safetensors"
    ),
    trusted: Trusted = False,
    device: DeviceName = "auto",
    json: Json = False,
) -> None:
    """Generate the fingerprint of a source model.

    Example: cae generate --pool pool.toml --data digits --eps 8/255 --count 100 --output fingerprint.safetensors

    Without a manifest: cae generate --source a.onnx --surrogates stolen/ --references others/ --data DIR

    An interrupted run goes on where it was when the same command is given again.
    """
    from cae_backends.datasets import open_data
    from cae_core.generation.settings import GenerationSettings
    from cae_core.pool.members import OpenPool
    from cae_core.pool.roles import generation_members
    from cae_core.workflows import generate_fingerprint

    settings = GenerationSettings.from_preset(
        preset,
        eps=eps,
        norm=norm,
        count=count,
        seed=seed,
        objective=objective,
        target=target,
        w_confer=w_confer,
        w_adversarial=w_adversarial,
        w_transfer=w_transfer,
        cap=cap,
        w_references=w_references,
        iterations=iterations,
        learning_rate=learning_rate,
        dropout=dropout,
        tau=tau,
        check_every=check_every,
        batch=batch,
        ranking=ranking,
        max_seeds=max_seeds,
        precision=precision,
        akh=akh,
    )

    opened = OpenPool(device=device)
    members = generation_members(
        source=source,
        surrogates=surrogates or [],
        references=references or [],
        pool=pool,
        trusted=trusted,
        opened=opened,
    )
    images = open_data(data, split=split)
    with resumable(), progress_bar(enabled=not json) as progress:
        result = generate_fingerprint(
            *members, images, settings=settings, output=output, opened=opened, progress=progress
        )
    summary = {
        "fingerprint": str(output),
        "id": result.fingerprint.id,
        "examples": len(result.fingerprint),
        "requested": settings.count,
        "complete": result.complete,
        "seeds_tried": result.seeds_tried,
        "steps": result.steps,
        "source_accuracy": result.fingerprint.source_accuracy,
        "akh": len(result.fingerprint.akh_labels),
        "unconfirmed": result.unconfirmed,
        "unconfirmed_probes": result.unconfirmed_probes,
    }
    if json:
        print_json(summary)
        return
    typer.echo(
        f"{output}: {summary['examples']} of {settings.count} examples from {result.seeds_tried} seeds "
        f"in {result.steps} steps (id {result.fingerprint.id[:12]})"
    )
    if settings.akh:
        typer.echo(f"{summary['akh']} of {settings.akh} images that the source gets wrong and most references do not.")
    if result.unconfirmed or result.unconfirmed_probes:
        typer.echo(
            f"Dropped: {result.unconfirmed} examples and {result.unconfirmed_probes} probes to which a member's file, "
            "run by another implementation, gives another label.",
            err=True,
        )
    if not result.complete:
        typer.echo("Fewer than asked for: no seeds were left. Lower --tau, raise --eps, or give more data.", err=True)
