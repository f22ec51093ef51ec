import gzip
import io
import os
import pickle
import struct
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_backends.datasets import DataSpec, Reader, open_data, table
from cae_core.dataset import ImageSet
from cae_core.errors import DataError

NAMES = ("airplane", "automobile", "bird")
SHARED = Path(__file__).parents[4] / "shared" / "data"


def cifar_images(name: str, n: int = 4) -> NDArray[np.uint8]:
    return np.random.default_rng(len(name) + ord(name[-1])).integers(0, 256, (n, 32, 32, 3), np.uint8)


def cifar_pickle(images: NDArray[np.uint8], *, core: str = "numpy.core.multiarray") -> bytes:
    """Python 2's pickle of ``{"data": array (n, 3072), "labels": [...]}``: byte strings, NumPy's old module names."""
    flat = images.transpose(0, 3, 1, 2).tobytes()
    return b"".join([
        b"\x80\x02}(U\x04datac" + core.encode() + b"\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R(K\x01",
        b"J" + struct.pack("<i", len(images)) + b"M\x00\x0c\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R",
        b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89T" + struct.pack("<i", len(flat)) + flat + b"tb",
        b"U\x06labels](" + b"".join(bytes([ord("K"), i % 3]) for i in range(len(images))) + b"eu.",
    ])  # fmt: skip


META = b"\x80\x02}U\x0blabel_names](" + b"".join(b"U" + bytes([len(x)]) + x.encode() for x in NAMES) + b"es."
BATCHES = (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch")


@pytest.fixture
def cifar(tmp_path: Path) -> Path:
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "batches.meta").write_bytes(META)
    for name in BATCHES:
        (folder / name).write_bytes(cifar_pickle(cifar_images(name)))
    return folder


def refused(spec: Path | str, split: str = "test") -> str:
    with pytest.raises(DataError) as caught:
        open_data(str(spec), split=split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_both_splits_tell_which_images_are_test_images() -> None:
    both, test = open_data("digits", split="both"), open_data("digits", split="test")
    assert both.sha256() == open_data("digits", split="all").sha256()
    assert (both.split, test.split, test.held_out) == ("all", "test", None)
    assert both.held_out is not None
    np.testing.assert_array_equal(both.images[both.held_out], test.images)
    assert both.described()["parts"][1] == {"split": "test", "count": len(test), "sha256": test.sha256()}


def test_an_archive_knows_no_splits(tmp_path: Path) -> None:
    path = tmp_path / "some.npz"
    np.savez(path, images=IMAGES, labels=LABELS)
    whole = open_data(str(path), split="both")
    assert (whole.split, whole.held_out) == ("", None)
    assert whole.described() == open_data(str(path)).described()


def test_digits_are_split_once_and_for_all() -> None:
    train, test, everything = (open_data("digits", split=split) for split in ("train", "test", "all"))
    assert (len(train), len(test), len(everything)) == (1198, 599, 1797)
    assert train.images.shape == (1198, 8, 8, 1)
    assert test.class_names == tuple("0123456789")
    share = np.bincount(test.labels) / np.bincount(everything.labels)
    assert np.abs(share - 1 / 3).max() < 0.01
    np.testing.assert_array_equal(np.unique(everything.images), [(255 * v + 8) // 16 for v in range(17)])
    np.testing.assert_array_equal(np.concatenate([train.images, test.images]), everything.images)
    assert test.sha256()[:12] == "ddc9b3d8706e"
    assert train.sha256()[:12] == "fcbc960a7ef1"


def test_cifar10_keeps_rows_columns_and_channels(cifar: Path) -> None:
    test = open_data(str(cifar))
    np.testing.assert_array_equal(test.images, cifar_images("test_batch"))
    np.testing.assert_array_equal(test.labels, [0, 1, 2, 0])
    assert test.class_names == NAMES
    train = open_data(str(cifar.parent), split="train")
    np.testing.assert_array_equal(train.images, np.concatenate([cifar_images(name) for name in BATCHES[:5]]))
    assert len(open_data(str(cifar), split="all")) == 24


@pytest.mark.parametrize("packed", ["gz", "xz", ""])
def test_cifar10_is_read_from_its_archive(cifar: Path, packed: str) -> None:
    path = cifar.parent / f"cifar.tar{'.' if packed else ''}{packed}"
    with tarfile.open(path, f"w:{packed}") as archive:  # type: ignore[call-overload]
        archive.add(cifar, arcname=cifar.name)
    assert open_data(str(path), split="all").sha256() == open_data(str(cifar), split="all").sha256()


def test_cifar10_is_read_with_the_module_names_of_numpy_2(cifar: Path) -> None:
    (cifar / "test_batch").write_bytes(cifar_pickle(cifar_images("x"), core="numpy._core.multiarray"))
    np.testing.assert_array_equal(open_data(str(cifar)).images, cifar_images("x"))


class Malicious:
    def __init__(self, run: Callable[[str], object], argument: str) -> None:
        self.call = (run, (argument,))

    def __reduce__(self) -> tuple[Callable[[str], object], tuple[str]]:
        return self.call


@pytest.mark.parametrize("run", [os.system, eval, np.load])
@pytest.mark.parametrize("file", ["test_batch", "batches.meta"])
def test_a_malicious_pickle_is_refused_and_not_run(cifar: Path, file: str, run: Callable[[str], object]) -> None:
    witness = cifar / "ran"
    (cifar / file).write_bytes(pickle.dumps({b"data": Malicious(run, f"touch {witness}")}))
    message = refused(cifar)
    assert f"{file}: the pickle asks for" in message
    assert "Do not trust it" in message
    assert not witness.exists()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"text",
        cifar_pickle(cifar_images("x"))[:5000],
        pickle.dumps([1, 2]),
        pickle.dumps({b"labels": [0]}),
        pickle.dumps({b"data": np.zeros((2, 3072)), b"labels": [0, 0]}),
        pickle.dumps({b"data": np.zeros((2, 7), np.uint8), b"labels": [0, 0]}),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, "x"]}),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0]}),
        pickle.dumps({b"data": np.zeros((2, 3072), np.uint8), b"labels": [0, 9]}),
        b"\x80\x02cnumpy\nndarray\n(J\xff\xff\xff\x7fJ\xff\xff\xff\x7fJ\xff\xff\xff\x7ft\x85R.",
    ],
)
def test_a_broken_batch_is_refused(cifar: Path, content: bytes) -> None:
    (cifar / "test_batch").write_bytes(content)
    refused(cifar)


