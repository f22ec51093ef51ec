"""The main job on real input, from training to verdicts: what `cae demo` does."""

import shutil
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.resources import as_file, files
from pathlib import Path
from typing import TYPE_CHECKING

from cae_cli.demo_pages import DemoPages, telling, write_pages
from cae_core.calibration.calibrate import CalibrationSettings
from cae_core.errors import OptionError
from cae_core.files.outputs import check_folder
from cae_core.files.records import as_json
from cae_core.generation.settings import GenerationSettings
from cae_core.pool.manifest import PoolMember, Role, read_pool
from cae_core.pool.roles import CalibrationMembers, GenerationMembers
from cae_core.progress import Progress, stage
from cae_core.statistics.roc import roc_auc
from cae_core.verification.verdict import Verdict
from cae_core.workflows import calibrate_fingerprint, generate_fingerprint, verify_suspect

if TYPE_CHECKING:
    from cae_backends.training.jobs import PoolJob

__all__ = ["DEMO_EPS", "DEMO_NONCE", "DEMO_TAU", "DemoResult", "demo_jobs", "run_demo"]

DEMO_EPS, DEMO_TAU = "48/255", 0.6
"""Digits are black and white, and 8x8 pixels: smaller changes move few of them. Chosen on the *screen* members."""

_MANIFEST, _FINGERPRINT, _PAGES = "pool.toml", "fingerprint.safetensors", "reports"

_SEED = 1000
"""Of the source; the members' follow it. The recipes were written while looking at the held-out members of seed 0."""

_ROLES: tuple[Role, ...] = ("generate", "screen", "test", "calibrate")
"""The order in which the members get their seeds."""

DEMO_FPR, DEMO_FNR = 0.05, 0.1
"""The rates that the demonstration's calibration models support."""

DEMO_NONCE = bytes(16)
"""A fixed order, so that a run can be compared with another; a real verification draws its own."""


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration found.

    Attributes:
        manifest: the file that names the trained pool.
        fingerprint: the file that was written.
        verdicts: one for every held-out suspect, beside what it really is.
        auc: area under the ROC curve of CAEAcc between held-out surrogates and references.
        pages: of three suspects, see `telling`.
    """

    manifest: Path
    fingerprint: Path
    verdicts: tuple[tuple[PoolMember, Verdict], ...]
    auc: float
    pages: DemoPages

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: as ``cae demo --json`` prints it."""
        suspects = [
            {"name": m.name, "relation": m.relation, "kind": m.kind, "accuracy": m.accuracy, **as_json(v)}
            for m, v in self.verdicts
        ]
        return {"auc": self.auc, "fingerprint": self.fingerprint, "pages": self.pages.pages, "suspects": suspects}

    def commands(self) -> list[str]:
        """Return the commands that repeat each step by hand."""
        cae = "cae" if shutil.which("cae") else sys.argv[0]
        ask = f"{cae} verify --suspect {self.verdicts[0][0].path} --fingerprint {self.fingerprint}"
        rates = f"--fpr {DEMO_FPR} --fnr {DEMO_FNR}"
        search = f"--preset perturbed --eps {DEMO_EPS} --tau {DEMO_TAU} --output {self.fingerprint}"
        return [
            f"{cae} generate --pool {self.manifest} --data digits {search}",
            f"{cae} calibrate --pool {self.manifest} --fingerprint {self.fingerprint} {rates}",
            f"{cae} inspect {self.fingerprint}",
            ask,
            f"{ask} --json --exit-code",
        ]


