"""What torch networks with published weights have in common: reading such a file, and fixed initial weights."""

import pickle
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor, nn

from cae_backends.architectures.weights_files import check_file
from cae_core.errors import ModelError, first_line

__all__ = ["load_below", "read_state", "seeded"]


def read_state(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a file by name; code in it does not run.

    Raises:
        ModelError: there is no such file, it is broken, or it holds other things than tensors.
    """
    check_file(path)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, LookupError) as exc:  # the second for an opcode that is none
        raise ModelError(
            f"{path}: the file holds more than tensors, and pickled code is never run. "
            "Give what torch.save(module.state_dict()) wrote."
        ) from exc
    except (RuntimeError, ValueError, OSError, EOFError) as exc:
        raise ModelError(f"{path}: the file of weights is broken ({first_line(exc)}). Fetch it again.") from exc
    if not isinstance(state, dict) or not all(isinstance(value, Tensor) for value in state.values()):
        raise ModelError(f"{path}: a state_dict of tensors is expected; found {type(state).__name__} of other things.")
    return state


def load_below(
    network: nn.Module, state: Mapping[str, Tensor], classifiers: tuple[str, ...], *, path: Path, whose: str
) -> None:
    """Put ``state`` into ``network``, but for the weights whose names begin with one of ``classifiers``.

    Args:
        network: changed in place.
        state: by the network's names.
        classifiers: beginnings of names; these layers keep what they have.
        path: that the state was read from, for messages.
        whose: which network's weights are expected, for messages.

    Raises:
        ModelError: names or shapes are not the network's.
    """
    below = {key: value for key, value in state.items() if not key.startswith(classifiers)}
    wrong = f"{path}: these are not the weights of {whose}"
    try:
        missing, unexpected = network.load_state_dict(below, strict=False)
    except RuntimeError as exc:
        raise ModelError(f"{wrong} ({str(exc).splitlines()[-1].strip()}). Give a file of that network.") from exc
    other = [key for key in missing if not key.startswith(classifiers)] + unexpected
    if other:
        raise ModelError(f"{wrong} ({len(other)} names differ, {other[0]} first). Give a file of that network.")


@contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Let initial weights follow from ``seed``; torch's own random state is left as it was. None: they follow it."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
