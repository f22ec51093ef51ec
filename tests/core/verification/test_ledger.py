"""The ledger: which suspect has seen which examples, whatever crashed and however many wrote at once."""

import dataclasses
import errno
import json
import os
import subprocess
import sys
from io import FileIO
from pathlib import Path
from typing import Any

import pytest

from cae_core.errors import StorageError
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import EXAMPLE
from cae_core.verification.ledger import Earlier, ledger_of, open_ledger, read_earlier, record_verdict
from cae_core.verification.options import VerificationOptions
from cae_core.verification.verdict import Verdict
from tests.core.suspects import ask, matching
from tests.core.toys import toy_fingerprint


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "f.safetensors.ledger.jsonl"


@pytest.fixture
def verdict(fingerprint: Fingerprint) -> Verdict:
    return ask(matching(fingerprint, 20), fingerprint, nonce=b"first nonce")


def earlier(path: Path, verdict: Verdict, **changes: str) -> Earlier:
    """Return what the ledger says to a verification of the same suspect in the order of another nonce."""
    asked = {
        "fingerprint_id": verdict.examination.subject.fingerprint.id,
        "suspect_sha256": verdict.suspect.sha256,
        "nonce": "another",
        **changes,
    }
    return read_earlier(path, **asked)


def test_it_lies_beside_the_fingerprint() -> None:
    assert ledger_of(Path("a/f.safetensors")) == Path("a/f.safetensors.ledger.jsonl")


def test_without_a_ledger_nothing_is_known(ledger: Path, verdict: Verdict) -> None:
    assert earlier(ledger, verdict) == Earlier(0, frozenset())


def test_a_line_says_who_saw_what_and_no_secret(ledger: Path, verdict: Verdict) -> None:
    record_verdict(ledger, verdict)
    (line,) = ledger.read_text().splitlines()
    assert json.loads(line) == {
        "fingerprint": verdict.examination.subject.fingerprint.id,
        "suspect": "ab",
        "name": "x.onnx",
        "nonce": b"first nonce".hex(),
        "verdict": "surrogate",
        "examples": list(range(20)),
    }
    assert ledger.stat().st_mode & 0o777 == 0o600


def test_another_order_counts_and_the_same_one_does_not(ledger: Path, verdict: Verdict) -> None:
    record_verdict(ledger, verdict)
    assert earlier(ledger, verdict) == Earlier(1, frozenset(range(20)))
    assert earlier(ledger, verdict, nonce=verdict.nonce) == Earlier(0, frozenset())
    record_verdict(ledger, verdict)  # the same order again
    assert earlier(ledger, verdict).verifications == 1
    record_verdict(ledger, dataclasses.replace(verdict, nonce="aa"))
    assert earlier(ledger, verdict).verifications == 2
    assert earlier(ledger, verdict, nonce=verdict.nonce) == Earlier(1, frozenset(range(20)))


def test_other_suspects_and_fingerprints_do_not_count(ledger: Path, verdict: Verdict) -> None:
    record_verdict(ledger, verdict)
    assert earlier(ledger, verdict, suspect_sha256="other").verifications == 0
    assert earlier(ledger, verdict, fingerprint_id="other").verifications == 0


def test_only_examples_that_were_asked_count_and_no_probes(ledger: Path) -> None:
    fingerprint = toy_fingerprint(n=100)
    options = VerificationOptions(max_queries=70)
    some = ask(matching(fingerprint, 20), fingerprint, options=options)
    record_verdict(ledger, some)
    examples = {a.question.index for a in some.answers if a.question.kind == EXAMPLE}
    assert earlier(ledger, some).examples == examples
    assert len(examples) == some.caeacc.asked < 100


@pytest.mark.parametrize("cut", range(1, 120, 7))
def test_a_line_that_was_cut_off_costs_no_other_line(ledger: Path, verdict: Verdict, cut: int) -> None:
    """A process may die while it writes; the next one begins a line of its own."""
    record_verdict(ledger, verdict)
    whole = ledger.read_bytes()
    ledger.write_bytes(whole + whole[:cut])
    assert earlier(ledger, verdict).verifications == 1
    record_verdict(ledger, dataclasses.replace(verdict, nonce="aa"))
    assert earlier(ledger, verdict).verifications == 2
    record_verdict(ledger, dataclasses.replace(verdict, nonce="bb"))
    assert earlier(ledger, verdict).verifications == 3
    assert ledger.read_bytes().count(b"\n") == 4


