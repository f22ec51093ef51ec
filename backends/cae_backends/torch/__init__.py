"""Torch models as `DifferentiableModel`: converted ONNX files, exported programs, and any ``torch.nn.Module``.

Importing this package does not import torch.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path

from cae_backends.import_order import before_torch
from cae_backends.torch.forms import is_torchscript
from cae_core.contract import Contract
from cae_core.errors import BackendMissing, ModelError
from cae_core.models import DifferentiableModel
from cae_core.signature import Signature

__all__ = ["LOADER", "TorchLoader"]

_SCRIPTED = (".torchscript", ".pt", ".pth")

_PICKLED = (".pt", ".pth", ".th", ".pkl", ".pickle", ".bin", ".ckpt", ".tar")

_WAY_OUT = (
    "pickled torch files are not opened, because loading one runs whatever code it contains, and weights alone do not "
    "say what they compute. Where you have the model's class, name both: --suspect "
    "'torch:package.module:Class(args)=weights.pth' reads tensors only; or load it yourself and export it: "
    'torch.onnx.export(net.eval(), (torch.zeros(2, 3, 32, 32),), "model.onnx", dynamo=True, '
    'dynamic_shapes=({0: torch.export.Dim("n")},)); else ask its owner for an ONNX file. See docs/suspects.md.'
)

_WEIGHTS_ALONE = (
    "a .safetensors file holds tensors alone, which do not say what they compute. Where you have the model's class, "
    "name both: --suspect 'torch:package.module:Class(args)=weights.safetensors'; else ask its owner for an ONNX file. "
    "See docs/suspects.md."
)


@dataclass(frozen=True)
class TorchLoader:
    """Opens ``.onnx`` files through onnx2torch, ``.pt2`` files through ``torch.export.load``, and TorchScript.

    And, of its user's own, ``torch:package.module:Class(args)=weights.pth``; see `named_class`.
    """

    name: str = "torch"
    suffixes: tuple[str, ...] = (".onnx", ".pt2", *_SCRIPTED)
    folders: tuple[str, ...] = ()
    schemes: tuple[str, ...] = ("torch",)
    gradients: bool = True
    scratch: bool = True
    """onnx2torch infers shapes by way of files."""
    runs_code: tuple[str, ...] = (".pt2", *_SCRIPTED)
    looked_at: Mapping[str, Callable[[Path], bool]] = field(
        default_factory=lambda: dict.fromkeys((".pt", ".pth"), is_torchscript)
    )
    """The suffixes that pickles have as well."""
    refused: Mapping[str, str] = field(
        default_factory=lambda: {**dict.fromkeys(_PICKLED, _WAY_OUT), ".safetensors": _WEIGHTS_ALONE}
    )

    def open(self, spec: str, *, contract: Contract | None, device: str) -> DifferentiableModel:
        """See `cae_core.loaders.Loader.open`."""
        path, suffix = Path(spec), Path(spec).suffix.lower()
        if not _is_named(spec) and suffix in self.refused and not is_torchscript(path):
            raise ModelError(f"{spec}: {self.refused[suffix]}")
        before_torch()
        _require("torch", "onnx2torch")
        from cae_backends.torch.opening import open_named, open_onnx
        from cae_backends.torch.programs import open_exported, open_scripted

        if _is_named(spec):
            return open_named(spec, contract=contract, device=device)
        opener = {".onnx": open_onnx, ".pt2": open_exported}.get(suffix, open_scripted)
        return opener(path, contract=contract, device=device)

    def signature(self, spec: str) -> Signature:
        """Return the tensors of a program or of a class of one's own; see `signature_of_torch`, and of an ONNX file."""
        if spec.lower().endswith(".onnx"):
            from cae_backends.onnx.signature import signature_of_onnx

            return signature_of_onnx(Path(spec))
        before_torch()
        _require("torch")
        from cae_backends.torch.signature import signature_of_torch

        return signature_of_torch(spec)

    def files(self, spec: str) -> tuple[Path, ...]:
        """Return every file that the model is read from; see `files_of_onnx`."""
        from cae_backends.onnx.files import files_of_onnx

        path = _file(spec)
        return files_of_onnx(path) if path.suffix.lower() == ".onnx" else (path,)

    def contract_files(self, spec: str) -> tuple[Path, ...]:
        """Return the files that say how the model is asked."""
        from cae_backends.contract_files import sidecar_files

        return sidecar_files(_file(spec))


def _is_named(spec: str) -> bool:
    return spec.startswith("torch:")


def _file(spec: str) -> Path:
    """Return the model's file, or that of its weights."""
    if not _is_named(spec):
        return Path(spec)
    from cae_backends.torch.named_class import parse_named_class

    return parse_named_class(spec).weights


def _require(*packages: str) -> None:
    missing = [name for name in packages if find_spec(name) is None]
    if missing:
        raise BackendMissing(
            f'Opening a model with gradients needs {" and ".join(missing)}: pip install "cae-fingerprint[torch]".'
        )


LOADER = TorchLoader()
