"""The search: it descends, stays in the ball, asks only whom it must, and can be replayed."""

import dataclasses

import numpy as np
import pytest

from cae_core.arrays import Floats64, as_unit_float
from cae_core.errors import ModelError, PoolError
from cae_core.generation.generate import GenerationResult, generate
from cae_core.generation.run_state import RunState, start_run
from cae_core.generation.search import Search
from cae_core.generation.seeds import SeedQueue, rank_seeds
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.white_boxes import WhiteBoxes
from cae_core.method.dropout import keep_mask
from cae_core.models import DifferentiableModel
from tests.core.toys import PROVENANCE, LinearModel, NaNModel, World, make_world, quick_settings


def begin(world: World, settings: GenerationSettings) -> tuple[Search, RunState]:
    search = Search.prepare(world.white_boxes, world.data, settings)
    queue = rank_seeds(world.white_boxes, world.data, ranking=settings.ranking, seed=settings.seed)
    return search, search.refill(start_run(queue, world.data.images.shape[1:]))


def with_member(white_boxes: WhiteBoxes, position: int, model: DifferentiableModel) -> WhiteBoxes:
    models = list(white_boxes.models)
    models[position] = model
    boundary = 1 + len(white_boxes.surrogates)
    return WhiteBoxes(models[0], models[1:boundary], models[boundary:], white_boxes.names)


@pytest.mark.parametrize(
    ("objective", "target"),
    [(name, target) for name in ("composite", "composite-keras") for target in ("max", "source")]
    + [("margins", "max")],
)
def test_the_search_descends_the_objective(world: World, objective: str, target: str) -> None:
    """An earlier implementation's update ascended the loss."""
    settings = quick_settings(objective=objective, target=target, dropout=0.0, iterations=15)
    search, state = begin(world, settings)
    values: list[Floats64] = []
    for _ in range(15):
        state, value = search.step(state)
        values.append(value)
    assert (values[-1] < values[0]).all()
    assert values[-1].mean() < values[0].mean() - 1


def test_one_small_step_lowers_every_images_loss(world: World) -> None:
    search, state = begin(world, quick_settings(dropout=0.0, learning_rate=1e-3, cap=1e3))
    moved, before = search.step(state)
    _, after = search.step(moved)
    assert (after < before).all()


@pytest.mark.parametrize(("norm", "eps"), [("linf", 8 / 255), ("linf", 0.2), ("l2", 0.3)])
def test_every_step_stays_in_the_ball_and_in_the_pixel_range(world: World, norm: str, eps: float) -> None:
    search, state = begin(world, quick_settings(norm=norm, eps=eps, learning_rate=1.0))
    seeds = as_unit_float(search.seeds_of(state, state.position))
    for _ in range(5):
        state, _ = search.step(state)
        delta = state.images.astype(np.float64) - seeds
        size = np.abs(delta).max() if norm == "linf" else np.linalg.norm(delta.reshape(len(delta), -1), axis=1).max()
        assert 0.9 * eps < size <= eps + 1e-6
        assert state.images.min() >= 0
        assert state.images.max() <= 1


def test_adams_state_and_step_count_stay_with_their_images(world: World) -> None:
    search, state = begin(world, quick_settings(batch=4))
    state, _ = search.step(state)
    assert state.adam.steps.tolist() == [1, 1, 1, 1]
    stay = np.array([0, 2])
    fewer = dataclasses.replace(
        state,
        position=state.position[stay],
        start_step=state.start_step[stay],
        images=state.images[stay],
        adam=type(state.adam)(state.adam.first[stay], state.adam.second[stay], state.adam.steps[stay]),
    )
    refilled = search.refill(fewer)
    assert refilled.adam.steps.tolist() == [1, 1, 0, 0]
    assert refilled.start_step.tolist() == [0, 0, 1, 1]
    assert refilled.position.tolist() == [0, 2, 4, 5]
    np.testing.assert_array_equal(refilled.adam.first[:2], state.adam.first[stay])
    np.testing.assert_array_equal(refilled.adam.first[2:], 0)
    after, _ = search.step(refilled)
    assert after.adam.steps.tolist() == [2, 2, 1, 1]


