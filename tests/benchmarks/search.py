"""The search: examples per second against the report's loop, one iteration against a batched loop, and its overhead."""

import dataclasses
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats32
from cae_core.dataset import ImageSet
from cae_core.generation.run_state import RunState, start_run
from cae_core.generation.search import Search
from cae_core.generation.seeds import SeedQueue, rank_seeds
from cae_core.generation.settings import GenerationSettings
from cae_core.method.dropout import keep_mask
from cae_core.models import Ensemble, Precision, Pullback
from tests.benchmarks.baselines import BatchedLoop, Mask, report_example
from tests.benchmarks.figures import Figure, Scale, paired_seconds
from tests.benchmarks.pools import Modules, digits_32, make_modules

__all__ = ["Bench", "make_bench", "mask_of", "measure_generation", "measure_iteration", "measure_overhead"]

_PRECISIONS: tuple[Precision, ...] = ("float32", "bfloat16")


@dataclass(frozen=True)
class Bench:
    """Everything that both sides share.

    Attributes:
        modules: the models; `Modules.white_boxes` copies them, so that one side's changes do not reach the other.
        data: labelled images.
        queue: the seeds, in the order in which both sides take them.
        settings: of the generation: preset ``report-code`` with torch's form of Adam and a least margin, every seed
            searched to the end.
    """

    modules: Modules
    data: ImageSet
    queue: SeedQueue
    settings: GenerationSettings

    @property
    def seeds(self) -> NDArray[np.uint8]:
        """The seeds of one batch, uint8 (n, h, w, k)."""
        return self.data.images[self.queue.index]

    def search(self, precision: Precision) -> Search:
        """Return our search in this precision."""
        return Search.prepare(self.modules.pools(), self.data, dataclasses.replace(self.settings, precision=precision))

    def start(self, search: Search) -> RunState:
        """Return the state with the whole batch in it, before the first step."""
        return search.refill(start_run(self.queue, self.data.images.shape[1:]))


def make_bench(modules: Modules, *, images: int, iterations: int) -> Bench:
    """Take the ``images`` seeds that are nearest to another label, so that a good share of them is accepted."""
    data = digits_32("test")
    queue = rank_seeds(modules.pools(), data, ranking="screened", seed=0)
    first = SeedQueue(queue.index[:images], queue.original[:images], queue.wanted[:images], queue.source_accuracy)
    settings = GenerationSettings.from_preset(
        "report-code", batch=images, count=images + 1, iterations=iterations, min_margin=0.1, adam="paper"
    )
    return Bench(modules, data, first, settings)


def mask_of(bench: Bench) -> Mask:
    """Return the dropout masks by step."""
    surrogates, references = len(bench.modules.surrogates), len(bench.modules.references)
    settings = bench.settings
    return lambda step: keep_mask(
        seed=settings.seed, step=step, surrogates=surrogates, references=references, dropout=settings.dropout
    )


@cache
def _modules() -> Modules:
    return make_modules()


def measure_generation(scale: Scale) -> list[Figure]:
    """Examples per second of our generation against the report's loop, one image at a time."""
    bench = make_bench(_modules(), images=scale.pick(100, 10), iterations=scale.pick(100, 3))
    few = scale.pick(2, 1)
    baseline = _ReportSide(bench, few)
    ours = [_OurSide(bench, precision) for precision in _PRECISIONS]
    rounds = paired_seconds([baseline, *ours], scale.pick(3, 1), warm_up=False)
    return [
        Figure.of_pairs(
            f"generation, {side.precision}: examples/s over the report's loop",
            # seconds of the report's loop for one seed, over ours for one seed
            ((seconds[0] / few, seconds[place] / len(bench.queue)) for seconds in rounds),
            partial(_in_words, side, baseline, len(bench.queue)),
            target=50.0,
            at_least=True,
        )
        for place, side in enumerate(ours, start=1)
    ]


def _in_words(ours: "_OurSide", baseline: "_ReportSide", seeds: int, loop: float, own: float) -> str:
    same = sum(ours.accepted[i] == judged for i, judged in baseline.accepted.items())
    return (
        f"{loop:.2f} s against {own:.3f} s a seed; accepted {ours.accepted.sum()} of {seeds}; "
        f"same decision on {same} of {len(baseline.accepted)} seeds that both searched"
    )


