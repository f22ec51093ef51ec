"""What `cae doctor` looks at: each part is imported in a process of its own, because one that is broken may abort."""

import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from cae_backends.onnxruntime.session import REINSTALL

__all__ = ["Finding", "check_up"]

_TIMEOUT_S = 120
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")


@dataclass(frozen=True)
class Finding:
    """One part of the installation.

    Attributes:
        part: what it is for.
        state: ``ok``, ``missing`` (optional and not installed) or ``broken`` (installed and it does not import).
        found: versions and devices.
        remedy: what to do; empty where nothing.
    """

    part: str
    state: Literal["ok", "missing", "broken"]
    found: str
    remedy: str = ""


@dataclass(frozen=True)
class _Part:
    name: str
    packages: tuple[str, ...]
    probe: str
    extra: str | None  # None: part of every installation


_PARTS = (
    _Part("core", ("numpy", "safetensors"), "import numpy, safetensors.numpy", None),
    _Part(
        "suspects (ONNX)",
        ("onnx", *_RUNTIMES),
        "from cae_backends.onnxruntime.session import usable_device; print('runs on', usable_device())",
        None,
    ),
    _Part(
        "gradients (torch)",
        ("torch", "torchvision", "onnx2torch", "onnxscript"),
        "import torch, torchvision, onnx2torch;print('runs on', 'cuda' if torch.cuda.is_available() else 'cpu')",
        "torch",
    ),
    _Part(
        "gradients (tensorflow)",
        ("tensorflow", "keras", "h5py", "tf2onnx"),
        "from cae_backends.tensorflow.runtime import load_keras, resolve_device; import tf2onnx; load_keras();"
        "print('runs on', 'cpu' if 'CPU' in resolve_device('auto') else 'gpu')",
        "tensorflow",
    ),
    _Part("digits and scikit-learn", ("scikit-learn", "skl2onnx"), "import sklearn, skl2onnx", "digits"),
    _Part("data by name", ("pooch",), "import pooch", "data"),
    _Part("folders of images", ("pillow",), "import PIL.Image", "images"),
    _Part("reports", ("jinja2", "matplotlib"), "import jinja2, matplotlib", "report"),
    _Part("timestamps of seals", ("rfc3161-client",), "import rfc3161_client", "seal"),
    _Part("signatures of seals", ("model-signing", "pyopenssl"), "import model_signing", "signing"),
)


def check_up() -> list[Finding]:
    """Examine every part of the installation."""
    return [_examine(part) for part in _PARTS]


def _examine(part: _Part) -> Finding:
    installed = {package: found for package in part.packages if (found := _version(package))}
    listing = ", ".join(f"{package} {found}" for package, found in installed.items())
    install = (
        f"pip install 'cae-fingerprint[{part.extra}]'"
        if part.extra
        else "pip install --force-reinstall cae-fingerprint"
    )
    runtimes = [package for package in installed if package in _RUNTIMES]
    if len(runtimes) > 1:
        return Finding(part.name, "broken", listing, f"both are installed and overwrite each other: {REINSTALL}")
    missing = [p for p in part.packages if p not in installed and not p.startswith("onnxruntime")]
    if missing and part.extra:
        return Finding(part.name, "missing", listing or "nothing", install)
    code, said = _probe(part.probe)
    if code:  # a runtime that is there in part is not mended by installing it over what is there
        return Finding(part.name, "broken", f"{listing}; {said}", REINSTALL if runtimes else install)
    return Finding(part.name, "ok", f"{listing}; {said}" if said else listing)


def _probe(text: str) -> tuple[int, str]:
    """Run ``text`` in a Python of its own; return its exit status, and what it printed or its last complaint."""
    try:
        done = subprocess.run(  # noqa: S603 - our own interpreter and our own text
            [sys.executable, "-c", text],
            capture_output=True,
            encoding="utf-8",
            errors="backslashreplace",
            timeout=_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return 1, f"no answer within {_TIMEOUT_S} s"
    complaint = (done.stderr.strip().splitlines() or [f"exit status {done.returncode}"])[-1]
    return done.returncode, complaint if done.returncode else done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
