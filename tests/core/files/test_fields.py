"""The reader of typed fields: what fits, what does not, and one short sentence whatever stands there."""

import contextlib
import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cae_backends.training.recipe import Recipe, read_recipe
from cae_core.disputes.claim import claimed_settings
from cae_core.disputes.seal import Seal, parse_opening
from cae_core.errors import CaeError, OptionError, VerdictError, quoted
from cae_core.files.fields import check_known, fits, read_field, read_fields
from cae_core.files.records import as_json
from cae_core.generation.settings import GenerationSettings
from cae_core.pool.manifest import parse_member
from tests.core.toys import toy_fingerprint

SCALARS: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from([1 << 63, -(1 << 63)])
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.sampled_from(["\ud800", "a\nb", "x" * 10_000, "linf", "caeacc", "generate", "surrogate", "adam"])
)
"""What JSON or TOML may hold, half a surrogate pair among it."""

VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=8,
)

KINDS = [str, int, float, bool, dict, Literal["a", "b"], Literal[1, 2], int | None, list[str], tuple[int, ...]]

HUGE = 1 << 20_000
"""TOML takes it in sixteens; its decimal digits are more than Python writes."""

HOSTILE = settings(derandomize=True, max_examples=100, database=None)


@dataclass(frozen=True)
class Row:
    name: str
    sizes: tuple[int, ...] = ()
    share: float | None = None
    side: Literal["left", "right"] = "left"
    done: bool = False


@pytest.mark.parametrize(
    ("kind", "those", "others"),
    [
        (str, ["", "\ud800"], [None, 1, ["a"]]),
        (int, [0, -5, (1 << 63) - 1], [True, 1.0, "1", 1 << 63, -(1 << 63), None]),
        (float, [0, 0.5, 1e308], [False, math.nan, math.inf, -math.inf, "0.5", 1 << 63]),
        (bool, [True, False], [0, 1, "true", None]),
        (dict, [{}, {"a": 1}], [[], None, "a"]),
        (Literal["a", "b"], ["a"], ["c", None, ["a"], {"a": 1}]),
        (Literal[1, 2], [1, 2], [True, 1.0, 3]),
        (int | None, [3, None], [True, 0.5, "3"]),
        (Literal["a"] | None, ["a", None], ["b", False]),
        (list[str], [[], ["a", "b"]], ["ab", [1], ["a", None], {"a": 1}]),
        (tuple[float, ...], [[], [1, 0.5]], [[True], [math.nan], 0.5]),
    ],
)
def test_what_fits(kind: Any, those: list[object], others: list[object]) -> None:  # noqa: ANN401 - a form of typing
    assert [value for value in those if not fits(value, kind)] == []
    assert [value for value in others if fits(value, kind)] == []


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"name": 5}, "name must be a text; found 5"),
        ({"sizes": 3}, "sizes must be a list, each item of type int; found 3"),
        ({"sizes": [1, True]}, "sizes must be a list, each item of type int; found [1, True]"),
        ({"share": math.nan}, "share must be a finite number or null; found nan"),
        ({"side": "up"}, "side must be one of left, right; found 'up'"),
        ({"done": 1}, "done must be true or false; found 1"),
        ({"name": {}, "colour": 1}, "unknown field 'colour'; known are name, sizes, share, side, done"),
        (["name"], "the fields must be a table; found ['name']"),
        ({"\ud800" * 100: 1}, "unknown field '" + "\\ud800" * 13),
    ],
)
def test_a_sentence_names_the_field_and_says_what_was_expected_and_found(table: object, said: str) -> None:
    with pytest.raises(OptionError) as error:
        read_fields(Row, table)
    assert str(error.value).startswith(said)


