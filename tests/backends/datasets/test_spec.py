"""What a specification says, and what its options do to the data."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cae_backends.datasets import DataSpec, open_data
from cae_core.errors import DataError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("digits", DataSpec(source="digits")),
        ("mnist,size=32", DataSpec(source="mnist", size=(32, 32))),
        ("a/b.npz,size=28x32,classes=5,seed=7", DataSpec(source="a/b.npz", size=(28, 32), classes=5, seed=7)),
        ("cifar-100,labels=coarse", DataSpec(source="cifar-100", labels="coarse")),
        ("data,v2", DataSpec(source="data,v2")),
        ("data,v=2/mnist,size=8", DataSpec(source="data,v=2/mnist", size=(8, 8))),
    ],
)
def test_a_specification_names_the_data_and_the_options(text: str, expected: DataSpec) -> None:
    assert DataSpec.parse(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("digits,sise=32", "unknown option 'sise'"),
        ("digits,size=32,size=8", "given twice"),
        ("digits,size=0", "at least 1x1"),
        ("digits,size=big", "number of pixels"),
        ("digits,size=", "number of pixels"),
        ("digits,classes=two", "whole number"),
        ("digits,classes=1", "at least 2 classes"),
        ("digits,classes=11", "11 classes were asked for and the data set has 10"),
        ("digits,seed=-1", "whole number"),
        (f"digits,seed={1 << 64}", "2^64"),
        ("digits,labels=rough", "fine or coarse"),
    ],
)
def test_wrong_options_are_refused(text: str, reason: str) -> None:
    with pytest.raises(DataError) as caught:
        open_data(text)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)


def test_chosen_classes_are_renumbered_and_keep_their_names() -> None:
    everything, chosen = open_data("digits"), open_data("digits,classes=4,seed=2")
    assert chosen.class_names == ("0", "3", "6", "7")
    original = np.array([int(name) for name in chosen.class_names])
    kept = np.isin(everything.labels, original)
    np.testing.assert_array_equal(chosen.images, everything.images[kept])
    np.testing.assert_array_equal(original[chosen.labels], everything.labels[kept])
    assert open_data("digits,classes=4,seed=2", split="train").class_names == chosen.class_names
    assert set(open_data("digits,classes=3,seed=2").class_names) < set(chosen.class_names)
    assert open_data("digits,classes=10,seed=2").sha256() == everything.sha256()


@pytest.mark.parametrize("size", [(32, 32), (20, 9), (5, 4)])
def test_resized_images_are_those_of_pillow(size: tuple[int, int]) -> None:
    data, resized = open_data("digits"), open_data(f"digits,size={size[0]}x{size[1]}")
    assert resized.images.dtype == np.uint8
    assert resized.images.shape == (599, *size, 1)
    np.testing.assert_array_equal(resized.labels, data.labels)
    pillow = [Image.fromarray(x[..., 0]).resize((size[1], size[0]), Image.Resampling.BILINEAR) for x in data.images]
    # Pillow rounds between its two passes; here only the result is rounded
    difference = np.abs(resized.images[..., 0].astype(int) - np.stack([np.asarray(x) for x in pillow]))
    assert difference.max() <= 1


def test_the_images_own_size_changes_nothing() -> None:
    assert open_data("digits,size=8").sha256() == open_data("digits").sha256()


def test_the_data_are_called_as_the_user_called_them(tmp_path: Path) -> None:
    assert open_data("digits,size=9").name == "digits"
    path = tmp_path / "a.npz"
    np.savez(path, images=np.zeros((2, 3, 3), np.uint8), labels=np.array([0, 1]))
    assert open_data(str(path)).name == str(path)
