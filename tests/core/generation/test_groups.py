"""What an image is worth: by its worst group of references, and by the pairs of twins."""

import dataclasses
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from cae_core.arrays import Floats64
from cae_core.errors import PoolError
from cae_core.generation.groups import MemberGroups
from cae_core.pool.manifest import PoolMember
from cae_core.pool.trained_on import TrainedOn

RANDOM = np.random.default_rng(4)
SURROGATES, REFERENCES = RANDOM.uniform(size=(3, 7)), RANDOM.uniform(size=(5, 7))


def reference(name: str, trained_on: TrainedOn | None, exposure: Literal["", "none"] = "") -> PoolMember:
    return PoolMember(
        path=Path(f"{name}.onnx"),
        role="generate",
        relation="reference",
        architecture=name,
        trained_on=trained_on,
        exposure=exposure,
    )


MEMBERS = [
    reference("a", TrainedOn(data="x", share=0.5, seed=1)),
    reference("b", TrainedOn(data="x", share=0.5, seed=2)),
    reference("c", TrainedOn(data="y")),
    reference("d", None, "none"),
    reference("e", TrainedOn(data="y")),
]
STOLEN = [
    PoolMember(path=Path(f"s{i}.onnx"), role="generate", relation="surrogate", twin=twin)
    for i, twin in enumerate(("", "d", "a"))
]


def worst_by_hand() -> Floats64:
    groups = ([0, 1], [2, 4], [3], [0, 1, 2, 4], [0, 1, 2, 3, 4])
    worst = []
    for n in range(7):
        overall = sum(REFERENCES[i, n] for i in range(5)) / 5
        worst.append(max((sum(REFERENCES[i, n] for i in own) + 4 * overall) / (len(own) + 4) for own in groups))
    return np.array(worst)


def test_the_worst_group_by_the_images_seen_counts() -> None:
    groups = MemberGroups.of(STOLEN[:1], MEMBERS)
    np.testing.assert_allclose(groups.worst(REFERENCES), worst_by_hand())
    expected = [sum(SURROGATES[:, n]) / 3 - worst_by_hand()[n] for n in range(7)]
    np.testing.assert_allclose(groups.worth(SURROGATES, REFERENCES), expected)


def test_without_groups_all_references_are_one() -> None:
    gap = SURROGATES.mean(axis=0) - REFERENCES.mean(axis=0)
    np.testing.assert_allclose(MemberGroups().worth(SURROGATES, REFERENCES), gap)


def test_one_odd_reference_counts_as_one_of_five() -> None:
    """Alone in its group, at 1 where nine others are at 0: (1 + 4 / 10) / 5."""
    odd = np.array([[1.0]] + [[0.0]] * 9)
    groups = MemberGroups((("odd",) + ("other",) * 9,))
    np.testing.assert_allclose(groups.worst(odd), [0.28])


def test_twins_count_as_much_as_the_gap() -> None:
    groups = MemberGroups.of(STOLEN, MEMBERS)
    assert groups.twins == ((1, 3), (2, 0))
    pairs = (SURROGATES[1] - REFERENCES[3] + SURROGATES[2] - REFERENCES[0]) / 2
    alone = dataclasses.replace(groups, twins=()).worth(SURROGATES, REFERENCES)
    np.testing.assert_allclose(groups.worth(SURROGATES, REFERENCES), (alone + pairs) / 2)


def test_a_twin_that_is_no_reference_is_refused() -> None:
    with pytest.raises(PoolError, match=r"s2\.onnx: its twin 'a' is no reference of the role generate"):
        MemberGroups.of(STOLEN, MEMBERS[1:])


def test_the_same_group_by_two_attributes_counts_once() -> None:
    groups = MemberGroups((("x", "x", "y"), ("p", "p", "q"), ("", "", "")))
    assert [mask.tolist() for mask in groups.masks] == [[True, True, False], [False, False, True], [True] * 3]
