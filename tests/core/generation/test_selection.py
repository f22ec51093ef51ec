"""So many examples of each kind, and no label more than its quota while others are available."""

from collections import Counter

import numpy as np
import pytest

from cae_core.fingerprint.example_kinds import BLEND, NATURAL_ERROR, PERTURBED, PERTURBED_ERROR
from cae_core.generation.selection import count_within, pick, select
from cae_core.generation.settings import GenerationSettings


def picked_by_hand(labels: list[int], count: int, cap: int) -> list[int]:
    taken: list[int] = []
    for place, label in enumerate(labels):
        if len(taken) < count and [labels[p] for p in taken].count(label) < cap:
            taken.append(place)
    for place in range(len(labels)):
        if len(taken) < count and place not in taken:
            taken.append(place)
    return sorted(taken)


@pytest.mark.parametrize("seed", range(30))
def test_labels_within_their_quota_go_first(seed: int) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, random.integers(0, 15))
    for count in range(17):
        for cap in (1, 2, 5):
            assert pick(labels, count, cap).tolist() == picked_by_hand(labels.tolist(), count, cap)
            counts = Counter(labels.tolist()).values()
            assert count_within(labels, cap) == sum(min(cap, n) for n in counts)


WANTED = {NATURAL_ERROR: 3, BLEND: 0, PERTURBED_ERROR: 2, PERTURBED: 1}


def taken(**found: int) -> dict[int, int]:
    codes = {"perturbed": 0, "errors": 1, "natural": 2, "blends": 3}
    kind = np.concatenate([np.full(n, codes[name]) for name, n in found.items()])
    chosen = select(kind, np.arange(len(kind)), WANTED, lambda count: count)
    assert len(set(chosen.tolist())) == len(chosen)
    return dict(Counter(kind[chosen].tolist()))


def test_each_kind_gets_what_is_wanted() -> None:
    assert taken(natural=9, errors=9, perturbed=9) == {2: 3, 1: 2, 0: 1}


def test_perturbed_ones_make_up_for_what_a_kind_lacks() -> None:
    assert taken(natural=1, errors=9, perturbed=9) == {2: 1, 1: 2, 0: 3}


def test_and_then_whatever_there_is() -> None:
    assert taken(natural=9, errors=1, perturbed=1) == {2: 4, 1: 1, 0: 1}
    assert taken(natural=1, errors=2) == {2: 1, 1: 2}


def test_the_better_ones_of_a_kind_are_taken() -> None:
    chosen = select(np.full(9, NATURAL_ERROR.code), np.zeros(9, np.int64), WANTED, lambda count: count)
    assert chosen.tolist() == list(range(6))


@pytest.mark.parametrize(("natural", "errors", "blends"), [(0.5, 0.25, 0.25), (1 / 3, 1 / 3, 1 / 3), (0.1, 0.7, 0.2)])
def test_the_wanted_kinds_add_up(natural: float, errors: float, blends: float) -> None:
    for count in range(1, 40):
        settings = GenerationSettings(eps=0.1, count=count, natural=natural, errors=errors, blends=blends)
        wanted = settings.wanted()
        assert sum(wanted.values()) == count
        for kind, share in ((NATURAL_ERROR, natural), (PERTURBED_ERROR, errors), (BLEND, blends), (PERTURBED, 0)):
            assert abs(wanted[kind] - share * count) < 1
