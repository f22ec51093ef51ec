"""What no command foresees ends in a sentence and an exit code, too."""

import sys

import pytest

from cae_cli import main


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (MemoryError(), "cae: this takes more memory than there is."),
        (RecursionError("maximum recursion depth exceeded"), "cae: a file is nested more deeply"),
        (FileNotFoundError(2, "No such file or directory", "pool.toml"), "cae: pool.toml: No such file or directory."),
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
    assert capsys.readouterr().err.startswith(words)
