"""The interpreter of TFLite files: LiteRT's where it is installed, else the one that TensorFlow brings."""

import importlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from importlib.util import find_spec
from typing import Any

from cae_core.errors import BackendMissing, first_line

__all__ = ["Runtime", "load_runtime"]

_WAYS = (
    'Install one: pip install "cae-fingerprint[tflite]"; or convert the file where TensorFlow is: python -m '
    "tf2onnx.convert --tflite MODEL.tflite --output MODEL.onnx --opset 17, and verify the ONNX file."
)


@dataclass(frozen=True)
class Runtime:
    """What runs TFLite files here.

    Attributes:
        name: with its release, such as ``"ai-edge-litert 2.3.0"``.
        interpreter: makes an interpreter of ``model_content``, the bytes of a file.
    """

    name: str
    interpreter: Callable[..., Any]


@lru_cache(maxsize=1)
def load_runtime() -> Runtime:
    """Import the interpreter.

    Raises:
        BackendMissing: there is none, or it cannot be imported.
    """
    if find_spec("ai_edge_litert") is not None:
        try:
            module = importlib.import_module("ai_edge_litert.interpreter")
        except ImportError as exc:
            raise BackendMissing(f"LiteRT cannot be imported ({first_line(exc)}). {_WAYS}") from exc
        return Runtime(f"ai-edge-litert {version('ai-edge-litert')}", module.Interpreter)
    if find_spec("tensorflow") is None:
        raise BackendMissing(f"Nothing is installed that runs TFLite files (ai-edge-litert, or TensorFlow). {_WAYS}")
    from cae_backends.tensorflow.runtime import load_tensorflow

    tf = load_tensorflow()

    def interpreter(**given: object) -> Any:  # noqa: ANN401 - untyped
        with warnings.catch_warnings():  # each one warns that LiteRT will take its place
            warnings.simplefilter("ignore")
            return tf.lite.Interpreter(**given)

    return Runtime(f"tensorflow {tf.__version__}", interpreter)
