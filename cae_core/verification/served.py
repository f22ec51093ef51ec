"""How a service was asked, as a verdict records it."""

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

__all__ = ["Served", "Service"]


@dataclass(frozen=True, kw_only=True)
class Served:
    """How a service was asked: the word of whoever ran the command; of it the number of versions alone decides.

    Attributes:
        address: without credentials and query.
        version: version that the owner declares; empty if the owner declares none.
        versions: versions that the answers named.
        asked_by: digest of how it was asked, see `cae_core.opening.services.ServiceTold`.
        requests: number of requests that were sent, answered or not, in all runs of this verification.
        sent: number of images that were sent in all runs of this verification; each sending counts.
    """

    address: str
    version: str
    versions: tuple[str, ...]
    asked_by: str
    requests: int
    sent: int

    @property
    def count(self) -> int:
        """How many versions there were: those that answers named, and the declared one where they name any."""
        named = {*self.versions, self.version} if self.versions else set[str]()
        return max(1, len(named - {""}))


@runtime_checkable
class Service(Protocol):
    """A black box that is a service."""

    def served(self) -> Served:
        """Return how it was asked so far."""
        ...
