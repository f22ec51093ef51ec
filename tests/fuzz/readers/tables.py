"""TOML: pool manifests, plans, and contracts: a file beside the model, an option, an ONNX file's metadata."""

import json
import os
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np

from cae_backends.contract_files import find_contract
from cae_backends.training.plans import parse_plan, read_plan
from cae_core.contract import Contract, contract_from_metadata, read_contract
from cae_core.pool.manifest import read_pool
from cae_core.reading import parse_toml
from tests.fuzz.commands import command
from tests.fuzz.mutations import as_toml, edited_bytes, edited_value, odd_toml
from tests.fuzz.reader import Case, Make, Reader

__all__ = ["CONTRACT", "PLAN", "POOL"]

_ROOT = Path(__file__).parents[3]
_PLANS = ("digits.toml", "mnist.toml", "cifar10.toml")
_FULL: dict[str, Any] = {
    "layout": "NHWC",
    "range": [0, 1],
    "output": "logits",
    "channels": "GRAY",
    "size": [8, 8],
    "resize": "bilinear",
    "dtype": "float32",
    "mean": [0.5],
    "std": [0.2],
    "classes": list(range(10)),
    "input": "image",
}
_GROUP = """
[[members]]
kind = "hard labels"
name = "{name}"
architectures = ["mlp"]
recipes = ["digits"]
{more}
"""
_QUANTISED: dict[str, Any] = {
    "layout": "FLAT",
    "range": [0, 1],
    "output": "probabilities",
    "dtype": "int8",
    "scale": 0.0078125,
    "zero_point": -128,
    "class_names": [str(place) for place in range(10)],
    "classes": list(range(10)),
    "output_name": "scores",
}
_LEAST = {name: _FULL[name] for name in ("layout", "range", "output")}
_SIZES = (
    [0, 0],
    [-1, 8],
    [1, 1],
    [2**31, 2**31],
    [10**30, 8],
    [3, 5],
    [8.7, 8],
    [200, 200],
    [4096, 4096],
    [float("inf"), 8],
)
_CLASSES: tuple[list[Any], ...] = (
    [10**30],
    [float("inf")],
    [-5, 3],
    [0, 0],
    list(range(9)),
    [-1] * 10,
    [],
    [0.5],
    ["a"],
    list(range(100000)),
)
_STDS: tuple[list[float], ...] = ([float("nan")], [float("inf")], [1e-320], [0], [], [-1], [1, 2], [1e-16])
_IMAGES = (
    "m.npy",
    "m.npz",
    "cut.npy",
    "objects.npy",
    "text.npy",
    "pipe",
    ".",
    "..",
    "/etc/passwd",
    "\0",
    "x" * 5000,
    "none",
)
_TEXTS = (
    "[" * 5000,
    "[" * 950 + "]" * 950,
    "9" * 5000,
    "[1e400]",
    "{",
    "null",
    '"x"',
    '{"a":1}',
    "true",
    "[NaN]",
    "[[1]]",
)


def _table(table: Any) -> str:  # noqa: ANN401 - whatever an edit has left
    """Return the lines of a TOML table."""
    if not isinstance(table, dict):
        return f"x = {as_toml(table)}\n"
    return "".join(f"{json.dumps(name)} = {as_toml(value)}\n" for name, value in table.items())


def _parses(content: bytes) -> bool:
    try:
        parse_toml(content)
    except (ValueError, RecursionError):
        return False
    return True


