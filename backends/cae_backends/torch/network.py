"""A module, its contract and the arithmetic between them as one torch module, so that autograd gives the adjoint.

Also the border between NumPy and torch: upload, download and the pullback.
"""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cae_core.arrays import Floats32, Images, as_unit_float, check_images
from cae_core.contract import SMALLEST_PROBABILITY, Contract
from cae_core.contract.integers import limits_of
from cae_core.contract.layouts import tensor_shape
from cae_core.errors import ModelError, first_line
from cae_core.models import Pullback
from cae_core.resize import resize_matrix

__all__ = [
    "FORWARD_ERRORS",
    "ContractInput",
    "ContractedNetwork",
    "download",
    "exact_float32",
    "make_pullback",
    "resolve_device",
    "upload",
]

FORWARD_ERRORS = (
    *(RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, AssertionError),
    ArithmeticError,  # of sizes that are worked out in Python: a stride of 0, an infinite scale
)
"""What torch modules raise when their input does not suit them."""


class ContractInput(nn.Module):
    """Makes a model's tensor from canonical images, as `Contract.to_input` does in NumPy."""

    mean_image: Tensor | None

    def __init__(self, contract: Contract) -> None:
        super().__init__()
        self.contract = contract
        image = contract.mean_image
        self.register_buffer("mean_image", None if image is None else torch.tensor(image))

    def forward(self, images: Tensor) -> Tensor:
        """Take float32 (n, h, w, k) in [0, 1] to the model's layout, size, channels and range."""
        x = self._resize(images)
        matrix = self.contract.channel_matrix(x.shape[3])
        if not np.array_equal(matrix, np.eye(x.shape[3])):
            x = x @ _constant(matrix.T, x)
        scale, shift = self.contract.affine(x.shape[3])
        if (scale != 1).any() or shift.any():
            x = x * _constant(scale, x) + _constant(shift, x)
        if self.mean_image is not None:
            low, high = self.contract.range  # scale = (high - low) / std
            x = x - self.mean_image * _constant(scale / np.float32(high - low), x)
        _, height, width, channels = x.shape
        if self.contract.layout in ("NCHW", "FLAT_NCHW"):
            x = x.permute(0, 3, 1, 2)
        if self.contract.layout not in ("NCHW", "NHWC"):  # -1: whoever traces this keeps the batch free
            x = x.reshape(-1, *tensor_shape(self.contract.layout, (height, width, channels)))
        if self.contract.takes_integers:
            x = self._quantised(x)
        return x.contiguous()

    def _quantised(self, x: Tensor) -> Tensor:
        contract, (low, high) = self.contract, limits_of(self.contract.dtype)
        stretched = x if contract.scale is None else x / contract.scale
        return (stretched.round() + (contract.zero_point or 0)).clamp(low, high).to(getattr(torch, contract.dtype))

    def _resize(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        self.contract.check_size(height, width)
        size, rule = self.contract.size, self.contract.resize
        if size is None or rule is None or size == (height, width):
            return x
        rows = _constant(resize_matrix(height, size[0], rule), x)
        columns = _constant(resize_matrix(width, size[1], rule), x)
        return torch.einsum("Hh,nhwk,Ww->nHWk", rows, x, columns)


class ContractedNetwork(nn.Module):
    """From canonical images to canonical logits: the contract's input, the module, the contract's output.

    Args:
        module: a classifier in eval mode; used as it is, not copied.
        contract: what it takes and answers.
        dtype: the arithmetic of ``module``; its input is converted, its answer comes back as float32.
        memory_format: of the module's input.
        origin: the file or class of the module, for messages; empty: it has none.
    """

    def __init__(
        self,
        module: nn.Module,
        contract: Contract,
        *,
        dtype: torch.dtype | None = None,
        memory_format: torch.memory_format = torch.contiguous_format,
        origin: str = "",
    ) -> None:
        super().__init__()
        self.input = ContractInput(contract)
        self.module = module
        self.contract = contract
        self._named = f"{origin}: the model" if origin else "The model"
        self._dtype = dtype
        self._memory_format = memory_format
        self.register_buffer("columns", _columns(contract))

    def scores(self, images: Tensor) -> Tensor:
        """Return the module's own answer, (n, outputs) or labels, for float32 images (n, h, w, k) in [0, 1].

        Raises:
            ModelError: the module fails, or answers no such shape.
        """
        # Many graphs reshape by (-1, features), which is ambiguous for no images: one is added and taken away.
        empty = len(images) == 0
        x = self.input(torch.cat([images, images.new_zeros(1, *images.shape[1:])]) if empty else images)
        x = x if self._dtype is None else x.to(self._dtype)
        try:
            answer = self.module(x.contiguous(memory_format=self._memory_format) if x.ndim == 4 else x)
        except Exception as exc:  # whatever a foreign module raises, its file or its contract is at fault
            raise ModelError(
                f"{self._named} fails on its input of shape {tuple(x.shape)} and dtype {_name(x.dtype)} "
                f"({first_line(exc)}). Check layout, size and channels in its contract, and that its batch is free."
            ) from exc
        self._check_answer(answer, len(x))
        scores: Tensor = answer[: len(images)] if empty else answer
        return scores

    def forward(self, images: Tensor) -> Tensor:
        """Return float32 logits (n, c) in the order of the data set's classes.

        Probabilities become log-probabilities, clamped at 1e-30.
        """
        return self.logits_of(self.scores(images))

    def logits_of(self, scores: Tensor) -> Tensor:
        """Return the canonical logits of what the module answers, (n, outputs)."""
        scores = scores.to(torch.float32)
        if isinstance(self.columns, Tensor):
            scores = scores.index_select(1, self.columns)
        if self.contract.output == "probabilities":
            scores = scores.clamp_min(SMALLEST_PROBABILITY).log()
        return scores

    def _check_answer(self, answer: object, n: int) -> None:
        labels, classes = self.contract.output == "labels", self.contract.classes
        if isinstance(answer, Tensor) and answer.ndim in (1, 2) and answer.shape[0] == n:
            width = answer.shape[1] if answer.ndim == 2 else None
            if width in (None, 1) if labels else width is not None and width == len(classes or range(width)):
                return
        found = f"shape {tuple(answer.shape)}" if isinstance(answer, Tensor) else type(answer).__name__
        expected = f"({n},)" if labels else f"({n}, {len(classes) if classes else 'classes'})"
        raise ModelError(
            f"A classifier must answer {n} images with one tensor of shape {expected}; found {found}. "
            "Wrap the model so that it returns this only."
        )


def resolve_device(name: str) -> torch.device:
    """Return the device called ``name``; ``"auto"`` is a CUDA device where one is usable, else the CPU.

    Raises:
        ModelError: there is no such device here.
    """
    usable = _cuda_is_usable()
    if name == "auto":
        name = "cuda" if usable else "cpu"
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError) as exc:
        raise ModelError(f'Torch cannot use the device {name!r} ({first_line(exc)}). Use "auto" or "cpu".') from exc


