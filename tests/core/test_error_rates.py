"""Simulated error rates: of every rule that claims a bound, and of one that breaks it and must be seen to.

A match rate is drawn for each model, and its matches of 100 examples with it. The observed rate of errors keeps a bound
where its one-sided 99.9 % lower limit does not exceed it.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_core.statistics.e_process import SequentialTest, log_e_values, trace
from cae_core.statistics.intervals import clopper_pearson
from cae_core.statistics.ranks import exceeded_rank, rank_p_value

DRAWS = 10_000
EXAMPLES = 100

Counts = NDArray[np.integer]
Law = Callable[[np.random.Generator, tuple[int, ...]], NDArray[np.float64]]
"""Draws match rates of the given shape."""


def over_dispersed(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Beta, mean 0.4, standard deviation 0.12."""
    return random.beta(6, 9, shape)


def mixed(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Two clusters: seven in ten about 0.3, three in ten about 0.7."""
    return np.where(random.random(shape) < 0.7, random.beta(24, 56, shape), random.beta(35, 15, shape))


def logit_normal(random: np.random.Generator, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Median 0.38, a long tail upwards."""
    return 1 / (1 + np.exp(-random.normal(-0.5, 0.8, shape)))


LAWS = (over_dispersed, mixed, logit_normal)


def keeps(bound: float, errors: NDArray[np.bool_]) -> bool:
    """Return whether the 99.9 % lower limit of the observed rate is at most the bound."""
    return clopper_pearson(int(errors.sum()), len(errors), confidence=0.998)[0] <= bound


@lru_cache
def drawn(law: Law, models: int) -> tuple[Counts, Counts]:
    """Return the matches of the calibration models, (DRAWS, r), and of one more model of the same kind, (DRAWS,)."""
    random = np.random.default_rng(1)
    counts = random.binomial(EXAMPLES, law(random, (DRAWS, models + 1))).astype(np.int16)
    counts.flags.writeable = False
    return counts[:, :-1], counts[:, -1]


def exceeded(references: Counts, rate: float) -> Counts:
    """Return the k-th largest of each row, k being the rank that the rate supports."""
    k = exceeded_rank(references.shape[1], rate)
    assert k > 0
    return np.partition(references, -k, axis=1)[:, -k]


@lru_cache
def least_crossing(level: float) -> Counts:
    """Return how many matches of t answers reach 1/level against K <= k, at [t, k]; t + 1 where none do."""
    crossing = np.empty((EXAMPLES + 1, EXAMPLES + 1), np.int64)
    for asked in range(EXAMPLES + 1):
        values = np.stack([log_e_values(EXAMPLES, matches, asked) for matches in range(asked + 1)])
        crossing[asked] = (values < -np.log(level)).sum(axis=0)  # more matches never lower a value
    return crossing


def accused(suspects: Counts, k0: Counts, level: float, seed: int) -> NDArray[np.bool_]:
    """Return whether the e-process ever crosses, over one random order for each suspect."""
    keys = np.random.default_rng(seed).random((len(suspects), EXAMPLES))
    matches = np.argsort(keys, axis=1) < suspects[:, None]
    limits = least_crossing(level)[1:, :].T[k0]  # (draws, t)
    return np.asarray((np.cumsum(matches, axis=1) >= limits).any(axis=1))


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("models", "rate"), [(8, 0.112), (19, 0.05), (39, 0.05), (99, 0.01), (99, 0.05)])
def test_the_rank_rule_keeps_its_rates(law: Law, models: int, rate: float) -> None:
    """Of false accusations, and by symmetry of false acquittals."""
    references, suspects = drawn(law, models)
    errors = suspects > exceeded(references, rate)
    assert keeps(rate, errors)
    assert errors.mean() > rate / 2
    surrogates, pirates = EXAMPLES - references, EXAMPLES - suspects
    acquitted = [rank_p_value(-row, -count) <= rate for row, count in zip(surrogates[:500], pirates[:500], strict=True)]
    assert acquitted == errors[:500].tolist()


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("models", "rate"), [(19, 0.1), (39, 0.05), (99, 0.02)])
def test_the_sequential_mode_keeps_its_rate_of_false_accusations(law: Law, models: int, rate: float) -> None:
    """Half of the rate for k0, half for the e-process."""
    references, suspects = drawn(law, models)
    errors = accused(suspects, exceeded(references, rate / 2), rate / 2, seed=3)
    assert keeps(rate, errors)
    assert errors.mean() > rate / 4


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("models", "rate"), [(19, 0.1), (39, 0.05), (99, 0.02)])
def test_the_sequential_mode_keeps_its_rate_of_false_acquittals(law: Law, models: int, rate: float) -> None:
    """k1 is the k-th smallest of the surrogates; the mirror counts the answers that do not match."""
    not_matched, suspects = drawn(law, models)
    surrogates = EXAMPLES - not_matched
    rank = exceeded_rank(models, rate / 2) - 1
    k1 = np.partition(surrogates, rank, axis=1)[:, rank]
    errors = accused(suspects, EXAMPLES - k1, rate / 2, seed=5)
    assert keeps(rate, errors)
    assert errors.mean() > rate / 4


