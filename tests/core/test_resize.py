"""The resize rules are those of torch's interpolation, and their adjoints are transposes."""

import numpy as np
import pytest
import torch
from torch.nn.functional import interpolate

from cae_core.resize import RESIZE_RULES, resize, resize_matrix

SIZES = [((8, 8), (8, 8)), ((5, 7), (11, 13)), ((32, 28), (16, 9)), ((9, 9), (4, 20)), ((1, 1), (3, 3))]


@pytest.mark.parametrize("rule", RESIZE_RULES)
@pytest.mark.parametrize(("size_in", "size_out"), SIZES)
def test_agrees_with_torch(rule: str, size_in: tuple[int, int], size_out: tuple[int, int]) -> None:
    images = np.random.default_rng(0).random((2, *size_in, 3), np.float32)
    mode, _, antialias = rule.partition("-")
    expected = interpolate(
        torch.tensor(images).permute(0, 3, 1, 2),
        size=size_out,
        mode=mode,
        align_corners=None if mode == "nearest" else False,
        antialias=bool(antialias),
    )
    np.testing.assert_allclose(resize(images, size_out, rule), expected.permute(0, 2, 3, 1).numpy(), atol=2e-6)


@pytest.mark.parametrize("rule", RESIZE_RULES)
def test_a_constant_image_stays_constant(rule: str) -> None:
    resized = resize(np.full((1, 7, 6, 1), 0.25, np.float32), (10, 3), rule)
    np.testing.assert_allclose(resized, 0.25, atol=1e-6)
    np.testing.assert_allclose(resize_matrix(7, 10, rule).sum(axis=1), 1, atol=1e-6)


def test_unknown_rules_are_not_guessed() -> None:
    with pytest.raises(KeyError):
        resize_matrix(2, 4, "lanczos")
