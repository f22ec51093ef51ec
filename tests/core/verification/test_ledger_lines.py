"""The lines of a ledger as bytes, written out by hand: what each tells of a verification, and which are passed over."""

import json
from typing import Any

import pytest

from cae_core.verification.ledger_lines import (
    Begun,
    Entry,
    entry_with,
    is_of_a_ledger,
    line_of,
    of_suspect,
    read_entries,
    read_line,
)

BEGUN = (
    b'{"ledger":2,"event":"begun","id":"1d","fingerprint":"F","source":"S","suspect":"ab","setup":{"rule":4},'
    b'"name":"x.onnx","case":"17 O 4","nonce":null}\n'
)
ASKING = b'{"ledger":2,"event":"asking","id":"1d","nonce":"0aff","examples":[7,3,9]}\n'
ENDED = (
    b'{"ledger":2,"event":"ended","id":"1d","fingerprint":"F","suspect":"ab","nonce":"0a","examples":[3],'
    b'"scores":{"5":[0.5,1]}}\n'
)
STOPPED = b'{"ledger":2,"event":"stopped","id":"1d"}\n'
WITHDRAWN = b'{"ledger":2,"event":"withdrawn","id":"1d"}\n'
OLD = b'{"examples": [3, 4], "fingerprint": "F", "name": "x", "nonce": "aa", "suspect": "ab", "verdict": "surrogate"}\n'


def only(content: bytes) -> Entry:
    (entry,) = read_entries(content)
    return entry


class TestOneVerification:
    def test_what_its_beginning_tells(self) -> None:
        assert only(BEGUN) == Entry(
            id="1d",
            begun=Begun(fingerprint="F", source="S", suspect="ab", setup={"rule": 4}),
            finished=False,
            withdrawn=False,
            examples=frozenset(),
            nonce=b"",
            name="x.onnx",
            case="17 O 4",
            recorded="",
            scores={},
        )

    def test_what_it_asks(self) -> None:
        entry = only(BEGUN + ASKING)
        assert (entry.nonce, entry.examples) == (b"\x0a\xff", frozenset({3, 7, 9}))
        assert (entry.finished, entry.withdrawn) == (False, False)

    def test_how_it_ended(self) -> None:
        entry = only(BEGUN + ASKING + ENDED)
        assert (entry.finished, entry.withdrawn, entry.nonce) == (
            True,
            False,
            b"\x0a\xff",
        )  # the nonce that was asked by
        assert (entry.examples, dict(entry.scores), entry.recorded) == (frozenset({3}), {5: (0.5, 1.0)}, "")
        assert (entry.begun, entry.name) == (only(BEGUN).begun, "x.onnx")

    def test_by_which_file_of_recorded_answers(self) -> None:
        recorded = line_of("ended", {"id": "1d", "recorded": "77"})
        assert only(BEGUN + recorded).recorded == "77"
        assert only(BEGUN + recorded + STOPPED).recorded == "77"

    def test_one_that_was_finished_stays_so_and_keeps_what_it_told(self) -> None:
        entry = only(BEGUN + ASKING + ENDED + STOPPED)
        assert (entry.finished, entry.examples, dict(entry.scores)) == (True, frozenset({3}), {5: (0.5, 1.0)})
        assert not only(BEGUN + STOPPED).finished

    def test_withdrawn_is_who_was_asked_nothing(self) -> None:
        assert only(BEGUN + WITHDRAWN).withdrawn
        assert only(BEGUN + WITHDRAWN + STOPPED).withdrawn
        assert not only(BEGUN + ASKING + WITHDRAWN).withdrawn  # who knew the order has seen it
        assert not only(BEGUN + STOPPED).withdrawn

    def test_a_line_of_an_earlier_release_is_a_verification_that_was_finished(self) -> None:
        assert (
            read_entries(OLD + OLD)
            == (Entry(begun=Begun(fingerprint="F", suspect="ab"), finished=True, examples=frozenset({3, 4}), name="x"),)
            * 2
        )

    def test_the_least_that_a_line_tells(self) -> None:
        least = b'{"examples":[],"fingerprint":"F","suspect":"ab","nonce":""}'
        assert only(least) == Entry(begun=Begun(fingerprint="F", suspect="ab"), finished=True, name="", case="")

    def test_of_several_in_their_order(self) -> None:
        other = BEGUN.replace(b'"1d"', b'"2e"').replace(b'"ab"', b'"cd"')
        first, between, last = read_entries(BEGUN + OLD + other + ASKING)
        assert (first.id, between.id, last.id) == ("1d", "", "2e")
        assert (first.examples, last.examples) == (frozenset({3, 7, 9}), frozenset[int]())

    @pytest.mark.parametrize(
        ("told", "nonce"),
        [({"nonce": "0f"}, b"\x0f"), ({}, b""), ({"nonce": None}, b""), ({"nonce": 3}, b""), ({"nonce": "xy"}, b"")],
    )
    def test_a_nonce_that_cannot_be_read_hides_no_question(self, told: dict[str, Any], nonce: bytes) -> None:
        entry = only(BEGUN + line_of("asking", {"id": "1d", "examples": [1], **told}))
        assert (entry.nonce, entry.examples) == (nonce, frozenset({1}))


