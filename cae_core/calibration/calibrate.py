"""Calibrating a fingerprint: asking models that had no part in making it, and keeping what they answer."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeGuard, cast

import numpy as np

from cae_core.arrays import Floats32, Labels
from cae_core.calibration.calibrated import Calibration
from cae_core.calibration.groups import CalibrationModel, Group
from cae_core.calibration.screening import check_keep, choose_examples, match_rates, match_weights
from cae_core.errors import CaeError, OptionError, PoolError
from cae_core.fingerprint.benign import check_benign
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE, FURTHER
from cae_core.loaders import Device
from cae_core.models import Model
from cae_core.pool.manifest import PoolMember
from cae_core.pool.members import open_member
from cae_core.pool.same_model import first_equal
from cae_core.progress import StageProgress, silent
from cae_core.statistics.ranks import exceeded_rank, models_needed
from cae_core.statistics.score import Score
from cae_core.statistics.thresholds import LEAST_PARAMETRIC

__all__ = ["CalibrationPlan", "CalibrationSettings", "calibrate", "plan_calibration"]

_SOURCE_MATCHES = 0.9
# The source answers every example as the file says; converted to another format or runtime, all but a near-tie or two.


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings:
    """What a calibration fixes before any suspect is asked.

    Attributes:
        fpr: rate of false accusations, in (0, 1).
        fnr: rate of surrogates called independent, in (0, 1).
        score: that decides.
        parametric: take the p-value from a beta-binomial model: no bound, and labelled so.
        keep: examples to keep, chosen by the screen role; None: all on which its surrogates match more often than its
            references.
    """

    fpr: float = 0.05
    fnr: float = 0.05
    score: str = "caeacc"
    parametric: bool = False
    keep: int | None = None

    def __post_init__(self) -> None:
        models_needed(self.fpr)
        models_needed(self.fnr)
        Score.named(self.score)
        if self.parametric and self.score == "llr":
            raise OptionError("A parametric p-value is a model of counts of matches; it takes --score caeacc.")


@dataclass(frozen=True)
class CalibrationPlan:
    """What a rate takes, said beforehand.

    Attributes:
        rate: that is asked for.
        models: at hand.
        needed: for a verdict at this rate, 1 / rate - 1.
        needed_sequential: for the sequential mode, which halves the rate.
        best: the least rate that the models at hand support, 1 / (r + 1).
        exceeded: how many of the models may score as high as a suspect that is still accused: the more, the less the
            threshold hangs on a single one.
    """

    rate: float
    models: int
    needed: int
    needed_sequential: int
    best: float
    exceeded: int


def plan_calibration(rate: float, models: int) -> CalibrationPlan:
    """Say what ``rate`` takes, with ``models`` calibration models of this relation at hand.

    Example:
        >>> plan_calibration(0.05, 10).needed, plan_calibration(0.05, 10).needed_sequential
        (19, 39)

    Raises:
        OptionError: the rate is not in (0, 1).
    """
    return CalibrationPlan(
        rate,
        models,
        models_needed(rate),
        models_needed(rate / 2),
        1 / (models + 1),
        max(0, exceeded_rank(models, rate) - 1),
    )


def calibrate(
    fingerprint: Fingerprint,
    *,
    references: Sequence[PoolMember],
    surrogates: Sequence[PoolMember] = (),
    screen: Sequence[PoolMember] = (),
    others: Sequence[PoolMember] = (),
    settings: CalibrationSettings,
    device: Device = "auto",
    opener: Callable[[PoolMember], Model] | None = None,
    progress: StageProgress = silent,
) -> Calibration:
    """Ask every model about every image of the fingerprint, and fix how suspects are judged.

    Args:
        fingerprint: which is not changed.
        references: the calibrate role's.
        surrogates: likewise; without them no suspect is called independent.
        screen: the screen role's, of both relations; without them there is no choice of examples and no weighted score.
        others: models that may not be among them, converted or copied: the source and the generate role.
        settings: see `CalibrationSettings`.
        device: where to run the models.
        opener: gives a member as a black box, such as one that is open already; None: by its file.
        progress: called with the models asked and their number.

    Raises:
        PoolError: no reference, or a single one for a parametric p-value; a source that is not the fingerprint's; a
            model that made the fingerprint, or stands twice; a model that is no classifier of these images; a screen
            role of one relation only.
        OptionError: the likelihood-ratio score, or a choice of examples, without a screen role; a choice of more
            examples than there are.
        ModelError: a model cannot be opened or asked.
    """
    screened = [[member for member in screen if member.relation == side] for side in ("surrogate", "reference")]
    _check_roles(len(references), [len(members) for members in screened], settings)
    if settings.keep is not None:
        check_keep(settings.keep, len(fingerprint))
    asker = _Asker(fingerprint, opener or partial(open_member, device=device))
    members = [*others, *screen, *references, *surrogates]
    for done, member in enumerate(members, start=1):
        asker.ask(member, checked=done > len(others))
        progress(done, len(members))
    chosen, weights = np.ones(len(fingerprint), bool), None
    if screen:
        rates = match_rates(*(asker.group(members).matches(fingerprint) for members in screened))
        chosen, weights = choose_examples(rates, settings.keep), match_weights(rates)
    return Calibration(
        fingerprint_id=fingerprint.id,
        score=Score.named(settings.score),
        fpr=settings.fpr,
        fnr=settings.fnr,
        parametric=settings.parametric,
        chosen=chosen,
        weights=weights,
        references=asker.group(references),
        surrogates=asker.group(surrogates),
        screen=asker.group(screen).models,
    )


def _check_roles(references: int, screened: list[int], settings: CalibrationSettings) -> None:
    """Refuse what cannot be calibrated before any model is asked."""
    least = LEAST_PARAMETRIC if settings.parametric else 1
    if references < least:
        raise PoolError(
            f"A calibration takes at least {least} reference{'s' * (least > 1)} with the role calibrate; found "
            f"{references}. Add models to the pool."
        )
    if any(screened) and not all(screened):
        raise PoolError(
            f"The screen role has {screened[0]} surrogates and {screened[1]} references; choosing examples takes both. "
            "Add models, or leave the role out."
        )
    if any(screened):
        return
    if settings.score == "llr":
        raise OptionError("The likelihood-ratio score is weighed by a screen role, and there is none. Add one.")
    if settings.keep is not None:
        raise OptionError("Examples are chosen by a screen role, and there is none. Add one, or leave --keep out.")


class _Asker:
    """Asks models one after the other, and refuses one that was asked before."""

    def __init__(self, fingerprint: Fingerprint, opener: Callable[[PoolMember], Model]) -> None:
        self.fingerprint = fingerprint
        self.opener = opener
        self.images = fingerprint.all_images()
        self.seen: dict[str, str] = {  # SHA-256: what it is
            str(described["sha256"]): f"the {role} {described.get('name')} of the fingerprint"
            for role, part in (("source", "source"), ("surrogate", "surrogates"), ("reference", "references"))
            for described in _described(fingerprint.generation.get(part))
        }
        self.labels: dict[Path, Labels] = {}
        self.digests: dict[Path, str] = {}
        self.outputs: list[Floats32] = []
        self.owners: list[PoolMember] = []

    def ask(self, member: PoolMember, *, checked: bool) -> None:
        digest = member.digest()
        if checked and digest in self.seen:
            raise PoolError(
                f"{member.path}: this {member.relation} is {self.seen[digest]}. A calibration takes models that had no "
                "part in making the fingerprint, each once; remove this one."
            )
        self.seen.setdefault(digest, f"{member.path} ({member.relation}, {member.role})")
        self.digests[member.path] = digest
        try:
            answers = self.opener(member).predict(self.images)
        except CaeError as error:
            if checked:
                raise
            raise PoolError(f"{member.path}: it cannot be told apart from the calibration models ({error})") from error
        classes = len(self.fingerprint.class_names)
        found = classes if answers.probabilities is None else answers.probabilities.shape[1]
        if found != classes or answers.labels.max() >= classes:
            raise PoolError(
                f"{member.path}: the model answers {max(found, int(answers.labels.max()) + 1)} classes and the "
                f"fingerprint has {classes}. Give it a class map, or another model."
            )
        if member.relation == "source":
            self._refuse_another_source(member, answers.labels)
        if answers.probabilities is not None:
            self._refuse_known(member, answers.probabilities, checked=checked)
        self.labels[member.path] = answers.labels
        if checked:
            self._refuse_useless(member)

    def _refuse_another_source(self, member: PoolMember, labels: Labels) -> None:
        """Surrogates of another model would be references by another name."""
        matches = int((labels[self.fingerprint.rows(EXAMPLE)] == self.fingerprint.labels).sum())
        if matches < _SOURCE_MATCHES * len(self.fingerprint):
            raise PoolError(
                f"{member.path}: the pool's source gives {matches} of {len(self.fingerprint)} examples the "
                "fingerprint's label, so it is not the model that the fingerprint is of. Give the pool of that model."
            )

    def _refuse_known(self, member: PoolMember, output: Floats32, *, checked: bool) -> None:
        if checked and self.outputs:
            same = first_equal(output, np.stack(self.outputs))
            if same is not None:
                other = self.owners[same]
                raise PoolError(
                    f"{member.path} ({member.relation}, {member.role}) answers everything like {other.path} "
                    f"({other.relation}, {other.role}): it is the same model, converted or copied. "
                    "Remove one of the two."
                )
        self.outputs.append(output)
        self.owners.append(member)

    def _refuse_useless(self, member: PoolMember) -> None:
        """A model that fails the benign check matches nothing, and would make every suspect look suspicious."""
        said = self.labels[member.path][self.fingerprint.rows(BENIGN)]
        check = check_benign(
            said,
            self.fingerprint.probe_labels,
            classes=len(self.fingerprint.class_names),
            source_accuracy=self.fingerprint.source_accuracy,
        )
        if check.reason is not None:
            raise PoolError(f"{member.path}: {check.reason} Correct its contract, or remove it.")

    def group(self, members: Sequence[PoolMember]) -> Group:
        fingerprint = self.fingerprint
        labels = np.array([self.labels[member.path] for member in members], np.int64).reshape(-1, len(self.images))
        return Group(
            models=tuple(
                CalibrationModel(
                    name=member.name,
                    sha256=self.digests[member.path],
                    kind=member.kind,
                    architecture=member.architecture,
                    ancestor=member.ancestor,
                )
                for member in members
            ),
            answers=labels[:, fingerprint.rows(EXAMPLE)],
            right=labels[:, fingerprint.rows(BENIGN)] == fingerprint.probe_labels,
            further={k.name: labels[:, fingerprint.rows(k)] for k in FURTHER if len(fingerprint.of(k))},
        )


def _described(part: object) -> list[dict[str, Any]]:
    """Return the models that a part of the generation's metadata describes; the file may be anybody's."""
    rows = cast("list[object]", part) if isinstance(part, list) else [part]
    return [row for row in rows if _is_described(row)]


def _is_described(row: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(row, dict) and "sha256" in row