def test_what_stands_there_is_given_as_it_stands_and_lists_as_the_dataclass_has_them() -> None:
    read = read_fields(Row, {"sizes": [1, 2], "share": 1, "name": "a"})
    assert read == {"sizes": (1, 2), "share": 1, "name": "a"}
    assert type(read["share"]) is int
    assert read_fields(Row, {}) == {}
    assert read_field({}, "seed", int, 3) == 3
    with pytest.raises(match="seed must be of type int; found None"):
        read_field({}, "seed", int)
    check_known(["a"], ["a", "b"])


@HOSTILE
@given(VALUES, st.sampled_from(KINDS))
def test_a_value_fits_or_is_refused_in_one_short_line(value: object, kind: Any) -> None:  # noqa: ANN401
    try:
        assert read_field({"of": value}, "of", kind) is value
    except OptionError as error:
        assert not fits(value, kind)
        said = str(error)
        assert said.startswith("of must be ")
        assert said.isprintable()
        assert len(said) < 200


@HOSTILE
@given(VALUES)
def test_a_quoted_value_is_short_and_can_be_shown(value: object) -> None:
    assert len(quoted(value)) <= 80
    quoted(value).encode()


@pytest.mark.parametrize("kind", KINDS)
def test_a_number_of_thousands_of_digits_is_refused(kind: Any) -> None:  # noqa: ANN401
    with pytest.raises(match="found int too large to be shown"):
        read_field({"of": HUGE}, "of", kind)


def test_lists_within_lists_are_quoted() -> None:
    value: list[object] = []
    for _ in range(100_000):
        value = [value]
    assert quoted(value) == "list too large to be shown"


MEMBER: dict[str, object] = {
    "path": "m.onnx",
    "role": "generate",
    "relation": "surrogate",
    "seed": 3,
    "accuracy": 0.5,
    "sha256": "ab" * 32,
    "trusted": True,
}
OPENING: dict[str, object] = {
    "format": 1,
    "fingerprint_id": "f",
    "source": "00",
    "surrogates": ["01"],
    "references": ["02"],
    "score": "caeacc",
    "fpr": 0.01,
    "max_queries": None,
    "tool": "t",
    "claimant": "c",
    "salt": "00" * 32,
}
FINGERPRINT = toy_fingerprint()

Record = dict[str, Any]
READERS: dict[str, tuple[Record, Callable[[Record], object]]] = {
    "a manifest's row": (MEMBER, lambda record: parse_member(record, Path("pool.toml"))),
    "an opening": (OPENING, lambda record: parse_opening(record, Seal("0" * 64), "opening.json")),
    "a claim's settings": (
        as_json(GenerationSettings(eps=0.1, learning_rate=0.01, max_seeds=9)),
        lambda record: claimed_settings(dataclasses.replace(FINGERPRINT, generation={"settings": record})),
    ),
    "a recipe": (as_json(Recipe()), lambda record: read_recipe("own", tables={"own": record})),
}


@pytest.mark.parametrize("reader", READERS)
@HOSTILE
@given(data=st.data())
def test_a_reader_takes_a_record_or_refuses_it_on_purpose(reader: str, data: st.DataObject) -> None:
    record, read = READERS[reader]
    changes = data.draw(st.dictionaries(st.sampled_from(sorted(record)) | st.text(max_size=5), VALUES, max_size=2))
    with contextlib.suppress(CaeError):
        read({**record, **changes})


@pytest.mark.parametrize("reader", READERS)
def test_those_records_are_right_but_for_what_is_changed(reader: str) -> None:
    record, read = READERS[reader]
    if reader == "an opening":  # right in itself, and of another seal
        with pytest.raises(VerdictError, match="does not open the seal"):
            read(record)
    else:
        read(record)


@pytest.mark.parametrize(("reader", "field"), [(reader, field) for reader in READERS for field in READERS[reader][0]])
def test_a_reader_refuses_a_number_of_thousands_of_digits(reader: str, field: str) -> None:
    record, read = READERS[reader]
    with pytest.raises(CaeError, match=r"too large to be shown|needs a path"):
        read({**record, field: HUGE})
