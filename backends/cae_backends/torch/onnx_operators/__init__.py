"""Operators that onnx2torch 1.5.15 does not know, or converts wrongly: the `table` names them, one module a concept."""

from cae_backends.torch.onnx_operators.table import ADDED_TYPES_ONLY, WRITTEN_HERE, is_ours, register_operators

__all__ = ["ADDED_TYPES_ONLY", "WRITTEN_HERE", "is_ours", "register_operators"]