def test_a_missing_batch_and_a_broken_archive_are_refused(cifar: Path) -> None:
    (cifar / "data_batch_3").unlink()
    assert "data_batch_3 is missing" in refused(cifar, "all")
    (cifar / "batches.meta").write_bytes(pickle.dumps({b"label_names": 3}))
    assert "label_names" in refused(cifar)
    whole, half = io.BytesIO(), cifar.parent / "half.tar.gz"
    with tarfile.open(fileobj=whole, mode="w:gz") as archive:
        archive.add(cifar, arcname="x")
    half.write_bytes(whole.getvalue()[:9000])
    assert "cannot be read" in refused(half, "all")
    (cifar.parent / "no.tar").write_bytes(b"no archive" * 100)
    assert "cannot be read" in refused(cifar.parent / "no.tar")


def write_idx(folder: Path, prefix: str, n: int, *, packed: bool = False) -> NDArray[np.uint8]:
    images = np.random.default_rng(n).integers(0, 256, (n, 5, 6), np.uint8)
    parts = {
        f"{prefix}-images-idx3-ubyte": struct.pack(">4I", 0x803, n, 5, 6) + images.tobytes(),
        f"{prefix}-labels-idx1-ubyte": struct.pack(">2I", 0x801, n) + bytes(i % 10 for i in range(n)),
    }
    for name, content in parts.items():
        target = folder / (name + ".gz" * packed)
        target.write_bytes(gzip.compress(content) if packed else content)
    return images[..., None]


@pytest.mark.parametrize("packed", [False, True])
def test_idx_files_are_read(tmp_path: Path, packed: bool) -> None:  # noqa: FBT001 - a parameter of pytest
    train, test = write_idx(tmp_path, "train", 12, packed=packed), write_idx(tmp_path, "t10k", 3, packed=packed)
    np.testing.assert_array_equal(open_data(str(tmp_path), split="train").images, train)
    np.testing.assert_array_equal(open_data(str(tmp_path)).images, test)
    everything = open_data(str(tmp_path), split="all")
    np.testing.assert_array_equal(everything.images, np.concatenate([train, test]))
    np.testing.assert_array_equal(everything.labels[:12], [*range(10), 0, 1])
    assert everything.class_names == tuple("0123456789")


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("below", [".", "raw", "MNIST/raw", "FashionMNIST/raw"])
@pytest.mark.parametrize("point", [True, False])
def test_idx_files_are_found_under_the_names_that_they_get(
    tmp_path: Path, below: str, packed: str, *, point: bool
) -> None:
    folder = tmp_path / below
    folder.mkdir(parents=True, exist_ok=True)
    expected = write_idx(folder, "t10k", 3, packed=bool(packed))
    if point:  # as unpackers name them, one of the two only
        (folder / f"t10k-images-idx3-ubyte{packed}").rename(folder / f"t10k-images.idx3-ubyte{packed}")
    data = open_data(str(tmp_path))
    np.testing.assert_array_equal(data.images, expected)
    assert ("Sneaker" in data.class_names) == ("Fashion" in below)
    assert "train-images-idx3-ubyte (or train-images-idx3-ubyte.gz) is missing" in refused(tmp_path, "train")


