"""The ledger: who was verified how often and has seen what, whatever crashed and however many wrote at once."""

import dataclasses
import errno
import json
import os
import re
import secrets
import stat
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from io import FileIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core import clock
from cae_core import version as release
from cae_core.contract import Contract
from cae_core.errors import ModelError, OptionError, StorageError, VerdictError
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import EXAMPLE
from cae_core.models import Model, Predictions
from cae_core.verification.ledger import LedgerEntry, begin_entry, ledger_of, read_ledger, resume_entry, sync_ledger
from cae_core.verification.ledger_index import LedgerIndex
from cae_core.verification.ledger_lines import read_entries
from cae_core.verification.options import RULE, VerificationOptions
from cae_core.verification.remembered import UnrecordedVerdict, verify_remembered
from cae_core.verification.served import Served
from cae_core.verification.verdict import SeenBefore, Suspect, Verdict
from cae_core.verification.verify import plan_verification
from tests.core.suspects import Telling, matching, oracle
from tests.core.toys import paired, toy_calibration, toy_fingerprint

FIRST = Suspect(name="x.onnx", sha256="ab")
BUDGET = VerificationOptions(max_queries=70)


@pytest.fixture
def ledger(tmp_path: Path) -> Path:
    return tmp_path / "f.safetensors.ledger.jsonl"


def verified(ledger: Path, fingerprint: Fingerprint, suspect: Any = None, **given: Any) -> Verdict:  # noqa: ANN401 - of many types
    """Verify a suspect, one that tells labels only unless another is given, and have it remembered."""
    model = matching(fingerprint, 20) if suspect is None else suspect
    return verify_remembered(model, paired(fingerprint), ledger=ledger, **{"named": FIRST, **given})


def begun(ledger: Path, fingerprint: Fingerprint, **given: Any) -> LedgerEntry:  # noqa: ANN401 - of many types
    """Begin a verification, and ask nothing."""
    given = {"named": FIRST, "options": BUDGET, "nonce": None, **given}
    return begin_entry(ledger, paired(fingerprint), None, **given)


def planned(ledger: Path, fingerprint: Fingerprint, nonce: bytes) -> LedgerEntry:
    """Begin one whose questions are planned, as an export does, and ask nothing."""
    entry = begun(ledger, fingerprint)
    entry.asking(nonce, plan_verification(paired(fingerprint), suspect_sha256="ab", options=BUDGET, nonce=nonce))
    return entry


def seen(verdict: Verdict) -> SeenBefore:
    assert verdict.earlier is not None
    return verdict.earlier


def lines(ledger: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in ledger.read_bytes().splitlines() if line]


def test_it_lies_beside_the_fingerprint() -> None:
    assert ledger_of(Path("a/f.safetensors")) == Path("a/f.safetensors.ledger.jsonl")


