"""What a third party brings for its own framework, here NumPy: a trainer of linear networks, and an exporter."""

# ruff: noqa: ARG002 - a linear network needs less than it is told

import time
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from cae_backends.architectures.options import PretrainedWeights, Scaling
from cae_backends.training.recipe import Recipe
from cae_backends.training.trainers import Step, Weights
from cae_core.arrays import Floats32, Labels
from cae_core.contract import Contract

__all__ = ["TRAINER", "Linear", "LinearTrainer", "export"]


class Linear:
    """One matrix of weights."""

    layout: Literal["NHWC"] = "NHWC"
    output_axis = -1
    kernels = ("w",)
    head = ("w",)

    def __init__(self, w: NDArray[np.float32], pause: float) -> None:
        self.model = self
        self.w, self._pause = w, pause

    def logits(self, images: Floats32) -> Floats32:
        answer: Floats32 = images.reshape(len(images), -1) @ self.w
        return answer

    def weights(self) -> Weights:
        return {"w": self.w.copy()}

    def load(self, weights: Mapping[str, NDArray[Any]]) -> None:
        self.w = weights["w"].copy()

    def start(
        self, recipe: Recipe, *, seed: int, frozen: Collection[str], masks: Mapping[str, NDArray[np.bool_]]
    ) -> Step:
        def step(images: Floats32, targets: Floats32 | Labels, rate: float) -> float:
            time.sleep(self._pause)
            x = images.reshape(len(images), -1)
            p = np.exp(self.logits(images))
            p /= p.sum(axis=1, keepdims=True)
            y = np.eye(p.shape[1], dtype=np.float32)[targets.astype(np.int64)] if targets.ndim == 1 else targets
            self.w = (self.w - rate * (x.T @ (p - y) / len(x))).astype(np.float32)
            return float(-(y * np.log(p + 1e-9)).sum(axis=1).mean())

        return step


class LinearTrainer:
    """Builds linear networks, each step of which takes at least ``pause`` seconds."""

    name = "linear"
    architectures = ("linear",)
    pretrained: Mapping[str, str] = {}

    def __init__(self, pause: float = 0.0) -> None:
        self._pause = pause

    def build(
        self,
        architecture: str,
        *,
        image_shape: tuple[int, int, int],
        classes: int,
        seed: int,
        scaling: Scaling,
        device: str,
        weights: PretrainedWeights = None,
    ) -> Linear:
        rng = np.random.default_rng(seed)
        drawn = 0.01 * rng.standard_normal((int(np.prod(image_shape)), classes))
        return Linear(drawn.astype(np.float32), self._pause)


TRAINER = LinearTrainer()


def export(model: Linear, path: Path, contract: Contract, image_shape: tuple[int, int, int]) -> None:
    """Write a flattening and a product with the matrix."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("Flatten", ["images"], ["rows"]), helper.make_node("MatMul", ["rows", "w"], ["logits"])]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, ["n", *image_shape])],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["n", model.w.shape[1]])],
        [numpy_helper.from_array(model.w, "w")],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
