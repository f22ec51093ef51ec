"""Data sets: npz, IDX, CIFAR's versions and archives, ImageNet-32, folders of images, and the text of --data."""

import gzip
import io
import os
import pickle
import pickletools
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.datasets import open_data
from tests.fuzz.mutations import edited_bytes
from tests.fuzz.reader import Case, Make, Reader

__all__ = ["CIFAR", "DATA", "IDX", "IMAGENET32", "IMAGES", "NPZ"]

_OPTIONS = (
    "",
    "",
    "",
    ",size=4",
    ",classes=3",
    ",size=9x3,classes=2,seed=5",
    ",size=99999",
    ",classes=99999",
    ",labels=coarse",
)
_SHAPES = (
    *(
        "(1000000000000,)",
        "(20, 8, 8, 1)",
        "(-1,)",
        "(2**3,)",
        "()",
        "(1e3,)",
        "(0, 10**20)",
        "(99999999999999999999,)",
    ),
    *(
        "(" * 200 + ")" * 200,
        "(" + "1," * 100 + ")",
        "(True,)",
        "20",
        "[20]",
        '__import__("os")',
        "(" + "1" * 5000 + ",)",
    ),
    *("-" * 5000 + "1", "(20,8,8,1)#", "(1<<62, 4)", "(20, 0, 8, 1)", "(0, 8, 8, 1)", "(20, 8, 8, 4)", "(20, 8, 8)"),
)
_TYPES: tuple[Any, ...] = (
    *(
        "|u1",
        "<f8",
        "|O",
        "x",
        "<M8[ns]",
        "|V10",
        [("a", "<i4")],
        "<U1000000",
        "",
        None,
        "(3,)u1",
        "u1,u2",
        ">i8",
        "|S0",
    ),
    *("<U0", "<c16", ["a"], {"names": ["a"], "formats": ["u1"]}),
)


def _npz(*, packed: bool = False, **arrays: NDArray[Any]) -> bytes:
    file = io.BytesIO()
    if packed:
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type] # names of arrays
    else:
        np.savez(file, **arrays)  # type: ignore[arg-type] # names of arrays
    return file.getvalue()


def _npy(shape: str, kind: Any = "|u1", body: bytes = b"", version: int = 1) -> bytes:  # noqa: ANN401
    header = f"{{'descr': {kind!r}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    header += b" " * (63 - (10 + len(header)) % 64) + b"\n"
    length = struct.pack("<H" if version == 1 else "<I", len(header))
    return b"\x93NUMPY" + bytes([version, 0]) + length + header + body


