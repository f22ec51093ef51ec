"""Random ONNX graphs: does the white box answer as ONNX Runtime does, and are its gradients the answers' slopes?

    OMP_NUM_THREADS=1 python examples/operator_sweep.py --count 6000 --seed 0 --json sweep.json

Each graph is drawn from (seed, its number) alone, by `operator_graphs`: one operator, or two to four inside of a small
classifier, at a random opset, of random shapes, in one of several written forms. It is converted without the check at
the opening, and asked about two random images. Of every third graph the gradient is compared with central differences
of ONNX Runtime's own answers, one pixel at a time: a step that crosses a kink or a jump is outvoted by other pixels.
The exit code is 1 where anything differs or breaks.
"""

import argparse
import json
import re
import sys
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from cae_backends.onnxruntime.session import runtime_failures, shortened
from cae_backends.torch.network import FORWARD_ERRORS
from cae_backends.torch.onnx_import import convert_onnx
from cae_core.errors import CaeError
from operator_graphs import FAMILIES, FORMS, OPSETS, SHAPES, Sketch, Unfit, finished

__all__ = ["FAULTS", "OUTCOMES", "Outcome", "tried"]

FAULTS = ("DIFFERENT", "GRADIENT", "CRASH")
OUTCOMES = ("right", "refused", "refused at the first image", "not run by ONNX Runtime", "at a jump", *FAULTS)
"""In the order of the table.

At a jump, ONNX Runtime's own answer changes as much when the image changes by a rounding: nothing can be told from it.
"""

LARGEST_ANSWER = 200_000
"""Numbers in an answer; a graph that answers more is not tried."""

Answer = Callable[[NDArray[np.float32]], NDArray[np.float32]]


@dataclass(frozen=True)
class Outcome:
    """What became of one graph.

    Attributes:
        number: of the graph.
        opset: it was written at.
        form: how it was written.
        families: of its operators.
        kind: one of `OUTCOMES`.
        why: the reason of a refusal, or what was found.
        with_slopes: whether the gradient was compared.
    """

    number: int
    opset: int
    form: str
    families: tuple[str, ...]
    kind: str
    why: str = ""
    with_slopes: bool = False


def main() -> None:
    """Try the graphs, print the table and every fault."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--count", type=int, default=6000, help="graphs to try")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0, help="the number of the first graph")
    parser.add_argument("--json", type=Path, help="where to write what became of each graph")
    options = parser.parse_args()
    begin, outcomes = perf_counter(), []
    for number in range(options.first, options.first + options.count):
        outcomes.append(tried(options.seed, number))
        if outcomes[-1].kind in FAULTS:
            print(outcomes[-1], flush=True)
    if options.json:
        options.json.write_text(json.dumps([asdict(outcome) for outcome in outcomes], indent=1))
    print(table(outcomes))
    print(f"{len(outcomes)} graphs in {perf_counter() - begin:.0f} s")
    sys.exit(any(outcome.kind in FAULTS for outcome in outcomes))


def tried(seed: int, number: int) -> Outcome:
    """Draw one graph, and compare its white box with ONNX Runtime."""
    rng = np.random.default_rng([seed, number])
    sketch, families, failure = _drawn(rng)
    form = str(rng.choice(FORMS))
    x = rng.uniform(-1, 1, sketch.images).astype(np.float32)
    kind, why, with_slopes = "not run by ONNX Runtime", failure, False
    if not failure:
        kind, why, with_slopes = _compared(finished(sketch, form), x, rng, with_slopes=number % 3 == 0)
    return Outcome(number, sketch.opset, form, tuple(families), kind, why, with_slopes)


def _compared(
    proto: onnx.ModelProto, x: NDArray[np.float32], rng: np.random.Generator, *, with_slopes: bool
) -> tuple[str, str, bool]:
    """Return one of `OUTCOMES`, the reason, and whether the gradient was compared."""
    answer = _runtime(proto)
    expected = answer if isinstance(answer, str) else _asked(answer, x)
    if isinstance(answer, str) or isinstance(expected, str):
        return "not run by ONNX Runtime", str(expected), False
    images = torch.tensor(x, requires_grad=True)
    found = _opened(proto, images)
    if isinstance(found, tuple):
        return *found, False
    difference = _difference(found, expected)
    if difference and _jumps(answer, x, expected, rng):
        return "at a jump", difference, False
    if difference or not with_slopes or not np.isfinite(expected).all():
        return "DIFFERENT" if difference else "right", difference, False
    wrong = _wrong_slopes(answer, images, found, rng)
    return "GRADIENT" if wrong else "right", wrong, True


def _opened(proto: onnx.ModelProto, images: torch.Tensor) -> torch.Tensor | tuple[str, str]:
    """Return the white box's answer; or one of `OUTCOMES`, and why there is none."""
    try:
        module = convert_onnx(proto, origin="graph")
    except CaeError as error:
        return "refused", _reason(str(error))
    except Exception as error:  # noqa: BLE001 - whatever comes out is the finding
        return "CRASH", repr(error)[:300]
    try:
        answer: torch.Tensor = module(images)
    except FORWARD_ERRORS as error:  # which are mapped to a sentence where a model is opened
        return "refused at the first image", str(error).splitlines()[0][:200]
    return answer


