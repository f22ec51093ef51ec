"""SAC's public models as a pool: on a synthetic copy of the layout, with small networks in the place of large ones."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch

from cae_core.errors import PoolError
from cae_core.opening.opened import open_model
from cae_core.pool.manifest import read_pool
from tests.cli.test_examples import load

PICKLED = "Fine-Pruning/prune_model_0.pth"


def small(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(48, 10))


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    """Return a folder as the authors' code reads it, with a few models of each kind."""
    names = ["model/vgg_model.pth", PICKLED, "finetune_model/CIFAR1000.pth"]
    names += [f"model/student_model_1_{i}.pth" for i in (0, 1, 5, 19)]
    names += [f"model/student_model_kd_{i}.pth" for i in (0, 2)]
    names += [f"adv_train/adv_{i}.pth" for i in (0, 13)]
    names += [f"finetune_10/finetune{i}.pth" for i in (0, 1)]
    names += [f"model/clean_model_{i}.pth" for i in (0, 1, 3, 4)]
    for seed, name in enumerate(names):
        path = tmp_path / "SAC" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        module = small(seed)
        torch.save(module if name == PICKLED else module.state_dict(), path)
    return tmp_path / "SAC"


def test_the_layout_becomes_a_pool(layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = load("sacbench_pool")
    asked: list[str] = []

    def built(architecture: str) -> torch.nn.Module:
        asked.append(architecture)
        return small(99)

    monkeypatch.setattr(script, "network", built)
    manifest = script.make_pool(layout, tmp_path / "out")
    pool = read_pool(manifest)
    told = Counter((m.role, m.relation, m.kind, m.architecture) for m in pool.members)
    assert told == {
        ("source", "source", "trained on the true labels", "vgg16_bn"): 1,
        ("generate", "surrogate", "hard labels", "vgg13"): 1,
        ("test", "surrogate", "hard labels", "vgg13"): 1,
        ("generate", "surrogate", "hard labels", "resnet18"): 1,
        ("test", "surrogate", "hard labels", "mobilenet_v2"): 1,
        ("generate", "surrogate", "distilled", "vgg13"): 1,
        ("test", "surrogate", "distilled", "vgg13"): 1,
        ("generate", "surrogate", "adversarially trained on hard labels", "vgg13"): 1,
        ("test", "surrogate", "adversarially trained on hard labels", "densenet121"): 1,
        ("generate", "surrogate", "fine-tuned", "vgg16_bn"): 1,
        ("test", "surrogate", "fine-tuned", "vgg16_bn"): 1,
        ("generate", "reference", "independent", "vgg13"): 1,
        ("calibrate", "reference", "independent", "vgg13"): 2,
        ("test", "reference", "independent", "vgg13"): 1,
    }
    images = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    normalised = (images / 255 - np.array([0.4914, 0.4822, 0.4465])) / np.array([0.2023, 0.1994, 0.2010])
    with torch.no_grad():
        wanted = small(0)(torch.from_numpy(normalised.transpose(0, 3, 1, 2).astype(np.float32))).argmax(dim=1)
    found = open_model(str(pool.source.path)).predict(images)
    np.testing.assert_array_equal(found.labels, wanted.numpy())
    before = len(asked)
    assert read_pool(script.make_pool(layout, tmp_path / "out")).members == pool.members
    assert len(asked) == before  # nothing is exported twice


def test_what_is_no_state_dict_is_left_out_and_no_code_of_it_runs(
    layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = load("sacbench_pool")
    monkeypatch.setattr(script, "network", lambda _architecture: small(99))
    monkeypatch.setattr(script, "KINDS", script.KINDS[-1:])
    torch.save(small(1), layout / "model/clean_model_0.pth")  # a whole object
    (layout / "model/clean_model_1.pth").write_bytes(b"something else")
    pool = read_pool(script.make_pool(layout, tmp_path / "out"))
    assert {member.name for member in pool.members} == {"source", "clean_model_3", "clean_model_4"}
    assert capsys.readouterr().err.count("left out: ") == 2


def test_without_the_source_the_sentence_says_where_it_is_expected(tmp_path: Path) -> None:
    with pytest.raises(PoolError, match=r"model/vgg_model\.pth"):
        load("sacbench_pool").make_pool(tmp_path, tmp_path / "out")


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["vgg16_bn", "vgg13", "resnet18", "densenet121", "mobilenet_v2"])
def test_torchvision_builds_each_architecture_with_ten_outputs(architecture: str) -> None:
    module = load("sacbench_pool").network(architecture).eval()
    with torch.no_grad():
        assert module(torch.zeros(1, 3, 32, 32)).shape == (1, 10)
