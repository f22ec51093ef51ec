"""Is a pool what its manifest says? Files, class counts, accuracies, and one model under two names.

Equality of files misses conversions: two files whose answers to the same probes are equal are the same model.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Labels
from cae_core.containment.limits import GENEROUS, Limits
from cae_core.dataset import ImageSet
from cae_core.errors import CaeError, PoolError
from cae_core.loaders import Device
from cae_core.models import NO_ANSWER, Predictions
from cae_core.pool.manifest import PoolMember
from cae_core.pool.members import OpenPool
from cae_core.pool.same_model import probe_images
from cae_core.pool.seen_outputs import SeenOutputs
from cae_core.progress import StageProgress, detail, silent

__all__ = ["MemberReport", "check_added", "check_members", "refuse_problems"]

_ACCURACY_DIFFERENCE = 0.005
_ASKED_TOGETHER = 1024


@dataclass
class MemberReport:
    """What was found about one member.

    Attributes:
        member: as the manifest has it.
        sha256: SHA-256 of the file; empty where there is none.
        accuracy: measured on the images; None where the model could not be asked.
        agreement: fraction of the images that it labels like the source; None where the model could not be asked, or
            without a source.
        problems: in sentences.
    """

    member: PoolMember
    sha256: str = ""
    accuracy: float | None = None
    agreement: float | None = None
    problems: list[str] = field(default_factory=list[str])

    @classmethod
    def as_listed(cls, member: PoolMember) -> Self:
        """Return what the manifest itself says of a member; nothing is opened."""
        return cls(member, sha256=member.sha256 or "", accuracy=member.accuracy)

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: as ``cae pool list --json`` prints it."""
        names = ("name", "role", "relation", "kind", "architecture", "parent", "seed")
        return {
            **{name: getattr(self.member, name) for name in names},
            "path": self.member.path,
            **{name: getattr(self, name) for name in ("sha256", "accuracy", "agreement", "problems")},
        }


def check_members(
    members: Sequence[PoolMember],
    data: ImageSet,
    *,
    device: Device = "auto",
    limits: Limits = GENEROUS,
    progress: StageProgress = silent,
) -> list[MemberReport]:
    """Open every member as a black box, ask it, and say what is wrong with it.

    Args:
        members: of one pool; the source is the one with this relation.
        data: labelled images of which no member's training has seen the labels.
        device: where to run the models.
        limits: of the process of the members that are not trusted.
        progress: called with the members done and their number.

    Returns:
        One report for each member, in their order.
    """
    probes, opened = probe_images(data), OpenPool(device=device, limits=limits)
    opened.expect(members)
    reports: list[MemberReport] = []
    answers: list[Labels | None] = []
    outputs: list[Floats32 | None] = []
    for member in members:
        detail(progress, "asking models", member.name)
        report = MemberReport(member)
        labels, output = _asked(report, data, probes, opened)
        reports.append(report)
        answers.append(labels)
        outputs.append(output)
        progress(len(reports), len(members))
    _compare_with_source(reports, answers)
    _find_same_models(reports, outputs)
    return reports


def refuse_problems(reports: Sequence[MemberReport], origin: str) -> None:
    """Refuse members with a problem.

    Args:
        reports: see `check_members`.
        origin: what the message begins with.

    Raises:
        PoolError: listing every problem.
    """
    problems = [problem for report in reports for problem in report.problems]
    if problems:
        raise PoolError(
            f"{origin}: {len(problems)} {'problem was' if len(problems) == 1 else 'problems were'} found."
            + "".join(f"\n  {p}" for p in problems)
        )


