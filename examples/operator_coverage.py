"""Which ONNX operators classifiers use, and whether the file answers and differentiates as a white box as it must.

    python examples/operator_coverage.py --pool zoo/pool.toml --onnx keras/*.onnx --output coverage

Three kinds of files: one small member of every family of torchvision's classifiers (random weights, ten classes,
exported by `export_torch`), the members of a pool, and any other files. Each is asked about random inputs in [0, 1), in
batches of other sizes than the exported one, by ONNX Runtime and through onnx2torch. An interrupted run goes on where
it was. The tables go to ``OUTPUT/operators.md``.
"""

import argparse
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torchvision
from numpy.typing import NDArray
from onnx import ModelProto, defs
from onnx2torch.node_converters import get_converter
from torch import nn

from cae_backends.onnxruntime.session import open_session, runtime_failures, shortened
from cae_backends.torch.onnx_import import convert_onnx, image_input, read_onnx
from cae_backends.torch.onnx_operators import is_ours
from cae_converters.torch_to_onnx import export_torch
from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.files.storage import write_atomically
from cae_core.pool.manifest import read_pool

FAMILIES: dict[str, tuple[int, dict[str, Any]]] = {
    "alexnet": (63, {}),
    "convnext_tiny": (32, {}),
    "densenet121": (32, {}),
    "efficientnet_b0": (32, {}),
    "efficientnet_v2_s": (32, {}),
    "googlenet": (32, {"aux_logits": False, "init_weights": False}),
    "inception_v3": (75, {"aux_logits": False, "init_weights": False}),
    "maxvit_t": (224, {}),
    "mnasnet0_5": (32, {}),
    "mobilenet_v2": (32, {}),
    "mobilenet_v3_small": (32, {}),
    "regnet_y_400mf": (32, {}),
    "resnet18": (32, {}),
    "resnext50_32x4d": (32, {}),
    "shufflenet_v2_x0_5": (32, {}),
    "squeezenet1_1": (32, {}),
    "swin_t": (32, {}),
    "swin_v2_t": (32, {}),
    "vgg11": (32, {}),
    "vit_b_16": (32, {"image_size": 32}),
    "wide_resnet50_2": (32, {}),
}
"""One small member of each family -> the smallest image from 32 on that it takes, and its further options."""

BATCHES = (1, 3)  # torch's exporter sees two images
OUTPUT_TOLERANCE, GRADIENT_TOLERANCE = 1e-4, 1e-5
"""Of the largest output and of the largest gradient: random weights let the signal of a deep network die away."""


@dataclass(frozen=True)
class Record:
    """What was found about one file.

    Attributes:
        model: its name.
        kind: torchvision, pool or file.
        opset: of the standard operators; 0 where there is no file.
        operators: operator -> the version that ``opset`` means; 0 where ONNX has no such operator.
        output_size: the largest output.
        output_difference: the largest between ONNX Runtime's and the white box's outputs, of the largest output.
        gradient_difference: the largest between the white box's and the original module's input gradients, both in
            float64, of the largest gradient; None where there is no original.
        reason: why it failed; empty where it passed.
        seconds: that it took.
    """

    model: str
    kind: str
    opset: int = 0
    operators: dict[str, int] = field(default_factory=dict)
    output_size: float | None = None
    output_difference: float | None = None
    gradient_difference: float | None = None
    reason: str = ""
    seconds: float = 0.0