def test_a_root_with_both_sets_is_refused(tmp_path: Path) -> None:
    for name in ("MNIST", "FashionMNIST"):
        (tmp_path / name / "raw").mkdir(parents=True)
        write_idx(tmp_path / name / "raw", "t10k", 3)
    assert f"holds {tmp_path}/MNIST/raw and {tmp_path}/FashionMNIST/raw" in refused(tmp_path)
    assert len(open_data(str(tmp_path / "MNIST"))) == 3


def test_broken_idx_files_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path, "t10k", 3)
    images = tmp_path / "t10k-images-idx3-ubyte"
    whole = images.read_bytes()
    for content, reason in (
        (whole[:-1], "says 90 bytes and has 89"),
        (whole + b"x", "says 90 bytes and has more"),
        (whole[:9], "not an IDX file"),
        (b"", "not an IDX file"),
        (b"\x00\x00\x0d\x03" + whole[4:], "begins 00000d03"),
    ):
        images.write_bytes(content)
        assert reason in refused(tmp_path)
    images.unlink()
    assert "is missing" in refused(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte.gz").write_bytes(gzip.compress(whole)[:-20])
    assert "cannot be read" in refused(tmp_path)
    images.write_bytes(struct.pack(">4I", 0x803, 2, 5, 6) + whole[16:76])
    assert "2 images need as many labels" in refused(tmp_path)
    assert "train-images-idx3-ubyte" in refused(tmp_path, "train")


def write_npz(path: Path, **arrays: object) -> Path:
    np.savez(path, **arrays)  # type: ignore[arg-type]
    return path


IMAGES, LABELS = np.arange(2 * 3 * 4 * 3, dtype=np.uint8).reshape(2, 3, 4, 3), np.array([1, 0])


def test_npz_files_are_read(tmp_path: Path) -> None:
    named = open_data(str(write_npz(tmp_path / "a.npz", images=IMAGES, labels=LABELS, class_names=["cat", "dog"])))
    np.testing.assert_array_equal(named.images, IMAGES)
    assert named.class_names == ("cat", "dog")
    gray = open_data(str(write_npz(tmp_path / "b.npz", images=IMAGES[..., 0], labels=LABELS.astype(np.uint8))))
    assert gray.images.shape == (2, 3, 4, 1)
    assert gray.class_names == ("0", "1")
    assert gray.labels.dtype == np.int64


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"labels": LABELS}, "no array 'images'"),
        ({"images": IMAGES}, "no array 'labels'"),
        ({"images": IMAGES / 255, "labels": LABELS}, "must be uint8"),
        ({"images": IMAGES[0, 0], "labels": LABELS}, "shape"),
        ({"images": IMAGES, "labels": LABELS + 0.5}, "must be integers"),
        ({"images": IMAGES, "labels": LABELS[:1]}, "as many labels"),
        ({"images": IMAGES, "labels": LABELS - 1, "class_names": ["cat"]}, "must lie in"),
        ({"images": IMAGES, "labels": LABELS, "class_names": [1, 2]}, "class_names must be strings"),
        ({"images": IMAGES, "labels": np.array([1, None])}, "plain arrays"),
        ({"images": IMAGES[:0], "labels": LABELS[:0]}, "holds no images"),
    ],
)
def test_npz_files_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, object], reason: str) -> None:
    assert reason in refused(write_npz(tmp_path / "a.npz", **arrays))


def test_broken_npz_files_are_refused(tmp_path: Path) -> None:
    whole = write_npz(tmp_path / "a.npz", images=IMAGES, labels=LABELS).read_bytes()
    single = io.BytesIO()
    np.save(single, IMAGES)
    for content in (b"", b"text", whole[:200], single.getvalue(), pickle.dumps({"images": 1})):
        (tmp_path / "a.npz").write_bytes(content)
        assert "plain arrays" in refused(tmp_path / "a.npz")


