"""No console's encoding, and no closed stream, loses what a command found."""

import codecs
import errno
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest

from cae_cli.rescue import print_or_keep
from cae_core.errors import StorageError
from cae_core.files import storage
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


def kept(folder: Path) -> list[Path]:
    return sorted(folder.glob("verdict-*.json"))


@pytest.mark.parametrize("target", [">/dev/full", "1>&-", "| true"])
@pytest.mark.parametrize("asked_for", [("copy", ""), ("other", "--json")])
def test_a_verdict_that_cannot_be_printed_is_kept(
    pool: Pool, fingerprint: Path, tmp_path: Path, target: str, asked_for: tuple[str, str]
) -> None:
    suspect, form = asked_for
    shutil.copy(fingerprint, tmp_path / "f.safetensors")
    asked = f"verify -s '{pool.folder / suspect}.onnx' -f f.safetensors --no-ledger --exit-code {form}"
    command = f"set -o pipefail; '{sys.executable}' -m cae_cli {asked} {target}"
    done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == (3 if suspect == "copy" else 1)
    (path,) = kept(tmp_path)
    assert done.stderr.startswith("cae: the verdict cannot be printed (")
    assert done.stderr.endswith(f"It is kept in {path}.\n")
    assert len(done.stderr.splitlines()) == 1
    assert path.stat().st_mode & 0o777 == 0o600
    assert json.loads(path.read_text())["verdict"] == ("surrogate" if suspect == "copy" else "independent")


def test_a_verdict_is_kept_where_a_folder_can_be_written(
    pool: Pool, fingerprint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside the fingerprint, else here, else among the temporary files, else on stderr."""
    here, elsewhere = tmp_path / "here", tmp_path / "elsewhere"
    here.mkdir()
    elsewhere.mkdir()
    (tmp_path / "file").touch()
    monkeypatch.chdir(here)
    monkeypatch.setattr(tempfile, "tempdir", str(elsewhere))

    def fail() -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    beside = tmp_path / "file" / "f.safetensors"  # no folder
    record = {"verdict": "surrogate"}
    assert not print_or_keep(fail, record, what="verdict", beside=beside)
    assert json.loads(kept(here)[0].read_text()) == record
    refused = {tmp_path / "file", here}

    def write(path: Path, content: bytes, *, mode: int) -> None:
        if path.parent in refused:
            raise StorageError("refused")
        path.write_bytes(content)
        path.chmod(mode)

    monkeypatch.setattr(storage, "write_atomically", write)
    assert not print_or_keep(fail, record, what="verdict", beside=beside)
    assert json.loads(kept(elsewhere)[0].read_text()) == record
    refused.add(elsewhere)
    capsys.readouterr()
    assert not print_or_keep(fail, record, what="verdict", beside=beside)
    first, _, rest = capsys.readouterr().err.partition("\n")
    assert first.endswith("No folder can be written either; here it is:")
    assert json.loads(rest) == record


@pytest.mark.parametrize("arguments", ["--help", "--version", "inspect '{f}'", "inspect '{f}' --json", "doctor --help"])
@pytest.mark.parametrize("target", [">/dev/full", "1>&-"])
def test_what_was_not_printed_is_not_taken_for_done(fingerprint: Path, arguments: str, target: str) -> None:
    command = f"'{sys.executable}' -m cae_cli {arguments.format(f=fingerprint)} {target}"
    done = subprocess.run(["sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("cae: what should be printed could not be written (")
    assert len(done.stderr.splitlines()) == 1


def test_no_file_gets_the_number_of_a_closed_stream() -> None:
    probe = (
        "from cae_cli.streams import escape_what_cannot_be_written as f; f(); import os; "
        "raise SystemExit(os.open(os.devnull, os.O_RDONLY))"
    )
    for closed in ("0<&-", "1>&-", "2>&-", "0<&- 1>&- 2>&-"):
        done = subprocess.run(
            ["sh", "-c", f"'{sys.executable}' -c '{probe}' {closed}"], capture_output=True, check=False
        )
        assert done.returncode > 2


def test_the_encodings_of_these_consoles_are_strict_ones() -> None:
    for console in CONSOLES.values():
        name = console.get("PYTHONIOENCODING", "ascii").partition(":")[0]
        with pytest.raises(UnicodeEncodeError):
            codecs.encode("模型é€", name)
