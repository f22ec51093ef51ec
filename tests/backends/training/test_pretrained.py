"""Pretrained weights in plans: they reach the networks, the manifest says so, and what is wrong is one sentence."""

import shutil
import textwrap
import urllib.error
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cae_backends.architectures.options import Scaling
from cae_backends.execution.executor import this_process
from cae_backends.tensorflow.runtime import load_keras
from cae_backends.training.job_runner import Task, run_task
from cae_backends.training.jobs import PoolJob, ancestor_of
from cae_backends.training.plans import read_plan
from cae_backends.training.pool_jobs import train_pool
from cae_backends.training.pool_store import PoolData
from cae_backends.training.pretrained import Pretrained
from cae_backends.training.recipe import Recipe
from cae_backends.training.trainers import EXPORTER_GROUP, Network, find_trainer
from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.errors import ModelError, OptionError, PoolError
from cae_core.files.digests import sha256_of_file
from cae_core.pool.manifest import read_pool
from tests.backends.installing import install

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (32, 32, 3)
FILES = {"torch": "backbone.pth", "keras": "backbone.weights.h5"}
STILL = Recipe(epochs=1, batch_size=8, learning_rate=1e-12)
"""The weights stay where they start, but for the statistics of batch norms."""


def noise(count: int, seed: int) -> ImageSet:
    images = np.random.default_rng(seed).integers(0, 256, (count, *SHAPE), dtype=np.uint8)
    return ImageSet(images, np.arange(count, dtype=np.int64) % 4, tuple("abcd"))


DATA = PoolData(noise(16, 0), noise(8, 1))


