"""The statistics of a training set travel inside an exported model, which then takes plain images in [0, 1]."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cae_backends.onnxruntime import LOADER
from cae_backends.torch.network import ContractInput
from cae_converters.torch_to_onnx import export_torch
from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.preprocessing import mean_image_contract, per_channel_contract

SHAPE = (6, 5, 3)


@pytest.mark.parametrize("make", [mean_image_contract, per_channel_contract])
def test_the_statistics_are_inside_the_graph(tmp_path: Path, make: Callable[..., Contract]) -> None:
    torch.manual_seed(0)
    images = np.random.default_rng(0).integers(0, 256, (50, *SHAPE), np.uint8)
    contract = make(ImageSet(images, np.zeros(50, np.int64), ("only",)), layout="NCHW", output="logits")
    head = nn.Sequential(nn.Flatten(), nn.Linear(90, 4))
    plain = Contract(layout="NHWC", range=(0.0, 1.0), output="logits")
    path = tmp_path / "m.onnx"
    export_torch(nn.Sequential(ContractInput(contract), head), path, contract=plain, image_shape=SHAPE)
    with torch.no_grad():
        expected = head(torch.from_numpy(contract.to_input(images))).softmax(1).numpy()
    found = LOADER.open(str(path), contract=None, device="cpu").predict(images).probabilities
    assert found is not None
    np.testing.assert_allclose(found, expected, atol=1e-5)
    assert expected.std(axis=0).max() > 1e-2
