"""A folder of images by class, written by Pillow."""

import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from cae_backends.datasets import open_data
from cae_core.errors import DataError


def pixels(seed: int, *shape: int) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def save(path: Path, image: NDArray[np.uint8] | Image.Image) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    (Image.fromarray(image) if isinstance(image, np.ndarray) else image).save(path)


def refused(spec: Path | str, split: str = "test") -> str:
    with pytest.raises(DataError) as caught:
        open_data(str(spec), split=split)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def colours(tmp_path: Path) -> Path:
    for seed, name in enumerate(("dog/b.png", "dog/a.PNG", "cat/x.png", "Emu/x.png")):
        save(tmp_path / "set" / name, pixels(seed, 4, 5, 3))
    return tmp_path / "set"


def test_classes_and_files_come_in_the_order_of_their_names(colours: Path) -> None:
    data = open_data(str(colours))
    assert data.class_names == ("Emu", "cat", "dog")
    np.testing.assert_array_equal(data.labels, [0, 1, 2, 2])
    np.testing.assert_array_equal(data.images, np.stack([pixels(seed, 4, 5, 3) for seed in (3, 2, 1, 0)]))
    assert open_data(str(colours), split="train").sha256() == data.sha256()


def test_train_and_test_folders_are_splits(tmp_path: Path) -> None:
    for seed, name in enumerate(("train/b/1.png", "train/a/1.png", "train/a/2.png", "test/a/1.png", "test/b/1.png")):
        save(tmp_path / name, pixels(seed, 3, 3, 3))
    train, test, everything = (open_data(str(tmp_path), split=split) for split in ("train", "test", "all"))
    np.testing.assert_array_equal(train.labels, [0, 0, 1])
    np.testing.assert_array_equal(test.labels, [0, 1])
    np.testing.assert_array_equal(everything.images, np.concatenate([train.images, test.images]))
    (tmp_path / "test" / "c").mkdir()
    assert "the classes of train and test must be the same; c is in one only" in refused(tmp_path, "train")


def test_a_missing_split_is_named(tmp_path: Path) -> None:
    save(tmp_path / "train" / "a" / "1.png", pixels(0, 3, 3, 3))
    assert "the folder test with its class folders is missing; found train" in refused(tmp_path)
    assert len(open_data(str(tmp_path), split="train")) == 1


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("train/1.png", "boat/1.png"):
        save(tmp_path / name, pixels(0, 3, 3, 3))
    assert open_data(str(tmp_path)).class_names == ("boat", "train")


def test_grey_images_stay_grey_when_all_are(tmp_path: Path) -> None:
    save(tmp_path / "a" / "1.png", pixels(0, 3, 4))
    save(tmp_path / "a" / "2.png", Image.fromarray(pixels(1, 3, 4)).convert("1"))
    save(tmp_path / "b" / "1.png", Image.fromarray(pixels(2, 3, 4, 2), "LA"))
    data = open_data(str(tmp_path))
    assert data.images.shape == (3, 3, 4, 1)
    np.testing.assert_array_equal(data.images[0, ..., 0], pixels(0, 3, 4))
    assert set(np.unique(data.images[1])) <= {0, 255}
    save(tmp_path / "b" / "2.png", pixels(3, 3, 4, 3))
    mixed = open_data(str(tmp_path))
    assert mixed.images.shape == (4, 3, 4, 3)
    np.testing.assert_array_equal(mixed.images[0], np.repeat(data.images[0], 3, axis=2))


def test_palettes_alpha_and_jpeg_become_rgb(tmp_path: Path) -> None:
    colour = Image.fromarray(np.full((8, 8, 3), (200, 100, 50), np.uint8))
    palette = colour.quantize(4)
    palette.info["transparency"] = b"\x00\xff"
    save(tmp_path / "a" / "palette.png", palette)
    save(tmp_path / "a" / "alpha.png", colour.convert("RGBA"))
    save(tmp_path / "a" / "photo.jpg", colour)
    save(tmp_path / "a" / "print.jpeg", colour.convert("CMYK"))
    images = open_data(str(tmp_path)).images
    assert images.shape == (4, 8, 8, 3)
    assert np.abs(images.astype(int) - (200, 100, 50)).max() <= 2


def test_different_sizes_are_refused_unless_one_is_asked_for(colours: Path) -> None:
    save(colours / "dog" / "c.png", pixels(0, 7, 6, 3))
    message = refused(colours)
    assert f"{colours / 'dog' / 'c.png'}: the image is 7x6" in message
    assert f"{colours / 'Emu' / 'x.png'} is 4x5" in message
    assert "size=32" in message
    resized = open_data(f"{colours},size=4x5")
    assert resized.images.shape == (5, 4, 5, 3)
    np.testing.assert_array_equal(resized.images[0], pixels(3, 4, 5, 3))


