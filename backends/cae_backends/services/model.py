"""A service as it is asked: some requests at a time, each image answered, refused or not reached."""

import os
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from cae_backends.services.client import Client, Unreached
from cae_backends.services.description import Description
from cae_backends.services.forms import wire_of
from cae_core.arrays import Images
from cae_core.errors import CaeError, first_line
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
        self._fault = ""

    def ask(self, images: Images) -> Asked:
        """Ask ``images`` (n, h, w, k), and say of each whether it was reached, and what keeps from asking on."""
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
        why = self._why_not()
        if why:
            return [_Piece(_none(images), why=why, fault=self._fault)]
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
            return self._failed(images, str(error))
        except Exception as error:  # noqa: BLE001 - whatever a foreign answer does to a library, without its text
            return self._failed(images, f"cannot be asked ({first_line(error)}).")
        self._in_a_row, self._away, self._ever = 0, "", True
        return [_Piece(found, version=self._client.scrubbed(version))]

    def _why_not(self) -> str:
        """Return why nothing is sent any more; empty where nothing keeps from it."""
        if self._fault:
            return "it cannot be asked"
        if self._in_a_row >= self._service.give_up or (self._away and not self._ever):
            return self._away or "refused"
        return ""

    def _failed(self, images: Images, text: str) -> list["_Piece"]:
        """Note that the service cannot be asked on: nothing is sent any more."""
        self._fault = self._client.scrubbed(f"{self._service.address}: {text}")
        return [_Piece(_none(images), why="it cannot be asked", fault=self._fault)]


@dataclass(frozen=True)
class _Piece:
    """Answers to some images, the version that gave them, and why there are none; empty where there are."""

    told: Predictions
    version: str = ""
    why: str = ""
    fault: str = ""


def _none(images: Images) -> Predictions:
    return Predictions(np.full(len(images), NO_ANSWER, np.int64))


def _nothing(told: Predictions) -> Predictions:
    return Predictions(np.full(len(told.labels), NO_ANSWER, np.int64))


def _together(pieces: list[_Piece], *, requests: int, sent: int) -> Asked:
    whole = next((i for i, piece in enumerate(pieces) if piece.fault), len(pieces))
    fault = pieces[whole].fault if whole < len(pieces) else ""
    # what came after an image that could not be asked would keep it from being asked again
    lost = [replace(piece, told=_nothing(piece.told), why=piece.why or "lost") for piece in pieces[whole:]]
    pieces = [*pieces[:whole], *lost]
    scores = [piece.told.probabilities for piece in pieces if piece.told.probabilities is not None]
    every = len(scores) == len(pieces) and len({score.shape[1] for score in scores}) == 1
    return Asked(
        labels=np.concatenate([piece.told.labels for piece in pieces]),
        scores=np.concatenate(scores) if every else None,
        reached=np.concatenate([np.full(len(piece.told.labels), not piece.why) for piece in pieces]),
        requests=requests,
        sent=sent,
        versions=tuple(sorted({piece.version for piece in pieces if piece.version})),
        fault=fault,
        why=next((piece.why for piece in reversed(pieces) if piece.why), ""),
    )
