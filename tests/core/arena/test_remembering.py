"""White boxes that are asked about each image once."""

import numpy as np
import pytest

from cae_core.arena.remembering import Memory, Remembering
from cae_core.generation.ensembles import build_ensemble
from cae_core.models import DifferentiableModel, GroupableModel, Predictions
from tests.core.arena.toy_pool import Counting
from tests.core.toys import SHAPE

SIZE = int(np.prod(SHAPE))


@pytest.fixture
def images() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.random.default_rng(1).integers(0, 256, (12, *SHAPE)).astype(np.uint8)


def box(seed: int, memory: Memory, *, name: str = "") -> tuple[Remembering, Counting]:
    model = Counting(np.random.default_rng(seed).standard_normal((SIZE, 4)))
    return Remembering(model, name=name or f"model-{seed}", memory=memory), model


def assert_same(found: Predictions, wanted: Predictions) -> None:
    np.testing.assert_array_equal(found.labels, wanted.labels)
    assert found.probabilities is not None
    assert wanted.probabilities is not None
    np.testing.assert_allclose(found.probabilities, wanted.probabilities, rtol=1e-6)


def test_an_image_is_asked_once_in_whatever_company(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    memory = Memory()
    boxes = [box(seed, memory) for seed in (1, 2)]
    parts = [slice(0, 5), slice(3, 9), slice(0, 12), slice(11, None, -1)]
    for part in parts:
        for each, model in boxes:
            assert_same(each.predict(images[part]), Counting(model.weights.astype(float)).predict(images[part]))
    for _, model in boxes:
        assert model.calls[:3] == [5, 4, 3]
        assert sum(model.calls) == 12


def test_equal_images_are_asked_once(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    each, model = box(1, Memory())
    twice = images[[3, 3, 5, 3]]
    assert_same(each.predict(twice), model.predict(twice))
    assert model.calls[0] == 2


def test_models_of_one_name_share_their_answers(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    memory = Memory()
    box(1, memory, name="source")[0].predict(images)
    again, model = box(1, memory, name="source")
    again.predict(images)
    assert not model.calls


def test_floats_and_gradients_go_to_the_model(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    each, model = box(1, Memory())
    unit = (images / 255).astype(np.float32)
    for _ in range(2):
        each.predict(unit)
    assert model.calls == [12, 12]
    np.testing.assert_array_equal(each.vjp(unit)[0], model.vjp(unit)[0])


def test_what_the_model_says_of_itself_is_passed_on() -> None:
    each, model = box(1, Memory())
    model.contract = "its contract"  # type: ignore[attr-defined]
    assert each.contract == "its contract"
    assert getattr(each, "witness", None) is None


def test_a_group_is_that_of_the_models_behind(images: np.ndarray[tuple[int, ...], np.dtype[np.uint8]]) -> None:
    memory = Memory()
    boxes = [box(seed, memory) for seed in (1, 2, 3)]
    wrapped: list[DifferentiableModel] = [each for each, _ in boxes]
    assert isinstance(wrapped[0], GroupableModel)
    unit, keep = (images / 255).astype(np.float32), np.array([True, False, True])
    found = build_ensemble(wrapped).vjp(unit, keep)[0]
    np.testing.assert_array_equal(found, build_ensemble([model for _, model in boxes]).vjp(unit, keep)[0])
