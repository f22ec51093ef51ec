"""What a record is: a verdict, a judgement, or the output of a scan."""

from pathlib import Path
from typing import Literal, TypeAlias

from cae_core.disputes.rejudging import is_judgement
from cae_core.files.outputs import SCAN
from cae_core.files.records import read_record

__all__ = ["RecordKind", "kind_of"]

RecordKind: TypeAlias = Literal["verdict", "judgement", "scan"]

_BEGINNING = 64
"""Bytes by which the output of a scan is known."""


def kind_of(path: Path) -> RecordKind:
    """Return what a record is; whatever is no scan and no judgement is read as a verdict, and refused as one.

    Raises:
        VerdictError: it is neither the output of a scan nor a JSON object.
    """
    if _is_scan(path):
        return "scan"
    return "judgement" if is_judgement(read_record(path)) else "verdict"


def _is_scan(path: Path) -> bool:
    if not path.is_file():  # whoever reads it says so
        return False
    with path.open("rb") as file:
        head = file.read(_BEGINNING)
    return bool(head) and SCAN.recognised(path, head)
