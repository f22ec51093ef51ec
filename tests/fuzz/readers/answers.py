"""What answers: tables of recorded answers, logs of a service's, descriptions of services, and what these send back."""

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from cae_backends.services.description import read_description
from cae_backends.services.forms import Wire, wire_of
from cae_core.contract import Task
from cae_core.opening.answer_table import read_answers
from cae_core.verification.answer_log import AnswerLog
from tests.fuzz.mutations import as_toml, edited_bytes, edited_value, json_bytes, odd_json, odd_toml
from tests.fuzz.reader import Case, Make, Reader

__all__ = ["ANSWERS", "SERVICE"]

_NAMES = tuple(f"{i:024x}.png" for i in range(6))
_CLASSES = ("cat", "dog", "7")
_TASK = Task(classes=3, names=_CLASSES)
_ROWS = [{"export": "0" * 32, "file": name, "label": i % 3} for i, name in enumerate(_NAMES)]
_BEGUN = {"fingerprint": "f"}
_LINES: list[dict[str, Any]] = [
    {"answers": 1, "event": "begun", **_BEGUN},
    {"event": "sending", "first": 0, "images": ["a", "b"]},
    {
        "event": "answered",
        "first": 0,
        "images": ["a", "b"],
        "labels": [0, -1],
        "scores": [[0.5, 0.5], [None, 1]],
        "unreached": [1],
        "requests": 1,
        "sent": 2,
        "versions": ["1"],
    },
]
_SERVICE: dict[str, Any] = {
    "service": {
        "form": "json",
        "url": "https://models.example.org/v1/classify?key=${THEIR_KEY}",
        "version": "3",
        "headers": {"Authorization": "Bearer ${THEIR_TOKEN}"},
        "images": 2,
        "concurrency": 2,
        "per_second": 5.5,
        "seconds": 30,
        "body": {"top": 5, "images": [{"b64": "{png}"}]},
        "answer": "results[*].[name, score]",
        "kind": "top",
    },
    "contract": {"output": "labels", "class_names": ["cat", "dog", "7"]},
}
_BACK: dict[str, Any] = {
    "open-inference": {"model_version": "1", "outputs": [{"name": "y", "shape": [2, 3], "data": [1, 2, 3, 4, 5, 6.5]}]},
    "tensorflow-serving": {"predictions": [[0.1, 0.2, 0.7], [0.2, 0.7, None]]},
    "json": {"results": [[["cat", 0.5], ["dog", 0.5]], [["dog", 1.0]]]},
}
_CONTRACT = 'layout = "NHWC"\nrange = [0, 1]\noutput = "probabilities"\n'


@dataclass
class _Services:
    """What is made once: how each form is read."""

    wires: dict[str, Wire]


def _csv(rows: list[dict[str, Any]]) -> bytes:
    names = list(dict.fromkeys(name for row in rows for name in row)) or ["file"]
    lines = [",".join(names), *(",".join(_cell(row.get(name, "")) for name in names) for row in rows)]
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _cell(value: object) -> str:
    return re.sub(r"[,\n]", " ", value if isinstance(value, str) else repr(value))[:200_000]


def _read_table(path: Path) -> object:
    return read_answers(path).labels(_NAMES, _CLASSES)


def _read_log(path: Path) -> object:
    with AnswerLog(path, _BEGUN) as log:
        return log.answers


def _make_answers(random: Random, _: object, folder: Path) -> Case:
    kind = random.choice(("csv", "jsonl", "log"))
    rows = _LINES if kind == "log" else _ROWS
    edited, what = edited_value(random, [dict(row) for row in rows])
    if not isinstance(edited, list) or not all(isinstance(row, dict) for row in edited):
        kind = "jsonl"
        content = json_bytes(edited)
    elif kind == "csv":
        content = _csv(edited)
    else:
        content = b"".join(json_bytes(row) + b"\n" for row in edited)
    if random.random() < 0.2:
        content, what = edited_bytes(random, content), f"{what}, and bytes"
    if random.random() < 0.05:
        content, what = odd_json(random), "odd JSON"
    path = folder / {"csv": "a.csv", "jsonl": "a.jsonl", "log": "log"}[kind]
    path.write_bytes(content)
    return Case(partial(_read_log if kind == "log" else _read_table, path), what, b"," in content)


def _answers(name: str, content: bytes, read: Callable[[Path], object]) -> Make:
    def make(_: Random, __: object, folder: Path) -> Case:
        (folder / name).write_bytes(content)
        return Case(partial(read, folder / name), name)

    return make


def _prepare(folder: Path) -> _Services:
    wires: dict[str, Wire] = {}
    for form in ("open-inference", "tensorflow-serving", "json"):
        path = folder / f"{form}.toml"
        text = f'[service]\nform = "{form}"\nurl = "http://127.0.0.1/"\n[contract]\n{_CONTRACT}'
        path.write_bytes(_document(_SERVICE) if form == "json" else text.encode())
        wires[form] = wire_of(read_description(str(path), contract=None, task=_TASK))
    return _Services(wires)


def _make_service(random: Random, context: _Services, folder: Path) -> Case:
    if random.random() < 0.5:
        form = random.choice(list(_BACK))
        told, what = edited_value(random, json.loads(json.dumps(_BACK[form])))
        return Case(partial(_answered, context.wires[form], told), f"{form}: {what}")
    edited, what = edited_value(random, json.loads(json.dumps(_SERVICE)))
    content = _document(edited) if isinstance(edited, dict) else b""
    if random.random() < 0.1:
        content, what = odd_toml(random).encode("utf-8", "surrogatepass"), "odd TOML"
    (folder / "service.toml").write_bytes(content)
    return Case(partial(_described, folder / "service.toml"), what)


def _document(table: dict[str, Any]) -> bytes:
    lines = (f"{json.dumps(name)} = {as_toml(value)}\n" for name, value in table.items())
    return "".join(lines).encode("utf-8", "surrogatepass")


def _answered(wire: Wire, told: object) -> object:
    return wire.answers(told, 2), wire.version(told)


def _described(path: Path) -> object:
    found = read_description(str(path), contract=None, task=_TASK)
    return wire_of(found), found.address, found.port, found.secrets


def _valid(_: Random, __: object, folder: Path) -> Case:
    (folder / "service.toml").write_bytes(_document(_SERVICE))
    return Case(partial(_described, folder / "service.toml"), "as it is")


ANSWERS = Reader(
    name="answers",
    prepare=lambda _: None,
    make=_make_answers,
    valid={
        "csv": _answers("a.csv", _csv(_ROWS), _read_table),
        "json lines": _answers("a.jsonl", b"\n".join(map(json_bytes, _ROWS)), _read_table),
        "log": _answers("log", b"".join(json_bytes(line) + b"\n" for line in _LINES), _read_log),
    },
    failures={
        "long number": _answers("a.csv", b"export,file,label\nx,a.png," + b"9" * 9000, _read_table),
        "deep": _answers("a.jsonl", b"[" * 90_000, _read_table),
    },
)

SERVICE = Reader(name="service", prepare=_prepare, make=_make_service, valid={"as it is": _valid})
