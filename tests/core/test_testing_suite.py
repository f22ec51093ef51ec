"""The conformance suite passes right models and names what is wrong with broken ones."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Images
from cae_core.generation.ensembles import MixedEnsemble, SequentialEnsemble
from cae_core.models import Predictions, Pullback
from cae_core.testing import CallableModel, LinearModel, check_differentiable, check_ensemble, check_model

IMAGES: NDArray[np.uint8] = np.random.default_rng(3).integers(0, 256, (5, 4, 4, 3), dtype=np.uint8)


def cast(values: NDArray[Any], dtype: type[np.generic]) -> Any:  # noqa: ANN401 - of a wrong type, on purpose
    return values.astype(dtype)


class Altered:
    """A linear model with one method replaced."""

    def __init__(
        self,
        predict: Callable[[Any, Any], Predictions] | None = None,
        vjp: Callable[[Any, Floats32], tuple[Floats32, Pullback]] | None = None,
    ) -> None:
        self.right: CallableModel = LinearModel.random((4, 4, 3), classes=6, seed=1)
        self.memory: dict[int, Any] = {}
        self._predict, self._vjp = predict, vjp

    def predict(self, images: Images) -> Predictions:
        return self._predict(self, images) if self._predict else self.right.predict(images)

    def vjp(self, images: Floats32) -> tuple[Floats32, Pullback]:
        return self._vjp(self, images) if self._vjp else self.right.vjp(images)


def test_right_models_pass() -> None:
    smooth = CallableModel(
        lambda x: np.tanh(x.reshape(len(x), 48)[:, :6]),
        lambda x, g: np.pad(g * (1 - np.tanh(x.reshape(len(x), 48)[:, :6]) ** 2), ((0, 0), (0, 42))),
    )
    for model in (LinearModel.random((4, 4, 3), classes=6, seed=1), smooth, Altered()):
        check_model(model, IMAGES, classes=6)
        check_differentiable(model, IMAGES)


def test_callable_model_counts_and_reports_not_a_number() -> None:
    model = CallableModel(lambda x: np.where(x[:, 0, 0, :1] > 0.5, np.nan, [[0.0, 1.0]]), lambda x, _: np.zeros_like(x))
    answer = model.predict(np.array([0, 255], np.uint8).reshape(2, 1, 1, 1))
    assert answer.labels.tolist() == [1, -1]
    assert model.calls == 1


def probabilities_of(answer: Predictions) -> NDArray[Any]:
    assert answer.probabilities is not None
    return answer.probabilities


def relabel(change: Callable[[Predictions], Predictions]) -> Altered:
    return Altered(predict=lambda self, x: change(self.right.predict(x)))


def assume_float(self: Altered, x: Images) -> Predictions:
    return self.right.predict(np.ascontiguousarray(x, np.float32))  # forgets to divide uint8 by 255


def overwrite(self: Altered, x: Images) -> Predictions:
    found = self.right.predict(x)
    kept: Predictions = self.memory.setdefault(len(x), found)
    kept.labels[:] = found.labels
    np.copyto(probabilities_of(kept), probabilities_of(found))
    return kept


def scribble(self: Altered, x: Images) -> Predictions:
    found = self.right.predict(x)
    if x.flags.writeable and len(x):
        x[0] = 0
    return found


def depend_on_batch(self: Altered, x: Images) -> Predictions:
    centred = np.asarray(x / np.float32(255) if x.dtype == np.uint8 else x, np.float32)
    return self.right.predict(centred - centred.mean(axis=0) if len(x) else centred)


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (relabel(lambda p: Predictions(cast(p.labels, np.int32))), "Labels must be int64"),
        (relabel(lambda p: Predictions(p.labels + 6)), "Labels must lie in"),
        (relabel(lambda p: Predictions(p.labels, probabilities_of(p)[:, :5])), "Probabilities must be"),
        (relabel(lambda p: Predictions(p.labels, probabilities_of(p) * 2)), "must sum to 1"),
        (relabel(lambda p: Predictions((p.labels + 1) % 6, p.probabilities)), "largest probability"),
        (relabel(lambda p: Predictions(p.labels, cast(probabilities_of(p), np.float64))), "must be float32"),
        (relabel(lambda p: Predictions(p.labels, np.asfortranarray(probabilities_of(p)))), "contiguous"),
        (Altered(predict=assume_float), "uint8 and float32/255"),
        (Altered(predict=overwrite), "A later call"),
        (Altered(predict=scribble), "must not be changed"),
        (Altered(predict=depend_on_batch), "Splitting the batch"),
    ],
)
def test_broken_black_boxes_are_caught(model: Altered, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_model(model, IMAGES.copy(), classes=6)


def altered_pullback(change: Callable[[Any], Any]) -> Altered:
    def vjp(self: Altered, x: Floats32) -> tuple[Floats32, Pullback]:
        logits, pullback = self.right.vjp(x)
        return logits, lambda g: change(pullback(g))

    return Altered(vjp=vjp)


def alias_logits(self: Altered, x: Floats32) -> tuple[Floats32, Pullback]:
    logits, pullback = self.right.vjp(x)
    kept: Floats32 = self.memory.setdefault(len(x), logits)
    kept[:] = logits
    return kept, pullback


def keep_last_point(self: Altered, x: Floats32) -> tuple[Floats32, Pullback]:
    """A quadratic whose pullback reads the caller's array when it is called, not when it was passed."""

    def pull_back(gradient: Floats32) -> Floats32:
        return np.asarray(np.repeat(gradient.sum(axis=1), 48).reshape(x.shape) * (x + x), np.float32)

    squares = (x * x).reshape(len(x), 48).sum(axis=1, keepdims=True)
    return np.repeat(squares, 6, axis=1), pull_back


