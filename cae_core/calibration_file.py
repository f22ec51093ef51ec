"""A calibration inside a fingerprint's file: tensors by name, and JSON beside the fingerprint's own.

It never changes the fingerprint's id. Its own digest is kept with it, so that an edited table of answers is noticed.
"""

import dataclasses
import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.calibration import Calibration, CalibrationModel, Group
from cae_core.canonical import canonical_json
from cae_core.errors import FingerprintError
from cae_core.fingerprint import Attachment, Fingerprint, load_attachment, save_fingerprint

__all__ = ["CALIBRATION_FORMAT", "load_calibration", "save_calibration"]

CALIBRATION_FORMAT = 1

_NAME = "calibration"
_SETTINGS = ("fingerprint_id", "score", "fpr", "fnr", "parametric")
_GROUPS = ("references", "surrogates")


def save_calibration(calibration: Calibration, fingerprint: Fingerprint, path: Path) -> None:
    """Write the fingerprint with its calibration, atomically, mode 0600; the same values give the same bytes.

    Raises:
        StorageError: it cannot be written.
    """
    save_fingerprint(fingerprint, path, attachments={_NAME: _pack(calibration)})


def load_calibration(path: Path, fingerprint: Fingerprint) -> Calibration | None:
    """Read the calibration in the file of ``fingerprint``; None where it has none.

    Raises:
        FingerprintError: it is of an unknown version, of another fingerprint, edited or inconsistent.
    """
    attachment = load_attachment(path, _NAME)
    if attachment is None:
        return None
    metadata, tensors = attachment.metadata, attachment.tensors
    if metadata.get("format") != CALIBRATION_FORMAT:
        raise FingerprintError(
            f"{path}: its calibration has format version {metadata.get('format')!r} and this release reads "
            f"{CALIBRATION_FORMAT}. Calibrate again with this release (`cae calibrate`)."
        )
    if metadata.get("fingerprint_id") != fingerprint.id:
        raise FingerprintError(
            f"{path}: the calibration belongs to the fingerprint {str(metadata.get('fingerprint_id'))[:12]}… and the "
            f"file holds {fingerprint.id[:12]}…. Calibrate this fingerprint (`cae calibrate`)."
        )
    try:
        claimed = metadata.pop("sha256")
        if claimed != _digest(metadata, tensors):
            raise FingerprintError(f"{path}: its calibration was edited. Use the original file, or calibrate again.")
        calibration = _unpack(metadata, tensors)
        _check(calibration, fingerprint)
    except (KeyError, TypeError, ValueError) as error:
        raise FingerprintError(
            f"{path}: its calibration is incomplete or malformed ({error!r}). Calibrate again."
        ) from error
    return calibration


def _pack(calibration: Calibration) -> Attachment:
    metadata: dict[str, Any] = {"format": CALIBRATION_FORMAT}
    metadata |= {name: getattr(calibration, name) for name in _SETTINGS}
    metadata["screen"] = [dataclasses.asdict(model) for model in calibration.screen]
    tensors: dict[str, NDArray[Any]] = {"chosen": calibration.chosen.astype(np.uint8)}
    if calibration.weights is not None:
        tensors["weights"] = calibration.weights
    for relation in _GROUPS:
        group: Group = getattr(calibration, relation)
        metadata[relation] = [dataclasses.asdict(model) for model in group.models]
        tensors[f"{relation}.answers"] = group.answers
        tensors[f"{relation}.right"] = group.right.astype(np.uint8)
    metadata["sha256"] = _digest(metadata, tensors)
    return Attachment(metadata, tensors)


def _unpack(metadata: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Calibration:
    return Calibration(
        **{name: metadata[name] for name in _SETTINGS},
        screen=tuple(CalibrationModel(**model) for model in metadata["screen"]),
        chosen=tensors["chosen"].astype(bool),
        weights=tensors.get("weights"),
        references=_group(metadata, tensors, "references"),
        surrogates=_group(metadata, tensors, "surrogates"),
    )


def _group(metadata: dict[str, Any], tensors: dict[str, NDArray[Any]], relation: str) -> Group:
    return Group(
        models=tuple(CalibrationModel(**model) for model in metadata[relation]),
        answers=tensors[f"{relation}.answers"],
        right=tensors[f"{relation}.right"].astype(bool),
    )


def _check(calibration: Calibration, fingerprint: Fingerprint) -> None:
    n, q = len(fingerprint), len(fingerprint.probe_images)
    if calibration.score not in ("caeacc", "llr") or (calibration.score == "llr" and calibration.weights is None):
        raise ValueError(f"score {calibration.score!r}")
    if not (0 < calibration.fpr < 1 and 0 < calibration.fnr < 1):
        raise ValueError(f"rates {calibration.fpr}, {calibration.fnr}")
    if calibration.chosen.shape != (n,) or not calibration.chosen.any():
        raise ValueError(f"chosen {calibration.chosen.shape}")
    if calibration.weights is not None and not (
        calibration.weights.shape == (2, n) and np.isfinite(calibration.weights).all()
    ):
        raise ValueError("weights")
    for relation in _GROUPS:
        group: Group = getattr(calibration, relation)
        if group.answers.shape != (len(group), n) or group.right.shape != (len(group), q):
            raise ValueError(f"{relation} {group.answers.shape}, {group.right.shape}")


def _digest(metadata: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> str:
    digest = hashlib.sha256(canonical_json(metadata).encode())
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].dtype}{tensors[name].shape}".encode())
        digest.update(np.ascontiguousarray(tensors[name]).tobytes())
    return digest.hexdigest()
