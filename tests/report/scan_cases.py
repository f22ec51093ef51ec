"""Scans to make pages of: scripted suspects, judged and written line by line as `cae scan` writes them."""

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cae_core.calibration.calibrated import load_calibrated
from cae_core.calibration.file import save_calibration
from cae_core.calibration.record import Calibration
from cae_core.files.records import as_json
from cae_core.fingerprint.file import Fingerprint, save_fingerprint
from cae_core.scan.family import Family, Hashed
from cae_core.scan.judging import deciding_fields, nonce_of
from cae_core.scan.listing import Listed
from cae_core.scan.log import ScanLog
from cae_core.verification.occasion import Occasion
from cae_core.verification.verdict import Suspect
from cae_core.verification.verify import verify
from tests.output_schema import check_scan
from tests.report.report_cases import Scripted, calibration_of, colour_fingerprint

OCCASION = Occasion(date="2026-05-01T12:00:00+00:00", tool="cae-fingerprint 0.1.0", nonce_given=True)


@dataclass(frozen=True)
class Scanned:
    """The output of a scan and the fingerprint that it was made by."""

    lines: Path
    fingerprint: Path

    @property
    def options(self) -> tuple[str | Path, ...]:
        return ("report", self.lines, "--fingerprint", self.fingerprint)


def scan_toys(
    folder: Path,
    rates: dict[str, float],
    *,
    fingerprint: Fingerprint | None = None,
    calibration: Calibration | None = None,
    calibrated: bool = True,
    full: bool = False,
    failed: dict[str, str] | None = None,
    copies: dict[str, str] | None = None,
) -> Scanned:
    """Judge a suspect for each name, which matches at this rate; failed ones have a sentence, copies an original."""
    made = fingerprint or colour_fingerprint()
    found = Scanned(folder / "scan.jsonl", folder / "fingerprint.safetensors")
    if calibrated:
        save_calibration(calibration or calibration_of(made), made, found.fingerprint)
    else:
        save_fingerprint(made, found.fingerprint)
    subject = load_calibrated(found.fingerprint)
    digests = {name: hashlib.sha256(name.encode("utf-8", "replace")).hexdigest() for name in rates}
    digests |= {name: digests[original] for name, original in (copies or {}).items()} | dict.fromkeys(failed or {}, "")
    family = Family(tuple(Hashed(listed=Listed(name=name), sha256=sha256) for name, sha256 in digests.items()))
    head = {
        "family": family.sha256,
        "suspects": len(family.suspects),
        "models": family.distinct,
        "fingerprint": {"id": made.id, "sha256": subject.sha256},
        "options": {},
        "asked_by": family.asked_by,
        "full": full,
        "date": OCCASION.date,
        "tool": OCCASION.tool,
    }
    with ScanLog(found.lines, head) as log:
        for name, rate in rates.items():
            named = Suspect(name=name, sha256=digests[name])
            verdict = dataclasses.replace(
                verify(Scripted(made, rate), subject, named=named, nonce=nonce_of(log.nonce, digests[name])),
                occasion=OCCASION,
            )
            log.add(_line(named, deciding_fields(verdict) | ({"record": as_json(verdict)} if full else {})))
        for name, original in (copies or {}).items():
            again = {key: value for key, value in log.line_of(digests[original]).items() if key not in _OWN}
            log.add(_line(Suspect(name=name, sha256=digests[name]), {"same_as": original, **again}))
        for name, error in (failed or {}).items():
            log.add(_line(Suspect(name=name, sha256=""), {"error": error}))
    check_scan(found.lines)
    return found


_OWN = ("scan", "format", "family", "suspect", "record")


def _line(named: Suspect, told: dict[str, Any]) -> dict[str, Any]:
    return {"suspect": {"name": named.name, "sha256": named.sha256}, **told}
