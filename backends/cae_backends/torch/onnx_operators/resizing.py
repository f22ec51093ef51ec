"""Interpolations that torch has exactly; any other would change the answers and is refused."""

from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F  # noqa: N812 - the name that everybody knows
from onnx2torch.onnx_graph import OnnxGraph
from onnx2torch.onnx_node import OnnxNode
from onnx2torch.utils.common import OperationConverterResult, get_shape_from_value_info
from torch import Tensor

from cae_backends.torch.onnx_operators.common import Numbers, Operators, constant, with_numbers

__all__ = ["OPERATORS"]

_TORCH_MODES = {"nearest": "nearest", "linear": "bilinear", "cubic": "bicubic"}


def _resize(node: OnnxNode, graph: OnnxGraph) -> OperationConverterResult:
    told = dict(node.attributes)
    first_version = len(node.input_values) == 2  # of opset 10: scales only, without regions
    if first_version:
        told |= {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    scales = constant(node, graph, 1 if first_version else 2)
    _check_extras(told, scales)
    mode, centres = told.get("mode", "nearest"), told.get("coordinate_transformation_mode", "half_pixel")
    if not (_is_exact_nearest(told, centres, _factors(node, graph, scales)) if mode == "nearest" else _is_exact(told)):
        raise NotImplementedError(f"mode {mode} with {centres}")
    aligned = None if mode == "nearest" else centres == "align_corners"

    def compute(x: Tensor, *numbers: Numbers) -> Tensor:
        by, to = (numbers[0], None) if first_version else (numbers[1], numbers[2] if len(numbers) > 2 else None)
        if to:  # an input that is left out may also be an empty one
            if to[1] != x.shape[1]:
                raise ValueError("resizing of the channels is not supported")
            return F.interpolate(x, size=to[2:], mode=_TORCH_MODES[mode], align_corners=aligned)
        return F.interpolate(x, scale_factor=by[2:], mode=_TORCH_MODES[mode], align_corners=aligned)

    return with_numbers(node, graph, compute)


def _check_extras(told: dict[str, Any], scales: Sequence[float] | None) -> None:
    extras = [name for name in ("antialias", "axes", "exclude_outside") if told.get(name, 0)]
    if extras:
        raise NotImplementedError(f"resizing with {', '.join(extras)}")
    if told.get("keep_aspect_ratio_policy", "stretch") != "stretch" or (scales and scales[:2] != [1, 1]):
        raise NotImplementedError("resizing of batch or channels, or by aspect ratio")


def _is_exact(told: dict[str, Any]) -> bool:
    centres = told.get("coordinate_transformation_mode", "half_pixel")
    known = centres in ("half_pixel", "pytorch_half_pixel", "align_corners")
    return known and (told["mode"] == "linear" or told.get("cubic_coeff_a", -0.75) == -0.75)


def _is_exact_nearest(told: dict[str, Any], centres: str, factors: Sequence[float] | None) -> bool:
    rounding = told.get("nearest_mode", "round_prefer_floor")
    if centres == "asymmetric" and rounding == "floor":
        return True
    # Enlarged a whole number of times, no half-pixel centre is a tie: every rounding gives floor(i / factor).
    whole = factors is not None and all(factor >= 1 and factor == int(factor) for factor in factors)
    return whole and centres in ("half_pixel", "pytorch_half_pixel") and rounding.startswith("round")


def _factors(node: OnnxNode, graph: OnnxGraph, scales: Sequence[float] | None) -> Sequence[float] | None:
    """Return the factors of all axes after the channels; None where they are not known before the first image."""
    if scales:
        return scales[2:]
    try:
        sizes = constant(node, graph, 3)
    except NotImplementedError:
        return None
    info = graph.value_info.get(node.input_values[0])
    known = get_shape_from_value_info(info)[2:] if info else []
    return [to / of for to, of in zip(sizes[2:], known, strict=True)] if sizes and all(known) and known else None


OPERATORS: Operators = {"Resize": (_resize, (10, 11, 13, 18, 19))}
"""Operator -> (its converter, the versions that take it)."""
