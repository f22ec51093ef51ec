"""Opening an ONNX Runtime session on the right device, in silence.

ONNX Runtime's CUDA build lists CUDA on machines without a device and complains on stderr at length when it is
asked for; so the driver is asked first, and the runtime's own log is turned off.
"""

import contextlib
import ctypes
import errno
import importlib
import io
import os
import sys
import warnings
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

from cae_backends.onnx.failures import not_opened, shortened
from cae_core.errors import BackendMissing, ModelError, first_line
from cae_core.loaders import Device

__all__ = ["REINSTALL", "open_session", "readable_texts", "release", "runtime_failures", "shortened", "usable_device"]

_PACKAGE = "onnxruntime" if sys.platform == "darwin" else "onnxruntime-gpu"

REINSTALL = f"pip uninstall -y onnxruntime onnxruntime-gpu, and then pip install {_PACKAGE}"
"""What mends an ONNX Runtime whose files two packages have overwritten: to remove one of them takes the other's too."""

_FATAL = 4
"""ONNX Runtime's severity that silences everything below a crash."""


@lru_cache(maxsize=1)
def _runtime() -> ModuleType:
    try:
        runtime = importlib.import_module("onnxruntime")
    except ModuleNotFoundError as exc:
        if exc.name != "onnxruntime":
            raise BackendMissing(
                f"ONNX Runtime is installed and lacks {exc.name}. Install it anew: {REINSTALL}."
            ) from exc
        raise BackendMissing(f"ONNX Runtime is not installed. Install it: pip install {_PACKAGE}.") from exc
    except ImportError as exc:
        reason = first_line(exc)
        raise BackendMissing(f"ONNX Runtime cannot be loaded ({reason}). Install it anew: {REINSTALL}.") from exc
    if not hasattr(runtime, "InferenceSession"):  # the folder that an uninstalled package has left
        raise BackendMissing(f"ONNX Runtime is installed and most of it is missing. Install it anew: {REINSTALL}.")
    runtime.set_default_logger_severity(_FATAL)
    return runtime


def release() -> str:
    """Return what runs the models, such as ``"onnxruntime 1.31.1"``.

    Raises:
        BackendMissing: ONNX Runtime is not installed.
    """
    return f"onnxruntime {_runtime().__version__}"


@lru_cache(maxsize=1)
def runtime_failures() -> tuple[type[Exception], ...]:
    """Return what ONNX Runtime raises: its exceptions have no common base, and some calls raise builtin ones.

    Raises:
        BackendMissing: ONNX Runtime is not installed.
    """
    _runtime()
    compiled = importlib.import_module("onnxruntime.capi.onnxruntime_pybind11_state")
    own = [x for x in vars(compiled).values() if isinstance(x, type) and issubclass(x, Exception)]
    return (*own, RuntimeError, ValueError)


@contextlib.contextmanager
def readable_texts(path: Path) -> Iterator[None]:
    """Turn the failure of reading a text of the model ``path``, a name or a line of its metadata, into an error.

    Raises:
        ModelError: a text is not UTF-8.
    """
    try:
        yield
    except UnicodeDecodeError as exc:
        raise ModelError(
            f"{path}: the model's names and metadata must be UTF-8; found other bytes. Export it again."
        ) from exc


