"""The comparison: queries of every method, the same references for all, the same suspects, each model asked once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from cae_core.arena.answers import AnswerStore, Asked
from cae_core.arena.choosing import Choice, chosen, judges_of
from cae_core.arena.contender import Contender
from cae_core.arena.material import Material
from cae_core.arena.method import Needs, adjusts
from cae_core.arena.outcome import Outcome, Scores, judged
from cae_core.arena.queries import Queries
from cae_core.arena.settings import CompareSettings
from cae_core.arena.workshop import Made, Workshop
from cae_core.arrays import Floats64
from cae_core.dataset import ImageSet
from cae_core.errors import OptionError, PoolError
from cae_core.files.exclusion import exclusive
from cae_core.files.outputs import check_folder
from cae_core.files.owners import sweep_drafts
from cae_core.files.records import read_record, readable_json
from cae_core.files.storage import write_atomically
from cae_core.generation.probes import PROBES, benign_places
from cae_core.pool.manifest import Pool, PoolMember
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import GenerationMembers
from cae_core.progress import Progress, silent, stage

__all__ = ["Comparison", "Entry", "compare"]

_VERSION = 1
_MARK = "arena.json"
"""Says that a folder is of a comparison, and of which version."""


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A configuration that took part.

    Attributes:
        method: name of the method, as the user gave it.
        configuration: name of the configuration.
        words: what it does.
        needs: what it takes.
        seconds: seconds that making its queries took.
        peak_mb: the most memory that the process held meanwhile, in 10⁶ bytes; None where the system does not say.
        failed: why it could make none; empty where it could.
    """

    method: str
    configuration: str
    words: str
    needs: Needs
    seconds: float
    peak_mb: float | None
    failed: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What came out.

    Attributes:
        pool: the manifest.
        data: description of the images, see `ImageSet.described`.
        settings: settings of the comparison.
        references: number of references of the role calibrate.
        suspects: of the judged role, surrogates and references.
        probes: benign images of which each model's accuracy is known.
        accuracy: mean of the suspects' on them, by relation, 0 to 1.
        accuracy_without: the same without the defence; None if no defence is simulated.
        entries: the configurations that took part.
        choices: how those of several were chosen.
        outcomes: outcome of each entry that has queries, for each budget.
    """

    pool: str
    data: Mapping[str, object]
    settings: CompareSettings
    references: int
    suspects: Mapping[str, int]
    probes: int
    accuracy: Mapping[str, float]
    accuracy_without: Mapping[str, float] | None
    entries: tuple[Entry, ...]
    choices: tuple[Choice, ...]
    outcomes: tuple[Outcome, ...] = field(repr=False)


def compare(
    pool: Pool,
    data: ImageSet,
    contenders: Sequence[Contender],
    *,
    settings: CompareSettings,
    output: Path,
    opened: OpenPool | None = None,
    progress: Progress = silent,
) -> Comparison:
    """Compare methods on the models of a pool.

    What is made and answered is kept in ``output``: a comparison that is interrupted goes on when it is called again,
    and no model is asked anything twice.

    Args:
        pool: with a source, references of the role *calibrate*, and both relations of the role that is judged.
        data: labelled images.
        contenders: the methods.
        settings: see `CompareSettings`.
        output: a folder of its own.
        opened: opens the models.
        progress: told of each stage.

    Raises:
        PoolError: a role that is needed is empty.
        OptionError: no method, or ``output`` is of something else.
        CaeError: a model cannot be opened or asked; see `Material` and `AnswerStore`.
    """
    if not contenders:
        raise OptionError("Name at least one method.")
    suspects = _suspects(pool, settings)
    _prepare(output, inputs=[member.path for member in pool.members])
    arena = _Arena(pool, data, settings=settings, output=output, opened=opened or OpenPool(), progress=progress)
    with exclusive(output / _MARK):  # of two at once, the second finds what the first has asked
        entries, choices = arena.entries(contenders)
        outcomes = arena.outcomes([made for made in entries if not made.failed], suspects)
    return Comparison(
        pool=pool.origin,
        data=data.described(),
        settings=settings,
        references=len(arena.references),
        suspects={side: sum(one.relation == side for one in suspects) for side in ("surrogate", "reference")},
        probes=len(arena.probes.queries),
        accuracy=arena.accuracies(suspects, arena.behind),
        accuracy_without=arena.accuracies(suspects, arena.store) if settings.defence else None,
        entries=tuple(_entry(made) for made in entries),
        choices=tuple(choices),
        outcomes=outcomes,
    )


def _suspects(pool: Pool, settings: CompareSettings) -> tuple[PoolMember, ...]:
    """Return those judged, once it is clear that all roles are there."""
    _ = pool.source
    if not pool.select(role="calibrate", relation="reference"):
        raise PoolError(
            f"{pool.origin}: no reference of the role calibrate, among which suspects are ranked. Add some."
        )
    for relation in ("surrogate", "reference"):
        if not pool.select(role=settings.role, relation=relation):
            raise PoolError(
                f"{pool.origin}: no {relation} of the role {settings.role}; a comparison judges models of both "
                "relations. Add some, or name another role."
            )
    return pool.select(role=settings.role)


def _prepare(output: Path, *, inputs: Sequence[Path]) -> None:
    """Mark a folder as one of a comparison, or refuse it.

    Raises:
        OptionError: it is of another version, or holds something else.
        StorageError: it is no folder, or cannot be written.
    """
    check_folder(output, inputs=inputs)
    sweep_drafts(output)
    mark = output / _MARK
    if mark.exists():
        version = read_record(mark).get("arena")
        if version != _VERSION:
            raise OptionError(f"{output}: a comparison of version {version!r}, and this is {_VERSION}. Name another.")
    elif output.exists() and any(output.iterdir()):
        raise OptionError(f"{output}: the folder is not empty, and holds no comparison. Name another one.")
    else:
        write_atomically(mark, readable_json({"arena": _VERSION}))


class _Arena:
    """One comparison at work."""

    def __init__(
        self,
        pool: Pool,
        data: ImageSet,
        *,
        settings: CompareSettings,
        output: Path,
        opened: OpenPool,
        progress: Progress,
    ) -> None:
        self.pool, self.settings, self.progress = pool, settings, progress
        self.references = pool.select(role="calibrate", relation="reference")
        probes = _probes(data, settings.seed)
        rest = data.subset(np.setdiff1d(np.arange(len(data)), probes))
        members = GenerationMembers.of_pool(pool)
        material = Material(members=members, data=rest, seed=settings.seed, opened=opened, folder=output / "work")
        self.workshop = Workshop(material, settings.budgets, output / "queries")
        self.store = AnswerStore(output / "answers", opened)
        self.behind = replace(self.store, defence=settings.defence)
        told = data.subset(probes)
        self.probes = Asked(
            id=told.sha256(),
            queries=Queries.in_order(told.images, told.labels, [len(told)]),
            classes=len(data.class_names),
            probabilities=False,
        )

    def entries(self, contenders: Sequence[Contender]) -> tuple[list[Made], list[Choice]]:
        """Return the configurations that take part, and how those of several were chosen."""
        settled = [self._considered(contender) for contender in contenders]
        everything = [(contender, name) for contender, names in zip(contenders, settled, strict=True) for name in names]
        tell = stage(self.progress, "making queries")
        made: list[Made] = []
        for contender, name in everything:
            made.append(self.workshop.make(contender, name, progress=tell))
            tell(len(made), len(everything))
        self.workshop.material.close()
        self.workshop.tidy()
        if self.settings.role == "screen":
            return made, []
        several = [contender for contender, names in zip(contenders, settled, strict=True) if len(names) > 1]
        choices = self._choices(several, made)
        taken = {choice.method: choice.configuration for choice in choices}
        return [one for one in made if taken.get(one.contender.name, one.configuration) == one.configuration], choices

    def outcomes(self, entries: Sequence[Made], suspects: Sequence[PoolMember]) -> tuple[Outcome, ...]:
        """Ask references and suspects, and rank them."""
        asked = [self.probes, *(made.asked for made in entries)]
        tell = stage(self.progress, "asking models")
        if self.settings.defence:
            self.store.ask(self.references, asked, progress=tell)
            self.store.ask(suspects, [self.probes], progress=stage(self.progress, "asking without the defence"))
            self.behind.ask(suspects, asked, progress=stage(self.progress, "asking behind the defence"))
        else:
            self.store.ask([*self.references, *suspects], asked, progress=tell)
        return tuple(self._outcome(made, budget, suspects) for made in entries for budget in self.settings.budgets)

    def accuracies(self, suspects: Sequence[PoolMember], store: AnswerStore) -> dict[str, float]:
        """Return the mean accuracy on the benign probes, by relation."""
        sides = {side: [one for one in suspects if one.relation == side] for side in ("surrogate", "reference")}
        return {side: float(np.mean([self._accuracy(one, store) for one in some])) for side, some in sides.items()}

    def _considered(self, contender: Contender) -> list[str]:
        """Return the names of the configurations whose queries are made."""
        if self.settings.role == "screen":
            return list(contender.configurations)
        usual = contender.configurations[contender.usual]
        if not self.settings.choose or not judges_of(self.pool, usual):
            return [contender.usual]
        return list(contender.configurations)

    def _choices(self, several: Sequence[Contender], made: Sequence[Made]) -> list[Choice]:
        choices: list[Choice] = []
        by_judges: dict[tuple[PoolMember, ...], list[Asked]] = {}
        for one in made:
            if one.contender in several and not one.failed:
                by_judges.setdefault(judges_of(self.pool, one.method), []).append(one.asked)
        for judges, asked in by_judges.items():
            self.store.ask(judges, asked, progress=stage(self.progress, "choosing configurations"))
        for contender in several:
            own = [one for one in made if one.contender is contender and not one.failed]
            judges = judges_of(self.pool, contender.configurations[contender.usual])
            scores = {
                one.configuration: [self._scores(one, budget, judges).tolist() for budget in self.settings.budgets]
                for one in own
            }
            choices.append(chosen(contender.name, scores, judges, usual=contender.usual))
        return choices

    def _scores(
        self, made: Made, budget: int, members: Sequence[PoolMember], store: AnswerStore | None = None
    ) -> Floats64:
        queries, rows = made.at(budget), made.asked.queries.plans[budget]
        answers = ((store or self.store).answers(member, made.asked).rows(rows) for member in members)
        return np.array([made.method.score(queries, told) for told in answers], np.float64)

    def _said(self, made: Made, budget: int, members: Sequence[PoolMember], store: AnswerStore) -> Scores:
        return Scores(
            scores=self._scores(made, budget, members, store),
            accuracy=np.array([self._accuracy(member, store) for member in members], np.float64),
            probes=len(self.probes.queries),
        )

    def _accuracy(self, member: PoolMember, store: AnswerStore) -> float:
        right = store.answers(member, self.probes).labels == self.probes.queries.labels
        return float(right.mean()) if len(right) else 0.0

    def _outcome(self, made: Made, budget: int, suspects: Sequence[PoolMember]) -> Outcome:
        found, adjusted = judged(
            suspects,
            self._said(made, budget, suspects, self.behind),
            self._said(made, budget, self.references, self.store),
            adjusts=adjusts(made.method),
        )
        queries = len(made.at(budget))
        return Outcome(
            method=made.contender.name,
            configuration=made.configuration,
            budget=budget,
            queries=queries,
            all_queries=queries + (len(self.probes.queries) if adjusted else 0),
            adjusted=adjusted,
            references=len(self.references),
            rate=self.settings.rate,
            suspects=found,
        )


def _probes(data: ImageSet, seed: int) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the places of the benign probes: 200 images that are no training images, a fifth where there are few."""
    benign = benign_places(data)
    drawn = np.random.default_rng([seed, 1]).permutation(len(benign))[: min(PROBES, len(benign) // 5)]
    return np.sort(benign[drawn])


def _entry(made: Made) -> Entry:
    return Entry(
        method=made.contender.name,
        configuration=made.configuration,
        words=made.contender.words,
        needs=made.method.needs,
        seconds=made.cost.seconds,
        peak_mb=made.cost.peak_mb,
        failed=made.failed,
    )
