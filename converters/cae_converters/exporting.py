"""The exporters of trained pools, found by the entry points of the group ``cae.exporters``.

Each writes a model as ONNX, its contract inside, after a check of its parity; see `cae_backends.training.trainers`.
"""

from pathlib import Path
from typing import Any

from cae_backends.architectures import ImageShape
from cae_backends.onnxruntime import LOADER
from cae_core.contract import Contract

__all__ = ["keras_member", "sklearn_member", "torch_member"]


def torch_member(model: Any, path: Path, contract: Contract, image_shape: ImageShape) -> None:  # noqa: ANN401
    """Write a torch module; see `export_torch`."""
    from cae_converters.torch_to_onnx import export_torch

    export_torch(model, path, contract=contract, image_shape=image_shape, reuse_graph=True)


def keras_member(model: Any, path: Path, contract: Contract, _image_shape: ImageShape) -> None:  # noqa: ANN401
    """Write a Keras model, which is also saved beside ``path``; see `convert`."""
    import onnx

    from cae_converters.conversion import convert
    from cae_converters.onnx_file import checked_file, number_names

    saved = path.with_name(f"{path.stem}.keras")
    model.save(saved)
    convert(saved, path, contract=contract)
    proto = onnx.load(path)
    number_names(proto)
    with checked_file(path, proto) as draft:
        LOADER.open(str(draft), contract=None, device="cpu")


def sklearn_member(model: Any, path: Path, _contract: Contract, image_shape: ImageShape) -> None:  # noqa: ANN401
    """Write an estimator of vectors in [0, 1], whose contract is its exporter's own; see `export_sklearn`."""
    from cae_converters.sklearn_to_onnx import export_sklearn

    export_sklearn(model, path, image_shape=image_shape, scale=1.0)
