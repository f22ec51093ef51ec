"""What a dishonest accuser presents as a fingerprint: ordinary adversarial examples, which transfer to anybody's model.

Liu et al., "False Claims against Model Ownership Resolution" (USENIX Security 2024). Fast gradient (Goodfellow et al.
2015), projected gradient (Madry et al. 2018), targeted and ensemble variants, in the ball of radius eps around benign
images, on the 8-bit grid, and kept where the accuser's own model gives a wrong label.
"""

from collections.abc import Sequence

import numpy as np

from cae_core.arrays import Floats32, Labels
from cae_core.dataset import ImageSet
from cae_core.fingerprint.file import Fingerprint
from cae_core.method.softmax import log_softmax
from cae_core.models import DifferentiableModel

__all__ = ["ATTACKS", "present_as_fingerprint"]

ATTACKS = ("fast gradient", "projected gradient", "targeted", "ensemble")

_STEPS = 20


def present_as_fingerprint(
    attack: str,
    accuser: DifferentiableModel,
    helpers: Sequence[DifferentiableModel],
    data: ImageSet,
    *,
    eps: float,
    count: int,
    seed: int,
    source: dict[str, str],
) -> Fingerprint:
    """Attack benign images and pack what the accuser's model gets wrong like a fingerprint of it.

    Args:
        attack: one of `ATTACKS`.
        accuser: the model that the claim calls the source.
        helpers: further models that the ensemble attack moves against; independent of the accuser's.
        data: benign images.
        eps: radius in the maximum norm, on the scale [0, 1].
        count: examples wanted.
        seed: of the order of the images and of the targets.
        source: ``name`` and ``sha256`` of the accuser's model.
    """
    random = np.random.default_rng(seed)
    order = random.permutation(len(data))
    right = order[accuser.predict(data.images[order]).labels == data.labels[order]][: 2 * count]
    chosen = data.subset(right)
    models = [accuser, *helpers] if attack == "ensemble" else [accuser]
    classes = len(data.class_names)
    targets = (chosen.labels + random.integers(1, classes, len(chosen))) % classes if attack == "targeted" else None
    benign = chosen.images.astype(np.float32) / np.float32(255)
    moved = _moved(models, benign, chosen.labels, targets, eps=eps, steps=1 if attack == "fast gradient" else _STEPS)
    images = np.rint(moved * 255).astype(np.uint8)
    labels = accuser.predict(images).labels
    wrong = np.flatnonzero(labels != chosen.labels)[:count]
    probes = order[-200:]
    accuracy = float((accuser.predict(data.images).labels == data.labels).mean())
    return Fingerprint(
        images=images[wrong],
        seeds=chosen.images[wrong],
        labels=labels[wrong],
        ground_truth=chosen.labels[wrong],
        conferrability=np.ones(len(wrong), np.float32),
        start_step=np.zeros(len(wrong), np.int32),
        steps=np.full(len(wrong), _STEPS, np.int32),
        probe_images=data.images[probes],
        probe_labels=data.labels[probes],
        class_names=data.class_names,
        generation={
            "settings": {"eps": eps, "seed": seed, "attack": attack},
            "data": {"name": data.name, "sha256": data.sha256()},
            "source": {**source, "kind": "source", "architecture": "", "accuracy": accuracy},
            "surrogates": [],
            "references": [],
        },
        tools={"cae-fingerprint": "claimed"},
    )


def _moved(
    models: Sequence[DifferentiableModel],
    benign: Floats32,
    truth: Labels,
    targets: Labels | None,
    *,
    eps: float,
    steps: int,
) -> Floats32:
    """Follow the sign of the loss's gradient, projected to the ball and to [0, 1] after each step."""
    images = benign.copy()
    size = np.float32(eps if steps == 1 else 2.5 * eps / steps)
    for _ in range(steps):
        gradient = np.zeros_like(images)
        for model in models:
            logits, pull_back = model.vjp(images)
            towards = np.exp(log_softmax(logits)).astype(np.float32)
            towards[np.arange(len(images)), truth if targets is None else targets] -= 1
            gradient += pull_back(towards)
        images += size * np.sign(gradient if targets is None else -gradient)
        images = np.clip(np.clip(images, benign - np.float32(eps), benign + np.float32(eps)), 0, 1)
    return images
