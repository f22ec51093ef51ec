"""Which suspect has seen which examples, and how often it was verified: a file of JSON lines beside the fingerprint.

Whoever verifies a suspect again in another order until one suits holds an order that nobody drew. So every
verification is written down before its first question, and the next one says so and multiplies p, see
`VerificationOptions.factor`. A suspect is known by its file and by its scores, not by its labels, which honest models
share. It is its owner's memory and no proof to others: a file can be deleted.
"""

import dataclasses
import errno
import os
import secrets
import stat
from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager, suppress
from io import RawIOBase
from pathlib import Path
from typing import Any

from cae_core import clock
from cae_core import version as release
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.contract import Contract
from cae_core.errors import StorageError, VerdictError
from cae_core.files.exclusion import locked
from cae_core.files.records import as_json
from cae_core.fingerprint.kinds import EXAMPLE
from cae_core.foreign_text import visible
from cae_core.verification.known_models import source_sha256
from cae_core.verification.ledger_index import LedgerIndex
from cae_core.verification.ledger_lines import Begun, Entry, is_of_a_ledger, line_of, of_suspect, read_entries
from cae_core.verification.options import VerificationOptions
from cae_core.verification.recorder import Scores
from cae_core.verification.transcript import Transcript
from cae_core.verification.verdict import SeenBefore, Suspect, Verdict
from cae_core.verification.verify import VerificationPlan, order_matters

__all__ = ["LedgerEntry", "begin_entry", "begun_of", "ledger_of", "read_ledger", "resume_entry", "sync_ledger"]

_WEAKENING = ("allow_extrapolation", "claimed_accuracy", "rule")
"""Options that another outcome can be had by, whatever the order."""


def ledger_of(fingerprint: Path) -> Path:
    """Return where the ledger of a fingerprint's file is kept."""
    return fingerprint.with_name(fingerprint.name + ".ledger.jsonl")


class LedgerEntry:
    """A verification under way that a ledger knows of; see `Memory` of `cae_core.verification.verify`.

    Args:
        path: the ledger.
        identity: of the entry.
        begun: what the entry says.
        before: what the ledger told of those before it when it was begun: all, or of this suspect.
        drawn: its nonce, where it goes on; None otherwise.
        index: of the ledger; None: all of it is read.
        deferred: whether whoever has begun it calls `sync_ledger` before anybody is told how it ended.

    Attributes:
        id: id of the entry.
        drawn: see above.
    """

    def __init__(
        self,
        path: Path,
        identity: str,
        begun: Begun,
        before: tuple[Entry, ...],
        *,
        drawn: bytes | None = None,
        index: LedgerIndex | None = None,
        deferred: bool = False,
    ) -> None:
        self.id, self.drawn = identity, drawn
        self._path, self._begun, self._before = path, begun, before
        self._nonce, self._planned = drawn or b"", drawn is not None
        self._index, self._deferred = index, deferred
        self._scores: Scores = {}

    def counted(self, options: VerificationOptions, subject: CalibratedFingerprint) -> VerificationOptions:
        """Return the options with the verifications before this one, where an order could be chosen among theirs."""
        if not order_matters(subject, options):
            return options
        before = len(of_suspect(self._before, self._begun, {}))
        return dataclasses.replace(options, verifications=max(options.verifications, 1 + before))

    def asking(self, nonce: bytes, plan: VerificationPlan) -> None:
        """See `Memory`: on the disk before the first question.

        Raises:
            StorageError: it cannot be written.
        """
        if self._planned:  # it goes on, and that stands there
            return
        self._nonce, self._planned = nonce, True
        examples = sorted({question.index for question in plan.questions if question.kind == EXAMPLE})
        self._append("asking", {"nonce": nonce.hex(), "examples": examples}, synced=True)

    def told(self, scores: Scores) -> None:
        """See `Memory`."""
        self._scores = scores

    def earlier(self, transcript: Transcript) -> SeenBefore:
        """See `Memory`; by what the ledger told at the beginning where it cannot be read any more."""
        found = self._found()
        asked, mine = transcript.asked(EXAMPLE), self._begun
        seen = {index for entry in found if entry.begun.fingerprint == mine.fingerprint for index in entry.examples}
        return SeenBefore(
            verifications=len(found),
            examples_seen=len(asked & seen),
            interrupted=sum(not entry.finished for entry in found),
            recognised=sum(entry.begun.suspect != mine.suspect for entry in found),
            otherwise=sum(_is_otherwise(entry.begun, mine) for entry in found),
        )

    def ended(self, verdict: Verdict, *, recorded: str) -> None:
        """Write down how it ended.

        Args:
            verdict: that was found.
            recorded: SHA-256 of the file of recorded answers; empty where the suspect was asked.

        Raises:
            StorageError: it cannot be written.
        """
        decision = verdict.decision
        told = {
            "date": clock.utc_now(),
            "fingerprint": self._begun.fingerprint,  # from here on as a line of before: an earlier release reads it
            "suspect": self._begun.suspect,
            "name": verdict.suspect.name,
            "nonce": self._nonce.hex(),
            "verdict": decision.verdict,
            "examples": sorted(verdict.examination.transcript.asked(EXAMPLE)),
            "value": decision.value,
            "p_value": decision.p_value,
            "scores": self._scores,
            **({"recorded": recorded} if recorded else {}),
            **({} if verdict.service is None else {"service": as_json(verdict.service)}),
        }
        self._append("ended", told)

    def stopped(self, error: BaseException) -> None:
        """Write down that it was interrupted, as well as that is possible; the ``error`` matters more."""
        event = "stopped" if self._planned else "withdrawn"  # once the order is known it counts
        with suppress(StorageError):
            self._append(event, {"date": clock.utc_now(), "error": type(error).__name__, "scores": self._scores})

    def _found(self) -> tuple[Entry, ...]:
        """Return this suspect's verifications that were begun before this one, with what was told of them since."""
        with suppress(OSError):  # the suspect has answered by now, and its answers must not be lost
            if self._index is not None:
                self._index.update()
                return self._index.before(self.id, self._begun, self._scores)
            entries = read_entries(self._path.read_bytes())
            if (place := _place(entries, self.id)) is not None:
                return of_suspect(entries[:place], self._begun, self._scores)
        return of_suspect(self._before, self._begun, self._scores)

    def _append(self, event: str, values: Mapping[str, object], *, synced: bool = False) -> None:
        line = line_of(event, {"id": self.id, **as_json(values)})
        _with_file(self._path, lambda file: _write_line(file, line), synced=synced or not self._deferred)


