"""Calibrating with many models: what each of them takes, over what each of few takes."""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np

from cae_core.calibration.calibrate import CalibrationSettings, calibrate
from cae_core.fingerprint.file import Fingerprint
from cae_core.pool.manifest import PoolMember
from cae_core.pool.roles import CalibrationMembers
from tests.benchmarks.figures import Figure, Scale, paired_seconds
from tests.core.judge_toys import CLASSES, Dispute, ToyPool, make_dispute
from tests.core.toys import SHAPE

__all__ = ["measure_calibration"]


def measure_calibration(scale: Scale) -> list[Figure]:
    """Seconds a model of calibrations with 400, 800 and 1600 references: 1 where models cost the same however many."""
    few = scale.pick(400, 10)
    with tempfile.TemporaryDirectory() as name:
        dispute = make_dispute(Path(name))
        fingerprint = dispute.claim(count=40)
        members = _members(dispute, 4 * few)
        sides = [partial(_calibrate, fingerprint, dispute, members[:count]) for count in (few, 2 * few, 4 * few)]
        rounds = paired_seconds(sides, scale.pick(5, 1))
    return [
        Figure.of_pairs(
            f"calibration, {times * few} models: time a model over that of {few} models",
            [(taken[place] / times, taken[0]) for taken in rounds],
            lambda more, least, times=times: f"{more * times:.2f} s, {least:.2f} s",  # type: ignore[misc]
            target=1.2,
        )
        for place, times in ((1, 2), (2, 4))
    ]


def _members(dispute: Dispute, count: int) -> list[PoolMember]:
    """Write independent linear models, each with an oddity of its own."""
    random, size = np.random.default_rng(3), int(np.prod(SHAPE))
    own = np.load(dispute.source.path)
    members: list[PoolMember] = []
    for number in range(count):
        path = dispute.folder / f"many-{number}.npy"
        np.save(path, (own - 2.7 * dispute.oddity + 2.7 * random.standard_normal((size, CLASSES))).astype(np.float32))
        members.append(PoolMember(path=path, role="calibrate", relation="reference"))
    return members


def _calibrate(fingerprint: Fingerprint, dispute: Dispute, references: list[PoolMember]) -> None:
    members = CalibrationMembers(references=tuple(references), generation=dispute.claimant.everyone)
    calibrate(fingerprint, members, settings=CalibrationSettings(), opened=ToyPool())
