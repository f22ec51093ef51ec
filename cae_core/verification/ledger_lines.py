"""The lines of a ledger, and the verifications that they tell of.

Each line is a JSON object. A verification writes three: ``begun`` before anything is asked, ``asking`` with the nonce
and the examples, and ``ended`` with the answers' scores; or ``stopped`` where something interrupted it, or
``withdrawn`` where nothing had been asked yet. An earlier release wrote one, without an event, once it was finished.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

from cae_core.verification.recorder import Scores, alike

__all__ = [
    "Begun",
    "Entry",
    "entry_with",
    "is_of_a_ledger",
    "line_of",
    "of_suspect",
    "read_entries",
    "read_line",
]

_LEDGER = 2
"""The form of the lines; in the first form they say none."""

_BEGINNINGS = (b'{"examples":[', f'{{"ledger":{_LEDGER},'.encode())
"""Of a first line, also of one that a crash has cut short."""


@dataclass(frozen=True, kw_only=True)
class Begun:
    """What is fixed before the first question of a verification.

    Attributes:
        fingerprint: id of the fingerprint.
        source: SHA-256 of the fingerprint's source; empty where it says none.
        suspect: SHA-256 of the suspect's file.
        setup: what else an outcome depends on, and could be changed until one suits: the calibration's digest, the
            contract's, and the options that weaken.
    """

    fingerprint: str
    source: str = ""
    suspect: str
    setup: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One verification that a ledger tells of.

    Attributes:
        id: random; empty in lines of before.
        begun: see `Begun`.
        finished: whether it was.
        withdrawn: whether nothing was asked.
        examples: indices of those asked; where it was not finished, of all that it would have asked.
        nonce: by which they are asked; empty before it is drawn, and where a line of before told it otherwise.
        name: of the suspect, as the ledger was told; empty in lines of before.
        case: name of the case; empty in lines of earlier releases.
        recorded: SHA-256 of the file of recorded answers by which it was finished; empty otherwise.
        scores: see `scores_told`; empty where none were told.
    """

    id: str = ""
    begun: Begun
    finished: bool = False
    withdrawn: bool = False
    examples: frozenset[int] = frozenset()
    nonce: bytes = b""
    name: str = ""
    case: str = ""
    recorded: str = ""
    scores: Scores = field(default_factory=dict[int, tuple[float, float]])


def line_of(event: str, values: Mapping[str, object]) -> bytes:
    """Return a line of a ledger, its end included.

    It is ASCII: a name may hold what UTF-8 does not, or what ends a line elsewhere.
    """
    told = {"ledger": _LEDGER, "event": event, **values}
    return json.dumps(told, separators=(",", ":")).encode() + b"\n"


def is_of_a_ledger(content: bytes) -> bool:
    """Return whether a file that begins so is a ledger: it is empty, or its first line is one of ours."""
    first = content.partition(b"\n")[0]
    return not content or _is_line(_parsed(first)) or (not _is_json(first) and first.startswith(_BEGINNINGS))


def read_entries(content: bytes) -> tuple[Entry, ...]:
    """Return the verifications in their order; a line that is cut short or of another kind is passed over."""
    entries: dict[str, Entry] = {}
    for number, line in enumerate(content.split(b"\n")):
        identity, told = read_line(line, number)
        entry = entry_with(entries.get(identity), told)
        if entry is not None:
            entries[identity] = entry
    return tuple(entries.values())


def read_line(line: bytes, number: int) -> tuple[str, Mapping[str, Any]]:
    """Return the id of the entry that a line is of, and what it tells; nothing where it is no line of a ledger.

    Args:
        line: without its end.
        number: of the line, from 0, by which an entry is known that has no id.
    """
    told = _parsed(line)
    return (str(told.get("id") or number), told) if _is_line(told) else ("", {})


