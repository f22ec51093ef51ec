"""`cae verify` against the least that a verification could be, each in a fresh process; and where its time goes."""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cae_cli.render import print_rows
from cae_converters.torch_to_onnx import export_torch
from cae_core.files.digests import sha256_of_file
from cae_core.fingerprint.file import Fingerprint, load_fingerprint, save_fingerprint
from cae_core.fingerprint.questions import plan_questions, question_images
from tests.benchmarks import minimal_verify, verify_stages
from tests.benchmarks.figures import Figure, Scale, paired_cpu_seconds
from tests.benchmarks.pools import CONTRACT

__all__ = ["export_mobilenet", "measure_verification", "random_fingerprint", "verification_stages", "verify_command"]

_NONCE = "00" * 16
_CAE = "from cae_cli.main import main; main()"
_HEAVY = ("torch", "tensorflow", "keras", "scipy", "onnx", "sklearn", "rich")


def random_fingerprint(examples: int) -> Fingerprint:
    """Return a fingerprint of random 32x32 images: what it says does not matter, only how long it takes."""
    random = np.random.default_rng(0)
    probes = 200

    def images(n: int) -> NDArray[np.uint8]:
        return random.integers(0, 256, (n, 32, 32, 3), np.uint8)

    labels = random.integers(0, 10, examples)
    return Fingerprint(
        images=images(examples),
        seeds=images(examples),
        labels=labels,
        ground_truth=(labels + 1) % 10,
        conferrability=np.ones(examples, np.float32),
        start_step=np.zeros(examples, np.int32),
        steps=np.ones(examples, np.int32),
        probe_images=images(probes),
        probe_labels=random.integers(0, 10, probes),
        class_names=tuple("0123456789"),
        generation={"source": {"name": "random", "sha256": "", "accuracy": 0.9}},
        tools={},
    )


def measure_verification(scale: Scale) -> list[Figure]:
    """The CPU time of `cae verify --json` on MobileNetV2, with 100 and with 10,000 examples."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "suspect.onnx"
        export_mobilenet(model)
        return [
            _compare(model, 100, target=1.4, repeats=scale.pick(30, 1), note=_imports(model, 100)),
            _compare(model, scale.pick(10_000, 500), target=1.1, repeats=scale.pick(10, 1), note=""),
        ]


def verification_stages(model: Path, examples: int, *, repeats: int) -> dict[str, float]:
    """Return the median CPU milliseconds of each stage of `cae verify --json`, in their order."""
    command = [sys.executable, verify_stages.__file__, *verify_command(model, examples)[3:], "--no-ledger", "--trusted"]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    runs: list[dict[str, float]] = []
    for _ in range(repeats + 1):
        told = subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stderr
        runs.append(json.loads(told.splitlines()[-1]))
    return {stage: statistics.median(run[stage] for run in runs[1:]) for stage in runs[0]}


def main() -> None:
    """Print where the CPU time of a verification goes: ``python -m tests.benchmarks.verification``."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "suspect.onnx"
        export_mobilenet(model)
        sizes = {examples: verification_stages(model, examples, repeats=10) for examples in (100, 10_000)}
    rows = [(stage, *(f"{stages[stage]:.1f}" for stages in sizes.values())) for stage in sizes[100]]
    print_rows(["stage", *(f"{examples} examples#" for examples in sizes)], rows, title="CPU milliseconds")


def export_mobilenet(path: Path) -> None:
    """Write a MobileNetV2 of 32x32 images."""
    import torch
    from torchvision.models import mobilenet_v2

    torch.manual_seed(0)
    export_torch(mobilenet_v2(num_classes=10), path, contract=CONTRACT, image_shape=(32, 32, 3))


def _compare(model: Path, examples: int, *, target: float, repeats: int, note: str) -> Figure:
    ours = verify_command(model, examples)
    minimal = [sys.executable, minimal_verify.__file__, str(model), str(_asked_images(model, examples))]
    _check_same_answers(ours, minimal)
    return Figure.of_pairs(
        f"cae verify, {examples} examples: CPU time over a minimal script",
        ((first, second) for first, second in paired_cpu_seconds([ours, minimal], repeats)),
        lambda mine, least: f"{1000 * mine:.0f} ms against {1000 * least:.0f} ms{note}",
        target=target,
    )


def _fingerprint_file(model: Path, examples: int) -> Path:
    path = model.with_name(f"fingerprint-{examples}.safetensors")
    if not path.exists():
        save_fingerprint(random_fingerprint(examples), path)
    return path


def _asked_images(model: Path, examples: int) -> Path:
    """Write the images that our verification asks, in its order, repeats included."""
    fingerprint = load_fingerprint(_fingerprint_file(model, examples))
    questions = plan_questions(fingerprint, suspect_sha256=sha256_of_file(model), nonce=bytes.fromhex(_NONCE))
    path = model.with_name(f"images-{examples}.npy")
    np.save(path, question_images(fingerprint, questions))
    return path


def verify_command(model: Path, examples: int) -> list[str]:
    """Return the command that verifies a model by a fingerprint of so many examples, which is made beside it."""
    options = ["--suspect", str(model), "--fingerprint", str(_fingerprint_file(model, examples)), "--nonce", _NONCE]
    return [sys.executable, "-c", _CAE, "verify", *options, "--device", "cpu", "--json"]


def _check_same_answers(ours: list[str], minimal: list[str]) -> None:
    found = [answer["label"] for answer in json.loads(_run(ours))["answers"]]
    expected = json.loads(_run(minimal))["labels"]
    if found != expected:
        raise AssertionError("cae verify and the minimal script answer differently: they do not do the same work.")


def _imports(model: Path, examples: int) -> str:
    """Say which heavy packages `cae verify` loads."""
    wrapped = f"import atexit, sys; atexit.register(lambda: print(*sys.modules, file=sys.stderr)); {_CAE}"
    command = verify_command(model, examples)
    command[2] = wrapped
    loaded = set(subprocess.run(command, check=True, capture_output=True, text=True).stderr.split())
    heavy = [name for name in _HEAVY if name in loaded]
    return f"; imports {', '.join(heavy) or 'none'} of {', '.join(_HEAVY)}"


def _run(command: list[str]) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


if __name__ == "__main__":
    main()
