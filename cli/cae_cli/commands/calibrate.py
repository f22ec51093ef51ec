"""`cae calibrate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cae_cli.completion import exposures, nulls, scores, units
from cae_cli.options import DeviceName, FingerprintPath, Json, LimitsText, Trusted, print_json
from cae_cli.progress import progress_bar
from cae_cli.streams import say
from cae_core.progress import stage

if TYPE_CHECKING:
    from cae_core.calibration.calibrate import CalibrationSettings
    from cae_core.calibration.calibrated import CalibratedFingerprint
    from cae_core.calibration.scan_plan import ScanPlan

__all__ = ["run"]

_SURROGATES, _EXAMPLES, _PROBES = 5, 100, 200
"""Of each control source where the pool names no *generate* surrogates, and what `cae generate` makes by default."""


def run(
    *,
    fingerprint: FingerprintPath = Path("fingerprint.safetensors"),
    pool: Annotated[
        Path | None, typer.Option(help="Manifest of the pool; its members of the roles calibrate and screen are used.")
    ] = None,
    surrogates: Annotated[list[Path] | None, typer.Option(help="Model, folder or manifest; repeatable.")] = None,
    references: Annotated[list[Path] | None, typer.Option(help="Model, folder or manifest; repeatable.")] = None,
    fpr: Annotated[float, typer.Option(help="Rate of false accusations.")] = 0.05,
    fnr: Annotated[float, typer.Option(help="Rate of surrogates called independent.")] = 0.05,
    score: Annotated[
        str | None,
        typer.Option(
            autocompletion=scores,
            help="Score that decides the verdict: caeacc, adjusted (the larger p of it and caeacc counts) or llr.  "
            "[default: adjusted if natural errors are examples and each group of references that counts has 40, else "
            "caeacc]",
        ),
    ] = None,
    degree: Annotated[
        int | None,
        typer.Option(
            help="Degree of the polynomial in benign accuracy that the adjusted score takes out: 0, 1 or 2; default: 2 "
            "from 40 references on, else 1."
        ),
    ] = None,
    null: Annotated[
        str,
        typer.Option(
            autocompletion=nulls,
            help="What an accusation rejects: references, sources, two-way or both (docs/verdicts.md).",
        ),
    ] = "references",
    exposure: Annotated[
        str,
        typer.Option(
            autocompletion=exposures,
            help="References that count, by how many of the fingerprint's images they were trained on: largest (the "
            "largest p over all groups), all, partly or none.",
        ),
    ] = "largest",
    unit: Annotated[
        str,
        typer.Option(
            autocompletion=units,
            help="What counts as one draw among the references: model, recipe, architecture, or group (the larger p of "
            "recipe and architecture).",
        ),
    ] = "model",
    behind: Annotated[
        list[str] | None,
        typer.Option(
            help="Defence such as jpeg:75 (docs/defences.md) behind which every reference is asked as well, as a group "
            "of its own; the largest p over all groups counts. For innocent suspects that may change their images; "
            "repeatable."
        ),
    ] = None,
    keep: Annotated[
        int | None, typer.Option(help="Number of examples to keep, chosen by the models of the role screen.")
    ] = None,
    parametric: Annotated[
        bool, typer.Option("--parametric", help="Take the p-value from a beta-binomial model; it carries no bound.")
    ] = False,
    plan: Annotated[bool, typer.Option("--plan", help="Say how many models the rates need; ask no model.")] = False,
    suspects: Annotated[
        int | None, typer.Option(min=1, help="With --plan: number of suspects that a scan is to judge (docs/scan.md).")
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", help="File for the calibrated fingerprint; default: the fingerprint's own file."
        ),
    ] = None,
    trusted: Trusted = False,
    limits: LimitsText = "",
    device: DeviceName = "auto",
    json: Json = False,
) -> None:
    """Calibrate a fingerprint, so that its verdicts have p-values at known error rates.

    The threshold comes from models that had no part in making the fingerprint.

    Example: cae calibrate --fingerprint fingerprint.safetensors --pool pool.toml --fpr 0.01 --fnr 0.05

    To see beforehand how many models the rates need: cae calibrate --plan --pool pool.toml --fpr 0.01

    The fingerprint's id never changes. If the pool has models of the role screen, they choose and weight the examples.
    """
    from cae_core.calibration.calibrate import CalibrationSettings
    from cae_core.containment.limits import parse_limits
    from cae_core.pool.members import OpenPool
    from cae_core.pool.roles import calibration_members
    from cae_core.workflows import calibrate_fingerprint

    settings = CalibrationSettings(
        fpr=fpr,
        fnr=fnr,
        score=score or "",
        parametric=parametric,
        keep=keep,
        degree=degree,
        null=null,
        exposure=exposure,
        unit=unit,
        behind=tuple(behind or ()),
    )
    opened = OpenPool(device=device, limits=parse_limits(limits))
    members = calibration_members(
        surrogates=surrogates or [], references=references or [], pool=pool, trusted=trusted, opened=opened
    )
    if suspects is not None and not plan:
        raise typer.BadParameter("--suspects needs --plan", param_hint="--suspects")
    if plan:
        made_with = sum(member.relation == "surrogate" for member in members.generation)
        at_hand = {"references": len(members.references), "surrogates": len(members.surrogates)}
        _show_plan(settings, at_hand, generating=made_with or _SURROGATES, suspects=suspects, json=json)
        return
    with progress_bar() as progress:
        calibrated = calibrate_fingerprint(
            fingerprint,
            members,
            settings=settings,
            output=output,
            opened=opened,
            progress=stage(progress, "asking models"),
        )
    _show(calibrated, output or fingerprint, other_score=_other_score(calibrated, settings), json=json)


def _other_score(subject: "CalibratedFingerprint", settings: "CalibrationSettings") -> str:
    """Return why another score decides than the one that was asked for; empty where none does."""
    from cae_core.calibration.adjusting import adjusted_in_vain
    from cae_core.calibration.calibrate import wanted_score

    calibration = subject.calibration
    if calibration is None or not settings.score or calibration.score == wanted_score(settings, subject.fingerprint):
        return ""
    return adjusted_in_vain(len(subject.fingerprint.probe_images), len(calibration.references), calibration.degree)


def _show_plan(
    settings: "CalibrationSettings", at_hand: dict[str, int], *, generating: int, suspects: int | None, json: bool
) -> None:
    from cae_core.calibration.calibrate import plan_calibration
    from cae_core.calibration.null_plan import plan_nulls
    from cae_core.calibration.scan_plan import plan_scan

    plans = {
        "references": plan_calibration(settings.fpr, at_hand["references"]),
        "surrogates": plan_calibration(settings.fnr, at_hand["surrogates"]),
    }
    nulls = plan_nulls(settings.fpr, surrogates=generating, examples=_EXAMPLES, probes=_PROBES)
    scan = None if suspects is None else plan_scan(settings.fpr, suspects=suspects, references=at_hand["references"])
    if json:
        print_json({**plans, "nulls": nulls, **({} if scan is None else {"scan": scan})}, "calibrate-plan")
        return
    from cae_cli.render import print_rows

    columns = ("relation", "rate#", "takes#", "sequential#", "at hand#", "least rate#", "may score higher#")
    print_rows(
        columns,
        [
            (
                relation,
                f"{plan.rate:g}",
                str(plan.needed),
                str(plan.needed_sequential),
                str(plan.models),
                f"{plan.best:.3g}",
                str(plan.exceeded),
            )
            for relation, plan in plans.items()
        ],
        title="Calibration models that the rates take",
    )
    for relation, plan in plans.items():
        if plan.models < plan.needed:
            say(f"{plan.needed - plan.models} more {relation} are needed for a rate of {plan.rate:g}.")
    print_rows(
        ("--null", "references#", "control sources#", "models to train#", "queries of a suspect#"),
        [(p.null.value, str(p.references), str(p.controls), str(p.models), str(p.queries)) for p in nulls],
        title=f"What a rate of {settings.fpr:g} takes, with {generating} surrogates for each control source, "
        f"{_EXAMPLES} examples and {_PROBES} benign images",
    )
    if scan is not None:
        _show_scan_plan(scan)


def _show_scan_plan(plan: "ScanPlan") -> None:
    from cae_cli.render import print_rows

    print_rows(
        ("copies among them#", "references, bh#", "references, holm#"),
        [(str(each.copies), str(each.benjamini_hochberg), str(each.holm)) for each in plan.takes],
        title=f"References that finding copies among {plan.suspects} suspects takes, each copy above all of them",
    )
    say(plan.words)


def _show(subject: "CalibratedFingerprint", path: Path, *, other_score: str, json: bool) -> None:
    from cae_cli.calibration_facts import calibration_lines, describe_calibration
    from cae_cli.calibration_rates import describe_rates, rate_lines, unsupported_rate
    from cae_report.text import few

    fingerprint, described = subject.fingerprint, describe_calibration(subject) or {}
    described |= {"other_score": other_score} if other_score else {}
    described |= describe_rates(subject)
    if json:
        print_json({"fingerprint": str(path), "id": fingerprint.id, **described}, "calibrate")
        return
    from cae_cli.render import print_facts

    print_facts({"id": fingerprint.id[:32], **calibration_lines(described, len(fingerprint))}, title=str(path))
    told = few(described["examples_chosen"])
    warned = f"\nWarning: few examples: {told}." if told else ""
    for sentence in (other_score, warned, unsupported_rate(described), *rate_lines(described)):
        if sentence:
            say(sentence)
