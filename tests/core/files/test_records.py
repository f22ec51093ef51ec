"""One serialiser: what it makes of a value, and that it makes nothing up."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from cae_core.errors import VerdictError
from cae_core.files.records import as_json, read_record, readable_json


@dataclass(frozen=True)
class Part:
    name: str
    share: float | None = None


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    format: int = field(default=3, init=False)
    nonce: bytes = b"\x00\xff"
    at: datetime | None = None

    @property
    def complete(self) -> bool:
        return all(part.share is not None for part in self.parts)


@dataclass(frozen=True)
class Told(Whole):
    """Of which more is said than its fields."""

    def json_fields(self) -> Mapping[str, object]:
        return {**vars(self), "complete": self.complete}


def test_fields_stand_in_their_order_and_what_they_hold_is_turned_into_json_too() -> None:
    told = as_json(Whole((Part("a"), Part("b", 0.5)), at=datetime(2026, 11, 20, tzinfo=UTC)))
    assert list(told) == ["parts", "format", "nonce", "at"]
    assert told == {
        "parts": [{"name": "a", "share": None}, {"name": "b", "share": 0.5}],
        "format": 3,
        "nonce": "00ff",
        "at": "2026-11-20T00:00:00+00:00",
    }


def test_a_value_with_json_fields_is_told_by_them_wherever_it_stands() -> None:
    assert as_json({"of": [Told((Part("a", 1),))]})["of"] == [
        {"parts": [{"name": "a", "share": 1}], "nonce": "00ff", "at": None, "complete": True}
    ]


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (np.float32(0.5), 0.5),
        (np.float64(0.1), 0.1),
        (np.int64(7), 7),
        (np.bool_(1), True),
        (True, True),
        (1 << 80, 1 << 80),
        (Path("a") / "b.onnx", str(Path("a") / "b.onnx")),
        ("\ud800", "\ud800"),
        (None, None),
        ((), []),
    ],
)
def test_scalars(value: object, told: object) -> None:
    found = as_json({"of": (value,)})["of"][0]
    assert found == told
    assert type(found) is type(told)


@pytest.mark.parametrize("value", [{1, 2}, object(), np.zeros(3), 1j, memoryview(b"ab"), iter([1])])
def test_nothing_is_made_up_for_what_json_lacks(value: object) -> None:
    with pytest.raises(TypeError, match="JSON holds no"):
        as_json({"of": [value]})


def test_what_is_written_is_printable_ascii() -> None:
    """A name may hold what moves a cursor, what nobody can see, and what UTF-8 does not have."""
    names = ["\x1b[2J", "\x7f", "\u202e", "\u2028", "bad\udcff.onnx", "\ud800", "模"]
    written = readable_json({name: [name] for name in names})
    assert written.decode("ascii").replace("\n", "").isprintable()
    assert json.loads(written) == {name: [name] for name in names}


def test_readable_json_is_what_json_reads_back() -> None:
    value = Whole((Part("ü"),))
    assert json.loads(readable_json(value)) == as_json(value)
    assert readable_json(value).endswith(b"}\n")
    with pytest.raises(ValueError, match="not JSON compliant"):
        readable_json(Part("a", float("nan")))


@pytest.mark.parametrize(
    ("content", "said", "usual"),
    [
        (None, "cannot be read (No such file or directory). ", "Give an existing JSON file."),
        (b"{", "this is not JSON (", "Give the file that the command wrote."),
        (b"[" * 100_000, "this is not JSON (", "Give the file that the command wrote."),
        (b'{"a": ' + b"9" * 5000 + b"}", "this is not JSON (", "Give the file that the command wrote."),
        (b"3", "this is not a JSON object. ", "Give the file that the command wrote."),
    ],
)
@pytest.mark.parametrize("remedy", ["", "Name another --workdir."])
def test_what_is_no_record_is_refused_with_a_remedy(
    tmp_path: Path, content: bytes | None, said: str, usual: str, remedy: str
) -> None:
    path = tmp_path / "case.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(VerdictError) as error:
        read_record(path, remedy=remedy)
    assert str(error.value).startswith(f"{path}: {said}")
    assert str(error.value).endswith(remedy or usual)


def test_a_record_has_a_limit_of_size_and_depth(tmp_path: Path) -> None:
    path = tmp_path / "verdict.json"
    path.write_bytes(b'{"a": ' + b"[" * 100 + b"]" * 100 + b"}")
    with pytest.raises(VerdictError, match=r"verdict\.json: this is not JSON \(it is nested more than 64 levels deep"):
        read_record(path)
    with path.open("wb") as file:
        file.truncate(3 << 30)
    with pytest.raises(VerdictError, match=r"verdict\.json: cannot be read \(it has 3221225472 bytes"):
        read_record(path)


def test_half_a_surrogate_pair_is_written_as_jsons_own_escape() -> None:
    written = readable_json({"name": "bad\udcff.onnx"})
    assert b"bad\\udcff.onnx" in written
    assert json.loads(written) == {"name": "bad\udcff.onnx"}
