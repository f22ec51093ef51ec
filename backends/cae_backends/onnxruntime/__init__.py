"""ONNX files run by ONNX Runtime: black boxes, on the CPU or on a CUDA device.

Importing this package does not import ONNX Runtime.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cae_core.contract import Contract, Task
from cae_core.loaders import Device
from cae_core.signature import Signature

if TYPE_CHECKING:
    from cae_backends.onnxruntime.model import OnnxRuntimeModel

__all__ = ["LOADER", "OnnxRuntimeLoader"]


@dataclass(frozen=True)
class OnnxRuntimeLoader:
    """Opens ``.onnx`` files without gradients."""

    name: str = "onnxruntime"
    suffixes: tuple[str, ...] = (".onnx",)
    folders: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    gradients: bool = False
    takes_task: bool = True
    forks: bool = True

    def open(
        self, spec: str, *, contract: Contract | None, device: Device, task: Task | None = None
    ) -> "OnnxRuntimeModel":
        """Open the file ``spec`` on ``device``: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:i"``.

        Raises:
            BackendMissing: ONNX Runtime is not installed.
            ModelError: no usable file, not one image input, another number of classes than the ``task`` has, or no such
                device.
            ContractError: neither ``contract`` nor the file says what the model takes, or it does not fit.
        """
        from cae_backends.onnxruntime.model import open_with_runtime

        return open_with_runtime(Path(spec), contract=contract, device=device, task=task)

    def signature(self, spec: str) -> Signature:
        """Return what the file says of its tensors; see `signature_of_onnx`."""
        from cae_backends.onnx.signature import signature_of_onnx

        return signature_of_onnx(Path(spec))

    def prepare(self) -> None:
        """Import ONNX Runtime.

        Raises:
            BackendMissing: ONNX Runtime is not installed.
        """
        from cae_backends.onnxruntime.session import runtime_failures

        runtime_failures()

    def files(self, spec: str) -> tuple[Path, ...]:
        """Return every file that the model is read from; see `files_of_onnx`."""
        from cae_backends.onnx.files import files_of_onnx

        return files_of_onnx(Path(spec))

    def contract_files(self, spec: str) -> tuple[Path, ...]:
        """Return the files that say how the model is asked."""
        from cae_backends.contract_files import sidecar_files

        return sidecar_files(Path(spec))


LOADER = OnnxRuntimeLoader()
"""What the entry point names."""
