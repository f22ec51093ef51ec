"""A file of weights, read as tensors only, and brought to the names that a network has for them.

Training code stores more than the weights (epoch, accuracy, the optimiser's state), and stores them under a name of its
own: ``{"state_dict": ...}``, ``{"net": ...}``; a network that ran on several devices has ``module.`` before each name.
"""

import argparse
import pickle
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from torch import Tensor, nn

from cae_core.errors import ModelError
from cae_core.foreign_text import visible
from cae_core.reading import file_size, reading

__all__ = ["load_weights"]

Weights: TypeAlias = Mapping[str, Tensor]

_PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "classifier.", "backbone.", "encoder.")
"""What a wrapper puts before every name: `nn.DataParallel`, `torch.compile`, and modules that hold the network."""

_SHOWN = 3

_DEEPEST = 3
"""Levels of dictionaries around the weights."""


@dataclass(frozen=True)
class _Found:
    """One dictionary of tensors in a file.

    Attributes:
        weights: by the names that the network shall know.
        place: the keys that lead to it; empty: the whole file.
        prefix: what was taken from each name.
    """

    weights: Weights
    place: tuple[str, ...] = ()
    prefix: str = ""

    @property
    def told(self) -> str:
        """What was done, in words; empty where the file was taken as it is."""
        inside = f"the weights in {visible('.'.join(self.place), 60)!r}" if self.place else ""
        less = f"names without {visible(self.prefix, 30)!r}" if self.prefix else ""
        return ", ".join(part for part in (inside, less) if part)


def load_weights(network: nn.Module, path: Path) -> str:
    """Put the weights in a file into a network.

    Args:
        network: made by its class; its weights are replaced.
        path: what ``torch.save`` wrote, of tensors, or a ``.safetensors`` file.

    Returns:
        What was done to find them, in words; empty where the file was taken as it is.

    Raises:
        ModelError: the file cannot be read as tensors only, or they are not those of the network.
    """
    content = _read(path)
    wanted = network.state_dict()
    found = min(_candidates(content), key=lambda one: _misfit(one.weights, wanted), default=None)
    if found is None:
        raise ModelError(f"{path}: it holds no weights (a dictionary of tensors). Save net.state_dict().")
    _check_fit(found, wanted, path)
    with reading(path, ModelError, fault="the weights cannot be put into the network", remedy="Is it this class?"):
        network.load_state_dict({name: found.weights[name] for name in wanted if name in found.weights}, strict=False)
    return found.told


def _read(path: Path) -> Any:  # noqa: ANN401 - what the file holds
    with reading(path, ModelError, fault="this is no file of weights", remedy="Save net.state_dict() again."):
        file_size(path)  # it is a file, and no pipe
        if path.suffix.lower() == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with _plain_values(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return torch.load(path, map_location="cpu", weights_only=True)
            except pickle.UnpicklingError as exc:
                raise ModelError(f"{path}: {_why_not(exc)}") from exc


def _why_not(exc: pickle.UnpicklingError) -> str:
    """Return the sentence for what torch's reader of tensors says at length."""
    foreign = re.search(r"GLOBAL (\S+)", str(exc))
    if foreign is None:
        return (
            "this is nothing that torch.save wrote; a small one may be a pointer of Git LFS, or a web page. Get the "
            "file itself, or save net.state_dict() again."
        )
    return (
        f"it holds pickled objects beside tensors ({visible(foreign[1], 80)}), perhaps a whole network, and those are "
        "never loaded, because they run code. Save the weights alone: torch.save(net.state_dict(), path)."
    )


def _plain_values() -> AbstractContextManager[Any]:
    """Allow what training code stores beside weights and what runs nothing: NumPy's numbers, a table of options."""
    from numpy._core.multiarray import _reconstruct, scalar  # their public names are gone, and files hold them

    made = (_reconstruct, scalar)
    old = [(one, f"numpy.core.multiarray.{one.__name__}") for one in made]  # as NumPy 1 wrote them
    kinds = {type(np.dtype(kind)) for kind in (*np.sctypeDict.values(),) if np.dtype(kind).kind in "biuf"}
    return torch.serialization.safe_globals([*made, *old, np.ndarray, np.dtype, *kinds, argparse.Namespace])


def _candidates(content: object) -> Iterator[_Found]:
    """Yield the dictionaries of tensors in a file, each with and without what stands before all of its names."""
    for place, weights in _dictionaries(content, ()):
        yield _Found(weights, place)
        bare, taken = dict(weights), ""
        while (prefix := _common(bare)) is not None:
            bare, taken = {name.removeprefix(prefix): value for name, value in bare.items()}, taken + prefix
            yield _Found(bare, place, taken)


def _dictionaries(content: object, place: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Weights]]:
    if isinstance(content, nn.Module | Tensor) or not isinstance(content, Mapping):
        return
    tensors = {str(name): value for name, value in content.items() if isinstance(value, Tensor)}
    if tensors:
        yield place, tensors
    if len(place) < _DEEPEST:
        for name, inner in content.items():
            yield from _dictionaries(inner, (*place, str(name)))


def _common(weights: Weights) -> str | None:
    """Return a known prefix that all names have."""
    return next((prefix for prefix in _PREFIXES if weights and all(name.startswith(prefix) for name in weights)), None)


def _misfit(weights: Weights, wanted: Weights) -> int:
    """Return how many tensors are missing, left over or of another shape."""
    same = sum(name in wanted and wanted[name].shape == value.shape for name, value in weights.items())
    return len(weights) + len(wanted) - 2 * same


def _check_fit(found: _Found, wanted: Weights, path: Path) -> None:
    """Refuse weights that are not the network's; a count of batches may be missing, which answers do not need.

    Raises:
        ModelError: naming what is missing, left over, or of another shape.
    """
    weights = found.weights
    missing = [name for name in wanted if name not in weights and not name.endswith("num_batches_tracked")]
    left = [name for name in weights if name not in wanted and not name.endswith("num_batches_tracked")]
    other = [
        f"{visible(name, 80)} {tuple(value.shape)} instead of {tuple(wanted[name].shape)}"
        for name, value in weights.items()
        if name in wanted and wanted[name].shape != value.shape
    ]
    parts = [
        f"{what} {_few(names)}"
        for what, names in (
            ("missing:", [visible(name, 80) for name in missing]),
            ("left over:", [visible(name, 80) for name in left]),
            ("of another shape:", other),
        )
        if names
    ]
    if parts:
        done = f" ({found.told})" if found.told else ""
        raise ModelError(
            f"{path}: these are not the weights of this network{done}: {'; '.join(parts)}. Name the class, and the "
            "arguments, with which they were trained."
        )


def _few(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
