"""CIFAR's batches, pickled again by anybody's script, are read; no pickle runs code or fills the memory."""

import builtins
import functools
import operator
import os
import pickle
import struct
import subprocess
import sys
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_backends.datasets import open_data
from cae_backends.datasets.unpickling import unpickle_table
from cae_core.errors import DataError

pytestmark = pytest.mark.hostile

ROWS = np.random.default_rng(5).integers(0, 256, (4, 3072), np.uint8)
LABELS = [3, 1, 0, 9]
IMAGES = ROWS.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1)
NAMES = [f"class {i}" for i in range(10)]


def of_numpy_1(content: bytes) -> bytes:
    """The same pickle as NumPy 1 writes it: its modules have other names, of another length than a frame says."""
    if content[2:3] == pickle.FRAME:
        content = content[:2] + content[11:]
    for module in (b"multiarray", b"numeric"):
        old, new = b"numpy._core." + module, b"numpy.core." + module
        content = content.replace(bytes([len(old)]) + old, bytes([len(new)]) + new).replace(old, new)
    return content


def written(folder: Path, batch: object, names: object, protocol: int = 4, numpy: int = 2) -> Path:
    change = of_numpy_1 if numpy == 1 else bytes
    (folder / "test_batch").write_bytes(change(pickle.dumps(batch, protocol=protocol)))
    (folder / "batches.meta").write_bytes(pickle.dumps(names, protocol=protocol))
    return folder


@pytest.mark.parametrize("numpy", [1, 2])
@pytest.mark.parametrize("keys", ["text", "bytes"])
@pytest.mark.parametrize("protocol", range(6))
def test_every_protocol_of_either_numpy_with_either_keys_is_read(
    tmp_path: Path, protocol: int, keys: str, numpy: int
) -> None:
    key = (lambda text: text) if keys == "text" else str.encode
    batch, names = {key("data"): ROWS, key("labels"): LABELS}, {key("label_names"): [key(name) for name in NAMES]}
    data = open_data(str(written(tmp_path, batch, names, protocol, numpy)))
    np.testing.assert_array_equal(data.images, IMAGES)
    assert data.labels.tolist() == LABELS
    assert data.class_names == tuple(NAMES)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "rows",
    [
        np.asfortranarray(ROWS),
        np.repeat(ROWS, 2, axis=0)[::2],
        ROWS.astype(">i4"),
        ROWS.astype(np.int64),
        ROWS.tolist(),
        list(ROWS),
        tuple(ROWS),
    ],
    ids=["by columns", "a view", "other byte order", "long", "lists", "list of arrays", "tuple of arrays"],
)
def test_other_ways_to_write_the_same_numbers_are_read(tmp_path: Path, rows: object, protocol: int) -> None:
    batch = {"data": rows, "labels": np.array(LABELS), "filenames": [b"", "x", bytearray(b"y"), bytearray(), None, 1.5]}
    data = open_data(str(written(tmp_path, batch, {"label_names": NAMES}, protocol)))
    np.testing.assert_array_equal(data.images, IMAGES)
    assert data.labels.tolist() == LABELS


@pytest.mark.parametrize("protocol", range(6))
def test_numbers_of_numpy_are_labels(tmp_path: Path, protocol: int) -> None:
    batch = OrderedDict(data=ROWS, labels=[np.int64(x) for x in LABELS])
    assert open_data(str(written(tmp_path, batch, {"label_names": NAMES}, protocol))).labels.tolist() == LABELS


