"""Fingerprint files and the calibrations in them: bytes, header, tensors, and metadata whose ids fit again."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.calibration.calibrated import load_calibrated
from cae_core.disputes.claim import claimed_settings
from cae_core.disputes.seal import make_opening
from cae_core.files.records import readable_json
from cae_core.files.tensor_file import unpack_tensors
from cae_core.verification.verdict import Suspect
from cae_core.verification.verify import verify
from tests.core.toys import LinearModel
from tests.fuzz.commands import command
from tests.fuzz.material import Evidence, Parts, make_evidence, packed, parts_of, refit
from tests.fuzz.mutations import edited_bytes, edited_value
from tests.fuzz.reader import Case, Make, Reader

__all__ = ["CALIBRATION", "FINGERPRINT"]

_DTYPES = ("float32", "float64", "int8", "uint8", "int64", "bool", "uint64", "float16")
_SHAPES: tuple[list[Any], ...] = (
    [],
    [0],
    [0, 6, 6, 1],
    [1],
    [12],
    [-1],
    [2**40, 0],
    [2**63],
    [12, 36],
    [12, 6, 6, 3],
    [2.5],
    ["a"],
)
_FORMS = ("F64", "F32", "F16", "BF16", "I64", "I32", "I8", "U8", "BOOL", "U64", "F8_E4M3", "C64", "F4", "X", "U16")
_COMMANDS = 0.05
"""Share of the cases in which the command line reads the file as well."""


@dataclass(frozen=True)
class _Files:
    evidence: Evidence
    content: dict[str, bytes]


def _prepare(folder: Path) -> _Files:
    evidence = make_evidence(folder / "evidence")
    return _Files(evidence, {name: path.read_bytes() for name, path in evidence.files.items()})


def _read(path: Path, *, commands: bool) -> None:
    """Do with the file what the commands do."""
    if commands:
        command("inspect", path)
        command("inspect", path, "--json")
        command("verify", "-s", path, "-f", path, "--no-ledger", "--dry-run")
    subject = load_calibrated(path)
    fingerprint = subject.fingerprint
    model = LinearModel(np.ones((int(np.prod(fingerprint.images.shape[1:])), len(fingerprint.class_names))))
    readable_json(verify(model, subject, named=Suspect(name="x", sha256="00"), nonce=b"0"))
    make_opening(fingerprint)
    claimed_settings(fingerprint).ball().contains(fingerprint.images, fingerprint.seeds)


def _case(random: Random, folder: Path, content: bytes, what: str) -> Case:
    path = folder / "f.safetensors"
    path.write_bytes(content)
    return Case(partial(_read, path, commands=random.random() < _COMMANDS), what, _parses(content))


def _parses(content: bytes) -> bool:
    try:
        json.loads(unpack_tensors(content)[0]["cae"])
    except (ValueError, KeyError, RecursionError):
        return False
    return True


def _bytes(random: Random, files: _Files, folder: Path) -> Case:
    return _case(random, folder, edited_bytes(random, random.choice(list(files.content.values()))), "bytes")


def _header(random: Random, files: _Files, folder: Path) -> Case:
    """Edit the table of tensors, the length before it, or the metadata's text."""
    content = files.content["calibrated"]
    length = int.from_bytes(content[:8], "little")
    header, body = content[8 : 8 + length], content[8 + length :]
    table: dict[str, Any] = json.loads(header)
    tensors = [name for name in table if name != "__metadata__"]
    chosen, size = random.choice(tensors), None
    match random.randrange(8):
        case 0:
            size = random.choice((0, 1, 2**63, 2**64 - 1, 10**8, len(content), length + 1, length - 1))
            what = f"length {size}"
        case 1:
            edited, what = edited_value(random, table)
            header = json.dumps(edited).encode("utf-8", "surrogatepass")
        case 2:
            header = json.dumps(table)[:-1].encode() + f', "{chosen}": {json.dumps(table[tensors[0]])}}}'.encode()
            what = f"{chosen} twice"
        case 3:
            table[chosen]["dtype"] = random.choice(_FORMS)
            what = f"dtype of {chosen}"
        case 4:
            table[chosen]["shape"] = random.choice(_SHAPES)
            what = f"shape of {chosen}"
        case 5:
            offsets = (
                [0, 0],
                [0, 2**63],
                [5, 2],
                [-1, 4],
                [0, len(body)],
                [1, 2, 3],
                table[tensors[0]]["data_offsets"],
            )
            table[chosen]["data_offsets"] = random.choice(offsets)
            what = f"offsets of {chosen}"
        case 6:
            header = b"[" * random.choice((100, 1000, 100000)) + header
            what = "deep"
        case _:
            text = table["__metadata__"]["cae"]
            texts = (
                "",
                "{}",
                "[]",
                "1",
                "null",
                '{"format": 1}',
                "[" * 5000,
                '{"a":' * 3000,
                "1" * 10000,
                "\ufeff" + text,
            )
            table["__metadata__"] = {"cae": random.choice((*texts, text[:-1] + ', "format": 2}'))}
            what = "metadata"
    if header == content[8 : 8 + length] and size is None:
        header = json.dumps(table).encode()
    return _case(random, folder, struct.pack("<Q", len(header) if size is None else size) + header + body, what)


