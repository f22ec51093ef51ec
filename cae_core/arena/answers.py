"""What models answered, kept in a folder: nobody is asked twice, also where a comparison was interrupted."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cae_core.arena.queries import Queries
from cae_core.defences.table import defended
from cae_core.errors import DataError, ModelError
from cae_core.files.digests import sha256_of_text
from cae_core.files.storage import write_atomically
from cae_core.files.tensor_file import pack_tensors, read_tensors
from cae_core.foreign_text import visible
from cae_core.models import Predictions
from cae_core.pool.manifest import PoolMember
from cae_core.pool.members import OpenPool
from cae_core.progress import StageProgress, detail
from cae_core.reading import reading

__all__ = ["AnswerStore", "Asked"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """Queries, and by what they are known.

    Attributes:
        id: id of what the queries were made of, and how.
        queries: every plan's.
        classes: number of classes, c.
        probabilities: whether labels alone would not do.
    """

    id: str
    queries: Queries
    classes: int
    probabilities: bool


@dataclass(frozen=True)
class AnswerStore:
    """Answers by model and queries.

    Attributes:
        folder: folder that keeps the answers, with a folder for each model.
        opened: opens the models.
        defence: simulated before each model, see `cae_core.defences`; empty: none.
    """

    folder: Path
    opened: OpenPool
    defence: str = ""

    def ask(self, members: Sequence[PoolMember], everything: Sequence[Asked], *, progress: StageProgress) -> None:
        """Ask each of ``members`` what it has not been asked yet; each is opened once, if at all.

        Raises:
            PoolError: a file is missing or has changed.
            ModelError: a model cannot be opened or asked, or answers with other classes.
        """
        self.opened.expect(members)
        for done, member in enumerate(members, start=1):
            detail(progress, "asking models", member.name)
            missing = [asked for asked in everything if not self._place(member, asked).exists()]
            if missing:
                self._ask(member, missing)
            progress(done, len(members))

    def answers(self, member: PoolMember, asked: Asked) -> Predictions:
        """Return what a model answered.

        Raises:
            DataError: the file that is kept holds something else.
        """
        place = self._place(member, asked)
        with reading(place, DataError, fault="these are no answers of cae compare", remedy="Remove it to ask again."):
            _, tensors = read_tensors(place)
            answers = Predictions(tensors["labels"], tensors.get("probabilities"))
            if answers.labels.shape != (len(asked.queries),):
                raise ValueError(f"{len(asked.queries)} queries, {answers.labels.shape} answers")
        return answers

    def _ask(self, member: PoolMember, missing: Sequence[Asked]) -> None:
        model = self.opened.open(member).model
        if self.defence:
            model = defended(model, self.defence, classes=missing[0].classes)
        for asked in missing:
            answers = model.predict(asked.queries.images)
            _check(member, answers, asked)
            tensors = {"labels": answers.labels}
            told = {} if answers.probabilities is None else {"probabilities": answers.probabilities}
            write_atomically(self._place(member, asked), pack_tensors({**tensors, **told}, {"arena": "1"}))

    def _place(self, member: PoolMember, asked: Asked) -> Path:
        behind = f"-{sha256_of_text(self.defence)[:16]}" if self.defence else ""
        return self.folder / self.opened.digest(member)[:32] / f"{asked.id[:32]}{behind}.safetensors"


def _check(member: PoolMember, answers: Predictions, asked: Asked) -> None:
    name = visible(member.name)
    if answers.probabilities is None:
        if asked.probabilities:
            raise ModelError(
                f"{name}: tells labels only, and a method needs probabilities. Leave the method out, or the model."
            )
        if len(answers.labels) and answers.labels.max() >= asked.classes:
            raise ModelError(
                f"{name}: answers a class {int(answers.labels.max())}, and the data have {asked.classes} classes. "
                "Use data of the same task."
            )
    elif answers.probabilities.shape[1] != asked.classes:
        raise ModelError(
            f"{name}: answers with {answers.probabilities.shape[1]} classes and the data have {asked.classes}. "
            "Use data of the same task, or give the model a class map."
        )
