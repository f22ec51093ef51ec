"""`cae demo`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cae_cli.options import Json, print_json
from cae_cli.progress import interruptible, progress_bar
from cae_cli.streams import say
from cae_core.foreign_text import visible

if TYPE_CHECKING:
    from rich.text import Text

    from cae_cli.demo import DemoResult
    from cae_cli.demo_pages import DemoPages
    from cae_core.pool.manifest import PoolMember
    from cae_core.verification.verdict import Verdict

__all__ = ["run"]


def run(
    *,
    workdir: Annotated[Path, typer.Option(help="Folder for models, fingerprint and manifest.")] = Path("demo"),
    workers: Annotated[
        int | None, typer.Option(help="Number of models trained at a time; default: one for each core.")
    ] = None,
    json: Json = False,
) -> None:
    """Do the whole job on real input: train a pool on handwritten digits, fingerprint its source, verify suspects.

    Example: cae demo --workdir demo

    It ends with HTML pages of three verdicts, for people who decide, if the extra `report` is installed.

    A second call with the same folder trains only what is missing. It takes some minutes on two cores.
    """
    from cae_cli.demo import run_demo

    with interruptible(kept=workdir / "state"), progress_bar() as progress:
        result = run_demo(workdir, workers=workers, progress=progress)
    if json:
        print_json(result, "demo")
    else:
        _show(result)


def _show(result: "DemoResult") -> None:
    from cae_cli.render import print_rows

    print_rows(
        ["what", "kind", "acc.#", "CAEAcc#", "p#", "high, low#", "verdict"],
        [_row(*pair) for pair in sorted(result.verdicts, key=lambda pair: -pair[1].caeacc.value)],
        title="Held-out suspects: no one of them was used to make the fingerprint",
    )
    say(
        f"\nROC AUC of CAEAcc over these suspects: {result.auc:.3f}"
        f"\n{_calibrated_by(result.verdicts[0][1])}\n"
        "High: references that score as high; low: surrogates that score as low.\n"
    )
    _show_pages(result.pages)
    say("\nEach step by hand:")
    for command in result.commands():
        say(f"  {command}")


def _show_pages(found: "DemoPages") -> None:
    """Say where the pages are, or how to get what draws them."""
    if found.missing:
        say(f"Three of these verdicts would be HTML pages. {found.missing}")
        return
    say("The verdicts with the highest score, nearest to the threshold, and with the lowest score, as HTML pages:")
    for page in found.pages:
        say(f"  {visible(str(page))}")


def _calibrated_by(verdict: "Verdict") -> str:
    behind = verdict.behind
    if behind is None:
        return "Not calibrated."
    return (
        f"Calibrated by {behind.references} references and {behind.surrogates} surrogates of their own: "
        f"false accusations {behind.fpr:g}, surrogates missed {behind.fnr:g}."
    )


def _row(member: "PoolMember", verdict: "Verdict") -> "list[str | Text]":
    from rich.text import Text

    from cae_cli.render import VERDICT_STYLES

    return [
        member.relation,
        member.kind,
        "" if member.accuracy is None else f"{member.accuracy:.3f}",
        f"{verdict.caeacc.value:.2f}",
        "" if verdict.decision.p_value is None else f"{verdict.decision.p_value:.2f}",
        _sides(verdict),
        Text(verdict.decision.verdict, VERDICT_STYLES[verdict.decision.verdict]),
    ]


def _sides(verdict: "Verdict") -> str:
    """Return how many references score as high, and how many surrogates as low."""
    sides = verdict.decision.sides
    return "" if sides is None else f"{sides.as_high}, {sides.as_low}"
