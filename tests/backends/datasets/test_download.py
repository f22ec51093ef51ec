"""Downloading against a server on this machine: nothing here reaches a network."""

import functools
import gzip
import hashlib
import http.server
import struct
import sys
import tarfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from cae_backends.datasets import download, open_data
from cae_backends.datasets.download import PUBLISHED, Published
from cae_core.errors import CaeError, DataError, StorageError


class Handler(http.server.SimpleHTTPRequestHandler):
    """Serves a folder, counts what is asked, and can break off in the middle of a file."""

    asked: ClassVar[list[str]]
    cut: ClassVar[int | None] = None

    def do_GET(self) -> None:
        self.asked.append(self.path)
        if self.cut is None:
            super().do_GET()
            return
        content = Path(self.translate_path(self.path)).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: self.cut])

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - as the base class has it
        pass


class Mirror:
    """A server of a folder's files, and the hashes that would be published for them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

        class Counting(Handler):
            asked: ClassVar[list[str]] = []

        self.handler = Counting
        self.server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), functools.partial(self.handler, directory=str(folder))
        )

    def published(self, *names: str) -> Published:
        md5 = {
            name: hashlib.md5((self.folder / name).read_bytes(), usedforsecurity=False).hexdigest() for name in names
        }
        return Published(f"http://127.0.0.1:{self.server.server_port}/", md5)


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("CAE_DATA", str(tmp_path / "cache"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "cache"


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[Mirror]:
    folder = tmp_path / "mirror"
    folder.mkdir()
    made = Mirror(folder)
    thread = threading.Thread(target=made.server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield made
    made.server.shutdown()
    thread.join()
    made.server.server_close()


FILES = tuple(PUBLISHED["mnist"].md5)


@pytest.fixture
def mnist(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    for name in FILES:
        images = struct.pack(">4I", 0x803, 3, 28, 28) + bytes(range(196)) * 12
        content = images if "images" in name else struct.pack(">2I", 0x801, 3) + bytes([7, 2, 1])
        (mirror.folder / name).write_bytes(gzip.compress(content, mtime=0))
    for name in ("mnist", "fashion-mnist"):
        monkeypatch.setitem(PUBLISHED, name, mirror.published(*FILES))
    return mirror


@pytest.fixture
def cifar(mirror: Mirror, monkeypatch: pytest.MonkeyPatch) -> Mirror:
    """The binary version under the name of the python one: what is downloaded is read as any archive is."""
    inside = mirror.folder.parent / "cifar-10-batches-bin"
    inside.mkdir()
    (inside / "batches.meta.txt").write_text("cat\ndog\n")
    record = bytes([1]) + np.random.default_rng(0).bytes(3072)
    for name in (*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"):
        (inside / f"{name}.bin").write_bytes(record * 2)
    with tarfile.open(mirror.folder / "cifar-10-python.tar.gz", "w:gz") as archive:
        archive.add(inside, arcname=inside.name)
    monkeypatch.setitem(PUBLISHED, "cifar-10", mirror.published("cifar-10-python.tar.gz"))
    return mirror


def refused(spec: str, error: type[CaeError] = DataError) -> str:
    with pytest.raises(error) as caught:
        open_data(spec)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_set_is_downloaded_once_and_kept(mnist: Mirror, cache: Path) -> None:
    data = open_data("mnist,size=32")
    assert data.images.shape == (3, 32, 32, 1)
    np.testing.assert_array_equal(data.labels, [7, 2, 1])
    assert data.name == "mnist"
    assert sorted(path.name for path in (cache / "mnist").iterdir()) == sorted(FILES)
    assert mnist.handler.asked == [f"/{name}" for name in FILES]
    mnist.server.server_port = 1  # nothing more is asked
    assert open_data("mnist", split="train").images.shape == (3, 28, 28, 1)
    assert len(mnist.handler.asked) == 4


def test_fashion_mnist_names_its_classes(mnist: Mirror) -> None:
    assert mnist.folder.is_dir()
    data = open_data("fashion-mnist")
    assert [data.class_names[label] for label in data.labels] == ["Sneaker", "Pullover", "Trouser"]
    assert open_data("mnist").class_names == tuple("0123456789")


def test_an_archive_is_downloaded_and_read(cifar: Mirror, cache: Path) -> None:
    assert len(open_data("cifar-10", split="all")) == 12
    assert (cache / "cifar-10" / "cifar-10-python.tar.gz").is_file()
    assert len(cifar.handler.asked) == 1


def test_a_wrong_hash_is_refused_and_nothing_is_kept(
    cifar: Mirror, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = PUBLISHED["cifar-10"].base_url
    monkeypatch.setitem(PUBLISHED, "cifar-10", Published(base, {"cifar-10-python.tar.gz": "0" * 32}))
    message = refused("cifar-10")
    assert f"{base}cifar-10-python.tar.gz: what came does not have the published MD5 {'0' * 32}" in message
    assert "--data PATH" in message
    assert list((cache / "cifar-10").iterdir()) == []


def test_a_kept_file_that_has_changed_is_downloaded_again(cifar: Mirror, cache: Path) -> None:
    open_data("cifar-10")
    kept = cache / "cifar-10" / "cifar-10-python.tar.gz"
    kept.write_bytes(kept.read_bytes()[:-100])
    assert len(open_data("cifar-10", split="all")) == 12
    assert len(cifar.handler.asked) == 2


@pytest.mark.parametrize("cut", [0, 100])
def test_a_download_that_breaks_off_is_refused(cifar: Mirror, cache: Path, cut: int) -> None:
    cifar.handler.cut = cut
    assert "cannot be downloaded: no connection" in refused("cifar-10")
    assert list((cache / "cifar-10").iterdir()) == []


def test_an_archive_that_is_truncated_where_it_is_published_is_refused(cifar: Mirror, cache: Path) -> None:
    file = cifar.folder / "cifar-10-python.tar.gz"
    file.write_bytes(file.read_bytes()[:-100])
    assert "does not have the published MD5" in refused("cifar-10")
    assert list((cache / "cifar-10").iterdir()) == []


def test_a_file_that_is_not_served_is_named(cifar: Mirror) -> None:
    (cifar.folder / "cifar-10-python.tar.gz").unlink()
    message = refused("cifar-10")
    assert f"127.0.0.1:{cifar.server.server_port} answers 404" in message
    assert "download cifar-10-python.tar.gz from http" in message


def test_without_a_network_it_fails_at_once_and_says_what_to_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(PUBLISHED, "mnist", Published("http://127.0.0.1:1/", PUBLISHED["mnist"].md5))
    start = time.monotonic()
    message = refused("mnist")
    assert time.monotonic() - start < 5
    assert f"mnist is not complete in {tmp_path / 'cache' / 'mnist'} and cannot be downloaded: no connection" in message
    assert f"download {', '.join(FILES)} from http://127.0.0.1:1/ elsewhere and give --data PATH" in message


def test_a_server_that_does_not_answer_is_given_up(cifar: Mirror, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "_TIMEOUT", (1, 0.2))
    given_up = threading.Event()
    monkeypatch.setattr(cifar.handler, "do_GET", lambda _self: given_up.wait(5))
    assert "no connection to 127.0.0.1" in refused("cifar-10")
    given_up.set()


def test_a_folder_that_cannot_be_written_is_a_storage_error(cifar: Mirror, cache: Path) -> None:
    cache.write_text("a file where the folder should be")
    assert "Set CAE_DATA" in refused("cifar-10", StorageError)
    assert cifar.handler.asked == []


def test_without_pooch_the_extra_and_the_files_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pooch", None)
    message = refused("fashion-mnist")
    assert "pip install 'cae-fingerprint[data]'" in message
    assert "train-images-idx3-ubyte.gz" in message


def test_the_published_hashes_are_whole() -> None:
    for name, published in PUBLISHED.items():
        assert all(len(bytes.fromhex(md5)) == 16 for md5 in published.md5.values()), name
