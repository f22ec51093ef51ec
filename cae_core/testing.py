"""What every backend must satisfy, ours or a third party's, as functions that raise `AssertionError`.

NumPy only, and no test framework: call them from any test.

    from cae_core.testing import check_differentiable, check_ensemble, check_model

    def test_my_backend():
        check_model(model, images, classes=10)
        check_differentiable(model, images)

Each property is a function of its own, so that a failure says what is broken. `LinearModel` is a white box for
tests of whatever takes models, and so is `CallableModel`, the name that `cae_core.own_models.WhiteBox` had before.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32, as_unit_float
from cae_core.models import NO_ANSWER, DifferentiableModel, Ensemble, Model, Predictions, Pullback
from cae_core.own_models import WhiteBox as CallableModel

__all__ = [
    "CallableModel",
    "LinearModel",
    "check_differentiable",
    "check_ensemble",
    "check_model",
]

T = TypeVar("T", bound=np.generic)
_TOLERANCE = 1e-4
"""Of the largest value: what float32 sums of a few thousand terms may differ by when their order changes."""


class LinearModel(CallableModel):
    """Logits that are affine in the pixels, ``z = W x + b``, so that every gradient is known exactly.

    Args:
        weights: (c, h*w*k).
        bias: (c,).
    """

    def __init__(self, weights: Floats32, bias: Floats32) -> None:
        super().__init__(
            lambda x: x.reshape(len(x), weights.shape[1]) @ weights.T + bias,
            lambda x, gradient: (gradient @ weights).reshape(x.shape),
        )

    @classmethod
    def random(cls, shape: tuple[int, int, int], *, classes: int, seed: int) -> "LinearModel":
        """Return one with normal weights for images of ``shape`` = (h, w, k)."""
        rng = np.random.default_rng(seed)
        weights = rng.standard_normal((classes, int(np.prod(shape)))).astype(np.float32)
        return cls(weights, rng.standard_normal(classes).astype(np.float32))


def check_model(model: Model, images: NDArray[np.uint8], *, classes: int, atol: float = _TOLERANCE) -> None:
    """Check everything that a black box must satisfy.

    Args:
        model: a fresh or a used one.
        images: uint8 (n, h, w, k), at least four, on which the model answers.
        classes: c, of the data set.
        atol: how far probabilities may differ when the batch or the type of the images changes.

    Raises:
        AssertionError: saying which property does not hold.
    """
    _check_input_unharmed(model.predict, images)
    answer = model.predict(images)
    _check_predictions(answer, len(images), classes)
    _check_predict_is_fresh(model, images)
    _check_answers_equal(model.predict(images), answer, atol, "The same images asked twice")
    _check_answers_equal(model.predict(as_unit_float(images)), answer, atol, "uint8 and float32/255 images")
    _check_answers_equal(model.predict(_read_only(images)), answer, atol, "Read-only images")
    _check_answers_equal(model.predict(_strided(images)), answer, atol, "Non-contiguous images")
    _check_predict_by_parts(model, images, answer, atol)
    _check_predictions(model.predict(images[:0]), 0, classes)


def check_differentiable(
    model: DifferentiableModel, images: NDArray[np.uint8], *, step: float = 2e-3, tolerance: float = 2e-2
) -> None:
    """Check everything that a white box must satisfy beyond `check_model`.

    Args:
        model: the white box.
        images: uint8 (n, h, w, k), at least four.
        step: length, in the largest norm, of the central differences.
        tolerance: of the central differences, relative; float32, and kinks such as ReLU's, set it.

    Raises:
        AssertionError: saying which property does not hold.
    """
    x = as_unit_float(images)
    logits, pullback = model.vjp(x)
    rng = np.random.default_rng(0)
    v = rng.standard_normal(logits.shape).astype(np.float32)
    _check_logits(logits, len(images))
    _check_gradient(pullback(v), x.shape)
    _check_input_unharmed(model.vjp, x)
    _check_labels_follow_logits(model, images, logits)
    _check_vjp_is_fresh(model, x, v)
    _check_point_is_kept(model, x, v)
    _check_linearity(pullback, v, rng.standard_normal(logits.shape).astype(np.float32))
    _check_directional_derivatives(model, x, step=step, tolerance=tolerance)
    _check_vjp_by_parts(model, x, v)
    _check_hostile_arrays(model, x, v)
    empty_logits, empty_pullback = model.vjp(x[:0])
    _check(empty_logits.shape == (0, logits.shape[1]), "No images must give logits (0, c)", empty_logits.shape)
    _check_gradient(empty_pullback(v[:0]), x[:0].shape)


def check_ensemble(
    ensemble: Ensemble,
    models: Sequence[DifferentiableModel],
    images: NDArray[np.uint8],
    *,
    tolerance: float = 1e-3,
    evaluations: Callable[[], Sequence[int]] | None = None,
) -> None:
    """Check that ``ensemble`` is the group of ``models``: all, some, and each one of them kept.

    Args:
        ensemble: made from ``models``, in that order.
        models: at least two.
        images: uint8 (n, h, w, k).
        tolerance: of logits and gradients, relative to the largest value of each.
        evaluations: tells how often each member has been evaluated, where the caller can count it; else it is only
            checked that dropped members contribute nothing.

    Raises:
        AssertionError: saying which property does not hold.
    """
    m = len(models)
    _check(len(ensemble) == m, f"The ensemble's length must be {m}", len(ensemble))
    x = as_unit_float(images)
    for keep in _masks(m):
        before = np.array(evaluations()) if evaluations else None
        kept = [model for model, marked in zip(models, keep, strict=True) if marked]
        _check_ensemble_answer(ensemble.vjp(x, keep), kept, x, f"under keep {keep}", tolerance)
        if evaluations and before is not None:
            asked = np.flatnonzero(np.array(evaluations()) > before)
            dropped = [int(i) for i in asked if not keep[i]]
            _check(not dropped, "A dropped member must not be evaluated", f"members {dropped} under keep {keep}")
    _check_input_unharmed(lambda y: ensemble.vjp(y, np.ones(m, np.bool_)), x)


def _masks(m: int) -> Iterator[NDArray[np.bool_]]:
    yield np.ones(m, np.bool_)
    yield from np.eye(m, dtype=np.bool_)
    yield np.arange(m) % 2 == 1
    yield np.arange(m) % 2 == 0


def _check_ensemble_answer(
    answer: tuple[Floats32, Pullback],
    kept: Sequence[DifferentiableModel],
    x: Floats32,
    when: str,
    tolerance: float,
) -> None:
    """Compare with the members asked one by one."""
    logits, pullback = answer
    answers = [model.vjp(x) for model in kept]
    expected = np.stack([rows for rows, _ in answers])
    _check(logits.shape == expected.shape, f"The logits must be {expected.shape} {when}", logits.shape)
    _check_array(logits, "The ensemble's logits")
    _check_close(logits, expected, tolerance, f"The ensemble's logits {when}, and its members',")
    v = np.random.default_rng(1).standard_normal(logits.shape).astype(np.float32)
    total = np.zeros_like(x)
    for (_, pull), part in zip(answers, v, strict=True):
        total += pull(part)
    gradient = pullback(v)
    _check_gradient(gradient, x.shape)
    _check_close(gradient, total, tolerance, f"The ensemble's pullback {when}, and the members' SUM,")


def _check_predictions(answer: Predictions, n: int, classes: int) -> None:
    labels, probabilities = answer.labels, answer.probabilities
    _check(labels.shape == (n,) and labels.dtype == np.int64, f"Labels must be int64 ({n},)", _describe(labels))
    inside = (labels >= NO_ANSWER) & (labels < classes)
    _check(bool(inside.all()), f"Labels must lie in -1 .. {classes - 1}", labels[~inside])
    if probabilities is None:
        return
    _check(probabilities.shape == (n, classes), f"Probabilities must be ({n}, {classes})", probabilities.shape)
    _check_array(probabilities, "Probabilities")
    answered = probabilities[labels != NO_ANSWER]
    _check(bool((answered >= 0).all()), "Probabilities must not be negative", answered.min(initial=0))
    _check(bool(np.allclose(answered.sum(axis=1), 1, atol=1e-3)), "Probabilities must sum to 1", answered.sum(axis=1))
    best = answered.max(axis=1, initial=0) - answered[np.arange(len(answered)), labels[labels != NO_ANSWER]]
    _check(bool((best <= 0).all()), "The label must have the largest probability; it misses by", best)


def _check_answers_equal(found: Predictions, expected: Predictions, atol: float, what: str) -> None:
    if found.probabilities is not None and expected.probabilities is not None:
        same = np.allclose(found.probabilities, expected.probabilities, rtol=0, atol=atol, equal_nan=True)
        _check(same, f"{what} must not change the probabilities; largest change", _largest(found, expected))
    decided = np.ones(len(expected.labels), np.bool_)
    if expected.probabilities is not None and len(decided) and expected.probabilities.shape[1] > 1:
        first_two = np.sort(expected.probabilities, axis=1)[:, -2:]
        decided = ~(first_two[:, 1] - first_two[:, 0] <= 2 * atol)  # ties may fall either way
    same = np.array_equal(found.labels[decided], expected.labels[decided])
    _check(same, f"{what} must not change the labels; expected {expected.labels}", found.labels)


def _largest(found: Predictions, expected: Predictions) -> float:
    if found.probabilities is None or expected.probabilities is None:
        return 0.0
    return float(np.abs(found.probabilities - expected.probabilities).max(initial=0))


def _check_predict_is_fresh(model: Model, images: NDArray[np.uint8]) -> None:
    answer = model.predict(images)
    kept = _copy(answer)
    model.predict(images[::-1])
    _check_answers_equal(answer, kept, 0.0, "A later call")


def _check_predict_by_parts(model: Model, images: NDArray[np.uint8], whole: Predictions, atol: float) -> None:
    parts = [model.predict(images[:1]), model.predict(images[1:3]), model.predict(images[3:])]
    probabilities = [part.probabilities for part in parts if part.probabilities is not None]
    joined = Predictions(
        np.concatenate([part.labels for part in parts]),
        np.concatenate(probabilities) if len(probabilities) == len(parts) else None,
    )
    _check_answers_equal(joined, whole, atol, "Splitting the batch")


def _check_logits(logits: Floats32, n: int) -> None:
    _check(logits.ndim == 2 and len(logits) == n, f"Logits must be ({n}, c)", logits.shape)
    _check_array(logits, "Logits")


def _check_gradient(gradient: Floats32, shape: tuple[int, ...]) -> None:
    _check(gradient.shape == shape, f"The pullback must return {shape}", gradient.shape)
    _check_array(gradient, "The pullback's result")
    _check(
        bool(np.isfinite(gradient).all()), "The pullback must be finite; not finite are", (~np.isfinite(gradient)).sum()
    )


def _check_labels_follow_logits(model: Model, images: NDArray[np.uint8], logits: Floats32) -> None:
    first_two = np.sort(logits, axis=1)[:, -2:]
    decided = first_two[:, -1] - first_two[:, 0] > _TOLERANCE * (1 + np.abs(logits).max())
    found, expected = model.predict(images).labels[decided], logits.argmax(axis=1)[decided]
    _check(np.array_equal(found, expected), f"predict must answer the largest logit, {expected}", found)


def _check_vjp_is_fresh(model: DifferentiableModel, x: Floats32, v: Floats32) -> None:
    logits, pullback = model.vjp(x)
    gradient = pullback(v)
    kept_logits, kept_gradient = logits.copy(), gradient.copy()
    _, other = model.vjp(np.ascontiguousarray(1 - x))
    other(v)
    again = pullback(v + v)
    _check(
        np.array_equal(logits, kept_logits), "A later call must not overwrite the logits of an earlier one", "it does"
    )
    _check(np.array_equal(gradient, kept_gradient), "A later pullback must not overwrite an earlier result", "it does")
    _check_close(again, 2 * kept_gradient, _TOLERANCE, "A pullback called again, after another call,")


def _check_point_is_kept(model: DifferentiableModel, x: Floats32, v: Floats32) -> None:
    """An optimiser changes its array in place; the pullback belongs to the values that were passed."""
    passed = x.copy()
    logits, pullback = model.vjp(passed)
    expected = pullback(v)
    passed += np.float32(0.25)
    logits += 1
    _check_close(pullback(v), expected, _TOLERANCE, "The pullback, after images or logits were changed in place,")


def _check_linearity(pullback: Pullback, u: Floats32, v: Floats32) -> None:
    combined = pullback(2 * u - 3 * v)
    _check_close(
        combined, 2 * pullback(u) - 3 * pullback(v), _TOLERANCE, "pullback(2u - 3v) and 2 pullback(u) - 3 pullback(v)"
    )
    _check(not pullback(np.zeros_like(u)).any(), "The pullback of zero must be zero", "it is not")


def _check_directional_derivatives(model: DifferentiableModel, x: Floats32, *, step: float, tolerance: float) -> None:
    """Check <v, J u> = <J^T v, u> with J u by central differences, for three random u in {-1, 1}^(n, h, w, k).

    v is J u with noise: so the two sides are far from zero, and a wrong sign or scale shows.
    """
    rng = np.random.default_rng(2)
    centre = (np.float32(step) + np.float32(1 - 2 * step) * x).astype(np.float32)  # both neighbours stay in [0, 1]
    _, pullback = model.vjp(centre)
    for _ in range(3):
        u = rng.choice(np.array([-1, 1], np.float32), x.shape)
        up, down = (model.vjp((centre + sign * np.float32(step) * u).astype(np.float32))[0] for sign in (1, -1))
        slope = (up.astype(np.float64) - down) / (2 * step)
        v = (slope + rng.standard_normal(slope.shape) * np.abs(slope).mean()).astype(np.float32)
        expected, found = float((v * slope).sum()), float((pullback(v).astype(np.float64) * u).sum())
        scale = float(np.linalg.norm(v) * np.linalg.norm(slope))
        close = abs(found - expected) <= tolerance * scale + 1e-7
        _check(close, f"<pullback(v), u> must be the central difference {expected:.6g}", f"{found:.6g}")


def _check_vjp_by_parts(model: DifferentiableModel, x: Floats32, v: Floats32) -> None:
    whole, pullback = model.vjp(x)
    expected = pullback(v)
    for part in (slice(0, 1), slice(1, None)):
        logits, pull = model.vjp(np.ascontiguousarray(x[part]))
        _check_close(logits, whole[part], _TOLERANCE, "Logits of a part of the batch, and of the whole,")
        _check_close(
            pull(v[part].copy()), expected[part], _TOLERANCE, "Pullback of a part of the batch, and of the whole,"
        )


def _check_hostile_arrays(model: DifferentiableModel, x: Floats32, v: Floats32) -> None:
    logits, pullback = model.vjp(x)
    gradient = pullback(v)
    for name, change in (("read-only", _read_only), ("non-contiguous", _strided)):
        found, pull = model.vjp(change(x))
        _check_close(found, logits, _TOLERANCE, f"Logits of {name} images")
        _check_close(pull(change(v)), gradient, _TOLERANCE, f"Pullback with {name} arrays")


def _check_input_unharmed(call: Callable[[NDArray[T]], object], images: NDArray[T]) -> None:
    before = images.copy()
    call(images)
    _check(np.array_equal(images, before), "The images must not be changed", "they are")


def _check_array(values: NDArray[np.float32], what: str) -> None:
    _check(values.dtype == np.float32, f"{what} must be float32", values.dtype)
    _check(
        values.flags.c_contiguous and values.flags.writeable, f"{what} must be contiguous and writeable", values.flags
    )


def _check_close(found: NDArray[Any], expected: NDArray[np.floating[Any]], tolerance: float, what: str) -> None:
    _check(found.shape == expected.shape, f"{what} must have the same shape {expected.shape}", found.shape)
    largest = float(np.abs(expected).max(initial=0))
    error = float(np.abs(found - expected).max(initial=0))
    _check(
        error <= tolerance * largest + 1e-6, f"{what} must agree within {tolerance:g} of {largest:.3g}", f"{error:.3g}"
    )


def _check(holds: bool, expected: str, found: object) -> None:  # noqa: FBT001 - reads as `assert`
    if not holds:
        raise AssertionError(f"{expected}; found {found}.")


def _describe(values: NDArray[np.generic]) -> str:
    return f"{values.dtype} {values.shape}"


def _copy(answer: Predictions) -> Predictions:
    return Predictions(answer.labels.copy(), None if answer.probabilities is None else answer.probabilities.copy())


def _read_only(values: NDArray[T]) -> NDArray[T]:
    frozen = values.copy()
    frozen.flags.writeable = False
    return frozen


def _strided(values: NDArray[T]) -> NDArray[T]:
    return np.repeat(values, 2, axis=0)[::2]
