"""The ball: everything projected or rounded lies inside it and inside the pixel range."""

from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cae_core.arrays import Floats32, as_unit_float
from cae_core.ball import Ball
from cae_core.errors import OptionError

Norm = Literal["linf", "l2"]
EPS = st.floats(1 / 255, 1.0)


def draw(seed: int, spread: float) -> tuple[NDArray[np.uint8], Floats32]:
    """Return 8-bit seeds, many of them at the ends of the range, and images that stray by ``spread``."""
    random = np.random.default_rng(seed)
    seeds = np.clip(random.integers(-100, 356, (5, 4, 3, 3)), 0, 255).astype(np.uint8)
    strayed = as_unit_float(seeds) + spread * random.standard_normal(seeds.shape)
    return seeds, strayed.astype(np.float32)


@given(eps=EPS, seed=st.integers(0, 10_000), spread=st.sampled_from([0.0, 0.01, 0.3, 100.0]))
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_projected_images_lie_in_the_ball_and_in_the_pixel_range(
    norm: Norm, eps: float, seed: int, spread: float
) -> None:
    seeds, images = draw(seed, spread)
    centre = as_unit_float(seeds)
    inside = Ball(eps, norm).project(images, centre)
    assert inside.dtype == np.float32
    assert inside.min() >= 0
    assert inside.max() <= 1
    delta = inside.astype(np.float64) - centre
    size = np.abs(delta).max() if norm == "linf" else np.sqrt(np.square(delta).sum(axis=(1, 2, 3))).max()
    assert size <= eps + 1e-6


@given(eps=EPS, seed=st.integers(0, 10_000), spread=st.sampled_from([0.0, 0.01, 0.3, 100.0]))
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_rounded_images_lie_in_the_ball(norm: Norm, eps: float, seed: int, spread: float) -> None:
    seeds, images = draw(seed, spread)
    ball = Ball(eps, norm)
    for given_images in (images, ball.project(images, as_unit_float(seeds))):
        rounded = ball.quantise(given_images, seeds)
        assert rounded.dtype == np.uint8
        assert ball.contains(rounded, seeds).all()
        delta = rounded.astype(np.int64) - seeds
        if norm == "linf":
            assert np.abs(delta).max() <= np.floor(255 * eps + 1e-3)
        else:
            assert np.sqrt(np.square(delta).sum(axis=(1, 2, 3))).max() <= 255 * eps + 1e-3


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_images_inside_are_left_where_they_are(norm: Norm) -> None:
    seeds, _ = draw(0, 0.0)
    ball = Ball(0.3, norm)
    nearby = np.clip(seeds.astype(np.int64) + np.random.default_rng(1).integers(-2, 3, seeds.shape), 0, 255)
    images = as_unit_float(nearby.astype(np.uint8))
    np.testing.assert_allclose(ball.project(images, as_unit_float(seeds)), images, atol=1e-7)
    np.testing.assert_array_equal(ball.quantise(images, seeds), nearby)


@pytest.mark.parametrize(
    ("eps", "radius"), [(8 / 255, 8), (0.0313725, 8), (0.031, 7), (0.025, 6), (0.15, 38), (1 / 255, 1), (1.0, 255)]
)
def test_the_radius_in_whole_levels(eps: float, radius: int) -> None:
    assert Ball(eps).radius == radius
    assert Ball(float(np.float32(eps))).radius == radius


def test_every_whole_number_of_levels_is_its_own_radius() -> None:
    assert [Ball(float(np.float32(level / 255))).radius for level in range(1, 256)] == list(range(1, 256))


def test_the_radius_is_used_up_and_not_exceeded() -> None:
    seeds = np.full((1, 2, 2, 1), 100, np.uint8)
    far = np.ones((1, 2, 2, 1), np.float32)
    assert np.unique(Ball(8 / 255).quantise(far, seeds)).tolist() == [108]
    assert np.unique(Ball(0.025).quantise(far, seeds)).tolist() == [106]
    assert not Ball(8 / 255).contains(np.full_like(seeds, 109), seeds).any()


def test_an_l2_perturbation_shrinks_until_its_rounded_image_is_inside() -> None:
    """48 values that each round up to 1 have length 6.93, though they were projected to 4.5 levels."""
    seeds = np.full((1, 4, 4, 3), 100, np.uint8)
    ball = Ball(4.5 / 255, "l2")
    images = ball.project(np.full(seeds.shape, 100.9 / 255, np.float32), as_unit_float(seeds))
    assert np.linalg.norm(np.rint(images * 255) - seeds.astype(float)) > 4.5
    rounded = ball.quantise(images, seeds)
    assert np.linalg.norm(rounded.astype(float) - seeds) <= 4.5


@pytest.mark.parametrize("eps", [0.0, -0.1, 1 / 256, float("nan"), float("inf"), -float("inf"), 1.01, 8.0])
def test_impossible_radii_are_refused(eps: float) -> None:
    with pytest.raises(OptionError, match="eps"):
        Ball(eps)


def test_an_l2_radius_may_exceed_one() -> None:
    assert Ball(2.0, "l2").radius == 510
