"""The fuzzer itself: it sees tracebacks, hangs, crashes and memory, and goes on after each."""

from pathlib import Path
from random import Random

import pytest

from cae_core.calibration.calibrated import load_calibrated
from cae_core.errors import CaeError, FingerprintError
from cae_core.fingerprint.file import load_fingerprint
from cae_core.reading import reading
from tests.fuzz import watching
from tests.fuzz.material import make_evidence, packed, parts_of, refit
from tests.fuzz.mutations import deep_stack, edited_bytes, edited_value, json_bytes
from tests.fuzz.outcome import outcome_of
from tests.fuzz.readers import table
from tests.fuzz.table import Tally, rendered
from tests.fuzz.working import made

MIB = 1 << 20


def _refuse() -> None:
    raise CaeError("no")


def test_the_watch_sees_how_a_case_ends_and_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "HANG", 1.0)
    cases: list[int | str] = ["traceback", "crash", "exit", "hang", "memory", "refused", 1]
    results = list(watching.watch("misbehaving", cases, seed=1, memory=300 * MIB))
    kinds = [result.outcome.kind for result in results]
    assert kinds[:-1] == ["traceback", "crash", "crash", "hang", "memory", "refused"]
    assert kinds[-1] in ("refused", "accepted")
    assert "SIGSEGV" in results[1].outcome.detail


def test_the_same_seed_gives_the_same_file(tmp_path: Path) -> None:
    reader = table.find_reader("fingerprint")
    context = reader.prepare(tmp_path)
    content = []
    for seed in (3, 3, 4):
        made(reader, context, seed, 5, tmp_path / "case")
        content.append((tmp_path / "case" / "f.safetensors").read_bytes())
    assert content[0] == content[1] != content[2]


def test_ids_that_are_made_again_are_the_files_own(tmp_path: Path) -> None:
    for path in make_evidence(tmp_path).files.values():
        parts = parts_of(path)
        assert refit(parts) == ""
        edited = tmp_path / "edited"
        edited.write_bytes(packed(parts))
        assert load_fingerprint(edited).id == load_fingerprint(path).id
        parts.metadata["generation"]["source"]["name"] = "another"
        edited.write_bytes(packed(parts))
        with pytest.raises(FingerprintError, match="was edited"):
            load_fingerprint(edited)
        parts.tensors["probe_labels"] = (parts.tensors["probe_labels"] + 1) % len(parts.metadata["class_names"])
        refit(parts)
        edited.write_bytes(packed(parts))
        assert load_calibrated(edited).fingerprint.generation["source"]["name"] == "another"


def test_what_only_a_border_caught_is_told() -> None:
    def read() -> None:
        with reading("a.json", CaeError, fault="this is not JSON"):
            raise ZeroDivisionError

    found = outcome_of(read)
    assert (found.kind, found.caught) == ("refused", ("ZeroDivisionError",))
    assert outcome_of(_refuse).caught == ()
    tally = Tally()
    tally.add(watching.Result(1, found))
    assert "- some: ZeroDivisionError 1" in list(rendered({"some": tally}))


def test_edits_are_made_of_anything() -> None:
    value = {"a": [1, "b", None, {"c": 0.5}], "d": {}}
    before = json_bytes(value)
    changed = 0
    with deep_stack():
        for seed in range(300):
            random = Random(seed)  # noqa: S311 - it has to be repeatable
            edited_bytes(random, b"")
            edited, what = edited_value(random, value)
            assert what
            changed += json_bytes(edited) != before
    assert json_bytes(value) == before
    assert changed > 270
