"""Calibrating a fingerprint: asking models that had no part in making it, and keeping what they answer."""

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeGuard, cast

import numpy as np

from cae_core.arrays import Floats32, Labels
from cae_core.calibration.adjusting import adjusted_in_vain
from cae_core.calibration.groups import CalibrationModel, Group, KnownModel, KnownModels
from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.calibration.record import Calibration
from cae_core.calibration.screening import check_keep, choose_examples, match_rates, match_weights
from cae_core.defences.table import check_all_preprocessing, defended
from cae_core.errors import CaeError, OptionError, PoolError
from cae_core.fingerprint.benign import check_benign
from cae_core.fingerprint.control_sources import described_controls
from cae_core.fingerprint.example_kinds import NATURAL_ERROR
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE, FURTHER
from cae_core.fingerprint.scores import scores_of
from cae_core.models import Predictions
from cae_core.pool.exposure import exposure_of
from cae_core.pool.manifest import PoolMember
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import CalibrationMembers
from cae_core.pool.seen_outputs import SeenOutputs
from cae_core.progress import StageProgress, detail, silent
from cae_core.statistics.adjustment import REFERENCES_TO_ADJUST, check_degree, default_degree
from cae_core.statistics.exposure import ExposureRule
from cae_core.statistics.ranks import exceeded_rank, models_needed
from cae_core.statistics.score import Score
from cae_core.statistics.thresholds import LEAST_PARAMETRIC
from cae_core.statistics.unit import Unit

__all__ = [
    "AskedModel",
    "CalibrationPlan",
    "CalibrationResult",
    "CalibrationSettings",
    "calibrate",
    "plan_calibration",
    "wanted_score",
]

_SOURCE_MATCHES = 0.9
"""The source answers every example as the file says; converted to another runtime, all but a near-tie or two."""


@dataclass(frozen=True, kw_only=True)
class CalibrationSettings:
    """What a calibration fixes before any suspect is asked.

    Attributes:
        fpr: rate of false accusations, in (0, 1).
        fnr: rate of surrogates called independent, in (0, 1).
        score: score that decides. Empty: the adjusted score if natural errors of the source are among the examples,
            since less accurate models match those more often, and each group of references that counts has
            `REFERENCES_TO_ADJUST`; otherwise CAEAcc, and always with a parametric p-value or control sources. CAEAcc
            replaces the adjusted score if that is not possible, see `adjusted_in_vain`.
        parametric: whether the p-value comes from a beta-binomial model; it carries no bound, and is labelled so.
        keep: number of examples to keep, chosen by the screen role; None: all on which its surrogates match more
            often than its references.
        degree: degree of the polynomial in benign accuracy that the adjusted score takes out; None: see
            `default_degree`, by the smallest group of references that counts.
        null: the hypothesis that an accusation rejects, see `NullHypothesis`.
        unit: what counts as one draw among the references: model, recipe, architecture, or group, the larger p of both.
        exposure: which groups of references count, by their exposure to the seeds; default: all, and the largest p.
        behind: defences (see `cae_core.defences`) behind each of which the references are asked as well, and are a
            group of their own: for innocent suspects that may preprocess their images.
    """

    fpr: float = 0.05
    fnr: float = 0.05
    score: str = ""
    parametric: bool = False
    keep: int | None = None
    degree: int | None = None
    null: str = NullHypothesis.REFERENCES
    exposure: str = ExposureRule.LARGEST
    unit: str = Unit.MODEL
    behind: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        models_needed(self.fpr)
        models_needed(self.fnr)
        null = NullHypothesis.named(self.null)
        if not self.score and (self.parametric or null.asks_controls):
            object.__setattr__(self, "score", Score.CAEACC)
        if self.score:
            Score.named(self.score)
        if self.degree is not None:
            check_degree(self.degree)
        ExposureRule.named(self.exposure)
        check_all_preprocessing(self.behind)
        if self.parametric and (self.score != Score.CAEACC or Unit.named(self.unit) != Unit.MODEL):
            raise OptionError(
                "A parametric p-value is a model of counts of matches; it takes --score caeacc and --unit model."
            )
        if null.asks_controls:
            self._check_sources()

    def _check_sources(self) -> None:
        assumes = ExposureRule.named(self.exposure).assumed is not None or self.unit != Unit.MODEL or self.behind
        if self.parametric or self.score != Score.CAEACC or self.keep is not None or assumes:
            raise OptionError(
                f"--null {self.null} ranks the claimed source among sources that are treated alike: it takes --score "
                "caeacc, without --parametric, --keep, --unit, --exposure and --behind."
            )


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


