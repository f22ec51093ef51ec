"""The exporter of trained pools: whatever a trainer has made becomes an ONNX file."""

from pathlib import Path
from typing import Any

from cae_backends.onnxruntime import LOADER
from cae_core.contract import Contract
from cae_core.errors import OptionError

__all__ = ["export_member"]


def export_member(
    framework: str,
    model: Any,  # noqa: ANN401 - each framework has its own
    path: Path,
    contract: Contract,
    image_shape: tuple[int, int, int],
) -> None:
    """Write a model as ONNX, its contract inside, after a check of its parity.

    Args:
        framework: ``"torch"`` (a module), ``"keras"`` (a Keras model) or ``"sklearn"`` (an estimator of vectors in
            [0, 1], whose contract is its exporter's own).
        model: the framework's object.
        path: of the file; a Keras model is saved beside it.
        contract: of the model.
        image_shape: (h, w, k).

    Raises:
        OptionError: another framework.
        CaeError: see `export_torch`, `convert` and `export_sklearn`.
    """
    if framework == "torch":
        from cae_converters.torch_to_onnx import export_torch

        export_torch(model, path, contract=contract, image_shape=image_shape, reuse_graph=True)
    elif framework == "keras":
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
    elif framework == "sklearn":
        from cae_converters.sklearn_to_onnx import export_sklearn

        export_sklearn(model, path, image_shape=image_shape, scale=1.0)
    else:
        raise OptionError(f"No exporter to ONNX for {framework!r}; there are torch, keras and sklearn.")
