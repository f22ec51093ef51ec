"""How somebody else repeats a verdict: commands, in which only harmless names of files stand."""

import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from cae_report.dossier import Dossier

__all__ = ["Step", "argument", "page_step", "steps_of"]

_HARMLESS = re.compile(r"[A-Za-z0-9_./][A-Za-z0-9_./+-]{0,119}")


@dataclass(frozen=True, kw_only=True)
class Step:
    """One thing to do.

    Attributes:
        text: what it shows, in sentences.
        command: command for a shell.
    """

    text: str
    command: str


def argument(name: str, stand_in: str) -> str:
    """Return a file's name where it may be pasted into a shell, else the stand-in: names are the other party's.

    Example:
        >>> argument("models/theirs.onnx", "SUSPECT"), argument("$(reboot).onnx", "SUSPECT"), argument("-rf", "SUSPECT")
        ('models/theirs.onnx', 'SUSPECT', 'SUSPECT')
    """
    return name if _HARMLESS.fullmatch(name) else stand_in


def steps_of(dossier: Dossier, *, examples: int) -> tuple[Step, ...]:
    """Return how the verdict is checked and repeated, what takes least first; ``examples``: that its page shows."""
    return tuple(_steps(dossier, examples))


def page_step(record: str, fingerprint: str, *, examples: int | None = None) -> Step:
    """Return how this page is written once more, with as many examples: a page without any is made for others' eyes."""
    shown = "" if examples is None else f" --examples {examples}"
    return Step(
        text="Write this page again. The same files and the same release give the same page.",
        command=f"cae report {record} --fingerprint {fingerprint}{shown} --output report.html",
    )


def _steps(dossier: Dossier, examples: int) -> Iterator[Step]:
    record, fingerprint = argument(dossier.record[0], "VERDICT"), argument(dossier.file[0], "FINGERPRINT")
    yield Step(
        text="Compare the digests of the files with those under Custody.", command=f"sha256sum {record} {fingerprint}"
    )
    yield Step(
        text="Derive the verdict again from the recorded answers. The suspect is not needed.",
        command=f"cae verify --replay {record} --fingerprint {fingerprint}",
    )
    yield _asked_again(dossier, fingerprint)
    yield page_step(record, fingerprint, examples=examples)


def _asked_again(dossier: Dossier, fingerprint: str) -> Step:
    options = dossier.examination.options
    suspect = argument(dossier.verdict.suspect.name, "SUSPECT")
    if options.recorded:
        text = "Judge the recorded answers again, from the file in which they were handed over."
    else:
        text = "Ask the suspect again, the same questions in the same order."
    command = f"cae verify --suspect {suspect} --fingerprint {fingerprint} --no-ledger"
    if options.verifications + options.recognised > 1:
        text += " Earlier verifications are not counted then, so that p is smaller."
    return Step(text=text, command=" ".join([command, *_flags(dossier)]))


def _flags(dossier: Dossier) -> Iterator[str]:
    options = dossier.examination.options
    if options.beacon:
        yield f"--beacon {options.beacon} --beacon-time {shlex.quote(options.beacon_time)}"
    elif not options.recorded:
        yield f"--nonce {dossier.verdict.nonce}"
    if options.sequential:
        yield "--sequential"
    if options.max_queries is not None:
        yield f"--max-queries {options.max_queries}"
    if options.allow_extrapolation:
        yield "--allow-extrapolation"
    if options.claimed_accuracy is not None:
        yield f"--claimed-accuracy {options.claimed_accuracy}"
    if options.defence:
        yield f"--defence {shlex.quote(options.defence)}"
