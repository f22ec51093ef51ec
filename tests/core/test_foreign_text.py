"""What a stranger has named does nothing to a screen, stands in one line, and is short enough to be read."""

import random
import sys
import unicodedata

import pytest

from cae_core.errors import first_line, quoted
from cae_core.foreign_text import LONGEST, LONGEST_LINE, clipped, harmless, visible

UNSEEN = {
    "escape": "a\x1b[2J\x1b[1;31mUPHELD",
    "carriage return": "REJECTED\rUPHELD  ",
    "line end": "name\nreason  none",
    "other line ends": "a\x0b\x0c\x1c\x85\u2028\u2029b",
    "C1": "a\x9b2Jb",
    "delete": "a\x7f\x08b",
    "direction": "\u202egpj.exe\u2066\u2069\u200f\u200e\u061c",
    "zero width": "a\u200b\u200c\u200d\u2060\ufeffb",
    "spaces": "a\u00a0\u3000\u2003b",
    "surrogate": "bad\udcff.onnx\ud800",
    "private": "\ue000\U000f0000",
    "unassigned": "\u0378\U0003ffff",
    "fillers": "\u3164\u115f\uffa0\u2800\u034f",
    "variants": "a\ufe0f\U000e0100",
    "tags": "\U000e0041",
}


@pytest.mark.parametrize("text", UNSEEN.values(), ids=UNSEEN)
def test_what_cannot_be_seen_is_written_out(text: str) -> None:
    shown = visible(text)
    assert shown.isprintable()
    shown.encode()
    assert "\\" in shown
    for character in text:
        if not character.isprintable():
            assert character not in shown


def test_every_character_is_seen_or_written_out() -> None:
    every = [chr(code) for code in range(sys.maxunicode + 1)]
    random.Random(3).shuffle(every)  # noqa: S311 - neighbours only
    for start in range(0, len(every), 4096):
        shown = visible("".join(every[start : start + 4096]), longest=None)
        assert shown.isprintable()
        categories = set(map(unicodedata.category, shown))
        assert not categories & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def test_letters_of_any_script_stay() -> None:
    for name in ("модель.onnx", "模型", "שלום", "é e\u0301", "نموذج", "🙂", "C:\\models\\a.onnx", ""):
        assert visible(name) == name


def test_piled_up_marks_do_not_reach_the_lines_above() -> None:
    shown = visible("a" + "\u0300" * 50 + "b")
    assert sum(map(unicodedata.combining, shown)) <= 3 * 230
    assert visible("\u0300a").startswith("\\u0300")


def test_a_long_text_keeps_both_ends() -> None:
    shown = visible("head" + "x" * 1_000_000 + "tail.onnx")
    assert len(shown) == LONGEST
    assert shown.startswith("head")
    assert shown.endswith("tail.onnx")
    assert len(visible("\x1b" * 1_000_000)) == LONGEST
    assert clipped("x" * LONGEST, LONGEST) == "x" * LONGEST


def test_lines_of_ours_stay_and_names_in_them_do_nothing() -> None:
    shown = harmless("pool.toml: two problems\n  a\x1b[Ab\r\n  \u202ec\n")
    assert shown == "pool.toml: two problems\n  a\\x1b[Ab\\r\n  \\u202ec\n"
    assert max(map(len, harmless("x" * 10**6).split("\n"))) == LONGEST_LINE


def test_pieces_of_sentences_are_visible() -> None:
    assert "\x1b" not in first_line(ValueError("node 'a\x1b[2J' is unknown\nmore"))
    assert quoted("a\u3164") == "'a\\u3164'"

    class MuteError(Exception):
        def __str__(self) -> str:
            raise RuntimeError

    assert first_line(MuteError()) == "MuteError"