class TestLines:
    def test_they_say_who_was_asked_what_by_whom_and_when(
        self, ledger: Path, fingerprint: Fingerprint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clock, "utc_now", lambda: datetime(2026, 5, 1, tzinfo=UTC))
        monkeypatch.setattr(secrets, "token_hex", lambda _count: "1d")
        model: Any = matching(fingerprint, 20)
        model.contract, model.runtime = Contract(layout="NHWC", range=(0, 1), output="labels"), "toy 1"
        calibration = toy_calibration(fingerprint, [1] * 19)
        subject = paired(fingerprint, calibration)
        options = VerificationOptions(max_queries=70, claimed_accuracy=0.9)
        verify_remembered(model, subject, ledger=ledger, named=FIRST, options=options, nonce=b"n", case="17 O 4")
        begun, asking, ended = lines(ledger)
        date, digest = "2026-05-01T00:00:00+00:00", subject.content_sha256
        assert begun == {
            "ledger": 2,
            "event": "begun",
            "id": "1d",
            "date": date,
            "fingerprint": fingerprint.id,
            "source": "",
            "suspect": "ab",
            "setup": {
                "calibration": digest,
                "contract": model.contract.digest,
                "allow_extrapolation": False,
                "claimed_accuracy": 0.9,
                "rule": RULE,
            },
            "name": "x.onnx",
            "case": "17 O 4",
            "nonce": b"n".hex(),
            "nonce_given": True,
            "sequential": False,
            "max_queries": 70,
            "calibration": {
                "sha256": digest,
                "score": "caeacc",
                "fpr": 0.05,
                "fnr": 0.05,
                "parametric": False,
                "examples_chosen": 20,
            },
            "runtime": "toy 1",
            "tool": f"cae-fingerprint {release.__version__}",
        }
        assert {name: asking[name] for name in ("event", "id", "nonce")} == {
            "event": "asking",
            "id": "1d",
            "nonce": b"n".hex(),
        }
        assert ended == {
            "ledger": 2,
            "event": "ended",
            "id": "1d",
            "date": date,
            "fingerprint": fingerprint.id,
            "suspect": "ab",
            "name": "x.onnx",
            "nonce": b"n".hex(),
            "verdict": "surrogate",
            "examples": asking["examples"],
            "value": 1.0,
            "p_value": 0.05,
            "scores": {},
        }

    def test_a_public_order_and_a_defence_are_taken_down(self, ledger: Path, fingerprint: Fingerprint) -> None:
        options = VerificationOptions(
            sequential=True, beacon="0af1" * 16, beacon_time="2026-05-01T12:00Z", defence="random:1"
        )
        begun(ledger, fingerprint, options=options)
        (line,) = lines(ledger)
        assert (line["beacon"], line["beacon_time"]) == ("0af1" * 16, "2026-05-01T12:00Z")
        assert line["setup"]["defence"] == "random:1"
        assert line["case"] == ""

    def test_an_id_is_drawn_where_none_is_given(self, ledger: Path, fingerprint: Fingerprint) -> None:
        drawn = {begun(ledger, fingerprint).id for _ in range(2)}
        assert len(drawn) == 2
        assert {len(bytes.fromhex(identity)) for identity in drawn} == {16}
        assert {line["id"] for line in lines(ledger)} == drawn
        assert begun(ledger, fingerprint, identity="1d").id == "1d"

    def test_how_a_service_was_asked_and_what_was_recorded(self, ledger: Path, fingerprint: Fingerprint) -> None:
        model: Any = matching(fingerprint, 20)
        model.served = lambda: Served(
            address="https://acme.example", version="2", versions=("2",), asked_by="ff", requests=3, sent=80
        )
        verified(ledger, fingerprint, model, recorded="77")
        assert lines(ledger)[-1]["recorded"] == "77"
        assert lines(ledger)[-1]["service"] == {
            "address": "https://acme.example",
            "version": "2",
            "versions": ["2"],
            "asked_by": "ff",
            "requests": 3,
            "sent": 80,
        }

    def test_only_its_owner_may_read_it(self, ledger: Path, fingerprint: Fingerprint) -> None:
        verified(ledger, fingerprint)
        assert ledger.stat().st_mode & 0o777 == 0o600

    def test_an_earlier_release_reads_what_was_finished(self, ledger: Path, fingerprint: Fingerprint) -> None:
        """It took lines with these four fields, and passed over all others."""
        verdict = verified(ledger, fingerprint)
        then = [line for line in lines(ledger) if {"fingerprint", "suspect", "nonce", "examples"} <= set(line)]
        (line,) = then
        assert (line["fingerprint"], line["suspect"], line["nonce"]) == (fingerprint.id, "ab", verdict.nonce)
        assert line["examples"] == list(range(20))

    @pytest.mark.parametrize("name", ["a\nb.onnx", "a\u2028b.onnx", "a\x85b.onnx", "a\udcffb.onnx", "ä.onnx"])
    def test_a_suspects_name_cannot_break_its_line(self, ledger: Path, fingerprint: Fingerprint, name: str) -> None:
        named = dataclasses.replace(FIRST, name=name)
        verified(ledger, fingerprint, named=named, case=name)
        assert seen(verified(ledger, fingerprint)).verifications == 1
        assert [line["name"] for line in lines(ledger)[:3:2]] == [name, name]


