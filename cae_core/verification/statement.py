"""A verdict as an in-toto statement: what tools for attestations of software can keep, sign and find by a digest.

The form is that of https://github.com/in-toto/attestation/blob/main/spec/v1/statement.md, and nothing more is written
than this: ``_type``, ``subject``, ``predicateType`` and ``predicate``. The subject lists the files that were read, by
their SHA-256; the predicate is the verdict as it was recorded.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.errors import VerdictError, quoted
from cae_core.files.digests import digest_of_files
from cae_core.files.records import as_json
from cae_core.verification.replay import replay_verdict
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.wording import reworded

__all__ = ["PREDICATE_TYPE", "STATEMENT_TYPE", "ReadFile", "Statement", "state_verdict"]

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"

PREDICATE_TYPE = "urn:cae-fingerprint:verdict:1"
"""The name of the predicate; the number is `VERDICT_FORMAT`."""

_LINE = re.compile(r"(?P<sha256>[0-9a-f]{64})  (?P<name>[^\n\\]+)")
"""A file as ``sha256sum`` prints it, see docs/digests.md."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class ReadFile:
    """One file that was read.

    Attributes:
        name: ``suspect/`` or ``fingerprint/``, and the name of the file.
        sha256: SHA-256 of the content, in hexadecimal digits.
    """

    name: str
    sha256: str

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: a resource descriptor of in-toto."""
        return {"name": self.name, "digest": {"sha256": self.sha256}}


@dataclass(frozen=True, kw_only=True)
class Statement:
    """A verdict about the files that were read for it.

    Attributes:
        subject: those of the suspect, none where it is an address, and the fingerprint's.
        predicate: the verdict's JSON object, as it was recorded; its sentences are this release's, which were derived.
        verdict: the verdict that was derived from the record.
    """

    subject: tuple[ReadFile, ...]
    predicate: Mapping[str, Any] = field(repr=False)
    verdict: Verdict = field(repr=False)

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: the fields of the specification, in its order."""
        return {
            "_type": STATEMENT_TYPE,
            "subject": self.subject,
            "predicateType": PREDICATE_TYPE,
            "predicate": self.predicate,
        }


def state_verdict(
    record: Mapping[str, Any], by: CalibratedFingerprint, *, fingerprint: str, origin: str = "The recorded verdict"
) -> Statement:
    """Return the statement of a recorded verdict, which is derived again first.

    Args:
        record: its JSON object.
        by: the fingerprint that it was made by.
        fingerprint: the name of that file.
        origin: where the record comes from, for messages.

    Raises:
        VerdictError: see `replay_verdict` and `Replay.agreed`; or the files that the record lists do not have the
            digest that it names.
    """
    verdict = replay_verdict(record, by, origin=origin).agreed(origin)
    read = verdict.examination.subject.sha256
    if not _SHA256.fullmatch(read):
        raise VerdictError(
            f"{origin}: the fingerprint's SHA-256 is {quoted(read)}. Give the verdict as it was printed."
        )
    own = ReadFile(name=f"fingerprint/{Path(fingerprint).name}", sha256=read)
    told = reworded(record, as_json(verdict))
    return Statement(subject=(*_files(verdict.suspect, origin), own), predicate=told, verdict=verdict)


def _files(suspect: Suspect, origin: str) -> tuple[ReadFile, ...]:
    """Return the suspect's files, by the names that its digest covers.

    Raises:
        VerdictError: a line is none, or the lines do not give the digest.
    """
    found = [_LINE.fullmatch(line) for line in suspect.files]
    hashed = {match["name"]: match["sha256"] for match in found if match is not None}
    digests = {digest_of_files(hashed, folder=folder) for folder in (False, True)} if hashed else {suspect.sha256}
    if len(hashed) < len(found) or suspect.sha256 not in digests:
        raise VerdictError(
            f"{origin}: the suspect's list of files does not give its SHA-256, {quoted(suspect.sha256)}. Give the "
            "verdict as it was printed."
        )
    return tuple(ReadFile(name=f"suspect/{name}", sha256=digest) for name, digest in hashed.items())
