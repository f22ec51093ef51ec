"""Peak memory of a generation against the batched loop, each in a process of its own.

``python -m tests.benchmarks.memory SIDE WEIGHTS IMAGES`` is one such process; it prints its peak in MiB.
"""

import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from cae_core.models import Precision
from tests.benchmarks.baselines import BatchedLoop
from tests.benchmarks.figures import Figure, Scale
from tests.benchmarks.pools import load_modules, make_modules, save_modules
from tests.benchmarks.search import make_bench, mask_of

__all__ = ["measure_memory"]

_STEPS = 5
_PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


def measure_memory(scale: Scale) -> list[Figure]:
    """Compare the peak resident memory of whole processes, torch and its libraries included."""
    images = scale.pick(100, 10)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pt"
        save_modules(make_modules(), weights)
        rounds = [
            tuple(_peak(side, weights, images) for side in ("idle", "loop", *_PRECISIONS))
            for _ in range(scale.pick(2, 1))
        ]
    idle = statistics.median(peaks[0] for peaks in rounds)
    return [
        Figure.of_pairs(
            f"generation, {precision}: peak memory over a batched loop in float32",
            ((peaks[place], peaks[1]) for peaks in rounds),
            lambda ours, loop: f"{ours:.0f} MiB against {loop:.0f} MiB, of which {idle:.0f} MiB before the first step",
        )
        for place, precision in enumerate(_PRECISIONS, start=2)
    ]


def _peak(side: str, weights: Path, images: int) -> float:
    command = [sys.executable, "-m", "tests.benchmarks.memory", side, str(weights), str(images)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def _work(side: str, weights: Path, images: int) -> None:
    """Run five steps and the acceptance of one side; ``idle`` does nothing but open the models and rank the seeds."""
    bench = make_bench(load_modules(weights), images=images, iterations=_STEPS)
    if side == "idle":
        return
    if side == "loop":
        loop, mask = BatchedLoop.start(bench.modules, bench.seeds, bench.queue.original, bench.settings), mask_of(bench)
        for step in range(_STEPS):
            loop.step(mask(step))
        loop.finish(bench.queue.original, bench.settings)
        return
    search = bench.search("bfloat16" if side == "bfloat16" else "float32")
    state = bench.start(search)
    while len(state.position):
        state = search.turn_over(search.step(state)[0])


def _own_peak() -> float:
    """Return the peak resident memory of this process in MiB."""
    status = Path("/proc/self/status")
    if status.exists():  # getrusage would start from the peak of the process that started this one
        (line,) = (line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20  # macOS counts in bytes


if __name__ == "__main__":
    _work(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]))
    sys.stdout.write(f"{_own_peak()}\n")