def test_a_last_line_without_an_end_counts_and_stays_whole(ledger: Path, verdict: Verdict) -> None:
    record_verdict(ledger, verdict)
    ledger.write_bytes(ledger.read_bytes().rstrip(b"\n"))
    record_verdict(ledger, dataclasses.replace(verdict, nonce="aa"))
    assert earlier(ledger, verdict).verifications == 2


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"\xff\xfe garbage",
        b"[1, 2]",
        b"null",
        b"7",
        b'{"fingerprint": "cd", "suspect": "ab"}',
        b'{"fingerprint": "cd", "suspect": "ab", "nonce": "1", "examples": ["x"]}',
        b'{"fingerprint": "cd", "suspect": "ab", "nonce": "1", "examples": 3}',
        b'{"fingerprint": "cd", "suspect": "ab", "nonce": ["1"], "examples": [3]}',
        b"[" * 100_000,
    ],
)
def test_a_line_of_another_kind_is_passed_over(ledger: Path, verdict: Verdict, line: bytes) -> None:
    record_verdict(ledger, verdict)
    identity = verdict.examination.subject.fingerprint.id.encode()
    ledger.write_bytes(line.replace(b"cd", identity) + b"\n" + ledger.read_bytes())
    assert earlier(ledger, verdict) == Earlier(1, frozenset(range(20)))


@pytest.mark.parametrize("name", ["a\nb.onnx", "a\u2028b.onnx", "a\x85b.onnx", "a\udcffb.onnx", "ä.onnx"])
def test_a_suspects_name_cannot_break_its_line(ledger: Path, verdict: Verdict, name: str) -> None:
    record_verdict(ledger, dataclasses.replace(verdict, suspect=dataclasses.replace(verdict.suspect, name=name)))
    assert earlier(ledger, verdict).verifications == 1
    assert json.loads(ledger.read_bytes())["name"] == name


def write_many(path: Path, first: int) -> None:
    """Record 40 verifications of 3000 examples: lines longer than what a buffer would cut in two."""
    fingerprint = toy_fingerprint(n=3000)
    verdict = ask(matching(fingerprint, 2500), fingerprint)
    for i in range(first, first + 40):
        record_verdict(path, dataclasses.replace(verdict, nonce=f"{i:08x}"))


def test_several_processes_may_write_at_once(ledger: Path) -> None:
    script = f"from pathlib import Path; from {__name__} import write_many; write_many(Path({str(ledger)!r}), %d)"
    root = Path(__file__).parents[3]
    processes = [subprocess.Popen([sys.executable, "-c", script % (1000 * i)], cwd=root) for i in range(4)]
    assert [process.wait() for process in processes] == [0] * 4
    lines = [line for line in ledger.read_bytes().splitlines() if line]  # an empty one ends what looked unfinished
    assert len(lines) == 160
    assert min(map(len, lines)) > 10_000
    identity = toy_fingerprint(n=3000).id
    assert read_earlier(ledger, fingerprint_id=identity, suspect_sha256="ab", nonce="").verifications == 160


def test_a_ledger_that_cannot_be_written_is_said_before_anything_is_asked(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for path in (tmp_path, tmp_path / "none" / "l.jsonl", tmp_path / "file" / "l.jsonl"):
        with pytest.raises(StorageError, match=r"the ledger cannot be written \(.*--ledger, or go without with --no"):
            open_ledger(path)


def test_opening_a_ledger_changes_nothing(ledger: Path, verdict: Verdict) -> None:
    open_ledger(ledger)
    assert ledger.read_bytes() == b""
    assert ledger.stat().st_mode & 0o777 == 0o600
    record_verdict(ledger, verdict)
    before = ledger.read_bytes()
    open_ledger(ledger)
    assert ledger.read_bytes() == before


def test_a_ledger_that_cannot_be_read(tmp_path: Path, verdict: Verdict) -> None:
    with pytest.raises(StorageError, match=r"the ledger cannot be read \(Is a directory\)"):
        earlier(tmp_path, verdict)


def test_a_full_disk_is_said(ledger: Path, verdict: Verdict, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may write a part and say so."""

    class Full(FileIO):
        def write(self, content: Any, /) -> int:  # noqa: ANN401 - any buffer
            return super().write(bytes(content)[:20])

    def opened(path: Path, mode: str, **options: Any) -> Full:  # noqa: ANN401 - passed on
        return Full(path, mode.replace("b", ""), opener=options["opener"])

    monkeypatch.setattr("builtins.open", opened)
    with pytest.raises(StorageError, match=os.strerror(errno.ENOSPC)):
        record_verdict(ledger, verdict)
    monkeypatch.undo()
    record_verdict(ledger, verdict)
    assert earlier(ledger, verdict).verifications == 1
