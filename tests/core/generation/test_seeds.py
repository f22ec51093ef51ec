"""Which images the search starts from."""

import dataclasses

import numpy as np
import pytest

from cae_core.arrays import Floats64, Images
from cae_core.dataset import ImageSet
from cae_core.errors import GenerationError, ModelError, PoolError
from cae_core.generation.seeds import rank_seeds
from cae_core.models import Predictions
from tests.core.toys import ConstantModel, LinearModel, World, make_world


class LabelsOnly(LinearModel):
    """A white box that tells no probabilities."""

    def predict(self, images: Images) -> Predictions:
        return Predictions(super().predict(images).labels)


class Unsure(LinearModel):
    """Answers one NaN on benign images."""

    def predict(self, images: Images) -> Predictions:
        answer = super().predict(images)
        assert answer.probabilities is not None
        answer.probabilities[3] = np.nan
        return answer


def test_only_images_that_the_source_gets_right_are_seeds(world: World) -> None:
    queue = rank_seeds(world.white_boxes, world.data, ranking="screened", seed=0)
    right = world.white_boxes.source.predict(world.data.images).labels == world.data.labels
    assert sorted(queue.index.tolist()) == np.flatnonzero(right).tolist()
    assert queue.source_accuracy == right.mean()
    np.testing.assert_array_equal(queue.original, world.data.labels[queue.index])
    assert (queue.wanted != queue.original).all()
    assert len(queue) == right.sum()


def test_screened_seeds_come_in_the_order_of_their_evidence(world: World) -> None:
    queue = rank_seeds(world.white_boxes, world.data, ranking="screened", seed=0)

    def mean(models: list[LinearModel]) -> Floats64:
        answers = [model.predict(world.data.images).probabilities for model in models]
        return np.asarray(np.mean([p for p in answers if p is not None], axis=0), np.float64)

    models = [m for m in world.white_boxes.models if isinstance(m, LinearModel)]
    p_m, p_s, p_r = mean(models[:1]), mean(models[1:3]), mean(models[3:])
    evidence = np.log((p_s + p_m) / 2) + np.log(1 - p_r)
    evidence[np.arange(len(world.data)), world.data.labels] = -np.inf
    best = evidence[queue.index].max(axis=1)
    assert (np.diff(best) <= 1e-9).all()
    np.testing.assert_array_equal(queue.wanted, evidence[queue.index].argmax(axis=1))


def test_random_seeds_come_in_an_order_of_their_seed(world: World) -> None:
    queues = [rank_seeds(world.white_boxes, world.data, ranking="random", seed=s).index.tolist() for s in (1, 1, 2)]
    assert queues[0] == queues[1]
    assert queues[0] != queues[2]
    assert sorted(queues[0]) == sorted(queues[2])


def test_progress_counts_the_models(world: World) -> None:
    told: list[tuple[int, int]] = []
    rank_seeds(world.white_boxes, world.data, ranking="screened", seed=0, progress=lambda *done: told.append(done))
    assert told == [(i, 5) for i in range(1, 6)]


def test_a_source_at_chance_is_refused(world: World) -> None:
    white_boxes = dataclasses.replace(world.white_boxes, source=ConstantModel(4))
    with pytest.raises(GenerationError, match=r"source: the source is right on 75 of 300 .* chance .* 4 classes"):
        rank_seeds(white_boxes, world.data, ranking="screened", seed=0)


def test_a_member_at_chance_is_refused_by_name(world: World) -> None:
    white_boxes = dataclasses.replace(world.white_boxes, references=[world.white_boxes.references[0], ConstantModel(4)])
    with pytest.raises(PoolError, match="reference-1: the pool member is right on 75 of 300"):
        rank_seeds(white_boxes, world.data, ranking="screened", seed=0)


def test_another_number_of_classes_is_refused_by_name(world: World) -> None:
    alien = make_world(classes=5).white_boxes.surrogates[0]
    white_boxes = dataclasses.replace(world.white_boxes, surrogates=[world.white_boxes.surrogates[0], alien])
    with pytest.raises(PoolError, match="surrogate-1: answers with 5 classes and the data have 4"):
        rank_seeds(white_boxes, world.data, ranking="screened", seed=0)


@pytest.mark.parametrize(("kind", "message"), [(LabelsOnly, "labels only"), (Unsure, "answers NaN on benign")])
def test_a_member_without_probabilities_or_with_nan_is_refused_by_name(
    world: World, kind: type[LinearModel], message: str
) -> None:
    good = world.white_boxes.references[0]
    assert isinstance(good, LinearModel)
    white_boxes = dataclasses.replace(world.white_boxes, references=[kind(good.weights), good])
    with pytest.raises(ModelError, match=f"reference-0: .*{message}"):
        rank_seeds(white_boxes, world.data, ranking="screened", seed=0)


def test_a_source_that_gets_few_images_and_none_right_gives_an_empty_queue(world: World) -> None:
    wrong = (world.white_boxes.source.predict(world.data.images[:3]).labels + 1) % 4
    data = ImageSet(world.data.images[:3], wrong, world.data.class_names)
    assert len(rank_seeds(world.white_boxes, data, ranking="screened", seed=0)) == 0