@pytest.mark.parametrize(
    ("batch", "words"),
    [
        ({"data": ROWS}, "must hold labels; found data"),
        ({"labels": LABELS}, "must hold data; found labels"),
        ({"data": ROWS / 255, "labels": LABELS}, "must hold data, uint8 (n, 3072); found float64 (4, 3072)"),
        ({"data": ROWS.astype(int) + 1000, "labels": LABELS}, "found int64 (4, 3072)"),
        ({"data": [[1, 2], [3]], "labels": LABELS}, "must hold data, uint8 (n, 3072); found list"),
        ({"data": [], "labels": []}, "must hold data"),
        ({"data": ROWS, "labels": [True, 1, 2, 3]}, "must hold labels, a list of small numbers"),
        ({"data": ROWS, "labels": np.ones((4, 1), int)}, "found int64 (4, 1)"),
        ({"data": np.array([None]), "labels": LABELS}, "something other than plain numbers"),
        ({"data": np.array(["a"]), "labels": LABELS}, "something other than plain numbers"),
        ({"data": np.zeros(2, [("a", "u1")]), "labels": LABELS}, "something other than plain numbers"),
        ({(1, 2): ROWS}, "keys are no texts"),
    ],
)
def test_what_does_not_fit_is_told(tmp_path: Path, batch: object, words: str) -> None:
    with pytest.raises(DataError) as caught:
        open_data(str(written(tmp_path, batch, {"label_names": NAMES})))
    assert words in str(caught.value)
    assert "trust" not in str(caught.value)


class Call:
    def __init__(self, run: Callable[..., Any], *arguments: object) -> None:
        self.call = (run, arguments)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[object, ...]]:
        return self.call


def hostile(canary: Path) -> dict[str, bytes]:
    """Pickles each of which makes the file ``canary`` where it is run."""
    command = f"touch {canary}"
    code = f"open({str(canary)!r}, 'w').close()"
    calls = {
        "os.system": Call(os.system, command),
        "eval": Call(eval, code),
        "exec": Call(exec, code),
        "getattr": Call(Call, getattr, os, "system"),
        "a method by getattr": Call(getattr, Path(canary), "touch"),
        "import": Call(builtins.__import__, "os"),
        "functools.partial": Call(functools.partial, os.system, command),
        "operator.methodcaller": Call(operator.methodcaller("touch"), Path(canary)),
        "numpy.load": Call(np.load, str(canary), "r"),
        "numpy.memmap": Call(np.memmap, str(canary), "u1", "w+", 0, (4,)),
        "numpy's testing": Call(np.testing.rundocs, str(canary)),
        "a file": Call(open, str(canary), "w"),
        "subprocess": Call(subprocess.check_call, ["touch", str(canary)]),
    }
    dumped = {name: pickle.dumps({"data": call}, protocol=2) for name, call in calls.items() if name != "getattr"}
    raw = command.encode()
    text = b"X" + struct.pack("<I", len(raw)) + raw
    return {
        **dumped,
        "inst": b"(S'" + raw + b"'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\n" + text + b"o.",
        "newobj": b"\x80\x02cos\nsystem\n" + text + b"\x85\x81.",
        "persistent": b"Pos.system\n.",
        "getattr of an allowed name": b"cbuiltins\ngetattr\n(cnumpy\ndtype\nX\x04\x00\x00\x00type" + b"tR.",
        "a dotted name": b"\x80\x04\x8c\x05numpy\x8c\x0ff2py.os.system\x00\x00\x93" + text + b"\x85R.",
        "an attribute of an allowed name": b"cnumpy.core.multiarray\n_reconstruct\n}X\x08\x00\x00\x00__code__"
        + text
        + b"sb.",
        "an extension": b"\x80\x02\x82\x01.",
    }


@pytest.mark.parametrize("name", sorted(hostile(Path("x"))))
def test_no_pickle_runs_code(tmp_path: Path, name: str) -> None:
    canary = tmp_path / "ran"
    (tmp_path / "test_batch").write_bytes(hostile(canary)[name])
    (tmp_path / "batches.meta").write_bytes(pickle.dumps({"label_names": NAMES}))
    with pytest.raises(DataError):
        open_data(str(tmp_path))
    assert not canary.exists()


