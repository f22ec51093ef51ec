"""`cae pool add`, `cae pool list` and `cae pool check`; `cae pool train` has a module of its own."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cae_cli.commands import pool_train
from cae_cli.completion import completing
from cae_cli.contract_options import fields_of, takes_contract_fields
from cae_cli.options import DeviceName, Json, LimitsText, Trusted, print_json
from cae_cli.progress import interruptible, progress_bar
from cae_cli.streams import complain, say
from cae_core.progress import StageProgress, stage

if TYPE_CHECKING:
    from cae_core.dataset import ImageSet
    from cae_core.pool.check import MemberReport
    from cae_core.pool.manifest import PoolMember
    from cae_core.pool.support import GroupSupport

__all__ = ["add", "app", "check", "list_members"]

app = typer.Typer(help="Train, extend and check the pool of models that a fingerprint needs.", no_args_is_help=True)
app.command("train")(pool_train.run)

_SHOWN_ONE_BY_ONE = 60

PoolPath = Annotated[Path, typer.Option("--pool", help="Manifest of the pool.")]
DataName = Annotated[str, typer.Option("--data", help="Labelled images: digits, or the path of a data set.")]
Split = Annotated[
    str,
    typer.Option(
        "--split", help="Part of the data: train, test or all.", autocompletion=completing("train", "test", "all")
    ),
]
DEFAULT_POOL = Path("pool.toml")


@app.command("list")
def list_members(
    *,
    pool: PoolPath = DEFAULT_POOL,
    data: Annotated[str | None, typer.Option(help="Also measure accuracy and agreement with the source.")] = None,
    split: Split = "test",
    every: Annotated[bool, typer.Option("--all", help="Show one line for each model, even of a large pool.")] = False,
    limits: LimitsText = "",
    device: DeviceName = "auto",
    json: Json = False,
) -> None:
    """Show what a pool consists of: roles, kinds, accuracies, hashes; with --data also what is wrong with a model.

    Example: cae pool list --pool pool.toml
    """
    from cae_core.pool.check import MemberReport
    from cae_core.pool.manifest import read_pool

    members = read_pool(pool).members
    if data is None:
        reports = [MemberReport.as_listed(member) for member in members]
    else:
        reports = _check(members, _images(data, split), device, limits)
    _show(reports, every=every, json=json)
    for problem in (problem for report in reports for problem in report.problems):
        complain(problem)


@app.command("check")
def check(
    *,
    data: DataName,
    pool: PoolPath = DEFAULT_POOL,
    split: Split = "test",
    fingerprint: Annotated[
        Path | None,
        typer.Option(
            "--fingerprint", "-f", help="A fingerprint; also say which error rates the references support for it."
        ),
    ] = None,
    every: Annotated[bool, typer.Option("--all", help="Show one line for each model, even of a large pool.")] = False,
    limits: LimitsText = "",
    device: DeviceName = "auto",
    json: Json = False,
) -> None:
    """Open every model of a pool and compare it with the manifest.

    It refuses a file that is missing or has changed, another number of classes, an accuracy that differs from the
    manifest's, and a model that answers like another one: the same model under two names, converted or not.

    Example: cae pool check --pool pool.toml --data digits
    """
    from cae_core.pool.check import refuse_problems
    from cae_core.pool.manifest import read_pool

    members = read_pool(pool).members
    support = None if fingerprint is None else _supported(members, fingerprint)
    reports = _check(members, _images(data, split), device, limits)
    _show(reports, every=every, json=json, support=support)
    refuse_problems(reports, str(pool))


@app.command("add")
@takes_contract_fields
def add(
    models: Annotated[list[Path], typer.Argument(help="Model files: ONNX, Keras, pt2, or what a backend opens.")],
    *,
    data: DataName,
    role: Annotated[
        str,
        typer.Option(
            help="Role of the models: source, generate, screen, calibrate or test.",
            autocompletion=completing("source", "generate", "screen", "calibrate", "test"),
        ),
    ],
    relation: Annotated[
        str,
        typer.Option(
            help="Relation of the models to the source: source, surrogate or reference.",
            autocompletion=completing("source", "surrogate", "reference"),
        ),
    ],
    pool: PoolPath = DEFAULT_POOL,
    kind: Annotated[str, typer.Option(help="How the models were made, in words.")] = "",
    architecture: Annotated[str, typer.Option(help="Architecture of the models, in words.")] = "",
    parent: Annotated[str, typer.Option(help="File stem of the member that the models were made from.")] = "",
    ancestor: Annotated[str, typer.Option(help="Pretrained weights that the models descend from.")] = "",
    recipe: Annotated[
        str, typer.Option(help="How the models were trained, in words that models of one recipe share.")
    ] = "",
    exposure: Annotated[
        str,
        typer.Option(
            help="How many of a fingerprint's images they were trained on: all, partly or none.",
            autocompletion=completing("all", "partly", "none"),
        ),
    ] = "",
    contract: Annotated[
        str | None, typer.Option(help="Contract for files that have none: a TOML file, or inline; see cae verify.")
    ] = None,
    split: Split = "test",
    trusted: Trusted = False,
    limits: LimitsText = "",
    device: DeviceName = "auto",
    json: Json = False,
    **fields: str | None,
) -> None:
    """Add models from elsewhere to a pool, after the checks of `cae pool check`.

    The files stay where they are; the manifest names them and their SHA-256.

    Example: cae pool add theirs.onnx --pool pool.toml --data digits --role test --relation reference
    """
    from cae_core.containment.limits import parse_limits
    from cae_core.opening.stating import stated_for_many
    from cae_core.pool.adding import add_models, describe_models

    rows = describe_models(
        models,
        pool,
        role=role,
        relation=relation,
        kind=kind,
        architecture=architecture,
        parent=parent,
        ancestor=ancestor,
        recipe=recipe,
        exposure=exposure,
        contract=stated_for_many(contract, fields_of(fields)),
        trusted=trusted,
    )
    images = _images(data, split)
    with _asking() as progress:
        added = add_models(rows, pool, images, device=device, limits=parse_limits(limits), progress=progress)
    _show(added, every=True, json=json)


def _images(data: str, split: str) -> "ImageSet":
    from cae_backends.datasets import open_data

    return open_data(data, split=split)


def _check(members: "Sequence[PoolMember]", data: "ImageSet", device: str, limits: str) -> "list[MemberReport]":
    from cae_core.containment.limits import parse_limits
    from cae_core.pool.check import check_members

    with _asking() as progress:
        return check_members(members, data, device=device, limits=parse_limits(limits), progress=progress)


@contextmanager
def _asking() -> Iterator[StageProgress]:
    """Show how many models were asked."""
    with interruptible(), progress_bar() as progress:
        yield stage(progress, "asking models")


def _supported(members: "Sequence[PoolMember]", fingerprint: Path) -> "list[GroupSupport]":
    from cae_core.fingerprint.file import load_fingerprint
    from cae_core.pool.support import supported

    return supported(members, load_fingerprint(fingerprint))


def _show(
    reports: "Sequence[MemberReport]", *, every: bool, json: bool, support: "list[GroupSupport] | None" = None
) -> None:
    if json:
        print_json({"models": reports} | ({} if support is None else {"support": support}), "pool")
        return
    _show_members(reports, every=every)
    if support is not None:
        _show_support(support)


def _show_support(support: "list[GroupSupport]") -> None:
    from cae_cli.render import print_rows

    columns = ["role", "references", "models#", "least rate#", "recipes#", "architectures#"]
    rows = [
        [
            group.role,
            group.exposure.words + (f" ({group.unknown} of them unknown)" if group.unknown else ""),
            str(group.models),
            f"{group.least_rate:.3g}",
            str(group.recipes),
            str(group.architectures),
        ]
        for group in support
    ]
    print_rows(columns, rows, title="What the references support")


def _show_members(reports: "Sequence[MemberReport]", *, every: bool) -> None:
    if every or len(reports) <= _SHOWN_ONE_BY_ONE:
        from cae_cli.render import print_rows

        columns = ["role", "relation", "model", "kind", "accuracy#", "agreement#", "SHA-256"]
        print_rows(columns, [_line(report) for report in reports])
    else:
        _show_groups(reports)


def _show_groups(reports: "Sequence[MemberReport]") -> None:
    from cae_cli.render import print_rows

    groups: dict[tuple[str, str, str], list[MemberReport]] = {}
    for report in reports:
        member = report.member
        groups.setdefault((member.role, member.relation, member.kind.partition(",")[0]), []).append(report)
    rows = [
        [*key, str(len(group)), _range([r.accuracy for r in group]), _range([r.agreement for r in group])]
        for key, group in groups.items()
    ]
    print_rows(["role", "relation", "kind", "models#", "accuracy#", "agreement#"], rows)
    say(f"\n{len(reports)} models; --all shows them one by one.")


def _line(report: "MemberReport") -> list[str]:
    member = report.member
    numbers = ("" if value is None else f"{value:.3f}" for value in (report.accuracy, report.agreement))
    return [member.role, member.relation, member.name, member.kind, *numbers, report.sha256[:8]]


def _range(values: Sequence[float | None]) -> str:
    known = sorted(value for value in values if value is not None)
    return f"{known[0]:.3f}\N{EN DASH}{known[-1]:.3f}" if known else ""
