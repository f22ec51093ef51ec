"""Files and printed output as texts that can be read in a diff; every byte follows, but for the normalised ones."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

from tests.golden.normalising import normalised, rounded

__all__ = ["file_text", "has_logarithms", "laid_out", "stream_text"]

_WIDTH = 200

_MANY = 1000
"""Numbers from which a table of them is told by its digest."""

_FORMS: Mapping[str, Callable[[Any], str]] = {
    "JSON, one line": lambda value: json.dumps(value) + "\n",
    "JSON, indented": lambda value: json.dumps(value, indent=2) + "\n",
    "JSON, indented, ordered": lambda value: json.dumps(value, indent=2, sort_keys=True) + "\n",
    "JSON, indented, Unicode": lambda value: json.dumps(value, indent=2, ensure_ascii=False) + "\n",
    "JSON, indented, ordered, Unicode": lambda value: (
        json.dumps(value, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    ),
}
"""How the program writes JSON: the text follows from the form and the object, whose layout here is another one."""


def stream_text(text: str, varying: Mapping[str, str]) -> str:
    """Return what was printed: an object in JSON as a person reads it, anything else as it is."""
    if not text:
        return ""
    found = _as_json(text)
    if found is None:
        return normalised(text, varying)
    form, value = found
    return f"({form})\n{normalised(laid_out(rounded(value)), varying)}\n"


def file_text(path: Path, content: bytes, varying: Mapping[str, str]) -> str:
    """Return what a file holds."""
    if path.suffix in (".safetensors", ".partial"):
        return normalised(_tensors_text(content), varying)
    if path.suffix == ".tsq":
        return "a timestamp request\n"  # its nonce is random
    return stream_text(content.decode(), varying)


def has_logarithms(content: bytes) -> bool:
    """Return whether a fingerprint's file holds the weights of a likelihood ratio."""
    return any(tensor.dtype == np.float64 for tensor in safetensors.numpy.load(content).values())


def laid_out(value: Any, indent: str = "") -> str:  # noqa: ANN401 - whatever JSON holds
    """Return JSON text in which whatever fits into a line stands on one."""
    line = json.dumps(value, ensure_ascii=False)
    if len(indent) + len(line) <= _WIDTH or not isinstance(value, dict | list) or not value:
        return line
    inner = indent + "  "
    if isinstance(value, dict):
        rows = [f"{inner}{json.dumps(name, ensure_ascii=False)}: {laid_out(one, inner)}" for name, one in value.items()]
        return "{\n" + ",\n".join(rows) + f"\n{indent}}}"
    return "[\n" + ",\n".join(_filled([inner + laid_out(one, inner) for one in value])) + f"\n{indent}]"


def _filled(texts: list[str]) -> list[str]:
    """Return rows of as many texts as fit into one; a text of several lines stands alone."""
    rows: list[str] = []
    for text in texts:
        joined = f"{rows[-1]}, {text.lstrip()}" if rows else text
        if rows and "\n" not in joined and len(joined) <= _WIDTH:
            rows[-1] = joined
        else:
            rows.append(text)
    return rows


def _as_json(text: str) -> tuple[str, Any] | None:
    """Return how JSON is written in ``text``, and the object; None where it is something else."""
    try:
        value = json.loads(text)
    except ValueError:
        return None
    return next(((form, value) for form, write in _FORMS.items() if write(value) == text), None)


def _tensors_text(content: bytes) -> str:
    """Return metadata and tensors; whole numbers by their SHA-256, since a digest of the file stands for the rest."""
    size = int.from_bytes(content[:8], "little")
    header: dict[str, Any] = json.loads(content[8 : 8 + size])
    metadata = {name: _value(text) for name, text in header["__metadata__"].items()}
    tensors = {name: _tensor(tensor) for name, tensor in sorted(safetensors.numpy.load(content).items())}
    whole = "<holds logarithms>" if has_logarithms(content) else hashlib.sha256(content).hexdigest()
    return laid_out({"sha256": whole, "metadata": rounded(metadata), "tensors": tensors}) + "\n"


def _value(text: str) -> Any:  # noqa: ANN401 - whatever JSON holds
    """Return what metadata say: JSON, or a text."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _tensor(tensor: np.ndarray[Any, Any]) -> dict[str, Any]:
    described = {"dtype": str(tensor.dtype), "shape": list(tensor.shape)}
    if tensor.dtype.kind == "f" and tensor.size > _MANY:
        return described | {"sha256 at five digits": hashlib.sha256(np.round(tensor, 5).tobytes()).hexdigest()}
    if tensor.dtype.kind == "f":
        digits = 12 if tensor.dtype == np.float64 else 7
        return described | {"values": [float(f"{value:.{digits}g}") for value in tensor.ravel().tolist()]}
    return described | {"sha256": hashlib.sha256(np.ascontiguousarray(tensor).tobytes()).hexdigest()}
