"""Which suspect has seen which examples: a file of JSON lines beside the fingerprint.

An example that a suspect has been asked may be remembered by it, and whoever verifies again with another nonce until it
suits holds an order that nobody drew. So every finished verification is written down, and the next one in another order
says so. It is its owner's memory and no proof: an interrupted run leaves nothing, the same nonce counts once whatever
its budget, and another byte in the suspect's file makes it another suspect.
"""

import errno
import json
import os
from dataclasses import dataclass
from io import RawIOBase
from pathlib import Path
from typing import Any, cast

from cae_core.errors import StorageError
from cae_core.fingerprint.kinds import EXAMPLE
from cae_core.verification.verdict import Verdict

__all__ = ["Earlier", "ledger_of", "open_ledger", "read_earlier", "record_verdict"]


@dataclass(frozen=True)
class Earlier:
    """What the ledger knows of a suspect.

    Attributes:
        verifications: with this fingerprint, in another order than the present one.
        examples: indices of the examples that it was asked in them.
    """

    verifications: int
    examples: frozenset[int]


def ledger_of(fingerprint: Path) -> Path:
    """Return where the ledger of a fingerprint's file is kept."""
    return fingerprint.with_name(fingerprint.name + ".ledger.jsonl")


def read_earlier(path: Path, *, fingerprint_id: str, suspect_sha256: str, nonce: str) -> Earlier:
    """Return what ``path`` says of earlier verifications; a line that a crash cut short is passed over.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        lines = path.read_bytes().split(b"\n") if path.exists() else []
    except OSError as error:
        raise StorageError(
            f"{path}: the ledger cannot be read ({error.strerror}). Name another with --ledger, or go without with "
            "--no-ledger."
        ) from error
    orders: set[str] = set()
    examples: set[int] = set()
    for line in lines:
        entry = _parsed(line)
        if (entry.get("fingerprint"), entry.get("suspect")) != (fingerprint_id, suspect_sha256):
            continue
        if entry["nonce"] != nonce:
            orders.add(entry["nonce"])
            examples.update(entry["examples"])
    return Earlier(len(orders), frozenset(examples))


def _parsed(line: bytes) -> dict[str, Any]:
    try:
        entry = json.loads(line)
        whole = isinstance(entry["nonce"], str) and all(isinstance(index, int) for index in entry["examples"])
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return cast("dict[str, Any]", entry) if whole else {}


def open_ledger(path: Path) -> None:
    """Make sure that ``path`` can be read and written, before anything is asked that would have to stand in it.

    Raises:
        StorageError: it cannot be written.
    """
    _append(path, b"")


def record_verdict(path: Path, verdict: Verdict) -> None:
    """Append one line, mode 0600; several processes may do so at once.

    Raises:
        StorageError: it cannot be written.
    """
    entry = {
        "fingerprint": verdict.examination.subject.fingerprint.id,
        "suspect": verdict.suspect.sha256,
        "name": verdict.suspect.name,
        "nonce": verdict.nonce,
        "verdict": verdict.decision.verdict,
        "examples": sorted(verdict.examination.transcript.asked(EXAMPLE)),
    }
    # ASCII: a name may hold what UTF-8 does not, or what ends a line elsewhere
    _append(path, json.dumps(entry, sort_keys=True, separators=(",", ":")).encode() + b"\n")


def _append(path: Path, line: bytes) -> None:
    try:
        with open(path, "ab+", buffering=0, opener=_secretly) as file:
            _write_line(file, line)
    except OSError as error:
        raise StorageError(
            f"{path}: the ledger cannot be written ({error.strerror}). Name another place with --ledger, or go without "
            "with --no-ledger."
        ) from error


def _write_line(file: RawIOBase, line: bytes) -> None:
    if line and file.tell():
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":  # of a process that died while it wrote, or that is still writing: no harm
            line = b"\n" + line
    # one write of one line at the end of the file: lines of other processes stay whole
    if file.write(line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _secretly(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
