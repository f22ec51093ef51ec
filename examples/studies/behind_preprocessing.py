"""How often innocent models behind defences would be accused, and thieves: development roles alone, each left out.

    python examples/studies/behind_preprocessing.py --pool cifar10/pool.toml --data cifar-10-batches-py --output behind

The fingerprint comes from the *generate* members with the default settings, the ranks from the *calibrate* references.
Models of *screen* and *calibrate* are the suspects, behind each defence; a calibrating reference is ranked among the
others. The *test* role is not looked at. Two rules are compared: the adjusted score alone within the references'
accuracies, and the larger p of it and CAEAcc. Known copies are left aside, so that p alone decides.

Answers are kept in ``OUTPUT``; what is missing is asked.
"""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from cae_backends.datasets import open_data
from cae_core.arrays import Labels
from cae_core.calibration.calibrate import CalibrationSettings, calibrate
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.calibration.standing import Seen
from cae_core.defences.table import defended
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE
from cae_core.generation.settings import GenerationSettings
from cae_core.pool.manifest import Pool, PoolMember, read_pool
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import CalibrationMembers
from cae_core.statistics.score import Score
from held_out_verdicts import kept_fingerprint

NONE = "none"
DEFENCES = (
    *(NONE, "jpeg:90", "jpeg:75", "jpeg:50", "jpeg:30", "bits:4", "bits:3", "bits:2", "smooth:0.5", "resize:0.8"),
    *("noise:0.02", "noise:0.05", "squeeze:1", "random:0.1"),
)
WORKING = 0.8
"""A thief works who keeps this share of the references' median accuracy on the probes."""


def main() -> None:
    """Make what is missing, and the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    pool = read_pool(options.pool)
    data, settings = open_data(options.data, split="all"), GenerationSettings.from_preset("default")
    fingerprint = kept_fingerprint(pool, data, settings, options.output)
    members = dataclasses.replace(CalibrationMembers.of_pool(pool), screen=())
    calibration = calibrate(fingerprint, members, settings=CalibrationSettings(score=Score.ADJUSTED)).calibration
    subject = CalibratedFingerprint(fingerprint=fingerprint, calibration=calibration)
    suspects = [m for m in pool.members if m.role in ("screen", "calibrate") and m.relation != "source"]
    answers = {defence: _answers(suspects, fingerprint, defence, options.output) for defence in DEFENCES}
    print(_table(subject, suspects, answers, pool))


def _answers(suspects: Sequence[PoolMember], fingerprint: Fingerprint, defence: str, folder: Path) -> dict[str, Labels]:
    """Return what each suspect answers to all images behind a defence, by its name; kept in a file."""
    path = folder / f"answers-{defence.replace(':', '-')}.npz"
    if not path.exists():
        opener, images, found = OpenPool(), fingerprint.all_images(), dict[str, Labels]()
        for member in suspects:
            model = opener.open(member).model
            behind = model if defence == NONE else defended(model, defence, classes=len(fingerprint.class_names))
            found[member.name] = np.asarray(behind.predict(images).labels)
        np.savez_compressed(path, allow_pickle=False, **found)
    with np.load(path) as kept:
        return {name: kept[name] for name in kept.files}


def _table(
    subject: CalibratedFingerprint, suspects: Sequence[PoolMember], answers: dict[str, dict[str, Labels]], pool: Pool
) -> str:
    innocents = [m for m in suspects if m.relation == "reference"]
    accuracy = {m.name: float(_seen(subject, answers[NONE][m.name]).right.mean()) for m in suspects}
    usual = float(np.median([accuracy[m.name] for m in innocents]))
    thieves = [m for m in suspects if m.relation != "reference" and accuracy[m.name] >= WORKING * usual]
    rates = (0.05, 1 / (len(pool.select(role="calibrate", relation="reference"))))
    head = [f"{who}, {rule}, {rate:.1%}" for rate in rates for rule in ("alone", "larger p") for who in ("i", "t")]
    lines = [f"| defence | {' | '.join(head)} |", f"|{' --- |' * (len(head) + 1)}"]
    for defence, given in answers.items():
        cells = list[str]()
        p_values = {
            (m.name, plainly): _p(subject, m, given[m.name], plainly=plainly)
            for m in (*innocents, *thieves)
            for plainly in (False, True)
        }
        for rate in rates:
            for plainly in (False, True):
                for group in (innocents, thieves):
                    cells.append(f"{sum(p_values[m.name, plainly] <= rate for m in group)} of {len(group)}")
        lines.append(f"| {defence} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _p(subject: CalibratedFingerprint, member: PoolMember, labels: Labels, *, plainly: bool) -> float:
    """Return p of a suspect; of a calibrating reference among the others."""
    references = subject.calibrated.references
    others = np.array([row for row, model in enumerate(references.models) if model.name != member.name], np.int64)
    calibration = dataclasses.replace(subject.calibrated, references=references.subset(others))
    alone = CalibratedFingerprint(fingerprint=subject.fingerprint, calibration=calibration)
    return alone.standing(_seen(subject, labels), plainly=plainly).p_value


def _seen(subject: CalibratedFingerprint, labels: Labels) -> Seen:
    fingerprint = subject.fingerprint
    examples, probes = labels[fingerprint.rows(EXAMPLE)], labels[fingerprint.rows(BENIGN)]
    return Seen(
        asked=np.arange(len(examples)),
        matches=examples == fingerprint.labels,
        probed=np.arange(len(probes)),
        right=probes == fingerprint.probe_labels,
    )


if __name__ == "__main__":
    main()