@dataclass(frozen=True, kw_only=True)
class AskedModel:
    """A member that was asked about every image of a fingerprint: its examples, its benign probes, its source's errors.

    Attributes:
        member: what it is.
        sha256: of its file.
        labels: int64 (n + q + a,), what it answered, in this order.
        outputs: float32 (n + q + a, c), its probabilities; None: it tells labels only.
        behind: int64 (n + q + a,), what it answered behind each defence; of references of the role calibrate.
    """

    member: PoolMember
    sha256: str
    labels: Labels = field(repr=False)
    outputs: Floats32 | None = field(repr=False)
    behind: Mapping[str, Labels] = field(repr=False, default_factory=dict[str, Labels])


@dataclass(frozen=True, kw_only=True)
class CalibrationResult:
    """A calibration, and what it was made of.

    Attributes:
        calibration: how suspects are judged.
        asked: every member in the order asked, those of the generation first.
    """

    calibration: Calibration
    asked: tuple[AskedModel, ...] = field(repr=False)


def calibrate(
    fingerprint: Fingerprint,
    members: CalibrationMembers,
    *,
    settings: CalibrationSettings,
    opened: OpenPool | None = None,
    progress: StageProgress = silent,
) -> CalibrationResult:
    """Ask every model about every image of the fingerprint, and fix how suspects are judged.

    Args:
        fingerprint: which is not changed.
        members: who is asked, and for what.
        settings: see `CalibrationSettings`.
        opened: what the job has opened and hashed already.
        progress: called with the models asked and their number.

    Raises:
        PoolError: no reference, or a single one for a parametric p-value; a source that is not the fingerprint's; a
            model that made the fingerprint, or stands twice; a model that is no classifier of these images; a screen
            role of one relation only.
        OptionError: the likelihood-ratio score, or a choice of examples, without a screen role; a choice of more
            examples than there are.
        ModelError: a model cannot be opened or asked.
    """
    null = NullHypothesis.named(settings.null)
    if fingerprint.query_log is not None and null != NullHypothesis.SOURCES:
        raise OptionError(
            "This fingerprint is of a query log, whose images references may have seen with other labels: it takes "
            "--null sources."
        )
    screened = [[member for member in members.screen if member.relation == side] for side in ("surrogate", "reference")]
    _check_roles(len(members.references), [len(side) for side in screened], settings)
    if null.asks_controls and not fingerprint.controls:
        raise OptionError(
            f"--null {null} takes control sources, and this fingerprint has none. Generate it with --control."
        )
    if settings.keep is not None:
        check_keep(settings.keep, len(fingerprint))
    asker = _Asker(fingerprint, opened or OpenPool())
    everyone = [*members.generation, *members.screen, *members.references, *members.surrogates]
    behind = {member.path: settings.behind for member in members.references}
    asker.opened.expect(everyone)
    for done, member in enumerate(everyone, start=1):
        detail(progress, "asking models", member.name)
        asker.ask(member, checked=done > len(members.generation), behind=behind.get(member.path, ()))
        progress(done, len(everyone))
    chosen, weights = np.ones(len(fingerprint), bool), None
    if members.screen:
        rates = match_rates(*(asker.group(side).matches(fingerprint) for side in screened))
        weights = match_weights(rates)
        if not null.asks_controls:  # no example of the controls is left out either
            chosen = choose_examples(rates, settings.keep)
    references = asker.group(members.references)
    exposure = _exposure_rule(settings, references)
    degree = _degree(settings, exposure, references)
    calibration = Calibration(
        fingerprint_id=fingerprint.id,
        score=_deciding_score(settings, fingerprint, exposure, references, degree),
        fpr=settings.fpr,
        fnr=settings.fnr,
        parametric=settings.parametric,
        chosen=chosen,
        weights=weights,
        references=references,
        surrogates=asker.group(members.surrogates),
        screen=asker.group(members.screen).models,
        fingerprint_sha256=fingerprint.content_sha256,
        null=null,
        known=asker.known(),
        degree=degree,
        exposure=exposure,
        unit=Unit.named(settings.unit),
        preprocessed={behind: asker.group(members.references, behind=behind) for behind in settings.behind},
    )
    return CalibrationResult(calibration=calibration, asked=tuple(asker.asked))


def wanted_score(settings: CalibrationSettings, fingerprint: Fingerprint) -> Score:
    """Return the score that the settings name, or what they leave to the kinds of the examples."""
    if settings.score:
        return Score.named(settings.score)
    return Score.ADJUSTED if NATURAL_ERROR.code in fingerprint.example_kinds else Score.CAEACC


def _degree(settings: CalibrationSettings, exposure: ExposureRule, references: Group) -> int:
    if settings.degree is not None:
        return settings.degree
    return default_degree(_fewest(exposure, references))