def _encoded(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


# -- pool manifests

_MEMBERS: list[Any] = [
    {
        "path": "source.onnx",
        "role": "source",
        "relation": "source",
        "kind": "k",
        "architecture": "a",
        "parent": "p",
        "ancestor": "x",
        "seed": 1,
        "accuracy": 0.5,
        "sha256": "ab",
        "contract": _FULL,
    },
    {
        "path": "a.onnx",
        "role": "generate",
        "relation": "reference",
        "recipe": "r",
        "trained_on": {"data": "d", "split": "train", "count": 9, "share": 0.5, "seed": 1, "apart_from": ["e"]},
    },
    {
        "path": "c.onnx",
        "role": "calibrate",
        "relation": "reference",
        "exposure": "none",
        "trained_on": {"data": "d", "indices": "own.npy", "all": False},
    },
    {"path": "b.pt2", "role": "calibrate", "relation": "surrogate", "trusted": True, "sha256": "cd"},
]


def _manifest(members: Any) -> str:  # noqa: ANN401 - whatever an edit has left
    rows = members if isinstance(members, list) else [members]
    return "\n".join(
        f"[[model]]\n{_table(row)}" if isinstance(row, dict) else f"model = {as_toml(row)}" for row in rows
    )


def _read_manifest(path: Path, *, commands: bool) -> None:
    if commands:
        command("pool", "list", "--pool", path)
        command("pool", "list", "--pool", path, "--json")
    for member in read_pool(path).members:
        _ = member.name, member.path.resolve()


def _pool(random: Random, _: object, folder: Path) -> Case:
    kind = random.randrange(8)
    if kind == 0:
        content, what = edited_bytes(random, _encoded(_manifest(_MEMBERS))), "bytes"
    elif kind == 1:
        text = odd_toml(random)
        whole = text if random.random() < 0.5 else f"{_manifest(_MEMBERS)}\nx = {text.partition('=')[2]}"
        content, what = _encoded(whole), text[:40]
    else:
        edited, what = edited_value(random, _MEMBERS)
        content = _encoded(_manifest(edited))
    path = folder / "pool.toml"
    path.write_bytes(content)
    return Case(partial(_read_manifest, path, commands=random.random() < 0.05), what, _parses(content))


def _manifest_of(content: bytes) -> Make:
    def make(_: Random, __: object, folder: Path) -> Case:
        path = folder / "pool.toml"
        path.write_bytes(content)
        return Case(partial(_read_manifest, path, commands=True), "given", _parses(content))

    return make


def _sparse_manifest(_: Random, __: object, folder: Path) -> Case:
    path = folder / "pool.toml"
    with path.open("wb") as file:
        file.truncate(3 << 30)
    return Case(partial(_read_manifest, path, commands=False), "three gigabytes", parses=False)


def _piped_manifest(_: Random, __: object, folder: Path) -> Case:
    os.mkfifo(folder / "pool.toml")
    return Case(partial(_read_manifest, folder / "pool.toml", commands=False), "a pipe", parses=False)


POOL = Reader(
    name="pool",
    prepare=lambda _: None,
    make=_pool,
    failures={
        "deep": _manifest_of(b"a = " + b"[" * 20000),
        "deep and whole": _manifest_of(_encoded(_manifest(_MEMBERS)) + b"x = " + b"[" * 900 + b"]" * 900),
        "9000 digits": _manifest_of(b"a = " + b"1" * 9000),
        "a path with a null": _manifest_of(_encoded(_manifest([{**_MEMBERS[1], "path": "\0"}]))),
        "a key of 30000 parts": _manifest_of(b".".join([b"a"] * 30000) + b" = 1"),
        "three gigabytes": _sparse_manifest,
        "a pipe": _piped_manifest,
    },
    valid={"a manifest": _manifest_of(_encoded(_manifest(_MEMBERS)))},
)


# -- plans


def _prepare_plans(_: Path) -> list[Any]:
    return [(_ROOT / "examples" / "pools" / name).read_text() for name in _PLANS]


def _plan(random: Random, plans: list[str], folder: Path) -> Case:
    text, kind = random.choice(plans), random.randrange(8)
    path = folder / "plan.toml"
    if kind == 0:
        content, what = edited_bytes(random, text.encode()), "bytes"
    elif kind == 1:
        odd = odd_toml(random)
        content, what = _encoded(odd), odd[:40]
    else:
        table, what = edited_value(random, tomllib.loads(text))
        return Case(partial(parse_plan, table, origin="the plan", folder=folder), what)
    path.write_bytes(content)
    return Case(partial(read_plan, path), what, _parses(content))


def _plan_with(edit: Callable[[str], str]) -> Make:
    def make(_: Random, plans: list[str], folder: Path) -> Case:
        path = folder / "plan.toml"
        path.write_text(edit(plans[0]))
        return Case(partial(read_plan, path), "given")

    return make


PLAN = Reader(
    name="plan",
    prepare=_prepare_plans,
    make=_plan,
    failures={
        "members for ever": _plan_with(
            lambda text: text + _GROUP.format(name="x", more="count = {test = 1000000000000}")
        ),
        "many members": _plan_with(
            lambda text: text + "".join(_GROUP.format(name=f"x{i}", more="count = {test = 9000}") for i in range(5000))
        ),
        "snapshots for ever": _plan_with(
            lambda text: text + _GROUP.format(name="x", more="snapshots = 1000000000000\ncount = {generate = 1}")
        ),
        "9000 digits": _plan_with(lambda _: "seed = " + "1" * 9000),
        "deep": _plan_with(lambda _: "a = " + "[" * 20000),
        "a file with a null": _plan_with(lambda _: '[source]\nfile = "\\u0000"\n'),
    },
    valid={"a plan": _plan_with(lambda text: text)},
)


# -- contracts

_ODD_VALUES: tuple[tuple[str, Sequence[Any]], ...] = (
    ("size", _SIZES),
    ("classes", _CLASSES),
    ("std", _STDS),
    ("mean_image", _IMAGES),
    ("scale", (0, -1, float("nan"), 1e-320, 1e30, "a", [0.5], True)),
    ("zero_point", (-129, 128, 0.5, 10**30, "a", [0], float("inf"))),
    ("class_names", ([], ["a"], ["a", "a"], ["a", "b"], [1, 2], "ab", [["a"], ["b"]], ["x" * 5000, "y"])),
    ("output_name", ("", "x" * 5000, 3, [], "a\u202eb")),
    ("layout", ("HW", "FLAT", "FLAT_NCHW", "NHWC ", 3)),
    ("dtype", ("float16", "float64", "uint8", "int32", "int64", "bool", "uint32")),
)


@dataclass(frozen=True)
class _Folder:
    """Where mean images of every kind lie."""

    path: Path


def _prepare_contracts(folder: Path) -> _Folder:
    place = folder / "means"
    place.mkdir()
    _write_means(place)
    return _Folder(place)


def _write_means(place: Path) -> None:
    np.save(place / "m.npy", np.zeros((8, 8, 1), np.float32))
    np.savez(place / "m.npz", a=np.zeros(3))
    np.save(place / "objects.npy", np.array([{}]), allow_pickle=True)
    np.save(place / "text.npy", np.array(["a"]))
    header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000,), }".ljust(117) + b"\n"
    (place / "cut.npy").write_bytes(b"\x93NUMPY\x01\x00v\x00" + header)
    os.mkfifo(place / "pipe")


