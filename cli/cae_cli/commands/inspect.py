"""`cae inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cae_cli.example_facts import kinds_in_words
from cae_cli.options import Json, print_json
from cae_cli.streams import say
from cae_core.foreign_text import visible

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cae_core.fingerprint.file import Fingerprint

__all__ = ["run"]

_UNNAMED = "without a name"


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
        print_json(facts, "inspect")
        return
    from cae_cli.render import print_facts

    generation, errors = facts["generation"], facts[SOURCE_ERROR.name]
    source = generation["source"]
    shown = {
        "id": facts["id"][:32],
        "examples": f"{facts['examples']} of {' x '.join(map(str, facts['geometry']))}",
        "kinds of examples": kinds_in_words(subject.fingerprint),
        "largest change": f"{facts['largest_change']} of 255 levels",
        "conferrability": f"{facts['mean_conferrability']:.2f} on the search's own models; no result to report",
        "steps": f"{facts['mean_steps']:.0f} on average",
        "labels": ", ".join(f"{visible(name)}: {count}" for name, count in facts["labels"].items() if count),
        "benign probes": facts["benign_probes"],
        "source's errors": f"{errors} benign images that the source gets wrong" if errors else "none",
        "source": _described(source, f"{source['accuracy']:.1%} on the benign data"),
        **{relation: _names(generation.get(relation, [])) for relation in ("surrogates", "references")},
        **_sources(subject.fingerprint),
        "data": _described(generation.get("data", {})),
        "made with": ", ".join(f"{name} {version}" for name, version in facts["tools"].items()),
    }
    print_facts(shown, title=str(fingerprint))
    print_facts(generation.get("settings", {}), title="settings")
    if facts["calibration"] is None:
        say("calibration: none; verdicts use the literature's threshold 0.75, which carries no error rate")
    else:
        print_facts(calibration_lines(facts["calibration"], facts["examples"]), title="calibration")


def _sources(fingerprint: "Fingerprint") -> dict[str, str]:
    """Return what is behind a rank among sources; nothing in a fingerprint without."""
    from cae_core.fingerprint.control_sources import described_controls

    log, found = fingerprint.query_log, dict[str, str]()
    if fingerprint.controls:
        found["control sources"] = _names(described_controls(fingerprint.generation))
    if log is not None:
        found["query log"] = f"{log.count} images, digest {log.sha256[:16]} of {log.date}; {log.logs_tried} tried"
    return found


def _names(members: list[dict[str, str]]) -> str:
    return f"{len(members)}: {', '.join(visible(member.get('name', _UNNAMED)) for member in members)}"


def _described(known: "Mapping[str, str]", *facts: str) -> str:
    """Return what a file says of a model or data set; another tool's may say less than this project's."""
    return ", ".join((visible(known.get("name", _UNNAMED)), *facts, known.get("sha256", "")[:16] or "no digest"))


def _describe(fingerprint: "Fingerprint") -> dict[str, Any]:
    import numpy as np

    from cae_core.fingerprint.example_kinds import BLEND, count_example_kinds
    from cae_core.fingerprint.kinds import FURTHER

    searched = fingerprint.example_kinds != BLEND.code  # two images put together are no small change of one
    change = np.abs(fingerprint.images[searched].astype(int) - fingerprint.seeds[searched].astype(int))
    counts = np.bincount(fingerprint.labels, minlength=len(fingerprint.class_names)).tolist()
    return {
        "id": fingerprint.id,
        "examples": len(fingerprint),
        "geometry": list(fingerprint.images.shape[1:]),
        "example_kinds": count_example_kinds(fingerprint.example_kinds),
        "largest_change": int(change.max(initial=0)),
        "mean_conferrability": float(fingerprint.conferrability.mean()),
        "mean_steps": float(fingerprint.steps.mean()),
        "labels": dict(zip(fingerprint.class_names, counts, strict=True)),
        "benign_probes": len(fingerprint.probe_images),
        **{kind.name: len(fingerprint.of(kind)) for kind in FURTHER},
        "generation": fingerprint.generation,
        "tools": fingerprint.tools,
    }