def _fewest(exposure: ExposureRule, references: Group) -> int:
    """Return how many references the smallest of the groups has that count."""
    groups = exposure.groups([model.exposure for model in references.models]).values()
    return min((len(rows) for rows in groups), default=0)


def _deciding_score(
    settings: CalibrationSettings, fingerprint: Fingerprint, exposure: ExposureRule, references: Group, degree: int
) -> Score:
    score = wanted_score(settings, fingerprint)
    if score != Score.ADJUSTED:
        return score
    few = not settings.score and _fewest(exposure, references) < REFERENCES_TO_ADJUST
    in_vain = adjusted_in_vain(len(fingerprint.probe_images), len(references), degree)
    return Score.CAEACC if few or in_vain else score


def _exposure_rule(settings: CalibrationSettings, references: Group) -> ExposureRule:
    """Return which groups count; where no manifest says what the references saw, they are one, as ever."""
    rule = ExposureRule.named(settings.exposure)
    exposures = [model.exposure for model in references.models]
    if rule.assumed is None:
        apart = any(exposures) and settings.null != NullHypothesis.SOURCES
        return rule if apart else ExposureRule.ONE_GROUP
    if not rule.groups(exposures):
        raise PoolError(
            f"No reference of the role calibrate is {rule.assumed.words.replace('its', 'the')}, as --exposure {rule} "
            "takes them. Say in the manifest what each was trained on (trained_on), or leave --exposure out."
        )
    return rule


def _check_roles(references: int, screened: list[int], settings: CalibrationSettings) -> None:
    """Refuse what cannot be calibrated before any model is asked."""
    least = LEAST_PARAMETRIC if settings.parametric else 0 if settings.null == NullHypothesis.SOURCES else 1
    if references < least:
        raise PoolError(
            f"A calibration needs at least {least} reference{'s' * (least > 1)} with the role calibrate; found "
            f"{references}. Add models to the pool."
        )
    if any(screened) and not all(screened):
        raise PoolError(
            f"The screen role has {screened[0]} surrogates and {screened[1]} references; choosing examples needs both. "
            "Add models, or leave the role out."
        )
    if any(screened):
        return
    if settings.score == Score.LLR:
        raise OptionError(
            "The likelihood-ratio score needs models of the role screen, and the pool has none. Add some."
        )
    if settings.keep is not None:
        raise OptionError(
            "Choosing examples needs models of the role screen, and the pool has none. Add some, or leave --keep out."
        )


class _Asker:
    """Asks models one after the other, and refuses one that was asked before."""

    def __init__(self, fingerprint: Fingerprint, opened: OpenPool) -> None:
        self.fingerprint, self.opened = fingerprint, opened
        self.images = fingerprint.all_images()
        self.seen = _makers(fingerprint)
        self.asked: list[AskedModel] = []
        self.outputs = SeenOutputs()

    def ask(self, member: PoolMember, *, checked: bool, behind: Sequence[str]) -> None:
        """Ask a member, and again behind each defence.

        Args:
            member: of the pool.
            checked: whether it is to be calibrated with, and not only to be told apart from those that are.
            behind: the defences.
        """
        digest = self.opened.digest(member)
        if checked:
            _refuse_known_file(member, self.seen.get(digest))
        self.seen.setdefault(digest, f"{member.path} ({member.relation}, {member.role})")
        answers, defended_answers = self._answers(member, behind, checked=checked)
        _check_classes(member, answers, len(self.fingerprint.class_names))
        if member.relation == "source":
            _refuse_another_source(member, answers.labels, self.fingerprint)
        asked = AskedModel(
            member=member,
            sha256=digest,
            labels=answers.labels,
            outputs=answers.probabilities,
            behind=defended_answers,
        )
        if checked:
            _refuse_same_model(asked, [self.asked[place] for place in self.outputs.equal_to(asked.outputs)])
            _refuse_useless(asked, self.fingerprint)
        self.asked.append(asked)
        self.outputs.add(asked.outputs)

    def _answers(
        self, member: PoolMember, behind: Sequence[str], *, checked: bool
    ) -> tuple[Predictions, dict[str, Labels]]:
        try:
            model, classes = self.opened.open(member).model, len(self.fingerprint.class_names)
            defences = {each: defended(model, each, classes=classes) for each in behind}
            return model.predict(self.images), {each: d.predict(self.images).labels for each, d in defences.items()}
        except CaeError as error:
            if checked:
                raise
            raise PoolError(f"{member.path}: it cannot be told apart from the calibration models ({error})") from error

    def group(self, members: Sequence[PoolMember], *, behind: str = "") -> Group:
        """Return what was kept of these members, in their order; ``behind``: of what they answered behind a defence."""
        fingerprint = self.fingerprint
        by_path = {asked.member.path: asked for asked in self.asked}
        found = [by_path[member.path] for member in members]
        answers = [asked.behind[behind] if behind else asked.labels for asked in found]
        labels = np.array(answers, np.int64).reshape(-1, len(self.images))
        group = Group.of_labels([_described_model(asked, fingerprint) for asked in found], labels, fingerprint)
        if behind:  # images of kinds that only inform are told of the models as they are
            return group
        further = {k.name: labels[:, fingerprint.rows(k)] for k in FURTHER if len(fingerprint.of(k))}
        return dataclasses.replace(group, further=further)

    def known(self) -> KnownModels:
        """Return by what each member that was asked is known again."""
        telling = [asked for asked in self.asked if asked.outputs is not None]
        scores = [scores_of(asked.outputs) for asked in telling if asked.outputs is not None]
        return KnownModels(
            models=tuple(_known_model(asked) for asked in telling),
            scores=np.array(scores, np.float32).reshape(len(telling), len(self.images), 2),
        )