def _used(make: Callable[[], Contract | None]) -> None:
    """Read a contract, and use it as a backend does."""
    contract = make()
    if contract is None:
        return
    contract.to_input(np.zeros((3, 8, 8, 1), np.uint8))
    answers = np.zeros(3, np.int64) if contract.output == "labels" else np.zeros((3, 10), np.float32)
    contract.to_predictions(answers)


def _as_metadata(contract: Any) -> dict[str, str]:  # noqa: ANN401 - whatever an edit has left
    found = dict[str, str]()
    for name, value in contract.items():
        if name == "range" and isinstance(value, list):
            found["cae.range"] = "..".join(map(str, value))
        else:
            found[f"cae.{name}"] = value if isinstance(value, str) else json.dumps(value)
    return found


def _of_metadata(metadata: dict[str, str]) -> Contract | None:
    return contract_from_metadata(metadata, origin="model.onnx")


def _of_option(text: str) -> Contract:
    return read_contract(text)


def _contract(random: Random, means: _Folder, folder: Path) -> Case:
    base = dict(random.choice((_FULL, _FULL, _LEAST, _QUANTISED)))
    edited, what = edited_value(random, base)
    if random.random() < 0.5:
        name, values = random.choice(_ODD_VALUES)
        edited[name] = random.choice(values)
        edited.setdefault("resize", random.choice(("bilinear", "nearest", "bicubic-antialias", "area")))
        what += f"; {name}={edited[name]!a}"[:80]
        if name == "mean_image":
            edited.pop("mean", None)
    match random.randrange(5):
        case 0:
            text = odd_toml(random)
            content = _encoded(text) if random.random() < 0.5 else edited_bytes(random, _encoded(_table(base)))
            return _sidecar(means, folder, content, "bytes")
        case 1 | 2:
            return _sidecar(means, folder, _encoded(_table(edited)), what, shared=random.random() < 0.3)
        case 3:
            text = ", ".join(f"{json.dumps(name)} = {as_toml(value)}" for name, value in edited.items())
            given = text.encode("utf-8", "surrogatepass").decode(errors="surrogateescape")  # as a command line gives it
            return Case(partial(_used, partial(_of_option, given)), f"option: {what}")
        case _:
            metadata = _as_metadata(edited)
            if random.random() < 0.2:
                name = random.choice(("size", "mean", "std", "classes", "range", "input"))
                metadata[f"cae.{name}"] = random.choice(_TEXTS)
                what += f"; {name}={metadata[f'cae.{name}'][:20]}"
            return Case(partial(_used, partial(_of_metadata, metadata)), f"metadata: {what}")


