"""The fingerprint file: conferrable adversarial examples, their labels, and benign probes, in one safetensors file.

No pickle anywhere: the file comes from the other party in a dispute. It is readable without this project: tensors by
name, and canonical JSON under the metadata key ``cae``. It is a secret and written with mode 0600.
"""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Self, cast

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Labels, sha256_of
from cae_core.contract import Task
from cae_core.errors import FingerprintError, OptionError
from cae_core.files.digests import canonical_json
from cae_core.files.fields import read_field
from cae_core.files.storage import write_atomically
from cae_core.files.tensor_file import check_complete, pack_tensors, unpack_tensors
from cae_core.fingerprint.control_sources import described_controls
from cae_core.fingerprint.example_kinds import EXAMPLE_KINDS, NATURAL_ERROR
from cae_core.fingerprint.kinds import BENIGN, CONTROL, EXAMPLE, FURTHER, KINDS, ImageKind
from cae_core.fingerprint.provenance import check_provenance
from cae_core.fingerprint.query_log import QueryLog
from cae_core.paths import StrPath
from cae_core.reading import check_depth, read_limited, reading

__all__ = [
    "FORMAT_VERSION",
    "Attachment",
    "Fingerprint",
    "FingerprintFile",
    "LabelledImages",
    "load_fingerprint",
    "save_fingerprint",
]

FORMAT_VERSION = 1

_KEY = "cae"

_LARGEST = 1 << 32
"""Bytes of a file at most; it is read whole."""

_MALFORMED = "the fingerprint's metadata are incomplete or malformed"