def _metadata(random: Random, files: _Files, folder: Path, *, within: tuple[str, ...] = ()) -> Case:
    parts = parts_of(random.choice(list(files.evidence.files.values())))
    parts.metadata, what = edited_value(random, parts.metadata, within=within)
    what += refit(parts) if isinstance(parts.metadata, dict) else ""
    return _case(random, folder, packed(parts), what)


def _tensors(random: Random, files: _Files, folder: Path, *, within: str = "") -> Case:
    parts = parts_of(files.evidence.files[random.choice(("calibrated", "weighed", "grouped", "errors"))])
    what = "; ".join(_edit_tensor(random, parts.tensors, within) for _ in range(random.choice((1, 1, 2))))
    if random.random() < 0.3:
        what += f"; {_cut(random, parts)}"
    if random.random() < 0.2:
        parts.metadata["class_names"] = random.choice((["a", "b"], [], ["x"] * 4, [""] * 4, ["\ud800"] * 4, "abcd"))
    what += refit(parts)
    return _case(random, folder, packed(parts), what)


def _edit_tensor(random: Random, tensors: dict[str, NDArray[Any]], within: str) -> str:
    name = random.choice([name for name in tensors if name.startswith(within)] or list(tensors))
    tensor, kind = tensors[name], random.randrange(8)
    flat = tensor.reshape(-1)
    match kind:
        case 0:
            with np.errstate(invalid="ignore"):
                tensors[name] = tensor.astype(random.choice(_DTYPES))
        case 1:
            tensors[name] = tensor[: random.randrange(len(tensor) + 1)]
        case 2:
            tensors[name] = flat
        case 3:
            tensors[name] = tensor[None]
        case 4 | 5 if flat.size:
            floats: tuple[Any, ...] = (float("nan"), float("inf"), -float("inf"), 1e38)
            whole = (0, 1, 9, 10, 255) if tensor.dtype == np.uint8 else (0, -1, 4, 9, 2**30, -(2**30))
            flat[random.randrange(flat.size)] = random.choice(floats if tensor.dtype.kind == "f" else whole)
        case 6:
            del tensors[name]
        case _:
            arrays = (
                np.zeros((2, 6, 6, 1), np.uint8),
                np.zeros(2, np.int64),
                np.zeros((2, 12)),
                np.full((2, 12), np.nan),
            )
            names = ("akh_images", "akh_labels", "calibration.weights", "calibration.x", "calibration.references.akh")
            name = random.choice(names)
            tensors[name] = random.choice(arrays)
    return f"{name} {kind}"


