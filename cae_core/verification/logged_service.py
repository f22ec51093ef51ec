"""A service as a black box: what its log has is not asked again, and whatever is asked stands in the log."""

import time
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Images
from cae_core.errors import ModelError
from cae_core.models import Predictions
from cae_core.opening.services import Asked, ServiceProcess, ServiceTold
from cae_core.verification.answer_log import AnswerLog, Logged, digest_of_image
from cae_core.verification.served import Served

__all__ = ["LoggedService"]


class LoggedService:
    """Answers the questions of a plan in their order.

    Args:
        told: of the service.
        process: of its client; None: nobody is asked, and the log has to have everything.
        log: that answers first.

    Attributes:
        contract: contract by which the service is asked.
        at_once: how many images its client is given together.
    """

    def __init__(self, told: ServiceTold, process: ServiceProcess | None, log: AnswerLog) -> None:
        self.contract, self.at_once = told.contract, told.at_once
        self._told, self._process, self._log = told, process, log
        self._position = self._in_a_row = 0
        self._until = time.monotonic() + told.most_seconds

    def predict(self, images: Images) -> Predictions:
        """Answer the images that come next in the plan, by the log or by the service.

        Raises:
            ModelError: a limit is reached, the service is away, or the log is of other images.
        """
        first, self._position = self._position, self._position + len(images)
        digests = [digest_of_image(image) for image in np.asarray(images, np.uint8)]
        for place in self._missing(first, digests):
            self._ask(images[place - first : place - first + self._told.at_once], digests, place, first)
        return _predictions([self._log.answers[first + i] for i in range(len(images))])

    def served(self) -> Served:
        """Return how it was asked, before an interruption as well."""
        told, log = self._told, self._log
        return Served(
            address=told.address,
            version=told.version,
            versions=tuple(sorted(log.versions)),
            asked_by=told.asked_by,
            requests=log.requests,
            sent=log.sent,
        )

    def _missing(self, first: int, digests: Sequence[str]) -> Sequence[int]:
        """Return where to begin to ask: answers are given in their order, so that the log has a beginning of them.

        Raises:
            ModelError: the log has another image somewhere.
        """
        known = 0
        for place, digest in enumerate(digests, start=first):
            found = self._log.answers.get(place)
            if found is None:
                break
            if found.image != digest:
                raise ModelError(
                    f"{self._log.path}: the image at place {place + 1} is another one, so that these are the answers "
                    "of another verification. Name another file, or none."
                )
            known += 1
        return range(first + known, first + len(digests), self._told.at_once)

    def _ask(self, images: Images, digests: Sequence[str], place: int, first: int) -> None:
        some = digests[place - first : place - first + len(images)]
        self._check_limits(len(images))
        if self._process is None:
            raise ModelError(
                f"{self._log.path}: there is no answer to the image at place {place + 1}, and with --offline nobody is "
                "asked. Leave it out."
            )
        self._log.sending(place, some)
        asked = self._process.ask(np.asarray(images, np.uint8))
        self._log.answered(place, some, asked)
        if asked.fault:
            raise ModelError(asked.fault)
        self._check_reached(asked)

    def _check_limits(self, images: int) -> None:
        most = self._told.most_images
        if most is not None and self._log.sent + images > most:
            raise ModelError(
                f"{self._told.address}: {self._log.sent} images were sent, and more than {most} may not be "
                "(most_images). Raise it, and run the same command: it goes on where it stopped."
            )
        if time.monotonic() > self._until:
            raise ModelError(
                f"{self._told.address}: the run has taken {self._told.most_seconds:g} seconds (most_seconds). Run the "
                "same command: it goes on where it stopped."
            )

    def _check_reached(self, asked: Asked) -> None:
        for reached in asked.reached.tolist():
            self._in_a_row = 0 if reached else self._in_a_row + 1
        if self._in_a_row >= self._told.give_up:
            raise ModelError(
                f"{self._told.address}: the last {self._in_a_row} images got no answer ({asked.why}), and the run has "
                "ended. Once the service answers, run the same command: it goes on, and asks nothing again that was "
                "answered."
            )


def _predictions(answers: Sequence[Logged]) -> Predictions:
    labels = np.array([answer.label for answer in answers], np.int64)
    rows = [answer.scores for answer in answers if answer.scores is not None and answer.reached]
    whole = len(rows) == len(answers) and len({len(row) for row in rows}) == 1
    scores: NDArray[np.float32] | None = np.array(rows, np.float32) if whole else None
    return Predictions(labels, None if scores is None or not np.isfinite(scores).all() else scores)
