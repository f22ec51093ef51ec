"""Training of pools: the same seed gives the same weights, thieves learn what the source says, runs resume."""

import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable
from concurrent.futures import BrokenExecutor, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cae_backends.training import kinds
from cae_backends.training.architectures import ARCHITECTURES, build
from cae_backends.training.fitting import accuracy, answers, fit, to_tensor
from cae_backends.training.jobs import ESTIMATOR_KIND, KINDS, Optimizer, PoolJob, Recipe, check_jobs
from cae_backends.training.pool_jobs import PoolData, train_pool
from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.errors import CaeError, DataError, ModelError, OptionError, PoolError
from cae_core.pool import read_pool

SHAPE = (8, 8, 1)
SHORT = Recipe(epochs=2, batch_size=16)
EVERYTHING = Recipe(epochs=2, batch_size=16, shift=1, mix=0.4, noise=0.1, temperature=2.0, weight_decay=1e-3, share=0.8)


def blobs(count: int = 60, seed: int = 0) -> ImageSet:
    """Four classes: a bright quadrant on noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    images = rng.integers(0, 90, (count, *SHAPE))
    for image, label in zip(images, labels, strict=True):
        image[4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 150
    return ImageSet(images.astype(np.uint8), labels.astype(np.int64), tuple("abcd"))


def setup(recipe: Recipe = SHORT, *, seed: int = 1, architecture: str = "cnn-small") -> kinds.Setup:
    return kinds.Setup(data=blobs(), architecture=architecture, seed=seed, recipe=recipe)


@pytest.fixture(scope="module")
def source() -> nn.Module:
    return kinds.independent(setup(Recipe(epochs=6, batch_size=16), seed=5))


def same_weights(a: nn.Module, b: nn.Module) -> bool:
    pairs = zip(a.state_dict().values(), b.state_dict().values(), strict=True)
    return all(torch.equal(x, y) for x, y in pairs)


class Recorder(nn.Module):
    """Passes everything on and keeps what it has seen."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images.clone())
        logits: Tensor = self.inner(images)
        return logits


