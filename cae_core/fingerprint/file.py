"""The fingerprint file: conferrable adversarial examples, their labels, and benign probes, in one safetensors file.

No pickle anywhere: the file comes from the other party in a dispute. It is readable without this project: tensors by
name, and canonical JSON under the metadata key ``cae``. It is a secret and written with mode 0600.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Labels
from cae_core.errors import FingerprintError
from cae_core.files.digests import canonical_json
from cae_core.files.storage import write_atomically
from cae_core.files.tensor_file import TensorFileError, pack_tensors, read_tensors

__all__ = [
    "FORMAT_VERSION",
    "Attachment",
    "Fingerprint",
    "describe_akh",
    "load_attachment",
    "load_fingerprint",
    "save_fingerprint",
]

FORMAT_VERSION = 1

_KEY = "cae"

_TENSORS: dict[str, tuple[str, str]] = {  # name: dtype, shape (n examples, q probes, h w k an image)
    "images": ("uint8", "nhwk"),
    "seeds": ("uint8", "nhwk"),
    "labels": ("int64", "n"),
    "ground_truth": ("int64", "n"),
    "conferrability": ("float32", "n"),
    "start_step": ("int32", "n"),
    "steps": ("int32", "n"),
    "probe_images": ("uint8", "qhwk"),
    "probe_labels": ("int64", "q"),
}

_OPTIONAL: dict[str, tuple[str, str]] = {"akh_images": ("uint8", "ahwk"), "akh_labels": ("int64", "a")}
# Both or neither.


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """A set of conferrable adversarial examples with the labels that the source gives them.

    Attributes:
        images: uint8 (n, h, w, k).
        seeds: uint8 (n, h, w, k), the benign images they were made from.
        labels: int64 (n,), y*, the source's labels of ``images``.
        ground_truth: int64 (n,).
        conferrability: float32 (n,), over the generation pools: never a result, those pools were searched on.
        start_step: int32 (n,), the global step at which the search of each began.
        steps: int32 (n,), how many steps it took; with ``start_step`` it can be replayed.
        probe_images: uint8 (q, h, w, k), benign images for the benign check.
        probe_labels: int64 (q,), their ground truth.
        akh_images: uint8 (a, h, w, k), benign images that the source gets wrong, see
            `cae_core.generation.source_errors`; none by default.
        akh_labels: int64 (a,), the source's wrong labels of them. They never count in CAEAcc.
        class_names: the c class names.
        generation: settings, source, pools and data, as JSON holds them; part of the identity.
        tools: versions of what made it; not part of the identity.
    """

    images: NDArray[np.uint8]
    seeds: NDArray[np.uint8]
    labels: Labels
    ground_truth: Labels
    conferrability: Floats32
    start_step: NDArray[np.int32]
    steps: NDArray[np.int32]
    probe_images: NDArray[np.uint8]
    probe_labels: Labels
    class_names: tuple[str, ...]
    generation: dict[str, Any]
    tools: dict[str, str]
    akh_images: NDArray[np.uint8] = field(default_factory=lambda: np.zeros(0, np.uint8))
    akh_labels: Labels = field(default_factory=lambda: np.zeros(0, np.int64))

    def __post_init__(self) -> None:
        if not len(self.akh_images):  # of the others' shape, so that all can be asked together
            object.__setattr__(self, "akh_images", np.zeros((0, *self.images.shape[1:]), np.uint8))

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def id(self) -> str:
        """SHA-256 over images, labels, ground truth and the canonical generation metadata."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images).tobytes())
        for labels in (self.labels, self.ground_truth):
            digest.update(labels.astype("<i8").tobytes())
        digest.update(canonical_json(self.generation).encode())
        return digest.hexdigest()

    @property
    def source_accuracy(self) -> float:
        """The source's accuracy on the benign data, 0 to 1."""
        return float(self.generation["source"]["accuracy"])


@dataclass(frozen=True)
class Attachment:
    """What travels in a fingerprint's file and is no part of its identity, such as a calibration.

    Attributes:
        metadata: as JSON holds it.
        tensors: by name.
    """

    metadata: dict[str, Any]
    tensors: dict[str, NDArray[Any]]


def describe_akh(images: NDArray[np.uint8], labels: Labels) -> dict[str, Any] | None:
    """Return how the generation's metadata, and so the id, name the images that the source gets wrong; None: none."""
    if not len(labels):
        return None
    digest = hashlib.sha256(np.ascontiguousarray(images).tobytes())
    digest.update(labels.astype("<i8").tobytes())
    return {"count": len(labels), "sha256": digest.hexdigest()}


def save_fingerprint(
    fingerprint: Fingerprint, path: Path, *, attachments: Mapping[str, Attachment] | None = None
) -> None:
    """Write the file atomically, mode 0600; the same content gives the same bytes.

    Args:
        fingerprint: see `Fingerprint`.
        path: the file.
        attachments: by name; tensors stand in the file as ``name.tensor``.

    Raises:
        StorageError: it cannot be written.
    """
    attached = attachments or {}
    metadata = {
        "format": FORMAT_VERSION,
        "fingerprint_id": fingerprint.id,
        "class_names": list(fingerprint.class_names),
        "geometry": list(fingerprint.images.shape[1:]),
        "generation": fingerprint.generation,
        "tools": fingerprint.tools,
        **{name: attachment.metadata for name, attachment in attached.items()},
    }
    names = [*_TENSORS, *(_OPTIONAL if len(fingerprint.akh_labels) else ())]
    tensors = {name: getattr(fingerprint, name) for name in names}
    for name, attachment in attached.items():
        tensors |= {f"{name}.{key}": tensor for key, tensor in attachment.tensors.items()}
    write_atomically(path, pack_tensors(tensors, {_KEY: canonical_json(metadata)}), mode=0o600)


