"""Ranks among groups: exact for a suspect of one more group, by enumeration; plain where a group is a model."""

from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest

from cae_core.errors import OptionError
from cae_core.statistics.group_ranks import exceeded_score, group_p_value
from cae_core.statistics.ranks import exceeded_rank, rank_p_value
from cae_core.statistics.unit import Unit


def by_hand(groups: list[list[int]], value: int) -> Fraction:
    """The formula, group by group."""
    p = Fraction(1)
    for group in groups:
        p += Fraction(len([score for score in group if score >= value]), len(group))
    return p / (len(groups) + 1)


def flat(groups: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    scores = np.array([score for group in groups for score in group], float)
    return scores, np.repeat(np.arange(len(groups)) * 3, [len(group) for group in groups])


@pytest.mark.parametrize("seed", range(20))
def test_it_is_exact_whichever_group_is_the_suspects(seed: int) -> None:
    """Each group is the new one in turn, and each of its models the suspect: so is one more exchangeable group."""
    random = np.random.default_rng(seed)
    groups = [random.integers(0, 6, random.integers(1, 6)).tolist() for _ in range(random.integers(2, 8))]
    happens: dict[Fraction, Fraction] = defaultdict(Fraction)
    for i, own in enumerate(groups):
        others = groups[:i] + groups[i + 1 :]
        for suspect in own:
            p = group_p_value(flat(others)[0], suspect, flat(others)[1])
            assert p == by_hand(others, suspect)
            happens[p] += Fraction(1, len(groups) * len(own))
    assert sum(happens.values()) == 1
    assert all(sum(weight for p, weight in happens.items() if p <= x) <= x for x in happens)


def test_models_alike_within_a_group_do_not_accuse_a_stranger() -> None:
    """Twenty seeds of one recipe are one recipe: among models the newcomer is one in 21, among groups one in two."""
    scores, units = np.zeros(20), np.zeros(20, np.int64)
    assert rank_p_value(scores, 1.0) == 1 / 21
    assert group_p_value(scores, 1.0, units) == Fraction(1, 2)


def test_without_groups_nothing_is_unusual_and_p_is_still_exact() -> None:
    p = group_p_value(np.zeros(0), 1.0, np.zeros(0, np.int64))
    assert (p, type(p)) == (Fraction(1), Fraction)


@pytest.mark.parametrize("seed", range(10))
def test_groups_of_one_model_give_the_plain_rank(seed: int) -> None:
    random = np.random.default_rng(seed)
    scores = random.integers(0, 9, 39).astype(float)
    for value in range(10):
        assert float(group_p_value(scores, value, np.arange(39))) == rank_p_value(scores, value)
    for rate in (0.01, 0.025, 0.05, 0.07, 0.5):
        k = exceeded_rank(39, rate)
        exceeded = exceeded_score(scores, np.arange(39), rate)
        assert exceeded == (None if k == 0 else np.sort(scores)[-k])


@pytest.mark.parametrize("seed", range(10))
def test_the_score_to_exceed_is_where_p_falls_to_the_rate(seed: int) -> None:
    random = np.random.default_rng(seed)
    groups = [random.integers(0, 9, random.integers(1, 5)).tolist() for _ in range(7)]
    scores, units = flat(groups)
    for rate in (0.1, 0.125, 0.2, 0.5):
        accused = [value for value in range(12) if float(by_hand(groups, value)) <= rate]
        exceeded = exceeded_score(scores, units, rate)
        if exceeded is None:
            assert not accused
        else:
            assert accused[0] <= exceeded + 1
            assert float(by_hand(groups, int(exceeded) + 1)) <= rate
            assert float(by_hand(groups, int(exceeded))) > rate


def test_units_by_name() -> None:
    assert [Unit.named(name).attributes for name in ("model", "group")] == [
        (Unit.MODEL,),
        (Unit.RECIPE, Unit.ARCHITECTURE),
    ]
    with pytest.raises(OptionError, match="unit must be one of model, recipe, architecture, group; found 'seed'"):
        Unit.named("seed")


def test_the_score_to_exceed_is_found_among_many_models_in_time() -> None:
    """Looked up by halving: one look at each of 3,000 scores would take minutes."""
    scores, units = np.random.default_rng(0).random(3000), np.arange(3000) // 2
    exceeded = exceeded_score(scores, units, 0.05)
    assert exceeded is not None
    assert group_p_value(scores, float(np.nextafter(exceeded, 1)), units) <= 0.05
    below = float(np.sort(scores)[np.searchsorted(np.sort(scores), exceeded) - 1])
    assert group_p_value(scores, float(np.nextafter(below, 1)), units) > 0.05