def _zipped(members: Mapping[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return file.getvalue()


def _is_zip(content: bytes) -> bool:
    try:
        zipfile.ZipFile(io.BytesIO(content))
    except Exception:  # noqa: BLE001 - the question is whether anything at all is wrong
        return False
    return True


def _opened(path: Path | str, options: str = "", split: str = "test") -> None:
    open_data(f"{path}{options}", split=split)


def _images(random: Random, count: int, *shape: int) -> NDArray[np.uint8]:
    return np.frombuffer(random.randbytes(count * int(np.prod(shape))), np.uint8).reshape(count, *shape)


# -- npz

_LABELS = _npy("(20,)", "<i8", bytes(160))


def _npz_files(_: Path) -> list[bytes]:
    random = Random(0)  # noqa: S311 - the same each time
    images, labels = _images(random, 20, 8, 8, 1), np.arange(20) % 10
    names = np.array(list("abcdefghij"))
    return [_npz(images=images, labels=labels), _npz(packed=True, images=images, labels=labels, class_names=names)]


def _npz_case(random: Random, files: list[bytes], folder: Path) -> Case:
    path, makers = folder / "d.npz", (_npz_bytes, _npz_arrays, _npz_header, _npz_directory, _npz_members)
    content, what = random.choice(makers)(random, random.choice(files))
    path.write_bytes(content)
    return Case(partial(_opened, path, random.choice(_OPTIONS)), what, _is_zip(content))


def _npz_bytes(random: Random, valid: bytes) -> tuple[bytes, str]:
    return edited_bytes(random, valid), "bytes"


def _npz_arrays(random: Random, _: bytes) -> tuple[bytes, str]:
    shapes = ((20, 8, 8, 1), (20, 8, 8), (20, 8, 8, 4), (0, 8, 8, 1), (20, 0, 0, 1), (), (20,), (20, 8, 8, 1, 1))
    images = np.zeros(random.choice(shapes), random.choice(("u1", "u1", "f4", "i8", "?", "M8[s]", "S3", "U1")))
    labels = random.choice(
        (
            *(np.arange(20) % 10, np.zeros(20), np.zeros((20, 1), np.int64), np.full(20, 2**63, np.uint64)),
            *(np.full(20, -1), np.array(["a"] * 20), np.zeros(19, np.int64), np.full(20, 10**9), np.zeros(0, np.int64)),
        )
    )
    arrays: dict[str, NDArray[Any]] = {"images": images, "labels": labels}
    if random.random() < 0.5:
        names = (np.array(list("abc")), np.array([b"a"] * 10), np.array(3), np.zeros(10), np.array([["a"]]))
        arrays["class_names"] = random.choice((*names, np.array(["\x1b[2J"] * 10)))
    return _npz(packed=False, **arrays), str({name: (str(array.dtype), array.shape) for name, array in arrays.items()})


def _npz_header(random: Random, _: bytes) -> tuple[bytes, str]:
    shape, kind, version = random.choice(_SHAPES), random.choice(_TYPES), random.choice((1, 1, 2, 3, 4, 255))
    images = _npy(shape, kind, bytes(random.choice((0, 1280))), version)
    method = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    return _zipped({"images.npy": images, "labels.npy": _LABELS}, method), f"{shape[:30]} {kind} version {version}"


def _npz_directory(random: Random, _: bytes) -> tuple[bytes, str]:
    """Say of the members that they are encrypted, packed in another way, or of another size."""
    method = random.choice((zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA))
    content = bytearray(_zipped({"images.npy": _npy("(20, 8, 8, 1)", body=bytes(1280)), "labels.npy": _LABELS}, method))
    kind, value = random.choice((("encrypted", 1), ("method", 0), ("size", 0), ("size", 0)))
    if kind == "method":
        value = random.choice((1, 6, 8, 9, 12, 14, 19, 93, 98, 99))
    size = random.choice((0, 1, 2**31, 2**32 - 2, 10**6))
    for mark, flags, methods, sizes in ((b"PK\x03\x04", 6, 8, 22), (b"PK\x01\x02", 8, 10, 24)):
        place = content.find(mark)
        while place >= 0:
            if kind == "encrypted":
                content[place + flags] |= 1
            elif kind == "method":
                content[place + methods] = value
            else:
                content[place + sizes : place + sizes + 4] = struct.pack("<I", size)
            place = content.find(mark, place + 4)
    return bytes(content), f"{kind} {value} {size}"


def _npz_members(random: Random, _: bytes) -> tuple[bytes, str]:
    images = edited_bytes(random, _npy("(20, 8, 8, 1)", body=bytes(1280)))
    labels = edited_bytes(random, _LABELS) if random.random() < 0.5 else _LABELS
    names = random.choice((("images.npy", "labels.npy"), ("images", "labels"), ("a/images.npy", "labels.npy")))
    return _zipped(dict(zip(names, (images, labels), strict=True))), "members"


def _file(name: str, content: Callable[[], bytes], options: str = "") -> Make:
    def make(_: Random, __: object, folder: Path) -> Case:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content())
        return Case(partial(_opened, folder / name.partition("/")[0], options), "given")

    return make


def _bomb(_: Random, __: object, folder: Path) -> Case:
    """Six megabytes that unpack to six gigabytes; written in pieces of what a compressor makes of nothing."""
    path = folder / "d.npz"
    header = _npy("(6000000, 32, 32, 1)")
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("labels.npy", _npy("(6000000,)", "<i8", bytes(48_000_000)))
        with archive.open("images.npy", "w", force_zip64=True) as member:
            member.write(header)
            for _block in range(100):
                member.write(bytes(1 << 23))
    return Case(partial(_opened, path), "much of nothing")


def _pipe(name: str) -> Make:
    def make(_: Random, __: object, folder: Path) -> Case:
        os.mkfifo(folder / name)
        return Case(partial(_opened, folder / name), "a pipe", parses=False)

    return make


def _encrypted() -> bytes:
    content = bytearray(_zipped({"images.npy": _npy("(20, 8, 8, 1)", body=bytes(1280)), "labels.npy": _LABELS}))
    for mark, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        place = content.find(mark)
        while place >= 0:
            content[place + flags] |= 1
            place = content.find(mark, place + 4)
    return bytes(content)


def _headed(shape: str, kind: Any = "|u1") -> Make:  # noqa: ANN401
    return _file("d.npz", lambda: _zipped({"images.npy": _npy(shape, kind), "labels.npy": _LABELS}))


NPZ = Reader(
    name="npz",
    prepare=_npz_files,
    make=_npz_case,
    failures={
        "a class name for every number": _file(
            "d.npz", lambda: _npz(images=np.zeros((20, 8, 8, 1), np.uint8), labels=np.full(20, 10**9))
        ),
        "a bomb": _bomb,
        "encrypted": _file("d.npz", _encrypted),
        "a member without a suffix": _file("d.npz", lambda: _zipped({"images": b"abc", "labels": b"abc"})),
        "pickled objects": _file("d.npz", lambda: _npz(images=np.array([{"a": 1}], object), labels=np.arange(1))),
        **{f"shape {shape[:20]}": _headed(shape) for shape in (*_SHAPES[:1], *_SHAPES[7:9], _SHAPES[14], _SHAPES[17])},
        "texts of a million letters": _headed("(20, 8, 8, 1)", "<U1000000"),
        "99999 pixels": _file("d.npz", lambda: _npz_files(Path())[0], ",size=99999"),
        "a pipe": _pipe("d.npz"),
    },
    valid={
        "plain": _file("d.npz", lambda: _npz_files(Path())[0]),
        "packed": _file("d.npz", lambda: _npz_files(Path())[1], ",size=4,classes=3"),
    },
)


# -- IDX


def _idx_files(_: object) -> tuple[bytes, bytes]:
    random = Random(0)  # noqa: S311 - the same each time
    images = struct.pack(">4B3I", 0, 0, 8, 3, 20, 8, 8) + random.randbytes(1280)
    return images, struct.pack(">4BI", 0, 0, 8, 1, 20) + bytes(i % 10 for i in range(20))


def _write_idx(folder: Path, images: bytes, labels: bytes, suffix: str = "") -> None:
    (folder / f"t10k-images-idx3-ubyte{suffix}").write_bytes(images)
    (folder / f"t10k-labels-idx1-ubyte{suffix}").write_bytes(labels)


def _idx_case(random: Random, files: tuple[bytes, bytes], folder: Path) -> Case:
    (images, labels), kind, packed = files, random.randrange(5), random.random() < 0.5
    sizes = (0, 1, 20, 8, 2**16, 2**31, 2**32 - 1)
    match kind:
        case 0:
            images = edited_bytes(random, images)
        case 1:
            labels = edited_bytes(random, labels)
        case 2:
            images = struct.pack(">4B3I", 0, 0, 8, 3, *(random.choice(sizes) for _ in range(3))) + images[16:]
        case 3:
            images = images[: random.randrange(20)]
    parts = [gzip.compress(part, 1, mtime=0) if packed else part for part in (images, labels)]
    if kind == 4:
        parts[random.randrange(2)] = edited_bytes(random, parts[0])
    _write_idx(folder, parts[0], parts[1], ".gz" if packed else "")
    return Case(partial(_opened, folder), f"{kind}, {'packed' if packed else 'plain'}", images[:4] == files[0][:4])


def _valid_idx(_: Random, files: tuple[bytes, bytes], folder: Path) -> Case:
    _write_idx(folder, *files)
    return Case(partial(_opened, folder), "valid")


def _idx_bomb(_: Random, files: tuple[bytes, bytes], folder: Path) -> Case:
    """A gigabyte that a megabyte unpacks to, which the header announces."""
    header = struct.pack(">4B3I", 0, 0, 8, 3, 1 << 20, 32, 32)
    _write_idx(folder, b"", gzip.compress(files[1], mtime=0), ".gz")
    with gzip.open(folder / "t10k-images-idx3-ubyte.gz", "wb", 1) as file:
        file.write(header)
        for _block in range(128):
            file.write(bytes(1 << 23))
    return Case(partial(_opened, folder), "a bomb")


IDX = Reader(
    name="idx",
    prepare=_idx_files,
    make=_idx_case,
    failures={"a bomb": _idx_bomb},
    valid={"plain": _valid_idx},
)


# -- CIFAR


class _Harmful:
    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, ("touch HARMED",)


def _cifar_files(_: object) -> dict[str, bytes]:
    random = Random(0)  # noqa: S311 - the same each time
    rows = _images(random, 5, 3072)
    names = {b"label_names": [b"c%d" % i for i in range(10)]}
    return {
        "test_batch": pickle.dumps({b"data": rows, b"labels": [1, 2, 3, 4, 5]}, 2),
        "batches.meta": pickle.dumps(names, 2),
        "test_batch.bin": b"".join(bytes([i]) + rows[i].tobytes() for i in range(5)),
        "batches.meta.txt": b"\n".join(names[b"label_names"]),
    }


_PICKLES = (
    *(b"cnumpy\nndarray\n(K\x01tR.", b'cnumpy\nndarray\n((I99999999999\ntS"b"\ntR.', b'cnumpy\ndtype\n(S"O"\ntR.'),
    *(b"(" * 10000 + b".", b"cbuiltins\neval\n.", b"]" + b"2" * 40 + b".", b"\x80\x02}" + b"K\x01" * 10 + b"."),
    b'cnumpy\nndarray\n((I2000000000\nI3072\ntcnumpy\ndtype\n(S"u1"\ntRtR.',
    *(b"\x95\xff\xff\xff\xff\xff\xff\xff\x7f.", b"X\xff\xff\xff\x7fab.", b"r\xff\xff\xff\x7f.", b"}r\xff\xff\xff\x7f."),
)


def _instructions(random: Random) -> bytes:
    """Return a pickle of instructions in any order."""
    codes = [code.code.encode("latin1") for code in pickletools.opcodes]
    given = (b"", b"a\n", b"numpy\nndarray\n", b"\1", b"\1\0\0\0", b"\xff\xff\xff\x7f", bytes(8))
    return (
        b"\x80\x02"
        + b"".join(random.choice(codes) + random.choice(given) for _ in range(random.randrange(1, 30)))
        + b"."
    )


def _odd_tables(random: Random) -> bytes:
    rows = (np.zeros((5, 3072), np.uint8), np.zeros((0, 3072), np.uint8), np.zeros((5, 3072), object), [1])
    more = (np.zeros((5, 3071), np.uint8), np.zeros((5, 3072), np.uint8)[::-1], [[1] * 3072] * 5, [[0] * 3072] * 2)
    labels: tuple[Any, ...] = (
        [1] * 5,
        [],
        [True] * 5,
        [256],
        np.arange(5),
        [10**30] * 5,
        [1.5] * 5,
        (1,) * 5,
        [255] * 5,
    )
    table = {b"data": random.choice((*rows, *more)), b"labels": random.choice(labels)}
    return pickle.dumps(table, random.choice((0, 1, 2, 4, 5)))


def _cifar_case(random: Random, files: dict[str, bytes], folder: Path) -> Case:
    kind, changed = random.randrange(7), dict(files)
    match kind:
        case 0:
            changed["test_batch"] = edited_bytes(random, files["test_batch"])
        case 1:
            changed["batches.meta"] = edited_bytes(random, files["batches.meta"])
        case 2:
            changed["test_batch"] = _instructions(random)
        case 3:
            harmful = (pickle.dumps(_Harmful(), 2), pickle.dumps({b"data": _Harmful()}, 2))
            changed["test_batch"] = random.choice((*harmful, *_PICKLES))
        case 4:
            changed["test_batch"] = _odd_tables(random)
        case 5:
            name = random.choice(("test_batch.bin", "batches.meta.txt"))
            changed[name] = edited_bytes(random, files[name])
    if kind == 6 or random.random() < 0.2:
        return _archive_case(random, changed, folder)
    names = ("test_batch.bin", "batches.meta.txt") if kind == 5 else ("test_batch", "batches.meta")
    for name in names:
        (folder / name).write_bytes(changed[name])
    return Case(partial(_opened, folder), f"kind {kind}", kind in (3, 4, 5))


def _archive_case(random: Random, files: dict[str, bytes], folder: Path) -> Case:
    file, kinds = io.BytesIO(), b"0001234567LxgSKV"
    with tarfile.open(fileobj=file, mode="w") as archive:
        for name in ("test_batch", "batches.meta"):
            member = tarfile.TarInfo(random.choice((f"x/{name}", f"../{name}", f"/{name}", name)))
            member.size, member.linkname = len(files[name]), random.choice(("", "/etc/passwd", name))
            if random.random() < 0.4:
                place = random.randrange(len(kinds))
                member.type = kinds[place : place + 1]
            archive.addfile(member, io.BytesIO(files[name]))
    content, packed = file.getvalue(), random.choice((".tar", ".tar.gz", ".tgz", ".tar.xz"))
    if random.random() < 0.5:
        content = edited_bytes(random, content)
    content = gzip.compress(content, 1, mtime=0) if "gz" in packed or packed == ".tgz" else content
    if random.random() < 0.3:
        content = edited_bytes(random, content)
    path = folder / f"a{packed}"
    path.write_bytes(content)
    return Case(partial(_opened, path), f"archive {packed}", _is_tar(path))


def _is_tar(path: Path) -> bool:
    try:
        return tarfile.is_tarfile(path)
    except Exception:  # noqa: BLE001 - the question is whether anything at all is wrong
        return False


def _pickled(content: bytes) -> Make:
    def make(_: Random, files: dict[str, bytes], folder: Path) -> Case:
        (folder / "test_batch").write_bytes(content)
        (folder / "batches.meta").write_bytes(files["batches.meta"])
        return Case(partial(_opened, folder), "given")

    return make


def _archive_bomb(_: Random, __: object, folder: Path) -> Case:
    """A name of 400 MB in a small archive."""
    path, member = folder / "a.tar.gz", tarfile.TarInfo("././@LongLink")
    member.type, member.size = tarfile.GNUTYPE_LONGNAME, 400 << 20
    with gzip.open(path, "wb", 1) as file:
        file.write(member.tobuf())
        for _block in range(50):
            file.write(bytes(1 << 23))
    return Case(partial(_opened, path), "a bomb")


def _valid_archive(_: Random, files: dict[str, bytes], folder: Path) -> Case:
    path = folder / "a.tar.xz"
    with tarfile.open(path, "w:xz") as archive:
        for name in ("test_batch", "batches.meta"):
            member = tarfile.TarInfo(f"x/{name}")
            member.size = len(files[name])
            archive.addfile(member, io.BytesIO(files[name]))
    return Case(partial(_opened, path), "valid")


def _valid_cifar(*names: str) -> Make:
    def make(_: Random, files: dict[str, bytes], folder: Path) -> Case:
        for name in names:
            (folder / name).write_bytes(files[name])
        return Case(partial(_opened, folder), "valid")

    return make


CIFAR = Reader(
    name="cifar",
    prepare=_cifar_files,
    make=_cifar_case,
    failures={
        **{f"pickle {i}": _pickled(content) for i, content in enumerate(_PICKLES)},
        "an archive's name of 400 MB": _archive_bomb,
    },
    valid={
        "archive": _valid_archive,
        "python": _valid_cifar("test_batch", "batches.meta"),
        "binary": _valid_cifar("test_batch.bin", "batches.meta.txt"),
    },
)


# -- ImageNet-32


def _imagenet(_: object) -> bytes:
    return _npz(data=np.zeros((5, 3072), np.uint8), labels=np.arange(1, 6))


def _imagenet_case(random: Random, valid: bytes, folder: Path) -> Case:
    if random.random() < 0.4:
        content, what = edited_bytes(random, valid), "bytes"
    else:
        shape = random.choice(("(5, 3072)", "(5, 3072)", "(5,)", "(1<<60, 3072)", "(5, 3073)", *_SHAPES[:5]))
        data = _npy(shape, random.choice(("|u1", "|u1", *_TYPES)), bytes(5 * 3072), random.choice((1, 2, 3, 9)))
        labels = _npy(
            random.choice(("(5,)", "(5,)", "(1000000000000,)", "(0,)", "(5,1)")),
            random.choice(("<i8", "<i8", "|O", "<u2", "<f4")),
            struct.pack("<5q", 1, 2, 3, 4, random.choice((5, 0, -1, 1000, 1001, 2**62))),
        )
        data = edited_bytes(random, data) if random.random() < 0.5 else data
        content, what = _zipped({"data.npy": data, "labels.npy": labels}, zipfile.ZIP_DEFLATED), shape[:30]
    (folder / "val_data.npz").write_bytes(content)
    options = random.choice(("", ",classes=5", ",classes=1000,seed=3", ",classes=1001"))
    return Case(partial(_opened, folder, options), what, _is_zip(content))


def _labelled(shape: str) -> Make:
    members = {"data.npy": _npy("(5, 3072)", body=bytes(5 * 3072)), "labels.npy": _npy(shape, "<i8", bytes(40))}

    def make(_: Random, __: object, folder: Path) -> Case:
        (folder / "val_data.npz").write_bytes(_zipped(members))
        return Case(partial(_opened, folder), "given")

    return make


def _valid_imagenet(_: Random, valid: bytes, folder: Path) -> Case:
    (folder / "val_data.npz").write_bytes(valid)
    return Case(partial(_opened, folder), "valid")


IMAGENET32 = Reader(
    name="imagenet32",
    prepare=_imagenet,
    make=_imagenet_case,
    failures={f"labels of shape {shape}": _labelled(shape) for shape in ("(1000000000000,)", "(0,)", "(1<<60,)")},
    valid={"a batch": _valid_imagenet},
)


# -- folders of images


def _pictures(_: object) -> dict[str, bytes]:
    from PIL import Image

    random, found = Random(0), dict[str, bytes]()  # noqa: S311 - the same each time
    for name, mode in (("a.png", "RGB"), ("b.png", "L"), ("c.jpg", "RGB"), ("d.png", "P"), ("e.png", "RGBA")):
        file = io.BytesIO()
        Image.fromarray(_images(random, 8, 8, 3)).convert(mode).save(file, "JPEG" if name.endswith("jpg") else "PNG")
        found[name] = file.getvalue()
    return found


def _headed_png(content: bytes, width: int, height: int, bits: int = 8) -> bytes:
    """Return a PNG whose header says another size, with the checksum that fits."""
    data = bytearray(content)
    data[16:25] = struct.pack(">IIB", width, height, bits)
    data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    return bytes(data)


def _images_case(random: Random, pictures: dict[str, bytes], folder: Path) -> Case:
    what = "bytes"
    for name in ("a", "b"):
        (folder / name).mkdir()
        for picture in random.sample(list(pictures), 2):
            content = pictures[picture]
            (folder / name / picture).write_bytes(edited_bytes(random, content) if random.random() < 0.6 else content)
    if random.random() < 0.3:
        sizes = (1, 8, 30000, 2**31 - 1, 0)
        width, height, bits = random.choice(sizes), random.choice(sizes), random.choice((8, 8, 16, 1, 255))
        (folder / "a" / "z.png").write_bytes(_headed_png(pictures["a.png"], width, height, bits))
        what += f"; {width}x{height} of {bits} bits"
    if random.random() < 0.1:
        (folder / "a" / random.choice(("\x1b[2J.png", "x.gif", "n\n.png"))).write_bytes(pictures["a.png"])
    return Case(partial(_opened, folder, random.choice(("", ",size=8", ",size=3x5", ",size=512"))), what)


def _pictured(width: int, height: int, options: str = "") -> Make:
    def make(_: Random, pictures: dict[str, bytes], folder: Path) -> Case:
        (folder / "a").mkdir()
        (folder / "a" / "z.png").write_bytes(_headed_png(pictures["a.png"], width, height))
        return Case(partial(_opened, folder, options), "given")

    return make


def _pipe_in_class(_: Random, __: object, folder: Path) -> Case:
    (folder / "a").mkdir()
    os.mkfifo(folder / "a" / "z.png")
    return Case(partial(_opened, folder), "a pipe")


IMAGES = Reader(
    name="images",
    prepare=_pictures,
    make=_images_case,
    failures={
        "30000 pixels each way": _pictured(30000, 30000),
        "13000 pixels each way": _pictured(13000, 13000, ",size=8"),
        "a pipe": _pipe_in_class,
    },
    valid={"8 pixels each way": _pictured(8, 8)},
)


# -- the text of --data

_SOURCES = (
    "digits",
    "d.npz",
    "",
    "x",
    "/dev/null",
    "/dev/zero",
    "/etc/passwd",
    "/proc",
    "\0",
    "a" * 5000,
    "\ud800",
    "/root",
    "~",
)
_SAID = (
    *(",", ",size=", ",size=8", ",size=-1", ",size=0", ",size=1e9", ",classes=", ",classes=3", ",classes=²", ",x=1"),
    *(",seed=9999999999999999999999", ",seed=1", ",labels=coarse", ",size=8x8", ",size=99999x99999", ",classes=1"),
)


def _text_case(random: Random, valid: bytes, folder: Path) -> Case:
    text = random.choice(_SOURCES) + "".join(random.choice(_SAID) for _ in range(random.randrange(4)))
    (folder / "d.npz").write_bytes(valid)
    if text.startswith("d.npz"):
        text = f"{folder}/{text}"
    return Case(partial(_opened, text, split=random.choice(("test", "train", "all", "x"))), ascii(text)[:80])


def _said(text: str) -> Make:
    return lambda _, __, ___: Case(partial(_opened, text), text[:40])


DATA = Reader(
    name="data",
    prepare=lambda _: _npz_files(Path())[0],
    make=_text_case,
    failures={"a null": _said("\0"), "half a surrogate pair": _said("\ud800"), "5000 letters": _said("a" * 5000)},
    valid={"digits": _said("digits,size=4,classes=3")},
)
