"""The index of a ledger finds what reading all of it finds, however the ledger grew."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core.verification.ledger_index import LedgerIndex
from cae_core.verification.ledger_lines import Begun, line_of, of_suspect, read_entries, read_line


def lines_of(random: np.random.Generator, number: int) -> list[bytes]:
    """Return the lines of one random verification; few suspects, fingerprints and models, so that many are alike."""
    identity, model = f"{number:032x}", int(random.integers(4))
    suspect, fingerprint = f"{model % 3}{random.integers(2)}", f"f{random.integers(3)}"
    rows = sorted(random.permutation(14)[: random.integers(0, 13)].tolist())
    told = np.random.default_rng(model).uniform(0.1, 0.9, (14, 2)) + random.choice([0, 5e-5, 3e-4])
    scores = {row: told[row].round(6).tolist() for row in rows}
    of = {"fingerprint": fingerprint, "suspect": suspect, "nonce": "00"}
    begun = line_of("begun", {"id": identity, **of, "source": "s" if random.random() < 0.5 else "", "setup": {}})
    asking = line_of("asking", {"id": identity, "nonce": "00", "examples": [1, 2]})
    end = line_of(str(random.choice(["ended", "stopped"])), {"id": identity, **of, "examples": [1], "scores": scores})
    old = json.dumps({**of, "examples": [3]}).encode() + b"\n"
    odd = [b'{"ledger":2,"event":"ended","id":"x"}\n', b"\xff\n", b"\n", old, line_of("ended", {"id": "q", **of})]
    kinds = [[begun, asking, end], [begun], [begun, asking], [begun, line_of("withdrawn", {"id": identity})], [old]]
    return [*kinds[int(random.choice(5, p=[0.6, 0.1, 0.1, 0.1, 0.1]))], odd[int(random.integers(len(odd)))]]


@pytest.mark.parametrize("seed", range(6))
def test_it_finds_what_reading_everything_finds(tmp_path: Path, seed: int) -> None:
    random, path = np.random.default_rng(seed), tmp_path / "ledger.jsonl"
    pending = [line for number in range(45) for line in lines_of(random, number)]
    index, found = LedgerIndex(path), 0
    path.touch()
    while pending:
        count = int(random.integers(1, 40))
        with path.open("ab") as file:  # the last line is sometimes cut short when it is looked at
            text = b"".join(pending[:count])
            cut = int(random.integers(len(pending[min(count, len(pending)) - 1])))
            file.write(text[: len(text) - cut])
            file.flush()
            index.update()
            file.write(text[len(text) - cut :])
        index.update()
        del pending[:count]
    entries = read_entries(path.read_bytes())
    for place, entry in enumerate(entries):
        for scores in ({}, entry.scores) if entry.id else ():
            expected = of_suspect(entries[:place], entry.begun, scores)
            assert index.before(entry.id, entry.begun, scores) == expected
            found += len(expected)
    assert found > 100


def told_of(model: int, rows: Sequence[int]) -> dict[int, tuple[float, float]]:
    """Return what a model tells of these rows; it is the least certain of the first one."""
    table = np.random.default_rng(model).uniform(0.1, 0.9, (14, 2)).round(6)
    table[0, 0] = 0.05
    return {row: (float(table[row, 0]), float(table[row, 1])) for row in rows}


@pytest.mark.parametrize("seed", range(3))
def test_a_model_is_found_by_what_it_tells_whatever_its_file(tmp_path: Path, seed: int) -> None:
    """90 verifications of files of their own, but for some pairs; three models tell few rows, many or none."""
    random, path = np.random.default_rng(seed), tmp_path / "ledger.jsonl"
    lines = list[bytes]()
    for number in range(90):
        suspect = f"file {number - 1 if random.random() < 0.2 else number}"
        of = {"id": f"{number:032x}", "fingerprint": f"f{number % 2}", "suspect": suspect, "source": "s"}
        rows = [[0, 1, 2], [], sorted(random.permutation(14)[:9].tolist())][random.choice(3, p=[0.3, 0.2, 0.5])]
        scores = {str(row): pair for row, pair in told_of(int(random.integers(3)), rows).items()}
        lines += [line_of("begun", of), line_of("ended", {**of, "scores": scores})]
    index = LedgerIndex(path)
    for part in (lines[:100], lines[100:]):
        with path.open("ab") as file:
            file.write(b"".join(part))
        index.update()
    entries = read_entries(path.read_bytes())
    for place, entry in enumerate(entries[::5]):
        expected = of_suspect(entries[: 5 * place], entry.begun, entry.scores)
        assert index.before(entry.id, entry.begun, entry.scores) == expected
    new = Begun(fingerprint="f1", source="s", suspect="new")
    for model in range(4):
        told = told_of(model, [0, 1, 2, 3])
        expected = of_suspect(entries, new, told)
        assert index.before("new", new, told) == expected
        assert bool(expected) == (model < 3)
    assert index.before("new", new, {}) == ()


def test_a_file_leads_to_what_it_told_and_that_to_other_files(tmp_path: Path) -> None:
    """Two verifications of one file, the first of which told nothing; the second's scores are another file's."""
    path = tmp_path / "ledger.jsonl"
    told = {str(row): pair for row, pair in told_of(1, range(5)).items()}
    for identity, suspect, scores in (("a", "x", {}), ("b", "x", told), ("c", "y", told), ("d", "z", {})):
        of = {"id": identity, "fingerprint": "f", "suspect": suspect}
        with path.open("ab") as file:
            file.write(line_of("begun", of) + line_of("ended", {**of, "scores": scores}))
    index = LedgerIndex(path)
    index.update()
    found = index.before("new", Begun(fingerprint="f", suspect="x"), {})
    assert [entry.id for entry in found] == ["a", "b", "c"]


def test_a_row_that_no_fingerprint_has_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    told = {str(row): pair for row, pair in told_of(1, range(5)).items()}
    for identity, odd in (("a", 2**31 - 1), ("b", 10**30), ("c", -1)):
        of = {"id": identity, "fingerprint": "f", "suspect": identity}
        with path.open("ab") as file:
            file.write(line_of("begun", of) + line_of("ended", {**of, "scores": {**told, str(odd): [0.1, 0.1]}}))
    index = LedgerIndex(path)
    index.update()
    found = index.before("new", Begun(fingerprint="f", suspect="x"), told_of(1, range(5)))
    assert [entry.id for entry in found] == ["a", "b", "c"]


def test_an_entry_whose_begin_is_written_twice_stays_one(tmp_path: Path) -> None:
    path = tmp_path / "ledger.jsonl"
    told: dict[str, Any] = {"id": "a", "fingerprint": "f", "suspect": "s"}
    path.write_bytes(line_of("begun", told) + line_of("asking", {"id": "a", "nonce": "00", "examples": [4]}))
    index = LedgerIndex(path)
    index.update()
    path.write_bytes(path.read_bytes() + line_of("begun", told))
    index.update()
    begun = read_entries(path.read_bytes())[0].begun
    assert index.before("a", begun, {}) == ()
    (entry,) = index.before("another", begun, {})
    assert entry.examples == {4}


def test_it_reads_what_may_be_of_the_suspect_and_hardly_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of files of their own, by what they tell; one that tells nothing is read for no scores."""
    own = told_of(1, range(14))
    rows = sorted(own, key=lambda row: own[row])
    doubt, certain = max(rows[:8]), min(rows[8:])
    assert certain < 8 <= doubt
    told = {
        "alike": own,
        "another model": told_of(2, range(14)),
        **{f"otherwise in {row} alone": {row: (0.5, own[row][1] + 2.5e-4)} for row in own},
        "otherwise where it doubts": {**own, doubt: (own[doubt][0], 0.95)},
        "otherwise where it is certain": {**own, certain: (own[certain][0], 0.95)},
        **{f"nothing {number}": {} for number in range(60)},
    }
    path = tmp_path / "ledger.jsonl"
    index = LedgerIndex(path)
    for identity, scores in told.items():
        of = {"id": identity, "fingerprint": "f", "suspect": identity}
        with path.open("ab") as file:
            file.write(line_of("begun", of) + line_of("ended", {**of, "scores": scores}))
    with path.open("ab") as file:
        of = {"id": "another fingerprint", "fingerprint": "g", "suspect": "x"}
        file.write(line_of("begun", of) + line_of("ended", {**of, "scores": own}))
    index.update()
    read = set[str]()

    def reading(line: bytes, number: int) -> tuple[str, Mapping[str, Any]]:
        found = read_line(line, number)
        read.add(found[0])
        return found

    monkeypatch.setattr("cae_core.verification.ledger_index.read_line", reading)
    new = Begun(fingerprint="f", suspect="new")
    assert [entry.id for entry in index.before("new", new, own)] == ["alike"]
    assert read == {"alike", "otherwise where it is certain"}  # the scores that are kept tell no difference
    read.clear()
    assert index.before("new", new, {}) == ()
    assert read == set()
