"""The labelled images by which a scan finds contracts, as workers get them: once each, and not with each suspect."""

import io
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.contract_search.contract_images import contract_images
from cae_core.dataset import ImageSet
from cae_core.files.scratch import scratch_folder

__all__ = ["SharedImages", "images_for", "shared_images"]

_FILE = "images.npz"


def images_for(subject: CalibratedFingerprint, data: ImageSet) -> ImageSet:
    """Return those of the labelled images by which a contract is found, in such an order that they are drawn alike.

    Raises:
        DataError: fewer than 20 are neither examples nor probes.
    """
    taken = np.concatenate([subject.fingerprint.images, subject.fingerprint.probe_images])
    drawn = contract_images(data, taken)
    places = contract_images(ImageSet(drawn.images, np.arange(len(drawn)), tuple(map(str, range(len(drawn)))))).labels
    return drawn.subset(np.argsort(places))


@dataclass(frozen=True, kw_only=True)
class SharedImages:
    """Labelled images for workers, as a crew of `cae_backends.execution` takes what all items need.

    Attributes:
        images: see `images_for`.
        folder: where workers of this machine find them.
    """

    images: ImageSet = field(repr=False)
    folder: Path

    @property
    def name(self) -> str:
        """The same for the same images."""
        return self.images.sha256()

    def store(self) -> Path:
        """Write them into a file, and return its path."""
        path = self.folder / _FILE
        path.write_bytes(self.pack())
        return path

    def pack(self) -> bytes:
        """Return them as bytes."""
        held = io.BytesIO()
        given = self.images
        names = np.array([*given.class_names, given.name], dtype=np.str_)
        np.savez(held, images=given.images, labels=given.labels, names=names)
        return held.getvalue()

    @staticmethod
    def unpack(packed: bytes | Path) -> ImageSet:
        """Return the images of `pack` or `store`."""
        with np.load(io.BytesIO(packed) if isinstance(packed, bytes) else packed, allow_pickle=False) as held:
            *class_names, name = held["names"].tolist()
            return ImageSet(held["images"], held["labels"], tuple(class_names), name)


@contextmanager
def shared_images(images: ImageSet) -> Generator[SharedImages]:
    """Give what workers are told of the images; the file is gone afterwards."""
    with scratch_folder() as folder:
        yield SharedImages(images=images, folder=folder)