class TestBegunFirst:
    def test_all_stands_there_before_the_first_question_and_before_the_nonce(
        self, ledger: Path, fingerprint: Fingerprint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer, found = oracle(fingerprint), list[list[str]]()

        def looking(images: Any) -> Any:  # noqa: ANN401
            found.append([line["event"] for line in lines(ledger)])
            return answer(images)

        def drawn(count: int) -> bytes:
            found.append([line["event"] for line in lines(ledger)])
            assert lines(ledger)[0]["suspect"] == "ab"
            assert lines(ledger)[0]["nonce"] is None
            return bytes(count)

        monkeypatch.setattr(secrets, "token_hex", lambda _count: "1d")
        monkeypatch.setattr(secrets, "token_bytes", drawn)
        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", synced.append)
        verdict = verified(ledger, fingerprint, Telling(looking), options=BUDGET)
        assert found[:2] == [["begun"], ["begun", "asking"]]
        assert all(events == ["begun", "asking"] for events in found[1:])
        assert len(synced) == 3
        assert verdict.nonce == bytes(16).hex()
        assert verdict.occasion is not None
        assert not verdict.occasion.nonce_given

    def test_a_deferred_one_waits_for_the_disk_once_before_the_first_question(
        self, ledger: Path, fingerprint: Fingerprint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answer, synced = oracle(fingerprint), list[list[str]]()
        monkeypatch.setattr(os, "fsync", lambda _file: synced.append([line["event"] for line in lines(ledger)]))

        def asked(images: Any) -> Any:  # noqa: ANN401
            assert synced == [["begun", "asking"]]
            return answer(images)

        verified(ledger, fingerprint, Telling(asked), nonce=b"n" * 16, deferred=True)
        assert [line["event"] for line in lines(ledger)] == ["begun", "asking", "ended"]
        assert synced == [["begun", "asking"]]
        sync_ledger(ledger)
        assert synced == [["begun", "asking"], ["begun", "asking", "ended"]]

    def test_a_nonce_is_drawn_after_the_disk_was_waited_for_whoever_defers(
        self, ledger: Path, fingerprint: Fingerprint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[list[str]] = []
        monkeypatch.setattr(os, "fsync", lambda _file: synced.append([line["event"] for line in lines(ledger)]))
        verified(ledger, fingerprint, deferred=True)
        assert synced == [["begun"], ["begun", "asking"]]

    def test_a_nonce_that_is_given_waits_for_the_disk_too(
        self, ledger: Path, fingerprint: Fingerprint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        synced: list[bool] = []
        monkeypatch.setattr(os, "fsync", lambda file: synced.append(os.path.samestat(os.fstat(file), ledger.stat())))
        begun(ledger, fingerprint, nonce=b"n")
        assert synced == [True]
        sync_ledger(ledger)
        assert synced == [True, True]
        assert len(read_ledger(ledger)) == 1  # for which nobody waits
        assert synced == [True, True]

    def test_a_ledger_that_is_not_there_is_not_made(self, ledger: Path) -> None:
        sync_ledger(ledger)
        assert read_ledger(ledger) == ()
        assert not ledger.exists()
        ledger.mkdir()
        with pytest.raises(StorageError, match=f"{re.escape(str(ledger))}: the ledger cannot be written"):
            sync_ledger(ledger)

    def test_one_that_is_killed_leaves_its_trace(self, ledger: Path, fingerprint: Fingerprint) -> None:
        """A signal that nothing can catch: what it was going to ask counts as seen."""
        script = (
            "import os; from pathlib import Path; from tests.core.verification.test_ledger import verified; "
            "from tests.core.suspects import Telling; from tests.core.toys import toy_fingerprint; "
            f"verified(Path({str(ledger)!r}), toy_fingerprint(), Telling(lambda images: os._exit(9)))"
        )
        subprocess.run([sys.executable, "-c", script], cwd=Path(__file__).parents[3], check=False)
        assert [line["event"] for line in lines(ledger)] == ["begun", "asking"]
        assert seen(verified(ledger, fingerprint)) == SeenBefore(verifications=1, examples_seen=20, interrupted=1)

    def test_where_nothing_was_asked_nothing_counts(
        self, ledger: Path, fingerprint: Fingerprint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clock, "utc_now", lambda: datetime(2026, 5, 1, tzinfo=UTC))
        with pytest.raises(OptionError, match="takes at least"):
            verified(ledger, fingerprint, options=VerificationOptions(max_queries=5), identity="1d")
        assert [line["event"] for line in lines(ledger)] == ["begun", "withdrawn"]
        assert lines(ledger)[-1] == {
            "ledger": 2,
            "event": "withdrawn",
            "id": "1d",
            "date": "2026-05-01T00:00:00+00:00",
            "error": "OptionError",
            "scores": {},
        }
        assert seen(verified(ledger, fingerprint)).verifications == 0

    def test_a_suspect_that_fails_was_asked(self, ledger: Path, fingerprint: Fingerprint) -> None:
        def failing(_images: Any) -> Any:  # noqa: ANN401
            raise ModelError("out of memory")

        with pytest.raises(ModelError, match="out of memory"):
            verified(ledger, fingerprint, Telling(failing))
        assert (lines(ledger)[-1]["event"], lines(ledger)[-1]["error"]) == ("stopped", "ModelError")
        assert seen(verified(ledger, fingerprint)).interrupted == 1


class TestCounting:
    def test_every_entry_counts_whatever_its_order(self, ledger: Path, fingerprint: Fingerprint) -> None:
        assert seen(verified(ledger, fingerprint, nonce=b"1")) == SeenBefore(verifications=0, examples_seen=0)
        assert seen(verified(ledger, fingerprint, nonce=b"1")) == SeenBefore(verifications=1, examples_seen=20)
        assert seen(verified(ledger, fingerprint, nonce=b"2", options=BUDGET)).verifications == 2

    @pytest.mark.parametrize("indexed", [False, True])
    def test_one_that_begins_again_is_one_and_those_since_then_come_after_it(
        self, ledger: Path, fingerprint: Fingerprint, *, indexed: bool
    ) -> None:
        subject, index = paired(fingerprint), LedgerIndex(ledger) if indexed else None
        begun(ledger, fingerprint)
        for _ in range(3):
            again = begun(ledger, fingerprint, identity="1d", nonce=b"n", index=index)
            assert again.counted(BUDGET, subject).verifications == 2
            begun(ledger, fingerprint)
        assert len(read_ledger(ledger)) == 5

    def test_an_index_says_the_same_as_all_of_the_ledger(self, tmp_path: Path, fingerprint: Fingerprint) -> None:
        """Two files of each of two models; some are interrupted, begin again, or are of a process without an index."""

        def told(name: str, index: LedgerIndex | None) -> list[object]:
            found = list[object]()
            for number in range(10):
                model, order = number // 2 % 2, number % 9
                given: dict[str, Any] = {
                    "named": Suspect(name="x", sha256=f"{model}{number % 3 > 0}"),
                    "nonce": bytes([order]),
                    "identity": f"1d{order}",
                    "index": index if number % 4 else None,
                }
                stops = 0 if number in (0, 5) else None
                suspect = Telling(oracle(fingerprint), weights=model, stops_after=stops)
                with suppress(KeyboardInterrupt):
                    verdict = verified(tmp_path / name, fingerprint, suspect, options=BUDGET, **given)
                    found.append((verdict.examination.options.verifications, verdict.earlier))
            return found

        expected = told("whole", None)
        assert told("indexed", LedgerIndex(tmp_path / "indexed")) == expected
        assert len(set(expected)) > 5

    @pytest.mark.parametrize("indexed", [False, True])
    def test_what_others_told_since_it_began_counts(
        self, ledger: Path, fingerprint: Fingerprint, *, indexed: bool
    ) -> None:
        interrupted = planned(ledger, fingerprint, bytes(16))
        other = begun(ledger, fingerprint)

        def told() -> None:
            other.stopped(ModelError("gone"))  # it had asked nothing
            verified(ledger, fingerprint, resumed=resume_entry(ledger, interrupted.id)[0], options=BUDGET)
            begun(ledger, fingerprint)

        index = LedgerIndex(ledger) if indexed else None
        verdict = verified(ledger, fingerprint, Losing(matching(fingerprint, 20), told), options=BUDGET, index=index)
        assert verdict.examination.options.verifications == 3
        assert (seen(verdict).verifications, seen(verdict).interrupted) == (1, 0)

    def test_with_an_index_nobody_reads_all_of_it(
        self, ledger: Path, fingerprint: Fingerprint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        verified(ledger, fingerprint)
        monkeypatch.setattr("cae_core.verification.ledger.read_entries", lambda _content: pytest.fail("read"))
        assert seen(verified(ledger, fingerprint, index=LedgerIndex(ledger))).verifications == 1

    def test_other_suspects_do_not_count(self, ledger: Path, fingerprint: Fingerprint) -> None:
        verified(ledger, fingerprint, named=Suspect(name="x.onnx", sha256="other"))
        assert seen(verified(ledger, fingerprint)).verifications == 0

    def test_other_fingerprints_count_where_they_are_of_one_source(self, ledger: Path) -> None:
        def made(seed: int, source: str) -> Fingerprint:
            made = toy_fingerprint(seed=seed)
            described = {**made.generation["source"], "sha256": source}
            return dataclasses.replace(made, generation={**made.generation, "source": described})

        verified(ledger, made(1, "one"))
        found = seen(verified(ledger, made(2, "one")))
        assert (found.verifications, found.examples_seen, found.otherwise) == (1, 0, 1)
        assert seen(verified(ledger, made(2, "two"))).verifications == 0

    def test_only_examples_that_were_asked_count_and_no_probes(self, ledger: Path) -> None:
        fingerprint = toy_fingerprint(n=100)
        some = verified(ledger, fingerprint, options=BUDGET)
        asked = some.examination.transcript.asked(EXAMPLE)
        assert 0 < len(asked) < 100
        assert seen(verified(ledger, fingerprint)).examples_seen == len(asked)

    def test_another_calibration_contract_or_allowance_is_told(self, ledger: Path, fingerprint: Fingerprint) -> None:
        verified(ledger, fingerprint)
        again: dict[str, Any] = {"ledger": ledger, "named": FIRST}
        calibrated = paired(fingerprint, toy_calibration(fingerprint, [1] * 19))
        assert seen(verify_remembered(matching(fingerprint, 20), calibrated, **again)).otherwise == 1
        assert seen(verified(ledger, fingerprint, options=VerificationOptions(allow_extrapolation=True))).otherwise == 2
        model: Any = matching(fingerprint, 20)
        model.contract = Contract(layout="NCHW", range=(0, 1), output="labels")
        assert seen(verified(ledger, fingerprint, model)).otherwise == 3
        assert seen(verified(ledger, fingerprint)).otherwise == 3  # the first one was alike


class TestOneSuspectInAnotherFile:
    CHANGED = Suspect(name="renamed.onnx", sha256="cd")

    def test_it_is_known_by_its_scores(self, ledger: Path, fingerprint: Fingerprint) -> None:
        verified(ledger, fingerprint, Telling(oracle(fingerprint)))
        found = seen(verified(ledger, fingerprint, Telling(oracle(fingerprint), moved=5e-5), named=self.CHANGED))
        assert found == SeenBefore(verifications=1, examples_seen=20, recognised=1)
        # and whatever is known of one file is known of the other from now on
        third = verified(ledger, fingerprint, named=self.CHANGED)
        assert (seen(third).verifications, seen(third).recognised) == (2, 1)

    def test_by_scores_of_an_interrupted_run_too(self, ledger: Path) -> None:
        fingerprint = toy_fingerprint(n=40)
        one_at_a_time = VerificationOptions(sequential=True)
        with pytest.raises(KeyboardInterrupt):
            verified(ledger, fingerprint, Telling(oracle(fingerprint), stops_after=30), options=one_at_a_time)
        found = seen(verified(ledger, fingerprint, Telling(oracle(fingerprint)), named=self.CHANGED))
        assert (found.verifications, found.interrupted, found.recognised) == (1, 1, 1)

    def test_another_models_scores_are_other_ones(self, ledger: Path, fingerprint: Fingerprint) -> None:
        verified(ledger, fingerprint, Telling(oracle(fingerprint)))
        for other in (Telling(oracle(fingerprint), weights=1), Telling(oracle(fingerprint), moved=3e-4)):
            assert seen(verified(ledger, fingerprint, other, named=self.CHANGED)).recognised == 0
            ledger.write_bytes(b"".join(line + b"\n" for line in ledger.read_bytes().splitlines()[:3]))

    def test_labels_which_honest_models_share_tell_nothing(self, ledger: Path, fingerprint: Fingerprint) -> None:
        verified(ledger, fingerprint)
        assert seen(verified(ledger, fingerprint, named=self.CHANGED)).verifications == 0

    def test_models_that_are_certain_of_everything_are_not_one(self, ledger: Path, fingerprint: Fingerprint) -> None:
        class Certain:
            def predict(self, images: Any) -> Predictions:  # noqa: ANN401
                labels = oracle(fingerprint)(images)
                return Predictions(labels, np.eye(10, dtype=np.float32)[labels])

        verified(ledger, fingerprint, Certain())
        assert seen(verified(ledger, fingerprint, Certain(), named=self.CHANGED)).verifications == 0


class TestLinesOfBefore:
    def line(self, fingerprint: Fingerprint, nonce: str, **changes: object) -> bytes:
        told = {"examples": [3, 4], "fingerprint": fingerprint.id, "name": "x", "nonce": nonce, "suspect": "ab"}
        return json.dumps({**told, "verdict": "surrogate", **changes}, sort_keys=True).encode() + b"\n"

    def test_they_are_read_and_each_counts(self, ledger: Path, fingerprint: Fingerprint) -> None:
        ledger.write_bytes(self.line(fingerprint, "aa") + self.line(fingerprint, "aa") + self.line(fingerprint, "bb"))
        assert seen(verified(ledger, fingerprint)) == SeenBefore(verifications=3, examples_seen=2)

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"\xff\xfe garbage",
            b"[1, 2]",
            b"null",
            b"7",
            b'{"fingerprint": "ID", "suspect": "ab"}',
            b'{"fingerprint": "ID", "suspect": "ab", "nonce": "1", "examples": ["x"]}',
            b'{"fingerprint": "ID", "suspect": "ab", "nonce": "1", "examples": 3}',
            b'{"fingerprint": "ID", "suspect": "ab", "nonce": ["1"], "examples": [3]}',
            b'{"ledger": 2, "event": "ended", "id": "zz", "examples": [3]}',
            b'{"ledger": 2, "event": "ended", "id": "1d", "scores": {"a": 1}, "fingerprint": "ID", "suspect": "ab"}',
            b'{"ledger": 2, "event": "begun", "id": "1d", "fingerprint": 3, "suspect": "ab"}',
            b'{"ledger": 2, "event": "begun", "id": "1d", "fingerprint": "ID", "suspect": "ab", "examples": [true]}',
            b'{"ledger": 3, "event": "begun", "id": "1d", "fingerprint": "ID", "suspect": "ab"}',
            b"[" * 100_000,
        ],
    )
    def test_a_line_of_another_kind_is_passed_over(self, ledger: Path, fingerprint: Fingerprint, line: bytes) -> None:
        known = self.line(fingerprint, "aa")
        ledger.write_bytes(known + line.replace(b"ID", fingerprint.id.encode()) + b"\n" + known)
        assert seen(verified(ledger, fingerprint)) == SeenBefore(verifications=2, examples_seen=2)


@pytest.mark.parametrize("cut", range(1, 400, 23))
def test_a_line_that_was_cut_off_costs_no_other_line(ledger: Path, fingerprint: Fingerprint, cut: int) -> None:
    """A process may die while it writes; the next one begins a line of its own."""
    verified(ledger, fingerprint)
    whole = ledger.read_bytes()
    ledger.write_bytes(whole + whole[:cut].replace(b'"id"', b'"ie"'))
    assert seen(verified(ledger, fingerprint)).verifications == 1
    assert seen(verified(ledger, fingerprint)).verifications == 2


def test_after_a_line_without_an_end_the_next_one_begins_a_line(ledger: Path, fingerprint: Fingerprint) -> None:
    first = begun(ledger, fingerprint)
    with ledger.open("ab") as file:
        file.write(b'{"ledger":2,"event":"begun"')
    begun(ledger, fingerprint).stopped(ModelError("gone"))
    assert [(entry.id == first.id, entry.withdrawn) for entry in read_ledger(ledger)] == [(True, False), (False, True)]
    assert [line[:27] for line in ledger.read_bytes().split(b"\n")] == [
        b'{"ledger":2,"event":"begun"',
        b'{"ledger":2,"event":"begun"',
        b'{"ledger":2,"event":"begun"',
        b'{"ledger":2,"event":"withdr',
        b"",
    ]


@pytest.mark.parametrize("length", [1, 5_000, 50_000])
def test_a_first_line_of_any_length_is_one_of_a_ledger(ledger: Path, fingerprint: Fingerprint, length: int) -> None:
    """One of before, which only the whole of it tells."""
    line = {"name": "x" * length, "fingerprint": "f", "suspect": "ab", "nonce": "", "examples": []}
    ledger.write_text(json.dumps(line) + "\n")
    begun(ledger, fingerprint)
    assert len(read_ledger(ledger)) == 2


def test_a_first_line_that_was_cut_off_is_still_one_of_a_ledger(ledger: Path, fingerprint: Fingerprint) -> None:
    ledger.write_bytes(b'{"ledger":2,"event":"beg')
    assert seen(verified(ledger, fingerprint)).verifications == 0
    ledger.write_bytes(b'{"examples":[1,2')
    assert seen(verified(ledger, fingerprint)).verifications == 0


class TestFilesOfAnotherKind:
    @pytest.mark.parametrize(
        "content",
        [b"\x08\x07\x12\x04onnx", b"a line of text\n", b'{"a": 1}\n', b"[[model]]\n", b"\n", b"x" * (2 << 20)],
    )
    def test_nothing_is_added_to_them(self, ledger: Path, fingerprint: Fingerprint, content: bytes) -> None:
        ledger.write_bytes(content)
        asked = matching(fingerprint, 20)
        with pytest.raises(StorageError, match=r"this file is no ledger of `cae`, and nothing was added to it"):
            verified(ledger, fingerprint, asked)
        assert ledger.read_bytes() == content
        assert asked.batches == []

    def test_devices_and_pipes_are_not_opened(self, tmp_path: Path, fingerprint: Fingerprint) -> None:
        os.mkfifo(tmp_path / "pipe")
        for path in (tmp_path / "pipe", Path("/dev/null")):
            before = stat.S_IFMT(path.stat().st_mode)
            with pytest.raises(StorageError, match="a ledger must be an ordinary file, and this is not"):
                verified(path, fingerprint)
            assert stat.S_IFMT(path.stat().st_mode) == before

    def test_a_link_to_one_is_refused_and_a_link_to_a_ledger_is_not(
        self, tmp_path: Path, ledger: Path, fingerprint: Fingerprint
    ) -> None:
        (tmp_path / "model.onnx").write_bytes(b"weights")
        (tmp_path / "link").symlink_to(tmp_path / "model.onnx")
        with pytest.raises(StorageError, match="no ledger"):
            verified(tmp_path / "link", fingerprint)
        verified(ledger, fingerprint)
        (tmp_path / "other link").symlink_to(ledger)
        assert seen(verified(tmp_path / "other link", fingerprint)).verifications == 1

    def test_what_cannot_be_written_is_said_before_anything_is_asked(
        self, tmp_path: Path, fingerprint: Fingerprint
    ) -> None:
        (tmp_path / "file").touch()
        for path in (tmp_path, tmp_path / "none" / "l.jsonl", tmp_path / "file" / "l.jsonl"):
            asked = matching(fingerprint, 20)
            with pytest.raises(StorageError) as refused:
                verified(path, fingerprint, asked)
            assert isinstance(refused.value.__cause__, OSError)
            assert str(refused.value) == (
                f"{path}: the ledger cannot be written ({refused.value.__cause__.strerror}). Name another place with "
                "--ledger, or go without with --no-ledger."
            )
            assert asked.batches == []

    def test_an_index_that_cannot_be_read_is_said_in_the_same_way(
        self, ledger: Path, fingerprint: Fingerprint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(LedgerIndex, "before", refused)
        with pytest.raises(StorageError, match=f"{re.escape(str(ledger))}: the ledger cannot be written"):
            begun(ledger, fingerprint, index=LedgerIndex(ledger))

    def test_they_are_not_read(self, ledger: Path) -> None:
        ledger.write_bytes(b"a line of text\n")
        with pytest.raises(StorageError, match=r"this file is no ledger of `cae`"):
            read_ledger(ledger)


class TestResumed:
    NONCE = bytes(range(16))

    def test_it_goes_on_by_its_nonce_and_in_its_place(
        self, ledger: Path, fingerprint: Fingerprint, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        begun(ledger, fingerprint)
        entry = planned(ledger, fingerprint, self.NONCE)
        begun(ledger, fingerprint)
        resumed, found = resume_entry(ledger, entry.id)
        assert (resumed.id, resumed.drawn) == (entry.id, self.NONCE)
        assert (found.id, found.nonce, found.name) == (entry.id, self.NONCE, "x.onnx")
        synced: list[int] = []
        monkeypatch.setattr(os, "fsync", synced.append)
        verdict = verified(ledger, fingerprint, options=BUDGET, resumed=resumed)
        assert (verdict.nonce, seen(verdict).verifications) == (self.NONCE.hex(), 1)
        assert verdict.examination.options.verifications == 2
        assert [line["event"] for line in lines(ledger)] == ["begun", "begun", "asking", "begun", "ended"]
        assert (lines(ledger)[-1]["id"], lines(ledger)[-1]["nonce"]) == (entry.id, self.NONCE.hex())
        assert len(synced) == 1

    def test_what_the_ledger_told_when_it_went_on_stands_where_it_is_lost(
        self, ledger: Path, fingerprint: Fingerprint
    ) -> None:
        begun(ledger, fingerprint)
        resumed, _ = resume_entry(ledger, planned(ledger, fingerprint, self.NONCE).id)
        verdict = verified(ledger, fingerprint, Losing(matching(fingerprint, 20), ledger.unlink), resumed=resumed)
        assert seen(verdict).verifications == 1

    def test_one_that_is_interrupted_was_asked(self, ledger: Path, fingerprint: Fingerprint) -> None:
        entry = planned(ledger, fingerprint, self.NONCE)
        resume_entry(ledger, entry.id)[0].stopped(KeyboardInterrupt())
        assert [line["event"] for line in lines(ledger)] == ["begun", "asking", "stopped"]

    def test_what_was_not_planned_does_not_go_on(self, ledger: Path, fingerprint: Fingerprint) -> None:
        for identity in ("1d", begun(ledger, fingerprint).id, "\x1b[2J"):
            with pytest.raises(VerdictError) as refused:
                resume_entry(ledger, identity)
            told = identity.replace("\x1b", "\\x1b")
            assert str(refused.value) == (
                f"{ledger}: this ledger knows of no questions with the id {told}. Give the fingerprint, and with "
                "--ledger the ledger, by which they were asked."
            )


def begin_many(path: Path, suspect: str) -> None:
    """Begin 40 verifications of one suspect, and print how many the ledger knew before each."""
    subject = paired(toy_fingerprint(n=3000))
    named = Suspect(name="x" * 5000, sha256=suspect)  # lines longer than what a buffer would cut in two
    for _ in range(40):
        entry = begin_entry(path, subject, None, named=named, options=VerificationOptions(), nonce=None)
        print(entry.counted(BUDGET, subject).verifications)  # noqa: T201 - for the test


def test_several_processes_may_begin_at_once_and_each_knows_of_those_before(ledger: Path) -> None:
    script = f"from pathlib import Path; from {__name__} import begin_many; begin_many(Path({str(ledger)!r}), 'ab')"
    root = Path(__file__).parents[3]
    started = [
        subprocess.Popen([sys.executable, "-c", script], cwd=root, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    counts = [int(count) for process in started for count in process.communicate()[0].split()]
    assert sorted(counts) == list(range(1, 161))
    assert len(read_entries(ledger.read_bytes())) == 160


def test_a_full_disk_is_said(ledger: Path, fingerprint: Fingerprint, monkeypatch: pytest.MonkeyPatch) -> None:
    """The system may write a part and say so."""

    class Full(FileIO):
        def write(self, content: Any, /) -> int:  # noqa: ANN401 - any buffer
            return super().write(bytes(content)[:20])

    def opened(path: Path, mode: str, **options: Any) -> Full:  # noqa: ANN401 - passed on
        return Full(path, mode.replace("b", ""), opener=options["opener"])

    monkeypatch.setattr("builtins.open", opened)
    with pytest.raises(StorageError, match=os.strerror(errno.ENOSPC)):
        verified(ledger, fingerprint)
    monkeypatch.undo()
    assert seen(verified(ledger, fingerprint)).verifications == 0
    assert seen(verified(ledger, fingerprint)).verifications == 1


@pytest.mark.parametrize("indexed", [False, True])
@pytest.mark.parametrize("loss", ["a full disk", "a removed folder", "a removed file"])
def test_what_is_lost_after_the_last_question_costs_no_verdict(
    tmp_path: Path, fingerprint: Fingerprint, monkeypatch: pytest.MonkeyPatch, loss: str, *, indexed: bool
) -> None:
    """The suspect has answered, perhaps for money: the verdict stands, with what the ledger told at the beginning."""
    ledger = tmp_path / "kept" / "ledger.jsonl"
    ledger.parent.mkdir()
    first = verified(ledger, fingerprint, options=BUDGET)
    given: dict[str, Any] = {"nonce": bytes(16), "index": LedgerIndex(ledger) if indexed else None}

    def lose() -> None:
        if loss == "a full disk":
            monkeypatch.setattr("cae_core.verification.ledger._write_line", refused)
            return
        ledger.unlink()
        if loss == "a removed folder":
            ledger.parent.rmdir()

    suspect = Losing(matching(fingerprint, 20), lose)
    if loss == "a removed file":  # which is made again
        found = verified(ledger, fingerprint, suspect, options=BUDGET, **given)
        assert [line["event"] for line in lines(ledger)] == ["ended"]
    else:
        with pytest.raises(UnrecordedVerdict, match=r"the ledger cannot be written .* The verdict stands") as caught:
            verified(ledger, fingerprint, suspect, options=BUDGET, **given)
        found = caught.value.verdict
    assert seen(found).verifications == 1
    assert found.examination.options.verifications == 2
    assert found.decision.verdict == first.decision.verdict
    assert len(found.examination.transcript) == BUDGET.max_queries


def test_what_a_lost_ledger_had_told_is_compared_by_scores_too(ledger: Path, fingerprint: Fingerprint) -> None:
    verified(ledger, fingerprint, Telling(oracle(fingerprint)))
    suspect = Losing(Telling(oracle(fingerprint)), ledger.unlink)
    assert seen(verified(ledger, fingerprint, suspect, named=Suspect(name="y", sha256="cd"))).recognised == 1


def test_why_a_suspect_failed_matters_more_than_that_the_ledger_is_lost(
    tmp_path: Path, fingerprint: Fingerprint
) -> None:
    ledger = tmp_path / "kept" / "ledger.jsonl"
    ledger.parent.mkdir()

    def failing(_images: Any) -> Any:  # noqa: ANN401
        ledger.unlink()
        ledger.parent.rmdir()
        raise ModelError("out of memory")

    with pytest.raises(ModelError, match="out of memory"):
        verified(ledger, fingerprint, Telling(failing))


class Losing:
    """A suspect during whose answers something happens."""

    def __init__(self, model: Model, happens: Callable[[], None]) -> None:
        self._model, self._happens = model, happens

    def predict(self, images: Any) -> Predictions:  # noqa: ANN401 - passed on
        happens, self._happens = self._happens, lambda: None
        happens()
        return self._model.predict(images)


def refused(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
