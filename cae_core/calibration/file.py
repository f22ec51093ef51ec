"""A calibration inside a fingerprint's file: tensors by name, and JSON beside the fingerprint's own.

It never changes the fingerprint's id. Its own digest is kept with it, so that an edited table of answers is noticed.
"""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import sha256_of
from cae_core.calibration.adjusting import adjusted_in_vain
from cae_core.calibration.groups import CalibrationModel, Group, KnownModel, KnownModels
from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.calibration.record import Calibration
from cae_core.errors import FingerprintError, OptionError, first_line, quoted
from cae_core.files.digests import canonical_json
from cae_core.files.fields import read_field, read_fields
from cae_core.fingerprint.file import Attachment, Fingerprint, FingerprintFile, save_fingerprint
from cae_core.fingerprint.kinds import CONTROL, FURTHER
from cae_core.models import NO_ANSWER
from cae_core.reading import reading
from cae_core.statistics.adjustment import DEFAULT_DEGREE, DEGREES
from cae_core.statistics.exposure import ExposureRule
from cae_core.statistics.score import Score
from cae_core.statistics.thresholds import LEAST_PARAMETRIC
from cae_core.statistics.unit import Unit

__all__ = ["CALIBRATION_FORMAT", "calibration_digest", "save_calibration", "unpack_calibration"]

CALIBRATION_FORMAT = 1

_NAME = "calibration"
_SETTINGS = ("fingerprint_id", "score", "fpr", "fnr", "parametric")
_LATER: dict[str, Any] = {
    "degree": DEFAULT_DEGREE,
    "null": NullHypothesis.REFERENCES,
    "exposure": ExposureRule.ONE_GROUP,
    "unit": Unit.MODEL,
}
"""Settings that came later, with what was meant before; they stand in the file only where they differ from it."""

_GROUPS = ("references", "surrogates")
_KNOWN = "known"
_PREPROCESSED = "preprocessed"


def save_calibration(calibration: Calibration, fingerprint: Fingerprint, path: Path, *, digest: str = "") -> None:
    """Write the fingerprint with its calibration, atomically, mode 0600; the same values give the same bytes.

    Args:
        calibration: of the fingerprint.
        fingerprint: see `save_fingerprint`.
        path: of the file.
        digest: the calibration's, see `calibration_digest`, where somebody has it already.

    Raises:
        StorageError: it cannot be written.
    """
    save_fingerprint(fingerprint, path, attachments={_NAME: _pack(calibration, digest)})


def unpack_calibration(file: FingerprintFile, fingerprint: Fingerprint) -> Calibration | None:
    """Return the calibration in the file of ``fingerprint``; None where it has none.

    Raises:
        FingerprintError: it is of an unknown version, of another fingerprint, edited or inconsistent.
    """
    path, attachment = file.path, file.attachment(_NAME)
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
    with reading(path, FingerprintError, fault="its calibration is incomplete or malformed", remedy="Calibrate again."):
        claimed = str(metadata["sha256"])
        if claimed != _digest({name: value for name, value in metadata.items() if name != "sha256"}, tensors):
            raise FingerprintError(f"{path}: its calibration was edited. Use the original file, or calibrate again.")
        try:
            calibration = _unpack(metadata, tensors)
            _check(calibration, fingerprint)
        except (KeyError, OptionError) as error:
            raise ValueError(f"{type(error).__name__}: {first_line(error)}") from error
        return calibration


def calibration_digest(calibration: Calibration) -> str:
    """Return the SHA-256 over everything that a calibration holds."""
    return str(_pack(calibration).metadata["sha256"])


