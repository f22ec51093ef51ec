"""What is not the same on another machine is made so; each rule says why it is needed.

The tools' releases and the random numbers are replaced where they come from, see `steady`, so that whole files keep
their SHA-256. What a text holds is changed by `normalised` and the functions that it calls.
"""

import base64
import hashlib
import importlib.metadata
import io
import platform
import re
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import count
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cae_core import clock, loaders
from cae_core.containment.record import UNCONTAINED
from cae_core.opening import party
from tests.golden.models import ExactLoader

__all__ = ["normalised", "rounded", "steady"]

RELEASE = "1.2.3"

_DIGITS = 12
# Of a number in JSON: logarithms and exponentials differ in the last place from one libm, or processor, to another.


@contextmanager
def steady() -> Iterator[None]:
    """Replace what differs from run to run, or from one installation to another, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        # releases stand in fingerprints, and would change the SHA-256 of the file
        patch.setattr("cae_core.version.__version__", RELEASE)
        patch.setattr(np, "__version__", "2.3.4")
        patch.setattr(importlib.metadata, "version", lambda _name: RELEASE)
        patch.setattr(platform, "python_version", lambda: "3.4.5")
        # salts and nonces where no option gives them
        patch.setattr(secrets, "token_bytes", lambda size: bytes(range(size)))
        # ids in ledgers; names of drafts, too
        numbers = count(1)
        patch.setattr(secrets, "token_hex", lambda size: f"{next(numbers):0{2 * size}x}")
        # later than every date in the cases
        patch.setattr(clock, "utc_now", lambda: datetime(2222, 2, 2, 2, 22, 22, tzinfo=UTC))
        # the only backend: what others are installed stands in messages
        patch.setattr(loaders, "installed_loaders", lambda: iter([ExactLoader()]))
        # a process of its own would not know that backend, and has other layers on another machine
        patch.setattr(party, "_uncontained", lambda *_given, **_named: UNCONTAINED)
        # the program's name in usage errors
        patch.setattr(sys.modules["__main__"], "__package__", None, raising=False)
        # tables are as wide as the console
        patch.setenv("COLUMNS", "120")
        for name in ("CAE_DEBUG", "CAE_FINGERPRINT", "FORCE_COLOR", "NO_COLOR", "TERM", "GITHUB_ACTIONS"):
            patch.delenv(name, raising=False)
        yield


def rounded(value: Any) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return ``value`` with its numbers at 12 digits."""
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    if isinstance(value, Mapping):
        return {name: rounded(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    return value


def normalised(text: str, varying: Mapping[str, str]) -> str:
    """Return ``text`` as every machine writes it.

    Args:
        text: printed, or of a file.
        varying: the working folder, and digests of files that hold logarithms, which differ in the last place; and
            what stands for them.
    """
    for found, name in varying.items():
        text = text.replace(found, name)
    # in another library's words
    text = re.sub(r"(not (?:TOML|a complete safetensors file|verify)) \(.*\)", r"\1 (…)", text)
    if "╭" in text:
        text = _unframed(text)
    if text.startswith("<!DOCTYPE html>"):
        # the style sheet is a file of its own
        text = re.sub(r"<style>.*?</style>", "<style>…</style>", text, flags=re.DOTALL)
        text = re.sub(r"<svg.*?</svg>", "<svg>…</svg>", text, flags=re.DOTALL)  # releases of Matplotlib draw otherwise
        text = re.sub(r"data:image/png;base64,([\w+/=]+)", _pixels, text)  # releases of zlib compress otherwise
    return text


def _unframed(text: str) -> str:
    """Return a usage error without its frame, which releases of typer and rich draw otherwise."""
    words = re.sub(r"[╭╮╰╯─│]", " ", text).split()
    return " ".join(words) + "\n"


def _pixels(found: re.Match[str]) -> str:
    image = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[1]))))
    return f"data:{image.dtype} {image.shape} {hashlib.sha256(image.tobytes()).hexdigest()[:16]}"
