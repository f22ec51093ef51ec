"""What a process of its own costs: `cae verify` of a foreign suspect against the same with ``--trusted``.

The CPU seconds are those of parent and child together, in user and system; on all cores, and pinned to one.
"""

import shutil
import statistics
import tempfile
from pathlib import Path

from tests.benchmarks.figures import Figure, Scale, paired_cpu_seconds
from tests.benchmarks.verification import export_mobilenet, verify_command

__all__ = ["measure_containment"]

_AIM_MS = 20


def measure_containment(scale: Scale) -> list[Figure]:
    """Compare contained and trusted verifications of MobileNetV2 with 100 examples, in interleaved pairs."""
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "suspect.onnx"
        export_mobilenet(model)
        command = [*verify_command(model, 100), "--no-ledger"]
        pinned = ["taskset", "-c", "0"] if shutil.which("taskset") else None
        places = [("all cores", list[str]()), *([("one core", pinned)] if pinned else [])]
        return [_compared(name, [*before, *command], scale.pick(30, 1)) for name, before in places]


def _compared(name: str, command: list[str], repeats: int) -> Figure:
    pairs = [(pair[0], pair[1]) for pair in paired_cpu_seconds([command, [*command, "--trusted"]], repeats)]
    extra = sorted(1000 * (contained - trusted) for contained, trusted in pairs)
    more = statistics.median(extra)
    return Figure.of_pairs(
        f"cae verify, {name}: CPU time of a contained suspect over a trusted one",
        pairs,
        lambda contained, trusted: (
            f"{1000 * contained:.0f} ms against {1000 * trusted:.0f} ms; {more:.0f} ms more in the median of "
            f"{repeats} pairs ({extra[0]:.0f} to {extra[-1]:.0f}), the aim is {_AIM_MS}"
        ),
    )