def main() -> None:
    """Look at what is missing and write the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", nargs="*", choices=FAMILIES, default=list(FAMILIES), metavar="NAME")
    parser.add_argument("--pool", type=Path)
    parser.add_argument("--onnx", type=Path, nargs="*", default=[], metavar="FILE")
    parser.add_argument("--opset", type=int, default=18)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    torch.set_num_threads(1)
    records = []
    for kind, name, file in _models(options):
        place = options.output / f"{kind}-{name}.json"
        if not place.exists():
            record = _examine(kind, name, file, options)
            write_atomically(place, json.dumps(asdict(record), indent=1).encode())
            print(f"{record.model}: {record.reason or 'passed'} ({record.seconds:.0f} s)", flush=True)
        records.append(Record(**json.loads(place.read_text())))
    tables = f"{_operator_table(records)}\n{_model_table(records)}"
    write_atomically(options.output / "operators.md", tables.encode())
    print(tables)


def _models(options: argparse.Namespace) -> Iterator[tuple[str, str, Path]]:
    for name in options.families:
        yield "torchvision", name, options.output / f"{name}.onnx"
    for member in read_pool(options.pool).members if options.pool else ():
        yield "pool", member.name, member.path
    for path in options.onnx:
        yield "file", path.stem, path


def _examine(kind: str, name: str, file: Path, options: argparse.Namespace) -> Record:
    started = time.monotonic()
    found: dict[str, Any] = {}
    try:
        original = _export(name, file, options) if kind == "torchvision" else None
        proto = read_onnx(file)
        found |= _operators(proto)
        found |= _compare(proto, file, original, options.seed)
        found["reason"] = _excess(found)
    except ModelError as error:
        found["reason"] = str(error).replace(str(file), file.name)
    if kind == "torchvision":
        file.unlink(missing_ok=True)
    return Record(name, kind, seconds=time.monotonic() - started, **found)


def _export(name: str, file: Path, options: argparse.Namespace) -> nn.Module:
    size, settings = FAMILIES[name]
    torch.manual_seed(options.seed)
    net: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=10, **settings)
    for weights in net.parameters():
        if weights.ndim == 2 and not weights.any():  # ViT starts with a head of zeros
            nn.init.xavier_uniform_(weights)
    contract = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")
    export_torch(net.eval(), file, contract=contract, image_shape=(size, size, 3), opset=options.opset)
    return net


def _operators(proto: ModelProto) -> dict[str, Any]:
    opset = next(entry.version for entry in proto.opset_import if entry.domain in ("", "ai.onnx"))
    names = sorted({node.op_type for node in proto.graph.node if node.domain in ("", "ai.onnx")})
    return {"opset": opset, "operators": {name: _version(name, opset) for name in names}}


def _version(name: str, opset: int) -> int:
    if not defs.has(name, opset, ""):  # a file that its exporter left unfinished
        return 0
    return defs.get_schema(name, max_inclusive_version=opset).since_version


def _compare(proto: ModelProto, file: Path, original: nn.Module | None, seed: int) -> dict[str, float | None]:
    module = convert_onnx(proto, origin=str(file))
    inputs = [_random_input(proto, file, n, seed) for n in BATCHES]
    expected = [_run(file, x) for x in inputs]
    with torch.no_grad():
        found = [module(torch.from_numpy(x)).numpy() for x in inputs]
    size = max(float(np.abs(answer).max()) for answer in expected)
    difference = max(float(np.abs(a - b).max()) for a, b in zip(found, expected, strict=True))
    worst = max(_gradient_difference(module, original, x, seed) for x in inputs) if original else None
    return {"output_size": size, "output_difference": difference / (size or 1.0), "gradient_difference": worst}


def _random_input(proto: ModelProto, file: Path, n: int, seed: int) -> NDArray[Any]:
    """Return n images, or n batches where the file's batch size is fixed; an open side has 32 pixels."""
    taken = image_input(proto, origin=str(file))
    sides = [axis if isinstance(axis, int) and axis > 0 else 32 for axis in taken.shape[1:]]
    fixed = taken.shape[0] if isinstance(taken.shape[0], int) else 1
    values = np.random.default_rng([seed, n]).random((n * fixed, *sides))
    return (values * 255 if taken.dtype == "uint8" else values).astype(taken.dtype)


def _run(file: Path, x: NDArray[Any]) -> NDArray[Any]:
    session = open_session(file, "cpu")
    taken = session.get_inputs()[0]
    parts = len(x) // taken.shape[0] if isinstance(taken.shape[0], int) else 1
    try:
        return np.concatenate([session.run(None, {taken.name: part})[0] for part in np.split(x, parts)])
    except runtime_failures() as exc:
        raise ModelError(f"{file}: ONNX Runtime cannot run the model ({shortened(exc)}).") from exc


def _gradient_difference(module: nn.Module, original: nn.Module, x: NDArray[np.float32], seed: int) -> float:
    """Compare in float64: in float32, an image that falls on the other side of one kink has another gradient."""
    direction = torch.from_numpy(np.random.default_rng(seed).standard_normal((len(x), 10)))
    images = torch.from_numpy(x).double().requires_grad_()
    found, expected = (torch.autograd.grad(net.double()(images), images, direction)[0] for net in (module, original))
    return float((found - expected).abs().max() / expected.abs().max())


def _excess(found: dict[str, Any]) -> str:
    output, gradient = found["output_difference"], found["gradient_difference"]
    if not output <= OUTPUT_TOLERANCE:
        return f"the outputs differ by {output:.2g}"
    if gradient is not None and not gradient <= GRADIENT_TOLERANCE:
        return f"the gradients differ by {gradient:.2g}"
    return ""


def _operator_table(records: Sequence[Record]) -> str:
    users: dict[tuple[str, int, int], list[Record]] = {}
    for record in records:
        for name, version in record.operators.items():
            users.setdefault((name, version, record.opset), []).append(record)
    lines = ["| operator | version (opset) | converted by | models | passed |", "| --- | --- | --- | --- | --- |"]
    for (name, version, opset), by in sorted(users.items()):
        names = ", ".join(record.model for record in by) if len(by) <= 6 else f"{len(by)} of {len(records)}"
        passed = sum(not record.reason for record in by)
        lines.append(f"| {name} | {version} ({opset}) | {_converter(name, opset)} | {names} | {passed} of {len(by)} |")
    return "\n".join(lines) + "\n"


def _converter(name: str, opset: int) -> str:
    if is_ours(name, opset):
        return "this project"
    try:
        get_converter(name, opset)
    except NotImplementedError:
        return "nobody"
    return "onnx2torch"


def _model_table(records: Sequence[Record]) -> str:
    lines = [
        "| model | kind | opset | largest output | output difference | gradient difference | seconds | passed |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for record in records:
        measured = (record.output_size, record.output_difference, record.gradient_difference)
        cells = " | ".join("" if value is None else f"{value:.1e}" for value in measured)
        verdict = f"no: {record.reason}" if record.reason else "yes"
        lines.append(
            f"| {record.model} | {record.kind} | {record.opset} | {cells} | {record.seconds:.0f} | {verdict} |"
        )
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
