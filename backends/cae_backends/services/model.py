"""A service as it is asked: some requests at a time, each image answered, refused or not reached."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np

from cae_backends.services.client import Client, Unreached
from cae_backends.services.description import Description
from cae_backends.services.forms import wire_of
from cae_core.arrays import Images
from cae_core.errors import CaeError, ModelError, first_line
from cae_core.models import NO_ANSWER, Predictions
from cae_core.opening.services import Asked

__all__ = ["ServiceModel"]


class ServiceModel:
    """Asks a service.

    Args:
        service: its description.
        secrets: environment variables by name; None: this process's.

    Attributes:
        contract: what it takes and answers.

    Nobody is bothered who has never answered: an address that leads nowhere is given up after the first image.
    """

    def __init__(self, service: Description, *, secrets: Mapping[str, str] | None = None) -> None:
        named = os.environ if secrets is None else secrets
        self.contract = service.contract
        self._service, self._wire = service, wire_of(service)
        self._client = Client(service, {name: named.get(name, "") for name in service.secrets})
        self._in_a_row, self._away, self._ever = 0, "", False

    def ask(self, images: Images) -> Asked:
        """Ask ``images`` (n, h, w, k), and say of each whether it was reached.

        Raises:
            ModelError: the service answers what no classifier answers, or refuses everything.
        """
        parts = [images[i : i + self._service.images] for i in range(0, len(images), self._service.images)]
        before = self._client.requests, self._client.images
        with ThreadPoolExecutor(self._service.concurrency) as workers:
            answered = [piece for pieces in workers.map(self._part, parts) for piece in pieces]
        requests, sent = self._client.requests - before[0], self._client.images - before[1]
        return _together(answered, requests=requests, sent=sent)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _part(self, images: Images) -> list["_Piece"]:
        """Return the answers to one request's images, or to each by itself where all together are refused."""
        if self._in_a_row >= self._service.give_up or (self._away and not self._ever):
            return [_Piece(_none(images), why=self._away or "refused")]
        try:
            told = self._client.post(self._wire.body(images), images=len(images))
            found, version = self._wire.answers(told, len(images)), self._wire.version(told)
        except Unreached as error:
            if error.refused and len(images) > 1:
                return [piece for place in range(len(images)) for piece in self._part(images[place : place + 1])]
            self._in_a_row += len(images)
            self._away = "" if error.refused else str(error)
            return [_Piece(_none(images), why=str(error))]
        except CaeError as error:
            raise type(error)(self._client.scrubbed(f"{self._service.address}: {error}")) from None
        except Exception as error:  # noqa: BLE001 - whatever a foreign answer does to a library, without its text
            text = self._client.scrubbed(f"{self._service.address}: cannot be asked ({first_line(error)}).")
            raise ModelError(text) from None
        self._in_a_row, self._away, self._ever = 0, "", True
        return [_Piece(found, version=self._client.scrubbed(version))]


@dataclass(frozen=True)
class _Piece:
    """Answers to some images, the version that gave them, and why there are none; empty where there are."""

    told: Predictions
    version: str = ""
    why: str = ""


def _none(images: Images) -> Predictions:
    return Predictions(np.full(len(images), NO_ANSWER, np.int64))


def _together(pieces: list[_Piece], *, requests: int, sent: int) -> Asked:
    scores = [piece.told.probabilities for piece in pieces if piece.told.probabilities is not None]
    every = len(scores) == len(pieces) and len({score.shape[1] for score in scores}) == 1
    return Asked(
        labels=np.concatenate([piece.told.labels for piece in pieces]),
        scores=np.concatenate(scores) if every else None,
        reached=np.concatenate([np.full(len(piece.told.labels), not piece.why) for piece in pieces]),
        requests=requests,
        sent=sent,
        versions=tuple(sorted({piece.version for piece in pieces if piece.version})),
        why=next((piece.why for piece in reversed(pieces) if piece.why), ""),
    )
