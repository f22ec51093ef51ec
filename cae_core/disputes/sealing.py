"""Sealing a claim, from file to files: what `cae seal` does, and a script may do as well."""

from dataclasses import dataclass
from pathlib import Path

from cae_core.calibration.calibrated import load_calibrated
from cae_core.disputes.seal import Opening, Seal, make_opening
from cae_core.errors import VerdictError
from cae_core.files.outputs import RECORD, check_output
from cae_core.files.records import readable_json
from cae_core.files.storage import write_atomically

__all__ = ["Sealed", "opening_of", "seal_file", "signature_of"]


@dataclass(frozen=True)
class Sealed:
    """A seal and where it was written.

    Attributes:
        seal: what is published.
        opening: what is kept secret until there is a dispute.
        path: of the seal; its very bytes are what is to be dated.
        opening_path: of the opening.
        unopened: the suffix of the source's file where it is a form that a judge will not open, because opening it runs
            code; else empty.
    """

    seal: Seal
    opening: Opening
    path: Path
    opening_path: Path
    unopened: str = ""


def opening_of(seal: Path) -> Path:
    """Return where the opening of a seal is kept: ``seal.opening.json`` beside ``seal.json``."""
    return seal.with_suffix(".opening.json")


def signature_of(seal: Path) -> Path:
    """Return where the signature of a seal is kept: ``seal.sig.json`` beside ``seal.json``."""
    return seal.with_suffix(".sig.json")


def seal_file(
    fingerprint: Path, output: Path, *, fpr: float | None = None, max_queries: int | None = None, claimant: str = ""
) -> Sealed:
    """Seal a claim with the fingerprint in a file.

    Deciding score and rate are those of its calibration, where it has one.

    Args:
        fingerprint: the file.
        output: of the seal; the opening is written beside it, mode 0600.
        fpr: the rate of false accusations; None: the calibration's, else 0.05.
        max_queries: the most that a suspect may be asked.
        claimant: who claims.

    Raises:
        OptionError: the seal would take the place of something else; see `check_output`.
        VerdictError: a seal or an opening is there already: without its opening a seal is worth nothing.
        CaeError: see `load_calibrated` and `make_opening`.
    """
    opening_path = opening_of(output)
    for path in (output, opening_path):
        check_output(path, RECORD, inputs=[fingerprint])
    for path in (output, opening_path):
        if path.exists():
            raise VerdictError(
                f"{path}: there is a seal already, and a seal without its own opening proves nothing. "
                "Name another --output."
            )
    subject = load_calibrated(fingerprint)
    loaded, calibration = subject.fingerprint, subject.calibration
    opening = make_opening(
        loaded,
        score="caeacc" if calibration is None else calibration.score,
        fpr=fpr if fpr is not None else 0.05 if calibration is None else calibration.fpr,
        max_queries=max_queries,
        claimant=claimant,
    )
    seal = opening.seal()
    write_atomically(opening_path, readable_json(opening), mode=0o600)  # first: a seal is nothing without it
    write_atomically(output, readable_json(seal))
    return Sealed(seal, opening, output, opening_path, unopened=str(loaded.generation["source"].get("form", "")))
