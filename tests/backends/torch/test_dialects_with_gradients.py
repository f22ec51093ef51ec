"""White boxes of flat and channel-less dialects have the answers and the gradients of the network."""

from pathlib import Path

import numpy as np
import pytest
import torch

from cae_core.arrays import Floats32, as_unit_float
from cae_core.errors import ContractError
from cae_core.opening.opened import open_white_box
from tests.backends import dialects
from tests.backends.dialects import AXES, SIDE, logits_of, weights

IMAGES = np.random.default_rng(3).integers(0, 256, (4, SIDE, SIDE, 3), np.uint8)
GREY = np.random.default_rng(4).integers(0, 256, (4, SIDE, SIDE, 1), np.uint8)


def network_gradient(x: Floats32, v: Floats32) -> Floats32:
    """By torch's own differentiation of the two layers, written anew."""
    first, a, second, b = (torch.tensor(array) for array in weights(x.shape[3]))
    leaf = torch.tensor(x, requires_grad=True)
    logits = torch.relu(leaf.reshape(len(x), -1) @ first + a) @ second + b
    (gradient,) = torch.autograd.grad(logits, leaf, torch.tensor(v))
    return np.asarray(gradient.numpy(), np.float32)


@pytest.mark.parametrize("output", ["logits", "named output"])
@pytest.mark.parametrize("layout", ["NCHW", "HW", "FLAT", "FLAT_NCHW", "COLUMN"])
def test_answers_and_gradients(tmp_path: Path, layout: str, output: str) -> None:
    channels = "GRAY" if layout == "HW" else "BGR"
    traits = {"layout": layout, "output": output, "opset": 17, "range": (-1, 1), "channels": channels}
    case = {name: values[0] for name, values in AXES.items()} | traits
    dialects.write(tmp_path / "m.onnx", case)
    images = GREY if layout == "HW" else IMAGES
    contract = dialects.contract_of(case).replace(size=(SIDE, SIDE))
    model = open_white_box(tmp_path / "m.onnx", contract=contract, device="cpu").model
    logits, pull_back = model.vjp(as_unit_float(images))
    np.testing.assert_allclose(logits, logits_of(images), atol=1e-4)
    v = np.random.default_rng(5).standard_normal(logits.shape).astype(np.float32)
    np.testing.assert_allclose(pull_back(v), network_gradient(as_unit_float(images), v), atol=1e-4)


def test_an_output_that_is_not_there(tmp_path: Path) -> None:
    case = {name: values[0] for name, values in AXES.items()} | {"output": "named output", "opset": 17}
    dialects.write(tmp_path / "m.onnx", case)
    with pytest.raises(ContractError, match="output_name is 'z'; the model's are y, answer"):
        open_white_box(tmp_path / "m.onnx", contract=dialects.contract_of(case).replace(output_name="z"), device="cpu")