def _makers(fingerprint: Fingerprint) -> dict[str, str]:
    """Return by its SHA-256 what each model is that the fingerprint says it was made with."""
    generation = fingerprint.generation
    parts = [
        *(("source", generation.get("source")), ("surrogate", generation.get("surrogates"))),
        ("reference", generation.get("references")),
        *(("control source", control) for control in described_controls(generation)),
        *(("control source's surrogate", control.get("surrogates")) for control in described_controls(generation)),
    ]
    return {
        str(described["sha256"]): f"the {role} {described.get('name')} of the fingerprint"
        for role, part in parts
        for described in _described(part)
    }


def _refuse_known_file(member: PoolMember, known: str | None) -> None:
    if known is not None:
        raise PoolError(
            f"{member.path}: this {member.relation} is {known}. A calibration takes models that had no "
            "part in making the fingerprint, each once; remove this one."
        )


def _check_classes(member: PoolMember, answers: Predictions, classes: int) -> None:
    found = classes if answers.probabilities is None else answers.probabilities.shape[1]
    if found != classes or answers.labels.max() >= classes:
        raise PoolError(
            f"{member.path}: the model answers {max(found, int(answers.labels.max()) + 1)} classes and the "
            f"fingerprint has {classes}. Give it a class map, or another model."
        )


def _refuse_another_source(member: PoolMember, labels: Labels, fingerprint: Fingerprint) -> None:
    """Surrogates of another model would be references by another name."""
    matches = int((labels[fingerprint.rows(EXAMPLE)] == fingerprint.labels).sum())
    if matches < _SOURCE_MATCHES * len(fingerprint):
        raise PoolError(
            f"{member.path}: the pool's source gives {matches} of {len(fingerprint)} examples the "
            "fingerprint's label, so it is not the model that the fingerprint is of. Give the pool of that model."
        )


def _refuse_same_model(asked: AskedModel, same: Sequence[AskedModel]) -> None:
    """Equality of files misses a model that was converted; equality of answers does not."""
    if same:
        member, other = asked.member, same[0].member
        raise PoolError(
            f"{member.path} ({member.relation}, {member.role}) answers everything like {other.path} "
            f"({other.relation}, {other.role}): it is the same model, converted or copied. "
            "Remove one of the two."
        )


def _refuse_useless(asked: AskedModel, fingerprint: Fingerprint) -> None:
    """A model that fails the benign check matches nothing, and would make every suspect look suspicious."""
    reason = check_benign(
        asked.labels[fingerprint.rows(BENIGN)],
        fingerprint.probe_labels,
        classes=len(fingerprint.class_names),
        source_accuracy=fingerprint.source_accuracy,
    )
    if reason is not None:
        raise PoolError(f"{asked.member.path}: {reason} Correct its contract, or remove it.")


def _described_model(asked: AskedModel, fingerprint: Fingerprint) -> CalibrationModel:
    member = asked.member
    return CalibrationModel(
        name=member.name,
        sha256=asked.sha256,
        kind=member.kind,
        architecture=member.architecture,
        ancestor=member.ancestor,
        recipe=member.recipe,
        exposure=exposure_of(member, fingerprint),
    )


def _known_model(asked: AskedModel) -> KnownModel:
    member = asked.member
    return KnownModel(name=member.name, sha256=asked.sha256, role=member.role, relation=member.relation)


def _described(part: object) -> list[dict[str, Any]]:
    """Return the models that a part of the generation's metadata describes; the file may be anybody's."""
    rows = cast("list[object]", part) if isinstance(part, list) else [part]
    return [row for row in rows if _is_described(row)]


def _is_described(row: object) -> TypeGuard[dict[str, Any]]:
    return isinstance(row, dict) and "sha256" in row