class _ReportSide:
    """The report's loop on the next few seeds at each call."""

    def __init__(self, bench: Bench, few: int) -> None:
        for module in bench.modules.all:
            module.requires_grad_(requires_grad=True)
        self._bench, self._few = bench, few
        self.accepted: dict[int, bool] = {}

    def __call__(self) -> None:
        bench, first = self._bench, len(self.accepted)
        for i in range(first, first + self._few):
            original = int(bench.queue.original[i])
            _, self.accepted[i] = report_example(
                bench.modules,
                bench.seeds[i],
                original=original,
                truth=original,  # seeds are images that the source classifies correctly
                settings=bench.settings,
                mask=mask_of(bench),
            )


class _OurSide:
    """Our search and acceptance on the whole batch at each call, models prepared anew."""

    def __init__(self, bench: Bench, precision: Precision) -> None:
        self._bench = bench
        self.precision: Precision = precision
        self.accepted = np.zeros(len(bench.queue), np.bool_)

    def __call__(self) -> None:
        search = self._bench.search(self.precision)
        state = self._bench.start(search)
        while len(state.position):
            state = search.turn_over(search.step(state)[0])
        self.accepted[:] = False
        self.accepted[state.accepted.position] = True


def measure_iteration(scale: Scale) -> list[Figure]:
    """One step of our search against one of the batched loop: 100 images, all on the same masks."""
    bench = make_bench(_modules(), images=scale.pick(100, 10), iterations=10_000)
    mask = mask_of(bench)
    steps = [_Stepper(bench.search(precision), bench) for precision in _PRECISIONS]
    loop = BatchedLoop.start(bench.modules, bench.seeds, bench.queue.original, bench.settings)
    counter = iter(range(10_000))
    rounds = paired_seconds([lambda: loop.step(mask(next(counter))), *steps], scale.pick(15, 2))
    return [
        Figure.of_pairs(
            f"one iteration, {precision}: speed over a batched loop in float32",
            ((seconds[0], seconds[place]) for seconds in rounds),
            lambda loop, own: f"{1e3 * loop:.0f} ms against {1e3 * own:.0f} ms",
            target=target,
            at_least=True,
        )
        for place, (precision, target) in enumerate(zip(_PRECISIONS, (1.3, 2.0), strict=True), start=1)
    ]


class _Stepper:
    """One step of our search at each call."""

    def __init__(self, search: Search, bench: Bench) -> None:
        self._search, self._state = search, bench.start(search)

    def __call__(self) -> None:
        self._state, _ = self._search.step(self._state)


def measure_overhead(scale: Scale) -> list[Figure]:
    """The share of a step that is spent outside the models."""
    bench = make_bench(_modules(), images=scale.pick(100, 10), iterations=10_000)
    return [_overhead(bench, precision, scale.pick(15, 2)) for precision in _PRECISIONS]


def _overhead(bench: Bench, precision: Precision, repeats: int) -> Figure:
    search = bench.search(precision)
    timed = _Timed(search.searching)
    step = _Stepper(dataclasses.replace(search, searching=timed), bench)
    pairs: list[tuple[float, float]] = []
    for _ in range(repeats):
        timed.seconds = 0.0
        start = time.perf_counter()
        step()
        total = time.perf_counter() - start
        pairs.append((total - timed.seconds, total))
    return Figure.of_pairs(
        f"one iteration, {precision}: share outside the models",
        pairs[1:],
        lambda outside, whole: f"{1e3 * outside:.1f} ms of {1e3 * whole:.0f} ms",
        target=0.03,
    )


class _Timed:
    """An ensemble that adds up the time spent in it."""

    def __init__(self, ensemble: Ensemble) -> None:
        self._ensemble = ensemble
        self.seconds = 0.0

    def __len__(self) -> int:
        return len(self._ensemble)

    def vjp(self, images: Floats32, keep: NDArray[np.bool_]) -> tuple[Floats32, Pullback]:
        """See `Ensemble.vjp`."""
        with self._clock():
            logits, pullback = self._ensemble.vjp(images, keep)

        def timed_pullback(gradient: Floats32) -> Floats32:
            with self._clock():
                return pullback(gradient)

        return logits, timed_pullback

    @contextmanager
    def _clock(self) -> Iterator[None]:
        start = time.perf_counter()
        yield
        self.seconds += time.perf_counter() - start
