"""Private copies of what the parties hand over: nobody can exchange a file between its hashing and its opening."""

import errno
from collections.abc import Generator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cae_core.errors import StorageError, renaming
from cae_core.files.scratch import scratch_folder
from cae_core.opening.model_files import ModelFiles

__all__ = ["copied_models"]


@contextmanager
def copied_models(specs: Sequence[str], folder: Path) -> Generator[list[ModelFiles]]:
    """Copy models, each hashed while it is copied, and remove the copies in the end.

    An error that names a copy is told by the name of what was copied. What a killed judge has left goes with the next.

    Args:
        specs: paths; addresses are left as they are.
        folder: where the copies are kept meanwhile, in a folder that its user alone may read; made where there is none.

    Raises:
        ModelError: see `ModelFiles.copied`.
        StorageError: a copy cannot be written.
    """
    names: dict[str, str] = {}
    with _own_folder(folder) as name, renaming(names):
        made: list[ModelFiles] = []
        for number, spec in enumerate(specs):
            own = name / str(number)
            own.mkdir()
            made.append(ModelFiles(spec).copied(own))
            names[made[-1].spec] = spec
        yield made


@contextmanager
def _own_folder(folder: Path) -> Generator[Path]:
    with ExitStack() as held:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            made = held.enter_context(scratch_folder(folder))
        except OSError as error:
            reason = "the disk is full" if error.errno == errno.ENOSPC else error.strerror
            raise StorageError(f"{folder}: nothing can be written there ({reason}). Name another --workdir.") from error
        yield made
