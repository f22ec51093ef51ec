"""What a stranger has named does nothing on the screen of whoever reads a verdict, a table or an error."""

import io
import json
import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from rich.cells import cell_len
from rich.text import Text

from cae_cli.render import print_facts, print_rows
from cae_cli.streams import complain
from tests.cli.conftest import CalibrationPool, Pool, Run

EVIL = "x\x1b[20A\x1b[J\x1b[1;31mUPHELD\x1b[0m\r\nreason  none\u202e\x9b2J[red]y[/red][link=http://a]z[/link]"
DIGEST = "0123456789abcdef" * 4


@pytest.fixture
def on_terminal(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Print something on a terminal of some width, and return what it was sent."""

    def printed(show: Callable[[], None], *, width: int = 80) -> str:
        stream = io.StringIO()
        monkeypatch.setattr(sys, "stdout", stream)
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", str(width))
        monkeypatch.setenv("TERM", "xterm")
        show()
        return stream.getvalue()

    return printed


def sequences(text: str) -> set[str]:
    return set(re.findall(r"\x1b\[[0-9;?]*[A-Za-z]|\x1b[^\[]|[\x00-\x09\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202e]", text))


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_facts_hold_no_sequence_of_a_name(on_terminal: Callable[..., str], width: int) -> None:
    facts = {"claim": EVIL, "digest": DIGEST, "doubt": Text(f"ours\n{EVIL}", "yellow")}
    sent = on_terminal(lambda: print_facts(facts, title=EVIL), width=width)
    plain = on_terminal(lambda: print_facts({"claim": "a", "digest": "b", "doubt": Text("c", "yellow")}, title="t"))
    assert sequences(sent) <= sequences(plain)
    for line in sent.splitlines():  # nothing of a name stands where a fact's own name stands
        assert not line.startswith(("UPHELD", "reason"))
    assert DIGEST in sent
    assert "[red]" in sent.replace("\n", "") or width == 20


def test_a_long_name_in_a_title_begins_no_line_with_another_outcome(on_terminal: Callable[..., str]) -> None:
    name = "theirs" + " " * 60 + "UPHELD  other.onnx"
    title = Text.assemble(("REJECTED", "bold green"), f"  {name}", "\nour second line")
    sent = on_terminal(lambda: print_facts({"reason": "none"}, title=title), width=60)
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in sent.splitlines()]
    assert [line.split()[0] for line in lines if not line.startswith(" ")] == ["REJECTED", "our", "reason"]
    assert max(map(len, lines)) <= 60


def test_a_long_name_in_a_message_begins_no_line(
    on_terminal: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    path = "/a/path/that/is/longer/than/the/terminal/is/wide.onnx"
    on_terminal(lambda: complain(f"cae: theirs{' ' * 60}UPHELD  other.onnx: no such file.\n{path}"), width=40)
    assert stream.getvalue().count("\n") == 2  # no terminal: as it is
    monkeypatch.setattr(stream, "isatty", lambda: True)
    on_terminal(lambda: complain(f"cae: theirs{' ' * 60}UPHELD  other.onnx: no such file.\n{path}"), width=40)
    lines = stream.getvalue().splitlines()[2:]
    assert [line for line in lines if not line.startswith("  ")] == ["cae: theirs"]
    assert any(path in line for line in lines)


def test_tables_hold_no_sequence_of_a_name(on_terminal: Callable[..., str]) -> None:
    sent = on_terminal(lambda: print_rows(["model", "kind"], [[EVIL, Text(EVIL, "red")]], title="[bold]t"), width=300)
    plain = on_terminal(lambda: print_rows(["model", "kind"], [["a", Text("b", "red")]], title="t"), width=300)
    assert sequences(sent) <= sequences(plain)
    assert "[red]y[/red][link=http://a]z[/link]" in sent
    assert "[bold]t" in sent


def test_what_is_piped_is_neither_folded_nor_padded(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [["m" * 300, DIGEST, "", "1"], ["short", DIGEST, "", "2"]]
    print_rows(["model", "SHA-256", "never", "n#"], rows)
    print_facts({"sentence": "word " * 200, "digest": DIGEST}, title="title")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4 + 3
    assert all(line == line.rstrip() for line in lines)
    assert sum(DIGEST in line for line in lines) == 3
    assert "never" not in lines[0]


def test_a_terminal_wraps_between_words_under_the_value(on_terminal: Callable[..., str]) -> None:
    sent = on_terminal(
        lambda: print_facts({"name": "a sentence of several words " * 5, "d": DIGEST}, title="t"), width=40
    )
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in sent.splitlines()]
    assert lines[1].startswith("name  a sentence")
    assert all(len(line) <= 40 for line in lines if DIGEST not in line)
    assert all(line.startswith("      ") for line in lines[2:-1])
    assert " ".join(" ".join(lines[1:-1]).split()) == "name " + " ".join(["a sentence of several words"] * 5)


def test_wide_characters_count_twice(on_terminal: Callable[..., str]) -> None:
    lines = on_terminal(lambda: print_facts({"n": "模" * 100 + " " + "z" * 100}, title="t"), width=50).splitlines()
    assert all(cell_len(re.sub(r"\x1b\[[0-9;]*m", "", line)) <= 50 for line in lines)
    assert "".join(re.findall("[模z]", "".join(lines))) == "模" * 100 + "z" * 100


def on_a_pty(arguments: Iterable[str | Path]) -> str:
    """Return everything that a command sends to its terminal."""
    leading, following = pty.openpty()
    command = [sys.executable, "-m", "cae_cli", *map(str, arguments)]
    environment = {**os.environ, "TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, stdout=following, stderr=following, stdin=following, env=environment)
    os.close(following)
    sent = b""
    try:
        while block := os.read(leading, 65536):
            sent += block
    except OSError:  # the other end is closed
        pass
    os.close(leading)
    process.wait(timeout=60)
    return sent.decode("utf-8", "replace")


def test_a_claimant_does_not_write_on_the_judges_screen(
    pool: Pool, calibrated: Path, calibration_pool: CalibrationPool, tmp_path: Path, run_cae: Run
) -> None:
    seal = tmp_path / "seal.json"
    assert run_cae("seal", calibrated, "-o", seal, "--claimant", EVIL).code == 0
    judge: list[str | Path] = [
        *("judge", "--claim", calibrated, "--seal", seal, "--source", pool.source, "--data", "digits"),
        *("--pool", calibration_pool.copied(tmp_path, without=["screen"]), "--seals", "1", "--suspect", pool.other),
        *("--fpr", "0.2", "--iterations", "20", "--count", "10", "--workdir", tmp_path / "case"),
    ]
    sent = on_a_pty(judge)
    assert "REJECTED" in sent or "CANNOT JUDGE" in sent
    assert "\x1b[20A" not in sent
    assert "\x1b[J" not in sent
    assert "\x9b" not in sent
    assert "\u202e" not in sent
    assert "\\x1b[20A" in re.sub(r"\s+", "", sent)


def test_errors_and_json_hold_no_sequence_of_a_name(fingerprint: Path, tmp_path: Path, run_cae: Run) -> None:
    name = EVIL.replace("/", "|")[:80]
    failed = run_cae("verify", "-s", tmp_path / name, "-f", fingerprint)
    assert failed.code == 1
    first, *more = failed.err.splitlines()
    assert first.startswith("cae: ")
    assert all(line.startswith("  ") for line in more)
    assert not sequences(failed.err)
    (tmp_path / name).write_bytes(fingerprint.read_bytes())
    shown = run_cae("inspect", tmp_path / name)
    assert shown.code == 0
    assert not sequences(shown.out)
    printed = run_cae("inspect", tmp_path / name, "--json").out
    assert printed.isascii()
    assert not sequences(printed)
    sealed = run_cae("seal", fingerprint, "-o", tmp_path / "s.json", "--claimant", EVIL + "\ud800\x7f")
    assert sealed.code == 0, sealed.err
    opening = (tmp_path / "s.opening.json").read_text("ascii")
    assert not sequences(opening)
    assert json.loads(opening)["claimant"] == EVIL + "\ud800\x7f"
