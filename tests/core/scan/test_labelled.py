"""The labelled images of a scan: drawn as for a single suspect, and the same wherever workers read them."""

import numpy as np
import pytest

from cae_core.contract_search.contract_images import contract_images
from cae_core.dataset import ImageSet
from cae_core.errors import DataError
from cae_core.scan.labelled import SharedImages, images_for, shared_images
from tests.core.toys import paired, toy_fingerprint

FINGERPRINT = toy_fingerprint()


def images(count: int) -> ImageSet:
    """Return so many random images, and the fingerprint's probes among them."""
    random = np.random.default_rng(4)
    own = random.integers(0, 256, (count, *FINGERPRINT.images.shape[1:]), np.uint8)
    every = np.concatenate([own, FINGERPRINT.probe_images])
    labels = random.integers(0, 10, len(every))
    order = random.permutation(len(every))
    return ImageSet(every[order], labels[order].astype(np.int64), tuple(f"class {j}" for j in range(10)), "toy")


@pytest.mark.parametrize("count", [20, 57, 10_050])
def test_they_are_drawn_as_for_a_single_suspect(count: int) -> None:
    taken = np.concatenate([FINGERPRINT.images, FINGERPRINT.probe_images])
    data = images(count)
    found = images_for(paired(FINGERPRINT), data)
    assert len(found) == min(count, 10_000)
    again, single = contract_images(found, taken), contract_images(data, taken)
    assert np.array_equal(again.images, single.images)
    assert np.array_equal(again.labels, single.labels)


def test_too_few_are_refused_before_any_suspect_is_opened() -> None:
    with pytest.raises(DataError, match="found 19"):
        images_for(paired(FINGERPRINT), images(19))


def test_workers_here_and_elsewhere_read_the_same() -> None:
    data = images(30)
    with shared_images(data) as shared:
        path = shared.store()
        for read in (SharedImages.unpack(path), SharedImages.unpack(shared.pack())):
            assert read.sha256() == data.sha256() == shared.name
            assert (read.class_names, read.name) == (data.class_names, "toy")
    assert not path.exists()