def _pack(calibration: Calibration, digest: str = "") -> Attachment:
    metadata: dict[str, Any] = {"format": CALIBRATION_FORMAT}
    metadata |= {name: getattr(calibration, name) for name in _SETTINGS}
    metadata |= {"fingerprint_sha256": calibration.fingerprint_sha256} if calibration.fingerprint_sha256 else {}
    metadata |= {
        name: getattr(calibration, name) for name, before in _LATER.items() if getattr(calibration, name) != before
    }
    metadata["screen"] = [model.described() for model in calibration.screen]
    tensors: dict[str, NDArray[Any]] = {"chosen": calibration.chosen.astype(np.uint8)}
    if calibration.weights is not None:
        tensors["weights"] = calibration.weights
    for relation in _GROUPS:
        group: Group = getattr(calibration, relation)
        metadata[relation] = [model.described() for model in group.models]
        tensors[f"{relation}.answers"] = group.answers
        tensors[f"{relation}.right"] = group.right.astype(np.uint8)
        tensors |= {f"{relation}.{name}": answers for name, answers in group.further.items() if answers.size}
    if calibration.preprocessed:
        metadata[_PREPROCESSED] = list(calibration.preprocessed)
        for place, group in enumerate(calibration.preprocessed.values()):
            tensors[f"{_PREPROCESSED}.{place}.answers"] = group.answers
            tensors[f"{_PREPROCESSED}.{place}.right"] = group.right.astype(np.uint8)
    if calibration.known.models:  # a calibration of before has none, and keeps its digest
        metadata[_KNOWN] = [dataclasses.asdict(model) for model in calibration.known.models]
        tensors[f"{_KNOWN}.scores"] = calibration.known.scores
    metadata["sha256"] = digest or _digest(metadata, tensors)
    return Attachment(metadata, tensors)


def _unpack(metadata: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> Calibration:
    if not isinstance(metadata["parametric"], bool):
        raise TypeError(f"parametric {metadata['parametric']!r}")
    references = _group(metadata, tensors, "references")
    return Calibration(
        **{name: metadata[name] for name in _SETTINGS if name != "score"},
        fingerprint_sha256=_text(metadata.get("fingerprint_sha256", "")),
        degree=read_field(metadata, "degree", int, DEFAULT_DEGREE),
        score=Score.named(metadata["score"]),
        null=NullHypothesis.named(metadata.get("null", "references")),
        unit=Unit.named(_text(metadata.get("unit", Unit.MODEL.value))),
        exposure=ExposureRule.named(_text(metadata.get("exposure", ""))),
        screen=_models(metadata["screen"]),
        chosen=tensors["chosen"].astype(bool),
        weights=tensors.get("weights"),
        references=references,
        surrogates=_group(metadata, tensors, "surrogates"),
        known=_known(metadata, tensors),
        preprocessed=_preprocessed(metadata, tensors, references),
    )


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"a digest is a text; found {quoted(value)}")
    return value