def begin_entry(
    path: Path,
    subject: CalibratedFingerprint,
    model: object,
    *,
    named: Suspect,
    options: VerificationOptions,
    nonce: bytes | None,
    case: str = "",
    identity: str = "",
    index: LedgerIndex | None = None,
    deferred: bool = False,
) -> LedgerEntry:
    """Write down that a verification begins, on the disk before this returns; mode 0600; one process at a time.

    One that is ``deferred`` waits for the disk once, before its first question: where its nonce is given, nothing is
    drawn in between that could be drawn again.

    Args:
        path: the ledger.
        subject: by what the suspect is verified.
        model: the suspect; its contract and runtime are taken down where it says them.
        named: who it is.
        options: with which it is asked.
        nonce: where one is given; it is drawn after this otherwise.
        case: its name.
        identity: of the entry, the same where the same verification begins again after an interruption: it is one
            entry then; random where empty.
        index: of the ledger, where many suspects are verified; None: all of it is read.
        deferred: whether the caller calls `sync_ledger` before he tells anybody how it ended; on this machine alone.

    Raises:
        StorageError: the ledger cannot be read, locked or written, or is a file of another kind.
    """
    identity = identity or secrets.token_hex(16)
    begun = begun_of(subject, model, named=named, options=options)
    told = {
        "id": identity,
        "date": clock.utc_now(),
        **vars(begun),
        "name": named.name,
        "case": case,
        "nonce": None if nonce is None else nonce.hex(),
        "nonce_given": nonce is not None,
        "sequential": options.sequential,
        "max_queries": options.max_queries,
        **({"beacon": options.beacon, "beacon_time": options.beacon_time} if options.beacon else {}),
        "calibration": _calibration(subject),
        "runtime": getattr(model, "runtime", None),
        "tool": f"cae-fingerprint {release.__version__}",
    }
    line = line_of("begun", as_json(told))

    def begin(file: RawIOBase) -> tuple[Entry, ...]:
        _write_line(file, line)
        if index is None:
            entries = read_entries(_content(file))
            return entries[: _place(entries, identity)]
        index.update()
        return ()

    before = _with_file(path, begin, synced=not deferred or nonce is None)
    if index is not None:  # not while others wait
        with _usable(path):
            before = index.before(identity, begun, {})
    return LedgerEntry(path, identity, begun, before, index=index, deferred=deferred)


def sync_ledger(path: Path) -> None:
    """Wait until all that was written into a ledger is on the disk, whichever process of this machine wrote it.

    Raises:
        StorageError: that fails.
    """
    with _usable(path), suppress(FileNotFoundError), path.open("rb+") as file:
        os.fsync(file.fileno())


