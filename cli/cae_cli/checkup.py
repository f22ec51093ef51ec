"""What `cae doctor` looks at: each part is imported in a process of its own, because one that is broken may abort."""

import re
import subprocess
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from typing import Literal

from cae_backends.onnxruntime.session import REINSTALL
from cae_core.progress import Progress, detail, silent

__all__ = ["PartReport", "check_up", "words_of_extras"]

_TIMEOUT_S = 120
_RUNTIMES = ("onnxruntime", "onnxruntime-gpu")
_OPTIONAL = re.compile(r"""(?P<package>[\w.-]+).*;.*\bextra == ['"](?P<extra>[\w-]+)['"]""")
"""A requirement of an extra, such as ``pooch>=1.8; extra == 'data'``."""


@dataclass(frozen=True)
class PartReport:
    """One part of the installation.

    Attributes:
        part: what this part is for.
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
    extra: str | None = None  # None: part of every installation


_ALWAYS = (
    _Part("core", ("numpy", "safetensors"), "import numpy, safetensors.numpy"),
    _Part(
        "suspects (ONNX)",
        ("onnx", *_RUNTIMES),
        "from cae_backends.onnxruntime.session import usable_device; print('runs on', usable_device())",
    ),
)

_EXTRAS = {
    "torch": (
        "gradients (torch)",
        "import torch, torchvision, onnx2torch;print('runs on', 'cuda' if torch.cuda.is_available() else 'cpu')",
    ),
    "tensorflow": (
        "gradients (tensorflow)",
        (
            "from cae_backends.tensorflow.runtime import load_keras, resolve_device; import tf2onnx; load_keras();"
            "print('runs on', 'cpu' if 'CPU' in resolve_device('auto') else 'gpu')"
        ),
    ),
    "tflite": (
        "suspects (TFLite)",
        "from cae_backends.tflite.runtime import load_runtime; load_runtime(); print('runs on', 'cpu')",
    ),
    "digits": ("digits and scikit-learn", "import sklearn, skl2onnx"),
    "data": ("data by name", "import pooch"),
    "images": ("folders of images", "import PIL.Image"),
    "report": ("reports", "import jinja2, matplotlib"),
    "cluster": ("training on a cluster", "import distributed"),
    "seal": ("timestamps of seals", "import rfc3161_client"),
    "art": ("other people's attacks, by the Adversarial Robustness Toolbox", "import art"),
    "services": ("suspects that are services", "import httpx, tenacity, jmespath"),
    "signing": ("signatures of seals", "import model_signing"),
    "docs": ("the documentation site", "import sphinx, myst_parser, furo"),
}
"""What each extra is for, and what shows that it works; of an extra that is not here, its packages must be there."""

_NOT_PARTS = ("dev", "all")
"""Extras that are for the project's own work, or nothing but others together."""


def words_of_extras() -> dict[str, str]:
    """Return what each extra is for."""
    return {extra: words for extra, (words, _) in _EXTRAS.items()}


def check_up(progress: Progress = silent) -> list[PartReport]:
    """Examine every part of the installation: what always belongs to it, then the extras that the package declares."""
    parts, reports = (*_ALWAYS, *_optional_parts()), list[PartReport]()
    for part in parts:
        detail(progress, "checking parts", part.name)
        reports.append(_examine(part))
        progress("checking parts", len(reports), len(parts))
    return reports


def _optional_parts() -> list[_Part]:
    packages = _packages_by_extra()
    found: list[_Part] = []
    for extra in dict.fromkeys((*_EXTRAS, *packages)):
        if extra in packages and extra not in _NOT_PARTS:
            name, probe = _EXTRAS.get(extra, (extra, ""))
            found.append(_Part(name, packages[extra], probe, extra))
    return found


def _packages_by_extra() -> dict[str, tuple[str, ...]]:
    """Return what the installed package declares; nothing where it runs from its sources and was never installed."""
    try:
        declared = requires("cae-fingerprint") or []
    except PackageNotFoundError:
        return {}
    packages: dict[str, tuple[str, ...]] = {}
    for found in filter(None, map(_OPTIONAL.match, declared)):
        packages[found["extra"]] = (*packages.get(found["extra"], ()), found["package"])
    return packages


def _examine(part: _Part) -> PartReport:
    installed = {package: found for package in part.packages if (found := _version(package))}
    listing = ", ".join(f"{package} {found}" for package, found in installed.items())
    install = (
        f"pip install 'cae-fingerprint[{part.extra}]'"
        if part.extra
        else "pip install --force-reinstall cae-fingerprint"
    )
    runtimes = [package for package in installed if package in _RUNTIMES]
    if len(runtimes) > 1:
        return PartReport(part.name, "broken", listing, f"both are installed and overwrite each other: {REINSTALL}")
    missing = [p for p in part.packages if p not in installed and not p.startswith("onnxruntime")]
    if missing and part.extra:
        return PartReport(part.name, "missing", listing or "nothing", install)
    code, said = _probe(part.probe)
    if code:  # a runtime that is there in part is not mended by installing it over what is there
        return PartReport(part.name, "broken", f"{listing}; {said}", REINSTALL if runtimes else install)
    return PartReport(part.name, "ok", f"{listing}; {said}" if said else listing)


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
