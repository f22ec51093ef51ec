"""`cae pool add`, `cae pool list` and `cae pool check`; `cae pool train` has a module of its own."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cae_cli.commands import pool_train
from cae_cli.options import DeviceName, Json, Trusted, print_json
from cae_cli.progress import progress_bar, resumable

if TYPE_CHECKING:
    from cae_core.dataset import ImageSet
    from cae_core.pool.check import MemberReport
    from cae_core.pool.manifest import PoolMember

__all__ = ["add", "app", "check", "list_members"]

app = typer.Typer(help="Train, extend and check the pool of models that a fingerprint needs.", no_args_is_help=True)
app.command("train")(pool_train.run)

_SHOWN_ONE_BY_ONE = 60

PoolPath = Annotated[Path, typer.Option("--pool", help="The manifest.")]
DataName = Annotated[str, typer.Option("--data", help="Labelled images: digits, or the path of a data set.")]
Split = Annotated[str, typer.Option("--split", help="Part of the data: train, test or all.")]
DEFAULT_POOL = Path("pool.toml")


@app.command("list")
def list_members(
    *,
    pool: PoolPath = DEFAULT_POOL,
    data: Annotated[str | None, typer.Option(help="Also measure accuracy and agreement with the source.")] = None,
    split: Split = "test",
    every: Annotated[bool, typer.Option("--all", help="One line a model, however many there are.")] = False,
    device: DeviceName = "auto",
    json: Json = False,
) -> None:
    """Show what a pool consists of: roles, kinds, accuracies, hashes; with --data also what is wrong with a model.

    Example: cae pool list --pool pool.toml
    """
    from cae_core.pool.check import MemberReport
    from cae_core.pool.manifest import read_pool

    members = read_pool(pool).members
    reports = [MemberReport(member, sha256=member.sha256 or "", accuracy=member.accuracy) for member in members]
    if data is not None:
        reports = _check(members, _images(data, split), device, quiet=json)
    _show(reports, every=every, json=json)
    for problem in (problem for report in reports for problem in report.problems):
        typer.echo(problem, err=True)


@app.command("check")
def check(
    *,
    data: DataName,
    pool: PoolPath = DEFAULT_POOL,
    split: Split = "test",
    every: Annotated[bool, typer.Option("--all", help="One line a model, however many there are.")] = False,
    device: DeviceName = "auto",
    json: Json = False,
) -> None:
    """Open every model of a pool and compare it with the manifest.

    Refused are a file that is missing or has changed, another number of classes, an accuracy that is not the
    manifest's, and a model that answers like another one: the same model under two names, converted or not.

    Example: cae pool check --pool pool.toml --data digits
    """
    from cae_core.pool.manifest import read_pool

    reports = _check(read_pool(pool).members, _images(data, split), device, quiet=json)
    _show(reports, every=every, json=json)
    _refuse([problem for report in reports for problem in report.problems], str(pool))


@app.command("add")
def add(
    models: Annotated[list[Path], typer.Argument(help="Model files: ONNX, Keras, pt2, or what a backend opens.")],
    *,
    data: DataName,
    role: Annotated[str, typer.Option(help="source, generate, screen, calibrate or test.")],
    relation: Annotated[str, typer.Option(help="source, surrogate or reference.")],
    pool: PoolPath = DEFAULT_POOL,
    kind: Annotated[str, typer.Option(help="How it was made, in words.")] = "",
    architecture: Annotated[str, typer.Option(help="In words.")] = "",
    parent: Annotated[str, typer.Option(help="File stem of the member that it was made from.")] = "",
    ancestor: Annotated[str, typer.Option(help="Pretrained weights that it descends from.")] = "",
    contract: Annotated[
        str | None, typer.Option(help="Where the file has none: a TOML file, or inline; see verify.")
    ] = None,
    split: Split = "test",
    trusted: Trusted = False,
    device: DeviceName = "auto",
    json: Json = False,
) -> None:
    """Take models from elsewhere into a pool, after the checks of `cae pool check`.

    The files stay where they are; the manifest names them and their SHA-256.

    Example: cae pool add theirs.onnx --pool pool.toml --data digits --role test --relation reference
    """
    from cae_core.errors import OptionError
    from cae_core.pool.manifest import Pool, parse_member, read_pool
    from cae_core.pool.manifest_writing import append_row

    rows = [
        {
            "path": _named_from(pool, model),
            "role": role,
            "relation": relation,
            "kind": kind,
            "architecture": architecture,
            "parent": parent,
            "ancestor": ancestor,
            "contract": _contract_table(contract),
            **_consent(model, trusted=trusted),
        }
        for model in models
    ]
    before = read_pool(pool).members if pool.exists() else ()
    if parent and parent not in {member.name for member in before}:
        raise OptionError(f"--parent: {pool} has no model with the file stem {parent!r}; `cae pool list` shows them.")
    new = [parse_member({name: value for name, value in row.items() if value}, pool) for row in rows]
    Pool.checked((*before, *new), pool)
    reports = _check((*before, *new), _images(data, split), device, quiet=json)
    added = reports[len(before) :]
    _refuse([problem for report in added for problem in report.problems], "Nothing was added")
    for row, report in zip(rows, added, strict=True):
        append_row(pool, {**row, "accuracy": round(report.accuracy or 0.0, 6), "sha256": report.sha256})
    _show(added, every=True, json=json)


def _named_from(pool: Path, model: Path) -> str:
    """The path of a model as a manifest names it: relative where it lies below the manifest."""
    folder, target = pool.resolve().parent, Path(os.path.abspath(model))  # noqa: PTH100 - links stay links
    return (target.relative_to(folder) if target.is_relative_to(folder) else target).as_posix()


def _consent(model: Path, *, trusted: bool) -> dict[str, Any]:
    """Return the fields by which the manifest trusts this very file; only a form that runs code needs them."""
    from cae_core.files.digests import sha256_of_file
    from cae_core.loaders import runs_code

    if not trusted or not model.exists() or not runs_code(model):
        return {}
    return {"trusted": True, "sha256": sha256_of_file(model)}


def _contract_table(text: str | None) -> dict[str, Any] | None:
    from cae_core.contract import read_contract
    from cae_core.errors import ContractError

    if text is None:
        return None
    contract = read_contract(text)
    if contract.mean_image is not None:
        raise ContractError("A mean image goes into a contract file beside the model, not into the manifest.")
    return contract.stated()


def _images(data: str, split: str) -> "ImageSet":
    from cae_backends.datasets import open_data

    return open_data(data, split=split)


def _check(members: "Sequence[PoolMember]", data: "ImageSet", device: str, *, quiet: bool) -> "list[MemberReport]":
    from cae_core.pool.check import check_members

    with resumable(), progress_bar(enabled=not quiet) as progress:
        return check_members(
            members, data, device=device, progress=lambda done, total: progress("asking models", done, total)
        )


def _refuse(problems: Sequence[str], origin: str) -> None:
    from cae_core.errors import PoolError

    if problems:
        raise PoolError(f"{origin}: {len(problems)} problems were found." + "".join(f"\n  {p}" for p in problems))


def _show(reports: "Sequence[MemberReport]", *, every: bool, json: bool) -> None:
    if json:
        print_json({"models": [_as_dict(report) for report in reports]})
        return
    from cae_cli.render import print_rows

    if every or len(reports) <= _SHOWN_ONE_BY_ONE:
        columns = ["role", "model", "kind", "accuracy#", "agreement#", "SHA-256"]
        print_rows(columns, [_line(report) for report in reports])
        return
    groups: dict[tuple[str, str, str], list[MemberReport]] = {}
    for report in reports:
        member = report.member
        groups.setdefault((member.role, member.relation, member.kind.partition(",")[0]), []).append(report)
    rows = [
        [*key, str(len(group)), _range([r.accuracy for r in group]), _range([r.agreement for r in group])]
        for key, group in groups.items()
    ]
    print_rows(["role", "relation", "kind", "models#", "accuracy#", "agreement#"], rows)
    typer.echo(f"\n{len(reports)} models; --all shows them one by one.")


def _as_dict(report: "MemberReport") -> dict[str, Any]:
    member = report.member
    names = ("name", "role", "relation", "kind", "architecture", "parent", "seed")
    return {
        **{name: getattr(member, name) for name in names},
        "path": str(member.path),
        "sha256": report.sha256,
        "accuracy": report.accuracy,
        "agreement": report.agreement,
        "problems": report.problems,
    }


def _line(report: "MemberReport") -> list[str]:
    member = report.member
    numbers = ("" if value is None else f"{value:.3f}" for value in (report.accuracy, report.agreement))
    return [member.role, member.name, member.kind or member.relation, *numbers, report.sha256[:8]]


def _range(values: Sequence[float | None]) -> str:
    known = sorted(value for value in values if value is not None)
    return f"{known[0]:.3f}\N{EN DASH}{known[-1]:.3f}" if known else ""