def begun_of(subject: CalibratedFingerprint, model: object, *, named: Suspect, options: VerificationOptions) -> Begun:
    """Return what is fixed before the first question; see `begin_entry`."""
    contract = getattr(model, "contract", None)
    return Begun(
        fingerprint=subject.fingerprint.id,
        source=source_sha256(subject),
        suspect=named.sha256,
        setup={
            "calibration": subject.content_sha256 or None,
            "contract": contract.digest if isinstance(contract, Contract) else None,
            **{name: getattr(options, name) for name in _WEAKENING},
            **({"defence": options.defence} if options.defence else {}),
        },
    )


def read_ledger(path: Path) -> tuple[Entry, ...]:
    """Return the verifications that a ledger tells of; none where there is no such file.

    Raises:
        StorageError: it cannot be read, or is a file of another kind.
    """
    entries: tuple[Entry, ...] = _with_file(path, lambda file: read_entries(_content(file))) if path.exists() else ()
    return entries


def resume_entry(path: Path, identity: str) -> tuple[LedgerEntry, Entry]:
    """Return the entry of a verification that goes on, and what the ledger tells of it.

    Args:
        path: the ledger.
        identity: of the entry.

    Raises:
        StorageError: the ledger cannot be read, or is a file of another kind.
        VerdictError: it knows of none, or of none whose questions are planned.
    """
    entries = read_ledger(path)
    place = _place(entries, identity)
    if place is None or not entries[place].nonce:
        raise VerdictError(
            f"{path}: this ledger knows of no questions with the id {visible(identity)}. Give the fingerprint, and "
            "with --ledger the ledger, by which they were asked."
        )
    found = entries[place]
    return LedgerEntry(path, identity, found.begun, entries[:place], drawn=found.nonce), found


def _place(entries: tuple[Entry, ...], identity: str) -> int | None:
    """Return how many entries were begun before one; None where it is not among them."""
    return next((i for i, entry in enumerate(entries) if entry.id == identity), None)


def _calibration(subject: CalibratedFingerprint) -> Mapping[str, Any] | None:
    """Return the rates and the score that are fixed in the calibration; None where there is none."""
    calibration = subject.calibration
    if calibration is None:
        return None
    fixed = {name: getattr(calibration, name) for name in ("score", "fpr", "fnr", "parametric")}
    return {"sha256": subject.content_sha256, **fixed, "examples_chosen": int(calibration.chosen.sum())}


def _is_otherwise(first: Begun, second: Begun) -> bool:
    """Return whether two verifications differ in more than their order; lines of before do not tell."""
    return first.fingerprint != second.fingerprint or (bool(first.setup) and first.setup != as_json(second.setup))


def _with_file(path: Path, use: Callable[[RawIOBase], Any], *, synced: bool = True) -> Any:  # noqa: ANN401 - what ``use`` returns
    """Open the ledger, for this process alone, make sure that it is one, and return what ``use`` does.

    What it has written is on the disk before this returns, unless not ``synced``, and others may write while that is
    waited for.
    """
    with _usable(path):
        if path.exists() and not path.is_dir() and not stat.S_ISREG(path.stat().st_mode):
            raise StorageError(
                f"{path}: a ledger must be an ordinary file, and this is not. Name another with --ledger."
            )
        with open(path, "ab+", buffering=0, opener=_secretly) as file:
            with locked(file.fileno()):
                if not is_of_a_ledger(_beginning(file)):
                    raise StorageError(
                        f"{path}: this file is no ledger of `cae`, and nothing was added to it. Name another with "
                        "--ledger."
                    )
                size = file.seek(0, os.SEEK_END)
                found = use(file)
                written = file.seek(0, os.SEEK_END) > size
            if written and synced:
                os.fsync(file.fileno())
    return found


def _beginning(file: RawIOBase) -> bytes:
    """Return the first line, at most a megabyte of it, and perhaps some more."""
    file.seek(0)
    head = b""
    while b"\n" not in head and len(head) < 1 << 20 and (block := file.read(1 << 12)):
        head += block
    return head


def _content(file: RawIOBase) -> bytes:
    file.seek(0)
    return file.readall()


@contextmanager
def _usable(path: Path) -> Generator[None]:
    """Say in a sentence why a ledger cannot be used."""
    try:
        yield
    except OSError as error:
        raise StorageError(
            f"{path}: the ledger cannot be written ({error.strerror}). Name another place with --ledger, or go without "
            "with --no-ledger."
        ) from error


def _write_line(file: RawIOBase, line: bytes) -> None:
    if file.seek(0, os.SEEK_END):
        file.seek(-1, os.SEEK_END)
        if file.read(1) != b"\n":  # of a process that died while it wrote: no harm
            line = b"\n" + line
    # one write of one line at the end of the file: what others write without the lock stays whole, too
    if file.write(line) != len(line):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _secretly(name: str, flags: int) -> int:
    return os.open(name, flags, 0o600)