def permute_classes(self: Altered, x: Floats32) -> tuple[Floats32, Pullback]:
    logits, pullback = self.right.vjp(x)
    return np.ascontiguousarray(logits[:, ::-1]), lambda g: pullback(np.ascontiguousarray(g[:, ::-1]))


def refuse_empty(self: Altered, x: Floats32) -> tuple[Floats32, Pullback]:
    logits, pullback = self.right.vjp(x)
    return (logits if len(x) else np.zeros((0, 1), np.float32)), pullback


@pytest.mark.parametrize(
    ("model", "message"),
    [
        (altered_pullback(lambda g: -g), "central difference"),
        (altered_pullback(lambda g: g / 255), "central difference"),
        (altered_pullback(lambda g: np.ascontiguousarray(g[..., ::-1])), "central difference"),
        (altered_pullback(lambda g: np.ascontiguousarray(g.transpose(0, 3, 1, 2))), "must return"),
        (altered_pullback(np.abs), "2 pullback"),
        (altered_pullback(lambda g: g + 1), "called again"),
        (altered_pullback(lambda g: g.astype(np.float64)), "must be float32"),
        (altered_pullback(lambda g: g * np.float32(np.nan)), "finite"),
        (Altered(vjp=alias_logits), "overwrite the logits"),
        (Altered(vjp=permute_classes), "largest logit"),
        (Altered(vjp=refuse_empty), "No images"),
    ],
)
def test_broken_white_boxes_are_caught(model: Altered, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_differentiable(model, IMAGES)


def test_pullback_at_the_wrong_point_is_caught() -> None:
    model = Altered(vjp=keep_last_point)
    model.right = CallableModel(
        lambda x: np.repeat((x * x).reshape(len(x), 48).sum(axis=1, keepdims=True), 6, axis=1), lambda x, _: x
    )
    with pytest.raises(AssertionError, match="changed in place"):
        check_differentiable(model, IMAGES)


class Counted:
    """Members with a count of evaluations, and an ensemble that a test may break."""

    def __init__(self) -> None:
        self.members = [LinearModel.random((4, 4, 3), classes=6, seed=seed) for seed in range(4)]

    def counts(self) -> Sequence[int]:
        return [member.calls for member in self.members]


def test_right_ensembles_pass() -> None:
    pool = Counted()
    sequential = SequentialEnsemble(pool.members)
    check_ensemble(sequential, pool.members, IMAGES, evaluations=pool.counts)
    halves = [
        (SequentialEnsemble([pool.members[3], pool.members[1]]), np.array([3, 1])),
        (SequentialEnsemble([pool.members[0], pool.members[2]]), np.array([0, 2])),
    ]
    check_ensemble(MixedEnsemble(halves), pool.members, IMAGES, evaluations=pool.counts)


class BrokenEnsemble(SequentialEnsemble):
    def __init__(self, pool: Counted, fault: str) -> None:
        super().__init__(pool.members)
        self.fault, self.members = fault, pool.members

    def vjp(self, images: Floats32, keep: NDArray[np.bool_]) -> tuple[Floats32, Pullback]:
        if self.fault == "evaluates all":
            everything, pullback = super().vjp(images, np.ones(4, np.bool_))
            spread = np.zeros_like(everything)

            def pull_back(gradient: Floats32) -> Floats32:
                spread[keep] = gradient
                return pullback(spread)

            return np.ascontiguousarray(everything[keep]), pull_back
        logits, pullback = super().vjp(images, keep)
        if self.fault == "mean":
            return logits, lambda g: pullback(g) / np.float32(len(g))
        if self.fault == "order":
            return np.ascontiguousarray(logits[::-1]), lambda g: pullback(np.ascontiguousarray(g[::-1]))
        return np.ascontiguousarray(logits.transpose(1, 0, 2)), pullback


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("evaluates all", "dropped member must not be evaluated"),
        ("mean", "SUM"),
        ("order", "its members'"),
        ("axes", "The logits must be"),
    ],
)
def test_broken_ensembles_are_caught(fault: str, message: str) -> None:
    pool = Counted()
    with pytest.raises(AssertionError, match=message):
        check_ensemble(BrokenEnsemble(pool, fault), pool.members, IMAGES, evaluations=pool.counts)