class Negative(nn.Module):
    """A source with an opinion of its own: what `inner` answers for the negative image."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, images: Tensor) -> Tensor:
        logits: Tensor = self.inner(1 - images)
        return logits


class TestArchitectures:
    @pytest.mark.parametrize("name", ARCHITECTURES)
    @pytest.mark.parametrize("shape", [(8, 8, 1), (9, 13, 3), (32, 32, 3)])
    def test_answers_one_logit_per_class(self, name: str, shape: tuple[int, int, int]) -> None:
        h, w, k = shape
        module = build(name, image_shape=shape, classes=7, seed=0).eval()
        assert module(torch.rand(3, k, h, w)).shape == (3, 7)

    def test_seed_decides_and_global_state_stays(self) -> None:
        state = torch.random.get_rng_state()
        made = [build("mlp", image_shape=SHAPE, classes=4, seed=seed) for seed in (0, 0, 1)]
        assert same_weights(made[0], made[1])
        assert not same_weights(made[0], made[2])
        assert torch.equal(state, torch.random.get_rng_state())

    @pytest.mark.parametrize(("name", "shape"), [("vgg", SHAPE), ("mlp", (2, 8, 1))])
    def test_refuses(self, name: str, shape: tuple[int, int, int]) -> None:
        with pytest.raises(OptionError, match=r"vgg|4x4"):
            build(name, image_shape=shape, classes=4, seed=0)


class TestFit:
    @pytest.mark.parametrize("recipe", [SHORT, EVERYTHING, replace(EVERYTHING, optimizer="sgd", schedule="constant")])
    def test_same_seed_same_weights(self, recipe: Recipe) -> None:
        state, threads = torch.random.get_rng_state(), torch.get_num_threads()
        first, second = kinds.independent(setup(recipe)), kinds.independent(setup(recipe))
        assert same_weights(first, second)
        assert not same_weights(first, kinds.independent(setup(recipe, seed=2)))
        assert torch.equal(state, torch.random.get_rng_state())
        assert torch.get_num_threads() == threads

    @pytest.mark.parametrize("optimizer", ["adam", "sgd"])
    def test_learns(self, optimizer: Optimizer) -> None:
        recipe = Recipe(epochs=8, batch_size=16, optimizer=optimizer, learning_rate=0.02)
        assert accuracy(kinds.independent(setup(recipe)), blobs(seed=9)) > 0.95

    def test_every_image_is_seen_once_an_epoch(self) -> None:
        student = Recorder(build("mlp", image_shape=SHAPE, classes=4, seed=0))
        images = to_tensor(blobs(50))
        fit(student, images, torch.zeros(50, dtype=torch.int64), Recipe(epochs=1, batch_size=16), seed=0)
        assert [len(x) for x in student.seen] == [13, 13, 12, 12]
        assert torch.equal(torch.cat(student.seen).flatten(1).sort(0).values, images.flatten(1).sort(0).values)

    def test_shift_moves_by_up_to_one_pixel_and_zeros_move_in(self) -> None:
        point = torch.zeros(200, 1, 8, 8)
        point[:, :, 4, 4] = 1
        student = Recorder(build("mlp", image_shape=SHAPE, classes=4, seed=0))
        fit(student, point, torch.zeros(200, dtype=torch.int64), Recipe(epochs=1, shift=1), seed=0)
        seen = torch.cat(student.seen)
        assert (seen.sum((1, 2, 3)) == 1).all()
        assert {tuple(place) for place in seen[:, 0].nonzero()[:, 1:].tolist()} == {
            (y, x) for y in (3, 4, 5) for x in (3, 4, 5)
        }

    def test_one_step_of_gradient_descent(self) -> None:
        """The oracle: T² times the cross-entropy at temperature T, by hand, for one linear layer."""
        torch.manual_seed(0)
        linear, heat = nn.Linear(64, 4, bias=False), 3.0
        x, target, before = torch.rand(10, 1, 8, 8), torch.rand(10, 4).softmax(1), linear.weight.detach().clone()
        p = (x.flatten(1) @ before.T / heat).softmax(1)
        expected = before - 0.1 * heat * (p - target).T @ x.flatten(1) / 10
        recipe = Recipe(epochs=1, optimizer="sgd", learning_rate=0.1, schedule="constant", temperature=heat)
        fit(nn.Sequential(nn.Flatten(), linear), x, target, recipe, seed=0)
        torch.testing.assert_close(linear.weight.detach(), expected)

    def test_divergence_is_reported(self) -> None:
        with pytest.raises(ModelError, match="diverged"):
            kinds.independent(setup(Recipe(epochs=9, learning_rate=1e30, optimizer="sgd")))

    @pytest.mark.parametrize("count", [0, 5])
    def test_refuses_targets_that_are_not_aligned(self, count: int) -> None:
        with pytest.raises(DataError, match="as many targets"):
            fit(nn.Identity(), torch.zeros(count, 1, 8, 8), torch.zeros(4), SHORT, seed=0)


class TestThieves:
    @pytest.mark.parametrize(
        ("derive", "reading"),
        [
            (kinds.retrained_on_labels, lambda z: z.argmax(1)),
            (kinds.retrained_on_probabilities, lambda z: z.softmax(1)),
            (kinds.distilled, lambda z: (z / 2).softmax(1)),
        ],
    )
    @pytest.mark.parametrize("shift", [0, 1])
    def test_targets_are_the_sources_answers_to_the_images_trained_on(
        self,
        derive: kinds.Derivation,
        reading: Callable[[Tensor], Tensor],
        shift: int,
        source: nn.Module,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """Checked step by step: what the student sees, and what it is told about it."""
        told: list[Tensor] = []
        student = Recorder(build("mlp", image_shape=SHAPE, classes=4, seed=0))
        monkeypatch.setattr(kinds.Setup, "fresh", lambda _: student)
        loss = nn.functional.cross_entropy

        def spy(logits: Tensor, target: Tensor) -> Tensor:
            told.append(target)
            return loss(logits, target)

        monkeypatch.setattr(nn.functional, "cross_entropy", spy)
        derive(source, setup(Recipe(epochs=2, batch_size=16, shift=shift, temperature=2.0, share=0.7)))
        assert len(told) == len(student.seen) == 6
        for images, targets in zip(student.seen, told, strict=True):
            torch.testing.assert_close(targets, reading(answers(source, images)))

    def test_learns_the_source_and_not_the_truth(self, source: nn.Module) -> None:
        contrary = Negative(source)
        stolen = kinds.retrained_on_labels(contrary, setup(Recipe(epochs=12, batch_size=16)))
        images = to_tensor(blobs())
        agreement = (answers(stolen, images).argmax(1) == answers(contrary, images).argmax(1)).float().mean()
        assert agreement > 0.9
        assert accuracy(stolen, blobs()) < 0.6

    @pytest.mark.parametrize("kind", kinds.SURROGATES)
    def test_the_source_stays_as_it_is(self, kind: str, source: nn.Module) -> None:
        before = {name: value.clone() for name, value in source.state_dict().items()}
        made = kinds.SURROGATES[kind](source, setup(EVERYTHING))
        assert all(torch.equal(value, before[name]) for name, value in source.state_dict().items())
        assert not source.training
        assert not made.training
        assert not same_weights(made, source)

    @pytest.mark.parametrize("optimizer", ["adam", "sgd"])
    def test_pruned_weights_stay_zero_while_the_others_learn(self, optimizer: Optimizer, source: nn.Module) -> None:
        recipe = replace(EVERYTHING, optimizer=optimizer, sparsity=0.75, learning_rate=1e-3)
        module = kinds.pruned(source, setup(recipe))
        for weight, original in zip(kinds.weights_of(module), kinds.weights_of(source), strict=True):
            zero = weight == 0
            assert int(zero.sum()) == round(0.75 * weight.numel())
            assert original[zero].abs().max() <= original[~zero].abs().min()
            assert not torch.equal(weight[~zero], original[~zero])
            assert not weight._backward_hooks

    def test_8_bit_weights_lie_on_a_grid(self, source: nn.Module) -> None:
        module = kinds.eight_bit(source, setup())
        for weight, original in zip(kinds.weights_of(module), kinds.weights_of(source), strict=True):
            rows, step = weight.detach().flatten(1), original.detach().flatten(1).abs().amax(1, keepdim=True) / 127
            levels = rows / step
            torch.testing.assert_close(levels, levels.round(), atol=1e-4, rtol=0)
            assert levels.abs().max() <= 127.001
            assert ((rows - original.detach().flatten(1)).abs() <= step * 0.5001).all()

    def test_share_takes_a_random_part(self) -> None:
        part = setup(Recipe(share=0.5)).portion()
        assert len(part) == 30
        other = setup(Recipe(share=0.5), seed=2).portion()
        assert part.sha256() != other.sha256()
        assert setup().portion().sha256() == blobs().sha256()


def job(name: str, kind: str = "independent", **changes: Any) -> PoolJob:  # noqa: ANN401
    parent = "source" if KINDS[kind] == "surrogate" else ""
    role = "source" if kind == "source" else "test"
    fields: dict[str, Any] = {"role": role, "architecture": "mlp", "seed": len(name), "parent": parent, "recipe": SHORT}
    return PoolJob(name=name, kind=kind, **(fields | changes))


JOBS = [
    job("pruned", "pruned"),  # before its parent: the order of the list is the manifest's, not the execution's
    job("source", "source"),
    job("grandchild", "fine-tuned", parent="stolen"),
    job("stolen", "soft labels", seed=4),
    job("other"),
]
DATA = PoolData(blobs(), blobs(20, seed=1))


class Exporter:
    """Writes a stand-in for a model file, counts, and fails for the names that it is told."""

    def __init__(self, *failing: str) -> None:
        self.failing = failing
        self.written: list[str] = []

    def __call__(self, module: nn.Module, path: Path, contract: Contract, image_shape: tuple[int, int, int]) -> None:
        name = path.stem.partition("-")[2]  # the file is temporary and has its process in front
        if name in self.failing:
            message = f"cannot write {name}"
            raise ValueError(message)
        assert (image_shape, contract.layout, contract.size) == (SHAPE, "NCHW", (8, 8))
        self.written.append(name)
        path.write_bytes(b"".join(value.numpy().tobytes() for value in module.state_dict().values()))


def train(folder: Path, export: Exporter, jobs: list[PoolJob] = JOBS, data: PoolData = DATA, **options: Any) -> Path:  # noqa: ANN401
    with ThreadPoolExecutor(1) as executor:
        return train_pool(jobs, data, folder, export=export, executor=executor, workers=1, **options)


class TestTrainPool:
    def test_manifest(self, tmp_path: Path) -> None:
        told: list[tuple[int, int, str]] = []
        manifest = train(tmp_path / "new", Exporter(), progress=lambda *event: told.append(event))
        pool = read_pool(manifest)
        assert [member.name for member in pool.members] == [job.name for job in JOBS]
        assert [event[:2] for event in told] == [(number, 5) for number in range(6)]
        for member, made in zip(pool.members, JOBS, strict=True):
            found = (member.role, member.relation, member.kind, member.architecture, member.parent, member.seed)
            assert found == (made.role, made.relation, made.kind, made.architecture, made.parent, made.seed)
            assert member.digest() == member.sha256
            assert 0 <= (member.accuracy or -1) <= 1
            assert member.contract == Contract(
                layout="NCHW", range=(0.0, 1.0), output="logits", channels="GRAY", size=(8, 8)
            )

    def test_second_run_retrains_nothing(self, tmp_path: Path) -> None:
        first, second = Exporter(), Exporter()
        before = train(tmp_path, first).read_text()
        assert sorted(first.written) == sorted(job.name for job in JOBS)
        assert train(tmp_path, second).read_text() == before
        assert second.written == []

    @pytest.mark.parametrize(
        ("changed", "again"),
        [
            ("other", {"other"}),
            ("stolen", {"stolen", "grandchild"}),
            ("source", {"source", "pruned", "stolen", "grandchild"}),
        ],
    )
    def test_a_changed_job_is_done_again_with_what_derives_from_it(
        self, changed: str, again: set[str], tmp_path: Path
    ) -> None:
        train(tmp_path, Exporter())
        export = Exporter()
        train(tmp_path, export, [replace(job, seed=99) if job.name == changed else job for job in JOBS])
        assert set(export.written) == again

    def test_other_data_or_a_damaged_file_are_noticed(self, tmp_path: Path) -> None:
        train(tmp_path, Exporter())
        (tmp_path / "test" / "other.onnx").write_bytes(b"damaged")
        (tmp_path / "state" / "pruned.json").write_text("{")
        export = Exporter()
        train(tmp_path, export)
        assert set(export.written) == {"other", "pruned"}
        train(tmp_path, export, data=PoolData(blobs(seed=3), DATA.test))
        assert len(export.written) == 2 + len(JOBS)

    def test_a_failure_stops_only_what_depends_on_it(self, tmp_path: Path) -> None:
        with pytest.raises(PoolError, match=r"(?s)2 of 5 jobs.*stolen: ValueError: cannot write stolen") as caught:
            train(tmp_path, Exporter("stolen"))
        assert "grandchild: its parent stolen failed" in str(caught.value)
        assert isinstance(caught.value.__cause__, ValueError)
        assert not (tmp_path / "pool.toml").exists()
        assert not list(tmp_path.rglob(".*"))
        export = Exporter()
        train(tmp_path, export)
        assert export.written == ["stolen", "grandchild"]

    def test_dead_workers_end_the_run_with_a_list(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def submit(*_: object) -> None:
            raise BrokenExecutor("all are dead")

        monkeypatch.setattr(ThreadPoolExecutor, "submit", submit)
        with pytest.raises(PoolError, match=r"(?s)5 of 5 jobs.*source: BrokenExecutor: all are dead"):
            train(tmp_path, Exporter())

    def test_estimator(self, tmp_path: Path) -> None:
        def export_estimator(estimator: Any, path: Path, image_shape: tuple[int, int, int]) -> None:  # noqa: ANN401
            assert (estimator.n_features_in_, image_shape) == (64, SHAPE)
            path.write_bytes(b"estimator")

        jobs = [job("source", "source"), job("forest", ESTIMATOR_KIND, architecture="svc-rbf")]
        pool = read_pool(train(tmp_path, Exporter(), jobs, export_estimator=export_estimator))
        assert pool.members[1].contract is None  # the file says it
        assert (pool.members[1].accuracy or 0) > 0.9
        with pytest.raises(CaeError, match="needs an exporter"):
            train(tmp_path / "without", Exporter(), jobs)


class TestCheckJobs:
    @pytest.mark.parametrize(
        ("jobs", "message"),
        [
            ([job("a")], "exactly one source"),
            ([job("source", "source"), job("source")], "same name"),
            ([job("source", "source"), job("a", "pruned", parent="b")], "no neural network"),
            ([job("source", "source"), job("b"), job("a", "pruned", parent="b")], "is a reference"),
            ([job("source", "source"), job("a", "pruned", architecture="cnn-small")], "keeps its parent's"),
            ([job("source", "source"), job("a", "other architecture")], "has its parent's"),
            (
                [job("source", "source"), job("a", "pruned", role="screen"), job("b", "pruned", parent="a")],
                "roles must not mix",
            ),
            ([job("source", "source"), job("a", "pruned", parent="b"), job("b", "pruned", parent="a")], "circle"),
        ],
    )
    def test_refuses(self, jobs: list[PoolJob], message: str) -> None:
        with pytest.raises(PoolError, match=message):
            check_jobs(jobs)

    @pytest.mark.parametrize("changes", [{"name": "../x"}, {"parent": "source"}, {"role": "source"}])
    def test_refuses_a_job(self, changes: dict[str, Any]) -> None:
        with pytest.raises(PoolError):
            replace(job("a"), **changes)
        with pytest.raises(PoolError, match="unknown kind"):
            replace(job("a"), kind="magic")

    @pytest.mark.parametrize(
        "changes",
        [{"epochs": 0}, {"learning_rate": 0.0}, {"share": 0.0}, {"mix": 2.0}, {"sparsity": 1.0}, {"shift": -1}],
    )
    def test_refuses_a_recipe(self, changes: dict[str, Any]) -> None:
        with pytest.raises(OptionError):
            Recipe(**changes)


RUNNER = """
    import sys, time
    from pathlib import Path
    import numpy as np
    from cae_backends.training.jobs import PoolJob, Recipe
    from cae_backends.training.pool_jobs import PoolData, train_pool
    from cae_core.dataset import ImageSet

    folder = Path(sys.argv[1])

    def export(module, path, contract, image_shape):
        with (folder / "written").open("a") as log:
            print(path.stem.partition("-")[2], file=log)
        path.write_bytes(path.name.encode())

    if __name__ == "__main__":
        labels = np.arange(20) % 4
        data = ImageSet(np.full((8, 8, 1, 20), labels * 60, np.uint8).transpose(3, 0, 1, 2), labels, tuple("abcd"))
        short = Recipe(epochs=1)
        last = Recipe(epochs=10**7) if "endless" in sys.argv else short
        common = {"architecture": "mlp", "seed": 0}
        jobs = [
            PoolJob(name="source", role="source", kind="source", recipe=short, **common),
            PoolJob(name="b", role="test", kind="independent", recipe=last, **common),
        ]
        print("manifest", train_pool(jobs, PoolData(data, data), folder, export=export, workers=1,
                                     progress=lambda *event: print(*event, flush=True)))
"""


def start(folder: Path, *options: str) -> subprocess.Popen[str]:
    script = folder / "runner.py"
    script.write_text(textwrap.dedent(RUNNER))
    command = [sys.executable, str(script), str(folder), *options]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_stopped_runs_leave_no_workers_and_are_completed_by_the_next(number: signal.Signals, tmp_path: Path) -> None:
    with start(tmp_path, "endless") as stopped:
        assert stopped.stdout is not None
        assert [stopped.stdout.readline() for _ in range(2)] == ["0 2 \n", "1 2 source\n"]
        stopped.send_signal(number)
        # The pipes end only once the workers, which inherited them, are gone too.
        output, errors = stopped.communicate(timeout=30)
    assert output == ""
    assert ("KeyboardInterrupt" in errors) == (number == signal.SIGINT)
    assert not (tmp_path / "pool.toml").exists()
    with start(tmp_path) as again:
        output, errors = again.communicate(timeout=60)
    assert errors == ""
    assert output.splitlines() == ["0 2 ", "1 2 source", "2 2 b", f"manifest {tmp_path / 'pool.toml'}"]
    assert (tmp_path / "written").read_text().split() == ["source", "b"]
