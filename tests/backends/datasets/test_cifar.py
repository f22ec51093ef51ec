"""All four published versions of CIFAR, from folders and archives that the test writes in their formats."""

import io
import os
import pickle
import struct
import tarfile
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_backends.datasets import DataSpec, open_data
from cae_core.errors import DataError

FINE, COARSE = tuple(f"fine-{i}" for i in range(7)), ("large", "small", "odd")
BATCHES = (*(f"data_batch_{i}.bin" for i in range(1, 6)), "test_batch.bin")


def images_of(name: str, n: int = 5) -> NDArray[np.uint8]:
    return np.random.default_rng(sum(name.encode())).integers(0, 256, (n, 32, 32, 3), np.uint8)


def rows_of(images: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return images.transpose(0, 3, 1, 2).reshape(len(images), 3072)


def text(value: str) -> bytes:
    return b"U" + bytes([len(value)]) + value.encode()


def pickled_table(**items: bytes) -> bytes:
    """Python 2's pickle of a dictionary whose values are pickled already."""
    return b"\x80\x02}(" + b"".join(text(key) + value for key, value in items.items()) + b"u."


def pickled_list(values: list[int] | tuple[str, ...]) -> bytes:
    return b"](" + b"".join(text(x) if isinstance(x, str) else bytes([ord("K"), x]) for x in values) + b"e"


def pickled_rows(rows: NDArray[np.uint8]) -> bytes:
    reconstruct = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
    dtype = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
    content = rows.tobytes()
    shape = b"J" + struct.pack("<i", len(rows)) + b"M\x00\x0c\x86"
    return reconstruct + b"(K\x01" + shape + dtype + b"\x89T" + struct.pack("<i", len(content)) + content + b"tb"


def records(*columns: list[int], images: NDArray[np.uint8]) -> bytes:
    labels = np.array(columns, np.uint8).T
    return np.concatenate([labels, rows_of(images)], axis=1).tobytes()


@pytest.fixture
def binary10(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    (folder / "batches.meta.txt").write_text("\n".join(FINE) + "\n\n")
    for name in BATCHES:
        (folder / name).write_bytes(records([6, 0, 1, 2, 3], images=images_of(name)))
    return folder


@pytest.fixture
def python100(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-100-python"
    folder.mkdir()
    names = {"fine_label_names": pickled_list(FINE), "coarse_label_names": pickled_list(COARSE)}
    (folder / "meta").write_bytes(pickled_table(**names))
    for name in ("train", "test"):
        labels = {"fine_labels": pickled_list([6, 0, 1, 2, 3]), "coarse_labels": pickled_list([2, 0, 0, 1, 1])}
        (folder / name).write_bytes(pickled_table(data=pickled_rows(rows_of(images_of(name + ".bin"))), **labels))
    return folder


@pytest.fixture
def binary100(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-100-binary"
    folder.mkdir()
    (folder / "fine_label_names.txt").write_text("\n".join(FINE))
    (folder / "coarse_label_names.txt").write_text("\n".join(COARSE))
    for name in ("train.bin", "test.bin"):
        (folder / name).write_bytes(records([2, 0, 0, 1, 1], [6, 0, 1, 2, 3], images=images_of(name)))
    return folder


def refused(spec: Path | str, split: str = "test") -> str:
    with pytest.raises(DataError) as caught:
        open_data(str(spec), split=split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def archived(folder: Path, packed: str = "gz") -> Path:
    path = folder.parent / f"set.tar{'.' if packed else ''}{packed}"
    with tarfile.open(path, f"w:{packed}") as archive:  # type: ignore[call-overload]
        archive.add(folder, arcname=folder.name)
    return path


def test_cifar10_binary_files(binary10: Path) -> None:
    test, train = open_data(str(binary10)), open_data(str(binary10.parent), split="train")
    np.testing.assert_array_equal(test.images, images_of("test_batch.bin"))
    np.testing.assert_array_equal(test.labels, [6, 0, 1, 2, 3])
    assert test.class_names == FINE
    np.testing.assert_array_equal(train.images, np.concatenate([images_of(name) for name in BATCHES[:5]]))


@pytest.mark.parametrize("version", ["python100", "binary100"])
def test_cifar100_has_fine_and_coarse_labels(version: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(version)
    fine, coarse = open_data(str(folder)), open_data(f"{folder.parent},labels=coarse")
    np.testing.assert_array_equal(fine.images, images_of("test.bin"))
    np.testing.assert_array_equal(coarse.images, fine.images)
    np.testing.assert_array_equal(fine.labels, [6, 0, 1, 2, 3])
    np.testing.assert_array_equal(coarse.labels, [2, 0, 0, 1, 1])
    assert (fine.class_names, coarse.class_names) == (FINE, COARSE)
    assert open_data(DataSpec(source=str(folder), labels="coarse"), split="train").class_names == COARSE
    everything = open_data(str(folder), split="all").images
    np.testing.assert_array_equal(everything, np.concatenate([images_of("train.bin"), images_of("test.bin")]))


@pytest.mark.parametrize("packed", ["gz", "xz", ""])
@pytest.mark.parametrize("version", ["binary10", "python100", "binary100"])
def test_an_archive_gives_what_its_folder_gives(version: str, packed: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(version)
    path = archived(folder, packed)
    for split in ("train", "test", "all"):
        from_archive, from_folder = open_data(str(path), split=split), open_data(str(folder), split=split)
        assert from_archive.sha256() == from_folder.sha256()
        assert from_archive.class_names == from_folder.class_names


def test_cifar10_has_no_coarse_labels(binary10: Path) -> None:
    assert "CIFAR-10 has no coarse labels" in refused(f"{binary10},labels=coarse")
    assert "CIFAR-10 has no coarse labels" in refused(f"{archived(binary10)},labels=coarse")
    assert "only CIFAR-100 has coarse labels" in refused("digits,labels=coarse")


@pytest.mark.parametrize("packed", [False, True])
def test_a_missing_file_is_named(binary10: Path, python100: Path, *, packed: bool) -> None:
    (binary10 / "data_batch_4.bin").unlink()
    (python100 / "meta").unlink()
    first = refused(archived(binary10) if packed else binary10, "train")
    assert "the CIFAR-10 file data_batch_4.bin is missing" in first
    assert "the CIFAR-100 file meta is missing" in refused(archived(python100) if packed else python100)


def test_a_folder_with_two_of_the_sets_is_refused(binary10: Path, python100: Path) -> None:
    message = refused(binary10.parent)
    assert f"holds {binary10} and {python100}" in message
    assert len(open_data(str(python100))) == 5


def test_labels_outside_the_classes_are_refused(binary10: Path, python100: Path) -> None:
    (binary10 / "test_batch.bin").write_bytes(records([0, 7], images=images_of("x", 2)))
    assert "labels must lie in 0 .. 6; found 0 .. 7" in refused(binary10)
    labels = {"fine_labels": pickled_list([0, 7])}
    (python100 / "test").write_bytes(pickled_table(data=pickled_rows(rows_of(images_of("x", 2))), **labels))
    assert "labels must lie in 0 .. 6; found 0 .. 7" in refused(python100)
    assert "test must hold coarse_labels" in refused(f"{python100},labels=coarse")


@pytest.mark.parametrize("cut", [0, 1, 3073 * 3 - 1])
def test_truncated_binary_files_are_refused(binary10: Path, cut: int) -> None:
    file = binary10 / "test_batch.bin"
    file.write_bytes(file.read_bytes()[:cut])
    assert f"3073-byte records; found {cut} bytes" in refused(binary10)
    (binary10 / "batches.meta.txt").write_text("\n")
    file.write_bytes(records([0], images=images_of("x", 1)))
    assert "batches.meta.txt must hold the names" in refused(binary10)


def test_a_truncated_python_file_and_a_truncated_archive_are_refused(python100: Path) -> None:
    path = archived(python100)
    path.write_bytes(path.read_bytes()[:-4000])
    assert "the archive cannot be read" in refused(path, "all")
    file = python100 / "test"
    file.write_bytes(file.read_bytes()[:5000])
    assert "test is truncated" in refused(python100)


def test_an_archive_of_something_else_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.tar"
    with tarfile.open(path, "w") as archive:
        archive.addfile(tarfile.TarInfo("readme"), io.BytesIO())
    assert "no files of CIFAR-10 or CIFAR-100" in refused(path)


class Malicious:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch ran",)


@pytest.mark.parametrize("file", ["test", "meta"])
@pytest.mark.parametrize("packed", [False, True])
def test_pickled_code_is_refused_and_not_run(
    python100: Path, file: str, monkeypatch: pytest.MonkeyPatch, *, packed: bool
) -> None:
    monkeypatch.chdir(python100)
    (python100 / file).write_bytes(pickle.dumps({b"data": Malicious()}))
    message = refused(archived(python100) if packed else python100)
    assert f"{file}: the pickle asks for" in message
    assert not (python100 / "ran").exists()
