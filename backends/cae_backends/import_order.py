"""Which of two packages may be imported first: TensorFlow and triton both bring LLVM, and only one order works.

``import tensorflow`` and then ``import triton`` ends the process (a segmentation fault, or "LLVM ERROR: inconsistency
in registered CommandLine options"); the other order works. Nobody imports triton by name: torchvision, onnx2torch,
``torch.compile`` and torch's ONNX exporter pull it in. This module imports neither.
"""

import contextlib
import importlib
import sys
from importlib.util import find_spec

__all__ = ["before_tensorflow", "before_torch"]


def before_tensorflow() -> None:
    """Import triton, where it is installed, so that TensorFlow comes second."""
    if "tensorflow" not in sys.modules and find_spec("triton") is not None:
        with contextlib.suppress(ImportError):  # a triton that cannot be imported cannot clash either
            importlib.import_module("triton")


def before_torch() -> None:
    """Keep triton out where somebody has imported TensorFlow already: torch does without it, but for ``compile``."""
    if "tensorflow" in sys.modules and "triton" not in sys.modules:
        sys.modules["triton"] = None  # type: ignore[assignment] # how Python marks what must not be imported
