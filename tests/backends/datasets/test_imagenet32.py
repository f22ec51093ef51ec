"""ImageNet-32 on small batches that the test writes in the published format: no original is part of the project."""

import io
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_backends.datasets import imagenet32, open_data
from cae_core.errors import DataError

NAMES = tuple(f"train_data_batch_{i}.npz" for i in range(1, 11))


def write_batch(path: Path, n: int = 30, **changes: Any) -> dict[str, NDArray[Any]]:  # noqa: ANN401 - any array
    rng = np.random.default_rng(sum(path.name.encode()))
    arrays = {
        "data": rng.integers(0, 256, (n, 3072), np.uint8),
        "labels": rng.integers(1, 1001, n),
        "mean": np.zeros(3072),
    } | changes
    np.savez(path, **{key: value for key, value in arrays.items() if value is not None})
    return arrays


@pytest.fixture
def published(tmp_path: Path) -> dict[str, dict[str, NDArray[Any]]]:
    return {name: write_batch(tmp_path / name) for name in (*NAMES, "val_data.npz")}


def as_images(rows: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return rows.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)


def refused(spec: Path | str, split: str = "test") -> str:
    with pytest.raises(DataError) as caught:
        open_data(str(spec), split=split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_all_classes_in_the_published_order(published: dict[str, dict[str, NDArray[Any]]], tmp_path: Path) -> None:
    train, test = open_data(str(tmp_path), split="train"), open_data(str(tmp_path))
    np.testing.assert_array_equal(train.images, as_images(np.concatenate([published[x]["data"] for x in NAMES])))
    np.testing.assert_array_equal(train.labels, np.concatenate([published[x]["labels"] for x in NAMES]) - 1)
    np.testing.assert_array_equal(test.images, as_images(published["val_data.npz"]["data"]))
    assert train.class_names == tuple(str(i) for i in range(1, 1001))
    assert len(open_data(str(tmp_path), split="all")) == 330


def test_a_seeded_choice_of_a_hundred_classes(published: dict[str, dict[str, NDArray[Any]]], tmp_path: Path) -> None:
    train = open_data(f"{tmp_path},classes=100,seed=3", split="train")
    test = open_data(f"{tmp_path},classes=100,seed=3")
    assert len(train.class_names) == 100
    assert test.class_names == train.class_names
    original = np.array([int(name) for name in train.class_names])
    assert (np.diff(original) > 0).all()
    labels = np.concatenate([published[x]["labels"] for x in NAMES])
    kept = np.isin(labels, original)
    assert 0 < kept.sum() < len(labels)
    np.testing.assert_array_equal(original[train.labels], labels[kept])
    rows = np.concatenate([published[x]["data"] for x in NAMES])[kept]
    np.testing.assert_array_equal(train.images, as_images(rows))


def test_the_choice_depends_on_the_seed_and_on_nothing_else(tmp_path: Path) -> None:
    write_batch(tmp_path / "val_data.npz", n=500)
    spec = f"{tmp_path},classes=100"
    assert open_data(spec).sha256() == open_data(f"{spec},seed=0").sha256()
    assert open_data(spec).class_names[:6] == ("3", "4", "12", "14", "21", "49")
    assert open_data(f"{spec},seed=1").class_names != open_data(spec).class_names


def test_no_more_is_held_than_the_chosen_images_and_a_chunk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(imagenet32, "_CHUNK", 64)
    write_batch(tmp_path / "val_data.npz", n=4000)
    open_data(f"{tmp_path},classes=20")  # what is imported on the way is not the reader's
    tracemalloc.start()
    data = open_data(f"{tmp_path},classes=20")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert data.images.nbytes < 500_000
    assert peak < 3_000_000 < 4000 * 3072 // 4


def test_missing_batches_are_named(published: dict[str, dict[str, NDArray[Any]]], tmp_path: Path) -> None:
    assert len(published) == 11
    (tmp_path / NAMES[6]).unlink()
    assert "train_data_batch_7.npz is missing" in refused(tmp_path, "train")
    assert len(open_data(str(tmp_path))) == 30


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"labels": np.arange(30)}, "labels must lie in 1 .. 1000; found 0 .. 29"),
        ({"labels": np.arange(30) + 990}, "labels must lie in 1 .. 1000; found 990 .. 1019"),
        ({"labels": np.ones(30)}, "labels must be integers"),
        ({"labels": np.ones(29, int)}, "a row for each label"),
        ({"labels": None}, "not a readable ImageNet-32 batch"),
        ({"labels": np.array([{}] * 30)}, "not a readable ImageNet-32 batch"),
        ({"data": None}, "not a readable ImageNet-32 batch"),
        ({"data": np.zeros((30, 3072))}, "data must be uint8 (30, 3072)"),
        ({"data": np.zeros((30, 32, 32, 3), np.uint8)}, "data must be uint8 (30, 3072)"),
        ({"data": np.zeros((3072, 30), np.uint8).T}, "data must be uint8 (30, 3072)"),
    ],
)
def test_batches_that_do_not_fit_are_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    write_batch(tmp_path / "val_data.npz", **changes)
    assert reason in refused(tmp_path)


def test_truncated_batches_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "val_data.npz"
    write_batch(path)
    whole = path.read_bytes()
    single = io.BytesIO()
    np.save(single, np.zeros(3))
    for content in (b"", b"text", single.getvalue(), whole[:50_000], whole[:40_000] + b"x" + whole[40_001:]):
        path.write_bytes(content)
        assert "not a readable ImageNet-32 batch" in refused(tmp_path)
    header = "{'descr': '<i8', 'fortran_order': False, 'shape': (" + "9" * 40 + ",)}"
    huge = b"\x93NUMPY\x01\x00" + bytes([len(header), 0]) + header.encode()
    for name in ("labels.npy", "data.npy"):
        write_batch(path)
        with zipfile.ZipFile(path) as archive:
            members = {x: archive.read(x) for x in archive.namelist()} | {name: huge}
        with zipfile.ZipFile(path, "w") as archive:
            for member, content in members.items():
                archive.writestr(member, content)
        assert str(path) in refused(tmp_path)
    write_batch(path)
    with zipfile.ZipFile(path) as archive:
        labels, data = archive.read("labels.npy"), archive.read("data.npy")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("labels.npy", labels)
        archive.writestr("data.npy", data[:-1])
    assert "data is truncated" in refused(tmp_path)


def test_more_classes_than_there_are_is_refused(tmp_path: Path) -> None:
    write_batch(tmp_path / "val_data.npz")
    assert "1001 classes were asked for and the data set has 1000" in refused(f"{tmp_path},classes=1001")
