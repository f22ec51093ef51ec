"""The tables behind the figures: calibration models, what models answer, the fingerprint's labels, examples."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np

from cae_core.arrays import Labels
from cae_core.calibration.groups import Group, answer_shares
from cae_core.calibration.standing import Ranking
from cae_core.errors import DataError
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE
from cae_core.models import NO_ANSWER
from cae_core.statistics.score import Score
from cae_report.dossier import Dossier

__all__ = [
    "AnswerShares",
    "Example",
    "KindRow",
    "LabelPair",
    "ModelRow",
    "answer_rows",
    "confusion_matrix",
    "examples_shown",
    "kind_rows",
    "label_pairs",
    "model_rows",
]


@dataclass(frozen=True)
class ModelRow:
    """One calibration model.

    Attributes:
        relation: ``reference`` or ``surrogate``.
        name: file stem.
        sha256: SHA-256 of the file.
        kind: how it was made.
        architecture: in words.
        ancestor: pretrained weights that it descends from.
        score: the deciding one, over the examples on which models are compared.
        caeacc: over the same examples.
        accuracy: accuracy on the benign images that the suspect was asked.
    """

    relation: Literal["reference", "surrogate"]
    name: str
    sha256: str
    kind: str
    architecture: str
    ancestor: str
    score: float
    caeacc: float
    accuracy: float


@dataclass(frozen=True)
class KindRow:
    """The calibration models of one kind, by the score that decides."""

    relation: Literal["reference", "surrogate"]
    kind: str
    models: int
    lowest: float
    median: float
    highest: float


@dataclass(frozen=True)
class AnswerShares:
    """What the answers to the examples are, as fractions that sum to 1.

    Attributes:
        who: ``references``, ``surrogates`` or ``suspect``.
        models: how many.
        match: the source's label.
        truth: the true class.
        third: another label, or none.
    """

    who: Literal["references", "surrogates", "suspect"]
    models: int
    match: float
    truth: float
    third: float


@dataclass(frozen=True)
class LabelPair:
    """How many examples of one true class have one label; classes by their number, since names may repeat."""

    truth: int
    label: int
    examples: int


@dataclass(frozen=True)
class Example:
    """One example that the suspect was asked.

    Attributes:
        index: number of the example in the fingerprint.
        truth: name of the true class.
        label: name of the class that the source answers.
        answer: name of the class that the suspect answered; None if it did not answer.
        match: whether the last two are the same.
        largest_change: from the benign image, in levels of 255.
    """

    index: int
    truth: str
    label: str
    answer: str | None
    match: bool
    largest_change: int


def model_rows(dossier: Dossier) -> tuple[ModelRow, ...]:
    """Return the calibration models, references first; none where uncalibrated."""
    calibration, standing = dossier.calibration, dossier.examination.standing
    if calibration is None or standing is None:
        return ()
    return (
        *_models(dossier, calibration.references, standing.high, "reference"),
        *_models(dossier, calibration.surrogates, standing.beside, "surrogate"),
    )


def _models(
    dossier: Dossier, group: Group, ranking: Ranking, relation: Literal["reference", "surrogate"]
) -> Iterator[ModelRow]:
    caeaccs = dossier.subject.scores(group, dossier.examination.compared, Score.CAEACC)
    accuracies = group.accuracy(dossier.examination.answers.to(BENIGN).index)
    for row, score in zip(ranking.rows.tolist(), ranking.scores.tolist(), strict=True):
        model = group.models[row]
        yield ModelRow(
            relation=relation,
            name=model.name,
            sha256=model.sha256,
            kind=model.kind,
            architecture=model.architecture,
            ancestor=model.ancestor,
            score=score,
            caeacc=float(caeaccs[row]),
            accuracy=float(accuracies[row]),
        )


def kind_rows(models: tuple[ModelRow, ...]) -> tuple[KindRow, ...]:
    """Return one row a kind, references first, in each relation those of the highest median first."""
    groups: dict[tuple[Literal["reference", "surrogate"], str], list[float]] = {}
    for model in models:
        groups.setdefault((model.relation, model.kind or "unnamed"), []).append(model.score)
    rows = [
        KindRow(relation, kind, len(scores), min(scores), float(np.median(scores)), max(scores))
        for (relation, kind), scores in groups.items()
    ]
    return tuple(sorted(rows, key=lambda row: (row.relation, -row.median, row.kind)))


def answer_rows(dossier: Dossier) -> tuple[AnswerShares, ...]:
    """Return what references, surrogates and the suspect answer."""
    groups: list[tuple[Literal["references", "surrogates", "suspect"], Labels]] = []
    if dossier.calibration is not None:
        groups.append(("references", dossier.calibration.references.answers[:, dossier.examination.compared]))
        groups.append(("surrogates", dossier.calibration.surrogates.answers[:, dossier.examination.compared]))
    rows = [_shares(dossier, who, answers, dossier.examination.compared) for who, answers in groups if len(answers)]
    suspect = dossier.examination.answers.to(EXAMPLE)
    return (*rows, _shares(dossier, "suspect", suspect.labels[np.newaxis], suspect.index))


def _shares(
    dossier: Dossier, who: Literal["references", "surrogates", "suspect"], answers: Labels, asked: Labels
) -> AnswerShares:
    shares = answer_shares(answers, dossier.fingerprint, asked)
    return AnswerShares(who, len(answers), shares.match, shares.truth, shares.third)


def label_pairs(dossier: Dossier) -> tuple[LabelPair, ...]:
    """Return the non-empty cells of the confusion matrix of true class and label, in the order of the classes."""
    fingerprint = dossier.fingerprint
    matrix = confusion_matrix(fingerprint.ground_truth, fingerprint.labels, classes=len(fingerprint.class_names))
    return tuple(LabelPair(int(t), int(y), int(matrix[t, y])) for t, y in zip(*np.nonzero(matrix), strict=True))


def examples_shown(dossier: Dossier, most: int) -> tuple[Example, ...]:
    """Return the first examples in the order asked, which the nonce drew: none is chosen by its answer."""
    fingerprint, names = dossier.fingerprint, dossier.fingerprint.class_names
    shown: list[Example] = []
    answers = dossier.examination.answers.to(EXAMPLE)
    for index, answer in zip(answers.index[:most].tolist(), answers.labels[:most].tolist(), strict=True):
        change = np.abs(fingerprint.images[index].astype(np.int16) - fingerprint.seeds[index])
        shown.append(
            Example(
                index=index,
                truth=names[fingerprint.ground_truth[index]],
                label=names[fingerprint.labels[index]],
                answer=None if answer == NO_ANSWER else names[answer],
                match=bool(answer == fingerprint.labels[index]),
                largest_change=int(change.max()),
            )
        )
    return tuple(shown)


def confusion_matrix(truth: Labels, labels: Labels, *, classes: int) -> Labels:
    """Return int64 (c, c), as the report's Fig. 2: entry (t, y) counts the examples of true class t with the label y.

    Its row sums count the true classes, its column sums the labels.

    Args:
        truth: int64 (n,), in 0 .. c-1.
        labels: int64 (n,), likewise.
        classes: c.

    Raises:
        DataError: a label outside 0 .. c-1, such as the -1 of a refusal, which would be counted in another cell.

    Example:
        >>> confusion_matrix(np.array([0, 0, 1]), np.array([1, 1, 0]), classes=2).tolist()
        [[0, 2], [1, 0]]
    """
    for name, values in (("true classes", truth), ("labels", labels)):
        outside = values[(values < 0) | (values >= classes)]
        if outside.size:
            raise DataError(
                f"The {name} must lie in 0 .. {classes - 1}; found {outside[0]}. Leave out what has no such label."
            )
    return np.bincount(truth * classes + labels, minlength=classes * classes).reshape(classes, classes)