def _known(metadata: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> KnownModels:
    if _KNOWN not in metadata:
        return KnownModels()
    models = tuple(KnownModel(**read_fields(KnownModel, row)) for row in metadata[_KNOWN])
    return KnownModels(models=models, scores=tensors[f"{_KNOWN}.scores"])


def _preprocessed(metadata: dict[str, Any], tensors: dict[str, NDArray[Any]], references: Group) -> dict[str, Group]:
    defences = [_text(behind) for behind in metadata.get(_PREPROCESSED, [])]
    if defences:
        from cae_core.defences.table import check_all_preprocessing

        check_all_preprocessing(defences)
    return {
        behind: Group(
            models=references.models,
            answers=tensors[f"{_PREPROCESSED}.{place}.answers"],
            right=tensors[f"{_PREPROCESSED}.{place}.right"].astype(bool),
        )
        for place, behind in enumerate(defences)
    }


def _group(metadata: dict[str, Any], tensors: dict[str, NDArray[Any]], relation: str) -> Group:
    further = {kind.name: tensors.get(f"{relation}.{kind.name}") for kind in FURTHER}
    return Group(
        models=_models(metadata[relation]),
        answers=tensors[f"{relation}.answers"],
        right=tensors[f"{relation}.right"].astype(bool),
        further={name: answers for name, answers in further.items() if answers is not None and answers.size},
    )


def _models(rows: list[object]) -> tuple[CalibrationModel, ...]:
    return tuple(CalibrationModel(**read_fields(CalibrationModel, row)) for row in rows)


def _check(calibration: Calibration, fingerprint: Fingerprint) -> None:
    n, weights = len(fingerprint), calibration.weights
    if calibration.score == Score.LLR and (weights is None or calibration.parametric):
        raise ValueError("the score llr takes weights, and no parametric p-value")
    _check_adjusting(calibration, fingerprint)
    if calibration.unit != Unit.MODEL and calibration.parametric:
        raise ValueError("a parametric p-value is of models")
    if not (0 < calibration.fpr < 1 and 0 < calibration.fnr < 1):
        raise ValueError(f"rates {calibration.fpr}, {calibration.fnr}")
    if calibration.chosen.shape != (n,) or not calibration.chosen.any():
        raise ValueError(f"chosen {calibration.chosen.shape}")
    if weights is not None and not (
        weights.dtype == np.float64 and weights.shape == (2, n) and np.isfinite(weights).all()
    ):
        raise ValueError("weights")
    least = 0 if calibration.null == NullHypothesis.SOURCES else 1
    if len(calibration.references) < (LEAST_PARAMETRIC if calibration.parametric else least):
        raise ValueError(f"{len(calibration.references)} references")
    if not calibration.reference_groups():
        raise ValueError(f"no reference has the exposure {calibration.exposure}")
    for relation in _GROUPS:
        _check_group(getattr(calibration, relation), fingerprint, relation)
    for behind, group in calibration.preprocessed.items():
        _check_group(group, fingerprint, f"references behind {behind}")
    if calibration.null.asks_controls:
        _check_controls(calibration, fingerprint)
    _check_known(calibration.known, fingerprint)
    groups = [group for group in (calibration.references, calibration.surrogates) if len(group)]
    for kind in FURTHER:
        if len({kind.name in group.further for group in groups}) > 1:
            raise ValueError(f"only one relation was asked the images {kind.words}")


def _check_controls(calibration: Calibration, fingerprint: Fingerprint) -> None:
    if not fingerprint.controls or calibration.score != Score.CAEACC or calibration.parametric:
        raise ValueError("sources are ranked by CAEAcc, and take control sources")
    if calibration.exposure.assumed is not None or calibration.unit != Unit.MODEL or calibration.preprocessed:
        raise ValueError("where sources are ranked, references are taken as they are")
    if not calibration.chosen.all():
        raise ValueError("some examples are left out of the claimed source's only")
    if len(calibration.references) and CONTROL.name not in calibration.references.further:
        raise ValueError("the references were not asked about the control sources")


def _check_adjusting(calibration: Calibration, fingerprint: Fingerprint) -> None:
    if calibration.degree not in DEGREES:
        raise ValueError(f"degree {calibration.degree}")
    if calibration.score != Score.ADJUSTED:
        return
    if calibration.parametric:
        raise ValueError("the adjusted score takes no parametric p-value")
    in_vain = adjusted_in_vain(len(fingerprint.probe_images), len(calibration.references), calibration.degree)
    if in_vain:
        raise ValueError(in_vain)


def _check_known(known: KnownModels, fingerprint: Fingerprint) -> None:
    scores, images = known.scores, len(fingerprint.places)
    if known.models and (scores.shape != (len(known.models), images, 2) or scores.dtype != np.float32):
        raise ValueError(f"known {scores.dtype} {scores.shape}")


def _check_group(group: Group, fingerprint: Fingerprint, relation: str) -> None:
    answers, right, classes = group.answers, group.right, len(fingerprint.class_names)
    shapes = (len(group), len(fingerprint)), (len(group), len(fingerprint.probe_images))
    if (answers.shape, right.shape) != shapes or answers.dtype != np.int64:
        raise ValueError(f"{relation} {answers.dtype} {answers.shape}, {right.shape}")
    for kind in FURTHER:
        further = group.further.get(kind.name)
        expected = (len(group), len(fingerprint.of(kind)))
        if further is not None and (further.shape != expected or further.dtype != np.int64):
            raise ValueError(f"{relation} {further.dtype} {further.shape}")
    for given in (answers, *group.further.values()):
        if given.min(initial=NO_ANSWER) < NO_ANSWER or given.max(initial=NO_ANSWER) >= classes:
            raise ValueError(f"{relation} answer classes that do not exist")


def _digest(metadata: dict[str, Any], tensors: dict[str, NDArray[Any]]) -> str:
    named = [part for name, x in sorted(tensors.items()) for part in (f"{name}{x.dtype}{x.shape}", x)]
    return sha256_of(canonical_json(metadata), *named)
