"""Opening a white box: with the check against its file, over without."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from cae_backends.architectures.report_torch import build_torch
from cae_backends.torch import LOADER
from cae_converters.torch_to_onnx import export_torch
from cae_core.contract import Contract
from cae_core.opening.white_box_check import OpenedWhiteBox, check_white_box
from tests.benchmarks.figures import Figure, Scale, paired_seconds

__all__ = ["measure_opening"]

_NETWORKS = {"resnet20v1": 32, "mobilenetv2": 32, "resnet50v1": 32}
"""Architecture -> the size of its images."""


def measure_opening(scale: Scale) -> list[Figure]:
    """One ONNX file opened with gradients, checked, over the same file opened and not checked."""
    return [_measured(name, size, scale) for name, size in list(_NETWORKS.items())[: scale.pick(3, 1)]]


def _measured(name: str, size: int, scale: Scale) -> Figure:
    torch.manual_seed(0)
    contract = Contract(layout="NCHW", range=(0.0, 1.0), output="logits", channels="RGB", size=(size, size))
    module: nn.Module = build_torch(name, image_shape=(size, size, 3), classes=10)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.onnx"
        export_torch(module.eval(), path, contract=contract, image_shape=(size, size, 3))
        sides = [_opener(path, checked=True), _opener(path, checked=False)]
        rounds = paired_seconds(sides, scale.pick(7, 1))
    return Figure.of_pairs(
        f"opening: {name} with its check / without",
        ((seconds[0], seconds[1]) for seconds in rounds),
        lambda checked, plain: f"{checked:.2f} s / {plain:.2f} s, images of {size}x{size}",
    )


def _opener(path: Path, *, checked: bool) -> Callable[[], object]:
    def opened() -> object:
        model = LOADER.open(str(path), contract=None, device="cpu")
        if checked:
            assert isinstance(model, OpenedWhiteBox)
            check_white_box(model, origin=str(path))
        return model

    return opened
