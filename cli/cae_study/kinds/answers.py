"""What models answer to a fingerprint: each is asked once in a study, whichever steps make something of it."""

from collections.abc import Sequence

import numpy as np

from cae_core.arena.answers import AnswerStore, Asked
from cae_core.arena.queries import Queries
from cae_core.arrays import Images
from cae_core.fingerprint.file import Fingerprint
from cae_core.models import Predictions
from cae_core.pool.manifest import PoolMember
from cae_core.pool.members import OpenPool
from cae_core.progress import stage
from cae_study.bench import Bench

__all__ = ["Answers", "Remembered"]


class Remembered:
    """A model that answers what it answered before."""

    def __init__(self, images: Images, answers: Predictions) -> None:
        self._rows = {image.tobytes(): row for row, image in enumerate(images)}
        self._answers = answers

    def predict(self, images: Images) -> Predictions:
        """Look the images up; see `Model.predict`."""
        rows, told = [self._rows[image.tobytes()] for image in images], self._answers.probabilities
        return Predictions(self._answers.labels[rows], None if told is None else told[rows])


class Answers:
    """The answers of models to every image of a fingerprint, kept in the folder of the study.

    Args:
        bench: of the step that asks.
        fingerprint: about whose images.
        defence: simulated before each model; empty: none.
    """

    def __init__(self, bench: Bench, fingerprint: Fingerprint, *, defence: str = "") -> None:
        images = fingerprint.all_images()
        self._asked = Asked(
            id=fingerprint.content_sha256,
            queries=Queries.in_order(images, np.zeros(len(images), np.int64), []),
            classes=len(fingerprint.class_names),
            probabilities=False,
        )
        self._store = AnswerStore(bench.answers, OpenPool(device=bench.device), defence)
        self._progress = stage(bench.progress, f"asking models behind {defence}" if defence else "asking models")

    def ask(self, members: Sequence[PoolMember]) -> None:
        """Ask each model that was not asked yet."""
        self._store.ask(members, [self._asked], progress=self._progress)

    def given(self, member: PoolMember) -> Predictions:
        """Return what a model answered that was asked, in the order of `Fingerprint.all_images`."""
        return self._store.answers(member, self._asked)

    def model(self, member: PoolMember) -> Remembered:
        """Return a model that gives these answers."""
        return Remembered(self._asked.queries.images, self.given(member))
