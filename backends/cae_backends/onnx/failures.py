"""Why ONNX Runtime did not open a file, in one sentence: its own messages begin with places in its C++ sources."""

import re
from pathlib import Path

from cae_backends.onnx.external_data import check_external_data, shown
from cae_core.errors import ModelError, first_line

__all__ = ["not_opened", "shortened"]

_CODE = re.compile(r"^.*?\[ONNXRuntimeError\] : -?\d+ : [A-Z_]+ : ", re.DOTALL)
_LOADING = re.compile(r"^Load model from .*? failed:", re.DOTALL)
_RUNNING = re.compile(
    r"Non-zero status code returned while running (\S+) node\. Name:'.*?' Status Message: ", re.DOTALL
)
_PLACE = re.compile(
    r"[^\s:()]*\.(?:cc|cpp|h|hpp|cu|cuh|inc):\d+ "  # a source file and its line
    r"(?:[^()\n]*::[\w~]+\((?:[^()]|\([^()]*\))*\)(?: const)? |\w+ (?=\w))?"  # and its function
)

_IR = re.compile(r"Unsupported model IR version: (-?\d+), max supported IR version: (\d+)")
_OPSET = re.compile(r"Opset (\d+) is under development.*support for domain (\S+) is till opset (\d+)", re.DOTALL)
_FOREIGN = re.compile(r"Fatal error: (.*):(.*?)\(-?\d*\) is not a registered function/op", re.DOTALL)
_NODE = re.compile(r'In Node, \(".*", (.*?), "(.*?)", -?\d+\) : .*, Error (.*)', re.DOTALL)
_NO_VERSION = re.compile(r"No Op registered for .* with domain_version of (\d+)", re.DOTALL)
_NO_KERNEL = re.compile(r"Could not find an implementation for (.*?)\((\d+)\) node", re.DOTALL)

_LONG_WORD, _KEPT = re.compile(r"\S{400,}"), 150
_LONGEST = 1200
"""Letters of a message that are looked through."""

_LARGEST = 1 << 31
"""Bytes: no protobuf message is larger."""


def shortened(exc: Exception) -> str:
    """Return the reason that ONNX Runtime gives, without its code, the file's path and the places in its sources."""
    if isinstance(exc, UnicodeDecodeError):
        return "it holds names or texts that are not UTF-8"
    text = _RUNNING.sub(r"\1: ", _LOADING.sub("", _CODE.sub("", _message(exc))))
    return first_line(RuntimeError(" ".join(_PLACE.sub("", text).split())))


def _message(exc: Exception) -> str:
    """Return what the runtime says, without the middle of long words: names in the file may have any length.

    The time that the patterns here take grows with the square of a word, and faster with the whole.
    """
    text = _LONG_WORD.sub(lambda found: f"{found[0][:_KEPT]}…{found[0][-_KEPT:]}", str(exc))
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST // 2]} … {text[-_LONGEST // 2 :]}"


def not_opened(path: Path, exc: Exception, version: str) -> ModelError:
    """Return the error that says why the file ``path`` was refused, and what to do.

    The package onnx is imported where ONNX Runtime's message does not say it: nothing is in a hurry any more.

    Args:
        path: the model's file.
        exc: what ONNX Runtime raised.
        version: of ONNX Runtime.
    """
    text, runtime = _message(exc), f"ONNX Runtime {version}"
    if found := _IR.search(text):
        return ModelError(
            f"{path}: the file has the IR version {found[1]}, and {runtime} knows versions up to {found[2]}. "
            "Install a newer ONNX Runtime, or export the model with an older IR version."
        )
    if found := _OPSET.search(text):
        return ModelError(
            f"{path}: the file has the opset {found[1]} of {found[2]}, and {runtime} knows opsets up to {found[3]}. "
            "Install a newer ONNX Runtime, or export the model with an older opset."
        )
    return _unknown_operator(path, text, runtime) or _weights_fault(path) or _damaged(path, exc)


def _unknown_operator(path: Path, text: str, runtime: str) -> ModelError | None:
    if found := _FOREIGN.search(text):
        return _foreign(path, found[2], found[1], runtime)
    if found := _NO_KERNEL.search(text):
        return ModelError(
            f"{path}: {runtime} cannot run the operator {shown(found[1])} (version {found[2]}) with the types that "
            "this model gives it. Export the model in float32."
        )
    node = _NODE.search(text)
    if node is None:
        return None
    operator, domain, reason = node.groups()
    if unversioned := _NO_VERSION.search(reason):
        return ModelError(
            f"{path}: the file uses the operator {shown(operator)} of the domain {shown(domain or 'ai.onnx')}, which "
            f"{runtime} does not have in opset {unversioned[1]}. Export the model with an opset that has it, or with "
            "other operators."
        )
    return _foreign(path, operator, domain, runtime) if reason.startswith("No opset import for domain") else None


def _foreign(path: Path, operator: str, domain: str, runtime: str) -> ModelError:
    return ModelError(
        f"{path}: the file uses the operator {shown(operator)} of the domain {shown(domain)}, which {runtime} does "
        "not have. Export the model with standard operators."
    )


def _weights_fault(path: Path) -> ModelError | None:
    """Return what is wrong with the files of weights beside the model; None where nothing is."""
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
    from onnx import ModelProto

    try:
        if path.stat().st_size < _LARGEST:
            check_external_data(ModelProto.FromString(path.read_bytes()), path)
    except ModelError as error:
        return error
    # UnicodeDecodeError: of protobuf before its own error covered it
    except (DecodeError, UnicodeDecodeError, OSError, MemoryError):  # it is said anyway that the file cannot be opened
        return None
    return None


def _damaged(path: Path, exc: Exception) -> ModelError:
    return ModelError(
        f"{path}: ONNX Runtime cannot open this file ({shortened(exc)}). "
        "Is it a complete ONNX model? Export or copy it again."
    )