def _drawn(rng: np.random.Generator) -> tuple[Sketch, list[str], str]:
    """Return a sketch, the names of its operators' families, and why ONNX Runtime does not run it, or ""."""
    shape = SHAPES[rng.integers(len(SHAPES))]
    sketch = Sketch(rng, OPSETS[rng.integers(len(OPSETS))], shape, shape)
    size = int(rng.choice((1, 1, 1, 2, 3, 4)))
    if size > 1:
        channels = int(rng.integers(2, 5))
        sketch.then("Conv", sketch.floats(channels, shape[1], 1, 1), sketch.floats(channels))
        sketch.shape = (shape[0], channels, *shape[2:])
    families: list[str] = []
    while len(families) < size:
        name = str(rng.choice(list(FAMILIES)))
        before = deepcopy((sketch.nodes, sketch.constants, sketch.value))
        try:
            FAMILIES[name](sketch)
        except Unfit:
            sketch.nodes, sketch.constants, sketch.value = before
            continue
        found = _measured(sketch)
        if isinstance(found, str):
            return sketch, [*families, name], found
        if not _fits(found, sketch, alone=size == 1):
            sketch.nodes, sketch.constants, sketch.value = before
            continue
        families.append(name)
        sketch.shape = found.shape
    if size > 1:
        sketch.then("Flatten")
        sketch.shape = (sketch.shape[0], int(np.prod(sketch.shape[1:])))
        sketch.then("Gemm", sketch.floats(sketch.shape[1], 5), sketch.floats(5))
    return sketch, families, ""


def _measured(sketch: Sketch) -> NDArray[np.float32] | str:
    """Return ONNX Runtime's answer to grey images, or why it does not answer."""
    answer = _runtime(finished(sketch))
    return _asked(answer, np.full(sketch.images, 0.5, np.float32)) if callable(answer) else answer


def _fits(found: NDArray[np.float32], sketch: Sketch, *, alone: bool) -> bool:
    """Whether the answer can be compared, or goes on to the next operator."""
    if not 0 < found.size <= LARGEST_ANSWER or not np.isfinite(found).all():
        return False
    return alone or (found.ndim > 1 and len(found) == sketch.images[0])


