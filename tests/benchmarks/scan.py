"""What a scan of many small suspects costs beside their contained start and inference, and what a second worker brings.

The fingerprint is one of random images, uncalibrated: all that a suspect is asked is asked, whatever it answers.
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cae_core.fingerprint.file import save_fingerprint
from tests.benchmarks.figures import Figure, Scale, cpu_seconds
from tests.core.toys import toy_fingerprint

__all__ = ["measure_scan", "write_models"]

_SHAPE, _CLASSES = (8, 8, 1), 10


def write_models(folder: Path, count: int, *, image_shape: tuple[int, int, int] = _SHAPE) -> None:
    """Write perceptrons of random weights as ONNX files, all distinct."""
    folder.mkdir(parents=True, exist_ok=True)
    nodes = [
        helper.make_node("Flatten", ["image"], ["x"], axis=1),
        helper.make_node("MatMul", ["x", "w0"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "w1"], ["logits"]),
    ]
    for seed in range(count):
        random = np.random.default_rng(seed)
        shapes = {"w0": (int(np.prod(image_shape)), 32), "w1": (32, _CLASSES)}
        weights = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
        graph = helper.make_graph(
            nodes,
            f"model {seed}",
            [helper.make_tensor_value_info("image", TensorProto.FLOAT, ("n", *image_shape))],
            [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("n", _CLASSES))],
            [numpy_helper.from_array(array, name) for name, array in weights.items()],
        )
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
        helper.set_model_props(model, {"cae.layout": "NHWC", "cae.range": "0..1", "cae.output": "logits"})
        onnx.save(model, folder / f"{seed:05}.onnx")


def measure_scan(scale: Scale) -> list[Figure]:
    """Scan many small suspects with one worker and with two, and start and ask some of them one by one."""
    count, repeats = scale.pick(200, 4), scale.pick(3, 1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_models(folder / "models", count, image_shape=(4, 4, 1))
        save_fingerprint(toy_fingerprint(100, 200), folder / "f.safetensors")
        single = [_single(folder, scale.pick(20, 2)) for _ in range(repeats)]
        costs = [cpu_seconds(_command(folder, f"cpu-{n}", 1)) / count for n in range(repeats)]
        walls = [
            (_timed(folder, f"one-{n}", 1), _timed(folder, f"two-{n}", 2), _apart(folder, f"apart-{n}"))
            for n in range(repeats)
        ]
    return [
        Figure.of_pairs(
            "cae scan: CPU time of a suspect over its contained start and inference alone",
            zip(costs, single, strict=True),
            lambda cost, alone: f"{1000 * cost:.0f} ms against {1000 * alone:.0f} ms, of {count} suspects",
            target=1.2,
        ),
        Figure.of_pairs(
            "cae scan: time of one worker over that of two",
            [(one, two) for one, two, _ in walls],
            lambda one, two: f"{one:.1f} s against {two:.1f} s, of {count} suspects",
            target=1.8,
            at_least=True,
        ),
        Figure.of_pairs(
            "the same over two scans of half the suspects each, which share nothing and have a core each",
            [(one, apart) for one, _, apart in walls],
            lambda one, apart: f"{one:.1f} s against {apart:.1f} s: what the machine's cores give",
            at_least=True,
        ),
    ]


def _command(folder: Path, run: str, workers: int, *, suspects: str = "models") -> list[str]:
    """Return the command of a scan that begins anew, its output and ledger its own."""
    paths = {"--fingerprint": "f.safetensors", "--output": f"{run}.jsonl", "--ledger": f"{run}-ledger.jsonl"}
    options = [text for option, path in paths.items() for text in (option, str(folder / path))]
    return [sys.executable, "-m", "cae_cli", "scan", str(folder / suspects), *options, "--workers", str(workers)]


def _timed(folder: Path, run: str, workers: int) -> float:
    start = time.perf_counter()
    cpu_seconds(_command(folder, run, workers))
    return time.perf_counter() - start


def _apart(folder: Path, run: str) -> float:
    """Return the seconds of two scans at once, of half of the suspects each, each on a core of its own."""
    models = sorted((folder / "models").iterdir())
    cores = sorted(os.sched_getaffinity(0))
    halves = [folder / f"half-{place}" for place in range(2)]
    for place, half in enumerate(halves):
        if not half.exists():
            half.mkdir()
            for model in models[place::2]:
                (half / model.name).hardlink_to(model)
    start = time.perf_counter()
    scans = []
    for place, half in enumerate(halves):
        os.sched_setaffinity(0, {cores[place % len(cores)]})  # which the scan inherits
        command = _command(folder, f"{run}-{half.name}", 1, suspects=half.name)
        scans.append(subprocess.Popen(command, stdout=subprocess.DEVNULL))
    os.sched_setaffinity(0, cores)
    codes = [scan.wait() for scan in scans]
    if any(codes):
        raise RuntimeError(f"the scans ended with {codes}: run the benchmark's command by hand")
    return time.perf_counter() - start


_SINGLE = """
import sys
from pathlib import Path
from cae_core.containment.limits import Limits
from cae_core.fingerprint.file import load_fingerprint
from cae_core.fingerprint.questions import plan_questions, question_images
from cae_core.opening.party import Party

fingerprint = load_fingerprint(Path(sys.argv[1]))
images = question_images(fingerprint, plan_questions(fingerprint, suspect_sha256="", nonce=b"n", all_probes=True))
for path in sys.argv[2:]:
    party = Party(limits=Limits(threads=1))
    party.black_box(path).model.predict(images)
    party.end()
"""


def _single(folder: Path, count: int) -> float:
    """Return the CPU seconds that starting a contained process, opening a suspect and asking it all takes."""
    models = [str(path) for path in sorted((folder / "models").iterdir())[:count]]
    command = [sys.executable, "-c", _SINGLE, str(folder / "f.safetensors")]
    return (cpu_seconds([*command, *models]) - cpu_seconds(command)) / count
