"""What a fingerprint's file says of its making is read only in the form that it has."""

import copy
from typing import Any

import pytest

from cae_core.errors import OptionError
from cae_core.fingerprint.provenance import check_provenance

KNOWN: dict[str, Any] = {
    "class_names": ["cat", "dog"],
    "tools": {"numpy": "2"},
    "generation": {
        "settings": {"eps": 0.1},
        "source": {"name": "source", "sha256": "00", "accuracy": 0.9, "ancestor": "imagenet", "form": ".pt2"},
        "data": {"name": "digits", "sha256": "11"},
        "surrogates": [{"name": "a", "sha256": "22"}],
        "references": [],
    },
}

PART: dict[str, Any] = {"split": "train", "count": 5, "sha256": "00"}


def test_what_this_project_writes_is_read_and_so_is_less() -> None:
    check_provenance(KNOWN)
    check_provenance({**KNOWN, "generation": {"source": {"accuracy": 1}}})
    both = {"name": "digits", "sha256": "11", "split": "all", "parts": [PART, PART]}
    check_provenance({**KNOWN, "generation": {"source": {"accuracy": 1}, "data": both}})


@pytest.mark.parametrize(
    ("place", "value", "message"),
    [
        ("class_names", "ab", "class_names must be a list, each item a text"),
        ("class_names", [1, 2], "class_names must be a list"),
        ("tools", ["x"], "tools must be a table"),
        ("tools", {"numpy": 2}, "tools: 'numpy' must be a text; found 2"),
        ("generation", [], "generation must be a table"),
        ("generation.settings", ["x"], "settings must be a table"),
        ("generation.data", "digits", "data must be a table"),
        ("generation.data.name", 5, "data: name must be a text"),
        ("generation.data.split", 5, "data: split must be a text"),
        ("generation.data.parts", {"train": 5}, "data: parts must be a list, each item a table"),
        ("generation.data.parts", [{"split": "train", "sha256": "00"}], "data: .*count"),
        ("generation.data.parts", [PART | {"count": True}], "data: count must be of type int"),
        ("generation.data.parts", [PART | {"count": -1}], "data: count must be a number of images; found -1"),
        ("generation.data.parts", [PART] * 17, "data: there are at most 16 parts; found 17"),
        ("generation.data.parts", [PART | {"count": 10**30}], "data: count must be of type int"),
        ("generation.data.parts", [PART | {"sha256": 5}], "data: sha256 must be a text"),
        ("generation.source", None, "source must be a table"),
        ("generation.source.sha256", 5, "source: sha256 must be a text"),
        ("generation.source.ancestor", {"a": [1]}, "source: ancestor must be a text"),
        ("generation.source.form", 1, "source: form must be a text"),
        ("generation.source.accuracy", "0.9", "accuracy must be a number"),
        ("generation.source.accuracy", True, "accuracy must be a number"),
        ("generation.surrogates", ["x"], "surrogates must be a list, each item a table"),
        ("generation.references", [{"name": []}], "references: name must be a text"),
    ],
)
def test_other_types_are_refused(place: str, value: object, message: str) -> None:
    told = copy.deepcopy(KNOWN)
    holder, *names = told, *place.split(".")
    for name in names[:-1]:
        holder = holder[name]
    holder[names[-1]] = value
    with pytest.raises(OptionError, match=message):
        check_provenance(told)
