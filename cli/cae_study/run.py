"""Doing what is missing of a study: a run that was killed goes on, and nothing that is done is done again."""

import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from cae_core.errors import CaeError, StudyError
from cae_core.files.exclusion import exclusive
from cae_core.loaders import Device
from cae_core.progress import Progress, detail, silent
from cae_study.bench import Bench
from cae_study.images import Images
from cae_study.kept import Kept, check_folder, keep, kept, measured
from cae_study.step import Step
from cae_study.study_file import Study
from cae_study.work_order import WorkOrder

__all__ = ["Finished", "Forecast", "forecast", "run_study"]


@dataclass(frozen=True, kw_only=True)
class Finished:
    """A study with the results of its steps.

    Attributes:
        study: the study, as its file says it.
        data: the images, as they were named.
        images: SHA-256 of them.
        classes: the names of their classes.
        steps: what is kept of each, by its id, in the order in which they are done.
    """

    study: Study
    data: str
    images: str
    classes: tuple[str, ...]
    steps: Mapping[str, Kept]

    @property
    def uninformative(self) -> tuple[str, ...]:
        """The fingerprints whose source is less accurate than the study's floor."""
        rows = (
            row for name, one in self.steps.items() if name.startswith("fingerprint.") for row in one.result["summary"]
        )
        return tuple(str(row["fingerprint"]) for row in rows if row.get("source's accuracy", 1.0) < self.study.floor)


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """What a step will take.

    Attributes:
        step: id of the step.
        done: whether its result is there.
        seconds: that it took, or will take as measured steps took; None: nothing like it was measured.
    """

    step: str
    done: bool
    seconds: float | None


def run_study(
    study: Study,
    output: Path,
    *,
    data: str = "",
    workers: int | None = None,
    device: Device = "auto",
    trusted: bool = False,
    progress: Progress = silent,
) -> Finished:
    """Do every step that is not done yet, and return all results.

    Args:
        study: what to do.
        output: its folder; `--quick` and the whole may share one, as their steps have other names.
        data: the images, in the place of the study's.
        workers: processes at a time where models are trained.
        device: where models run.
        trusted: whether the models of manifests that are there already are one's own.
        progress: told of the study and of each step.

    Raises:
        StudyError: no images are named, or the folder is another job's.
        CaeError: a step's; what was done before is kept.
    """
    images = _images(study, data)
    check_folder(output, study.title)
    with exclusive(output / "study.json"):
        order = WorkOrder.of(study.steps, images=images.sha256, seed=study.seed, output=output)
        missing = [step for step in order.steps if kept(order.folders[step.id]) is None]
        for number, step in enumerate(missing, start=1):
            bench = dataclasses.replace(
                _bench(step, order, study, images), workers=workers, device=device, trusted=trusted, progress=progress
            )
            _tell(progress, number, len(missing), _left(missing[number - 1 :], bench, output))
            _do(bench)
            progress("study", number, len(missing))
    done = {step.id: kept(order.folders[step.id]) for step in order.steps}
    return Finished(
        study=study,
        data=images.spec,
        images=images.sha256,
        classes=tuple(images.of("test").class_names),
        steps={name: found for name, found in done.items() if found is not None},
    )


def forecast(study: Study, output: Path, *, data: str = "") -> list[Forecast]:
    """Return of each step whether it is done, and how long it takes as the steps in ``output`` were measured.

    Raises:
        StudyError: no images are named.
    """
    images = _images(study, data)
    order = WorkOrder.of(study.steps, images=images.sha256, seed=study.seed, output=output)
    rates = measured(output)
    found: list[Forecast] = []
    for step in order.steps:
        done = kept(order.folders[step.id])
        bench = _bench(step, order, study, images)
        seconds = _expected(bench, rates) if done is None else done.seconds
        found.append(Forecast(step=step.id, done=done is not None, seconds=seconds))
    return found


def _images(study: Study, data: str) -> Images:
    images = Images(data or study.data)
    if not images.spec:
        raise StudyError(f"{study.origin}: neither the study nor --data says which images it is about.")
    return images


def _bench(step: Step, order: WorkOrder, study: Study, images: Images) -> Bench:
    return Bench(
        step=step,
        folder=order.folders[step.id],
        beside=order.folders,
        steps={each.id: each for each in order.steps},
        images=images,
        seed=study.seed,
        root=study.origin.parent,
    )


def _do(bench: Bench) -> None:
    bench.folder.mkdir(parents=True, exist_ok=True)
    start = time.perf_counter()
    try:
        result = bench.step.kind.run(bench)
        units = bench.step.kind.units(bench)
    except CaeError as error:
        raise type(error)(f"[{bench.step.id}]: {error}") from error
    keep(bench.folder, Kept(result=result, seconds=round(time.perf_counter() - start, 3), units=units))


def _expected(bench: Bench, rates: Mapping[str, float]) -> float | None:
    units = bench.step.kind.units(bench)
    known = [rates.get(kind) for kind in units]
    if not units:
        return 0.0
    if None in known:
        return None
    return sum(rate * count for rate, count in zip(known, units.values(), strict=True) if rate is not None)


def _left(steps: list[Step], bench: Bench, output: Path) -> float | None:
    """Return the seconds that these steps will take; None where nothing like one of them was measured."""
    rates = measured(output)
    expected = [_expected(dataclasses.replace(bench, step=step), rates) for step in steps]
    known = [seconds for seconds in expected if seconds is not None]
    return sum(known) if len(known) == len(expected) else None


def _tell(progress: Progress, number: int, of: int, left: float | None) -> None:
    about = "" if left is None else f"; about {max(1, round(left / 60))} min left"
    progress("study", number - 1, of)
    detail(progress, "study", f"step {number} of {of}{about}")
