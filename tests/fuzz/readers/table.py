"""The readers by name; a module is imported when one of its readers is asked for."""

from importlib import import_module

from tests.fuzz.reader import Reader

__all__ = ["READERS", "find_reader"]

READERS = {
    "fingerprint": "fingerprints",
    "calibration": "fingerprints",
    "verdict": "records",
    "seal": "records",
    "opening": "records",
    "claim": "records",
    "case": "records",
    "answers": "answers",
    "service": "answers",
    "pool": "tables",
    "plan": "tables",
    "contract": "tables",
    "npz": "data",
    "idx": "data",
    "cifar": "data",
    "imagenet32": "data",
    "images": "data",
    "data": "data",
    "timestamp": "attestations",
    "signature": "attestations",
    "onnx": "onnx_files",
    "operators": "operators",
    "gradients": "onnx_files",
    "keras": "keras_files",
    "hdf5": "keras_files",
    "savedmodel": "keras_files",
    "program": "programs",
}
"""Name, and the module in this folder that has it under this name in capital letters."""

_OWN = {"misbehaving": "misbehaving"}
"""For the tests of the fuzzer itself."""


def find_reader(name: str) -> Reader:
    """Return the reader of a name in `READERS`."""
    known = {**READERS, **_OWN}
    if name not in known:
        raise SystemExit(f"There is no reader {name!r}; known are {', '.join(READERS)}.")
    module = import_module(f"tests.fuzz.readers.{known[name]}")
    found: Reader = getattr(module, name.upper().replace("-", "_"))
    return found
