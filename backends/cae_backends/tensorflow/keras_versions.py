"""Keras files of other versions, mended where nothing has to be guessed, in a copy that Keras then reads.

Keras 2.15 wrote backslashes into the names of the weights on Windows. TensorFlow 1 wrote the type into the
configuration of initialisers, which say nothing about a trained model, and the batch into the first layer's shape.
"""

import json
import shutil
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any, TypeAlias

from cae_backends.tensorflow.keras_files import ARCHIVE, WEIGHTS, KerasFile, unpacked
from cae_backends.tensorflow.runtime import load_keras

__all__ = ["load_mended"]

_Json: TypeAlias = Any


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
    with tempfile.TemporaryDirectory() as folder:
        readable = path
        if path.suffix != ARCHIVE and config != file.config:
            readable = Path(folder) / path.name
            _write_hdf5(path, readable, config)
        elif file.backslashes:
            readable = Path(folder) / path.name
            _write_archive(path, readable)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # how the file should have been written helps nobody who reads it
            return load_keras().saving.load_model(readable, compile=False, safe_mode=safe_mode)


def _in_todays_words(config: _Json) -> _Json:
    """Return a configuration whose initialisers have no ``dtype``, and whose first layer has no batch in its shape."""
    if isinstance(config, list):
        return [_in_todays_words(part) for part in config]
    if not isinstance(config, dict):
        return config
    mended = {
        key: _initializer(part) if key.endswith("_initializer") else _in_todays_words(part)
        for key, part in config.items()
    }
    inner = mended.get("config")
    if isinstance(inner, dict) and isinstance(inner.get("batch_input_shape"), list):
        shape = inner.pop("batch_input_shape")
        inner |= {"batch_shape": shape} if mended.get("class_name") == "InputLayer" else {"input_shape": shape[1:]}
    return mended


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
