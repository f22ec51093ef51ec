"""What a long command says: bars on a terminal, a line now and then elsewhere, and at Ctrl-C what was kept."""

import io
import re
import time
from pathlib import Path

import pytest
import typer
from rich.console import Console

from cae_cli import bars, progress
from cae_cli.bars import open_bars
from cae_cli.progress import interruptible, progress_bar
from cae_core.progress import Reporter


def test_a_quick_command_says_nothing_in_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    with progress_bar() as told:
        for done in range(1000):
            told("asking", done + 1, 1000)
            told.detail("asking", f"image {done}")
    assert capsys.readouterr().err == ""


def test_a_slow_command_says_now_and_then_where_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "_EVERY_S", 0.1)
    start = time.monotonic()
    with progress_bar() as told:
        told("opening models", 1, 3)
        told.detail("opening models", "b\x1b[2J.onnx")
        told.say("an interrupted run goes on")
        while time.monotonic() < start + 1:  # a stage may be silent for long, or tell very often
            told("searching", 7, 10)
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "cae: an interrupted run goes on"
    assert 2 <= len(lines) <= 12
    assert re.fullmatch(r"cae: 0:00:0\d searching 7/10", lines[-1])


def test_a_line_tells_the_last_of_a_stage(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(progress, "_EVERY_S", 0.05)
    with progress_bar() as told:
        told("opening models", 1, 3)
        told.detail("opening models", "b\x1b[2J.onnx")
        time.sleep(0.5)
    assert "opening models 1/3 (b\\x1b[2J.onnx)\n" in capsys.readouterr().err


@pytest.fixture
def screen(monkeypatch: pytest.MonkeyPatch) -> io.StringIO:
    stream = io.StringIO()
    monkeypatch.setattr(bars, "Console", lambda **_: Console(file=stream, force_terminal=True, width=100))
    return stream


def plain(stream: io.StringIO) -> str:
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", stream.getvalue())


def test_bars_say_what_a_stage_is_at(screen: io.StringIO) -> None:
    with open_bars() as told:
        told.detail("reading images", "digits[red]\x1b[2J")
        time.sleep(0.2)
        told("searching", 3, 80)
        told.detail("searching", "120 of 562 seeds tried")
        told.say("it goes on")
        time.sleep(0.2)
        told("searching", 80, 80)
    shown = plain(screen)
    assert "digits[red]\\x1b[2J" in shown
    assert "it goes on" in shown
    assert "3/80" in shown
    assert "  120 of 562 seeds tried" in shown
    last = shown.rsplit("\r", 1)[-1].splitlines()
    assert not [line for line in last if "reading images" in line], "it never came to its first unit"
    assert "80/80" in last[0]


def test_time_left_is_told_once_it_is_known(screen: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1000.0]
    monkeypatch.setattr("rich.progress.Progress.get_time", lambda _self: now[0], raising=False)

    def left(stage: str, done: int, total: int, seconds: float) -> str:
        table = bars._Table(bars._Left(), console=Console(file=screen, force_terminal=True), get_time=lambda: now[0])
        told: Reporter = bars._Bars(table)
        told(stage, 0, total)
        now[0] += seconds
        told(stage, done, total)
        return bars._Left().render(table.tasks[0]).plain

    assert left("asking models", 25, 100, 60.0) == "about 0:03:00 left"
    assert left("asking models", 5, 100, 60.0) == ""  # too little is behind
    assert left("asking models", 50, 100, 1.0) == ""
    assert left("asking models", 100, 100, 60.0) == ""
    assert left("searching", 50, 100, 60.0) == ""  # examples come when they come
    assert left("training", 50, 100, 60.0) == ""


@pytest.mark.parametrize(
    ("kept", "words"),
    [
        (None, "nothing was changed."),
        ("missing", "nothing had been kept yet, so that the same command begins anew."),
        ("empty", "nothing had been kept yet, so that the same command begins anew."),
        ("folder", "the same command goes on where it was."),
        ("file", "the same command goes on where it was."),
    ],
)
def test_ctrl_c_promises_what_was_kept(
    kept: str | None, words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "a.json").touch()
    (tmp_path / "file").touch()
    with pytest.raises(typer.Exit) as left, interruptible(kept=None if kept is None else tmp_path / kept):
        raise KeyboardInterrupt
    assert left.value.exit_code == 130
    assert capsys.readouterr().err == f"cae: interrupted; {words}\n"
