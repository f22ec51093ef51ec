"""Operators that onnx2torch 1.5.15 does not know, or converts wrongly, put into its own registry.

Two kinds: operators of which a version only adds element types to a known one, or has less than it, and so takes its
converter; and operators that are new, changed, or wrong in onnx2torch, which are written here, one module a concept.
"""

from functools import lru_cache

from onnx import defs
from onnx2torch.node_converters import registry

from cae_backends.torch.onnx_operators import (
    activations,
    convolution,
    indexing,
    making,
    normalization,
    pooling,
    quantization,
    recurrent,
    reductions,
    resizing,
    sampling,
    shapes,
)
from cae_backends.torch.onnx_operators.common import Converter

__all__ = ["ADDED_TYPES_ONLY", "WRITTEN_HERE", "is_ours", "register_operators"]

ADDED_TYPES_ONLY: dict[str, tuple[int, tuple[int, ...]]] = {
    "Acos": (7, (22,)),
    "ArgMax": (11, (1,)),
    "ArgMin": (11, (1,)),
    "Asin": (7, (22,)),
    "Atan": (7, (22,)),
    "Cast": (13, (6, 19, 21, 23, 24, 25)),
    "Constant": (13, (1, 19, 21, 23, 24, 25)),
    "ConstantOfShape": (9, (20, 21, 23, 24, 25)),
    "Cos": (7, (22,)),
    "Elu": (6, (22,)),
    "EyeLike": (9, (22,)),
    "Equal": (13, (19,)),
    "Gemm": (9, (7,)),
    "GreaterOrEqual": (12, (16,)),
    "HardSigmoid": (6, (22,)),
    "HardSwish": (14, (22,)),
    "Identity": (16, (19, 21, 23, 24, 25)),
    "IsNaN": (13, (9, 20)),
    "LessOrEqual": (12, (16,)),
    "Max": (8, (6,)),
    "Mean": (8, (6,)),
    "Min": (8, (6,)),
    "Round": (11, (22,)),
    "Shape": (15, (19, 21, 23, 24, 25)),
    "Sin": (7, (22,)),
    "Softplus": (1, (22,)),
    "Softsign": (1, (22,)),
    "Sum": (8, (6,)),
    "Tan": (7, (22,)),
    "Transpose": (13, (21, 23, 24, 25)),
}
"""Operator -> (the version whose converter fits, the versions that take it)."""

WRITTEN_HERE: dict[str, tuple[Converter, tuple[int, ...]]] = (
    activations.OPERATORS
    | convolution.OPERATORS
    | indexing.OPERATORS
    | making.OPERATORS
    | normalization.OPERATORS
    | pooling.OPERATORS
    | quantization.OPERATORS
    | recurrent.OPERATORS
    | reductions.OPERATORS
    | resizing.OPERATORS
    | sampling.OPERATORS
    | shapes.OPERATORS
)
"""Operator -> (its converter, the versions that take it)."""


@lru_cache(maxsize=1)
def register_operators() -> None:
    """Add the missing operators to onnx2torch's registry, and replace those that it converts wrongly.

    Operators of `ADDED_TYPES_ONLY` that a newer onnx2torch has by itself stay as they are.
    """
    for operator, (known, versions) in ADDED_TYPES_ONLY.items():
        converter = registry.get_converter(operator, known)
        for version in versions:
            if not _is_known(operator, version):
                registry.add_converter(operation_type=operator, version=version)(converter)
    for operator, (converter, versions) in WRITTEN_HERE.items():
        for version in versions:
            # The registry has no public way to replace an entry.
            registry._CONVERTER_REGISTRY.pop(_key(operator, version), None)
            registry.add_converter(operation_type=operator, version=version)(converter)


def is_ours(operator: str, opset: int) -> bool:
    """Return whether this package, not onnx2torch, converts ``operator`` at ``opset``.

    Example:
        >>> is_ours("Slice", 18), is_ours("Relu", 18)
        (True, False)
    """
    tables = [table[operator] for table in (ADDED_TYPES_ONLY, WRITTEN_HERE) if operator in table]
    if not tables:
        return False
    version = defs.get_schema(operator, max_inclusive_version=opset).since_version
    return any(version in versions for _, versions in tables)


def _is_known(operator: str, version: int) -> bool:
    return _key(operator, version) in registry._CONVERTER_REGISTRY


def _key(operator: str, version: int) -> registry.OperationDescription:
    return registry.OperationDescription(domain=defs.ONNX_DOMAIN, operation_type=operator, version=version)
