"""The half of the images that a judge's nonce draws."""

import numpy as np
import pytest

from cae_core.dataset import ImageSet
from cae_core.disputes.drawing import draw_half
from cae_core.errors import DataError
from tests.core.toys import SHAPE


def images_of(labels: list[int], *, classes: int = 5) -> ImageSet:
    """Return images that say in their first pixels which place they have."""
    images = np.zeros((len(labels), *SHAPE), np.uint8)
    images[:, 0, 0, 0], images[:, 0, 1, 0] = np.arange(len(labels)) % 256, np.arange(len(labels)) // 256
    return ImageSet(images, np.array(labels, np.int64), tuple("abcde"[:classes]), "toy")


def places(data: ImageSet) -> list[int]:
    return [int(image[0, 0, 0]) + 256 * int(image[0, 1, 0]) for image in data.images]


def test_of_each_class_half_is_drawn_up_to_one() -> None:
    rng = np.random.default_rng(4)
    for seed in range(30):
        labels = rng.choice(5, 200, p=[0.5, 0.25, 0.15, 0.09, 0.01]).tolist()
        data = images_of(labels)
        half = draw_half(data, nonce=bytes([seed]), count=50)
        assert len(half) == 100
        assert places(half) == sorted(set(places(half)))
        assert [labels[place] for place in places(half)] == half.labels.tolist()
        everyone, drawn = np.bincount(labels, minlength=5), np.bincount(half.labels, minlength=5)
        assert (np.abs(2 * drawn - everyone) <= 1).all()


def test_the_nonce_alone_draws() -> None:
    data = images_of([i % 5 for i in range(400)])
    first, again, other = (set(places(draw_half(data, nonce=nonce, count=9))) for nonce in (b"a", b"a", b"b"))
    assert first == again
    assert 70 < len(first & other) < 130  # of 200: half of them, as chance has it
    often = np.zeros(400)
    for seed in range(300):
        often[places(draw_half(data, nonce=bytes([seed % 256, seed // 256]), count=9))] += 1
    assert 100 < often.min() <= often.max() < 200  # nobody is left out, and nobody always drawn


def test_the_half_of_a_nonce_is_the_same_in_years() -> None:
    half = draw_half(images_of([i % 3 for i in range(20)], classes=3), nonce=bytes(range(16)), count=2)
    assert places(half) == [3, 4, 5, 9, 11, 15, 16, 17, 18, 19]


def test_too_few_images_are_refused_with_how_many_it_takes() -> None:
    data = images_of([i % 5 for i in range(99)])
    assert len(draw_half(data, nonce=b"", count=50)) == 50
    with pytest.raises(DataError, match=r"toy: .* take 51 of these; found 99 images, of which 50 .*102 images"):
        draw_half(data, nonce=b"", count=51)
