"""From a model's file and labelled images to its contract, and to the file that states it."""

import os
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cae_core.containment.limits import GENEROUS, Limits
from cae_core.contract import Contract
from cae_core.contract_search.contract_images import contract_images
from cae_core.contract_search.elimination import STAGES
from cae_core.contract_search.found import ContractFound, contract_text
from cae_core.contract_search.search import search_contract
from cae_core.dataset import ImageSet
from cae_core.errors import ModelError
from cae_core.files.storage import write_new
from cae_core.loaders import Device
from cae_core.models import Model
from cae_core.opening.model_files import ModelFiles
from cae_core.opening.own_code import is_own_code
from cae_core.opening.party import Party
from cae_core.paths import StrPath
from cae_core.progress import StageProgress, silent

__all__ = ["contract_path", "find_contract", "write_contract"]


def find_contract(
    model: StrPath,
    data: ImageSet,
    *,
    taken: NDArray[np.uint8] | None = None,
    count: int = STAGES[-1],
    seed: int = 0,
    device: Device = "auto",
    trusted: bool = False,
    named_by_user: bool = False,
    limits: Limits = GENEROUS,
    files: ModelFiles | None = None,
    progress: StageProgress = silent,
) -> ContractFound:
    """Find the contract of a model's file by its accuracy; see `search_contract`.

    Args:
        model: the path of the model. A service has none: what it answers is not tried out.
        data: labelled images of its task.
        taken: uint8 (m, h, w, k), examples and probes, which are not asked.
        count: at most so many images are asked.
        seed: decides which.
        device: where to run it.
        trusted: whether the file is one's own: it then runs in this process; see `open_black_box`.
        named_by_user: whether the user has named it himself, so that it may be code of his own; see `open_black_box`.
        limits: of the model's process.
        files: of the model, where somebody has hashed them already.
        progress: called with the candidates asked and their number, in each stage.

    Raises:
        CaeError: see `contract_images`, `search_contract` and `open_black_box`.
    """
    name = os.fspath(model)
    images = contract_images(data, taken, count=count, seed=seed)
    files = files or ModelFiles(name)
    party = Party(device=device, limits=limits)

    def opening(contract: Contract) -> Model:
        return party.black_box(name, contract=contract, trusted=trusted, named_by_user=named_by_user, files=files).model

    try:
        signature = party.signature(name, trusted=trusted, named_by_user=named_by_user)
        if signature is None:
            raise ModelError(
                f"{name}: what opens such models does not tell their tensors, by which contracts are tried. "
                "State its contract (--contract)."
            )
        found = search_contract(signature, opening, images, origin=name, sha256=files.digest, progress=progress)
    finally:
        party.end()
    files.check_unchanged()
    return found


def contract_path(model: StrPath) -> Path:
    """Return where the contract of a model is looked for: beside it, or its weights, with the suffix ``.toml``."""
    spec = os.fspath(model)
    file = next(iter(ModelFiles(spec).paths.values()), Path(spec)) if is_own_code(spec) else Path(spec)
    return file.with_suffix(".toml")


def write_contract(found: ContractFound, path: Path) -> None:
    """Write a contract that was found, with the table of accuracies in comments.

    Raises:
        OverwriteError: there is a file already.
        StorageError: it cannot be written.
    """
    write_new(path, contract_text(found).encode())
