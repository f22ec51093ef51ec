"""Where everything comes from: each input of a verdict with its SHA-256, and the versions of what made it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from cae_report.dossier import Dossier

__all__ = ["Input", "inputs", "settings_of"]

_RELATIONS = (("surrogates", "generation surrogate"), ("references", "generation reference"))


@dataclass(frozen=True)
class Input:
    """One file that a verdict rests on.

    Attributes:
        part: what it was used for.
        name: name of the file, or an address.
        sha256: SHA-256 of the content; empty if none is recorded.
        kind: how it was made, and its architecture; empty where unknown.
    """

    part: str
    name: str
    sha256: str
    kind: str = ""


def inputs(dossier: Dossier) -> tuple[Input, ...]:
    """Return every input but the calibration models that are listed with their scores."""
    verdict, generation = dossier.verdict, dossier.fingerprint.generation
    made = [
        Input("suspect", verdict.suspect.name, verdict.suspect.sha256),
        Input("verdict", *dossier.record),
        Input("fingerprint, as used", "", dossier.subject.sha256),
        Input("fingerprint, at hand", *dossier.file),
        *([] if dossier.calibration is None else [Input("calibration", "", dossier.subject.content_sha256)]),
        *_described("source", generation.get("source")),
        *_described("benign data", generation.get("data")),
    ]
    for name, part in _RELATIONS:
        made += _described(part, generation.get(name))
    if dossier.calibration is not None:
        made += [
            Input("screen model", model.name, model.sha256, _kind(model.kind, model.architecture))
            for model in dossier.calibration.screen
        ]
    return tuple(made)


def _described(part: str, value: Any) -> Iterator[Input]:  # noqa: ANN401 - the other party's JSON
    for item in value if isinstance(value, list) else [value]:
        if isinstance(item, dict):
            kind = _kind(item.get("kind"), item.get("architecture"))
            yield Input(part, str(item.get("name", "")), str(item.get("sha256", "")), kind)


def _kind(*words: Any) -> str:  # noqa: ANN401
    return ", ".join(str(word) for word in words if word)


def settings_of(dossier: Dossier) -> dict[str, str]:
    """Return the settings of the generation, each as a text."""
    settings = dossier.fingerprint.generation.get("settings")
    if not isinstance(settings, dict):
        return {}
    return {str(name): _shown(value) for name, value in settings.items()}


def _shown(value: object) -> str:
    """Return a setting for people: numbers of at most six digits, and no value is the default."""
    if value is None:
        return "default"
    if isinstance(value, float):
        return f"{value:.6g}"
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
