"""The models of tml26's task 2: on a synthetic copy of the layout, with small networks in the place of large ones."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from cae_core.errors import CaeError
from cae_core.opening.opened import open_model
from cae_core.pool.manifest import read_pool
from tests.cli.test_examples import load


def small(seed: int) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(torch.nn.AvgPool2d(8), torch.nn.Flatten(), torch.nn.Linear(48, 100))


@pytest.fixture
def layout(tmp_path: Path) -> Path:
    folder = tmp_path / "task2"
    names = ["target_model/weights", "suspect_models/10", "suspect_models/2", "suspect_models/3/weights"]
    for seed, name in enumerate(names):
        path = folder / f"{name}.safetensors"
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(small(seed).state_dict(), path)
    (folder / "suspect_models/4.safetensors").write_bytes(b"something else")
    (folder / "target_model/train_main_idx.json").write_text(json.dumps([7, 3, 49_999]))
    return folder


@pytest.mark.long
def test_the_layout_becomes_a_source_and_suspects_to_scan(
    layout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = load("tml26_suspects")
    monkeypatch.setattr(script, "network", lambda: small(99))
    output = tmp_path / "out"
    (source,) = read_pool(script.make_source(layout, output)).members
    assert source.trained_on is not None
    assert source.trained_on.saw(np.array([3, 4, 7])).tolist() == [True, False, True]
    assert [name for name, _ in script.suspects_in(layout)] == ["2", "3", "4", "10"]
    (left,) = script.export_suspects(layout, output)
    assert "4.safetensors" in left
    assert sorted(path.name for path in (output / "suspects").iterdir()) == ["10.onnx", "2.onnx", "3.onnx"]
    images = np.random.default_rng(1).integers(0, 256, (5, 32, 32, 3)).astype(np.uint8)
    normalised = (images / 255 - np.array([0.5071, 0.4867, 0.4408])) / np.array([0.2675, 0.2565, 0.2761])
    for path, seed in ((source.path, 0), (output / "suspects/3.onnx", 3)):
        with torch.no_grad():
            wanted = small(seed)(torch.from_numpy(normalised.transpose(0, 3, 1, 2).astype(np.float32))).argmax(dim=1)
        np.testing.assert_array_equal(open_model(str(path)).predict(images).labels, wanted.numpy())


@pytest.mark.parametrize("listed", ["[1, 2", "[-1]", '["3"]', "[true]", '{"a": 1}', "[50000]", "7"])
def test_what_is_no_list_of_places_is_refused(layout: Path, listed: str) -> None:
    script = load("tml26_suspects")
    (layout / "target_model/train_main_idx.json").write_text(listed)
    with pytest.raises(CaeError, match="no list of places"):
        script.places_in(layout / "target_model/train_main_idx.json")


def test_without_the_source_the_sentence_says_where_it_is_expected(tmp_path: Path) -> None:
    with pytest.raises(CaeError, match="target_model"):
        load("tml26_suspects").make_source(tmp_path, tmp_path / "out")


def test_torchvision_builds_the_network_with_a_hundred_outputs() -> None:
    module = load("tml26_suspects").network().eval()
    with torch.no_grad():
        assert module(torch.zeros(1, 3, 32, 32)).shape == (1, 100)
