"""Questions that somebody else puts: a folder of images for a technician, and the answers that come back.

To export them is to ask the first question: the ledger is told before a file is written. The files have random names,
stand in the order of these, are of one length each and hold every image once, so that nothing but the pixels tells an
example from a benign image. The names follow from the entry's nonce, which nobody else knows.
"""

import csv
import hashlib
import hmac
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cae_core.arrays import Labels
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.errors import OptionError, VerdictError
from cae_core.files.digests import sha256_of_text
from cae_core.files.outputs import check_folder
from cae_core.files.png import png_of
from cae_core.files.storage import write_new
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.questions import Question, question_images
from cae_core.foreign_text import visible
from cae_core.opening.answer_table import COLUMNS
from cae_core.opening.recorded_answers import AnswerFile, is_export_id
from cae_core.verification.ledger import LedgerEntry, begin_entry, resume_entry
from cae_core.verification.ledger_lines import Entry
from cae_core.verification.options import VerificationOptions
from cae_core.verification.recorder import rows_of
from cae_core.verification.verdict import Suspect
from cae_core.verification.verify import draw_nonce, plan_verification

__all__ = [
    "CLASSES",
    "IMAGES",
    "INDEX",
    "README",
    "Answered",
    "Export",
    "export_queries",
    "file_names",
    "read_answered",
]

INDEX, CLASSES, README, IMAGES = "index.csv", "classes.csv", "README.txt", "images"
"""What an export holds; the last is the folder of the images."""

_TOLD = """What this is
------------
{count} images, and a list of them that asks which class your model gives to each.

What to do
----------
1. Put each image of the folder {images} into the model, the very way in which a customer's image goes: the same
   preparation, the same version, one image after the other. They are PNG files of {height} x {width} pixels,
   {channels}. Do not change, resize or leave out any; they may look odd.
2. Write the class into the column "label" of {index}: its number, or its name, as {classes} lists them.
   Leave it empty where the model gives none. Do not change the other columns. Columns of your own, and rows in
   another order, do no harm.
3. Send the list back. It may also be JSON Lines, one line an image:
   {{"export": "{export}", "file": "...", "label": ...}}

Nothing of ours has to be installed.
"""


