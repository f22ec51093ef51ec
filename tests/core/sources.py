"""A fingerprint with control sources, and suspects that match each source as often as a test says."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels
from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.calibration.record import Calibration
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import CONTROL
from cae_core.generation.controls import with_controls
from tests.core.suspects import Scripted, table
from tests.core.toys import toy_calibration, toy_fingerprint

__all__ = ["answering", "calibrated_by", "toy_sources"]


def toy_sources(controls: int, n: int = 20, probes: int = 60) -> Fingerprint:
    """Return a toy fingerprint with so many control sources, each with ``n`` examples."""
    own = [_named(toy_fingerprint(n=n, probes=probes, seed=100 + i), f"control-{i}") for i in range(controls)]
    return with_controls(toy_fingerprint(n=n, probes=probes), own)


def _named(fingerprint: Fingerprint, name: str) -> Fingerprint:
    source = {"name": name, "sha256": f"digest of {name}", "accuracy": 0.9}
    return dataclasses.replace(
        fingerprint, generation={**fingerprint.generation, "source": source, "surrogates": [_surrogate(name)]}
    )


def _surrogate(name: str) -> dict[str, str]:
    return {"name": f"thief of {name}", "sha256": f"digest of a thief of {name}"}


def answering(fingerprint: Fingerprint, counts: Sequence[int]) -> Scripted:
    """Return a suspect that matches the first ``counts[j]`` examples of source j, the claimed one's first.

    It is right about every benign probe.
    """
    n = len(fingerprint)
    known = np.where(np.arange(n) < counts[0], fingerprint.labels, fingerprint.ground_truth)
    of = fingerprint.of(CONTROL)
    given = _given(of.labels, counts[1:], n)
    answer = table(fingerprint, known, fingerprint.probe_labels)
    others = dict(zip((image.tobytes() for image in of.images), given.tolist(), strict=True))

    def told(images: NDArray[np.uint8]) -> Labels:
        return np.array(
            [
                others.get(image.tobytes(), -1) if image.tobytes() in others else answer(image[np.newaxis])[0]
                for image in images
            ],
            np.int64,
        )

    return Scripted(told)


def _given(labels: Labels, counts: Sequence[int], n: int) -> Labels:
    """Return answers (m n,) that match the first ``counts[j]`` of each n, and are another label elsewhere."""
    matching = np.concatenate([np.arange(n) < count for count in counts]) if counts else np.zeros(0, bool)
    return np.where(matching, labels, (labels + 1) % 10)


def calibrated_by(
    fingerprint: Fingerprint,
    null: NullHypothesis,
    rates: Floats64,
    surrogates: Sequence[int] = (),
    **changes: Any,  # noqa: ANN401
) -> Calibration:
    """Return a calibration on references with these match rates (r, m + 1), the claimed source's first.

    Surrogates match the claimed source so often, and no control.
    """
    n = len(fingerprint)
    counts = np.rint(np.asarray(rates).reshape(-1, 1 + fingerprint.controls) * n).astype(int)
    made = toy_calibration(fingerprint, counts[:, 0].tolist(), surrogates, null=null, **changes)
    labels = fingerprint.of(CONTROL).labels
    answers = {
        "references": [_given(labels, row[1:].tolist(), n) for row in counts],
        "surrogates": [_given(labels, [0] * fingerprint.controls, n) for _ in surrogates],
    }
    groups = {
        name: dataclasses.replace(
            getattr(made, name), further={CONTROL.name: np.array(rows, np.int64).reshape(-1, len(labels))}
        )
        for name, rows in answers.items()
    }
    return dataclasses.replace(made, **groups)
