"""ART's attacks on our white boxes; its gradients against ours, and its examples against the arena's own attacks."""

from typing import Any, Literal

import numpy as np
import pytest
from art.attacks.evasion import (
    BasicIterativeMethod,
    CarliniL2Method,
    CarliniLInfMethod,
    DeepFool,
    FastGradientMethod,
    ProjectedGradientDescent,
    SaliencyMapMethod,
)
from art.estimators.classification import PyTorchClassifier

from cae_backends.art import as_estimator
from cae_backends.art.estimator import PullbackClassifier
from cae_core.arena.attacks import fast_gradient, iterated_gradient, loss_gradient
from cae_core.arrays import Floats32, Labels
from cae_core.errors import BackendMissing, OptionError
from cae_core.method.ball import Ball
from tests.core.toys import SHAPE, LinearModel

CLASSES = 4


@pytest.fixture(scope="module")
def model() -> LinearModel:
    return LinearModel(np.random.default_rng(1).standard_normal((int(np.prod(SHAPE)), CLASSES)))


@pytest.fixture(scope="module")
def images() -> Floats32:
    return np.random.default_rng(2).uniform(0.3, 0.7, (9, *SHAPE)).astype(np.float32)


@pytest.fixture
def estimator(model: LinearModel) -> PullbackClassifier:
    return as_estimator(model, classes=CLASSES, shape=SHAPE)


@pytest.fixture(scope="module")
def in_torch(model: LinearModel) -> PyTorchClassifier:
    """Return the same classifier as ART wraps a torch network."""
    import torch

    layer = torch.nn.Linear(int(np.prod(SHAPE)), CLASSES)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(model.weights.T))
        layer.bias.copy_(torch.from_numpy(-0.5 * model.weights.sum(axis=0)))
    return PyTorchClassifier(
        torch.nn.Sequential(torch.nn.Flatten(), layer),
        loss=torch.nn.CrossEntropyLoss(reduction="sum"),
        input_shape=SHAPE,
        nb_classes=CLASSES,
        clip_values=(0, 1),
    )


def labels_of(model: LinearModel, images: Floats32) -> Labels:
    return model.predict(images).labels


def test_logits_and_gradients_are_those_of_arts_own_wrapper(
    estimator: PullbackClassifier, in_torch: PyTorchClassifier, model: LinearModel, images: Floats32
) -> None:
    labels = labels_of(model, images)
    one_hot = np.eye(CLASSES, dtype=np.float32)[labels]
    np.testing.assert_allclose(estimator.predict(images), in_torch.predict(images), atol=1e-4)
    np.testing.assert_allclose(
        estimator.loss_gradient(images, one_hot), in_torch.loss_gradient(images, one_hot), atol=1e-4
    )
    np.testing.assert_allclose(estimator.class_gradient(images), in_torch.class_gradient(images), atol=1e-4)
    for label in (2, labels):
        np.testing.assert_allclose(
            estimator.class_gradient(images, label=label), in_torch.class_gradient(images, label=label), atol=1e-4
        )


def test_the_loss_gradient_is_ours(estimator: PullbackClassifier, model: LinearModel, images: Floats32) -> None:
    labels = labels_of(model, images)
    np.testing.assert_allclose(
        estimator.loss_gradient(images, labels), loss_gradient(model, images, labels), rtol=1e-5, atol=1e-6
    )


def test_more_images_than_a_batch_are_the_same(estimator: PullbackClassifier, images: Floats32) -> None:
    many = np.tile(images, (30, 1, 1, 1))
    np.testing.assert_allclose(estimator.class_gradient(many)[:9], estimator.class_gradient(images), atol=1e-6)
    assert estimator.class_gradient(many).shape == (270, CLASSES, *SHAPE)
    np.testing.assert_allclose(estimator.predict(many, batch_size=7)[-9:], estimator.predict(images), atol=1e-6)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_arts_fast_gradient_examples_are_the_arenas(
    estimator: PullbackClassifier, model: LinearModel, images: Floats32, norm: Literal["linf", "l2"]
) -> None:
    labels = labels_of(model, images)
    attacked: Any = estimator  # by ART's types it would have to be one of its own classes
    attack = FastGradientMethod(attacked, norm=np.inf if norm == "linf" else 2, eps=0.1)
    found = attack.generate(images, y=np.eye(CLASSES)[labels])
    np.testing.assert_allclose(found, fast_gradient(model, images, labels, ball=Ball(0.1, norm)), atol=1e-5)


def test_arts_iterated_examples_are_the_arenas(
    estimator: PullbackClassifier, model: LinearModel, images: Floats32
) -> None:
    labels = labels_of(model, images)
    attacked: Any = estimator
    attack = BasicIterativeMethod(attacked, eps=0.1, eps_step=0.02, max_iter=10, verbose=False)
    found = attack.generate(images, y=np.eye(CLASSES)[labels])
    ours = iterated_gradient(model, images, labels, ball=Ball(0.1), step=0.02, steps=10)
    np.testing.assert_allclose(found, ours, atol=1e-5)


ATTACKS: dict[str, Any] = {
    "FGM": lambda e: FastGradientMethod(e, eps=0.3),
    "BIM": lambda e: BasicIterativeMethod(e, eps=0.3, eps_step=0.05, max_iter=10, verbose=False),
    "PGD": lambda e: ProjectedGradientDescent(e, eps=0.3, eps_step=0.05, max_iter=10, num_random_init=1, verbose=False),
    "CW-Linf": lambda e: CarliniLInfMethod(e, max_iter=5, verbose=False),
    "CW-L2": lambda e: CarliniL2Method(e, max_iter=5, binary_search_steps=3, verbose=False),
    "DeepFool": lambda e: DeepFool(e, max_iter=20, verbose=False),
    "JSMA": lambda e: SaliencyMapMethod(e, verbose=False),
}
"""The attacks of ART that docs/arena.md names."""


@pytest.mark.parametrize("name", ATTACKS)
def test_arts_attacks_deceive_the_model(
    name: str, estimator: PullbackClassifier, model: LinearModel, images: Floats32
) -> None:
    found = ATTACKS[name](estimator).generate(images)
    assert found.shape == images.shape
    assert 0 <= found.min() <= found.max() <= 1
    turned = (labels_of(model, found.astype(np.float32)) != labels_of(model, images)).mean()
    assert turned > 0.7


def test_it_can_neither_be_trained_nor_saved(estimator: PullbackClassifier, images: Floats32) -> None:
    with pytest.raises(OptionError, match="cannot be trained"):
        estimator.fit(images, np.zeros(9))
    with pytest.raises(OptionError, match="cannot be saved"):
        estimator.save("x")


def test_without_art_the_sentence_says_what_to_install(model: LinearModel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "cae_backends.art.estimator", None)
    with pytest.raises(BackendMissing, match=r"cae-fingerprint\[art\]"):
        as_estimator(model, classes=CLASSES, shape=SHAPE)
