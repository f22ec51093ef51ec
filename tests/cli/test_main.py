"""What no command foresees ends in a sentence and an exit code, too."""

import sys
from collections.abc import Callable

import pytest
import typer

from cae_cli import main
from cae_cli.progress import interruptible, progress_bar
from cae_core.errors import PoolError


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "cae: this takes more memory than there is."),
        (RecursionError("maximum recursion depth exceeded"), "cae: a file is nested more deeply"),
        (FileNotFoundError(2, "No such file or directory", "pool.toml"), "cae: pool.toml: No such file or directory."),
        (
            FileNotFoundError(2, "No such file or directory", b"a\x1b\xff"),
            "cae: a\\x1b\\udcff: No such file or directory.",
        ),
        (OSError(28, "No space left on device"), "cae: what should be printed could not be written (No space left"),
        (
            ZeroDivisionError("division\nby \x1b zero"),
            "cae: this is a fault of cae itself (ZeroDivisionError: division)",
        ),
        (UnicodeEncodeError("ascii", "\udcff", 0, 1, "no"), "cae: this is a fault of cae itself (UnicodeEncodeError: "),
    ],
)
def test_an_unforeseen_error_is_a_sentence(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], error: Exception, words: str
) -> None:
    def fail() -> None:
        raise error

    monkeypatch.setattr(sys, "argv", ["cae"])
    monkeypatch.setattr(main, "application", lambda: fail)
    monkeypatch.delenv("CAE_DEBUG", raising=False)
    with pytest.raises(SystemExit) as exit_:
        main.main()
    assert exit_.value.code == 1
    complaint = capsys.readouterr().err
    assert complaint.startswith(words)
    assert len(complaint.splitlines()) == 1


def outcome_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], run: Callable[[], None]
) -> tuple[object, str]:
    monkeypatch.setattr(sys, "argv", ["cae"])
    monkeypatch.setattr(main, "application", lambda: run)
    monkeypatch.delenv("CAE_DEBUG", raising=False)
    with pytest.raises(SystemExit) as exit_:
        main.main()
    return exit_.value.code, capsys.readouterr().err


def test_no_line_of_a_name_passes_for_a_message(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail() -> None:
        raise PoolError("pool.toml: 2 problems.\n  a.onnx: one\nUPHELD: b\x1b[2J.onnx\r\n\n[model]\n  range = [0, 1]")

    code, complaint = outcome_of(monkeypatch, capsys, fail)
    assert code == 1
    assert complaint == (
        "cae: pool.toml: 2 problems.\n  a.onnx: one\n  UPHELD: b\\x1b[2J.onnx\\r\n\n  [model]\n  range = [0, 1]\n"
    )


def test_ctrl_c_is_told_once(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    application = typer.Typer()

    def pressed() -> None:
        raise KeyboardInterrupt

    def pressed_where_something_was_kept() -> None:
        with interruptible(), progress_bar():
            raise KeyboardInterrupt

    assert outcome_of(monkeypatch, capsys, pressed) == (130, "cae: interrupted.\n")
    application.command()(pressed)
    assert outcome_of(monkeypatch, capsys, application) == (130, "cae: interrupted.\n")
    kept = typer.Typer()
    kept.command()(pressed_where_something_was_kept)
    assert outcome_of(monkeypatch, capsys, kept) == (130, "cae: interrupted; nothing was changed.\n")
