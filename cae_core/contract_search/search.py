"""The search for a model's contract: candidates are asked labelled images, and all but one lose, or nothing is said."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from cae_core.arrays import Floats32, Labels
from cae_core.contract import Contract
from cae_core.contract_search.candidates import Candidate, candidates_of, resized
from cae_core.contract_search.elimination import LEVEL, STAGES, Elimination, Standing, beaten
from cae_core.contract_search.found import ContractFound, Tried
from cae_core.contract_search.likelihood import less_likely
from cae_core.dataset import ImageSet
from cae_core.errors import CaeError, DataError
from cae_core.models import NO_ANSWER, Model
from cae_core.progress import StageProgress, detail, silent
from cae_core.signature import Signature
from cae_core.statistics.intervals import binomial_tail

__all__ = ["Questioner", "search_contract"]

_CHANCE = 1e-3
"""Of a search in which a model that knows nothing of the task would be this right."""

_READ = 200
"""Images on which scores are held against what probabilities can be."""

_TOLERANCE = 1e-3

_HELD_AGAINST = 2_000
"""Images on which the best candidate is held against inputs that nobody uses."""

Opening = Callable[[Contract], Model]
"""Opens the model so that it is asked by a contract."""


@dataclass
class Questioner:
    """Asks one model by many contracts, and remembers which it cannot be asked by.

    Attributes:
        opening: opens the model by a contract.
        images: that are asked.
        refused: by contract digest, what was wrong.
        told: by contract digest, the probabilities that were told, in the order of the images.
        last: the model that was asked last: while one is held, its file need not be read again for the next contract.
    """

    opening: Opening
    images: ImageSet
    refused: dict[str, CaeError] = field(default_factory=dict[str, CaeError])
    told: dict[str, list[Floats32]] = field(default_factory=dict[str, list[Floats32]])
    last: Model | None = None

    def labels(self, contract: Contract, start: int, stop: int) -> Labels:
        """Return the labels of images [start, stop); `NO_ANSWER` for each where it cannot be asked so."""
        nothing = np.full(stop - start, NO_ANSWER, np.int64)
        if contract.digest in self.refused:
            return nothing
        try:
            model = self.opening(contract)
            predicted = model.predict(self.images.images[start:stop])
        except DataError:
            raise
        except CaeError as error:
            self.refused[contract.digest] = error
            return nothing
        self.last = model
        self._take(contract, predicted.probabilities, start)
        return predicted.labels

    def probabilities(self, contract: Contract) -> Floats32 | None:
        """Return what was told of the images that were asked by a contract, (n, c); None where labels are all."""
        told = self.told.get(contract.digest)
        return np.concatenate(told) if told else None

    def _take(self, contract: Contract, probabilities: Floats32 | None, start: int) -> None:
        told = self.told.setdefault(contract.digest, [])
        if probabilities is not None and sum(map(len, told)) == start:  # asked again: it is there already
            told.append(probabilities)


def search_contract(
    signature: Signature,
    opening: Opening,
    images: ImageSet,
    *,
    origin: str,
    sha256: str = "",
    stages: Sequence[int] = STAGES,
    progress: StageProgress = silent,
) -> ContractFound:
    """Find the contract by which a model is right most often, if one is.

    Args:
        signature: of the model.
        opening: opens it by a contract.
        images: labelled, in the order in which they are asked; none is an example or a probe.
        origin: the model, for messages.
        sha256: of the model.
        stages: after how many images candidates leave.
        progress: called with the candidates asked and their number, in each stage.

    Raises:
        ContractError: the model's tensors fit no contract for these images, or it can be asked by none.
        ModelError: it is no classifier of images.
    """
    asked = Questioner(opening, images)
    found = candidates_of(signature, images.images, len(images.class_names), origin=origin)
    first = _Round(found, asked, stages, progress)
    if len(asked.refused) == len(found):
        raise next(iter(asked.refused.values()))
    left = first.left()
    others = tuple(other for one in left for other in resized(one))
    rounds = [first] if not others else [first, _Round((*left, *others), asked, stages, progress)]
    _compare_likelihoods(rounds[-1], asked)
    return _Outcome(rounds, asked, origin, sha256).found()


def _compare_likelihoods(last: "_Round", asked: Questioner) -> None:
    """Take out what makes the truth less likely, where several are left that differ and all tell probabilities."""
    alive = last.result.alive
    told = [asked.probabilities(last.candidates[i].contract) for i in alive]
    known = [each for each in told if each is not None]
    if last.result.winners or len(known) < len(alive) or len({each.shape for each in known}) > 1:
        return
    for loser, rival in zip(alive, less_likely(known, asked.images.labels[: len(known[0])]), strict=True):
        if rival is not None:
            last.result.drop(loser, alive[rival])


class _Round:
    """Candidates that were asked until some are left."""

    def __init__(
        self, candidates: Sequence[Candidate], asked: Questioner, stages: Sequence[int], progress: StageProgress
    ) -> None:
        self.candidates = tuple(candidates)
        self._done = 0

        def ask(number: int, start: int, stop: int) -> Labels:
            detail(progress, "asking", f"{self.candidates[number].words}: {stop} images")
            progress(min(self._done, len(self.candidates)), len(self.candidates))
            self._done += 1
            return asked.labels(self.candidates[number].contract, start, stop)

        self.result = Elimination(len(self.candidates), asked.images.labels, ask, stages=stages)
        self.result.run()
        progress(len(self.candidates), len(self.candidates))

    def left(self) -> tuple[Candidate, ...]:
        return tuple(self.candidates[i] for i in self.result.alive)


class _Outcome:
    """What the last round means."""

    def __init__(self, rounds: Sequence[_Round], asked: Questioner, origin: str, sha256: str) -> None:
        self._rounds, self._last, self._asked = rounds, rounds[-1], asked
        self._origin, self._sha256 = origin, sha256

    def found(self) -> ContractFound:
        winners = self._last.result.winners
        why = self._doubt() if winners else self._undecided()
        contract = None if why else _as_answered(self._last.candidates[winners[0]].contract, self._asked)
        return ContractFound(
            model=self._origin,
            sha256=self._sha256,
            data=self._asked.images.name,
            tried=self._tried(contract),
            contract=contract,
            why=why,
        )

    def _undecided(self) -> str:
        words = [self._last.candidates[i].words for i in self._last.result.alive]
        return (
            f"{self._origin}: {len(words)} contracts fit about equally well ({'; '.join(words[:6])}"
            f"{'; ...' if len(words) > 6 else ''}). Name more labelled images, or state what you know "
            "(--range, --mean, --std, --resize and so on)."
        )

    def _doubt(self) -> str:
        """Return why even the best candidate is not believed; empty where it is."""
        best = self._last.result.alive[0]
        standing, images = self._last.result.standings[best], self._asked.images
        shares = np.bincount(images.labels[: standing.images], minlength=len(images.class_names)) / standing.images
        if binomial_tail(standing.right, standing.images, float(shares.max())) > _CHANCE:
            return (
                f"{self._origin}: by the best contract it is right about {standing.accuracy:.1%} of {standing.images} "
                "images, which is no more than chance. Is it a model of this task, are its classes in the data's order "
                "(classes), does its input need more than range, mean and std?"
            )
        better = self._better_unlisted(self._last.candidates[best], standing)
        if better:
            return (
                f"{self._origin}: by the best contract it is right about {standing.accuracy:.1%} of {standing.images} "
                f"images, and about more of them with {better}; so none of the contracts that were tried is its own. "
                "State its range, mean and std as its training code has them."
            )
        return ""

    def _better_unlisted(self, candidate: Candidate, standing: Standing) -> str:
        """Return what suits the model better than the best candidate does; empty where nothing was found."""
        count = min(standing.images, _HELD_AGAINST)
        variants = _variants(candidate.contract)
        truth = self._asked.images.labels[:count]
        right = np.stack(
            [
                self._asked.labels(contract, 0, count) == truth
                for contract in (candidate.contract, *(contract for _, contract in variants))
            ]
        )
        by = beaten(right, LEVEL / max(1, len(variants)))[0]
        told = [self._asked.probabilities(contract) for contract in (candidate.contract, *(c for _, c in variants))]
        known = [each[:count] for each in told if each is not None and len(each) >= count]
        if by is None and len(known) == len(right):
            by = less_likely(known, truth)[0]
        return "" if by is None else variants[by - 1][0]

    def _tried(self, contract: Contract | None) -> tuple[Tried, ...]:
        rows: dict[str, Tried] = {}
        for each in self._rounds:
            alive, winners = each.result.alive, each.result.winners
            for i, standing in enumerate(each.result.standings):
                candidate = each.candidates[i]
                refused = self._asked.refused.get(candidate.contract.digest)
                undecided = "left" if not winners else "doubted"
                state = undecided if i in alive and each is self._last else "beaten"
                if contract is not None and each is self._last and i in winners:
                    state = "found" if i == winners[0] else "alike"
                rows[candidate.words] = Tried(
                    words=candidate.words,
                    contract=contract if contract is not None and state == "found" else candidate.contract,
                    images=0 if refused is not None else standing.images,
                    accuracy=standing.accuracy,
                    state=state if refused is None else "refused",
                    why="" if refused is None else str(refused),
                )
        order = ("found", "alike", "left", "doubted", "beaten", "refused")
        return tuple(sorted(rows.values(), key=lambda row: (order.index(row.state), -row.images, -row.accuracy)))


def _variants(contract: Contract) -> list[tuple[str, Contract]]:
    """Return contracts that nobody has, next to one: who is right more often by one of them was asked wrongly."""
    if contract.takes_integers and contract.scale is None:
        return []
    low, high = contract.range
    middle, half = (low + high) / 2, (high - low) / 2
    made: list[tuple[str, Contract]] = []
    for contrast, strength in (("less contrast", 0.6), ("", 1.0), ("more contrast", 1.7)):
        for light, shift in (("less light", -0.6), ("", 0.0), ("more light", 0.6)):
            words = " and ".join(word for word in (contrast, light) if word)
            ends = (middle + half * (shift - strength), middle + half * (shift + strength))
            made += [(words, contract.replace(range=ends))] if words else []
    return made


def _as_answered(contract: Contract, asked: Questioner) -> Contract:
    """Return the contract with what its scores are: probabilities that were taken for logits are known again.

    The softmax of probabilities pᵢ has the logarithms pᵢ - c, with one c for all classes; and the pᵢ sum to 1.
    """
    if contract.output != "logits":
        return contract
    told = asked.probabilities(contract)
    if told is None or told.shape[1] < 2:
        return contract
    told = told[:_READ]
    logs = np.log(np.maximum(told.astype(np.float64), np.finfo(np.float64).tiny))
    raw = logs + (1 - logs.sum(axis=1, keepdims=True)) / logs.shape[1]
    fits = bool(((raw >= -_TOLERANCE) & (raw <= 1 + _TOLERANCE)).all())
    return contract.replace(output="probabilities") if fits else contract
