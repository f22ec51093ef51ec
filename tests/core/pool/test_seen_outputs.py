"""Models that are one among many: what comparing every pair says, found without comparing every pair."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cae_core.arrays import Floats32
from cae_core.fingerprint.scores import SAME_MODEL
from cae_core.pool import seen_outputs
from cae_core.pool.same_model import same_outputs
from cae_core.pool.seen_outputs import SeenOutputs


def pairwise(outputs: Sequence[Floats32 | None]) -> list[list[int]]:
    """Return of each which ones before it are equal to it."""
    with np.errstate(invalid="ignore"):  # infinity less infinity
        return [[i for i in range(j) if same_outputs(outputs[j], outputs[i])] for j in range(len(outputs))]


def indexed(outputs: Sequence[Floats32 | None]) -> list[list[int]]:
    seen, found = SeenOutputs(), list[list[int]]()
    for output in outputs:
        found.append(seen.equal_to(output))
        seen.add(output)
    return found


def softmax(z: np.ndarray) -> Floats32:
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return np.asarray(p / p.sum(axis=1, keepdims=True), np.float32)


@settings(max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    classes=st.sampled_from([2, 3, 10, 100]),
    questions=st.integers(1, 40),
    sharpness=st.sampled_from([0.1, 3.0, 1000.0]),
)
def test_the_index_says_what_all_pairs_say(seed: int, classes: int, questions: int, sharpness: float) -> None:
    """Perturbed by nothing, a little less than the tolerance, exactly it, or a little more; also in one place only."""
    rng = np.random.default_rng(seed)
    outputs: list[Floats32 | None] = [None]
    for _ in range(4):
        own = softmax(sharpness * rng.standard_normal((questions, classes)))
        outputs.append(own)
        for share in (0, 0.999, 1, 1.0000001, 1.001, 5):
            moved = own + np.float32(share * SAME_MODEL) * rng.choice([-1, 1], own.shape).astype(np.float32)
            outputs.append(np.asarray(moved, np.float32))
            one = own.copy()
            one[rng.integers(questions), rng.integers(classes)] += np.float32(share * SAME_MODEL)
            outputs.append(one)
    order = rng.permutation(len(outputs))
    mixed = [outputs[i] for i in order]
    expected = pairwise(mixed)
    assert indexed(mixed) == expected
    assert any(expected)


def test_on_the_border_of_a_cell_equal_models_are_found() -> None:
    """All averages lie on a border, and the equals on all sides of it."""
    border = np.full((8, 4), 7 * seen_outputs._CELL, np.float32)
    outputs = [border, *(border + np.float32(s * SAME_MODEL * 0.9) for s in (-1, 1)), border - np.float32(3e-4)]
    assert indexed(outputs) == pairwise(outputs) == [[], [0], [0], []]


def test_odd_answers_are_nobodys_equal_and_harm_nobody() -> None:
    good = softmax(np.random.default_rng(0).standard_normal((5, 3)))
    nan, infinite, huge = good.copy(), good.copy(), good + np.float32(1e30)
    nan[0, 0], infinite[0, 0] = np.nan, np.inf
    outputs = [good, nan, nan, infinite, infinite, huge, huge, good[:4], good[:, :2], None, None, good[:0], good]
    assert indexed(outputs) == pairwise(outputs)
    assert indexed(outputs)[-1] == [0]
    assert indexed(outputs)[6] == [5]


@pytest.mark.parametrize(("classes", "sharpness"), [(10, 3.0), (10, 1000.0), (1000, 3.0), (1000, 1000.0)])
def test_few_are_compared(classes: int, sharpness: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Models of one task, which answer much the same: of 120 no 7140 pairs are compared."""
    rng = np.random.default_rng(1)
    common = rng.standard_normal((60, classes))
    models = [softmax(sharpness * (common + 0.5 * rng.standard_normal(common.shape))) for _ in range(120)]
    compared: list[int] = []

    def noted(first: Floats32 | None, second: Floats32 | None) -> bool:
        compared.append(1)
        return same_outputs(first, second)

    monkeypatch.setattr(seen_outputs, "same_outputs", noted)
    assert not any(indexed(models))
    assert len(compared) < 120
