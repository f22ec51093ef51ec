"""Blends: what they are made of, which become examples, and that a broken run makes the same ones."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_core.fingerprint.example_kinds import BLEND, count_example_kinds
from cae_core.generation.blends import blend_pairs, draw_pairs
from cae_core.generation.generate import GenerationResult, generate
from tests.core.generation.test_mixtures import erring
from tests.core.toys import PROVENANCE, World, quick_settings

BLENDED: dict[str, Any] = {"blends": 0.5, "natural": 0.25, "blend_candidates": 3000}
NONE = np.zeros(0, np.int64)


@pytest.fixture(scope="module")
def noisy() -> World:
    return erring()


@pytest.fixture(scope="module")
def blended(noisy: World) -> GenerationResult:
    return generate(noisy.white_boxes, noisy.data, quick_settings(**BLENDED), provenance=PROVENANCE)


def all_of(images: int, value: int, size: tuple[int, int] = (32, 32)) -> NDArray[np.uint8]:
    return np.full((images, *size, 3), value, np.uint8)


class TestImages:
    @pytest.mark.parametrize("size", [(32, 32), (8, 8), (28, 20), (6, 6)])
    def test_they_hold_less_of_the_second_image(self, size: tuple[int, int]) -> None:
        """Of black images, with white ones: the mean of a blend is the share of the second."""
        images = np.concatenate([all_of(1, 0, size), all_of(1, 255, size)])
        made = blend_pairs(images, np.tile(np.array([[0, 1]]), (400, 1)), seed=3)
        share = made.mean(axis=(1, 2, 3)) / 255
        assert share.max() < 0.5
        assert share[1::2].min() >= 0.249
        assert share[0::2].mean() > 0.2
        assert set(np.unique(made[0::2])) == {0, 255}
        assert all(len(np.unique(one)) == 1 for one in made[1::2])

    def test_a_cut_mix_is_a_rectangle(self) -> None:
        images = np.concatenate([all_of(1, 0), all_of(1, 9)])
        for one in blend_pairs(images, np.tile(np.array([[0, 1]]), (50, 1)), seed=1)[0::2, :, :, 0]:
            rows, columns = np.nonzero(one)
            assert (one[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] == 9).all()

    def test_means_are_rounded_to_the_nearest_level(self) -> None:
        random = np.random.default_rng(4)
        images = random.integers(0, 256, (2, 9, 9, 1), np.uint8)
        first, second = images.astype(float)
        for one in blend_pairs(images, np.tile(np.array([[0, 1]]), (40, 1)), seed=2)[1::2]:
            errors = [np.abs(one - ((256 - part) * first + part * second) / 256).max() for part in range(64, 121)]
            assert min(errors) <= 0.5


class TestPairs:
    def test_they_are_of_two_classes_and_leave_out_what_is_taken(self, noisy: World) -> None:
        data = dataclasses.replace(noisy.data, held_out=np.arange(900) >= 300)
        pairs = draw_pairs(data, 2000, seed=1, without=np.arange(300, 500))
        assert pairs.min() >= 500
        assert (data.labels[pairs[:, 0]] != data.labels[pairs[:, 1]]).all()
        assert 1000 < len(pairs) < 2000
        np.testing.assert_array_equal(pairs, draw_pairs(data, 2000, seed=1, without=np.arange(300, 500)))
        assert not np.array_equal(pairs, draw_pairs(data, 2000, seed=2, without=np.arange(300, 500)))

    def test_no_images_make_no_pairs(self, noisy: World) -> None:
        assert draw_pairs(noisy.data, 10, seed=0, without=np.arange(900)).shape == (0, 2)


class TestExamples:
    def test_each_is_given_a_label_of_neither_image(self, noisy: World, blended: GenerationResult) -> None:
        found, data = blended.fingerprint, noisy.data
        assert count_example_kinds(found.example_kinds)["blend"] == 6
        rows = found.example_kinds == BLEND.code
        pairs = draw_pairs(data, 3000, seed=3, without=NONE)
        place = {one.tobytes(): pair for one, pair in zip(blend_pairs(data.images, pairs, seed=3), pairs, strict=True)}
        assert found.seed_index is not None
        for image, label, seed in zip(found.images[rows], found.labels[rows], found.seed_index[rows], strict=True):
            pair = place[image.tobytes()]
            assert pair[0] == seed
            assert label not in data.labels[pair]
        np.testing.assert_array_equal(found.ground_truth, data.labels[found.seed_index])
        assert (noisy.white_boxes.source.predict(found.images).labels == found.labels).all()
        assert not found.steps[rows].any()

    def test_the_same_again_is_the_same(self, noisy: World, blended: GenerationResult) -> None:
        again = generate(noisy.white_boxes, noisy.data, quick_settings(**BLENDED), provenance=PROVENANCE)
        assert again.fingerprint.content_sha256 == blended.fingerprint.content_sha256

    def test_too_few_candidates_leave_their_places_to_others(self, noisy: World) -> None:
        settings = quick_settings(**{**BLENDED, "blend_candidates": 1})
        found = generate(noisy.white_boxes, noisy.data, settings, provenance=PROVENANCE).fingerprint
        assert len(found) == 12
        assert (found.example_kinds == BLEND.code).sum() <= 1
