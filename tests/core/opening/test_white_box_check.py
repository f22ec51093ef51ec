"""The check of a white box at its opening: what it refuses, and that it lets through what is right."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Images
from cae_core.contract import Contract
from cae_core.errors import CaeError, ContractError, ModelError
from cae_core.models import Predictions, Pullback, Witness
from cae_core.opening.white_box_check import OpenedWhiteBox, _check_values, check_white_box

SHAPE = (6, 6, 3)
LOGITS = Contract(layout="NHWC", range=(0.0, 1.0), output="logits")
RNG = np.random.default_rng(0)
FIRST = RNG.standard_normal((108, 12)).astype(np.float32)
LAST = RNG.standard_normal((12, 5)).astype(np.float32)


def network(x: Floats32) -> Floats32:
    return np.asarray(np.tanh(x.reshape(len(x), -1) @ FIRST / 4) @ LAST, np.float32)


def pulled(x: Floats32, gradient: Floats32) -> Floats32:
    hidden = np.tanh(x.reshape(len(x), -1) @ FIRST / 4)
    return np.asarray((gradient @ LAST.T * (1 - hidden**2)) @ FIRST.T / 4, np.float32).reshape(x.shape)


@dataclass
class Opened:
    """A white box of two functions, as a backend would have made it of a file."""

    logits: Callable[[Floats32], Floats32] = network
    pull: Callable[[Floats32, Floats32], Floats32] = pulled
    contract: Contract = LOGITS
    image_shape: tuple[int | None, int | None, int | None] = SHAPE
    witness: Witness | None = None
    asked: list[Floats32] = field(default_factory=list)

    def predict(self, images: Images) -> Predictions:
        return self.contract.to_predictions(self.logits(np.asarray(images, np.float32)))

    def vjp(self, images: Floats32) -> tuple[Floats32, Pullback]:
        self.asked.append(images)
        return self.logits(images), lambda gradient: self.pull(images, gradient)


@dataclass
class Told:
    """A witness of one function; ``rough`` is what its optimisations change."""

    answer: Callable[[Floats32], Floats32] = network
    rough: float = 0.0
    resolution: float = 2.0**-23
    name: str = "the runtime"

    def logits(self, images: Floats32, *, plain: bool = False) -> Floats32:
        told = self.answer(images).copy()
        told[:, 0] += np.float32(self.rough * plain)
        return told


def checked(model: Opened, **options: Any) -> None:  # noqa: ANN401 - of the check
    assert isinstance(model, OpenedWhiteBox)
    check_white_box(model, origin="m.onnx", **options)


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("witness", [None, Told()])
def test_a_true_one_passes_with_any_images(seed: int, witness: Witness | None) -> None:
    checked(Opened(witness=witness), rng=np.random.default_rng(seed))


def test_rectifiers_are_no_reason() -> None:
    """Their kinks make slopes and gradients differ at single places."""

    def relu(x: Floats32) -> Floats32:
        return np.asarray(np.maximum(x.reshape(len(x), -1) @ FIRST, 0) @ LAST, np.float32)

    def back(x: Floats32, gradient: Floats32) -> Floats32:
        on = x.reshape(len(x), -1) @ FIRST > 0
        return np.asarray((gradient @ LAST.T * on) @ FIRST.T, np.float32).reshape(x.shape)

    for seed in range(50):
        checked(Opened(relu, back, witness=Told(relu)), rng=np.random.default_rng(seed))


def test_a_shift_of_all_logits_is_none_of_a_classifier() -> None:
    checked(Opened(witness=Told(lambda x: network(x) + np.float32(3))))


@pytest.mark.parametrize("error", [1e-3, 0.1, np.nan])
def test_other_values_than_the_witness(error: float) -> None:
    off = Opened(lambda x: network(x) + np.float32(error) * np.eye(5, dtype=np.float32)[1], witness=Told())
    with pytest.raises(ModelError, match=r"m\.onnx: .*(than the runtime answers for the same file|NaN)"):
        checked(off, rng=np.random.default_rng(0))


def test_what_the_witness_itself_differs_by_is_allowed() -> None:
    off = Opened(lambda x: network(x) + np.float32(5e-3) * np.eye(5, dtype=np.float32)[1])
    for rough, passes in ((1e-3, True), (1e-4, False)):
        model = replace(off, witness=Told(rough=rough))
        if passes:
            checked(model)
        else:
            with pytest.raises(ModelError, match="same file"):
                checked(model)


def test_less_than_float32_is_compared_as_such() -> None:
    off = Opened(lambda x: network(x) + np.float32(5e-3) * np.eye(5, dtype=np.float32)[1])
    checked(replace(off, witness=Told(resolution=2.0**-10)))


def test_probabilities_are_compared_as_their_logarithms() -> None:
    def log_probabilities(x: Floats32) -> Floats32:
        z = network(x)
        return np.asarray(z - np.log(np.exp(z).sum(axis=1, keepdims=True)), np.float32)

    checked(Opened(witness=Told(log_probabilities)))


def test_other_classes_than_the_witness() -> None:
    with pytest.raises(ModelError, match="answers 4 classes for this file, and the white box 5"):
        checked(Opened(witness=Told(lambda x: network(x)[:, :4])))


GRADIENTS: dict[str, tuple[Callable[[Floats32, Floats32], Floats32], str]] = {
    "half": (lambda x, g: pulled(x, g / np.float32(2)), "not the slope"),
    "twice": (lambda x, g: pulled(x, g * np.float32(2)), "not the slope"),
    "without half of the image": (lambda x, g: pulled(x, g) * (np.arange(6) < 3)[:, None, None], "not the slope"),
    "negative": (lambda x, g: -pulled(x, g), "not the slope"),
    "of another image": (lambda x, g: pulled(x, g[::-1]), "not the slope"),
    "without one class": (lambda x, g: pulled(x, g * np.array([3, 1, 0, 1, 1], np.float32)), "not the slope"),
    "zero": (lambda x, _: np.zeros_like(x), "zero everywhere"),
    "infinite": (lambda x, _: np.full_like(x, np.inf), "NaN or infinite"),
}


@pytest.mark.parametrize(("pull", "sentence"), GRADIENTS.values(), ids=GRADIENTS)
def test_other_gradients_than_the_slopes(pull: Callable[[Floats32, Floats32], Floats32], sentence: str) -> None:
    with pytest.raises(ModelError, match=sentence):
        checked(Opened(pull=pull), rng=np.random.default_rng(3))


def stairs(x: Floats32) -> Floats32:
    """The network after its image was rounded to 16 levels, as a quantised one rounds."""
    return network(np.asarray(np.round(x * 15) / 15, np.float32))


def test_a_gradient_that_leads_nowhere_over_stairs() -> None:
    """Near an image stairs are flat and have no slope; what the gradient promises afar does not come true either."""
    astray = np.random.default_rng(0).standard_normal((4, *SHAPE)).astype(np.float32)
    for seed in range(5):
        with pytest.raises(ModelError, match="not the slope"):
            checked(Opened(stairs, lambda x, _: astray[: len(x)]), rng=np.random.default_rng(seed))


def test_two_classes_of_one_sigmoid() -> None:
    """Of 1 - p near 0, float32 keeps no digits: two right implementations differ there."""
    told = LOGITS.replace(output="probabilities")

    def pair(x: Floats32, last: float) -> Floats32:
        p = 1 / (1 + np.exp(-12 * network(x)[:, :1].astype(np.float64) - last))
        told = np.float32(1) - np.concatenate([p, 1 - p], axis=1).astype(np.float32)
        return np.asarray(np.log(np.maximum(told, np.float32(1e-30))), np.float32)

    for seed in range(30):
        model = Opened(lambda x: pair(x, 0), contract=told, witness=Told(lambda x: pair(x, 3e-7)))
        logits, witness = model.logits, model.witness
        assert witness is not None
        drawn = np.random.default_rng(seed).uniform(0.05, 0.95, (8, *SHAPE)).astype(np.float32)
        _check_values(model, witness, drawn, logits(drawn), "m.onnx")


def test_answers_that_depend_on_the_neighbours() -> None:
    def of_the_batch(x: Floats32) -> Floats32:
        z = network(x)
        return np.asarray((z - z.mean(axis=0)) / (z.std(axis=0) + 1), np.float32)

    with pytest.raises(ModelError, match="training mode"):
        checked(Opened(of_the_batch))


def test_answers_that_are_random() -> None:
    rng = np.random.default_rng(0)
    with pytest.raises(ModelError, match="training mode"):
        checked(Opened(lambda x: network(x * (rng.random(x.shape) > 0.3))))


def test_probabilities_told_to_be_logits() -> None:
    def softmax(x: Floats32) -> Floats32:
        e = np.exp(network(x))
        return np.asarray(e / e.sum(axis=1, keepdims=True), np.float32)

    with pytest.raises(ContractError, match="ends in a softmax"):
        checked(Opened(softmax))


@pytest.mark.parametrize("answer", [network, lambda x: -np.abs(network(x))])
def test_logits_told_to_be_probabilities(answer: Callable[[Floats32], Floats32]) -> None:
    with pytest.raises(ContractError, match="its answers are none"):
        checked(Opened(answer, contract=LOGITS.replace(output="probabilities")))


def test_the_images_are_drawn_anew() -> None:
    """Whoever makes a file that is right on known images only must not know them."""
    first, second = Opened(), Opened()
    checked(first)
    checked(second)
    assert not np.array_equal(first.asked[0], second.asked[0])


def test_given_images_are_among_those_asked() -> None:
    images: NDArray[np.uint8] = RNG.integers(0, 256, (9, *SHAPE), dtype=np.uint8)
    model = Opened(image_shape=(None, None, None))
    checked(model, images=images)
    known = {image.tobytes() for image in images}
    asked = [(255 * image).round().astype(np.uint8).tobytes() for image in model.asked[0]]
    assert sum(image in known for image in asked) == 4
    assert len(asked) == 8


def test_a_model_of_any_size_is_asked_about_a_usual_one() -> None:
    def pooled(x: Floats32) -> Floats32:
        if x.shape[1:3] != (64, 64):
            raise ModelError("it takes 64x64 only.")
        return network(x[:, :6, :6])

    def back(x: Floats32, g: Floats32) -> Floats32:
        whole = np.zeros_like(x)
        whole[:, :6, :6] = pulled(x[:, :6, :6], g)
        return whole

    checked(Opened(pooled, back, image_shape=(None, None, None)))
    with pytest.raises(CaeError, match="nobody says which images the model takes"):
        checked(Opened(lambda x: pooled(x[:, 1:]), back, image_shape=(None, None, None)))
    with pytest.raises(ModelError, match="Correct layout, channels or size"):
        checked(Opened(pooled, back, image_shape=SHAPE))


def test_the_contracts_size_goes_before_the_graphs() -> None:
    model = Opened(contract=LOGITS.replace(size=(6, 6), channels="RGB"), image_shape=(None, None, 1))
    checked(model)
    assert model.asked[0].shape == (8, *SHAPE)