_TENSORS: dict[str, tuple[str, Sequence[str]]] = {  # name: dtype, shape (n examples, q probes, h w k an image)
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

_OPTIONAL: dict[str, tuple[str, Sequence[str]]] = {"example_kind": ("uint8", "n"), "seed_index": ("int64", "n")}
"""Tensors of examples that files of before lack."""

_LABELLED = (("images", "uint8", "hwk"), ("labels", "int64", ""))
"""The tensors of a further kind of image: name after the prefix, dtype, and shape after the number of images."""


@dataclass(frozen=True)
class LabelledImages:
    """Images of one kind, and for each the label with which an answer is compared.

    Attributes:
        images: uint8 (a, h, w, k).
        labels: int64 (a,).
    """

    images: NDArray[np.uint8]
    labels: Labels

    def __len__(self) -> int:
        return len(self.images)

    def described(self) -> dict[str, Any] | None:
        """Return how a generation's metadata, and so the fingerprint's id, name them; None where there are none."""
        if not len(self):
            return None
        return {"count": len(self), "sha256": sha256_of(self.images, self.labels.astype("<i8"))}


@dataclass(frozen=True, kw_only=True)
class Fingerprint:
    """A set of conferrable adversarial examples with the labels that the source gives them.

    Attributes:
        images: uint8 (n, h, w, k).
        seeds: uint8 (n, h, w, k), the benign images that the examples were made from.
        labels: int64 (n,), y*, the source's labels for ``images``.
        ground_truth: int64 (n,), the true labels of ``seeds``.
        conferrability: float32 (n,), measured on the models that made the examples; not to be reported as a result.
        start_step: int32 (n,), the global step at which the search of each example began.
        steps: int32 (n,), the number of steps of each search; with ``start_step`` it can be repeated.
        probe_images: uint8 (q, h, w, k), benign images for the benign check.
        probe_labels: int64 (q,), the true labels of ``probe_images``.
        class_names: the c class names.
        generation: settings, source, pools and data, as JSON holds them; part of the identity.
        tools: versions of the programs that made the fingerprint; not part of the identity.
        origin: the source's ``files``, as lines of ``sha256sum``, and its ``contract``, as a table and by its
            SHA-256; not part of the identity either, and empty in files of earlier releases.
        further: images of the kinds that never count in CAEAcc, by the kind's name; see `cae_core.fingerprint.kinds`.
            Those of control sources are m n: n of the first, then n of the second, and so on.
        example_kind: uint8 (n,), the code of each example's kind, see `cae_core.fingerprint.example_kinds`; None: all
            examples are perturbed. Part of the identity if some are not.
        seed_index: int64 (n,), the index of each example's seed in the data set that ``generation`` names; None in
            files of earlier releases.
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
    further: Mapping[str, LabelledImages] = field(default_factory=dict[str, LabelledImages])
    origin: Mapping[str, Any] = field(default_factory=dict[str, Any])
    example_kind: NDArray[np.uint8] | None = None
    seed_index: Labels | None = None

    def __repr__(self) -> str:
        shape = " x ".join(map(str, self.images.shape[1:]))
        return (
            f"Fingerprint({self.id[:12]}, {len(self)} examples of {shape}, {len(self.class_names)} classes, "
            f"{len(self.probe_images)} benign images)"
        )

    def __len__(self) -> int:
        return len(self.images)

    @cached_property
    def id(self) -> str:
        """SHA-256 over images, labels, ground truth, kinds where not all are perturbed, and the canonical metadata."""
        labels = (labels.astype("<i8") for labels in (self.labels, self.ground_truth))
        kinds = [] if self._told_kind is None else [self._told_kind]
        return sha256_of(repr(self.images.shape), self.images, *labels, *kinds, canonical_json(self.generation))

    @cached_property
    def example_kinds(self) -> Labels:
        """The code of each example's kind, int64 (n,); see `cae_core.fingerprint.example_kinds`."""
        if self.example_kind is None:
            return np.zeros(len(self), np.int64)
        return self.example_kind.astype(np.int64)

    @property
    def task(self) -> Task:
        """The classes that a suspect is asked about."""
        return Task(classes=len(self.class_names), names=self.class_names)

    @property
    def _told_kind(self) -> NDArray[np.uint8] | None:
        """The kinds as file and id tell them: only where some example is not perturbed, so that old ids stay."""
        return self.example_kind if self.example_kind is not None and self.example_kind.any() else None

    @cached_property
    def content_sha256(self) -> str:
        """SHA-256 over all that its file holds: every tensor and the metadata, but nothing that is attached."""
        tensors = sorted(self.tensors().items())
        parts = (part for name, x in tensors for part in (f"{name}{x.dtype.str}{x.shape}", x))
        return sha256_of(canonical_json(self.metadata()), *parts)

    def metadata(self) -> dict[str, Any]:
        """Return what its file says beside the tensors, as JSON holds it."""
        return {
            "format": FORMAT_VERSION,
            "fingerprint_id": self.id,
            "class_names": list(self.class_names),
            "geometry": list(self.images.shape[1:]),
            "generation": self.generation,
            "tools": self.tools,
            **({"origin": self.origin} if self.origin else {}),
        }

    def tensors(self) -> dict[str, NDArray[Any]]:
        """Return the tensors of its file, by name."""
        tensors: dict[str, NDArray[Any]] = {name: getattr(self, name) for name in _TENSORS}
        optional = {"example_kind": self._told_kind, "seed_index": self.seed_index}
        tensors |= {name: tensor for name, tensor in optional.items() if tensor is not None}
        for kind in FURTHER:
            if len(self.of(kind)):
                tensors |= {f"{kind.prefix}{name}": getattr(self.of(kind), name) for name, *_ in _LABELLED}
        return tensors

    def of(self, kind: ImageKind) -> LabelledImages:
        """Return the images of one kind; there may be none."""
        if kind == EXAMPLE:
            return LabelledImages(self.images, self.labels)
        if kind == BENIGN:
            return LabelledImages(self.probe_images, self.probe_labels)
        none = LabelledImages(np.zeros((0, *self.images.shape[1:]), np.uint8), np.zeros(0, np.int64))
        return self.further.get(kind.name, none)

    @property
    def places(self) -> tuple[tuple[ImageKind, int], ...]:
        """Of each image its kind and its index among them, in the order of `all_images`."""
        return tuple((kind, index) for kind in KINDS for index in range(len(self.of(kind))))

    def all_images(self) -> NDArray[np.uint8]:
        """Return the images of every kind, one after the other, uint8 (m, h, w, k)."""
        return np.concatenate([self.of(kind).images for kind in KINDS])

    def rows(self, kind: ImageKind) -> slice:
        """Return where the images of ``kind`` stand in `all_images`."""
        first = sum(len(self.of(before)) for before in KINDS[: KINDS.index(kind)])
        return slice(first, first + len(self.of(kind)))

    def first(self, n: int) -> "Fingerprint":
        """Return the fingerprint with its first ``n`` examples only."""
        of_examples = [name for name, (_, letters) in (_TENSORS | _OPTIONAL).items() if letters[0] == "n"]
        held = {name: getattr(self, name) for name in of_examples}
        return dataclasses.replace(self, **{name: x[:n] for name, x in held.items() if x is not None})

    @property
    def controls(self) -> int:
        """How many control sources there are, m; see `cae_core.fingerprint.controls`."""
        return len(self.of(CONTROL)) // len(self)

    @property
    def query_log(self) -> QueryLog | None:
        """The query log that the examples are images of; None where they are of none."""
        return QueryLog.of(self.generation)

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
        **fingerprint.metadata(),
        "content_sha256": fingerprint.content_sha256,
        **{name: attachment.metadata for name, attachment in attached.items()},
    }
    tensors = fingerprint.tensors()
    for name, attachment in attached.items():
        tensors |= {f"{name}.{key}": tensor for key, tensor in attachment.tensors.items()}
    write_atomically(path, pack_tensors(tensors, {_KEY: canonical_json(metadata)}), mode=0o600)


