"""The tensors of a TFLite file: their shapes, and the real numbers that their integers stand for."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_core.foreign_text import visible
from cae_core.signature import Ending, TensorSign

__all__ = ["Tensor", "tensor_of"]


@dataclass(frozen=True, kw_only=True)
class Tensor:
    """One input or output.

    Attributes:
        index: number of the tensor in the file.
        name: there.
        shape: a free axis is None; what the batch is, if it is fixed, stands first.
        dtype: data type, as NumPy calls it.
        scale: of a quantised tensor, whose integer q stands for scale * (q - zero_point); 0: it is not quantised.
        zero_point: likewise.
    """

    index: int
    name: str
    shape: tuple[int | None, ...]
    dtype: np.dtype[Any]
    scale: float
    zero_point: int

    @property
    def quantised(self) -> bool:
        """Whether its integers stand for real numbers."""
        return self.scale > 0 and self.dtype.kind in "iu"

    def quantise(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the integers nearest to real numbers."""
        info = np.iinfo(self.dtype)
        whole: NDArray[Any] = np.clip(np.rint(values / self.scale) + self.zero_point, info.min, info.max)
        return whole.astype(self.dtype)

    def real(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the real numbers, float32, of what the model answers; of what is not quantised, the answer itself."""
        if not self.quantised:
            return values
        return ((values.astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)

    @property
    def width(self) -> int | None:
        """How many scores it has for one image, as far as its shape says; None: it does not."""
        axes = [size for size in self.shape[1:] if size != 1]
        if len(self.shape) < 2 or len(axes) > 1 or None in axes:
            return None
        return axes[0] if axes else 1

    def sign(self, ending: Ending | None = None) -> TensorSign:
        """Return what the file says of it, and the function that it ends in."""
        scale, zero_point = (self.scale, self.zero_point) if self.quantised else (None, None)
        return TensorSign(
            name=self.name, dtype=str(self.dtype), shape=self.shape, ending=ending, scale=scale, zero_point=zero_point
        )

    @property
    def words(self) -> str:
        """As messages show it."""
        shape = ", ".join("?" if axis is None else str(axis) for axis in self.shape)
        return f"{visible(self.name, 60)} {self.dtype} ({shape})"


def tensor_of(details: dict[str, Any]) -> Tensor:
    """Return a tensor as the interpreter describes it."""
    fixed = [int(axis) for axis in details["shape"]]
    signed = [int(axis) for axis in details.get("shape_signature", fixed)]
    shape = signed if len(signed) == len(fixed) else fixed  # older files have none
    scale, zero_point = details["quantization"]
    return Tensor(
        index=int(details["index"]),
        name=str(details["name"]),
        shape=tuple(axis if axis >= 0 else None for axis in shape),
        dtype=np.dtype(details["dtype"]),
        scale=float(scale),
        zero_point=int(zero_point),
    )