def _sidecar(means: _Folder, folder: Path, content: bytes, what: str, *, shared: bool = False) -> Case:
    """Return a case in which a contract, or a folder's, lies beside a model, and mean images of every kind with it."""
    for path in means.path.iterdir():
        if path.name == "pipe":
            os.mkfifo(folder / "pipe")
        else:
            os.link(path, folder / path.name)
    if shared:
        content = b'[[contract]]\nfiles = ["*.onnx", "a/*"]\n' + content.removeprefix(b"[contract]\n")
    (folder / ("contracts.toml" if shared else "model.toml")).write_bytes(content)
    read = partial(find_contract, folder / "model.onnx", {}, ("n", 8, 8, 1), None)
    return Case(partial(_used, read), f"sidecar: {what}", _parses(content))


def _beside(content: bytes) -> Make:
    return lambda _, means, folder: _sidecar(means, folder, content, "given")


def _said(metadata: dict[str, str]) -> Make:
    known = {"cae.layout": "NHWC", "cae.range": "0..1", "cae.output": "logits", **metadata}
    return lambda _, __, ___: Case(partial(_used, partial(_of_metadata, known)), "metadata")


def _piped_sidecar(_: Random, __: object, folder: Path) -> Case:
    os.mkfifo(folder / "model.toml")
    return Case(partial(read_contract, str(folder / "model.toml")), "a pipe", parses=False)


def _sparse_sidecar(_: Random, __: object, folder: Path) -> Case:
    with (folder / "model.toml").open("wb") as file:
        file.truncate(3 << 30)
    return Case(partial(read_contract, str(folder / "model.toml")), "three gigabytes", parses=False)


_LINES = _encoded(_table(_LEAST))

CONTRACT = Reader(
    name="contract",
    prepare=_prepare_contracts,
    make=_contract,
    failures={
        **{f"classes {text[:12]}": _said({"cae.classes": text}) for text in ("[1e400]", "[]", "9" * 5000, "[[1]]")},
        **{f"size {text}": _said({"cae.size": text, "cae.resize": "bilinear"}) for text in ("[0, 0]", "[-3, 8]")},
        **{f"size {n}": _said({"cae.size": f"[{n}, 8]", "cae.resize": "nearest"}) for n in (30000, 2**31, 2**60)},
        "a deep mean": _said({"cae.mean": "[" * 5000}),
        **{f"a mean image in {name}": _said({"cae.mean_image": name}) for name in ("m.npz", "/dev/zero", "pipe")},
        "not UTF-8": _beside(b"# caf\xe9\n" + _LINES),
        "a number": _beside(b"contract = 5\n"),
        "deep": _beside(b"a = " + b"[" * 20000),
        "9000 digits": _beside(b"a = " + b"1" * 9000),
        "an infinite size": _beside(_LINES + b"size = [inf, 8]\n"),
        "a key of 30000 parts": _beside(b".".join([b"a"] * 30000) + b" = 1\n"),
        **{f"a mean image: {name}": _beside(_LINES + f'mean_image = "{name}"\n'.encode()) for name in _IMAGES[1:8]},
        "a pipe": _piped_sidecar,
        "three gigabytes": _sparse_sidecar,
    },
    valid={
        "a file": _beside(_encoded(_table(_FULL))),
        "a file with a mean image": _beside(_LINES + b'mean_image = "m.npy"\n'),
        "metadata": _said(_as_metadata(_FULL)),
        "the least": _said({}),
    },
)
