"""Which suspect has seen which examples: a file of JSON lines beside the fingerprint.

An example that a suspect has been asked may be remembered by it, and whoever verifies again with another nonce until it
suits holds an order that nobody drew. So every verification is written down, and the next one says so.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from cae_core.canonical import canonical_json
from cae_core.errors import StorageError
from cae_core.verdict import Verdict

__all__ = ["Earlier", "ledger_of", "read_earlier", "record_verdict"]


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
    """Return what ``path`` says of earlier verifications; a line that was cut short by a crash is passed over.

    Raises:
        StorageError: it cannot be read.
    """
    try:
        lines = path.read_text("utf-8").splitlines() if path.exists() else []
    except (OSError, UnicodeDecodeError) as error:
        raise StorageError(f"{path}: the ledger cannot be read ({error}). Name another, or go without.") from error
    orders: set[str] = set()
    examples: set[int] = set()
    for line in lines:
        entry = _parsed(line)
        if (entry.get("fingerprint"), entry.get("suspect")) != (fingerprint_id, suspect_sha256):
            continue
        if entry.get("nonce") != nonce:
            orders.add(str(entry.get("nonce")))
            examples.update(int(index) for index in entry.get("examples", []))
    return Earlier(len(orders), frozenset(examples))


def _parsed(line: str) -> dict[str, Any]:
    try:
        entry = json.loads(line)
    except ValueError:
        return {}
    return cast("dict[str, Any]", entry) if isinstance(entry, dict) else {}


def record_verdict(path: Path, verdict: Verdict) -> None:
    """Append one line, mode 0600; several processes may do so at once.

    Raises:
        StorageError: it cannot be written.
    """
    examples = {answer.question.index for answer in verdict.answers if answer.question.kind == "fingerprint"}
    entry = {
        "fingerprint": verdict.fingerprint["id"],
        "suspect": verdict.suspect["sha256"],
        "name": verdict.suspect["name"],
        "nonce": verdict.nonce,
        "verdict": verdict.decision.verdict,
        "examples": sorted(examples),
    }
    try:
        # one write of one line at the end of the file: lines of other processes stay whole
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            os.write(descriptor, (canonical_json(entry) + "\n").encode())
        finally:
            os.close(descriptor)
    except OSError as error:
        raise StorageError(
            f"{path}: the ledger cannot be written ({error.strerror}). Name another place with --ledger, or go without "
            "with --no-ledger."
        ) from error
