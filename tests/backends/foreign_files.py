"""Files of strangers, opened by the TensorFlow backend: their answers, and the sentence with which one is refused."""

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_backends.tensorflow import LOADER
from cae_core.arrays import Floats32, as_unit_float
from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.models import DifferentiableModel

__all__ = ["IMAGES", "NHWC", "logits_of", "opened", "refusal"]

NHWC = Contract(layout="NHWC", range=(0.0, 1.0), output="logits")
IMAGES: NDArray[np.uint8] = np.random.default_rng(7).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)


def opened(path: Path, contract: Contract = NHWC) -> DifferentiableModel:
    return LOADER.open(str(path), contract=contract, device="cpu")


def refusal(path: Path) -> str:
    """Return the sentence with which a file or folder is refused."""
    with pytest.raises(ModelError) as caught:
        opened(path)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"{path}: ")
    return str(caught.value)


def logits_of(path: Path) -> Floats32:
    return opened(path).vjp(as_unit_float(IMAGES))[0]