@pytest.fixture(scope="module")
def backbones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights of MobileNetV2 for each framework, as users write them."""
    from torchvision import models

    folder = tmp_path_factory.mktemp("backbones")
    torch.save(models.mobilenet_v2(weights=None).state_dict(), folder / FILES["torch"])
    base = load_keras().applications.MobileNetV2(include_top=False, weights=None, input_shape=SHAPE, pooling="avg")
    with warnings.catch_warnings():  # Keras' own, of NumPy 2
        warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
        base.save_weights(folder / FILES["keras"])
    return folder


def first_kernel(path: Path) -> Any:  # noqa: ANN401 - an array
    if path.suffix == ".pth":
        return torch.load(path, weights_only=True)["features.0.0.weight"].numpy()
    base = load_keras().applications.MobileNetV2(include_top=False, weights=None, input_shape=SHAPE, pooling="avg")
    base.load_weights(path)
    return base.get_layer("Conv1").get_weights()[0]


def built(trainer: str, architecture: str = "mobilenetv2", *, channels: int = 3, weights: Any = None) -> Network:  # noqa: ANN401 - also what is refused
    return find_trainer(trainer).build(
        architecture,
        image_shape=(32, 32, channels),
        classes=4,
        seed=0,
        scaling=Scaling.fixed(channels),
        device="cpu",
        weights=weights,
    )


def job(name: str, kind: str = "independent", architecture: str = "mobilenetv2", **changes: Any) -> PoolJob:  # noqa: ANN401
    role: Any = "source" if kind == "source" else "test"
    return PoolJob(name=name, role=role, kind=kind, architecture=architecture, seed=len(name), recipe=STILL, **changes)


def from_file(path: Path) -> Pretrained:
    return Pretrained(ancestor=path.stem, path=path, sha256=sha256_of_file(path))


def export(model: Any, path: Path, contract: Contract, image_shape: tuple[int, int, int]) -> None:  # noqa: ANN401
    """Write the weights, as arrays by name."""
    arrays = (
        {name: value.numpy() for name, value in model.state_dict().items()}
        if isinstance(model, torch.nn.Module)
        else {variable.path.replace("/", "."): np.array(variable.numpy()) for variable in model.weights}
    )
    with path.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


@pytest.fixture(autouse=True)
def exporters(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch, {EXPORTER_GROUP: dict.fromkeys(("torch", "keras"), f"{__name__}:export")})


def train(manifest: Path, jobs: Sequence[PoolJob]) -> None:
    train_pool(jobs, DATA, manifest, crew=this_process())


class TestTrainers:
    @pytest.mark.parametrize("trainer", FILES)
    def test_the_backbone_starts_from_the_file(self, trainer: str, backbones: Path) -> None:
        path = backbones / FILES[trainer]
        kernel, fresh = first_kernel(path), built(trainer).weights()
        loaded = built(trainer, weights=path).weights()
        assert any(np.array_equal(value, kernel) for value in loaded.values())
        assert not any(np.array_equal(value, kernel) for value in fresh.values())
        assert {name: value.shape for name, value in loaded.items()} == {n: v.shape for n, v in fresh.items()}

    @pytest.mark.parametrize("trainer", FILES)
    def test_published_ones_are_of_known_architectures(self, trainer: str) -> None:
        found = find_trainer(trainer)
        own = {"efficientnet-lite0"} if trainer == "torch" else set[str]()
        assert set(found.pretrained) == {"resnet50v1", "mobilenetv2", "densenet121-top"} | own
        assert set(found.pretrained) < set(found.architectures)

    @pytest.mark.parametrize("trainer", FILES)
    @pytest.mark.parametrize("weights", ["imagenet", Path("x.pth")])
    def test_refuses(self, trainer: str, weights: object) -> None:
        for architecture in ("mlp", "resnet20v1"):
            with pytest.raises(OptionError, match=f"published weights of {architecture}: leave them out"):
                built(trainer, architecture, weights=weights)
        with pytest.raises(OptionError, match="3 channels; found 1"):
            built(trainer, channels=1, weights=weights)


class TestPools:
    def test_weights_of_a_file(self, backbones: Path, tmp_path: Path) -> None:
        path = tmp_path / "own.pth"
        shutil.copy(backbones / FILES["torch"], path)
        jobs = [
            job("source", "source", weights=from_file(path)),
            job("tuned", "fine-tuned", parent="source"),
            job("grandchild", "8-bit weights", parent="tuned"),
            job("thief", "hard labels", "mlp", parent="source"),
            job("other", weights=from_file(path)),
        ]
        manifest = tmp_path / "pool.toml"
        train(manifest, jobs)
        members = {member.name: member for member in read_pool(manifest).members}
        descended = {name: member.ancestor for name, member in members.items()}
        assert descended == {"source": "own", "tuned": "own", "grandchild": "own", "thief": "", "other": "own"}
        kernel = first_kernel(path)
        for name in ("source", "tuned", "other"):
            with np.load(members[name].path) as arrays:
                np.testing.assert_allclose(arrays["1.features.0.0.weight"], kernel, rtol=0, atol=1e-7)
        moved = path.rename(tmp_path / "moved.pth")
        before = members["source"].path.stat().st_mtime_ns
        train(manifest, [*jobs[1:4], job("source", "source", weights=from_file(moved))])
        assert members["source"].path.stat().st_mtime_ns == before
        assert read_pool(manifest).source.ancestor == "moved"

    def test_a_thiefs_weights_are_not_its_parents(self, backbones: Path, tmp_path: Path) -> None:
        weights = from_file(backbones / FILES["torch"])
        jobs = [job("source", "source", "mlp"), job("thief", "soft labels", parent="source", weights=weights)]
        train(tmp_path / "pool.toml", jobs)
        assert [member.ancestor for member in read_pool(tmp_path / "pool.toml").members] == ["", "backbone"]

    def test_a_changed_file_stops_its_own_job_alone(self, backbones: Path, tmp_path: Path) -> None:
        path = tmp_path / "own.pth"
        shutil.copy(backbones / FILES["torch"], path)
        jobs = [job("source", "source", "mlp"), job("other", weights=from_file(path))]
        path.write_bytes(b"changed")
        with pytest.raises(
            PoolError, match=r"(?s)1 of 2 jobs failed.*other: .*own\.pth: the file of weights has changed"
        ):
            train(tmp_path / "pool.toml", jobs)
        assert (tmp_path / "source" / "source.onnx").exists()

    @pytest.mark.parametrize(
        ("architecture", "message"),
        [
            ("mobilenetv2", "the file holds more than tensors"),
            ("densenet121-top", "not the weights of torchvision's densenet121"),
        ],
    )
    def test_another_machine_has_no_such_file_and_still_names_it(
        self, architecture: str, message: str, backbones: Path
    ) -> None:
        content = b"broken" if architecture == "mobilenetv2" else (backbones / FILES["torch"]).read_bytes()
        weights = Pretrained(ancestor="gone", path=Path("far/away/gone.pth"), sha256="ab")
        task = Task(
            job=job("source", "source", architecture, weights=weights),
            parent=None,
            device="cpu",
            keep_weights=False,
            weights=content,
        )
        with pytest.raises(ModelError, match=rf"^far/away/gone\.pth: .*{message}"):
            run_task(task, DATA)

    @pytest.mark.parametrize(
        ("trainer", "function", "file"),
        [
            ("torch", "torch.hub.download_url_to_file", "mobilenet_v2-b0353104.pth"),
            ("keras", "keras.src.utils.file_utils.urlretrieve", "mobilenet_v2_weights_.*_no_top.h5"),
        ],
    )
    def test_without_a_network(
        self, trainer: str, function: str, file: str, caches: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def unreachable(*_: object, **__: object) -> None:
            raise urllib.error.URLError("no route to host")

        monkeypatch.setattr(function, unreachable)
        published = Pretrained(ancestor="ImageNet")
        jobs = [job("source", "source", trainer=trainer, weights=published), job("other", architecture="mlp")]
        message = (
            rf"source: The ImageNet weights of mobilenetv2 .*no route.* fetch {file} elsewhere and give its path as w"
        )
        with pytest.raises(PoolError, match=message) as caught:
            train(caches / "pool.toml", jobs)
        assert len(str(caught.value).splitlines()) == 2
        assert (caches / "test" / "other.onnx").exists()


PLAN = """
    [source]
    architecture = "densenet121-top"
    trainer = "{trainer}"
    recipe = "report"
    weights = "dense{suffix}"
    changes = {{ epochs = 1, validation = 0.5, l2 = 0.0 }}