def load_attachment(path: Path, name: str) -> Attachment | None:
    """Read one attachment of a fingerprint's file; None where it has none. Its content is for the caller to check.

    Raises:
        FingerprintError: it is no fingerprint's file, or its metadata about the attachment are no JSON object.
    """
    metadata, tensors = _read(path, prefix=f"{name}.")
    if name not in metadata:
        return None
    found = metadata[name]
    if not isinstance(found, dict):
        raise FingerprintError(f"{path}: its {name} is no JSON object. Use the original file.")
    own = {key.removeprefix(f"{name}."): tensor for key, tensor in tensors.items()}
    return Attachment(cast("dict[str, Any]", found), own)


def load_fingerprint(path: Path) -> Fingerprint:
    """Read and check a fingerprint file.

    Raises:
        FingerprintError: it is missing, empty, truncated or foreign, of an unknown version, or inconsistent.
    """
    metadata, tensors = _read(path)
    if metadata.get("format") != FORMAT_VERSION:
        raise FingerprintError(
            f"{path}: this fingerprint has format version {metadata.get('format')!r} and this release reads "
            f"{FORMAT_VERSION}. Use the release that wrote it ({metadata.get('tools')}) or a later one."
        )
    _check_tensors(tensors, path)
    try:
        fingerprint = Fingerprint(
            **cast("dict[str, Any]", {name: tensors[name] for name in (*_TENSORS, *_OPTIONAL) if name in tensors}),
            class_names=tuple(map(str, metadata["class_names"])),
            generation=metadata["generation"],
            tools=metadata["tools"],
        )
        claimed = metadata["fingerprint_id"]
        _check_values(fingerprint, path)
        found = fingerprint.id
    except (KeyError, TypeError, ValueError) as error:
        raise FingerprintError(
            f"{path}: the fingerprint's metadata are incomplete or malformed ({error!r})."
        ) from error
    if found != claimed:
        raise FingerprintError(
            f"{path}: the file was edited: its content has id {found[:12]}… and it claims "
            f"{str(claimed)[:12]}…. Use the original file."
        )
    return fingerprint


def _read(path: Path, *, prefix: str = "") -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    if not path.is_file():
        raise FingerprintError(f"{path}: no such fingerprint file. Make one with `cae generate`, or name another.")
    if path.stat().st_size == 0:
        raise FingerprintError(f"{path}: the fingerprint file is empty. Copy or generate it again.")
    try:
        metadata, tensors = read_tensors(path, prefix=prefix)
    except (TensorFileError, OSError) as error:
        raise FingerprintError(
            f"{path}: this is not a complete safetensors file ({error}). Copy or generate the fingerprint again."
        ) from error
    if _KEY not in metadata:
        raise FingerprintError(f"{path}: this safetensors file holds no fingerprint: its metadata lack the key 'cae'.")
    try:
        parsed = json.loads(metadata[_KEY])
    except (ValueError, RecursionError) as error:  # not JSON, or nested or numbered to hurt the reader
        raise FingerprintError(f"{path}: the fingerprint's metadata are not JSON ({error}).") from error
    if not isinstance(parsed, dict):
        raise FingerprintError(f"{path}: the fingerprint's metadata are not a JSON object.")
    return cast("dict[str, Any]", parsed), tensors


def _check_tensors(tensors: dict[str, NDArray[Any]], path: Path) -> None:
    sizes: dict[str, int] = {}
    optional = _OPTIONAL if any(name in tensors for name in _OPTIONAL) else {}
    for name, (dtype, letters) in {**_TENSORS, **optional}.items():
        if name not in tensors:
            raise FingerprintError(f"{path}: the tensor {name!r} is missing. Copy or generate the fingerprint again.")
        tensor = tensors[name]
        shape = dict(zip(letters, tensor.shape, strict=False))
        fits = tensor.ndim == len(letters) and all(sizes.setdefault(a, size) == size for a, size in shape.items())
        if tensor.dtype != dtype or not fits:
            expected = ", ".join(str(sizes.get(letter, letter)) for letter in letters)
            raise FingerprintError(
                f"{path}: the tensor {name!r} should be {dtype} ({expected}) and is {tensor.dtype} {tensor.shape}."
            )


def _check_values(fingerprint: Fingerprint, path: Path) -> None:
    if len(fingerprint) == 0 or len(fingerprint.probe_images) == 0:
        raise FingerprintError(f"{path}: the fingerprint holds no example or no benign probe. Generate it again.")
    if not np.isfinite(fingerprint.conferrability).all() or not 0 <= fingerprint.source_accuracy <= 1:
        raise FingerprintError(f"{path}: the fingerprint holds values that are not finite or out of range.")
    c = len(fingerprint.class_names)
    for name in ("labels", "ground_truth", "probe_labels", "akh_labels"):
        values = getattr(fingerprint, name)
        if values.min(initial=0) < 0 or values.max(initial=0) >= c:
            raise FingerprintError(f"{path}: {name} must lie in 0 .. {c - 1}; found {values.min()} .. {values.max()}.")
    if fingerprint.generation.get("akh") != describe_akh(fingerprint.akh_images, fingerprint.akh_labels):
        raise FingerprintError(
            f"{path}: its images that the source gets wrong are not those that it was generated with. Use the original "
            "file."
        )
    if (fingerprint.labels == fingerprint.ground_truth).any():
        raise FingerprintError(f"{path}: an example's label is its true class, which every good model answers.")
