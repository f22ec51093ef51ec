"""A sealed claim: a salted commitment that says nothing before it is opened, and cannot be changed afterwards.

The commitment is SHA-256 over the canonical JSON of the *opening*, which names the fingerprint, the source, every pool
member, how the claim is to be judged and who makes it, and holds 32 random bytes of salt. What is published is the
*seal*: the commitment alone. It counts from the moment at which somebody whom the judge trusts has dated its bytes.
"""

import dataclasses
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cae_core import version as release
from cae_core.errors import VerdictError, quoted
from cae_core.files.digests import digest_of
from cae_core.files.fields import read_fields
from cae_core.files.records import as_json
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.questions import plan_questions
from cae_core.statistics.ranks import models_needed
from cae_core.statistics.score import Score

__all__ = ["SEAL_FORMAT", "Opening", "Seal", "make_opening", "parse_opening", "parse_seal", "pool_digests"]

SEAL_FORMAT = 1

OPENING_FORMAT = 2
"""Of the opening. One of format 1 binds neither the fingerprint's whole content, nor the files and the contract of the
source; it is still read."""

_SINCE_2 = frozenset({"fingerprint_sha256", "source_files", "source_contract"})

_HASH = "SHA-256 over canonical JSON"
_SALT_BYTES = 32
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class Opening:
    """What a claim is bound to; a secret until it is opened before the judge.

    Attributes:
        format: of this record, 1 or 2.
        fingerprint_id: of the claimed fingerprint.
        fingerprint_sha256: of all that it holds, see `Fingerprint.content_sha256`.
        source: SHA-256 of the source, over all of its files.
        source_files: those, as lines of ``sha256sum``; empty where the fingerprint does not name them.
        source_contract: SHA-256 of the contract by which it was asked; empty if the fingerprint does not name it.
        surrogates: SHA-256 of the surrogates that the fingerprint was made with.
        references: SHA-256 of the references that the fingerprint was made with.
        score: that decides.
        fpr: the rate of false accusations that the claim is judged at, in (0, 1).
        max_queries: the most that the suspect may be asked; None: as many as it takes.
        tool: name and version of what made the seal.
        claimant: who claims.
        salt: hex, so that nobody can guess the content of a seal and compare.
    """

    format: int = OPENING_FORMAT
    fingerprint_id: str
    fingerprint_sha256: str = ""
    source: str
    source_files: tuple[str, ...] = ()
    source_contract: str = ""
    surrogates: tuple[str, ...]
    references: tuple[str, ...]
    score: Score
    fpr: float
    max_queries: int | None
    tool: str
    claimant: str
    salt: str

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: a format holds the fields that it has always had."""
        return {name: value for name, value in vars(self).items() if name in _names(self.format)}

    def seal(self) -> "Seal":
        """Return the commitment to all of this."""
        return Seal(digest_of(as_json(self)))


@dataclass(frozen=True)
class Seal:
    """What is published and dated.

    Attributes:
        format: of this record.
        hash: how the commitment is made.
        commitment: SHA-256 of the opening, hex.
    """

    format: int = field(default=SEAL_FORMAT, init=False)
    hash: str = field(default=_HASH, init=False)
    commitment: str


def make_opening(
    fingerprint: Fingerprint,
    *,
    score: str = "caeacc",
    fpr: float = 0.05,
    max_queries: int | None = None,
    claimant: str = "",
    salt: bytes | None = None,
) -> Opening:
    """Bind a claim with this fingerprint.

    Args:
        fingerprint: whose metadata name source and pool.
        score: that decides.
        fpr: rate of false accusations.
        max_queries: the most that a suspect may be asked.
        claimant: who claims.
        salt: 32 random bytes where None.

    Raises:
        OptionError: there is no such score, the rate is not in (0, 1), or the budget is too small for a verification.
        VerdictError: the fingerprint does not say what its models' files are.
    """
    models_needed(fpr)  # refuses a rate outside (0, 1)
    if max_queries is not None:
        plan_questions(fingerprint, suspect_sha256="", nonce=b"", max_queries=max_queries)
    source, surrogates, references = pool_digests(fingerprint)
    return Opening(
        fingerprint_id=fingerprint.id,
        fingerprint_sha256=fingerprint.content_sha256,
        source=source,
        source_files=tuple(fingerprint.origin.get("files", ())),
        source_contract=fingerprint.origin.get("contract_sha256", ""),
        surrogates=surrogates,
        references=references,
        score=Score.named(score),
        fpr=fpr,
        max_queries=max_queries,
        tool=f"cae-fingerprint {release.__version__}",
        claimant=claimant,
        salt=(secrets.token_bytes(_SALT_BYTES) if salt is None else salt).hex(),
    )


def pool_digests(fingerprint: Fingerprint) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return the SHA-256 of the source, of the surrogates and of the references, as the fingerprint names them.

    Raises:
        VerdictError: it does not name them.
    """
    generation = fingerprint.generation
    try:
        source = str(generation["source"]["sha256"])
        surrogates, references = (
            tuple(str(member["sha256"]) for member in generation[part]) for part in ("surrogates", "references")
        )
    except (KeyError, TypeError) as error:
        raise VerdictError(
            f"The fingerprint {fingerprint.id[:12]}… does not say which files its source and pools are ({error!r}), "
            "and a claim is bound to them. Generate it with `cae generate`."
        ) from error
    return source, surrogates, references


