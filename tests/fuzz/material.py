"""Valid files of the project's own forms, small ones, and the ids that fit edited ones."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated, save_calibrated
from cae_core.calibration.file import _digest as digest_of_calibration
from cae_core.files.tensor_file import pack_tensors, read_tensors
from cae_core.fingerprint.file import Fingerprint, _unpack
from cae_core.statistics.exposure import Exposure, ExposureRule
from cae_core.statistics.score import Score
from cae_core.statistics.unit import Unit
from tests.core.judge_toys import Dispute, make_dispute
from tests.core.toys import toy_calibration

__all__ = ["Evidence", "Parts", "make_evidence", "packed", "parts_of", "refit"]

_KEY = "cae"
_ATTACHED = "calibration."


@dataclass(frozen=True)
class Evidence:
    """A claim among the toys, and fingerprints of it.

    Attributes:
        dispute: the parties' models.
        claimed: the claimant's fingerprint.
        files: fingerprints, by name: plain, with a calibration, with one by weights, with the source's errors.
    """

    dispute: Dispute
    claimed: Fingerprint
    files: dict[str, Path]

    def subject(self, name: str) -> CalibratedFingerprint:
        """Return one of the fingerprints."""
        return load_calibrated(self.files[name])


@dataclass
class Parts:
    """What a fingerprint's file holds, to be edited."""

    metadata: Any
    tensors: dict[str, NDArray[Any]]


def make_evidence(folder: Path) -> Evidence:
    """Make it in a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    dispute = make_dispute(folder)
    claimed = dispute.claim()
    n = len(claimed)
    counts = [1, 2, 0, 3] * 10
    calibrated = dataclasses.replace(
        toy_calibration(claimed, counts[:39], [n] * 5), fingerprint_sha256=claimed.content_sha256
    )
    weights = np.stack([np.full(n, 1.5), np.full(n, -0.5)])
    weighed = toy_calibration(
        claimed, counts[:39], [n] * 5, score=Score.LLR, weights=weights, screen=calibrated.references.models[:2]
    )
    told = tuple(
        dataclasses.replace(model, recipe=f"recipe {i % 20}", exposure=Exposure.NONE)
        for i, model in enumerate(calibrated.references.models)
    )
    grouped = dataclasses.replace(
        calibrated,
        references=dataclasses.replace(calibrated.references, models=told),
        exposure=ExposureRule.LARGEST,
        unit=Unit.RECIPE,
        score=Score.ADJUSTED,
        degree=1,
    )
    subjects = {
        "plain": CalibratedFingerprint(fingerprint=claimed),
        "calibrated": CalibratedFingerprint(fingerprint=claimed, calibration=calibrated),
        "weighed": CalibratedFingerprint(fingerprint=claimed, calibration=weighed),
        "grouped": CalibratedFingerprint(fingerprint=claimed, calibration=grouped),
        "errors": CalibratedFingerprint(fingerprint=dispute.claim(akh=4)),
        "kinds": CalibratedFingerprint(fingerprint=dispute.claim(blends=0.3, errors=0.2, blend_candidates=2000)),
    }
    files = {name: folder / f"{name}.safetensors" for name in subjects}
    for name, subject in subjects.items():
        save_calibrated(subject, files[name])
    return Evidence(dispute, claimed, files)


def parts_of(path: Path) -> Parts:
    """Return what a fingerprint's file holds."""
    metadata, tensors = read_tensors(path)
    return Parts(json.loads(metadata[_KEY]), {name: tensor.copy() for name, tensor in tensors.items()})


def packed(parts: Parts, text: str | None = None) -> bytes:
    """Return the file; ``text`` in the place of its JSON."""
    return pack_tensors(parts.tensors, {_KEY: json.dumps(parts.metadata) if text is None else text})


def refit(parts: Parts) -> str:
    """Give edited parts the ids that fit them, as a hostile maker would; where that cannot be done, say why."""
    metadata, tensors = parts.metadata, parts.tensors
    try:
        fingerprint = _unpack(metadata, tensors)
        metadata["fingerprint_id"] = fingerprint.id
        _bind(metadata, "content_sha256", fingerprint)
        calibration = metadata.get("calibration")
        if isinstance(calibration, dict):
            calibration["fingerprint_id"] = fingerprint.id
            _bind(calibration, "fingerprint_sha256", fingerprint)
            calibration.pop("sha256", None)
            own = {name.removeprefix(_ATTACHED): x for name, x in tensors.items() if name.startswith(_ATTACHED)}
            calibration["sha256"] = digest_of_calibration(calibration, own)
    except Exception as error:  # noqa: BLE001 - what was edited away is needed for an id; then there is none that fits
        return f" (no id: {type(error).__name__})"
    return ""


def _bind(metadata: Any, name: str, fingerprint: Fingerprint) -> None:  # noqa: ANN401 - a JSON object
    """Say what the fingerprint holds, unless that was edited away: files of before say nothing."""
    if name in metadata:
        metadata[name] = fingerprint.content_sha256
