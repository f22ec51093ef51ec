"""Keras files of other versions, mended where nothing has to be guessed, in a copy that Keras then reads.

Keras 2.15 wrote backslashes into the names of the weights on Windows. TensorFlow 1 wrote the type into the
configuration of initialisers, which say nothing about a trained model, and the batch into the first layer's shape. The
``.h5`` files of Keras 2 also name options that layers no longer have, and do not say where a wrapped layer is from.
"""

import json
import re
import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any, TypeAlias

from cae_backends.tensorflow.keras_files import ARCHIVE, WEIGHTS, KerasFile, unpacked
from cae_backends.tensorflow.runtime import load_keras
from cae_core.files.scratch import scratch_folder

__all__ = ["load_mended"]

_Json: TypeAlias = Any

_WITHOUT_EFFECT = (
    (re.compile(r"RNN|SimpleRNN|LSTM|GRU|ConvLSTM[123]D"), "time_major", False),
    (re.compile(r"DepthwiseConv[12]D"), "groups", 1),
    (re.compile(r"SpatialDropout[123]D"), "trainable", True),
    (re.compile(r"SpatialDropout[123]D"), "trainable", False),
    (re.compile(r"SpatialDropout[123]D"), "noise_shape", None),
)
"""Options of Keras 2 that Keras 3 no longer takes: of which layers, and at which value they change no answer."""

_WRAPPED = ("layer", "backward_layer", "cell")
"""What a layer around another one calls it."""


def load_mended(path: Path, file: KerasFile, *, safe_mode: bool) -> Any:  # noqa: ANN401 - Keras publishes no types
    """Load a model, not compiled and in silence, from the file or, where it needs mending, from a mended copy.

    Args:
        path: of the file.
        file: what it says, checked.
        safe_mode: whether Keras refuses pickled code.

    Raises:
        Exception: whatever Keras raises.
    """
    config = _in_todays_words(file.config)
    with scratch_folder() as folder:
        readable = path
        if path.suffix != ARCHIVE and config != file.config:
            readable = folder / path.name
            _write_hdf5(path, readable, config)
        elif file.backslashes:
            readable = folder / path.name
            _write_archive(path, readable)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # how the file should have been written helps nobody who reads it
            return load_keras().saving.load_model(readable, compile=False, safe_mode=safe_mode)


def _in_todays_words(config: _Json) -> _Json:
    """Return a configuration in which only those words differ that Keras has changed since."""
    if isinstance(config, list):
        return [_in_todays_words(part) for part in config]
    if not isinstance(config, dict):
        return config
    mended = {
        key: _initializer(part) if key.endswith("_initializer") else _in_todays_words(part)
        for key, part in config.items()
    }
    name, inner = mended.get("class_name"), mended.get("config")
    if name == "Sequential" and isinstance(inner, list):  # before Keras 2.2.3
        mended["config"] = {"name": "sequential", "layers": inner}
    elif isinstance(name, str) and isinstance(inner, dict):
        mended["config"] = _layer(name, inner)
    return mended


def _layer(name: str, config: dict[str, _Json]) -> dict[str, _Json]:
    """Return the configuration of a layer of a class."""
    gone = {key for kind, key, value in _WITHOUT_EFFECT if kind.fullmatch(name) and config.get(key, ...) == value}
    mended = {key: part for key, part in config.items() if key not in gone}
    if isinstance(mended.get("batch_input_shape"), list):
        shape = mended.pop("batch_input_shape")
        mended |= {"batch_shape": shape} if name == "InputLayer" else {"input_shape": shape[1:]}
    mended |= {key: _with_module(mended[key]) for key in _WRAPPED if key in mended}
    policy = mended.get("dtype")
    if isinstance(policy, dict) and policy.get("class_name") == "Policy" and isinstance(policy.get("config"), dict):
        mended["dtype"] = policy["config"].get("name")
    return mended


def _with_module(part: _Json) -> _Json:
    """Return a description of one of Keras' own layers that says so."""
    if not isinstance(part, dict) or "module" in part or "registered_name" in part:
        return part
    name = part.get("class_name")
    own = isinstance(name, str) and isinstance(getattr(load_keras().layers, name, None), type)
    return {**part, "module": "keras.layers", "registered_name": None} if own else part


def _initializer(part: _Json) -> _Json:
    inner = part.get("config") if isinstance(part, dict) else None
    if not isinstance(inner, dict) or "dtype" not in inner:
        return part
    return {**part, "config": {key: value for key, value in inner.items() if key != "dtype"}}


def _write_hdf5(source: Path, target: Path, config: _Json) -> None:
    import h5py

    shutil.copyfile(source, target)
    with h5py.File(target, "r+") as file:
        file.attrs["model_config"] = json.dumps(config)


def _write_archive(source: Path, target: Path) -> None:
    import h5py

    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            if name != WEIGHTS:
                new.writestr(name, old.read(name))
        with (
            unpacked(old, WEIGHTS) as content,
            h5py.File(content, "r") as weights,
            tempfile.TemporaryFile() as written,
            h5py.File(written, "w") as mended,
        ):
            _copy_with_slashes(weights, mended)
            mended.flush()
            written.seek(0)
            with new.open(WEIGHTS, "w", force_zip64=True) as member:
                shutil.copyfileobj(written, member)


def _copy_with_slashes(source: Any, target: Any) -> None:  # noqa: ANN401 - h5py.Files
    import h5py

    def copy(name: str, part: Any) -> None:  # noqa: ANN401 - a group or data set
        mended = name.replace("\\", "/")
        if isinstance(part, h5py.Dataset):
            target[mended] = part[()]
        else:
            target.require_group(mended)
        target[mended].attrs.update(part.attrs)

    target.attrs.update(source.attrs)
    source.visititems(copy)
