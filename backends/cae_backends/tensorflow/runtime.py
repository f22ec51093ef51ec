"""Importing TensorFlow and Keras: after triton, in silence, and Keras on TensorFlow.

Neither publishes types; so both modules come as ``Any``.
"""

import contextlib
import importlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from cae_backends.import_order import before_tensorflow
from cae_backends.native_output import without_stderr
from cae_core.errors import BackendMissing, ModelError
from cae_core.loaders import Device

__all__ = ["any_structure", "exact_float32", "load_keras", "load_tensorflow", "resolve_device"]

_LOG_LEVEL = "TF_CPP_MIN_LOG_LEVEL"
_INSTALL = 'Install it: pip install "cae-fingerprint[tensorflow]".'


@lru_cache(maxsize=1)
def load_tensorflow() -> Any:  # noqa: ANN401 - a module without types
    """Return the module ``tensorflow``, imported in the only order that works and without its log on stderr.

    Raises:
        BackendMissing: it is not installed, or cannot be imported.
    """
    before_tensorflow()
    try:
        with _quiet():
            tf = importlib.import_module("tensorflow")
            for gpu in tf.config.list_physical_devices("GPU"):
                with contextlib.suppress(RuntimeError):  # it is in use already
                    # else TensorFlow takes the whole memory, and torch finds none
                    tf.config.experimental.set_memory_growth(gpu, enable=True)
    except ImportError as exc:
        raise BackendMissing(f"TensorFlow cannot be imported ({exc}). {_INSTALL}") from exc
    return tf


@lru_cache(maxsize=1)
def load_keras() -> Any:  # noqa: ANN401 - a module without types
    """Return the module ``keras``, which must run on TensorFlow.

    Raises:
        BackendMissing: Keras or TensorFlow is not installed, or Keras already runs on another backend.
    """
    load_tensorflow()
    if "keras" not in sys.modules:  # the environment goes before the user's configuration file
        os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        keras = importlib.import_module("keras")
    except ImportError as exc:
        raise BackendMissing(f"Keras cannot be imported ({exc}). {_INSTALL}") from exc
    if keras.backend.backend() != "tensorflow":
        raise BackendMissing(
            f"Keras must run on TensorFlow and was imported on {keras.backend.backend()}. "
            "Set KERAS_BACKEND=tensorflow before it is imported."
        )
    return keras


def resolve_device(name: Device) -> str:
    """Return TensorFlow's name of ``"auto"`` (a GPU where one is usable), ``"cpu"``, ``"cuda"`` or ``"cuda:i"``.

    Raises:
        ModelError: there is no such device here.
    """
    gpus = load_tensorflow().config.list_physical_devices("GPU")
    kind, _, number = name.partition(":")
    if name == "cpu" or (name == "auto" and not gpus):
        return "/CPU:0"
    index = int(number) if number.isdecimal() else 0
    known = name in ("auto", "cuda") or (kind == "cuda" and number.isdecimal())
    if not known or index >= len(gpus):
        raise ModelError(f'TensorFlow cannot use the device {name!r} ({len(gpus)} GPUs found). Use "auto" or "cpu".')
    return f"/GPU:{index}"


@contextlib.contextmanager
def exact_float32() -> Iterator[None]:
    """Switch off TensorFloat-32, which TensorFlow uses on GPUs by default and which keeps ten bits only."""
    settings = load_tensorflow().config.experimental
    before = settings.tensor_float_32_execution_enabled()
    settings.enable_tensor_float_32_execution(enabled=False)
    try:
        yield
    finally:
        settings.enable_tensor_float_32_execution(before)


@contextlib.contextmanager
def any_structure() -> Iterator[None]:
    """Let a Keras model whose only input is in a list or dictionary be called with a tensor; Keras warns of it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The structure of `inputs` doesn't match the expected structure", UserWarning)
        yield


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Drop what the libraries write to stderr while they look for devices, unless the user has set a log level."""
    if _LOG_LEVEL in os.environ:
        yield
        return
    os.environ[_LOG_LEVEL] = "2"  # errors only, from now on
    with without_stderr():
        yield
    # Python's side of the log; it takes the tracing of several models for one that is traced again and again
    logging.getLogger("tensorflow").setLevel(logging.ERROR)
