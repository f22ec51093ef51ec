"""Writes the fingerprint files that every later release must still load.

Run it once for a release that changes the format, from the root of the repository, and commit the new file beside the
old ones:

    python tests/data/make_golden.py
"""

import dataclasses
from pathlib import Path

import numpy as np

import cae_core
from cae_core.calibration.file import save_calibration
from cae_core.calibration.groups import CalibrationModel, Group
from cae_core.calibration.record import Calibration
from cae_core.fingerprint.file import Fingerprint, LabelledImages, save_fingerprint
from cae_core.fingerprint.kinds import SOURCE_ERROR
from cae_core.statistics.score import Score


def golden_fingerprint() -> Fingerprint:
    """Return three examples and ten probes, every value of which follows from a formula."""
    seeds = (np.arange(3 * 4 * 5 * 3, dtype=np.int64) * 7 % 251).astype(np.uint8).reshape(3, 4, 5, 3)
    probes = (np.arange(10 * 4 * 5 * 3, dtype=np.int64) * 11 % 253).astype(np.uint8).reshape(10, 4, 5, 3)
    return Fingerprint(
        images=seeds + np.uint8(4),
        seeds=seeds,
        labels=np.array([2, 0, 1], np.int64),
        ground_truth=np.array([0, 1, 2], np.int64),
        conferrability=np.array([0.875, 0.9375, 1.0], np.float32),
        start_step=np.array([0, 0, 60], np.int32),
        steps=np.array([60, 60, 60], np.int32),
        probe_images=probes,
        probe_labels=np.arange(10, dtype=np.int64) % 3,
        class_names=("cat", "dog", "naïve ünïcode"),
        generation={
            "settings": {"eps": 8 / 255, "norm": "linf", "seed": 0, "tau": 0.8},
            "data": {"name": "golden", "sha256": "0" * 64},
            "source": {"name": "source", "sha256": "1" * 64, "accuracy": 0.9},
            "surrogates": [{"name": "surrogate", "sha256": "2" * 64}],
            "references": [{"name": "reference", "sha256": "3" * 64}],
        },
        tools={"cae-fingerprint": cae_core.__version__, "numpy": "2", "safetensors": "0.5", "python": "3.11"},
    )


def golden_calibration(fingerprint: Fingerprint) -> Calibration:
    """Return four references, three surrogates and two screen models, with every field used."""
    return Calibration(
        fingerprint_id=fingerprint.id,
        score=Score.LLR,
        fpr=0.25,
        fnr=0.3,
        chosen=np.array([True, False, True]),
        weights=np.array([[0.5, 0.25, 1.0], [-0.5, -0.25, -2.0]]),
        references=_group("reference", "independent", [[0, 1, 2], [2, 1, 2], [0, 0, -1], [1, 1, 2]]),
        surrogates=_group("surrogate", "hard labels", [[2, 0, 1], [2, 1, 1], [0, 0, 1]]),
        screen=tuple(_model("screen", i, "pruned") for i in range(2)),
    )


def _group(name: str, kind: str, answers: list[list[int]]) -> Group:
    models = len(answers)
    return Group(
        models=tuple(_model(name, i, kind) for i in range(models)),
        answers=np.array(answers, np.int64),
        right=np.arange(10) < 10 - np.arange(models)[:, np.newaxis],
    )


def _model(name: str, i: int, kind: str) -> CalibrationModel:
    return CalibrationModel(
        name=f"{name}-{i}", sha256="abcd"[i] * 64, kind=kind, architecture="naïve ünïcode", ancestor="imagenet"
    )


def golden_akh() -> Fingerprint:
    """Return the golden fingerprint with two images that the source gets wrong."""
    plain = golden_fingerprint()
    images = (np.arange(2 * 4 * 5 * 3, dtype=np.int64) * 13 % 257 % 256).astype(np.uint8).reshape(2, 4, 5, 3)
    images[1, 0, 0] = (14, 27, 40)
    wrong = LabelledImages(images, np.array([1, 2], np.int64))
    generation = {**plain.generation, SOURCE_ERROR.name: wrong.described()}
    generation["settings"] = {**generation["settings"], "akh": 2}
    return dataclasses.replace(plain, further={SOURCE_ERROR.name: wrong}, generation=generation)


if __name__ == "__main__":
    folder, version = Path(__file__).parent, cae_core.__version__
    golden = golden_fingerprint()
    save_fingerprint(golden, folder / f"fingerprint-{version}.safetensors")
    save_calibration(golden_calibration(golden), golden, folder / f"fingerprint-{version}-calibrated.safetensors")
    save_fingerprint(golden_akh(), folder / f"fingerprint-{version}-akh.safetensors")
