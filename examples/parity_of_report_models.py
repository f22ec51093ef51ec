"""Take the report's models from Keras to ONNX and on to torch, and measure what changes: nothing should.

    python examples/parity_of_report_models.py --data cifar-10-batches-py --output parity

Each model gets random weights and batch-norm statistics of the data, is converted as `cae convert` does it, and is
compared on random and on real images: answers in ONNX Runtime and in torch, input gradients in torch; and, as ONNX
Runtime gives no gradients, the slope of its answers along a random direction with what TensorFlow's gradient says. A
model that was measured is not measured again. The table goes to ``OUTPUT/parity.md``.
"""

import argparse
import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from cae_backends.architectures import REPORT_ARCHITECTURES
from cae_backends.architectures.report_keras import build_keras
from cae_backends.datasets import open_data
from cae_backends.onnxruntime import LOADER as ONNX_RUNTIME
from cae_backends.tensorflow.model import TensorflowModel
from cae_converters.conversion import convert
from cae_core.arrays import Floats32, as_unit_float
from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.files.storage import write_atomically

__all__ = ["main", "measure"]

CONTRACT = Contract(layout="NHWC", range=(0.0, 1.0), output="probabilities", channels="RGB", size=(32, 32))
LOGITS = CONTRACT.replace(output="logits")
STEP = 1e-5
IMAGES = 16
COLUMNS = (
    "model",
    "parameters",
    "images",
    "largest logit",
    "ONNX Runtime: logits",
    "onnx2torch: logits",
    "onnx2torch: gradients",
    "torch program: logits",
    "ONNX Runtime: slope",
    "to ONNX, to torch (s)",
)


def main() -> None:
    """Measure what is missing and write the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", required=True, help="labelled images of 32x32 in three channels")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    data = open_data(options.data, split="test")
    rows = [measure(name, data, options.output) for name in REPORT_ARCHITECTURES]
    table = _table(rows)
    write_atomically(options.output / "parity.md", table.encode())
    print(table)


def measure(name: str, data: ImageSet, folder: Path) -> dict[str, Any]:
    """Return the differences of one model, measured or read from ``folder``."""
    record = folder / f"{name}.json"
    if record.exists():
        done: dict[str, Any] = json.loads(record.read_text())
        return done
    model = build_keras(name, image_shape=(32, 32, 3), classes=10, seed=0, logits=True)
    _fit_statistics(model, as_unit_float(data.images[:256]))
    folder.mkdir(parents=True, exist_ok=True)
    keras_file, onnx_file = folder / f"{name}.keras", folder / f"{name}.onnx"
    model.save(keras_file)
    started = time.monotonic()
    to_onnx = convert(keras_file, onnx_file, contract=LOGITS, data=data)
    between = time.monotonic()
    to_torch = convert(onnx_file, folder / f"{name}.pt2", data=data)
    row = {
        "name": name,
        "parameters": model.count_params(),
        "seconds": {"onnx": between - started, "torch": time.monotonic() - between},
        "parity": [dataclasses.asdict(parity) for parity in (*to_onnx.parities, *to_torch.parities)],
        "slope": _slope_difference(TensorflowModel.from_keras(model, contract=LOGITS), onnx_file, data),
    }
    write_atomically(record, json.dumps(row).encode())
    return row


def _fit_statistics(model: Any, images: Floats32) -> None:  # noqa: ANN401 - Keras publishes no types
    """Give batch norm the statistics of real images: fresh ones make deep networks answer next to nothing."""
    norms = [layer for layer in _layers(model) if type(layer).__name__ == "BatchNormalization"]
    momenta = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.3
    for _ in range(6):
        model(images, training=True)
    for layer, momentum in zip(norms, momenta, strict=True):
        layer.momentum = momentum


def _layers(model: Any) -> Iterator[Any]:  # noqa: ANN401
    for layer in model.layers:
        yield layer
        yield from _layers(layer) if hasattr(layer, "layers") else ()


def _slope_difference(model: TensorflowModel, file: Path, data: ImageSet) -> float:
    """Return how far ONNX Runtime's slope along a random direction is from TensorFlow's gradient, relative.

    The slope is a central difference in float32, in the median over the images. Random deep networks bend so often that
    even at this small step kinks, and rounding, leave some per cent.
    """
    runtime = ONNX_RUNTIME.open(str(file), contract=None, device="cpu")
    rng = np.random.default_rng(2)
    x = (STEP + (1 - 2 * STEP) * as_unit_float(data.images[:IMAGES])).astype(np.float32)
    u = rng.choice(np.array([-1, 1], np.float32), x.shape)
    up, down = (runtime.scores((x + sign * np.float32(STEP) * u).astype(np.float32)) for sign in (1, -1))
    slopes = (up.astype(np.float64) - down) / (2 * STEP)
    logits, pullback = model.vjp(x)
    v = slopes + rng.standard_normal(logits.shape) * np.abs(slopes).mean()
    expected = (pullback(v.astype(np.float32)).astype(np.float64) * u).sum(axis=(1, 2, 3))
    found = (v * slopes).sum(axis=1)
    return float(np.median(np.abs(found - expected) / (np.linalg.norm(v, axis=1) * np.linalg.norm(slopes, axis=1))))


def _table(rows: list[dict[str, Any]]) -> str:
    lines = [f"| {' | '.join(COLUMNS)} |", "|" + " --- |" * len(COLUMNS)]
    for row in rows:
        for images in dict.fromkeys(parity["images"] for parity in row["parity"]):
            by = {parity["runtime"]: parity for parity in row["parity"] if parity["images"] == images}
            first = images == "random"
            cells = [
                row["name"] if first else "",
                f"{row['parameters']:,}" if first else "",
                f"{images} ({by['onnx2torch']['count']})",
                f"{by['onnx2torch']['scale']:.1f}",
                f"{by['ONNX Runtime']['outputs']:.1e}",
                f"{by['onnx2torch']['outputs']:.1e}",
                f"{by['onnx2torch']['gradients']:.1e}",
                f"{by['torch']['outputs']:.1e}",
                "" if first else f"{row['slope']:.1e}",
                "" if first else f"{row['seconds']['onnx']:.0f}, {row['seconds']['torch']:.0f}",
            ]
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
