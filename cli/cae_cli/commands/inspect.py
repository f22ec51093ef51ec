"""`cae inspect`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cae_cli.options import Json, print_json

if TYPE_CHECKING:
    from cae_core.fingerprint import Fingerprint

__all__ = ["run"]


def run(
    fingerprint: Annotated[Path, typer.Argument(help="The fingerprint file.")],
    *,
    json: Json = False,
) -> None:
    """Show what a fingerprint file holds.

    Example: cae inspect fingerprint.safetensors
    """
    from cae_core.fingerprint import load_fingerprint

    facts = _describe(load_fingerprint(fingerprint))
    if json:
        print_json(facts)
        return
    from cae_cli.render import print_facts

    generation = facts.pop("generation")
    settings, source = generation["settings"], generation["source"]
    facts["labels"] = ", ".join(f"{name} {count}" for name, count in facts["labels"].items() if count)
    facts["source"] = f"{source['name']}, {source['accuracy']:.1%} on the benign data, {source['sha256'][:16]}"
    for relation in ("surrogates", "references"):
        names = [member["name"] for member in generation[relation]]
        facts[relation] = f"{len(names)}: {', '.join(names)}"
    facts["data"] = f"{generation['data']['name']}, {generation['data']['sha256'][:16]}"
    facts["tools"] = ", ".join(f"{name} {version}" for name, version in facts["tools"].items())
    print_facts(facts, title=str(fingerprint))
    print_facts(settings, title="settings")


def _describe(fingerprint: "Fingerprint") -> dict[str, Any]:
    import numpy as np

    change = np.abs(fingerprint.images.astype(int) - fingerprint.seeds.astype(int)).max(axis=(1, 2, 3))
    counts = np.bincount(fingerprint.labels, minlength=len(fingerprint.class_names)).tolist()
    return {
        "id": fingerprint.id,
        "examples": len(fingerprint),
        "geometry": list(fingerprint.images.shape[1:]),
        "largest change (8-bit levels)": int(change.max()),
        "mean conferrability on the generation pools (no result)": round(float(fingerprint.conferrability.mean()), 4),
        "mean steps": round(float(fingerprint.steps.mean()), 1),
        "labels": dict(zip(fingerprint.class_names, counts, strict=True)),
        "benign probes": len(fingerprint.probe_images),
        "generation": dict(fingerprint.generation),
        "tools": fingerprint.tools,
    }
