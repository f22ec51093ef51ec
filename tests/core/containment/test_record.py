"""A sandbox is called so only where files and system calls were refused; a record says what it says."""

import json

import pytest

from cae_core.containment.record import OWN, UNCONTAINED, Containment, recorded_containment
from cae_core.files.records import as_json


@pytest.mark.parametrize(
    ("layers", "kind"),
    [
        (("landlock", "seccomp", "memory limit"), "sandbox"),
        (("seccomp", "memory limit"), "limits"),
        (("landlock",), "limits"),
        ((), "limits"),
    ],
)
def test_the_words(layers: tuple[str, ...], kind: str) -> None:
    found = Containment(child=True, layers=layers)
    assert found.kind == kind
    assert found.words.startswith(f"{kind}: ")
    assert recorded_containment(json.loads(json.dumps(as_json(found)))) == found


def test_without_a_process_there_is_none() -> None:
    assert Containment(child=False, layers=("landlock", "seccomp")).kind == "none"
    assert UNCONTAINED.words == "none: the model was opened by its caller"
    assert recorded_containment(as_json(OWN)) == OWN
    assert recorded_containment(None) is None


@pytest.mark.parametrize(
    "changed",
    [
        [],
        {},
        {"layers": None},
        {"layers": [1]},
        {"layers": ["a\x1b[2A"]},
        {"layers": ["a" * 101]},
        {"child": 1},
        {"reason": None},
        {"kind": "sandbox"},
        {"kind": None},
    ],
)
def test_what_no_verdict_says(changed: object) -> None:
    whole = as_json(Containment(child=True))
    told = {**whole, **changed} if isinstance(changed, dict) and changed else changed
    with pytest.raises(ValueError, match="'containment' "):
        recorded_containment(told)