def demo_jobs() -> "list[PoolJob]":
    """Return the jobs of the packaged plan ``demo.toml``: one source, then surrogates and references of four roles.

    Within its role a member is named by its number and kind; the seeds count through all roles, so no two share one.
    """
    from cae_backends.training.plans import read_plan

    with as_file(files("cae_cli") / "demo.toml") as path:
        source, *members = read_plan(path).jobs
    members.sort(key=lambda job: _ROLES.index(job.role))
    jobs, numbers = [replace(source, seed=_SEED)], Counter[Role]()
    for seed, job in enumerate(members, start=_SEED + 1):
        numbers[job.role] += 1
        name = f"{job.role}-{numbers[job.role]:02}-{job.kind.replace(' ', '-')}"
        jobs.append(replace(job, name=name, seed=seed))
    return jobs


def _train(manifest: Path, *, workers: int | None, progress: Progress) -> Path:
    from cae_backends.datasets import open_data
    from cae_backends.training.pool_jobs import PoolData, train_pool

    return train_pool(
        demo_jobs(),
        PoolData(open_data("digits", split="train"), open_data("digits", split="test")),
        manifest,
        workers=workers,
        replace=True,
        progress=stage(progress, "training"),
    )


def _check_folder(folder: Path) -> None:
    """Refuse a folder with somebody's own pool or fingerprint: the demonstration would make them anew.

    Raises:
        OptionError: naming what is there.
        StorageError: it is no folder.
    """
    check_folder(folder)
    manifest, fingerprint = folder / _MANIFEST, folder / _FINGERPRINT
    own = {name for job in demo_jobs() for name in job.member_names()}
    foreign = (
        manifest if manifest.exists() and not own.issuperset(m.name for m in read_pool(manifest).members) else None
    )
    if foreign is None and fingerprint.exists() and not manifest.exists():
        foreign = fingerprint
    if foreign is not None:
        raise OptionError(f"{foreign}: the demonstration has not made this file. Name another --workdir.")


def run_demo(folder: Path, *, workers: int | None, progress: Progress) -> DemoResult:
    """Train the pool on scikit-learn's digits, fingerprint its source, calibrate, and verify every held-out suspect.

    Models that are already in ``folder`` are not trained again.

    Raises:
        CaeError: see `train_pool`, `generate_fingerprint` and `verify_suspect`.
    """
    from cae_backends.datasets import open_data
    from cae_cli.options import parse_eps

    _check_folder(folder)
    manifest = _train(folder / _MANIFEST, workers=workers, progress=progress)
    pool = read_pool(manifest)
    fingerprint = folder / _FINGERPRINT
    settings = GenerationSettings.from_preset("perturbed", eps=parse_eps(DEMO_EPS), tau=DEMO_TAU)
    generate_fingerprint(
        GenerationMembers.of_pool(pool),
        open_data("digits", split="test"),
        settings=settings,
        output=fingerprint,
        progress=progress,
    )
    calibrate_fingerprint(
        fingerprint,
        CalibrationMembers.of_pool(pool),
        settings=CalibrationSettings(fpr=DEMO_FPR, fnr=DEMO_FNR),
        progress=stage(progress, "calibrating"),
    )
    verdicts = _verify(pool.select(role="test"), fingerprint, progress)
    pages = write_pages(telling(verdicts), fingerprint, folder / _PAGES)
    return DemoResult(manifest, fingerprint, verdicts, _auc(verdicts), pages)


def _verify(
    suspects: Sequence[PoolMember], fingerprint: Path, progress: Progress
) -> tuple[tuple[PoolMember, Verdict], ...]:
    verdicts: list[tuple[PoolMember, Verdict]] = []
    for done, member in enumerate(suspects, start=1):
        # what has just been trained is one's own
        verdict = verify_suspect(member.path, fingerprint, trusted=member.trusted, nonce=DEMO_NONCE, ledger=None)
        verdicts.append((member, verdict))
        progress("verifying", done, len(suspects))
    return tuple(verdicts)


def _auc(verdicts: Sequence[tuple[PoolMember, Verdict]]) -> float:
    surrogates, references = (
        [verdict.caeacc.value for member, verdict in verdicts if member.relation == relation]
        for relation in ("surrogate", "reference")
    )
    return roc_auc(surrogates, references)
