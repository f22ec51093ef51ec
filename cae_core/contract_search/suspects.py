"""A suspect of which nobody states the contract, opened by what labelled images tell."""

import numpy as np
from numpy.typing import NDArray

from cae_core.contract import Task
from cae_core.contract_search.of_file import find_contract
from cae_core.dataset import ImageSet
from cae_core.errors import ContractError
from cae_core.models import Model
from cae_core.opening.model_files import ModelFiles
from cae_core.opening.opened import Opened
from cae_core.opening.party import Party
from cae_core.progress import StageProgress, say, silent

__all__ = ["MOST_RIVALS", "open_by_accuracy"]

MOST_RIVALS = 8
"""Contracts by which one suspect is asked at most."""


def open_by_accuracy(
    party: Party,
    name: str,
    data: ImageSet,
    taken: NDArray[np.uint8],
    *,
    task: Task,
    files: ModelFiles,
    trusted: bool = False,
    named_by_user: bool = False,
    progress: StageProgress = silent,
) -> tuple[Opened[Model], ...]:
    """Find the contract of a suspect, and open it by that: by each of those that are left, the best one first.

    Args:
        party: the suspect's.
        name: its path.
        data: labelled images of its task.
        taken: uint8 (m, h, w, k), examples and probes, which are not asked.
        task: the classes that it will be asked about.
        files: of the suspect.
        trusted: whether it is one's own.
        named_by_user: whether the user has named it himself, so that it may be code of his own.
        progress: called with the candidates asked and their number, in each stage; told what was found.

    Raises:
        ContractError: nothing was found, or too much.
        CaeError: see `find_contract`.
    """
    found = find_contract(
        name,
        data,
        taken=taken,
        device=party.device,
        trusted=trusted,
        named_by_user=named_by_user,
        limits=party.limits,
        files=files,
        progress=progress,
    )
    if not 0 < len(found.contracts) <= MOST_RIVALS:
        raise ContractError(found.why)
    best, told = found.tried[0], len(found.contracts)
    which = "the contract that was found" if told == 1 else f"each of the {told} contracts that are left"
    say(progress, f"asked by {which}: {best.words} ({best.accuracy:.3f} of {best.images} images right)")
    return tuple(
        party.black_box(name, contract=each, trusted=trusted, named_by_user=named_by_user, files=files, task=task)
        for each in found.contracts
    )
