"""Verdicts to report on, made in a moment: a colour fingerprint, a calibration and a suspect, all of them scripted."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Images, Labels
from cae_core.calibration.calibrated import load_calibrated
from cae_core.calibration.file import save_calibration
from cae_core.calibration.groups import CalibrationModel, Group
from cae_core.calibration.record import Calibration
from cae_core.files.records import as_json, read_record
from cae_core.fingerprint.file import Fingerprint, save_fingerprint
from cae_core.models import Predictions
from cae_core.statistics.score import Score
from cae_core.verification.options import VerificationOptions
from cae_core.verification.verdict import Suspect
from cae_core.verification.verify import verify

NONCE = bytes(range(16))
HOSTILE = (
    "<script>alert(1)</script>",
    "$x^{2}$ & $\\undefined",
    "\"' onerror='alert(1)",
    "evil\u202egpj.exe",
    "bell \x07 and \x1b[31m",
    "two\nlines {{ 7 * 7 }}",
    "犬 \U0001f415",
)
"""Names that a party could choose to hurt, to hide something, or by accident."""


@dataclass(frozen=True)
class Files:
    """A verdict and the fingerprint that it was made by."""

    verdict: Path
    fingerprint: Path

    @property
    def options(self) -> tuple[str | Path, ...]:
        return ("report", "--verdict", self.verdict, "--fingerprint", self.fingerprint)

    def edit(self, **changes: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        """Change fields of the verdict."""
        self.verdict.write_text(json.dumps(read_record(self.verdict) | changes))


def colour_fingerprint(
    *, n: int = 60, names: tuple[str, ...] = tuple("abcdefg"), size: int = 12, channels: int = 3
) -> Fingerprint:
    """Return smooth images of random colours, and the same with noise as examples."""
    random = np.random.default_rng(11)
    ramp = np.linspace(0, 1, size)[:, np.newaxis, np.newaxis] * np.linspace(1, 0.3, size)[:, np.newaxis]
    ends = random.uniform(40, 215, (2, n + 80, 1, 1, channels))
    smooth = (ends[0] * ramp + ends[1] * (1 - ramp)).astype(np.uint8)
    noise = random.integers(-8, 9, (n, size, size, channels))
    truth = random.integers(0, len(names), n)
    members = [{"name": f"{names[0]} {i}", "sha256": f"{i:064x}", "kind": names[1]} for i in range(3)]
    return Fingerprint(
        images=np.clip(smooth[:n].astype(np.int64) + noise, 0, 255).astype(np.uint8),
        seeds=smooth[:n],
        labels=(truth + random.integers(1, len(names), n)) % len(names),
        ground_truth=truth,
        conferrability=np.full(n, 0.9, np.float32),
        start_step=np.zeros(n, np.int32),
        steps=np.full(n, 20, np.int32),
        probe_images=smooth[n:],
        probe_labels=random.integers(0, len(names), 80),
        class_names=names,
        generation={
            "settings": {"eps": 8 / 255, "norm": "linf", "seed": 11, "objective": names[2]},
            "data": {"name": names[3], "sha256": "d" * 64},
            "source": {"name": names[4], "sha256": "e" * 64, "accuracy": 0.93, "architecture": names[5]},
            "surrogates": members,
            "references": members,
        },
        tools={"cae-fingerprint": "0.1.0", names[0]: names[1]},
    )


def scripted(fingerprint: Fingerprint, rate: float, seed: int, *, third: float = 0.02) -> Labels:
    """Return answers (n,): the source's label at this rate, seldom a third label or none, else the truth."""
    random = np.random.default_rng(seed)
    drawn = random.uniform(size=len(fingerprint))
    other = random.integers(-1, len(fingerprint.class_names), len(fingerprint))
    answers = np.where(drawn < rate, fingerprint.labels, fingerprint.ground_truth)
    return np.where(drawn > 1 - third, other, answers)


def group(fingerprint: Fingerprint, rates: NDArray[np.float64], name: str, seed: int) -> Group:
    """Return one model a rate."""
    random = np.random.default_rng(seed)
    kinds = fingerprint.class_names[:2]
    return Group(
        models=tuple(
            CalibrationModel(
                name=f"{name} {i}",
                sha256=f"{seed + i:064x}",
                kind=kinds[i % 2],
                architecture=fingerprint.class_names[2],
            )
            for i in range(len(rates))
        ),
        answers=np.array([scripted(fingerprint, rate, seed + i) for i, rate in enumerate(rates)], np.int64).reshape(
            len(rates), len(fingerprint)
        ),
        right=random.uniform(size=(len(rates), len(fingerprint.probe_images))) < 0.92,
    )


def calibration_of(
    fingerprint: Fingerprint,
    *,
    references: int = 99,
    surrogates: int = 39,
    score: Score = Score.CAEACC,
    parametric: bool = False,
) -> Calibration:
    """Return references that match at 5 to 30 % and surrogates at 60 to 95 %; half of the examples are screened out."""
    chosen = np.ones(len(fingerprint), bool)
    chosen[::4] = False
    weights = (
        np.stack([np.full(len(fingerprint), 1.2), np.full(len(fingerprint), -0.9)]) if score == Score.LLR else None
    )
    return Calibration(
        fingerprint_id=fingerprint.id,
        score=score,
        fpr=0.05,
        fnr=0.05,
        parametric=parametric,
        chosen=chosen,
        weights=weights,
        references=group(fingerprint, np.linspace(0.05, 0.3, references), fingerprint.class_names[3], 1000),
        surrogates=group(fingerprint, np.linspace(0.6, 0.95, surrogates), fingerprint.class_names[4], 2000),
        screen=(CalibrationModel(name="screen", sha256="5" * 64),),
    )


class Scripted:
    """A suspect that matches at a rate and is right about nine in ten benign images; it knows images by their bytes."""

    def __init__(self, fingerprint: Fingerprint, rate: float, *, right: float = 0.92) -> None:
        answers = scripted(fingerprint, rate, 77)
        random = np.random.default_rng(78)
        benign = np.where(
            random.uniform(size=len(fingerprint.probe_labels)) < right,
            fingerprint.probe_labels,
            (fingerprint.probe_labels + 1) % len(fingerprint.class_names),
        )
        images = [*fingerprint.images, *fingerprint.probe_images]
        said = [*answers.tolist(), *benign.tolist()]
        self.known = {image.tobytes(): label for image, label in zip(images, said, strict=True)}

    def predict(self, images: Images) -> Predictions:
        return Predictions(np.array([self.known[image.tobytes()] for image in images], np.int64))


def write_case(
    folder: Path,
    *,
    rate: float = 0.9,
    right: float = 0.92,
    fingerprint: Fingerprint | None = None,
    calibration: Calibration | None = None,
    options: VerificationOptions = VerificationOptions(),  # noqa: B008 - frozen
    suspect: str = "theirs.onnx",
) -> Files:
    """Write a fingerprint, with its calibration where there is one, and a verdict by it."""
    made = fingerprint or colour_fingerprint()
    files = Files(folder / "verdict.json", folder / "fingerprint.safetensors")
    if calibration is None:
        save_fingerprint(made, files.fingerprint)
    else:
        save_calibration(calibration, made, files.fingerprint)
    verdict = verify(
        Scripted(made, rate, right=right),
        load_calibrated(files.fingerprint),
        named=Suspect(name=suspect, sha256="ab" * 32),
        options=options,
        nonce=None if options.beacon else NONCE,
    )
    files.verdict.write_text(json.dumps(as_json(verdict)))
    return files
