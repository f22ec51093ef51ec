"""What no contract can mean: refused when it is made, in one sentence."""

from typing import TYPE_CHECKING

from cae_core.contract.integers import DTYPES, INTEGERS, limits_of
from cae_core.contract.layouts import LAYOUTS
from cae_core.errors import ContractError, quoted
from cae_core.resize import RESIZE_RULES

if TYPE_CHECKING:
    from cae_core.contract.fields import Contract

__all__ = ["check_contract"]

_CHOICES: dict[str, tuple[str, ...]] = {
    "layout": LAYOUTS,
    "channels": ("RGB", "BGR", "GRAY"),
    "dtype": DTYPES,
    "output": ("logits", "probabilities", "labels"),
    "resize": RESIZE_RULES,
}

_LARGEST_SIZE = 4096
"""Pixels: what a classifier takes at most in height and width."""

_LARGEST_VALUE = 1e15
"""Of range, mean and std: their quotients still fit into float32."""

_CLASSES = 1 << 31

_LONGEST_NAME = 1000


def check_contract(contract: "Contract") -> None:
    """Refuse a contract whose fields cannot be, or contradict each other.

    Raises:
        ContractError: naming the field, and what was found.
    """
    for field, choices in _CHOICES.items():
        value = getattr(contract, field)
        if value is not None and value not in choices:
            raise ContractError(f"The contract's {field} must be one of {', '.join(choices)}; found {quoted(value)}.")
    if len(contract.range) != 2 or (contract.size is not None and len(contract.size) != 2):
        raise ContractError("The contract's range and size must have two values each.")
    low, high = contract.range
    if not low < high:
        raise ContractError(f"The contract's range must be (black, white) with black < white; found {contract.range}.")
    if contract.std and min(contract.std) <= 0:
        raise ContractError(f"The contract's std must be positive; found {quoted(contract.std)}.")
    _check_numbers(contract)
    if contract.mean is not None and contract.mean_image is not None:
        raise ContractError("A contract has a mean per channel or a mean image, not both. Remove one.")
    _check_integers(contract)
    _check_names(contract)


def _check_numbers(contract: "Contract") -> None:
    """Refuse what no model can mean: values that are not finite, sizes that no image has, no class at all."""
    for name in ("range", "mean", "std"):
        values = getattr(contract, name)
        if values is not None and not (values and all(abs(v) <= _LARGEST_VALUE for v in values)):
            raise ContractError(f"The contract's {name} must hold ordinary finite numbers; found {quoted(values)}.")
    if contract.size is not None and not all(1 <= v <= _LARGEST_SIZE for v in contract.size):
        raise ContractError(
            f"The contract's size must hold numbers of pixels, 1 to {_LARGEST_SIZE}; found {quoted(contract.size)}."
        )
    if contract.std is not None and min(contract.std) * _LARGEST_VALUE < 1:
        raise ContractError(f"The contract's std must be a divisor; found {quoted(contract.std)}, which is next to 0.")
    classes = contract.classes
    if not (classes is None or (min(classes, default=-2) >= -1 and -1 < max(classes) < _CLASSES)):
        raise ContractError(
            f"The contract's classes must hold numbers of classes, or -1 for none; found {quoted(classes)}."
        )


def _check_integers(contract: "Contract") -> None:
    """Refuse a quantisation that loses the image, or that floats do not have."""
    dtype, scale, zero = contract.dtype, contract.scale, contract.zero_point
    if dtype not in INTEGERS:
        if scale is not None or zero is not None:
            raise ContractError(
                f"The contract's scale and zero_point are of integers, and its dtype is {dtype}. Name the integer "
                'type, such as dtype = "uint8", or remove them.'
            )
        return
    low, high = limits_of(dtype)
    if scale is None:
        _check_integer_range(contract, zero)
    elif not 1 / _LARGEST_VALUE <= scale <= _LARGEST_VALUE:
        raise ContractError(f"The contract's scale must be an ordinary positive number; found {quoted(scale)}.")
    if zero is not None and not low <= zero <= high:
        raise ContractError(f"The contract's zero_point must be from {low} to {high}; found {quoted(zero)}.")


def _check_integer_range(contract: "Contract", zero: int | None) -> None:
    low, high = limits_of(contract.dtype)
    black, white = contract.range
    normalised = bool(contract.mean or contract.std) or contract.mean_image is not None
    whole = float(black).is_integer() and float(white).is_integer()
    fits = low <= black and white <= high and white - black > 1
    if normalised or zero is not None or not (whole and fits):
        usual = {"int8": "[-128, 127]"}.get(contract.dtype, "[0, 255]")
        article = "An" if contract.dtype.startswith("i") else "A"
        raise ContractError(
            f"{article} {contract.dtype} model takes a range of whole numbers, such as {usual}, without mean or std, "
            "or else has a scale (and a zero_point). Correct the contract."
        )


def _check_names(contract: "Contract") -> None:
    for field in ("input", "output_name"):
        name = getattr(contract, field)
        if name is not None and not (isinstance(name, str) and 0 < len(name) <= _LONGEST_NAME):
            raise ContractError(f"The contract's {field} must be the name of a tensor; found {quoted(name)}.")
    names = contract.class_names
    if names is None:
        return
    if len(names) < 2 or len(set(names)) < len(names) or not all(0 < len(name) <= _LONGEST_NAME for name in names):
        raise ContractError(
            f"The contract's class_names must be the names of its outputs, each once; found {quoted(names)}."
        )
    if contract.classes is not None and len(contract.classes) != len(names):
        raise ContractError(
            f"The contract names {len(names)} classes in class_names and {len(contract.classes)} in classes. "
            "Both are lists of the model's outputs."
        )