@pytest.mark.parametrize("law", LAWS)
def test_the_two_errors_add_up(law: Law) -> None:
    """Which is why each gets half: with the whole rate for both, only twice the rate is bounded."""
    references, suspects = drawn(law, 19)
    k0 = exceeded(references, 0.05)
    over, crossing = suspects > k0, accused(suspects, k0, 0.05, seed=7)
    assert (crossing | ~over).all()  # who asks everything finds every K > k0
    assert keeps(0.05, crossing[~over])
    assert crossing.mean() > over.mean()
    assert keeps(0.1, crossing)


def test_the_simulated_order_is_the_sequential_tests() -> None:
    """The table of crossings against the states themselves, both sides."""
    random = np.random.default_rng(8)
    for _ in range(100):
        count, k0 = int(random.integers(0, 101)), int(random.integers(0, 101))
        keys = random.random((1, EXAMPLES))
        answers = (np.argsort(keys, axis=1) < count)[0]
        limits = least_crossing(0.05)[1:, k0]
        test = SequentialTest(examples=EXAMPLES, k0=k0, k1=None, fpr=0.05, fnr=0.05)
        mirror = SequentialTest(examples=EXAMPLES, k0=EXAMPLES, k1=EXAMPLES - k0, fpr=0.05, fnr=0.05)
        crossed = (np.cumsum(answers) >= limits).any()
        assert (trace(test, answers.tolist())[-1].outcome == "surrogate") == crossed
        assert (trace(mirror, (~answers).tolist())[-1].outcome == "independent") == crossed


def chosen_on_a_screen(models: int, rate: float, *, same: bool, seed: int) -> NDArray[np.bool_]:
    """Return the false accusations, (5000,), where of 300 examples the 100 that the screen matches least are chosen.

    Model i matches example j with probability 1 / (1 + exp(-e_j - m_i)): examples differ (e_j normal, deviation 0.75),
    and so do models (m_i normal, deviation 0.35).

    Args:
        models: in the screen, and in the calibration.
        rate: nominal, of the rank rule.
        same: whether the screen's models are the calibration's.
        seed: literal.
    """
    random = np.random.default_rng(seed)
    batches = []
    for _ in range(10):
        examples = random.normal(0, 0.75, (500, 1, 300))
        effects = random.normal(0, 0.35, (500, (1 if same else 2) * models + 1, 1))  # the last is the suspect
        logits = (examples + effects).astype(np.float32)
        matches = random.random(logits.shape, np.float32) * (1 + np.exp(-logits)) < 1
        seen = matches[:, :models].sum(axis=1) + random.random((500, 300)) / 2  # ties are broken at random
        chosen = np.argpartition(seen, 100, axis=1)[:, None, :100]
        counts = np.take_along_axis(matches, chosen, axis=2).sum(axis=2)
        batches.append(counts[:, -1] > exceeded(counts[:, -1 - models : -1], rate))
    return np.concatenate(batches)


@pytest.mark.parametrize(("models", "rate", "at_least"), [(8, 0.112, 0.4), (19, 0.05, 0.1)])
def test_choosing_examples_on_the_calibration_models_is_seen_to_break_the_bound(
    models: int, rate: float, at_least: float
) -> None:
    errors = chosen_on_a_screen(models, rate, same=True, seed=9)
    assert not keeps(rate, errors)
    assert errors.mean() > at_least


@pytest.mark.parametrize(("models", "rate"), [(8, 0.112), (19, 0.05)])
def test_choosing_examples_on_other_models_keeps_it(models: int, rate: float) -> None:
    errors = chosen_on_a_screen(models, rate, same=False, seed=10)
    assert keeps(rate, errors)
    assert errors.mean() > rate / 2
