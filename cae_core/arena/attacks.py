"""Attacks on one white box by the pullback alone: adversarial examples as other papers make them.

All move float32 images in [0, 1] inside a `Ball` around their seeds, away from a label; rounding to 8 bits is the
caller's.
"""

import numpy as np

from cae_core.arrays import Floats32, Labels
from cae_core.method.adam import adam_step, init_adam
from cae_core.method.ball import Ball
from cae_core.method.softmax import log_softmax
from cae_core.models import DifferentiableModel

__all__ = ["carlini_wagner", "fast_gradient", "iterated_gradient", "loss_gradient", "margin_gradient"]

_TINY = 1e-12


def loss_gradient(model: DifferentiableModel, images: Floats32, labels: Labels) -> Floats32:
    """Return the gradient of each image's cross-entropy at its label, float32 (n, h, w, k)."""
    logits, pull_back = model.vjp(images)
    towards = np.exp(log_softmax(logits)).astype(np.float32)
    towards[np.arange(len(images)), labels] -= 1
    return pull_back(towards)


def fast_gradient(model: DifferentiableModel, seeds: Floats32, labels: Labels, *, ball: Ball) -> Floats32:
    """Take one step of the radius up the loss (Goodfellow, Shlens & Szegedy 2015): FGM, the sign in the maximum norm.

    Args:
        model: white box.
        seeds: float32 (n, h, w, k).
        labels: int64 (n,), to leave.
        ball: around the seeds.
    """
    step = _direction(loss_gradient(model, seeds, labels), ball)
    return ball.project(np.asarray(seeds + np.float32(ball.eps) * step, np.float32), seeds)


def iterated_gradient(
    model: DifferentiableModel,
    seeds: Floats32,
    labels: Labels,
    *,
    ball: Ball,
    step: float,
    steps: int,
    random: np.random.Generator | None = None,
) -> Floats32:
    """Take many such steps, projected into the ball: BIM (Kurakin et al. 2017), from a random place PGD (Madry 2018).

    Args:
        model: white box.
        seeds: float32 (n, h, w, k).
        labels: int64 (n,), to leave.
        ball: around the seeds.
        step: length of one, on the scale [0, 1].
        steps: how many.
        random: draws where each image starts, uniformly along each axis; None: at its seed.
    """
    images = seeds
    if random is not None:
        images = ball.project(seeds + random.uniform(-ball.eps, ball.eps, seeds.shape).astype(np.float32), seeds)
    for _ in range(steps):
        up = _direction(loss_gradient(model, images, labels), ball)
        images = ball.project(np.asarray(images + np.float32(step) * up, np.float32), seeds)
    return images


def margin_gradient(logits: Floats32, labels: Labels, *, confidence: float) -> Floats32:
    """Return the gradient (n, c) of max(z_y - max_{j≠y} z_j, -confidence), Carlini & Wagner's f₆, by the logits."""
    rows = np.arange(len(labels))
    others = np.array(logits, np.float32)
    others[rows, labels] = -np.inf
    rival = others.argmax(axis=1)
    open_ = (logits[rows, labels] - logits[rows, rival] > -confidence).astype(np.float32)
    gradient = np.zeros_like(logits)
    gradient[rows, labels], gradient[rows, rival] = open_, -open_
    return gradient


def carlini_wagner(
    model: DifferentiableModel,
    seeds: Floats32,
    labels: Labels,
    *,
    ball: Ball,
    confidence: float,
    rate: float,
    steps: int,
) -> Floats32:
    """Descend the margin of Carlini & Wagner (2017) by Adam, projected into the ball.

    Theirs in the maximum norm looks for the least perturbation; here the radius is given, as for the other attacks, and
    the loss is what the name stands for (so Madry et al. 2018, section 5.1).

    Args:
        model: white box.
        seeds: float32 (n, h, w, k).
        labels: int64 (n,), to leave.
        ball: around the seeds.
        confidence: margin at which an image rests, in logits.
        rate: Adam's learning rate.
        steps: how many.
    """
    images, state = seeds, init_adam(seeds.shape)
    for _ in range(steps):
        logits, pull_back = model.vjp(images)
        change, state = adam_step(state, pull_back(margin_gradient(logits, labels, confidence=confidence)), rate)
        images = ball.project(images + change, seeds)
    return images


def _direction(gradient: Floats32, ball: Ball) -> Floats32:
    """Return the steepest step of length one in the ball's norm."""
    if ball.norm == "linf":
        return np.sign(gradient)
    length = np.sqrt(np.square(gradient).sum(axis=(1, 2, 3), keepdims=True))
    return np.asarray(gradient / np.maximum(length, _TINY), np.float32)
