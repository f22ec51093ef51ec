"""No console's encoding, and no closed stream, loses what a command found."""

import codecs
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Pool

NAMES = ("модель.onnx", "é…→模型.onnx")
CONSOLES: dict[str, dict[str, str]] = {
    "cp1252": {"PYTHONIOENCODING": "cp1252"},
    "cp932": {"PYTHONIOENCODING": "cp932:strict"},
    "latin-1": {"PYTHONIOENCODING": "latin-1"},
    "ascii": {"PYTHONIOENCODING": "ascii:strict"},
    "C locale": {"LC_ALL": "C", "PYTHONUTF8": "0"},
}


def run(*arguments: str | Path, console: dict[str, str], folder: Path) -> tuple[int, str, str]:
    """Run the command line in a process of its own; what it writes must be in the console's encoding."""
    done = subprocess.run(
        [sys.executable, "-m", "cae_cli", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        check=False,
        env={**os.environ, **console},
    )
    encoding = console.get("PYTHONIOENCODING", "ascii").partition(":")[0]
    assert b"Traceback" not in done.stderr, done.stderr
    return done.returncode, done.stdout.decode(encoding), done.stderr.decode(encoding)


@pytest.mark.parametrize("console", CONSOLES)
@pytest.mark.parametrize("name", NAMES)
def test_a_verdict_is_printed_whatever_the_console(
    pool: Pool, fingerprint: Path, tmp_path: Path, name: str, console: str
) -> None:
    shutil.copy(pool.copy, tmp_path / name)
    asked = ("verify", "-s", name, "-f", fingerprint, "--no-ledger", "--nonce", "00" * 16, "--exit-code")
    code, table, _ = run(*asked, console=CONSOLES[console], folder=tmp_path)
    assert code == 3
    assert table.startswith("SURROGATE")
    code, answer, _ = run(*asked, "--json", console=CONSOLES[console], folder=tmp_path)
    assert code == 3
    verdict: dict[str, Any] = json.loads(answer)
    assert os.fsencode(verdict["suspect"]["name"].encode("utf-8", "surrogateescape")).decode() == name
    encoding = CONSOLES[console].get("PYTHONIOENCODING", "").partition(":")[0]
    if encoding:  # in the C locale the name's bytes are no letters
        assert name.encode(encoding, "backslashreplace").decode(encoding) in table


@pytest.mark.parametrize("console", CONSOLES)
@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("--help",), 0),
        (("verify", "--help"), 0),
        (("verify", "--größe", "1"), 2),
        (("verify", "--eps", "ü"), 2),
        (("inspect", "модель"), 1),
        (("pool", "list", "模型"), 2),
    ],
)
def test_help_and_errors_are_printed_whatever_the_console(
    tmp_path: Path, arguments: tuple[str, ...], code: int, console: str
) -> None:
    found, out, err = run(*arguments, console=CONSOLES[console], folder=tmp_path)
    assert found == code
    assert (out if code == 0 else err).strip()


@pytest.mark.parametrize("closed", ["1>&-", "2>&-", "1>&- 2>&-", "0<&- 1>&- 2>&-"])
@pytest.mark.parametrize("json_too", ["", "--json"])
def test_a_closed_stream_does_not_change_the_exit_code(
    pool: Pool, fingerprint: Path, tmp_path: Path, closed: str, json_too: str
) -> None:
    ledger = tmp_path / "ledger"
    command = (
        f"'{sys.executable}' -m cae_cli verify -s '{pool.copy}' -f '{fingerprint}' --ledger '{ledger}' --exit-code"
    )
    done = subprocess.run(["sh", "-c", f"{command} {json_too} {closed}"], capture_output=True, text=True, check=False)
    assert done.returncode == 3
    assert "Traceback" not in done.stderr
    assert [json.loads(line) for line in ledger.read_text().splitlines()]  # nothing else was written to its number


def test_the_encodings_of_these_consoles_are_strict_ones() -> None:
    for console in CONSOLES.values():
        name = console.get("PYTHONIOENCODING", "ascii").partition(":")[0]
        with pytest.raises(UnicodeEncodeError):
            codecs.encode("模型é€", name)