@dataclass(frozen=True, kw_only=True)
class Export:
    """What was written.

    Attributes:
        id: id of the export, which the answers have to name; it is the ledger's entry.
        folder: folder that was written.
        suspect: who is to answer.
        files: names of the images in their order.
    """

    id: str
    folder: Path
    suspect: str
    files: tuple[str, ...]

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: the files are in the folder's list."""
        return {"export": self.id, "folder": self.folder, "suspect": self.suspect, "images": len(self.files)}


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What came back.

    Attributes:
        entry: entry of the ledger, which goes on.
        begun: what the ledger tells of it.
        labels: int64 (n,), in the order of the plan.
    """

    entry: LedgerEntry
    begun: Entry
    labels: Labels


def export_queries(
    subject: CalibratedFingerprint, folder: Path, *, suspect: str, ledger: Path, case: str = ""
) -> Export:
    """Write every image that a suspect is asked into a folder, once, and into the ledger that it is asked.

    Args:
        subject: the fingerprint, and its calibration where it has one.
        folder: which is made; an empty one may be there.
        suspect: who is to answer, as the ledger and the verdict call him.
        ledger: the file.
        case: a name for the case.

    Raises:
        OptionError: the folder holds something, or the suspect has no name.
        StorageError: the ledger or a file cannot be written.
    """
    if not suspect.strip():
        raise OptionError("The suspect needs a name for ledger and verdict. Give --suspect.")
    check_folder(folder)
    if folder.is_dir() and any(folder.iterdir()):
        raise OptionError(f"{visible(str(folder))}: the folder is not empty. Name a new one.")
    options, named = VerificationOptions(recorded=True), _named(suspect)
    entry = begin_entry(ledger, subject, None, named=named, options=options, nonce=None, case=case)
    try:
        nonce = draw_nonce()
        plan = plan_verification(subject, suspect_sha256=named.sha256, options=options, nonce=nonce)
        entry.asking(nonce, plan)
        files = _written(subject.fingerprint, plan.questions, folder, export=entry.id, nonce=nonce)
    except BaseException as error:  # an image may have left the house
        entry.stopped(error)
        raise
    return Export(id=entry.id, folder=folder, suspect=suspect, files=files)


def read_answered(file: AnswerFile, subject: CalibratedFingerprint, *, ledger: Path, sha256: str) -> Answered:
    """Read recorded answers to an export of this fingerprint.

    Args:
        file: in the process that reads it.
        subject: the fingerprint, with the calibration that it had then.
        ledger: that knows of the export.
        sha256: of the file.

    Raises:
        VerdictError: the ledger knows of no such export, or it was of another fingerprint or calibration, or was
            answered by another file before.
        CaeError: see `AnswerFile`.
    """
    export = file.export()
    if not is_export_id(export):
        raise VerdictError(
            f"The rows name the export {visible(export)!r}, and the id of an export has 32 hexadecimal digits. Leave "
            "the column as it was exported."
        )
    entry, found = resume_entry(ledger, export)
    if found.begun.fingerprint != subject.fingerprint.id:
        raise VerdictError("These answers are to another fingerprint's images. Give the one that was exported.")
    if found.begun.setup.get("calibration") != (subject.content_sha256 or None):
        raise VerdictError(
            "The images were exported before the fingerprint was calibrated as it is now, and what decides is fixed "
            "beforehand. Give the file as it was then, or export again."
        )
    if found.finished and found.recorded != sha256:
        raise VerdictError(
            "This export was judged by other answers before. Export again (`cae queries export`) to ask again; a "
            "verdict's own file is derived again with --replay."
        )
    options, fingerprint = VerificationOptions(recorded=True), subject.fingerprint
    plan = plan_verification(subject, suspect_sha256=found.begun.suspect, options=options, nonce=found.nonce)
    names = file_names(fingerprint, plan.questions, found.nonce)
    return Answered(entry=entry, begun=found, labels=file.labels(names, fingerprint.class_names))


def file_names(fingerprint: Fingerprint, questions: Sequence[Question], nonce: bytes) -> list[str]:
    """Return the file's name of each question's image: random to whoever does not know the nonce.

    HMAC-SHA256 by the nonce of the image's row among all images of the fingerprint, 24 hexadecimal digits.
    """
    return [
        hmac.digest(nonce, f"cae queries: image|{row}".encode(), hashlib.sha256).hex()[:24] + ".png"
        for row in rows_of(fingerprint, questions)
    ]


def _named(suspect: str) -> Suspect:
    return Suspect(name=suspect, sha256=sha256_of_text(f"recorded answers|{suspect}"))


def _written(
    fingerprint: Fingerprint, questions: Sequence[Question], folder: Path, *, export: str, nonce: bytes
) -> tuple[str, ...]:
    named = sorted(zip(file_names(fingerprint, questions, nonce), questions, strict=True), key=lambda pair: pair[0])
    for name, question in named:
        write_new(folder / IMAGES / name, png_of(question_images(fingerprint, [question])[0]))
    files = tuple(name for name, _ in named)
    height, width, channels = fingerprint.images.shape[1:]
    told = _TOLD.format(
        count=len(files),
        images=IMAGES,
        height=height,
        width=width,
        channels="grey" if channels < 3 else "in colour (RGB)",
        index=INDEX,
        classes=CLASSES,
        export=export,
    )
    write_new(folder / INDEX, _table(COLUMNS, [(export, name, "") for name in files]))
    write_new(folder / CLASSES, _table(("number", "name"), list(enumerate(fingerprint.class_names))))
    write_new(folder / README, told.encode())
    return files


def _table(header: Sequence[str], rows: Sequence[Sequence[object]]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue().encode()
