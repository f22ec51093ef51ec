"""The images of a study, read when a step asks for them."""

from dataclasses import dataclass, field
from functools import cached_property

from cae_backends.datasets import open_data
from cae_core.dataset import ImageSet
from cae_core.files.digests import digest_of

__all__ = ["Images"]


@dataclass(frozen=True)
class Images:
    """The images of a study.

    Attributes:
        spec: as `open_data` takes it.
    """

    spec: str
    _kept: dict[str, ImageSet] = field(default_factory=dict, repr=False, compare=False)

    def of(self, split: str) -> ImageSet:
        """Return a part: train, test or all."""
        if split not in self._kept:
            self._kept[split] = open_data(self.spec, split=split)
        return self._kept[split]

    @cached_property
    def sha256(self) -> str:
        """Of all training and test images and labels."""
        return digest_of([self.of(split).sha256() for split in ("train", "test")])