@dataclass(frozen=True)
class FingerprintFile:
    """The content of a fingerprint's file, read once and hashed once.

    Attributes:
        path: where it was read.
        sha256: of the file.
        metadata: the JSON object that describes it.
        tensors: by name, those of attachments included.
    """

    path: Path
    sha256: str
    metadata: dict[str, Any] = field(repr=False)
    tensors: dict[str, NDArray[Any]] = field(repr=False)

    @classmethod
    def read(cls, path: Path) -> Self:
        """Read a file.

        Raises:
            FingerprintError: it is missing, empty, truncated or foreign.
        """
        if not path.is_file():
            raise FingerprintError(f"{path}: no such fingerprint file. Make one with `cae generate`, or name another.")
        fault, remedy = "this is not a complete safetensors file", "Copy or generate the fingerprint again."
        with reading(path, FingerprintError, fault=fault, remedy=remedy):
            check_complete(path)
            content = read_limited(path, _LARGEST)
            if not content:
                raise FingerprintError(f"{path}: the fingerprint file is empty. Copy or generate it again.")
            metadata, tensors = unpack_tensors(content)
            return cls(path, hashlib.sha256(content).hexdigest(), _parsed(metadata, path), tensors)

    def attachment(self, name: str) -> Attachment | None:
        """Return one attachment; None where there is none. Its content is for the caller to check.

        Raises:
            FingerprintError: the metadata about it are no JSON object.
        """
        if name not in self.metadata:
            return None
        found = self.metadata[name]
        if not isinstance(found, dict):
            raise FingerprintError(f"{self.path}: its {name} is no JSON object. Use the original file.")
        prefix = f"{name}."
        own = {key.removeprefix(prefix): tensor for key, tensor in self.tensors.items() if key.startswith(prefix)}
        return Attachment(cast("dict[str, Any]", found), own)

    def fingerprint(self) -> Fingerprint:
        """Return the fingerprint.

        Raises:
            FingerprintError: it is of an unknown version, or inconsistent.
        """
        path, metadata, tensors = self.path, self.metadata, self.tensors
        if metadata.get("format") != FORMAT_VERSION:
            raise FingerprintError(
                f"{path}: this fingerprint has format version {metadata.get('format')!r} and this release reads "
                f"{FORMAT_VERSION}. Use the release that wrote it ({metadata.get('tools')}) or a later one."
            )
        _check_tensors(tensors, path)
        remedy = "Use the original file, or generate it again."
        with reading(path, FingerprintError, fault=_MALFORMED, remedy=remedy):
            try:
                check_provenance(metadata)
                _check_origin(metadata)
            except OptionError as error:
                raise FingerprintError(f"{path}: {_MALFORMED} ({str(error).rstrip('.')}). {remedy}") from error
            fingerprint = _unpack(metadata, tensors)
            claimed = metadata["fingerprint_id"]
            _check_values(fingerprint, path)
            found, content = fingerprint.id, fingerprint.content_sha256
        if found != claimed:
            raise FingerprintError(
                f"{path}: the file was edited: its content has id {found[:12]}… and it claims "
                f"{str(claimed)[:12]}…. Use the original file."
            )
        if metadata.get("content_sha256", content) != content:
            raise FingerprintError(
                f"{path}: the file was edited: its probes, its descriptions or its record of the search are not those "
                "that it was written with. Use the original file."
            )
        return fingerprint


def load_fingerprint(path: StrPath) -> Fingerprint:
    """Read and check a fingerprint file.

    Raises:
        FingerprintError: it is missing, empty, truncated or foreign, of an unknown version, or inconsistent.
    """
    return FingerprintFile.read(Path(path)).fingerprint()


def _parsed(metadata: Mapping[str, str], path: Path) -> dict[str, Any]:
    if _KEY not in metadata:
        raise FingerprintError(f"{path}: this safetensors file holds no fingerprint: its metadata lack the key 'cae'.")
    with reading(path, FingerprintError, fault="the fingerprint's metadata are not JSON"):
        parsed = json.loads(metadata[_KEY])
        check_depth(parsed)
    if not isinstance(parsed, dict):
        raise FingerprintError(f"{path}: the fingerprint's metadata are not a JSON object.")
    return cast("dict[str, Any]", parsed)


def _unpack(metadata: Mapping[str, Any], tensors: Mapping[str, NDArray[Any]]) -> Fingerprint:
    return Fingerprint(
        **cast("dict[str, Any]", {name: tensors[name] for name in (*_TENSORS, *_OPTIONAL) if name in tensors}),
        class_names=tuple(metadata["class_names"]),
        generation=metadata["generation"],
        tools=metadata["tools"],
        origin=metadata.get("origin", {}),
        further={
            kind.name: LabelledImages(*(tensors[f"{kind.prefix}{name}"] for name, *_ in _LABELLED))
            for kind in _present(tensors)
        },
    )


