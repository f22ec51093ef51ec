"""Keras and TensorFlow models as `DifferentiableModel`: ``.keras`` and ``.h5`` files, and SavedModel folders.

Importing this package does not import TensorFlow.
"""

from dataclasses import dataclass
from pathlib import Path

from cae_core.contract import Contract, Task
from cae_core.models import DifferentiableModel
from cae_core.signature import Signature

__all__ = ["LOADER", "TensorflowLoader"]


@dataclass(frozen=True)
class TensorflowLoader:
    """Opens Keras files and SavedModel folders."""

    name: str = "tensorflow"
    suffixes: tuple[str, ...] = (".keras", ".h5", ".hdf5")
    schemes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ("saved_model.pb",)
    gradients: bool = True
    scratch: bool = True
    """Keras files of other versions are mended in a copy, and archives unpacked."""

    takes_task: bool = True

    def open(
        self, spec: str, *, contract: Contract | None, device: str, task: Task | None = None
    ) -> DifferentiableModel:
        """See `cae_core.loaders.Loader.open`."""
        from cae_backends.tensorflow.opening import open_tensorflow

        return open_tensorflow(Path(spec), contract=contract, device=device, task=task)

    def signature(self, spec: str) -> Signature:
        """Return what the model says of its tensors; see `signature_of_tensorflow`."""
        from cae_backends.tensorflow.signature import signature_of_tensorflow

        return signature_of_tensorflow(Path(spec))

    def files(self, spec: str) -> tuple[Path, ...]:
        """Return every file that the model is read from."""
        from cae_core.files.digests import files_in

        return tuple(files_in(Path(spec)))

    def contract_files(self, spec: str) -> tuple[Path, ...]:
        """Return the files that say how the model is asked."""
        from cae_backends.contract_files import sidecar_files

        return sidecar_files(Path(spec))


LOADER = TensorflowLoader()
