"""A contract made from a training set does what the textbook says, and travels with a model."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cae_core.contract import Contract, contract_from_metadata, metadata_of, parse_contract
from cae_core.dataset import ImageSet
from cae_core.errors import ContractError, DataError
from cae_core.preprocessing import mean_image_contract, per_channel_contract


def images_of(k: int, n: int = 40) -> ImageSet:
    images = np.random.default_rng(k).integers(0, 200, (n, 5, 6, k), np.uint8)
    images[..., -1] += 50
    return ImageSet(images, np.zeros(n, np.int64), ("only",), "set")


@pytest.mark.parametrize("k", [1, 3])
def test_the_mean_image_of_the_training_set_is_subtracted(k: int) -> None:
    data = images_of(k)
    x = data.images / 255
    contract = mean_image_contract(data, layout="NHWC", output="logits")
    np.testing.assert_allclose(contract.to_input(data.images), x - x.mean(axis=0), atol=1e-6)
    assert contract.range == (0.0, 1.0)
    assert contract.channels == ("RGB" if k == 3 else "GRAY")


@pytest.mark.parametrize("k", [1, 3])
def test_each_channel_gets_mean_0_and_deviation_1(k: int) -> None:
    data = images_of(k)
    tensor = per_channel_contract(data, layout="NCHW", output="logits").to_input(data.images)
    assert tensor.shape == (40, k, 5, 6)
    np.testing.assert_allclose(tensor.mean(axis=(0, 2, 3)), 0, atol=1e-5)
    np.testing.assert_allclose(tensor.std(axis=(0, 2, 3)), 1, atol=1e-5)


def test_the_statistics_do_not_depend_on_the_order_of_the_images() -> None:
    data = images_of(3)
    mixed = data.subset(np.random.default_rng(0).permutation(len(data)))
    assert per_channel_contract(data, layout="NHWC", output="logits") == per_channel_contract(
        mixed, layout="NHWC", output="logits"
    )
    one, two = (mean_image_contract(x, layout="NHWC", output="logits").mean_image for x in (data, mixed))
    np.testing.assert_array_equal(one, two)


def test_another_size_is_refused() -> None:
    contract = mean_image_contract(images_of(3), layout="NHWC", output="labels")
    with pytest.raises(ContractError, match="takes 5x6 images"):
        contract.to_input(np.zeros((1, 8, 8, 3), np.uint8))


def test_the_usual_contract_travels_in_the_metadata() -> None:
    contract = per_channel_contract(images_of(3), layout="NCHW", output="probabilities")
    assert contract_from_metadata(metadata_of(contract), origin="model") == contract


def test_the_mean_image_travels_in_a_file_beside_the_contract(tmp_path: Path) -> None:
    contract = mean_image_contract(images_of(3), layout="NCHW", output="logits")
    assert contract.mean_image is not None
    np.save(tmp_path / "mean.npy", contract.mean_image)
    table = {"layout": "NCHW", "range": [0, 1], "output": "logits", "mean_image": "mean.npy", "size": [5, 6]}
    read = parse_contract(table, origin="file", folder=tmp_path)
    x = images_of(3, n=2).images
    np.testing.assert_array_equal(read.to_input(x), contract.to_input(x))


@pytest.mark.parametrize("make", [mean_image_contract, per_channel_contract])
def test_no_images_have_no_mean(make: Callable[..., Contract]) -> None:
    with pytest.raises(DataError, match="no images"):
        make(images_of(3).subset([]), layout="NHWC", output="logits")


def test_a_channel_without_contrast_is_refused() -> None:
    data = images_of(3)
    data.images[..., 1] = 7
    with pytest.raises(DataError, match="channel 1"):
        per_channel_contract(data, layout="NHWC", output="logits")