def _check_origin(metadata: Mapping[str, Any]) -> None:
    """Refuse an origin that is no object, or holds no texts.

    Raises:
        OptionError: it is.
    """
    origin = read_field(metadata, "origin", dict, {})
    read_field(origin, "files", list[str], [])
    read_field(origin, "contract_sha256", str, "")


def _present(tensors: Mapping[str, object]) -> list[ImageKind]:
    """Return the further kinds of which the file has a tensor; then it must have both."""
    return [kind for kind in FURTHER if any(f"{kind.prefix}{name}" in tensors for name, *_ in _LABELLED)]


def _check_tensors(tensors: dict[str, NDArray[Any]], path: Path) -> None:
    sizes: dict[str, int] = {}
    further = {
        f"{kind.prefix}{name}": (dtype, (kind.name, *shape))
        for kind in _present(tensors)
        for name, dtype, shape in _LABELLED
    }
    optional = {name: form for name, form in _OPTIONAL.items() if name in tensors}
    for name, (dtype, letters) in {**_TENSORS, **optional, **further}.items():
        if name not in tensors:
            raise FingerprintError(f"{path}: the tensor {name!r} is missing. Copy or generate the fingerprint again.")
        tensor = tensors[name]
        shape = dict(zip(letters, tensor.shape, strict=False))
        fits = tensor.ndim == len(letters) and all(sizes.setdefault(a, size) == size for a, size in shape.items())
        if tensor.dtype != dtype or not fits:
            expected = ", ".join(str(sizes.get(letter, letter[0])) for letter in letters)
            raise FingerprintError(
                f"{path}: the tensor {name!r} should be {dtype} ({expected}) and is {tensor.dtype} {tensor.shape}."
            )


def _check_values(fingerprint: Fingerprint, path: Path) -> None:
    if len(fingerprint) == 0 or len(fingerprint.probe_images) == 0:
        raise FingerprintError(f"{path}: the fingerprint holds no example or no benign probe. Generate it again.")
    if not np.isfinite(fingerprint.conferrability).all() or not 0 <= fingerprint.source_accuracy <= 1:
        raise FingerprintError(f"{path}: the fingerprint holds values that are not finite or out of range.")
    c = len(fingerprint.class_names)
    labels = {f"{kind.prefix}labels": fingerprint.of(kind).labels for kind in KINDS}
    for name, values in {"labels": fingerprint.labels, "ground_truth": fingerprint.ground_truth, **labels}.items():
        if values.min(initial=0) < 0 or values.max(initial=0) >= c:
            raise FingerprintError(f"{path}: {name} must lie in 0 .. {c - 1}; found {values.min()} .. {values.max()}.")
    for kind in FURTHER:
        if fingerprint.generation.get(kind.name) != fingerprint.of(kind).described():
            raise FingerprintError(
                f"{path}: its images {kind.words} are not those that it was generated with. Use the original file."
            )
    sources, control_images = len(described_controls(fingerprint.generation)), len(fingerprint.of(CONTROL))
    if control_images != sources * len(fingerprint):
        raise FingerprintError(
            f"{path}: each of its {sources} control sources has as many images as there are examples, "
            f"{len(fingerprint)}; found {control_images} in all. Use the original file."
        )
    if (fingerprint.labels == fingerprint.ground_truth).any():
        raise FingerprintError(f"{path}: an example's label is its true class, which every good model answers.")
    _check_kinds(fingerprint, path)


def _check_kinds(fingerprint: Fingerprint, path: Path) -> None:
    """Refuse kinds of examples that are unknown, or that the examples contradict, and seeds at no place."""
    kinds = fingerprint.example_kinds
    if kinds.max() >= len(EXAMPLE_KINDS):
        raise FingerprintError(
            f"{path}: this release knows examples of the kinds 0 to {len(EXAMPLE_KINDS) - 1}; found {kinds.max()}. "
            "Use the release that wrote the file, or a later one."
        )
    natural = kinds == NATURAL_ERROR.code
    if not np.array_equal(fingerprint.images[natural], fingerprint.seeds[natural]):
        raise FingerprintError(
            f"{path}: an example that is said to be an unchanged image is not its seed. Use the original file."
        )
    unsearched = np.isin(kinds, [kind.code for kind in EXAMPLE_KINDS if not kind.searched])
    if fingerprint.steps[unsearched].any():
        raise FingerprintError(
            f"{path}: an example that is said to be no result of a search took steps. Use the original file."
        )
    if fingerprint.seed_index is not None and fingerprint.seed_index.min() < 0:
        raise FingerprintError(
            f"{path}: seed_index must be at least 0; found {fingerprint.seed_index.min()}. Use the original file."
        )
