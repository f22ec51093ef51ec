"""The ball: everything projected or rounded lies inside it and inside the pixel range."""

import math
from fractions import Fraction
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cae_core.arrays import Floats32, as_unit_float
from cae_core.errors import OptionError
from cae_core.method.ball import Ball

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


def most_squared(eps: float) -> int:
    """Return the largest squared length in levels, in whole numbers; 8/255 as a float32 is 8 levels."""
    levels = 255 * Fraction(eps)
    near = abs(levels - round(levels)) * 2**23 <= round(levels)
    return round(levels) ** 2 if near else math.floor(levels**2)


@given(eps=st.floats(1 / 255, 12.0), seed=st.integers(0, 10_000))
def test_an_l2_ball_holds_exactly_what_is_not_longer(eps: float, seed: int) -> None:
    """Lengths around the radius, reached by a single pixel value on the way: whole squares one more and one less."""
    random, limit = np.random.default_rng(seed), most_squared(eps)
    side = 80
    images = np.zeros((3, side, side, 1), np.uint8)
    for image, total in zip(images, (limit - 1, limit, limit + 1), strict=True):
        image.reshape(-1)[:] = differences(total, image.size, random)
    ball = Ball(eps, "l2")
    assert ball.contains(images, np.zeros_like(images)).tolist() == [True, True, False]
    np.testing.assert_array_equal(ball.quantise(as_unit_float(images), np.zeros_like(images))[:2], images[:2])
    assert ball.contains(ball.quantise(as_unit_float(images), np.zeros_like(images)), np.zeros_like(images)).all()


def differences(total: int, size: int, random: np.random.Generator) -> list[int]:
    """Return whole numbers below 256 whose squares sum to ``total``."""
    found: list[int] = []
    while total:
        most = min(255, math.isqrt(total))
        found.append(int(random.integers(most // 2 + 1, most + 1)) if total > 255**2 else most)
        total -= found[-1] ** 2
    return found + [0] * (size - len(found))


def test_a_thousandth_of_a_level_is_too_long() -> None:
    """765² + 1 = 585 226 is 765.0007 levels."""
    images = np.zeros((1, 10, 1, 1), np.uint8)
    images.reshape(-1)[:] = [255] * 9 + [1]
    assert np.square(images.astype(int)).sum() == 765**2 + 1
    assert not Ball(3.0, "l2").contains(images, np.zeros_like(images)).any()
    images[0, 9] = 0
    assert Ball(3.0, "l2").contains(images, np.zeros_like(images)).all()


@pytest.mark.parametrize("level", [1, 2, 7, 8, 100, 254, 765])
def test_a_whole_number_of_levels_is_itself_whatever_its_rounding(level: int) -> None:
    assert Ball(level / 255, "l2").most_squared == level**2
    assert Ball(float(np.float32(level / 255)), "l2").most_squared == level**2


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
            assert np.square(delta).sum(axis=(1, 2, 3)).max() <= most_squared(eps)


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


@pytest.mark.parametrize("eps", [1e6, 1e308])
@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_a_radius_beyond_all_images_is_refused(norm: Norm, eps: float) -> None:
    with pytest.raises(OptionError, match="eps is a"):
        Ball(eps, norm)
