"""Acceptance: both conditions, at the source's label, clear, and over every pool member."""

import numpy as np
import pytest

from cae_core.arrays import Floats32, Floats64
from cae_core.generation.acceptance import Acceptance, accept
from cae_core.generation.white_boxes import WhiteBoxes
from cae_core.method.conferrability import conferrability
from cae_core.models import Ensemble, Pullback
from tests.core.toys import LinearModel

BLACK = np.zeros((1, 1, 1, 1), np.uint8)


class Fixed(LinearModel):
    """Always answers the same logits."""

    def __init__(self, *logits: float) -> None:
        super().__init__(np.zeros((1, len(logits))))
        self.fixed = np.array([logits], np.float32)

    def vjp(self, images: Floats32) -> tuple[Floats32, Pullback]:
        self.asked += 1
        assert images.dtype == np.float32
        assert images.min() >= 0
        assert images.max() <= 1
        return np.repeat(self.fixed, len(images), axis=0), lambda gradient: gradient


def judge(
    source: Fixed,
    surrogates: list[Fixed],
    references: list[Fixed],
    *,
    original: int = 0,
    truth: int = 0,
    tau: float = 0.8,
    min_margin: float = 0.1,
) -> Acceptance:
    white_boxes = WhiteBoxes(source, surrogates, references)
    ensemble: Ensemble = white_boxes.ensemble()
    return accept(
        BLACK,
        white_boxes=white_boxes,
        ensemble=ensemble,
        original=np.array([original]),
        ground_truth=np.array([truth]),
        tau=tau,
        min_margin=min_margin,
    )


FOLLOWS, STAYS = Fixed(0, 20, 0), Fixed(20, 0, 0)


def test_an_example_that_the_surrogates_follow_and_the_references_do_not_is_accepted() -> None:
    judged = judge(FOLLOWS, [FOLLOWS, FOLLOWS], [STAYS])
    assert judged.accepted.tolist() == [True]
    assert judged.labels.tolist() == [1]
    assert judged.conferrability[0] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("original", "truth", "accepted"), [(0, 0, True), (1, 0, False), (0, 1, False), (1, 1, False)])
def test_the_label_must_differ_from_both_the_sources_and_the_truth(
    original: int,
    truth: int,
    accepted: bool,  # noqa: FBT001
) -> None:
    """Both by AND: one published implementation joins them the wrong way round."""
    assert judge(FOLLOWS, [FOLLOWS], [STAYS], original=original, truth=truth).accepted.tolist() == [accepted]


def test_a_wrong_label_that_is_not_conferred_is_refused() -> None:
    assert not judge(FOLLOWS, [STAYS], [STAYS]).accepted.any()
    assert not judge(FOLLOWS, [FOLLOWS], [FOLLOWS]).accepted.any()


def test_conferrability_counts_at_the_sources_label_not_at_the_maximum() -> None:
    """Here the label 2 is conferred perfectly, and the source says 1."""
    other = Fixed(0, 0, 20)
    surrogates, references = [other, other], [STAYS]
    assert conferrability(np.stack([m.fixed for m in surrogates]), references[0].fixed[np.newaxis]).max() > 0.99
    judged = judge(FOLLOWS, surrogates, references)
    assert judged.conferrability[0] < 1e-6
    assert not judged.accepted.any()


@pytest.mark.parametrize(("margin", "accepted"), [(0.05, False), (0.25, True)])
def test_near_ties_of_the_source_are_refused(margin: float, accepted: bool) -> None:  # noqa: FBT001
    judged = judge(Fixed(0, margin, 0), [FOLLOWS], [STAYS])
    assert judged.accepted.tolist() == [accepted]


@pytest.mark.parametrize(("tau", "accepted"), [(0.49, True), (0.51, False)])
def test_tau_is_the_least_conferrability(tau: float, accepted: bool) -> None:  # noqa: FBT001
    """One of two surrogates follows: conferrability one half."""
    assert judge(FOLLOWS, [FOLLOWS, STAYS], [STAYS], tau=tau).accepted.tolist() == [accepted]


def test_every_member_is_asked_once() -> None:
    models = [Fixed(0, 20, 0) for _ in range(3)] + [Fixed(20, 0, 0) for _ in range(4)]
    judge(models[0], models[1:3], models[3:])
    assert [model.asked for model in models] == [1] * 7


def test_the_judgement_is_that_of_the_8_bit_image() -> None:
    """A float image can lie on the other side of the boundary than its PNG; only the PNG is judged."""
    weights: Floats64 = np.array([[0.0, 100.0]])
    model = LinearModel(weights)
    white_boxes = WhiteBoxes(model, [model], [LinearModel(-weights)])
    level = np.full((1, 1, 1, 1), 127, np.uint8)  # 127/255 < 1/2
    for min_margin, accepted in ((0.195, True), (0.197, False)):  # its margin is 100 (1/2 - 127/255) = 0.196
        judged = accept(
            level,
            white_boxes=white_boxes,
            ensemble=white_boxes.ensemble(),
            original=np.array([1]),
            ground_truth=np.array([1]),
            tau=0.0,
            min_margin=min_margin,
        )
        assert judged.labels.tolist() == [0]
        assert judged.accepted.tolist() == [accepted]