def parse_seal(record: Mapping[str, Any], origin: str) -> Seal:
    """Read a seal.

    Args:
        record: its JSON object.
        origin: where it comes from, for messages.

    Raises:
        VerdictError: it is no seal, or one of another format.
    """
    _check_format(record, origin, "seal", SEAL_FORMAT)
    commitment = record.get("commitment")
    if record.get("hash") != _HASH or not isinstance(commitment, str) or not _SHA256.fullmatch(commitment):
        raise VerdictError(f"{origin}: this is no seal: it holds no commitment. Give the file that `cae seal` wrote.")
    return Seal(commitment)


def parse_opening(record: Mapping[str, Any], seal: Seal, origin: str) -> Opening:
    """Read the opening of ``seal``.

    Args:
        record: its JSON object.
        seal: the commitment that it is to open.
        origin: where it comes from, for messages.

    Raises:
        VerdictError: it is no opening, one of another format, it was edited, or it belongs to another seal.
    """
    _check_format(record, origin, "opening", OPENING_FORMAT)
    names = _names(record["format"])
    if set(record) != names:
        odd = sorted(set(record) ^ names)[0]
        raise VerdictError(
            f"{origin}: this is no opening: the field {odd!r} is {'missing' if odd in names else 'unknown'}. "
            "Give the file that `cae seal` wrote beside the seal."
        )
    try:
        opening = Opening(**read_fields(Opening, record))
        _check_bound(opening)
        models_needed(opening.fpr)
        found = digest_of(record)
    except ValueError as error:  # a field of another type or range, or half a surrogate pair
        raise VerdictError(
            f"{origin}: the opening is malformed ({str(error).rstrip('.')}). Give the file that `cae seal` wrote."
        ) from error
    if found != seal.commitment:
        raise VerdictError(
            f"{origin}: this does not open the seal: its SHA-256 is {found[:12]}… and the commitment is "
            f"{seal.commitment[:12]}…. It was edited, or belongs to another seal."
        )
    return opening


def _check_bound(opening: Opening) -> None:
    """Refuse an opening that was made to bind less than its format does.

    Raises:
        ValueError: it was.
    """
    if opening.format > 1 and not _SHA256.fullmatch(opening.fingerprint_sha256):
        raise ValueError("it does not bind what the fingerprint holds")


def _names(version: int) -> set[str]:
    """Return the fields of an opening of this format."""
    names = {field.name for field in dataclasses.fields(Opening)}
    return names - _SINCE_2 if version == 1 else names


def _check_format(record: Mapping[str, Any], origin: str, what: str, latest: int) -> None:
    found = record.get("format")
    if type(found) is not int or not 1 <= found <= latest:
        raise VerdictError(
            f"{origin}: this {what} has format version {quoted(found)} and this release reads "
            f"{' and '.join(map(str, range(1, latest + 1)))}. Use the release that wrote it, or a later one."
        )
