"""The pool of `cae demo`: small models of scikit-learn's 8x8 digits, trained in about two minutes.

On digits nearly every model is right about nearly every image. The labels of plain training images then tell a
thief the truth and nothing about the source, and a model that was trained on them is, in effect, independent. So
the owner trains on a quarter of the images only, and most thieves ask about blends and noise, as extraction attacks do.
"""

from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

from cae_backends.training.jobs import ESTIMATOR_KIND, PoolJob, Recipe
from cae_backends.training.pool_jobs import PoolData, PoolProgress, train_pool
from cae_core.pool.manifest import Role

__all__ = ["SOURCE", "digits_jobs", "train_digits_pool"]

SOURCE = "source"
"""Name of the source's job, and the stem of its file."""

# Honest training: the owner has a quarter of the images, the competitors have all of them or another part.
_OWNER = Recipe(epochs=40, share=0.25)
_SCARCE = Recipe(epochs=40, share=0.15)
_PLAIN = Recipe(epochs=10)
_LONG = Recipe(epochs=14)
_MOVED = Recipe(epochs=12, shift=1)
_NOISY = Recipe(epochs=12, noise=0.1)
_SGD = Recipe(epochs=14, optimizer="sgd", learning_rate=0.05, batch_size=32, weight_decay=5e-4)
_PART = Recipe(epochs=18, share=0.6)
_BLEND = Recipe(epochs=12, mix=0.4)
_MLP = Recipe(epochs=40, learning_rate=3e-3, noise=0.05)

# A thief's queries.
_ASK_BLENDS = Recipe(epochs=15, mix=0.8)
_ASK_MOVED = Recipe(epochs=15, shift=1, mix=0.5)
_ASK_NOISY = Recipe(epochs=15, mix=0.6, noise=0.15)
_HOT = Recipe(epochs=15, mix=0.8, temperature=4.0)
_GENTLE = Recipe(epochs=4, learning_rate=5e-4, share=0.5)
_PRUNED = Recipe(epochs=5, learning_rate=1e-3, sparsity=0.6, share=0.5)

_Line = tuple[str, str, Recipe]
"""Kind, architecture, recipe."""

_SOURCE_ARCHITECTURE = "cnn-small"

_LINES: dict[Role, tuple[_Line, ...]] = {
    "generate": (
        ("hard labels", "cnn-small", _ASK_BLENDS),
        ("hard labels", "cnn-small", _ASK_MOVED),
        ("hard labels", "cnn-wide", _ASK_NOISY),
        ("hard labels", "cnn-deep", _ASK_BLENDS),
        ("soft labels", "cnn-small", _ASK_MOVED),
        ("distilled", "cnn-deep", _HOT),
        ("other architecture", "resnet-tiny", _ASK_NOISY),
        ("fine-tuned", "cnn-small", _GENTLE),
        ("pruned", "cnn-small", _PRUNED),
        ("independent", "cnn-small", _PLAIN),
        ("independent", "cnn-small", _MOVED),
        ("independent", "cnn-small", _BLEND),
        ("independent", "cnn-wide", _PART),
        ("independent", "cnn-wide", _NOISY),
        ("independent", "cnn-deep", _SGD),
        ("independent", "resnet-tiny", _PLAIN),
        ("independent", "mlp", _MLP),
    ),
    "screen": (
        ("hard labels", "cnn-small", _ASK_NOISY),
        ("hard labels", "cnn-wide", _ASK_BLENDS),
        ("soft labels", "cnn-small", _ASK_BLENDS),
        ("other architecture", "cnn-deep", _ASK_MOVED),
        ("independent", "cnn-small", _PART),
        ("independent", "cnn-small", _NOISY),
        ("independent", "cnn-wide", _BLEND),
        ("independent", "cnn-deep", _MOVED),
    ),
    "test": (
        ("hard labels", "cnn-small", _ASK_BLENDS),
        ("hard labels", "cnn-small", _ASK_MOVED),
        ("hard labels", "cnn-small", _PLAIN),
        ("soft labels", "cnn-small", _ASK_NOISY),
        ("distilled", "cnn-small", _HOT),
        ("other architecture", "resnet-tiny", _ASK_BLENDS),
        ("fine-tuned", "cnn-small", replace(_GENTLE, epochs=6)),
        ("pruned", "cnn-small", replace(_PRUNED, sparsity=0.5)),
        ("8-bit weights", "cnn-small", _PLAIN),
        ("independent", "cnn-small", _LONG),
        ("independent", "cnn-small", _BLEND),
        ("independent", "cnn-wide", _MOVED),
        ("independent", "cnn-deep", _PLAIN),
        ("independent", "resnet-tiny", _PART),
        ("independent", "mlp", _MLP),
        (ESTIMATOR_KIND, "svc-rbf", _PLAIN),
    ),
    # 19 references are the fewest that support false accusations of 5 %, and 9 surrogates the mirror of 10 %. Some
    # have as few images as the owner: references must be as accurate as what they are compared with.
    "calibrate": (
        *islice(
            (
                ("independent", architecture, recipe)
                for recipe in (_PLAIN, _OWNER, _PART, _SCARCE, _BLEND)
                for architecture in ("cnn-small", "cnn-wide", "cnn-deep", "resnet-tiny")
            ),
            19,
        ),
        ("hard labels", "cnn-small", _ASK_MOVED),
        ("hard labels", "cnn-small", _PLAIN),
        ("hard labels", "cnn-deep", _ASK_NOISY),
        ("soft labels", "cnn-small", _ASK_BLENDS),
        ("distilled", "cnn-small", _HOT),
        ("other architecture", "resnet-tiny", _ASK_MOVED),
        ("other architecture", "resnet-tiny", _ASK_NOISY),
        ("fine-tuned", "cnn-small", replace(_GENTLE, epochs=5)),
        ("pruned", "cnn-small", _PRUNED),
    ),
}


def digits_jobs(seed: int) -> list[PoolJob]:
    """Return the jobs of the demonstration: one source, then surrogates and references of four roles.

    Args:
        seed: every member's own seed is derived from it; no two members share one.
    """
    return list(_jobs(seed))


def _jobs(seed: int) -> Iterator[PoolJob]:
    member = 1000 * seed  # a pool has fewer members than that
    yield PoolJob(
        name=SOURCE,
        role="source",
        kind="source",
        architecture=_SOURCE_ARCHITECTURE,
        seed=member,
        recipe=_OWNER,
    )
    for role, lines in _LINES.items():
        for number, (kind, architecture, recipe) in enumerate(lines, start=1):
            member += 1
            independent = kind in ("independent", ESTIMATOR_KIND)
            yield PoolJob(
                name=f"{role}-{number:02}-{kind.replace(' ', '-')}",
                role=role,
                kind=kind,
                architecture=architecture,
                seed=member,
                parent="" if independent else SOURCE,
                recipe=recipe,
            )


def train_digits_pool(
    folder: Path, *, seed: int = 0, workers: int | None = None, progress: PoolProgress | None = None
) -> Path:
    """Train the demonstration's pool, or what is missing of it, and return the path of its manifest.

    Raises:
        CaeError: an extra is not installed, some jobs failed, or the folder cannot be written.
    """
    from cae_backends.datasets import open_data

    data = PoolData(open_data("digits", split="train"), open_data("digits", split="test"))
    jobs = digits_jobs(seed)
    return train_pool(jobs, data, folder / "pool.toml", workers=workers, replace=True, progress=progress)
