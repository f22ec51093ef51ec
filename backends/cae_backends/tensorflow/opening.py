"""Keras files and SavedModel folders as `TensorflowModel`; nothing in them is run that is not a graph of layers."""

import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from cae_backends.contract_files import find_contract
from cae_backends.tensorflow.frozen import FrozenGraph
from cae_backends.tensorflow.model import TensorflowModel
from cae_backends.tensorflow.runtime import load_keras
from cae_backends.tensorflow.saved_model import read_saved_model
from cae_backends.tensorflow.tracing import keras_input, trace_keras
from cae_core.contract import Contract
from cae_core.errors import ModelError, first_line
from cae_core.loaders import Device

__all__ = ["load_graph", "open_tensorflow", "read_keras"]

_PICKLED = ("Lambda", "__lambda__", "TorchModuleWrapper")

_LOADING_ERRORS = (ValueError, TypeError, OSError, KeyError, AttributeError, ImportError, NotImplementedError)


def open_tensorflow(path: Path, *, contract: Contract | None, device: Device) -> TensorflowModel:
    """Open a ``.keras`` or ``.h5`` file, or a SavedModel folder.

    Raises:
        BackendMissing: TensorFlow is not installed.
        ModelError: it cannot be opened, holds code, or is no classifier of images.
        ContractError: nobody says what it takes, or what is said does not fit.
    """
    graph, found = load_graph(path, contract=contract)
    return TensorflowModel(graph, contract=found, device=device, origin=str(path))


def load_graph(
    path: Path, *, contract: Contract | None, allow_lambda: Sequence[str] = ()
) -> tuple[FrozenGraph, Contract]:
    """Return the frozen graph in a file or folder, and the contract that applies.

    Args:
        path: a ``.keras`` or ``.h5`` file, or a SavedModel folder.
        contract: replaces that of the sidecar.
        allow_lambda: names of the Lambda layers whose code may be run; for files of one's own only.

    Raises:
        BackendMissing, ModelError, ContractError: see `open_tensorflow`.
    """
    if path.is_dir():
        graph = read_saved_model(path)
        return graph, find_contract(path, {}, graph.shape, contract, dtype=graph.dtype)
    model = read_keras(path, allow_lambda=allow_lambda)
    shape, dtype = keras_input(model, origin=str(path))
    found = find_contract(path, {}, shape or (), contract, dtype=dtype)
    return trace_keras(model, contract=found, origin=str(path)), found


def read_keras(path: Path, *, allow_lambda: Sequence[str] = ()) -> Any:  # noqa: ANN401 - Keras publishes no types
    """Load a Keras model, not compiled.

    Raises:
        BackendMissing: TensorFlow is not installed.
        ModelError: the file is no Keras model, holds code in a Lambda layer that is not allowed, or a layer of a class
            that is not registered.
    """
    keras = load_keras()
    if path.suffix != path.suffix.lower():
        raise ModelError(f"{path}: Keras knows its files by small letters. Rename it to {path.suffix.lower()}.")
    config = _read_config(path)
    holders = sorted(set(_code_holders(config)))
    refused = [name for name in holders if name not in allow_lambda]
    if refused:
        raise ModelError(
            f"{path}: the file holds pickled code ({', '.join(refused)}), which is never run unless you name it. If "
            "the file is your own, convert it once: cae convert MODEL.keras MODEL.onnx --allow-lambda NAME."
        )
    try:
        return keras.saving.load_model(path, compile=False, safe_mode=not holders)
    except _LOADING_ERRORS as exc:
        raise ModelError(_explain(path, exc)) from exc


def _read_config(path: Path) -> Any:  # noqa: ANN401 - JSON
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:
                return json.loads(archive.read("config.json"))
        import h5py

        with h5py.File(path, "r") as file:
            text: Any = file.attrs["model_config"]
        return json.loads(text)
    # RuntimeError: it is encrypted, or its JSON is nested without end
    except (OSError, KeyError, ValueError, RuntimeError, zipfile.BadZipFile, zlib.error) as exc:
        raise ModelError(
            f"{path}: this is no Keras model, or it is damaged; a file of weights alone holds no model. "
            "Save it again with model.save(path)."
        ) from exc


def _code_holders(config: Any, owner: str = "the model") -> Iterator[str]:  # noqa: ANN401 - JSON
    """Yield the names of the layers that are pickled code, or that have some among their arguments."""
    if isinstance(config, list):
        for part in config:
            yield from _code_holders(part, owner)
    elif isinstance(config, dict):
        inner = config.get("config")
        named = inner.get("name") if isinstance(inner, dict) else None
        owner = named if isinstance(named, str) else owner
        if config.get("class_name") in _PICKLED:
            yield owner
            return
        for part in config.values():
            yield from _code_holders(part, owner)


def _explain(path: Path, exc: Exception) -> str:
    reason = str(exc).rpartition("Exception encountered: ")[2]  # Keras wraps it once for each layer around it
    unknown = re.search(r"(?:Could not locate class|Unknown layer:) '([^']+)'", reason)
    if unknown:
        return (
            f"{path}: the layer class {unknown[1]!r} is not registered, so the file alone does not say what it "
            "computes. Export the model with model.export(folder) or as ONNX, or register the class before it is "
            "opened."
        )
    return (
        f"{path}: Keras cannot load this model ({first_line(ValueError(reason))}). Save it again with model.save(path)."
    )