@lru_cache(maxsize=1)
def _cuda_is_usable() -> bool:
    """Ask once, and in silence: after TensorFlow has looked for GPUs in vain, torch warns that the driver failed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.cuda.is_available()


def upload(images: Images, device: torch.device) -> Tensor:
    """Return a float32 copy of ``images`` in [0, 1], (n, h, w, k), on ``device``."""
    # A copy, because the caller may go on changing its array before it pulls back.
    return torch.tensor(as_unit_float(check_images(images)), device=device)


def download(values: Tensor) -> Floats32:
    """Return ``values`` as a fresh contiguous float32 array."""
    return np.array(values.detach().to("cpu", torch.float32).numpy(), order="C")


def make_pullback(logits: Tensor, images: Tensor) -> Pullback:
    """Return the vector-Jacobian product of ``logits`` with respect to the leaf ``images``; it may be called again."""
    if not logits.requires_grad:
        raise ModelError("The model's answer does not depend on its input in a way that torch can differentiate.")

    def pull_back(gradient: Floats32) -> Floats32:
        if gradient.shape != logits.shape:
            raise ModelError(f"The gradient must have the logits' shape {tuple(logits.shape)}; found {gradient.shape}.")
        upstream = torch.tensor(np.ascontiguousarray(gradient, np.float32), device=logits.device)
        try:
            with exact_float32():
                (result,) = torch.autograd.grad(logits, images, upstream, retain_graph=True)
        except Exception as exc:  # likewise
            raise ModelError(f"The model cannot be differentiated ({first_line(exc)}).") from exc
        return download(result)

    return pull_back


@contextmanager
def exact_float32() -> Iterator[None]:
    """Switch off TensorFloat-32, which CUDA convolutions use by default and which keeps ten bits only."""
    cudnn = torch.backends.cudnn
    with cudnn.flags(
        enabled=cudnn.enabled,
        benchmark=cudnn.benchmark,
        benchmark_limit=cudnn.benchmark_limit,
        deterministic=cudnn.deterministic,
        allow_tf32=False,
    ):
        yield


def _constant(values: NDArray[np.float32], like: Tensor) -> Tensor:
    return torch.tensor(np.ascontiguousarray(values), dtype=like.dtype, device=like.device)


def _columns(contract: Contract) -> Tensor | None:
    """Return the module's column of each class of the data set; None where the order is the same."""
    if contract.classes is None:
        return None
    places = np.arange(len(contract.classes), dtype=np.float32)[None]
    return torch.tensor(contract.to_canonical(places)[0].astype(np.int64))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")