def test_the_hostile_pickles_do_run_where_nothing_stops_them(tmp_path: Path) -> None:
    ran = 0
    for name in ("os.system", "eval", "exec", "subprocess", "inst"):
        canary = tmp_path / name.replace(".", "-")
        script = f"import pickle; pickle.loads({hostile(canary)[name]!r})"
        subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
        ran += canary.exists()
    assert ran == 5


LARGE = struct.pack("<Q", 1 << 33)
BOMBS = {
    "ndarray": b"cnumpy\nndarray\n(J\x00\x00\x00\x7ft\x85R.",
    "reconstruct": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(J\x00\x00\x00\x7ftU\x01btR.",
    "state": b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01(J\x00\x00\x00\x7ft"
    b"cnumpy\ndtype\nU\x02u1\x85R\x89U\x01xtb.",
    "many axes": b"cnumpy.core.multiarray\n_reconstruct\n)R(K\x01(" + b"J\x00\x00\x00\x7f" * 99_999
    + b"tcnumpy\ndtype\nU\x02u1\x85R\x89U\x01xtb.",
    "a wide type": b"cnumpy\ndtype\nU\x0bV9999999999\x85R.",
    "bytes of a number": b"cbuiltins\nbytes\nJ\x00\x00\x00\x7f\x85R.",
    "bytearray of a number": b"cbuiltins\nbytearray\nJ\x00\x00\x00\x7f\x85R.",
    "bytearray of a length": b"\x80\x05\x96" + LARGE + b".",
    "bytes of a length": b"\x80\x04\x8e" + LARGE + b".",
    "a frame": b"\x80\x04\x95" + LARGE + b"N.",
    "a far memo": b"\x80\x02}r\xff\xff\xff\x1f.",
    "a deep key": b"}" + b")" + b"\x85" * 500_000 + b"Ns.",
    "a deep element": b"\x80\x04\x8f(" + b")" + b"\x85" * 500_000 + b"\x90.",
    "one row many times": b"}(X\x06\x00\x00\x00labels](K\x00eX\x04\x00\x00\x00data((" + b"K\x00" * 3072 + b"lq\x01"
    + b"h\x01" * 1_000_000 + b"lu.",
    "lists of lists": b"}(X\x06\x00\x00\x00labels](K\x00eX\x04\x00\x00\x00data"
    + b"".join(b"(" + (b"h%c" % (i - 1)) * 9 + b"lq%c0" % i if i else b"(lq\x000" for i in range(60)) + b"h;u.",
}  # fmt: skip


def test_no_pickle_fills_the_memory(tmp_path: Path) -> None:
    for i, content in enumerate(BOMBS.values()):
        (tmp_path / str(i)).mkdir()
        (tmp_path / str(i) / "test_batch").write_bytes(content)
        (tmp_path / str(i) / "batches.meta").write_bytes(pickle.dumps({"label_names": NAMES}))
    script = f"""
import tracemalloc
from cae_backends.datasets import open_data
from cae_core.errors import DataError
tracemalloc.start()
for i in range({len(BOMBS)}):
    try:
        open_data({str(tmp_path)!r} + "/" + str(i))
    except DataError as error:
        print(i, error)
print(tracemalloc.get_traced_memory()[1])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=100)
    *told, peak = done.stdout.splitlines()
    assert [line.split()[0] for line in told] == [str(i) for i in range(len(BOMBS))], done.stderr
    assert int(peak) < 200_000_000


def test_a_pickle_leaves_nothing_behind_for_the_next_one() -> None:
    honest = pickle.dumps({"data": ROWS}, protocol=2)
    name = b"cnumpy._core.multiarray\n_reconstruct\n"
    for edit in (name + b"}X\x08\x00\x00\x00__name__N" + b"sb.", name + b"N}X\x08\x00\x00\x00__name__Ns\x86b."):
        with pytest.raises(DataError):
            unpickle_table(edit, "edited")
    np.testing.assert_array_equal(unpickle_table(honest, "honest")["data"], ROWS)