def test_an_empty_class_folder_is_refused(colours: Path) -> None:
    (colours / "gnu").mkdir()
    (colours / "gnu" / ".keep").touch()
    assert f"{colours / 'gnu'}: the class folder is empty" in refused(colours)


def test_what_is_no_image_is_refused(colours: Path) -> None:
    (colours / ".DS_Store").touch()
    (colours / "dog" / ".hidden").touch()
    assert len(open_data(str(colours))) == 4
    (colours / "dog" / "notes.txt").touch()
    assert f"{colours / 'dog' / 'notes.txt'}: a class folder holds PNG and JPEG files only" in refused(colours)
    (colours / "dog" / "notes.txt").unlink()
    (colours / "dog" / "nested.png").mkdir()
    assert "nested.png: a class folder holds" in refused(colours)


def broken_files(whole: bytes) -> list[bytes]:
    bmp_called_png = b"BM" + whole
    return [b"", b"text", whole[:40], whole[: len(whole) // 2], whole[:60] + b"\x00" * 20 + whole[80:], bmp_called_png]


@pytest.mark.parametrize("case", range(6))
def test_broken_images_are_refused(colours: Path, case: int) -> None:
    path = colours / "dog" / "b.png"
    save(path, pixels(0, 64, 64, 3))
    for other in ("dog/a.PNG", "cat/x.png", "Emu/x.png"):
        save(colours / other, pixels(0, 64, 64, 3))
    path.write_bytes(broken_files(path.read_bytes())[case])
    assert f"{path}: not a readable PNG or JPEG image" in refused(colours)


def written_png(values: NDArray[np.integer[Any]], colour: int, *, bits: int, interlaced: bool = False) -> bytes:
    """A PNG by hand; an interlaced one is 1x1, so that it has one pass, the first."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    height, width = values.shape[:2]
    rows = b"".join(b"\0" + row.astype(">u2" if bits == 16 else "u1").tobytes() for row in values)
    header = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, interlaced)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


@pytest.mark.parametrize("name", ["1.png", "1.jpg"])
@pytest.mark.parametrize("interlaced", [{}, {"interlaced": True}])
@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (4, 2), (6, 4)])
def test_sixteen_bits_are_refused_and_eight_are_read(
    tmp_path: Path, colour: int, channels: int, interlaced: dict[str, bool], name: str
) -> None:
    values = pixels(4, 1, 1, channels) if interlaced else pixels(4, 3, 4, channels)
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / name).write_bytes(written_png(values, colour, bits=8, **interlaced))
    images = open_data(str(tmp_path)).images
    np.testing.assert_array_equal(images[0], values[..., : images.shape[3]])
    (tmp_path / "a" / name).write_bytes(written_png(values.astype(int) * 257 + 1, colour, bits=16, **interlaced))
    assert f"{name}: images have 8 bits a channel; found 16" in refused(tmp_path)


def test_sixteen_bits_are_refused_where_the_header_is_not_the_first_chunk(tmp_path: Path) -> None:
    whole = written_png(pixels(4, 3, 4, 3).astype(int), 2, bits=16)
    text = b"tEXtkey\0value"
    chunk = struct.pack(">I", len(text) - 4) + text + struct.pack(">I", zlib.crc32(text))
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.png").write_bytes(whole[:8] + chunk + whole[8:])
    assert "found 16" in refused(tmp_path)


def test_without_pillow_the_extra_is_named(colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    assert "pip install 'cae-fingerprint[images]'" in refused(colours)


def test_pillow_and_pooch_are_imported_only_when_needed() -> None:
    script = "import sys; from cae_backends.datasets import open_data; open_data('digits'); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert not {"PIL", "pooch", "requests"} & set(done.stdout.split())


def headed(path: Path, width: int, height: int) -> None:
    """Write a small PNG whose header says another size."""
    save(path, pixels(0, 8, 8, 3))
    data = bytearray(path.read_bytes())
    data[16:24] = struct.pack(">II", width, height)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    path.write_bytes(bytes(data))


def test_images_that_say_they_are_huge_are_refused_before_there_is_room_for_them(tmp_path: Path) -> None:
    headed(tmp_path / "a" / "z.png", 9000, 9000)
    assert "the image is 9000x9000; at most 67108864 pixels are read" in refused(tmp_path)
    for i in range(5):
        headed(tmp_path / "a" / f"{i}.png", 8000, 8000)
    (tmp_path / "a" / "z.png").unlink()
    assert "would be 960000000 bytes of pixels" in refused(tmp_path)
