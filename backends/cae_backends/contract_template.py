"""The contract that is proposed where nobody has said one: what the file shows is filled in, the rest is commented."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from cae_core.contract.integers import INTEGERS, limits_of
from cae_core.contract.layouts import FLAT
from cae_core.foreign_text import visible
from cae_core.signature import Ending, Signature, TensorSign

__all__ = ["NOTHING", "Shown", "likely_layout", "template"]

Shape = Sequence[int | str | None]

_COMMENTED = """\
# channels = "RGB"  # or "BGR", "GRAY"; for grey images of a model that takes three channels: "RGB"
# mean = [0.485, 0.456, 0.406]  # where the training code subtracts one, in the units of range
# std = [0.229, 0.224, 0.225]  # likewise, where it divides"""

_USUAL = ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-128.0, 127.0))

_NEAR = 0.02
"""Of a range: quantisers end it where the images of their sample end."""

_RESIZE = 'resize = "bilinear-antialias"  # where your images have another size'


def likely_layout(shape: Shape) -> str:
    """Return the layout of an input of this shape, by the place of its channels.

    Example:
        >>> [likely_layout(s) for s in (("n", 3, 32, 32), (1, 28, 28, 1), (None, 784), (1, 784, 1), (None, 28, 28), ())]
        ['NCHW', 'NHWC', 'FLAT', 'FLAT', 'HW', 'NCHW']
    """
    if len(shape) == 4:
        return "NHWC" if shape[3] in (1, 3) and shape[1] not in (1, 3) else "NCHW"
    if len(shape) == 3:
        return "FLAT" if 1 in shape[1:] else "HW"
    return "FLAT" if len(shape) == 2 else "NCHW"


@dataclass(frozen=True, kw_only=True)
class Shown:
    """What a model shows of its contract.

    Attributes:
        ending: of its only output.
        white: the value of white that its first layers divide by.
    """

    ending: Ending | None = None
    white: int | None = None


NOTHING = Shown()


def template(shape: Shape, dtype: str, signature: Signature | None = None, shown: Shown = NOTHING) -> str:
    """Return a TOML file that fits a model.

    Args:
        shape: of its input; empty: not known.
        dtype: of its input, as NumPy calls it.
        signature: of the model's file; None: no more is known than the input.
        shown: more, where there is no signature.
    """
    outputs = () if signature is None else signature.outputs
    read = _read_output(outputs)
    layout = likely_layout(shape)
    lines = [
        "[contract]",
        f'layout = "{layout}"{_of_the_layout(layout, shape)}',
        _range(dtype, shown.white, None if signature is None else signature.inputs[0]),
        _output(read, shown.ending),
        *_names(outputs, read),
        *_size(layout, shape),
    ]
    if dtype in INTEGERS:
        lines.append(f'dtype = "{dtype}"')
        lines.append("# scale = 0.00392157  # of a quantised input, with zero_point = 0; range is then of real numbers")
    return "\n".join([*lines, _COMMENTED]) + "\n"


def _range(dtype: str, white: int | None, taken: TensorSign | None) -> str:
    real = None if taken is None or taken.dtype == dtype else _real_range(taken)
    if real is not None:
        return f"range = [{real[0]:.4g}, {real[1]:.4g}]  # black and white: the real numbers that its integers can hold"
    if white is not None:
        return f"range = [0, {white}]  # the values of black and white; the first layers rescale them"
    usual = {"int8": "[-128, 127]"}.get(dtype, "[0, 255]" if dtype in INTEGERS else "[0, 1]")
    return f"range = {usual}  # the values of black and white; [0, 1], [0, 255] and [-1, 1] are usual"


def _real_range(taken: TensorSign) -> tuple[float, float] | None:
    """Return the least and the largest number of a quantised tensor, the usual ones where they are next to these."""
    if not taken.scale or taken.dtype not in INTEGERS:
        return None
    limits = limits_of(taken.dtype)
    low, high = ((limit - (taken.zero_point or 0)) * taken.scale for limit in limits)
    near = [(a, b) for a, b in _USUAL if max(abs(a - low), abs(b - high)) <= _NEAR * (b - a)]
    return near[0] if near else (low, high)


def _of_the_layout(layout: str, shape: Shape) -> str:
    if layout in FLAT:
        return '  # or "FLAT_NCHW"; the same for one channel'
    return "" if len(shape) in (3, 4) else '  # or "NHWC", "HW", "FLAT"; the file does not say'


def _read_output(outputs: Sequence[TensorSign]) -> TensorSign | None:
    """Return the output that is probably meant: the widest with rows of scores, else the first."""
    scores = [tensor for tensor in outputs if tensor.dtype.startswith("float") and len(tensor.shape or ()) in (0, 2)]
    ended = [tensor for tensor in scores if tensor.ending is not None]
    return next(iter([*ended, *scores, *outputs]), None)


def _output(tensor: TensorSign | None, ending: Ending | None) -> str:
    end = ending if tensor is None else tensor.ending
    if end in ("softmax", "sigmoid"):
        return f'output = "probabilities"  # the model ends in a {end}'
    if end == "log_softmax":
        return 'output = "logits"  # the model ends in the logarithm of a softmax'
    if tensor is not None and tensor.dtype == "sequence":
        return 'output = "probabilities"  # dictionaries, as scikit-learn\'s converter makes them'
    whole = tensor is not None and (tensor.dtype in (*INTEGERS, "string")) and len(tensor.shape or ()) <= 1
    if whole:
        return 'output = "labels"'
    return 'output = "logits"  # or "probabilities"; the file shows no softmax at its end'


def _names(outputs: Sequence[TensorSign], read: TensorSign | None) -> list[str]:
    if len(outputs) < 2 or read is None:
        return []
    others = ", ".join(_described(tensor) for tensor in outputs[:6] if tensor is not read)
    return [f"output_name = {json.dumps(visible(read.name))}  # {_shape(read)}; the others: {others}"]


def _described(tensor: TensorSign) -> str:
    return f"{visible(tensor.name, longest=40)} {_shape(tensor)}"


def _shape(tensor: TensorSign) -> str:
    if tensor.shape is None:
        return visible(tensor.dtype, longest=40)
    return f"({', '.join('?' if axis is None else visible(str(axis), longest=20) for axis in tensor.shape)})"


def _size(layout: str, shape: Shape) -> list[str]:
    axes = {"NHWC": shape[1:3], "NCHW": shape[2:4], "HW": shape[1:3]}.get(layout, ())
    if len(axes) == 2 and all(isinstance(axis, int) for axis in axes):
        return [f"size = [{axes[0]}, {axes[1]}]", f"# {_RESIZE}"]
    return ["# size = [28, 28]  # height and width, where your images have others", f"# {_RESIZE}"]
