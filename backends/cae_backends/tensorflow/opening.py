"""Keras files and SavedModel folders as `TensorflowModel`; nothing in them is run that is not a graph of layers."""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cae_backends.contract_files import find_contract
from cae_backends.contract_template import NOTHING, Shown
from cae_backends.tensorflow.endings import ends_in_softmax
from cae_backends.tensorflow.frozen import FrozenGraph
from cae_backends.tensorflow.hdf5_walk import UnsafeFile
from cae_backends.tensorflow.keras_config import code_holders, refusals
from cae_backends.tensorflow.keras_files import KerasFile, look_at
from cae_backends.tensorflow.keras_versions import load_mended
from cae_backends.tensorflow.model import TensorflowModel
from cae_backends.tensorflow.runtime import load_keras
from cae_backends.tensorflow.saved_model import read_saved_model
from cae_backends.tensorflow.tracing import keras_input, trace_keras
from cae_backends.tensorflow.witness import KerasWitness
from cae_core.contract import Contract, Task
from cae_core.errors import ModelError, first_line
from cae_core.loaders import Device
from cae_core.signature import Ending

__all__ = ["keras_ending", "load_graph", "open_tensorflow", "read_keras"]

_FIRST = 4
"""Layers among which one stands that rescales a model's images: behind its input, and what augments in training."""


def open_tensorflow(
    path: Path, *, contract: Contract | None, device: Device, task: Task | None = None
) -> TensorflowModel:
    """Open a ``.keras`` or ``.h5`` file, or a SavedModel folder.

    Raises:
        BackendMissing: TensorFlow is not installed.
        ModelError: it cannot be opened, holds code, or is no classifier of images.
        ContractError: nobody says what it takes, or what is said does not fit.
    """
    graph, stated = load_graph(path, contract=contract)
    found = stated.for_task(task)
    witness = None
    if not path.is_dir():
        witness = KerasWitness(lambda: read_keras(path), contract=found, resolution=graph.resolution, origin=str(path))
    return TensorflowModel(graph, contract=found, device=device, origin=str(path), witness=witness)


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
        ending: Ending | None = "softmax" if ends_in_softmax(graph) else None
        return graph, find_contract(path, {}, graph.shape, contract, dtype=graph.dtype, shown=Shown(ending=ending))
    model = read_keras(path, allow_lambda=allow_lambda)
    shape, dtype = keras_input(model, origin=str(path))
    found = find_contract(path, {}, shape or (), contract, dtype=dtype, shown=_shown(model))
    return trace_keras(model, contract=found, origin=str(path)), found


def keras_ending(model: Any) -> Ending | None:  # noqa: ANN401 - a Keras model
    """Return the function that a Keras model's last layer ends in, where it can be told."""
    layers = list(model._flatten_layers(include_self=False, recursive=True))
    if not layers:
        return None
    last = layers[-1]
    activation = getattr(getattr(last, "activation", None), "__name__", type(last).__name__.lower())
    endings: dict[str, Ending] = {"softmax": "softmax", "sigmoid": "sigmoid", "log_softmax": "log_softmax"}
    return endings.get(activation)


def _shown(model: Any) -> Shown:  # noqa: ANN401 - a Keras model
    """Return what the first and the last layer of a Keras model show of its contract."""
    layers = list(model._flatten_layers(include_self=False, recursive=True))
    if not layers:
        return NOTHING
    rescales = any(type(layer).__name__ == "Rescaling" and _is_of_bytes(layer.scale) for layer in layers[:_FIRST])
    return Shown(ending=keras_ending(model), white=255 if rescales else None)


def _is_of_bytes(scale: object) -> bool:
    """Whether a factor brings 0 .. 255 to a range of length 1 or 2."""
    return isinstance(scale, float) and any(abs(scale * 255 - length) < 1e-2 for length in (1, 2))


def read_keras(path: Path, *, allow_lambda: Sequence[str] = ()) -> Any:  # noqa: ANN401 - Keras publishes no types
    """Load a Keras model, not compiled.

    Raises:
        BackendMissing: TensorFlow is not installed.
        ModelError: the file is no Keras model, names what is none of Keras' own or registered layers, keeps weights in
            other files, or holds code in a Lambda layer that is not allowed.
    """
    keras = load_keras()
    if path.suffix != path.suffix.lower():
        raise ModelError(f"{path}: Keras knows its files by small letters. Rename it to {path.suffix.lower()}.")
    try:
        file = look_at(path)
    except UnsafeFile as exc:
        raise ModelError(
            f"{path}: {exc}; such a file is never read. Save the model again with model.save(path)."
        ) from exc
    except Exception as exc:
        # zipfile, h5py and json read a foreign file here, and no list of what they raise is complete
        raise ModelError(
            f"{path}: this is no Keras model, or it is damaged; a file of weights alone holds no model "
            f"({first_line(exc)}). Save it again with model.save(path)."
        ) from exc
    _check_config(path, file, allow_lambda)
    try:
        model = load_mended(path, file, safe_mode=not code_holders(file.config))
    except Exception as exc:
        # Keras builds the model here, from what a foreign file says
        raise ModelError(_explain(path, exc, file)) from exc
    if not isinstance(model, keras.Model):
        raise ModelError(f"{path}: Keras cannot load this model (it is a {type(model).__name__}). Save a whole model.")
    return model


def _check_config(path: Path, file: KerasFile, allow_lambda: Sequence[str]) -> None:
    pickled = [name for name in code_holders(file.config) if name not in allow_lambda]
    if pickled:
        raise ModelError(
            f"{path}: the file holds pickled code ({', '.join(pickled)}), which is never run unless you name it. If "
            "the file is your own, convert it once: cae convert MODEL.keras MODEL.onnx --allow-lambda NAME."
        )
    for owner, reason in refusals(file.config):
        raise ModelError(_refused(path, owner, reason))


def _refused(path: Path, owner: str, reason: str) -> str:
    if reason.endswith("is not registered"):
        return (
            f"{path}: {reason}, so the file alone does not say what it computes. Export the model with "
            "model.export(folder) or as ONNX; only a script of your own can register the class instead."
        )
    return (
        f"{path}: Keras cannot load this model ({owner}: {reason}, which is never done). Export it with "
        "model.export(folder) or as ONNX, without that layer."
    )


def _explain(path: Path, exc: Exception, file: KerasFile) -> str:
    reason = str(exc).rpartition("Exception encountered: ")[2]  # Keras wraps it once for each layer around it
    unknown = re.search(r"(?:Could not locate class|Unknown layer:) '([^']+)'", reason)
    if unknown:
        return _refused(path, "", f"the layer class {unknown[1]!r} is not registered")
    remedy = "Save it again with model.save(path)."
    if file.version and file.version.partition(".")[0] != load_keras().__version__.partition(".")[0]:
        remedy = (
            f"It was written by Keras {file.version}: open it with that version, and export it from there with "
            "model.export(folder) or as ONNX."
        )
    return f"{path}: Keras cannot load this model ({first_line(ValueError(reason))}). {remedy}"
