"""What `open_data` knows of one form of data: how a path of it is recognised, and how it is read."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from cae_backends.datasets.spec import DataSpec
from cae_core.dataset import ImageSet

__all__ = ["Reader"]


def _no_path(_path: Path) -> bool:
    """Return False: these data are asked for by their name alone."""
    return False


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One form of data; each stands beside its function, and all of them in `cae_backends.datasets.table.READERS`.

    Attributes:
        read: returns the images of a path, of what was asked and of a split; it raises `DataError`.
        name: name by which the data are asked for instead of a path; None if they have none.
        form: what a path holds, in words, such as ``an .npz file with images and labels``; None where there is no path.
        recognises: whether a path that exists holds this form; the content is not read.
        coarse_labels: whether it may have labels of two kinds.
    """

    read: Callable[[Path, DataSpec, str], ImageSet]
    name: str | None = None
    form: str | None = None
    recognises: Callable[[Path], bool] = _no_path
    coarse_labels: bool = False