def entry_with(entry: Entry | None, told: Mapping[str, Any]) -> Entry | None:
    """Return the entry once a line of it is read; the same one where the line tells nothing of it."""
    try:
        return (_with_line(entry, told) or entry) if told else entry
    except (KeyError, TypeError, ValueError):
        return entry


def of_suspect(entries: Iterable[Entry], begun: Begun, scores: Scores) -> tuple[Entry, ...]:
    """Return the verifications of this suspect by fingerprints of this source.

    The suspect is known by its file's digest and, where scores were told, by its scores of the same fingerprint's
    images, now or in an earlier verification of the file.

    Args:
        entries: of the ledger.
        begun: the present verification.
        scores: that it has told so far.
    """
    ours = [entry for entry in entries if not entry.withdrawn and _of_one_source(entry.begun, begun)]
    files, known = {begun.suspect}, [(begun.fingerprint, scores)] if scores else []
    found: set[int] = set()
    while more := [i for i, entry in enumerate(ours) if i not in found and _is_known(entry, files, known)]:
        found.update(more)
        files |= {ours[i].begun.suspect for i in more}
        known += [(ours[i].begun.fingerprint, ours[i].scores) for i in more if ours[i].scores]
    return tuple(ours[i] for i in sorted(found))


def _is_known(entry: Entry, files: set[str], known: Sequence[tuple[str, Scores]]) -> bool:
    if entry.begun.suspect in files:
        return True
    return any(entry.begun.fingerprint == of and alike(entry.scores, scores) for of, scores in known)


def _of_one_source(first: Begun, second: Begun) -> bool:
    return first.fingerprint == second.fingerprint or bool(first.source and first.source == second.source)


def _with_line(entry: Entry | None, told: Mapping[str, Any]) -> Entry | None:
    """Return the entry once this line is read; None where the line tells of a verification that nothing is known of."""
    if entry is None:
        if "fingerprint" not in told:
            return None
        setup = told.get("setup", {})
        entry = Entry(
            id=str(told.get("id", "")),
            begun=Begun(
                fingerprint=_text(told["fingerprint"]),
                source=_text(told.get("source", "")),
                suspect=_text(told["suspect"]),
                setup=cast("Mapping[str, Any]", setup) if isinstance(setup, dict) else {},
            ),
            name=_text(told.get("name", "")),
            case=_text(told.get("case", "")),
        )
    examples = frozenset(_whole(index) for index in told["examples"]) if "examples" in told else entry.examples
    scores = {int(row): _pair(pair) for row, pair in told.get("scores", {}).items()} or entry.scores
    event = told.get("event", "ended")
    return replace(
        entry,
        examples=examples,
        scores=scores,
        nonce=_nonce(told) if event == "asking" else entry.nonce,
        recorded=_text(told.get("recorded", entry.recorded)),
        finished=entry.finished or event == "ended",
        withdrawn=(entry.withdrawn or event == "withdrawn") and not examples,  # whoever knew the order has seen it
    )


def _is_json(line: bytes) -> bool:
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def _parsed(line: bytes) -> Mapping[str, Any]:
    try:
        value: object = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return cast("dict[str, Any]", value) if isinstance(value, dict) else {}


def _is_line(told: Mapping[str, Any]) -> bool:
    if "ledger" in told:
        return told["ledger"] == _LEDGER and isinstance(told.get("id"), str) and isinstance(told.get("event"), str)
    texts = all(isinstance(told.get(name), str) for name in ("fingerprint", "suspect", "nonce"))
    return texts and isinstance(told.get("examples"), list)


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise TypeError(f"text {value!r}")
    return value


def _nonce(told: Mapping[str, Any]) -> bytes:
    """Return the nonce of a line; none where it tells none: what was seen counts all the same."""
    try:
        return bytes.fromhex(_text(told.get("nonce")))
    except (TypeError, ValueError):
        return b""


def _pair(value: Sequence[float]) -> tuple[float, float]:
    first, second = value
    return float(first), float(second)


def _whole(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise TypeError(f"index {value!r}")
    return value