class TestWhatIsPassedOver:
    def test_a_verification_of_which_no_beginning_is_known(self) -> None:
        assert read_entries(ASKING) == ()
        assert entry_with(None, {}) is None

    def test_a_line_that_tells_nothing(self) -> None:
        begun = only(BEGUN)
        assert entry_with(begun, {}) is begun

    @pytest.mark.parametrize(
        "told",
        [
            {"examples": [True]},
            {"examples": [1.0]},
            {"examples": ["1"]},
            {"examples": 3},
            {"scores": {"a": [1, 2]}},
            {"scores": {"1": [1, 2, 3]}},
            {"scores": {"1": ["x", 2]}},
            {"recorded": 5},
        ],
    )
    def test_a_line_with_a_field_of_another_kind_changes_nothing(self, told: dict[str, Any]) -> None:
        before = only(BEGUN + ASKING)
        assert entry_with(before, {"ledger": 2, "event": "ended", "id": "1d", **told}) is before
        assert only(BEGUN + ASKING + line_of("ended", {"id": "1d", **told})) == before

    @pytest.mark.parametrize("name", ["fingerprint", "source", "suspect", "name", "case"])
    def test_a_beginning_with_a_field_of_another_kind_is_none(self, name: str) -> None:
        told = {**json.loads(BEGUN), name: 3}
        assert entry_with(None, told) is None

    def test_a_setup_of_another_kind_is_empty(self) -> None:
        entry = entry_with(None, {**json.loads(BEGUN), "setup": [1]})
        assert entry is not None
        assert entry.begun.setup == {}


class TestLine:
    def test_it_is_ascii_without_spaces_and_ends(self) -> None:
        line = line_of("begun", {"id": "1d", "name": "ä\u2028" + chr(0xDCFF)})
        assert line == b'{"ledger":2,"event":"begun","id":"1d","name":"\\u00e4\\u2028\\udcff"}\n'

    def test_it_is_known_by_its_id_or_its_number(self) -> None:
        assert read_line(ASKING, 7) == ("1d", json.loads(ASKING))
        assert read_line(OLD, 7) == ("7", json.loads(OLD))
        without = b'{"ledger":2,"event":"begun","id":""}'
        assert read_line(without, 8) == ("8", json.loads(without))

    @pytest.mark.parametrize(
        "line",
        [
            b"",
            b"null",
            b"[1]",
            b"\xff",
            b"[" * 100_000,
            b'{"ledger":3,"event":"begun","id":"1d"}',
            b'{"ledger":2,"event":"begun","id":1}',
            b'{"ledger":2,"id":"1d"}',
            b'{"examples":[3],"fingerprint":"F","nonce":"aa"}',
            b'{"examples":[3],"fingerprint":"F","suspect":"ab"}',
            b'{"examples":[3],"suspect":"ab","nonce":"aa"}',
            b'{"examples":3,"fingerprint":"F","suspect":"ab","nonce":"aa"}',
            b'{"fingerprint":"F","suspect":"ab","nonce":"aa"}',
        ],
    )
    def test_others_are_none(self, line: bytes) -> None:
        assert read_line(line, 7) == ("", {})
        assert not is_of_a_ledger(line + b"\n")

    @pytest.mark.parametrize(
        "content",
        [
            b"",
            BEGUN,
            OLD,
            BEGUN + b"anything",
            b'{"examples":[1,2',
            b'{"ledger":2,"ev',
            STOPPED,
        ],
    )
    def test_a_ledger_is_known_by_its_first_line(self, content: bytes) -> None:
        assert is_of_a_ledger(content)

    @pytest.mark.parametrize("content", [b"\n" + BEGUN, b'{"examples":[1]}\n' + BEGUN, b'{"ledger":3,', b"x" + BEGUN])
    def test_and_by_no_other(self, content: bytes) -> None:
        assert not is_of_a_ledger(content)


def entry(suspect: str, fingerprint: str = "F", source: str = "", **changes: Any) -> Entry:  # noqa: ANN401 - of several types
    return Entry(begun=Begun(fingerprint=fingerprint, source=source, suspect=suspect), **changes)


SURE = {row: (0.9 - row / 100, 0.4 + row / 50) for row in range(20)}
OTHER = {row: (0.8 - row / 90, 0.7 - row / 60) for row in range(20)}


class TestOfOneSuspect:
    ME = Begun(fingerprint="F", source="S", suspect="me")

    def test_its_file_by_fingerprints_of_one_source(self) -> None:
        mine, of_the_source = entry("me"), entry("me", "G", "S")
        others = entry("you"), entry("me", "G"), entry("me", "G", "T"), entry("me", withdrawn=True)
        assert of_suspect([mine, *others, of_the_source], self.ME, {}) == (mine, of_the_source)
        nameless = Begun(fingerprint="F", suspect="me")
        assert of_suspect([entry("me", "G"), mine], nameless, {}) == (mine,)  # two that name no source have not one

    def test_another_file_with_its_scores_by_the_same_fingerprint(self) -> None:
        renamed = entry("renamed", scores=SURE)
        others = entry("you", scores=OTHER), entry("you", "G", "S", scores=SURE)
        assert of_suspect([*others, renamed], self.ME, SURE) == (renamed,)
        assert of_suspect([renamed], self.ME, {}) == ()

    def test_whatever_is_known_of_one_file_is_known_of_the_next(self) -> None:
        """Its own file told scores; another file told the same and others by G; a third is known by those of G."""
        first = entry("me", scores=SURE)
        second = entry("second", scores=SURE), entry("second", "G", "S", scores=OTHER)
        third = entry("third", "G", "S", scores=OTHER)
        stranger = entry("stranger", scores=OTHER)
        entries = [third, stranger, *second, first]
        assert of_suspect(entries, self.ME, {}) == (third, *second, first)
