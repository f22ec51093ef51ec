r"""The family of a scan: which models are asked together, known by one digest that is fixed before the first question.

It is the SHA-256 of `FAMILY_TAG` and, sorted, the digest of each model on a line, each once::

    (printf 'cae-family-v1\0'; sha256sum *.onnx | cut -c 1-64 | LC_ALL=C sort -u) | sha256sum
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from cae_core.contract import Contract, Contracts, read_contracts
from cae_core.errors import CaeError, first_line
from cae_core.files.digests import digest_of
from cae_core.opening.model_files import ModelFiles
from cae_core.progress import StageProgress, silent
from cae_core.scan.listing import Listed

__all__ = ["FAMILY_TAG", "Family", "Hashed", "family_digest", "hash_suspects"]

FAMILY_TAG = b"cae-family-v1\0"


@dataclass(frozen=True, kw_only=True)
class Hashed:
    """One suspect whose files were read.

    Attributes:
        listed: what was named.
        sha256: of the model; empty where it cannot be told.
        contract: by which it is asked; None: the model's own applies.
        asked_by: what says how it is asked, beside the model itself: SHA-256 of the contract, or of the files beside
            the model.
        error: why there is no digest, a sentence; empty where there is one.
    """

    listed: Listed
    sha256: str = ""
    contract: Contract | None = None
    asked_by: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Family:
    """The suspects of a scan.

    Attributes:
        suspects: in the list's order.
    """

    suspects: tuple[Hashed, ...]

    @property
    def sha256(self) -> str:
        """See `family_digest`."""
        return family_digest(suspect.sha256 for suspect in self.suspects if suspect.sha256)

    @property
    def asked_by(self) -> str:
        """The SHA-256 of what says how each model is asked."""
        return digest_of(sorted([one.sha256, *one.asked_by] for one in self.suspects if one.asked_by))

    @property
    def distinct(self) -> int:
        """How many hypotheses there are: equal models are one, and each that cannot be read is one."""
        digests = [suspect.sha256 for suspect in self.suspects]
        return len(set(digests) - {""}) + digests.count("")


def family_digest(digests: Iterable[str]) -> str:
    """Return the SHA-256 by which a family is known.

    Args:
        digests: hexadecimal, of its models, in any order and as often as they come.

    Example:
        >>> family_digest(["bb", "aa", "bb"]) == family_digest(["aa", "bb"])
        True
    """
    lines = "".join(f"{digest}\n" for digest in sorted(set(digests)))
    return hashlib.sha256(FAMILY_TAG + lines.encode("ascii")).hexdigest()


def hash_suspects(
    listed: Sequence[Listed], *, contracts: Contracts | None = None, progress: StageProgress = silent
) -> Family:
    """Read the files of every suspect once.

    Args:
        listed: the suspects.
        contracts: of those for which the list says none.
        progress: called with how many were read, and of how many.
    """
    hashed: list[Hashed] = []
    read = lru_cache(maxsize=64)(read_contracts)
    for suspect in listed:
        hashed.append(_hashed(suspect, read, contracts))
        progress(len(hashed), len(listed))
    return Family(tuple(hashed))


def _hashed(suspect: Listed, read: Callable[[str], Contracts], contracts: Contracts | None) -> Hashed:
    try:
        stated = read(suspect.contract) if suspect.contract else contracts
        files = ModelFiles(suspect.name)
        if not Path(suspect.name).exists():
            return Hashed(listed=suspect, error=f"{suspect.name}: no such model file. Correct the list.")
        contract = suspect.given or (None if stated is None else stated.of(suspect.name))
        own = set(files.paths.values())
        beside = tuple(sorted(sha256 for path, sha256 in files.sha256.items() if path not in own))
        asked_by = beside if contract is None else (contract.digest,)
        return Hashed(listed=suspect, sha256=files.digest, contract=contract, asked_by=asked_by)
    except CaeError as error:
        return Hashed(listed=suspect, error=str(error))
    except (OSError, ValueError) as error:
        return Hashed(listed=suspect, error=f"{suspect.name}: the file cannot be read ({first_line(error)}).")