def test_a_dropped_member_is_not_evaluated_at_all() -> None:
    world = make_world()
    search, state = begin(world, quick_settings(batch=8, dropout=0.5))
    models = [model for model in world.white_boxes.models if isinstance(model, LinearModel)]
    for model in models:
        model.asked = 0
    expected = np.zeros(5, np.int64)
    for step in range(12):
        expected += 8 * keep_mask(seed=3, step=step, surrogates=2, references=2, dropout=0.5)
        state, _ = search.step(state)
    assert [model.asked for model in models] == expected.tolist()
    assert expected.min() < 96


@pytest.mark.parametrize("position", range(5))
def test_a_model_that_answers_nan_is_named(world: World, position: int) -> None:
    healthy = world.white_boxes.models[position]
    assert isinstance(healthy, LinearModel)
    white_boxes = with_member(world.white_boxes, position, NaNModel(healthy.weights))
    with pytest.raises(ModelError, match=f"{white_boxes.name(position)}: answers NaN or infinity"):
        generate(white_boxes, world.data, quick_settings(), provenance=PROVENANCE)


def test_a_pool_needs_both_relations(world: World) -> None:
    with pytest.raises(PoolError, match="no reference left"):
        WhiteBoxes(world.white_boxes.source, world.white_boxes.surrogates, [])
    with pytest.raises(PoolError, match="no surrogate left"):
        WhiteBoxes(world.white_boxes.source, [], world.white_boxes.references)


def test_models_without_names_are_numbered(world: World) -> None:
    assert (
        WhiteBoxes(world.white_boxes.source, world.white_boxes.surrogates, world.white_boxes.references).name(2)
        == "model 2"
    )


def test_an_example_can_be_replayed_from_its_start_step(world: World, generated: GenerationResult) -> None:
    """Alone in its batch, from the seed, with the dropout of its own stretch of the run."""
    fingerprint, settings = generated.fingerprint, quick_settings(batch=1)
    queue = rank_seeds(world.white_boxes, world.data, ranking="screened", seed=settings.seed)
    search = Search.prepare(world.white_boxes, world.data, settings)
    assert set(fingerprint.start_step.tolist()) == {0, 20}
    for i in range(len(fingerprint)):
        same = (world.data.images[queue.index] == fingerprint.seeds[i]).all(axis=(1, 2, 3))
        here = np.flatnonzero(same)[:1]
        alone = SeedQueue(queue.index[here], queue.original[here], queue.wanted[here], queue.source_accuracy)
        state = dataclasses.replace(start_run(alone, fingerprint.images.shape[1:]), step=int(fingerprint.start_step[i]))
        state = search.refill(state)
        for _ in range(fingerprint.steps[i]):
            state, _ = search.step(state)
        image = search.ball.quantise(state.images, fingerprint.seeds[i : i + 1])[0]
        near = np.abs(image.astype(int) - fingerprint.images[i]) <= 1
        assert near.mean() >= 0.95
        assert world.white_boxes.source.predict(image[np.newaxis]).labels[0] == fingerprint.labels[i]


def test_without_dropout_an_image_does_not_depend_on_its_batch(world: World) -> None:
    found = [
        generate(
            world.white_boxes, world.data, quick_settings(dropout=0.0, batch=batch, count=8), provenance=PROVENANCE
        ).fingerprint
        for batch in (1, 5, 8)
    ]
    for other in found[1:]:
        np.testing.assert_array_equal(other.seeds, found[0].seeds)
        assert np.abs(other.images.astype(int) - found[0].images).max() <= 1


def test_accepted_images_leave_the_batch_early_when_they_are_checked_often(world: World) -> None:
    settings = quick_settings(check_every=5)
    result = generate(world.white_boxes, world.data, settings, provenance=PROVENANCE)
    steps = result.fingerprint.steps
    assert set(steps.tolist()) <= {5, 10, 15, 20}
    assert steps.min() < 20
    assert result.complete
