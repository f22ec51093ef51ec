"""A claim before the judge: the opened seal, and whether what it names is what lies there.

Consistency decides nothing: whoever invents examples can make them consistent with the source. It tells the judge what
he has before him.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import numpy as np

from cae_core.contract import contract_of
from cae_core.disputes.seal import Opening, Seal, parse_opening, parse_seal, pool_digests
from cae_core.errors import OptionError, VerdictError
from cae_core.files.digests import canonical_json
from cae_core.files.fields import read_fields
from cae_core.fingerprint.example_kinds import BLEND, EXAMPLE_KINDS
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.questions import plan_questions
from cae_core.generation.settings import GenerationSettings, without_unused
from cae_core.models import Model
from cae_core.reading import reading

__all__ = ["Claim", "Consistency", "check_consistency", "check_source_contract", "claimed_settings", "open_claim"]

_MOST = 100_000
"""Examples, steps for each and images at a time that a claimant can make a judge search."""


@dataclass(frozen=True)
class Claim:
    """What is claimed, once its seal is open.

    Attributes:
        fingerprint: the claimant's; his calibration and his probes are not looked at.
        seal: the commitment.
        opening: what it binds.
    """

    fingerprint: Fingerprint
    seal: Seal
    opening: Opening


def open_claim(
    fingerprint: Fingerprint,
    *,
    seal: Mapping[str, Any],
    opening: Mapping[str, Any],
    source_sha256: str,
    seal_origin: str = "the seal",
    opening_origin: str = "the opening",
) -> Claim:
    """Open the seal, and compare what it binds with what lies before the judge.

    Args:
        fingerprint: the claimant's.
        seal: JSON object of the seal.
        opening: JSON object of the opening.
        source_sha256: of the claimed source's file.
        seal_origin: where the seal comes from, for messages.
        opening_origin: where the opening comes from, for messages.

    Raises:
        VerdictError: the seal does not open, was made for another fingerprint, source or pool, or allows too few
            queries for a verification.
    """
    with reading(opening_origin, VerdictError, fault="this does not open the seal", remedy="Give the original files."):
        sealed = parse_seal(seal, seal_origin)
        opened = parse_opening(opening, sealed, opening_origin)
    if opened.fingerprint_id != fingerprint.id:
        raise VerdictError(
            f"{seal_origin}: it was made for the fingerprint {opened.fingerprint_id[:12]}… and the claim is "
            f"{fingerprint.id[:12]}…. Give the fingerprint that was sealed."
        )
    if opened.fingerprint_sha256 not in ("", fingerprint.content_sha256):
        raise VerdictError(
            f"{seal_origin}: the fingerprint has the sealed id, and its probes, its descriptions or its record of the "
            "search are not those that were sealed. Give the fingerprint that was sealed, unchanged."
        )
    named, surrogates, references = pool_digests(fingerprint)
    for what, digest in (("the seal binds", opened.source), ("the fingerprint names", named)):
        if digest != source_sha256:
            raise VerdictError(
                f"The source that {what} has SHA-256 {digest[:12]}… and the file before the judge has "
                f"{source_sha256[:12]}…. Give the source that was sealed, unchanged."
            )
    if (opened.surrogates, opened.references) != (surrogates, references):
        raise VerdictError(
            f"{seal_origin}: it binds other surrogates or references than the fingerprint names. "
            "Give the fingerprint that was sealed."
        )
    try:
        plan_questions(fingerprint, suspect_sha256="", nonce=b"", max_queries=opened.max_queries)
    except OptionError as error:
        raise VerdictError(f"{seal_origin}: its query budget leaves nothing to judge by: {error}") from error
    return Claim(fingerprint, sealed, opened)


def check_source_contract(claim: Claim, source: Model, *, origin: str, chosen: bool = True) -> None:
    """Refuse a claimed source that is asked otherwise than it was sealed; an opening of format 1 binds no contract.

    Args:
        claim: opened.
        source: the claimed source, as the judge has opened it.
        origin: what it is called in messages.
        chosen: whether the contract was given beside the file, and so is not bound by the file's own digest.

    Raises:
        VerdictError: it is, or the seal binds no contract and the file holds none.
    """
    contract, sealed = contract_of(source), claim.opening.source_contract
    if not sealed and contract is not None and chosen:
        raise VerdictError(
            f"{origin}: the seal does not bind how the source is asked; a file beside it or a manifest says so here. "
            "Another contract would make another model of it. Give the source with its contract inside (cae convert), "
            "and seal a fingerprint of that."
        )
    if sealed and contract is not None and contract.digest != sealed:
        raise VerdictError(
            f"{origin}: the seal binds a source that is asked by the contract {sealed[:12]}…, and here it is asked by "
            f"{contract.digest[:12]}… ({canonical_json(contract.table())[:300]}). Give the contract that was sealed, "
            "beside the source or in the manifest."
        )


def claimed_settings(fingerprint: Fingerprint, **changes: Any) -> GenerationSettings:  # noqa: ANN401 - of different types
    """Return the settings that the claim was generated with, with the judge's ``changes``; one of None changes nothing.

    They come from the other party. What is no setting is left out, and so is an option that the claim's objective does
    not read, whatever its value: earlier releases kept those, and they have no effect.

    Raises:
        VerdictError: they are no settings.
        OptionError: the changes are none.
    """
    claimed = fingerprint.generation.get("settings")
    if not isinstance(claimed, dict):
        raise VerdictError(
            "The claimed fingerprint names no settings of its generation. Generate it with `cae generate`."
        )
    given = {name: value for name, value in changes.items() if value is not None}
    own: dict[str, Any] = {"eps": 8 / 255, **given}
    GenerationSettings(**own)  # what is wrong with these is the judge's own mistake
    try:
        settings = GenerationSettings(**without_unused(_settings(cast("dict[str, Any]", claimed)) | given))
        _check_effort(settings)
    except (TypeError, ValueError) as error:
        raise VerdictError(
            f"The claim's settings cannot be used as they are ({str(error).rstrip('.')}). Give the judge's own "
            "(--eps, --tau, --count)."
        ) from error
    return settings


def _check_effort(settings: GenerationSettings) -> None:
    """Refuse settings by which the judge would search for ever, or fill his memory."""
    for name in ("count", "iterations", "batch"):
        if getattr(settings, name) > _MOST:
            raise OptionError(f"{name} may be at most {_MOST}; found {getattr(settings, name)}.")


def _settings(claimed: dict[str, Any]) -> dict[str, Any]:
    known = GenerationSettings.__dataclass_fields__.keys() - {"akh"}  # the source's errors decide nothing
    return read_fields(GenerationSettings, {name: value for name, value in claimed.items() if name in known})


@dataclass(frozen=True)
class Consistency:
    """Whether the claim's examples are what they are said to be; it decides nothing.

    Attributes:
        examples: how many there are.
        within_eps: of them, within eps of their seeds; blends, which are changed by more, count as they are.
        source_label: of them, those to which the source gives the claimed label.
        seeds_right: of their seeds, those to which the source gives the claimed true class, or another where the
            example is said to come from an error of the source.
    """

    examples: int
    within_eps: int
    source_label: int
    seeds_right: int

    @property
    def complete(self) -> bool:
        """Whether every example is consistent in each way."""
        return self.examples == self.within_eps == self.source_label == self.seeds_right

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`."""
        return {**vars(self), "complete": self.complete}


def check_consistency(fingerprint: Fingerprint, source: Model) -> Consistency:
    """Ask the source about the claim's examples and their seeds.

    Raises:
        VerdictError: the claim's settings are none.
        ModelError: the source cannot be asked.
    """
    ball = claimed_settings(fingerprint).ball()
    within = ball.contains(fingerprint.images, fingerprint.seeds) | (fingerprint.example_kinds == BLEND.code)
    right = source.predict(fingerprint.seeds).labels == fingerprint.ground_truth
    expected = np.array([bool(kind.seed_right) for kind in EXAMPLE_KINDS])[fingerprint.example_kinds]
    told = np.array([kind.seed_right is not None for kind in EXAMPLE_KINDS])[fingerprint.example_kinds]
    return Consistency(
        examples=len(fingerprint),
        within_eps=int(within.sum()),
        source_label=int((source.predict(fingerprint.images).labels == fingerprint.labels).sum()),
        seeds_right=int(((right == expected) | ~told).sum()),
    )
