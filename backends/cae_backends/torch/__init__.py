"""Torch models as `DifferentiableModel`: converted ONNX files, exported programs, and any ``torch.nn.Module``.

Importing this package does not import torch.
"""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from cae_backends.import_order import before_torch
from cae_core.contract import Contract
from cae_core.errors import BackendMissing, ModelError
from cae_core.models import DifferentiableModel

__all__ = ["LOADER", "TorchLoader"]

_PICKLED = (".pt", ".pth", ".pkl", ".bin", ".ckpt")


@dataclass(frozen=True)
class TorchLoader:
    """Opens ``.onnx`` files through onnx2torch and ``.pt2`` files through ``torch.export.load``."""

    name: str = "torch"
    suffixes: tuple[str, ...] = (".onnx", ".pt2")
    folders: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ()
    gradients: bool = True

    def open(self, spec: str, *, contract: Contract | None, device: str) -> DifferentiableModel:
        """See `cae_core.loaders.Loader.open`."""
        path = Path(spec)
        if path.suffix.lower() in _PICKLED:
            raise ModelError(
                f"{spec}: pickled torch files are not opened, because loading one runs whatever code it contains. "
                "Export the model with torch.onnx.export (.onnx) or torch.export.save (.pt2)."
            )
        before_torch()
        _require("torch", "onnx2torch")
        from cae_backends.torch.opening import open_exported, open_onnx

        opener = open_exported if path.suffix.lower() == ".pt2" else open_onnx
        return opener(path, contract=contract, device=device)


def _require(*packages: str) -> None:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise BackendMissing(
            f'Opening a model with gradients needs {" and ".join(missing)}: pip install "cae-fingerprint[torch]".'
        )


LOADER = TorchLoader()