def _runtime(proto: onnx.ModelProto) -> Answer | str:
    """Return ONNX Runtime's answers as a function, or why it does not open the graph."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = 1
    try:
        session = onnxruntime.InferenceSession(proto.SerializeToString(), options, providers=["CPUExecutionProvider"])
    except runtime_failures() as error:
        return shortened(error)
    return lambda x: np.asarray(session.run(None, {"x": x})[0])


def _asked(answer: Answer, x: NDArray[np.float32]) -> NDArray[np.float32] | str:
    try:
        return answer(x)
    except runtime_failures() as error:
        return shortened(error)


def _reason(message: str) -> str:
    """Return the operator and the reason of a refusal."""
    found = re.search(r"operator (\w+) .*?\((?:[^()]*)\) (?:cannot.*?\((.*?)\)\. |has (.*?), which)", message)
    return f"{found[1]}: {found[2] or found[3]}" if found else message[:200]


def _difference(found: torch.Tensor, expected: NDArray[np.float32]) -> str:
    values = found.detach().numpy()
    if values.shape != expected.shape or values.dtype != expected.dtype:
        return f"{values.dtype} {values.shape} where ONNX Runtime has {expected.dtype} {expected.shape}"
    size = max(1.0, float(np.abs(expected[np.isfinite(expected)]).max(initial=0)))
    with np.errstate(invalid="ignore"):
        close = np.isclose(values, expected, rtol=1e-4, atol=2e-5 * size, equal_nan=True)
    return (
        ""
        if close.all()
        else f"{(~close).sum()} of {close.size} values, by up to {np.nanmax(np.abs(values - expected)):.2g}"
    )


def _jumps(answer: Answer, x: NDArray[np.float32], expected: NDArray[np.float32], rng: np.random.Generator) -> bool:
    """Whether ONNX Runtime's own answer changes where the images change by a few units of the last digit."""
    nudged = [answer(x + rng.uniform(-1e-6, 1e-6, x.shape).astype(np.float32)) for _ in range(8)]
    return any(_difference(torch.from_numpy(each), expected) for each in nudged)


def _wrong_slopes(answer: Answer, images: torch.Tensor, found: torch.Tensor, rng: np.random.Generator) -> str:
    """Return how many of ten pixels have another gradient than the answers' slope; "" where at most half have."""
    direction = rng.standard_normal(found.shape)
    gradient = np.zeros(images.shape)
    if found.requires_grad:
        upstream = torch.tensor(direction, dtype=found.dtype)
        (given,) = torch.autograd.grad(found, images, upstream, allow_unused=True)
        gradient = gradient if given is None else given.double().numpy()
    x = images.detach().numpy()
    pixels = [tuple(int(rng.integers(size)) for size in x.shape) for _ in range(10)]
    slopes = [[_slope(answer, x, pixel, direction, step) for step in (1e-2, 2e-3, 3e-4)] for pixel in pixels]
    wrong = [
        f"{pixel}: {gradient[pixel]:.4g} where the slope is {of_pixel[0][0]:.4g}"
        for pixel, of_pixel in zip(pixels, slopes, strict=True)
        if not any(abs(slope - gradient[pixel]) <= 0.03 * abs(slope) + noise for slope, noise in of_pixel)
    ]
    return f"{len(wrong)} of 10 pixels, {wrong[0]}" if len(wrong) > 5 else ""


def _slope(
    answer: Answer, x: NDArray[np.float32], pixel: Sequence[int], direction: NDArray[np.float64], step: float
) -> tuple[float, float]:
    """Return the central difference of <direction, answer> by one pixel, and what float32 can make of nothing."""
    ends = []
    for sign in (1, -1):
        moved = x.copy()
        moved[tuple(pixel)] += np.float32(sign * step)
        ends.append((answer(moved).astype(np.float64), float(moved[tuple(pixel)])))
    (after, high), (before, low) = ends
    noise = np.abs(direction * after)[after != before].sum() * 1e-6 / (high - low)
    return float((direction * (after - before)).sum() / (high - low)), float(noise) + 1e-6


def table(outcomes: Sequence[Outcome]) -> str:
    """Return the counts by kind of operator, and the reasons of refusals."""
    lines = [f"| operators | {' | '.join(OUTCOMES)} |", "| --- " * (1 + len(OUTCOMES)) + "|"]
    groups: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        name = outcome.families[0] if len(outcome.families) == 1 else f"{len(outcome.families)} in a classifier"
        groups.setdefault(name, []).append(outcome)
    for name, of_group in [*sorted(groups.items()), ("all", list(outcomes))]:
        counts = Counter(outcome.kind for outcome in of_group)
        lines.append(f"| {name.replace('_', ' ')} | {' | '.join(str(counts[kind]) for kind in OUTCOMES)} |")
    lines.append(f"\nOf {sum(outcome.with_slopes for outcome in outcomes)} graphs the gradient was compared.\n")
    for kind in OUTCOMES[1:5]:
        reasons = Counter(outcome.why for outcome in outcomes if outcome.kind == kind)
        lines += [f"- {kind}, {count}: {why}" for why, count in reasons.most_common(25)]
    return "\n".join(lines)


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.set_num_threads(1)
        main()
