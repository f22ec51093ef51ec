"""Running commands in this process, and writing down all that they print and write."""

import hashlib
import io
import json
import os
import shlex
import sys
from collections.abc import Mapping
from contextlib import chdir, redirect_stderr, redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import pytest

from cae_cli import main as cae
from tests.golden.normalising import steady
from tests.golden.texts import file_text, has_logarithms, stream_text
from tests.output_schema import check_output

__all__ = ["Printed", "Transcript", "play", "run"]

Mark: TypeAlias = tuple[int, int, int]

_VERDICT = "verdict.json"
"""The file that a case records a verdict in."""

_NOTHING: Mark = (0, 0, 0)

_LONG = 15
"""Lines from which a part is not repeated."""

_DIGESTS: dict[Mark, str] = {}
_VARYING: dict[Mark, str | None] = {}
# SHA-256 of fingerprints' files, and of their calibrations where these hold logarithms. Cases share files by links, so
# each is looked into once.


@dataclass(frozen=True)
class Printed:
    """What a command did."""

    code: int
    out: str
    err: str


def play(folder: Path, commands: str) -> str:
    """Run ``commands``, one a line, in ``folder``, and return what each printed, and the files that each wrote.

    A line may end in ``> FILE``, which takes what is printed on stdout; it is written down all the same.
    """
    transcript = Transcript()
    with steady(), chdir(folder):
        for line in filter(None, map(str.strip, commands.splitlines())):
            _play_one(line, transcript)
    return transcript.text


def _play_one(line: str, transcript: "Transcript") -> None:
    before = _files()
    words, _, target = line.partition(" > ")
    printed = run(*shlex.split(words)[1:])
    if target:
        Path(target).write_text(printed.out, encoding="utf-8")
    after = _files()
    varying = _varying(after)
    transcript.add(f"$ {line}", f"exit code {printed.code}\n")
    transcript.add("--- stdout", stream_text(printed.out, varying))
    transcript.add("--- stderr", stream_text(printed.err, varying))
    for name, mark in after.items():
        if before.get(name) != mark and name != target:
            path = Path(name)
            same = mark in _DIGESTS and _DIGESTS[mark] == _DIGESTS.get(before.get(name, _NOTHING))
            found = "the same bytes again\n" if same else file_text(path, path.read_bytes(), varying)
            transcript.add(f"--- {name}, mode {path.stat().st_mode & 0o777:o}", found)
    for name in sorted(before.keys() - after.keys()):
        transcript.add(f"--- {name}", "removed\n")


@dataclass
class Transcript:
    """What was printed and written, one part after the other; a long one that was there before is named only."""

    text: str = ""
    known: dict[str, str] = field(default_factory=dict)

    def add(self, title: str, content: str) -> None:
        """Add a part, unless it is empty; in JSON the first line says how it is written, and the next ones what."""
        first, _, rest = content.partition("\n")
        if rest in self.known:
            content = f"{first}\n(the same as in: {self.known[rest]})\n"
        elif rest.count("\n") > _LONG:
            self.known[rest] = title.removeprefix("--- ")
        if content:
            self.text += f"{title}\n{content}"


def run(*arguments: str) -> Printed:
    """Run `cae` with these arguments."""
    written = io.BytesIO(), io.BytesIO()
    out, err = (io.TextIOWrapper(stream, encoding="utf-8", newline="", write_through=True) for stream in written)
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr(sys, "argv", ["cae", *arguments])
        try:
            cae.main()
            code = None
        except SystemExit as exit_:
            code = exit_.code
    printed = Printed(code if isinstance(code, int) else 0, *(stream.getvalue().decode() for stream in written))
    check_output(arguments, printed.out)
    return printed


def _files() -> dict[str, Mark]:
    """Return the files below the working folder, and what changes when one is written."""
    found = sorted(f"{folder}/{name}"[2:] for folder, _, names in os.walk(".") for name in names)
    marks = {name: os.stat(name) for name in found}  # noqa: PTH116 - there are many
    return {name: (mark.st_ino, mark.st_mtime_ns, mark.st_size) for name, mark in marks.items()}


def _varying(files: Mapping[str, Mark]) -> dict[str, str]:
    """Return what depends on the place, or on the last place of a logarithm, and the names that stand for it.

    The latter are the digests of a recorded verdict, of files with the weights of a likelihood ratio, and of their
    calibrations.
    """
    found = {str(Path.cwd()): "<folder>"}
    if _VERDICT in files:  # intervals stand in it
        found[hashlib.sha256(Path(_VERDICT).read_bytes()).hexdigest()] = f"<SHA-256 of {_VERDICT}>"
    for name, mark in files.items():
        if not name.endswith(".safetensors"):
            continue
        if mark not in _DIGESTS:
            path = Path(name)
            _DIGESTS[mark] = hashlib.sha256(path.read_bytes()).hexdigest()
            _VARYING[mark] = _calibration_digest(name) if has_logarithms(path.read_bytes()) else None
        calibration = _VARYING[mark]
        if calibration is not None:
            found[_DIGESTS[mark]] = f"<SHA-256 of {name}>"
            found[calibration] = f"<SHA-256 of the calibration in {name}>"
    return found


def _calibration_digest(fingerprint: str) -> str:
    return str(json.loads(run("inspect", fingerprint, "--json").out)["calibration"]["sha256"])
