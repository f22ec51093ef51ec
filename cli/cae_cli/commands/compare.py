"""`cae compare`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast

import typer

from cae_cli.options import DeviceName, Json, LimitsText, print_json
from cae_cli.progress import interruptible, progress_bar
from cae_cli.streams import say
from cae_core.foreign_text import visible
from cae_core.progress import detail

if TYPE_CHECKING:
    from cae_core.arena.compare import Comparison
    from cae_core.arena.settings import JudgedRole

__all__ = ["run"]


def run(
    *,
    pool: Annotated[
        Path | None,
        typer.Option(help="Manifest of the pool, with the roles source, calibrate and test, and possibly screen."),
    ] = None,
    data: Annotated[str, typer.Option(help="Benign images: a name or path, and options (docs/data.md).")] = "",
    method: Annotated[
        list[str] | None,
        typer.Option(
            help="Method: NAME, NAME+screened, NAME:CONFIGURATION or NAME:eps=16/255; repeatable. Default: all."
        ),
    ] = None,
    queries: Annotated[str, typer.Option(help="Numbers of queries that a score is made of.")] = "10,20,50,100,200",
    fpr: Annotated[float, typer.Option(help="Rate of false accusations.")] = 0.05,
    split: Annotated[str, typer.Option(help="Part of the data that methods may use: train, test or both.")] = "both",
    role: Annotated[
        str,
        typer.Option(
            help="Role of the models that are judged: test; or screen, which tries things out with every configuration."
        ),
    ] = "test",
    choose: Annotated[
        bool, typer.Option(help="Choose each method's configuration on the roles generate and screen.")
    ] = True,
    defence: Annotated[
        str,
        typer.Option(
            metavar="NAME:VALUE", help="What if every suspect had this defence, such as jpeg:75? See docs/defences.md."
        ),
    ] = "",
    seed: Annotated[int, typer.Option(help="Random seed for everything that is drawn.")] = 0,
    output: Annotated[
        Path,
        typer.Option("--output", "-o", help="Folder for the tables, and for the finished part of an interrupted run."),
    ] = Path("comparison"),
    list_: Annotated[bool, typer.Option("--list", help="List the methods and their configurations, and exit.")] = False,
    limits: LimitsText = "",
    device: DeviceName = "auto",
    json: Json = False,
) -> None:
    """Compare methods of telling copies from independent models: this package's and rival ones, on the same models.

    Example: cae compare --pool pool.toml --data cifar10 --output comparison

    Every method's scores are ranked among the same references (role calibrate) and judged on the same suspects (role
    test). An interrupted comparison goes on when the same command is given again; no model is asked anything twice.
    """
    if list_:
        _list(json=json)
        return
    if pool is None or not data:
        raise typer.BadParameter("expected --pool and --data", param_hint="--pool, --data")
    from cae_backends.datasets import open_data
    from cae_core.arena.compare import compare
    from cae_core.arena.contender import parse_contenders
    from cae_core.arena.settings import CompareSettings
    from cae_core.containment.limits import parse_limits
    from cae_core.pool.manifest import read_pool
    from cae_core.pool.members import OpenPool

    settings = CompareSettings(
        budgets=_budgets(queries),
        rate=fpr,
        role=cast("JudgedRole", role),  # held against the roles there are
        seed=seed,
        choose=choose,
        defence=defence,
    )
    contenders = parse_contenders(method or _usual())
    members = read_pool(pool)
    with interruptible(kept=output), progress_bar() as progress:
        detail(progress, "reading images", data)
        images = open_data(data, split=split)
        comparison = compare(
            members,
            images,
            contenders,
            settings=settings,
            output=output,
            opened=OpenPool(device=device, limits=parse_limits(limits)),
            progress=progress,
        )
    _write(comparison, output)
    if json:
        print_json(comparison, "compare")
    else:
        _show(comparison, output)


def _usual() -> list[str]:
    from cae_core.arena.kinds import known_kinds

    return list(known_kinds())


def _budgets(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(each) for each in text.split(","))
    except ValueError as error:
        raise typer.BadParameter(
            f"expected whole numbers, such as 10,20,50; found {text!r}", param_hint="--queries"
        ) from error


def _write(comparison: "Comparison", output: Path) -> None:
    from cae_cli.outputs import numbered
    from cae_core.arena.tables import as_csv, as_markdown
    from cae_core.files.records import readable_json
    from cae_core.files.storage import write_atomically

    write_atomically(output / "comparison.json", readable_json(numbered(comparison, "compare")))
    write_atomically(output / "comparison.csv", as_csv(comparison).encode())
    write_atomically(output / "comparison.md", as_markdown(comparison).encode())


def _show(comparison: "Comparison", output: Path) -> None:
    from cae_cli.render import print_rows
    from cae_core.arena.tables import COLUMNS, cells, kind_rows

    entries = {(entry.method, entry.configuration): entry for entry in comparison.entries}
    settings, suspects = comparison.settings, comparison.suspects
    print_rows(
        COLUMNS,
        [cells(entries[each.method, each.configuration], each) for each in comparison.outcomes],
        title=f"{suspects['surrogate']} surrogates and {suspects['reference']} references of the role {settings.role}, "
        f"among {comparison.references} references, at {settings.rate:g}",
    )
    if settings.defence and comparison.accuracy_without is not None:
        say(
            f"Simulated: every suspect had the defence {visible(settings.defence)}. It changes the surrogates' mean "
            f"accuracy from {comparison.accuracy_without['surrogate']:.3f} to {comparison.accuracy['surrogate']:.3f}."
        )
    columns, rows = kind_rows([each for each in comparison.outcomes if each.budget == settings.budgets[-1]])
    if settings.role == "test":
        print_rows(columns, rows, title=f"By kind of theft, {settings.budgets[-1]} queries: accused, AUC")
    for entry in comparison.entries:
        if entry.failed:
            say(f"{visible(entry.method)}, {visible(entry.configuration)}: no queries. {visible(entry.failed, None)}")
    if comparison.outcomes and comparison.outcomes[0].false_claims is None:
        say(
            f"A rate of {settings.rate:g} needs more than {comparison.references} references; with these the smallest "
            f"possible rate is {1 / (comparison.references + 1):.3g}."
        )
    say(f"{visible(str(output))}: comparison.md, comparison.csv, comparison.json.")


def _list(*, json: bool) -> None:
    from cae_core.arena.kinds import kind_named, known_kinds

    kinds = [kind_named(name) for name in known_kinds()]
    if json:
        names = ("name", "words", "configurations")
        print_json({"methods": [{name: getattr(kind, name) for name in names} for kind in kinds]}, "compare-methods")
        return
    from cae_cli.render import print_rows

    print_rows(
        ("method", "what it is", "needs", "configurations"),
        [
            (
                visible(kind.name),
                visible(kind.words, None),
                kind.configured(next(iter(kind.configurations))).needs.words,
                ", ".join(kind.configurations),
            )
            for kind in kinds
        ],
    )
