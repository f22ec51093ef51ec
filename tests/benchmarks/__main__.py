"""``python -m tests.benchmarks [name ...] [--quick] [--json FILE]``: measure, and print one table."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from cae_cli.render import print_rows
from cae_core.files.records import readable_json
from tests.benchmarks.calibration import measure_calibration
from tests.benchmarks.containment import measure_containment
from tests.benchmarks.figures import Figure, Scale
from tests.benchmarks.memory import measure_memory
from tests.benchmarks.mixed import measure_mixed
from tests.benchmarks.opening import measure_opening
from tests.benchmarks.pool_training import measure_pool_training
from tests.benchmarks.scan import measure_scan
from tests.benchmarks.search import measure_generation, measure_iteration, measure_overhead
from tests.benchmarks.verification import measure_verification

BENCHMARKS: dict[str, Callable[[Scale], list[Figure]]] = {
    "generation": measure_generation,
    "iteration": measure_iteration,
    "overhead": measure_overhead,
    "mixed": measure_mixed,
    "verification": measure_verification,
    "containment": measure_containment,
    "scan": measure_scan,
    "memory": measure_memory,
    "pool": measure_pool_training,
    "opening": measure_opening,
    "calibration": measure_calibration,
}


def main() -> None:
    """Run the named benchmarks, or all; a target that is missed is reported and is no failure."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="name", help=f"of {', '.join(BENCHMARKS)}; all by default")
    parser.add_argument(
        "--quick", action="store_true", help="small sizes: shows that everything works, measures nothing"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write the figures there")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(BENCHMARKS))
    if unknown:
        parser.error(f"there is no benchmark {', '.join(unknown)}; there are {', '.join(BENCHMARKS)}")
    figures: list[Figure] = []
    for name in options.names or BENCHMARKS:
        sys.stderr.write(f"measuring {name} ...\n")
        for figure in BENCHMARKS[name](Scale(quick=options.quick)):
            figures.append(figure)
            sys.stderr.write(f"  {figure.name}: {figure.value:.3f} ({figure.detail})\n")
    if options.json is not None:
        options.json.write_bytes(readable_json(figures))
    print_rows(["figure", "ratio#", "pairs#", "target#", "met", "detail"], [_row(figure) for figure in figures])


def _row(figure: Figure) -> tuple[str, ...]:
    digits = 1 if figure.value >= 10 else 3
    sign = "≥" if figure.at_least else "≤"
    low, high = figure.spread
    return (
        figure.name,
        f"{figure.value:.{digits}f}",
        f"{low:.{digits}f} … {high:.{digits}f}",
        "–" if figure.target is None else f"{sign} {figure.target:g}",
        {True: "yes", False: "no", None: "–"}[figure.met],
        figure.detail,
    )


if __name__ == "__main__":
    main()