def npy(header: str, body: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header.encode() + body


@pytest.mark.parametrize(
    "member",
    [
        b"", b"text", npy(""), npy("{"), npy("(" * 9000), npy("{'descr': '<f8'}"),
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (100000000000, 9000)}"),
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (" + "9" * 90 + ",)}"),
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-1,)}"),
        npy("{'descr': '|V99999999999', 'fortran_order': False, 'shape': (1,)}"),
        npy("{'descr': 'x', 'fortran_order': False, 'shape': (1,)}"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", pickle.dumps(1)),
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["images", "labels", "class_names"])
def test_an_odd_member_of_an_npz_file_is_refused(tmp_path: Path, name: str, member: bytes) -> None:
    path = write_npz(tmp_path / "a.npz", images=IMAGES, labels=LABELS, class_names=["cat", "dog"])
    with zipfile.ZipFile(path) as archive:
        members = {x.filename: archive.read(x) for x in archive.infolist()}
    with zipfile.ZipFile(path, "w") as archive:
        for key, content in members.items():
            archive.writestr(key, member if key == f"{name}.npy" else content)
    assert len(refused(path)) < 500


@pytest.mark.parametrize("place", [6, 8])  # of the flags (bit 0: encrypted) and of the method of compression
def test_an_encrypted_or_oddly_compressed_npz_file_is_refused(tmp_path: Path, place: int) -> None:
    path = write_npz(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    content = bytearray(path.read_bytes())
    for signature, extra in ((b"PK\x03\x04", 0), (b"PK\x01\x02", 2)):
        start = content.find(signature)
        while start >= 0:
            content[start + place + extra] |= 1 if place == 6 else 77
            start = content.find(signature, start + 1)
    path.write_bytes(content)
    assert "plain arrays" in refused(path)


def test_an_npz_file_that_unpacks_to_the_memory_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive, archive.open("images.npy", "w") as file:
        for _ in range(257):
            file.write(bytes(1 << 20))
    assert "unpack to 269484032, which are hardly images" in refused(path)
    np.savez_compressed(path, images=np.zeros((9, 99, 99), np.uint8), labels=np.arange(9))  # as small as it is empty
    assert len(open_data(str(path))) == 9


def test_labels_that_no_class_has_are_refused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", images=IMAGES, labels=np.array([0, 10**9]))
    assert "found the label 1000000000" in refused(path)
    assert len(open_data(str(write_npz(path, images=IMAGES, labels=np.array([0, 999])))).class_names) == 1000


@pytest.mark.parametrize("option", ["size=99999", "size=4097x1", "classes=" + "9" * 5000, "seed=" + "9" * 5000])
def test_options_that_are_too_large_are_refused(option: str) -> None:
    refused(f"digits,{option}")


def test_what_is_no_data_set_is_refused(tmp_path: Path) -> None:
    assert "no such data set" in refused("mnits")
    assert "no known data set" in refused(tmp_path)
    assert "found 'validation'" in refused("digits", "validation")
    (tmp_path / "a.csv").touch()
    assert "no known data set" in refused(tmp_path / "a.csv")


def test_a_reader_in_the_table_is_all_that_another_data_set_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def read(path: Path, asked: DataSpec, split: str) -> ImageSet:
        return ImageSet(IMAGES, LABELS, tuple("ab"), f"{path} {asked.source} {split}")

    def recognises(path: Path) -> bool:
        return path.suffix == ".csv"

    (tmp_path / "a.csv").touch()
    ours = Reader(name="ours", form="a .csv file", recognises=recognises, read=read)
    monkeypatch.setattr(table, "READERS", (*table.READERS, ours))
    for source in ("ours", str(tmp_path / "a.csv")):
        assert np.array_equal(open_data(source).labels, LABELS)
        assert "only CIFAR-100 has coarse labels" in refused(f"{source},labels=coarse")
    assert "; and a .csv file." in refused(tmp_path)
    assert "names digits, ours, cifar-10" in refused("mnits")


def test_an_empty_name_is_no_data_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "no known data set" in refused("")


def test_reading_a_file_does_not_import_scikit_learn(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "a.npz", images=IMAGES, labels=LABELS)
    script = f"import sys; from cae_backends.datasets import open_data; open_data({str(path)!r}); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"sklearn", "scipy"} & set(done.stdout.split())


def test_the_published_mnist_where_it_lies_beside_the_project() -> None:
    if not (SHARED / "mnist").is_dir():
        pytest.skip("MNIST's files are not part of the project")
    test = open_data(str(SHARED / "mnist"))
    assert test.images.shape == (10000, 28, 28, 1)
    assert test.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert open_data(f"{SHARED / 'mnist'},size=32").sha256()[:12] == "a43b87b0561d"


@pytest.mark.slow
def test_the_published_cifar10_where_it_lies_beside_the_project() -> None:
    path = SHARED / "cifar-10-batches-py.tar.xz"
    if not path.is_file():
        pytest.skip("CIFAR-10's files are not part of the project")
    test = open_data(str(path))
    assert test.class_names[:3] == ("airplane", "automobile", "bird")
    assert np.bincount(test.labels).tolist() == [1000] * 10
    assert test.sha256()[:12] == "e600ce11aaf5"