def check_added(made: Sequence[PoolMember], added: Sequence[PoolMember], data: ImageSet) -> None:
    """Refuse a model that was added to a pool in one role and made for it in another.

    A model that cannot be opened, or answers labels only, is told by its file alone; see `check_members`.

    Args:
        made: the members that were trained for the pool.
        added: those that came from elsewhere.
        data: the images from which the probes are made.

    Raises:
        PoolError: naming both.
    """
    probes = probe_images(data)
    opened = OpenPool()
    opened.expect([*added, *made])
    seen, by_file = SeenOutputs(), dict[str, list[PoolMember]]()
    for member in added:
        seen.add(_probabilities(opened, member, probes))
        by_file.setdefault(member.sha256 or "", []).append(member)
    roles = {member.role for member in added}
    for trained in made:
        if not roles - {trained.role}:  # whatever it is, it has its one role
            continue
        alike = by_file.get(trained.sha256, []) if trained.sha256 else []
        alike = [*alike, *(added[place] for place in seen.equal_to(_probabilities(opened, trained, probes)))]
        same = [member for member in alike if member.role != trained.role]
        if same:
            raise PoolError(
                f"{same[0].path}: it was added with the role {same[0].role}, and {trained.path} ({trained.role}) is "
                "the same model, copied or converted. A model has one role; remove one of the two."
            )


def _probabilities(opened: OpenPool, member: PoolMember, probes: NDArray[np.uint8]) -> Floats32 | None:
    try:
        return opened.open(member).model.predict(probes).probabilities
    except CaeError:  # `check_members` says what is wrong with it
        return None


def _asked(
    report: MemberReport, data: ImageSet, probes: NDArray[np.uint8], opened: OpenPool
) -> tuple[Labels | None, Floats32 | None]:
    """Fill in what concerns this member alone; return its labels of the data and its probabilities of the probes."""
    member = report.member
    try:
        report.sha256 = member.digest()
        model = opened.open(member).model
        parts = range(0, len(data), _ASKED_TOGETHER)
        asked = [model.predict(data.images[i : i + _ASKED_TOGETHER]) for i in parts]
        probed = model.predict(probes)
    except CaeError as error:
        report.problems.append(str(error))
        return None, None
    problem = _wrong_classes([*asked, probed], len(data.class_names))
    if problem:
        report.problems.append(f"{member.path}: {problem}")
        return None, None
    labels = np.concatenate([answer.labels for answer in asked])
    report.accuracy = float((labels == data.labels).mean())
    if member.accuracy is not None and abs(member.accuracy - report.accuracy) > _ACCURACY_DIFFERENCE:
        report.problems.append(
            f"{member.path}: the manifest says an accuracy of {member.accuracy:.3f} and these images give "
            f"{report.accuracy:.3f}. Are they the ones it was measured on, and is the contract right?"
        )
    return labels, probed.probabilities


def _wrong_classes(answers: Sequence[Predictions], classes: int) -> str:
    for answer in answers:
        found = answer.labels.max(initial=NO_ANSWER) + 1
        if answer.probabilities is not None and answer.probabilities.shape[1] != classes:
            found = answer.probabilities.shape[1]
        elif found <= classes:
            continue
        return f"the model answers {found} classes and the data have {classes}. Give it a class map, or other data."
    return ""


def _compare_with_source(reports: Sequence[MemberReport], answers: Sequence[Labels | None]) -> None:
    of_source = [labels for r, labels in zip(reports, answers, strict=True) if r.member.relation == "source"]
    if len(of_source) != 1 or of_source[0] is None:
        return
    for report, labels in zip(reports, answers, strict=True):
        if labels is not None:
            report.agreement = float((labels == of_source[0]).mean())


def _find_same_models(reports: Sequence[MemberReport], outputs: Sequence[Floats32 | None]) -> None:
    """Report each member whose answers equal those of one before it; bare labels do not tell models apart."""
    seen = SeenOutputs()
    for report, output in zip(reports, outputs, strict=True):
        same = seen.equal_to(output)
        seen.add(output)
        if same:
            first, second = reports[same[0]].member, report.member
            report.problems.append(
                f"{second.path} ({second.role}) answers all probes like {first.path} ({first.role}): it is the same "
                "model, converted or copied. A model has one role; remove one of the two."
            )