def _cut(random: Random, parts: Parts) -> str:
    """Leave so many examples, or probes, in every tensor; then no calibration fits any more."""
    count = random.choice((0, 1, 2, 5, 9))
    probes = random.random() < 0.5
    for name, tensor in list(parts.tensors.items()):
        if name.startswith("calibration."):
            del parts.tensors[name]
        elif name.startswith("probe_") == probes and not name.startswith("akh") and tensor.ndim:
            parts.tensors[name] = tensor[:count]
    parts.metadata.pop("calibration", None)
    return f"{count} {'probes' if probes else 'examples'}"


def _fingerprint(random: Random, files: _Files, folder: Path) -> Case:
    kinds: tuple[Make, ...] = (_bytes, _header, _metadata, _metadata, _tensors)
    return random.choice(kinds)(random, files, folder)


def _calibration(random: Random, files: _Files, folder: Path) -> Case:
    kinds: tuple[Make, ...] = (
        partial(_metadata, within=("calibration",)),
        partial(_tensors, within="calibration."),
    )
    return random.choice(kinds)(random, files, folder)


def _with(change: Callable[[dict[str, Any]], object], name: str = "plain") -> Make:
    """Return a case in which the metadata were changed, and the ids fit."""

    def make(_: Random, files: _Files, folder: Path) -> Case:
        parts = parts_of(files.evidence.files[name])
        change(parts.metadata)
        refit(parts)
        path = folder / "f.safetensors"
        path.write_bytes(packed(parts))
        return Case(partial(_read, path, commands=True), "a failure of the past")

    return make


def _deep(levels: int) -> Any:  # noqa: ANN401 - lists within lists
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def _whole(name: str) -> Make:
    def make(_: Random, files: _Files, folder: Path) -> Case:
        path = folder / "f.safetensors"
        path.write_bytes(files.content[name])
        return Case(partial(_read, path, commands=True), "valid")

    return make


FINGERPRINT = Reader(
    name="fingerprint",
    prepare=_prepare,
    make=_fingerprint,
    failures={
        "no settings": _with(lambda x: x["generation"].pop("settings")),
        "no data": _with(lambda x: x["generation"].pop("data")),
        "no references": _with(lambda x: x["generation"].pop("references")),
        "a source without a name": _with(lambda x: x["generation"]["source"].pop("name")),
        "an accuracy that is a text": _with(lambda x: x["generation"]["source"].update(accuracy="0.9")),
        "an accuracy of 400 digits": _with(lambda x: x["generation"]["source"].update(accuracy=10**400)),
        "members that are texts": _with(lambda x: x["generation"].update(surrogates=["x"])),
        "settings in a list": _with(lambda x: x["generation"].update(settings=["x"])),
        "tools in a list": _with(lambda x: x.update(tools=["x"])),
        "a digest that is a number": _with(lambda x: x["generation"]["source"].update(sha256=5)),
        "deep": _with(lambda x: x["generation"].update(x=_deep(960))),
        "deeper": _with(lambda x: x["generation"].update(x=_deep(980))),
        "deep beside the id": _with(lambda x: x.update(x=_deep(985))),
        "half a surrogate pair in a name": _with(lambda x: x["generation"]["source"].update(name="\ud800")),
        "half a surrogate pair in a class": _with(lambda x: x.update(class_names=["\ud800", "b", "c", "d"])),
        "an ancestor that is a table": _with(lambda x: x["generation"]["source"].update(ancestor={"a": [1]})),
    },
    valid={name: _whole(name) for name in ("plain", "errors")},
)

CALIBRATION = Reader(
    name="calibration",
    prepare=_prepare,
    make=_calibration,
    failures={
        "deep": _with(lambda x: x["calibration"].update(x=_deep(970)), "calibrated"),
        "members that are texts": _with(lambda x: x["calibration"].update(references=["x"] * 39), "calibrated"),
    },
    valid={name: _whole(name) for name in ("calibrated", "weighed", "grouped")},
)
