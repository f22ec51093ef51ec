"""TFLite files: black boxes, run on the CPU by LiteRT or by TensorFlow's own interpreter.

Importing this package imports neither.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cae_core.contract import Contract, Task
from cae_core.loaders import Device
from cae_core.signature import Signature

if TYPE_CHECKING:
    from cae_backends.tflite.model import TfliteModel

__all__ = ["LOADER", "TfliteLoader"]


@dataclass(frozen=True)
class TfliteLoader:
    """Opens ``.tflite`` files without gradients."""

    name: str = "tflite"
    suffixes: tuple[str, ...] = (".tflite",)
    folders: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    gradients: bool = False
    takes_task: bool = True

    def open(self, spec: str, *, contract: Contract | None, device: Device, task: Task | None = None) -> "TfliteModel":
        """Open the file ``spec``; it runs on the CPU, so ``device`` is ``"auto"`` or ``"cpu"``.

        Raises:
            BackendMissing: neither interpreter is installed.
            ModelError: no TFLite model, not one image input, another number of classes than the ``task`` has, or
                another device.
            ContractError: neither ``contract`` nor a sidecar says what the model takes, or it does not fit.
        """
        from cae_backends.tflite.model import open_tflite

        return open_tflite(Path(spec), contract=contract, device=device, task=task)

    def signature(self, spec: str) -> Signature:
        """Return what the file says of its tensors; see `signature_of_tflite`."""
        from cae_backends.tflite.model import signature_of_tflite

        return signature_of_tflite(Path(spec))

    def prepare(self) -> None:
        """Import the interpreter.

        Raises:
            BackendMissing: none is installed.
        """
        from cae_backends.tflite.runtime import load_runtime

        load_runtime()

    def contract_files(self, spec: str) -> tuple[Path, ...]:
        """Return the files that say how the model is asked."""
        from cae_backends.contract_files import sidecar_files

        return sidecar_files(Path(spec))

    def files(self, spec: str) -> tuple[Path, ...]:
        """Return the only file that the model is read from."""
        return (Path(spec),)


LOADER = TfliteLoader()
"""What the entry point names."""