"""


@pytest.mark.slow
@pytest.mark.parametrize(("trainer", "suffix"), [("torch", ".pth"), ("keras", ".weights.h5")])
def test_the_reports_transfer_learning(trainer: str, suffix: str, tmp_path: Path) -> None:
    """DenseNet121 with the report's top, all of it trained further."""
    from torchvision import models

    path = tmp_path / f"dense{suffix}"
    if trainer == "torch":
        torch.save(models.densenet121(weights=None).state_dict(), path)
    else:
        base = load_keras().applications.DenseNet121(include_top=False, weights=None, input_shape=SHAPE)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
            base.save_weights(path)
    plan = tmp_path / "plan.toml"
    plan.write_text(textwrap.dedent(PLAN.format(trainer=trainer, suffix=suffix)))
    train(tmp_path / "pool.toml", read_plan(plan).jobs)
    ancestor = f"{path.stem} (SHA-256 {sha256_of_file(path)[:12]})"
    assert read_pool(tmp_path / "pool.toml").source.ancestor == ancestor


def test_an_ancestor_is_inherited_by_copies_only() -> None:
    weights = Pretrained(ancestor="ImageNet")
    jobs = [
        job("source", "source", weights=weights),
        job("tuned", "fine-tuned", parent="source"),
        job("rounded", "8-bit weights", parent="tuned"),
        job("answers", "soft labels", parent="source"),
        job("pruned", "pruned", parent="answers"),
    ]
    by_name = {made.name: made for made in jobs}
    assert [ancestor_of(made, by_name) for made in jobs] == ["ImageNet", "ImageNet", "ImageNet", "", ""]