def open_session(path: Path, device: Device, *, optimised: bool = True) -> Any:  # noqa: ANN401 - typed by nobody
    """Return an ``InferenceSession`` of ``path`` on ``device``: ``"auto"``, ``"cpu"``, ``"cuda"`` or ``"cuda:i"``.

    Args:
        path: the file.
        device: where to run it.
        optimised: whether the runtime may change the graph to run it faster.

    Raises:
        BackendMissing: ONNX Runtime is not installed.
        ModelError: the file is missing, empty or no ONNX model that the runtime knows, or there is no such device.
    """
    _check_file(path)
    index = _cuda_index(device)
    if index is not None:
        with contextlib.suppress(*runtime_failures()):
            providers = [("CUDAExecutionProvider", _cuda_options(index)), "CPUExecutionProvider"]
            session = _new_session(path, providers, optimised=optimised)
            if "CUDAExecutionProvider" in session.get_providers():
                return session
    try:
        session = _new_session(path, ["CPUExecutionProvider"], optimised=optimised)
    except runtime_failures() as exc:
        raise not_opened(path, exc, str(_runtime().__version__)) from exc
    if index is not None and device != "auto":  # only now: it is not the file that is at fault
        raise ModelError(
            f"{path}: ONNX Runtime cannot use {device!r} for this model. "
            "Install the CUDA and cuDNN libraries of its version, or use the device cpu."
        )
    return session


def usable_device() -> str:
    """Return what the device ``"auto"`` stands for here: ``"cuda"`` or ``"cpu"``.

    Raises:
        BackendMissing: ONNX Runtime is not installed.
    """
    _runtime()
    return "cuda" if _usable_cuda_devices() else "cpu"


def _check_file(path: Path) -> None:
    """Refuse what the runtime would not explain; the file is not opened for that."""
    if not path.is_file():
        raise ModelError(f"{path}: no such model file. Give the path of an existing .onnx file.")
    if not os.access(path, os.R_OK):
        raise ModelError(f"{path}: the model file cannot be read ({os.strerror(errno.EACCES)}).")
    if not path.stat().st_size:
        raise ModelError(f"{path}: the model file is empty. Export or copy the model again.")


def _utf8(path: Path) -> str:
    """Return ``path`` as ONNX Runtime takes it, whatever encoding this process has for names of files."""
    try:
        return os.fsencode(path).decode()
    except UnicodeDecodeError as exc:
        name = str(path).encode(errors="backslashreplace").decode()
        raise ModelError(f"{name}: ONNX Runtime opens paths that are UTF-8, and this one is not. Rename it.") from exc


def _new_session(path: Path, providers: Sequence[Any], *, optimised: bool) -> Any:  # noqa: ANN401
    runtime = _runtime()
    options = runtime.SessionOptions()
    options.log_severity_level = _FATAL
    if not optimised:
        options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
    # The runtime's own fallback prints to stdout what went wrong.
    return runtime.InferenceSession(_utf8(path), options, providers=list(providers), enable_fallback=0)


def _cuda_options(index: int) -> dict[str, str]:
    # TF32 rounds to 10 bits and can turn the label of an example near a boundary.
    return {"device_id": str(index), "use_tf32": "0"}


def _cuda_index(device: Device) -> int | None:
    """Return the CUDA device to use; None: the CPU.

    Raises:
        ModelError: an unknown device, or a CUDA device that is not there.
    """
    if device == "cpu":
        return None
    name, _, number = device.partition(":")
    if device != "auto" and (name != "cuda" or (number and not number.isdecimal()) or device.endswith(":")):
        raise ModelError(f"ONNX Runtime knows no device {device!r}; known are auto, cpu, cuda and cuda:0, cuda:1 ….")
    index = int(number or 0)
    count = _usable_cuda_devices()
    if index < count:
        return index
    if device == "auto":
        return None
    raise ModelError(f"The device {device!r} is not usable here ({count} CUDA devices found). Use the device cpu.")


@lru_cache(maxsize=1)
def _usable_cuda_devices() -> int:
    """Ask the driver, and ONNX Runtime for its CUDA build; where both are there, load the CUDA libraries."""
    try:
        driver = ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return 0
    count = ctypes.c_int(0)
    if driver.cuInit(0) != 0 or driver.cuDeviceGetCount(ctypes.byref(count)) != 0 or not count.value:
        return 0
    runtime = _runtime()
    if "CUDAExecutionProvider" not in runtime.get_available_providers():
        return 0
    if hasattr(runtime, "preload_dlls"):  # since 1.21; it prints what it does not find
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            runtime.preload_dlls()
    return count.value
