"""The files that the cases start from: images, a source, models of every role and suspects of every kind."""

from itertools import chain
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tests.golden.models import whole_numbers, write_model

__all__ = ["write_world"]

SHAPE, CLASSES = (5, 5, 1), 5
PIXELS = 25
_KINDS = ("hard labels", "pruned", "fine-tuned")

Weights = NDArray[np.int64]

TEMPLATES = whole_numbers("templates", PIXELS * CLASSES).reshape(PIXELS, CLASSES)
OWN = whole_numbers("the source's oddity", PIXELS * CLASSES).reshape(PIXELS, CLASSES)


def source_weights() -> Weights:
    """Return what every good model knows, and what the source alone knows."""
    return 10 * TEMPLATES + 9 * OWN


def derived(name: str, *, own: int = 9, noise: int = 2) -> Weights:
    """Return weights that share ``own`` ninths of the source's oddity."""
    return 10 * TEMPLATES + own * OWN + noise * _oddity(name)


def independent(name: str, *, known: int = 10) -> Weights:
    """Return weights with an oddity of their own."""
    return known * TEMPLATES + 9 * _oddity(name)


def _oddity(name: str) -> Weights:
    return whole_numbers(name, PIXELS * CLASSES).reshape(PIXELS, CLASSES)


def write_world(folder: Path) -> None:
    """Write images, models and manifests; every path in them is relative."""
    _write_images(folder / "images.npz", 130)
    _write_images(folder / "judge.npz", 130)
    _write_images(folder / "many.npz", 280)  # of which some are neither seeds nor probes
    write_model(folder / "source.exact", source_weights())
    _write_suspects(folder / "suspects")
    (folder / "broken.exact").write_text("{}")
    (folder / "model.pickle").write_bytes(b"no pickle")
    (folder / "empty.fingerprint").write_bytes(b"")
    for name, rows in _manifests(folder).items():
        (folder / f"{name}.toml").write_text("\n".join(rows))


def _write_suspects(folder: Path) -> None:
    for name, (weights, manner) in SUSPECTS.items():
        write_model(folder / f"{name}.exact", weights, **manner)
    write_model(folder / "copy.program", derived("program"))
    # the answers of another model, in another file
    write_model(folder / "converted.exact", independent("judge/calibrate/other-03", known=13), beyond=-2)
    write_model(folder / "twin.exact", source_weights(), beyond=-2)


def _manifests(folder: Path) -> dict[str, list[str]]:
    """Write the members of all pools, and return the rows of each manifest."""
    source = _row("source.exact", "source", "source")
    own = {role: _write_members(folder, role, count) for role, count in ROLES.items()}
    made = [*own["generate"], *own["calibrate"]]
    judges = [
        *_write_members(folder, "generate", 3, of="judge/"),
        *_write_members(folder, "calibrate", 19, of="judge/"),
    ]
    return {
        "pool": [source, *chain(*own.values())],
        "calibrate": [source, *made],
        "strong": [source, *(row for row in made if not _is_weak(row))],
        "pretrained": [source + 'ancestor = "imagenet"\n', *made],
        "judge": [source, *judges],
        "judge-screen": [source, *judges, *own["screen"]],
        "judge-strong": [source, *(row for row in judges if not _is_weak(row))],
        "few": [source, *judges[:-2]],
        "claimants": [source, *judges, *own["generate"]],
        "sourced": [source, *judges, _row("suspects/twin.exact", "calibrate", "reference")],
        "broken": [
            source + f'sha256 = "{"0" * 64}"\n',
            _row("missing.exact", "test", "reference"),
            _row("suspects/narrow.exact", "test", "reference"),
            _row("suspects/stranger.exact", "test", "reference") + "accuracy = 0.5\n",
            _row("suspects/converted.exact", "test", "reference"),
            _row("judge/calibrate/other-03.exact", "calibrate", "reference"),
        ],
    }


ROLES = {"generate": 3, "calibrate": 19, "screen": 4, "test": 5}
"""Of each relation so many models have this role."""

SUSPECTS: dict[str, tuple[Weights, dict[str, int | bool]]] = {
    "copy": (derived("copy"), {}),
    "labels": (derived("labels"), {"labels_only": True}),
    "stranger": (independent("stranger"), {}),
    "between": (derived("half b", own=1, noise=5), {}),
    "weak": (derived("weak", own=4), {}),
    "refusing": (derived("refusing"), {"refuses": 200, "beyond": 40}),
    "evading": (derived("evading"), {"random": 250, "beyond": 40}),
    "random": (independent("random"), {"random": 200}),
    "forgetful": (independent("forgetful"), {"forgets": True}),
    "constant": (independent("constant"), {"always": 3}),
    "poor": (derived("poor"), {"random": 80}),
    "clumsy": (independent("clumsy"), {"random": 95}),
    "narrow": (derived("narrow")[:, :4], {}),
}


def _write_images(path: Path, count: int) -> None:
    labels = np.arange(count, dtype=np.int64) % CLASSES
    noise = whole_numbers(f"noise of {path.stem}", count * PIXELS).reshape(count, PIXELS)
    levels = np.clip(128 + (2 * TEMPLATES.T[labels] + 2 * noise) // 16, 0, 255).astype(np.uint8)
    names = np.array(["ant", "bee", "cat", "dog", "élan"])
    np.savez(path, images=levels.reshape(-1, *SHAPE), labels=labels, class_names=names)


def _write_members(folder: Path, role: str, count: int, *, of: str = "") -> list[str]:
    rows: list[str] = []
    for i in range(count):
        copy, other = f"{of}{role}/copy-{i:02}", f"{of}{role}/other-{i:02}"
        write_model(folder / f"{copy}.exact", derived(copy, own=9 - i % 9, noise=2 + i % 6))
        write_model(folder / f"{other}.exact", independent(other, known=10 + i % 4))
        rows += [_row(f"{copy}.exact", role, "surrogate", _KINDS[i % 3]), _row(f"{other}.exact", role, "reference")]
    return rows


def _is_weak(row: str) -> bool:
    """Return whether it is a copy to calibrate with that shares less of the source's oddity."""
    copy = row.partition("calibrate/copy-")[2][:2]
    return bool(copy) and int(copy) % 9 > 1


def _row(path: str, role: str, relation: str, kind: str = "independent") -> str:
    fields = {"path": path, "role": role, "relation": relation, "kind": kind, "architecture": "linear"}
    return "[[model]]\n" + "".join(f'{name} = "{value}"\n' for name, value in fields.items())
