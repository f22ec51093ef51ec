"""ONNX -> torch: an exported program (``.pt2``) that carries its contract, through onnx2torch."""

import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from cae_backends.contract_files import PROGRAM_CONTRACT
from cae_backends.torch import LOADER
from cae_core.contract import Contract, metadata_of
from cae_core.errors import ModelError, first_line

__all__ = ["export_program"]


def export_program(source: Path, target: Path, *, image_shape: tuple[int, int, int], origin: str) -> Contract:
    """Write an ONNX file as an exported program with a free batch, and return the contract that it carries.

    Args:
        source: the ONNX file, with its contract inside.
        target: the file to write.
        image_shape: (h, w, k) of canonical images.
        origin: what the model is called in messages.

    Raises:
        BackendMissing: torch or onnx2torch is not installed.
        ModelError: the graph cannot be converted, or torch cannot export it.
    """
    model: Any = LOADER.open(str(source), contract=None, device="cpu")
    import torch

    contract: Contract = model.contract
    x = torch.from_numpy(contract.to_input(np.zeros((2, *image_shape), np.uint8)))
    carried = json.dumps(metadata_of(contract), sort_keys=True)
    buffer = io.BytesIO()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # about torch's own future; the answers are compared instead
            program = torch.export.export(model.network.module, (x,), dynamic_shapes=({0: torch.export.Dim("n")},))
            torch.export.save(program, buffer, extra_files={PROGRAM_CONTRACT: carried})
    except (RuntimeError, ValueError, TypeError, AssertionError, NotImplementedError) as exc:
        raise ModelError(f"{origin}: torch cannot export the converted model ({first_line(exc)}).") from exc
    target.write_bytes(buffer.getvalue())
    return contract
