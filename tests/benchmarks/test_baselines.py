"""The baselines compute what our code computes; how fast they are is measured elsewhere."""

import dataclasses
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from cae_core.files.records import as_json
from cae_core.method.objectives.composite import CompositeLoss
from cae_core.method.objectives.objective import Goal
from tests.benchmarks import minimal_verify
from tests.benchmarks.baselines import BatchedLoop, composite_loss, report_example
from tests.benchmarks.figures import Figure, Scale, paired_seconds
from tests.benchmarks.pools import make_modules
from tests.benchmarks.search import Bench, make_bench, mask_of

IMAGES, ITERATIONS = 6, 8


@pytest.fixture(scope="module")
def bench() -> Bench:
    made = make_bench(make_modules(blocks=1, width=4, images=256), images=IMAGES, iterations=ITERATIONS)
    # so few steps leave the seed's label only where they are large
    return dataclasses.replace(made, settings=dataclasses.replace(made.settings, learning_rate=0.02, tau=0.5))


def test_losses_and_gradients_are_the_same() -> None:
    random = np.random.default_rng(0)
    logits = 4 * random.standard_normal((7, 20, 10))
    original = random.integers(0, 10, 20)
    ours = CompositeLoss(target="source", keras_clipping=True)(
        logits[0], logits[1:4], logits[4:], Goal(original, original)
    )

    z = torch.tensor(logits, requires_grad=True)
    p = z.softmax(2)
    losses = composite_loss(p[0], p[1:4].mean(0), p[4:].mean(0), torch.tensor(original))
    (gradient,) = torch.autograd.grad(losses.sum(), z)
    np.testing.assert_allclose(losses.detach().numpy(), ours.value, atol=1e-9)
    np.testing.assert_allclose(gradient.numpy(), ours.stacked(), atol=1e-9)


@pytest.mark.long
def test_batched_loop_follows_our_search(bench: Bench) -> None:
    search = bench.search("float32")
    state = bench.start(search)
    mask = mask_of(bench)
    loop = BatchedLoop.start(bench.modules, bench.seeds, bench.queue.original, bench.settings)
    assert {tuple(mask(step)) for step in range(ITERATIONS)} != {(True,) * 8}  # some are dropped
    for step in range(ITERATIONS):
        moved, values = search.step(state)
        np.testing.assert_allclose(loop.step(mask(step)).numpy(), values, atol=1e-2)
        if step == 0:
            np.testing.assert_allclose(_images(loop), moved.images, atol=1e-4)
        state = moved
    assert np.mean(np.abs(_images(loop) - state.images) < 1e-3) > 0.99
    levels, accepted = loop.finish(bench.queue.original, bench.settings)
    ours = search.turn_over(state).accepted
    assert np.flatnonzero(accepted.numpy()).tolist() == ours.position.tolist()
    assert 0 < len(ours) < IMAGES  # both answers occur
    assert np.mean(np.abs(levels[ours.position].astype(int) - ours.images) <= 1) > 0.99


@pytest.mark.long
def test_report_loop_reaches_our_images(bench: Bench) -> None:
    search = bench.search("float32")
    state = bench.start(search)
    for _ in range(ITERATIONS):
        state, _ = search.step(state)
    ours = search.turn_over(state).accepted
    for i in range(IMAGES):
        original = int(bench.queue.original[i])
        image, accepted = report_example(
            bench.modules,
            bench.seeds[i],
            original=original,
            truth=original,
            settings=bench.settings,
            mask=mask_of(bench),
        )
        assert accepted == (i in ours.position)
        levels = search.ball.quantise(state.images[i : i + 1], bench.seeds[i : i + 1])[0]
        assert np.mean(np.abs(image.astype(int) - levels) <= 1) > 0.99


@pytest.mark.long
def test_minimal_script_gives_the_models_labels(bench: Bench, tmp_path: Path) -> None:
    from cae_converters.torch_to_onnx import export_torch
    from tests.benchmarks.pools import CONTRACT

    export_torch(bench.modules.source, tmp_path / "m.onnx", contract=CONTRACT, image_shape=(32, 32, 3))
    np.save(tmp_path / "images.npy", bench.seeds)
    command = [sys.executable, minimal_verify.__file__, str(tmp_path / "m.onnx"), str(tmp_path / "images.npy")]
    labels = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["labels"]
    assert labels == bench.queue.original.tolist()


def test_figures() -> None:
    figure = Figure(name="f", value=1.2, spread=(1.0, 1.5), target=1.3, at_least=True, detail="")
    assert figure.met is False
    assert dataclasses.replace(figure, at_least=False).met is True
    assert as_json(dataclasses.replace(figure, target=None))["met"] is None
    assert Scale(quick=True).pick(100, 10) == 10
    calls: list[str] = []
    assert len(paired_seconds([lambda: calls.append("a"), lambda: calls.append("b")], 2)) == 2
    assert calls == ["a", "b"] * 3  # the first round warms up


def _images(loop: BatchedLoop) -> np.typing.NDArray[np.float32]:
    return (loop.seeds + loop.delta.detach()).permute(0, 2, 3, 1).numpy()
