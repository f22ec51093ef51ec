"""`cae inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cae_cli.options import Json, print_json
from cae_cli.streams import say
from cae_core.foreign_text import visible

if TYPE_CHECKING:
    from cae_core.fingerprint.file import Fingerprint

__all__ = ["run"]


def run(
    fingerprint: Annotated[Path, typer.Argument(help="The fingerprint file.")],
    *,
    json: Json = False,
) -> None:
    """Show what a fingerprint file holds, and whether and how it is calibrated.

    Example: cae inspect fingerprint.safetensors
    """
    from cae_cli.calibration_facts import calibration_lines, describe_calibration
    from cae_core.calibration.calibrated import load_calibrated
    from cae_core.fingerprint.kinds import SOURCE_ERROR

    subject = load_calibrated(fingerprint)
    facts = {**_describe(subject.fingerprint), "calibration": describe_calibration(subject)}
    if json:
        print_json(facts)
        return
    from cae_cli.render import print_facts

    generation, errors = facts["generation"], facts[SOURCE_ERROR.name]
    source, data = generation["source"], generation["data"]
    shown = {
        "id": facts["id"][:32],
        "examples": f"{facts['examples']} of {' x '.join(map(str, facts['geometry']))}",
        "largest change": f"{facts['largest_change']} of 255 levels",
        "conferrability": f"{facts['mean_conferrability']:.2f} on the generation pools: no result",
        "steps": f"{facts['mean_steps']:.0f} on average",
        "labels": ", ".join(f"{visible(name)}: {count}" for name, count in facts["labels"].items() if count),
        "benign probes": facts["benign_probes"],
        "source's errors": f"{errors} benign images that the source gets wrong" if errors else "none",
        "source": f"{_name(source)}, {source['accuracy']:.1%} on the benign data, {source['sha256'][:16]}",
        **{relation: _names(generation[relation]) for relation in ("surrogates", "references")},
        "data": f"{_name(data)}, {data['sha256'][:16]}",
        "made with": ", ".join(f"{name} {version}" for name, version in facts["tools"].items()),
    }
    print_facts(shown, title=str(fingerprint))
    print_facts(generation["settings"], title="settings")
    if facts["calibration"] is None:
        say("calibration: none; verdicts use the literature's threshold 0.75, which carries no error rate")
    else:
        print_facts(calibration_lines(facts["calibration"], facts["examples"]), title="calibration")


def _names(members: list[dict[str, str]]) -> str:
    return f"{len(members)}: {', '.join(map(_name, members))}"


def _name(described: dict[str, Any]) -> str:
    return visible(str(described["name"]))


def _describe(fingerprint: "Fingerprint") -> dict[str, Any]:
    import numpy as np

    from cae_core.fingerprint.kinds import FURTHER

    change = np.abs(fingerprint.images.astype(int) - fingerprint.seeds.astype(int))
    counts = np.bincount(fingerprint.labels, minlength=len(fingerprint.class_names)).tolist()
    return {
        "id": fingerprint.id,
        "examples": len(fingerprint),
        "geometry": list(fingerprint.images.shape[1:]),
        "largest_change": int(change.max()),
        "mean_conferrability": float(fingerprint.conferrability.mean()),
        "mean_steps": float(fingerprint.steps.mean()),
        "labels": dict(zip(fingerprint.class_names, counts, strict=True)),
        "benign_probes": len(fingerprint.probe_images),
        **{kind.name: len(fingerprint.of(kind)) for kind in FURTHER},
        "generation": fingerprint.generation,
        "tools": fingerprint.tools,
    }
