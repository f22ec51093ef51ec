"""Resize and Upsample have ONNX Runtime's sizes and values, also where a place lies on the border of two pixels."""

from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray

from cae_backends.torch.onnx_import import convert_onnx
from cae_backends.torch.onnx_operators.interpolation import Axis, Sampling, nearest_pixels, weights
from tests.backends.onnx_cases import NEWEST, integers, model_of, run_onnx, unary

pytestmark = pytest.mark.usefixtures("one_thread")

CENTRES = ("half_pixel", "pytorch_half_pixel", "align_corners", "asymmetric")


def resized(shape: tuple[int, ...], numbers: NDArray[Any], opset: int, **told: str) -> onnx.ModelProto:
    """Return a model that resizes images of ``shape`` by scales, which are fractions, or to sizes."""
    inputs = ",by" if numbers.dtype == np.float32 else ",,by"
    proto = model_of(unary("Resize", {"by": numbers}, inputs, opsets=(13, NEWEST), low=-1.0, **told), opset)
    for axis, size in zip(proto.graph.input[0].type.tensor_type.shape.dim, shape, strict=True):
        axis.dim_value = size
    del proto.graph.value_info[:]
    proto.graph.output[0].type.tensor_type.ClearField("shape")
    return proto


def check(proto: onnx.ModelProto, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).uniform(-1, 1, shape).astype(np.float32)
    expected, found = run_onnx(proto, x), convert_onnx(proto, origin="case")(torch.tensor(x)).numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("mode", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("seed", range(25))
def test_any_factors(mode: str, seed: int) -> None:
    rng = np.random.default_rng([seed, len(mode)])
    shape = (1, 2, *(int(size) for size in rng.integers(1, 14, 2)))
    scales = np.array([1, 1, *rng.uniform(0.4, 3, 2)], np.float32)
    scales[2:] = np.maximum(scales[2:], 1.01 / np.array(shape[2:]))  # one pixel at least
    check(resized(shape, scales, 18, mode=mode, coordinate_transformation_mode=str(rng.choice(CENTRES))), shape)


@pytest.mark.parametrize("rounding", ["round_prefer_floor", "round_prefer_ceil", "floor", "ceil"])
@pytest.mark.parametrize("centres", CENTRES)
@pytest.mark.parametrize("sizes", [(13, 2), (25, 30), (28, 19), (7, 18), (20, 26), (14, 38), (13, 8)])
def test_places_between_two_pixels(rounding: str, centres: str, sizes: tuple[int, int]) -> None:
    """In float32 some of these places miss the middle by a digit; the runtime takes them for the middle."""
    shape = (1, 1, 1, sizes[0])
    told = {"nearest_mode": rounding, "coordinate_transformation_mode": centres}
    check(resized(shape, integers(1, 1, 1, sizes[1]), 19, mode="nearest", **told), shape)


@pytest.mark.parametrize(("size", "factor"), [(7, 1.3), (10, 1.7), (9, 0.7), (33, 2.0606061), (3, 1 / 3 + 1e-7)])
def test_the_size_is_the_floor_of_the_float32_product(size: int, factor: float) -> None:
    scale = np.float32(factor)
    proto = resized((1, 1, 1, size), np.array([1, 1, 1, scale], np.float32), 13, mode="linear")
    answer = convert_onnx(proto, origin="case")(torch.ones(1, 1, 1, size))
    assert answer.shape[3] == int(np.float32(size) * scale)
    check(proto, (1, 1, 1, size))


def test_weights_of_one_output_pixel_add_up_to_one() -> None:
    for mode in ("linear", "cubic"):
        for antialias in (False, True):
            sampling = Sampling(mode, "half_pixel", antialias=antialias)
            matrix, outside = weights(Axis(9, 4, 4 / 9), sampling)
            np.testing.assert_allclose(matrix.sum(axis=1), 1, rtol=1e-6)
            assert not outside.any()


def test_an_axis_that_is_kept_is_not_sampled() -> None:
    pixels, _ = nearest_pixels(Axis(5, 5, 1.0), Sampling("nearest", "half_pixel", "ceil"))
    assert pixels.tolist() == [0, 1, 2, 3, 4]
