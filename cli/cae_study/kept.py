"""What is kept of a step that is done: its rows, how long it took, and how much work that was."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cae_core import version
from cae_core.errors import StudyError
from cae_core.files.records import readable_json
from cae_core.files.storage import write_atomically
from cae_core.reading import read_limited, reading
from cae_study.step import Result, Units
from cae_study.work_order import FORMAT

__all__ = ["Kept", "check_folder", "keep", "kept", "measured"]

_DONE = "done.json"
_STUDY = "study.json"
_LARGEST = 1 << 28


@dataclass(frozen=True, kw_only=True)
class Kept:
    """A step that is done.

    Attributes:
        result: rows of the step's result.
        seconds: that its last run took; more where it was interrupted before.
        units: amount of the step's work.
    """

    result: Result
    seconds: float
    units: Units


def check_folder(output: Path, title: str) -> None:
    """Refuse a folder that another release or another job has filled; mark an empty one.

    Raises:
        StudyError: it is.
    """
    path = output / _STUDY
    if path.exists():
        with reading(path, StudyError, fault="this is no folder of `cae study`", remedy="Name another --output."):
            found = json.loads(read_limited(path, _LARGEST))["format"]
        if found != FORMAT:
            raise StudyError(
                f"{output}: this folder has format {found!r}, and this release writes and reads {FORMAT}. Name another "
                "--output, or go on with the release that began it."
            )
        return
    if output.exists() and (not output.is_dir() or any(entry.name[0] != "." for entry in output.iterdir())):
        raise StudyError(f"{output}: this is no folder of `cae study`, and it is not empty. Name another --output.")
    write_atomically(path, readable_json({"format": FORMAT, "title": title, "tool": version.__version__}))


def keep(folder: Path, found: Kept) -> None:
    """Write that a step is done; before that it counts as not done."""
    write_atomically(folder / _DONE, readable_json({"format": FORMAT, "tool": version.__version__, **vars(found)}))


def kept(folder: Path) -> Kept | None:
    """Return what is kept of a step; None where it is not done."""
    path = folder / _DONE
    if not path.exists():
        return None
    with reading(path, StudyError, fault="this step's result is refused", remedy=f"Delete {folder} and run again."):
        found: dict[str, Any] = json.loads(read_limited(path, _LARGEST))
        return Kept(result=found["result"], seconds=float(found["seconds"]), units=found["units"])


def measured(output: Path) -> Mapping[str, float]:
    """Return the seconds that one unit of each kind of work has taken in the steps that are done, whatever the form.

    A step of several kinds of work tells nothing of each.
    """
    seconds: dict[str, float] = {}
    units: dict[str, float] = {}
    for path in sorted((output / "steps").glob(f"*/{_DONE}")):
        found = kept(path.parent)
        if found is None or len(found.units) != 1:
            continue
        ((kind, count),) = found.units.items()
        seconds[kind], units[kind] = seconds.get(kind, 0.0) + found.seconds, units.get(kind, 0.0) + count
    return {kind: seconds[kind] / units[kind] for kind in units if units[kind]}
