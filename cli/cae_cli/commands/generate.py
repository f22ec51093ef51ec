"""`cae generate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cae_cli.completion import completing, presets
from cae_cli.example_facts import crowded_label, kinds_in_words, lacking_kinds
from cae_cli.options import DeviceName, Json, LimitsText, Trusted, print_json
from cae_cli.progress import interruptible, progress_bar
from cae_cli.setting_options import CommandWithSettings, takes_settings
from cae_cli.streams import complain, say
from cae_core.fingerprint.kinds import SOURCE_ERROR
from cae_core.foreign_text import visible
from cae_core.progress import detail, stage

if TYPE_CHECKING:
    from cae_core.fingerprint.file import Fingerprint
    from cae_core.generation.generate import GenerationResult
    from cae_core.generation.settings import GenerationSettings

__all__ = ["COMMAND_CLASS", "run"]

COMMAND_CLASS = CommandWithSettings
"""The command takes the settings besides its own options."""


@takes_settings
def run(
    *,
    data: Annotated[
        str, typer.Option(help="Benign images: a name or path, and options (docs/data.md): mnist,size=32.")
    ],
    source: Annotated[Path | None, typer.Option(help="The source model; default: the manifest's.")] = None,
    surrogates: Annotated[list[Path] | None, typer.Option(help="Model, folder or manifest; repeatable.")] = None,
    references: Annotated[list[Path] | None, typer.Option(help="Model, folder or manifest; repeatable.")] = None,
    pool: Annotated[
        Path | None,
        typer.Option(help="Manifest of the pool; only its source and its members of the role generate are used."),
    ] = None,
    control: Annotated[
        list[Path] | None,
        typer.Option(
            help="Manifest of a control source, or a folder of such manifests; repeatable (docs/verdicts.md)."
        ),
    ] = None,
    queries: Annotated[
        str | None,
        typer.Option(
            help="Query log: images that the source was asked, in any form of --data; needs --control and --log-date."
        ),
    ] = None,
    log_date: Annotated[
        str, typer.Option(help="With --queries: date on which the log's digest was fixed, such as 2026-05-31.")
    ] = "",
    logs_tried: Annotated[
        int,
        typer.Option(help="With --queries: number of logs that were tried, this one included; p is multiplied by it."),
    ] = 1,
    split: Annotated[
        str | None,
        typer.Option(
            help="Part of the data: train, test or both; default: the preset's, else test.",
            autocompletion=completing("train", "test", "both"),
        ),
    ] = None,
    preset: Annotated[
        str,
        typer.Option(help="Settings to start from: default, perturbed, report or report-code.", autocompletion=presets),
    ] = "default",
    output: Annotated[Path, typer.Option("--output", "-o", help="The fingerprint file.")] = Path(
        "fingerprint.safetensors"
    ),
    replace: Annotated[
        bool, typer.Option("--replace", help="Discard the state of an interrupted run with other inputs.")
    ] = False,
    trusted: Trusted = False,
    limits: LimitsText = "",
    device: DeviceName = "auto",
    json: Json = False,
    **settings: Any,  # noqa: ANN401 - by the settings' names, see `cae_cli.setting_options`
) -> None:
    """Generate the fingerprint of a source model.

    Example: cae generate --pool pool.toml --data digits --eps 8/255 --count 100 --output fingerprint.safetensors

    Without a manifest: cae generate --source a.onnx --surrogates stolen/ --references others/ --data DIR

    An interrupted run goes on where it was when the same command is given again. A command with other inputs discards
    its state with --replace only.
    """
    from cae_backends.datasets import open_data
    from cae_core.containment.limits import parse_limits
    from cae_core.generation.settings import PRESET_SPLITS, GenerationSettings
    from cae_core.pool.members import OpenPool
    from cae_core.pool.roles import control_members, generation_members
    from cae_core.workflows import checkpoint_of, controls_of, generate_fingerprint, generate_from_log

    chosen = GenerationSettings.from_preset(preset, **settings)
    opened = OpenPool(device=device, limits=parse_limits(limits))
    members = generation_members(
        source=source,
        surrogates=surrogates or [],
        references=references or [],
        pool=pool,
        trusted=trusted,
        opened=opened,
    )
    controls = control_members(control or [], references=members.references)
    if queries is not None:
        with progress_bar() as progress:
            detail(progress, "reading images", queries)
            made = generate_from_log(
                members,
                controls,
                open_data(queries, split="all"),
                open_data(data, split=split or "test"),
                date=log_date,
                settings=chosen,
                output=output,
                logs_tried=logs_tried,
                opened=opened,
                progress=stage(progress, "asking sources"),
            )
        _tell_log(made, output, json=json)
        return
    kept = controls_of(output) if controls else checkpoint_of(output)
    with interruptible(kept=kept), progress_bar() as progress:
        detail(progress, "reading images", data)
        images = open_data(data, split=split or PRESET_SPLITS.get(preset, "test"))
        result = generate_fingerprint(
            members,
            images,
            settings=chosen,
            output=output,
            controls=controls,
            opened=opened,
            replace=replace,
            progress=progress,
        )
    if json:
        print_json(_summary(result, chosen, output), "generate")
    else:
        _tell(result, chosen, output)


def _tell_log(fingerprint: "Fingerprint", output: Path, *, json: bool) -> None:
    log = fingerprint.query_log
    if json:
        told = None if log is None else log.described()
        found = {"examples": len(fingerprint), "controls": fingerprint.controls, "queries": told}
        print_json({"fingerprint": str(output), "id": fingerprint.id, **found}, "generate-from-log")
        return
    say(
        f"{visible(str(output))}: {len(fingerprint)} images of the log for each of {1 + fingerprint.controls} sources "
        f"(id {fingerprint.id[:12]})"
    )
    if log is not None:
        say(f"The log's digest is {log.sha256}; keep it with its date, {log.date}.")


def _summary(result: "GenerationResult", settings: "GenerationSettings", output: Path) -> dict[str, Any]:
    from cae_core.fingerprint.example_kinds import count_example_kinds

    return {
        "fingerprint": str(output),
        "id": result.fingerprint.id,
        "examples": len(result.fingerprint),
        "example_kinds": count_example_kinds(result.fingerprint.example_kinds),
        "requested": settings.count,
        "complete": result.complete,
        "seeds_tried": result.seeds_tried,
        "steps": result.steps,
        "source_accuracy": result.fingerprint.source_accuracy,
        "akh": len(result.fingerprint.of(SOURCE_ERROR)),
        **({"controls": result.fingerprint.controls} if result.fingerprint.controls else {}),
        "unconfirmed": result.unconfirmed,
        "unconfirmed_probes": result.unconfirmed_probes,
    }


def _tell(result: "GenerationResult", settings: "GenerationSettings", output: Path) -> None:
    fingerprint = result.fingerprint
    searched = f" from {result.seeds_tried} seeds in {result.steps} steps" if result.steps else ""
    say(f"{visible(str(output))}: {len(fingerprint)} of {settings.count} examples{searched} (id {fingerprint.id[:12]})")
    if settings.mixed:
        say(f"{kinds_in_words(fingerprint)}.")
    if settings.akh:
        found = len(fingerprint.of(SOURCE_ERROR))
        say(f"{found} of {settings.akh} images that the source gets wrong and most references do not.")
    if fingerprint.controls:
        say(f"{fingerprint.controls} control sources, with {len(fingerprint)} examples each.")
    if result.unconfirmed or result.unconfirmed_probes:
        complain(
            f"Dropped: {result.unconfirmed} examples and {result.unconfirmed_probes} probes to which a member's file, "
            "run by another implementation, gives another label."
        )
    for odd in (lacking_kinds(fingerprint, settings), crowded_label(fingerprint)):
        if odd:
            complain(odd)
    if not result.complete:
        complain("Fewer than asked for: no seeds were left. Lower --tau, raise --eps, or give more data.")
