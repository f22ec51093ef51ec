"""Opening the members of a pool: what one job opens and hashes, it opens and hashes here."""

import dataclasses
import os
from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cae_core.containment.limits import GENEROUS, Limits
from cae_core.containment.record import OWN
from cae_core.loaders import Device, runs_code
from cae_core.models import DifferentiableModel, Model
from cae_core.opening.model_files import ModelFiles
from cae_core.opening.opened import Opened, open_black_box, open_white_box
from cae_core.opening.party import Party
from cae_core.pool.manifest import PoolMember

__all__ = ["OpenPool", "open_member"]


class OpenPool:
    """What one job has opened and hashed: each file is hashed once, as long as nobody writes to it.

    A member is opened when it is asked for, and its caller lets go of it: an open network keeps the memory of its last
    answers, and a pool of them gigabytes. What will be asked again can be kept open.

    Members that are not said to be the user's own run in a process of their own, one for all of them.

    Args:
        device: where the members run.
        opener: gives a member as a black box, such as one that is open already; None: by its file.
        known: files that somebody has hashed already.
        foreign: says which members are not the user's own; None: those that are not trusted.
        limits: of the process of the foreign ones.
    """

    def __init__(
        self,
        *,
        device: Device = "auto",
        opener: Callable[[PoolMember], Model] | None = None,
        known: Iterable[ModelFiles] = (),
        foreign: Callable[[PoolMember], bool] | None = None,
        limits: Limits = GENEROUS,
    ) -> None:
        self.device = device
        self.party = Party(device=device, limits=limits)
        self._opener = opener
        self._files = {_place(files.spec): files for files in known}
        self._foreign: Callable[[PoolMember], bool] = foreign or (lambda member: not member.trusted)
        self._kept: dict[Path, Opened[Model]] = {}

    def files(self, spec: str | Path) -> ModelFiles:
        """Return the files of a model, of this pool or not, by its path or address."""
        place = _place(spec)
        if place not in self._files or not self._files[place].unchanged:
            self._files[place] = ModelFiles(str(spec))
        return self._files[place]

    def digest(self, member: PoolMember) -> str:
        """Return the SHA-256 of the member's file, checked against the manifest's; see `PoolMember.digest`."""
        return member.digest(self.files(member.path))

    def expect(self, members: Iterable[PoolMember], *, gradients: bool = False) -> None:
        """Name the members that will be opened, so that the foreign ones among them share one process.

        Args:
            members: of the job.
            gradients: whether some will be opened with gradients.
        """
        self.party.name(member.path for member in members if self._foreign(member))
        self.party.gradients |= gradients

    def open(self, member: PoolMember, *, keep: bool = False) -> Opened[Model]:
        """Open a member as a black box.

        Args:
            member: of the pool.
            keep: whether it stays open until it is asked for again.

        Raises:
            PoolError: it is trusted, and its file is not the one that the manifest trusts.
            ModelError: it cannot be opened.
        """
        opened = self._kept.pop(member.path, None) or self._opened(member)
        if keep:
            self._kept[member.path] = opened
        return opened

    def open_white_box(
        self, member: PoolMember, *, images: NDArray[np.uint8] | None = None
    ) -> Opened[DifferentiableModel]:
        """Open a member with gradients.

        Args:
            member: of the pool.
            images: uint8 (n, h, w, k), ordinary images by which it is checked; see `open_white_box` of the opening.

        Raises:
            PoolError: it is trusted, and its file is not the one that the manifest trusts.
            ModelError: it cannot be opened, or computes something else than its file.
        """
        spec, files = str(member.path), self.files(member.path)
        if self._foreign(member):
            opened = self.party.white_box(spec, contract=member.contract, images=images, files=files)
        else:
            self._check_trusted(member)
            opened = open_white_box(
                spec,
                contract=member.contract,
                device=self.device,
                trusted=member.trusted,
                images=images,
                files=files,
                containment=OWN,
            )
        return dataclasses.replace(opened, role=member.role, relation=member.relation)

    def _check_trusted(self, member: PoolMember) -> None:
        """Make sure that a trusted file is the one that is trusted; one that runs code is hashed again, just before."""
        if member.trusted and member.sha256 is not None:
            member.digest(None if runs_code(member.path) else self.files(member.path))

    def _opened(self, member: PoolMember) -> Opened[Model]:
        spec, files = str(member.path), self.files(member.path)
        if self._opener is not None:
            opened = Opened(model=self._opener(member), spec=spec, files=files, contract=member.contract)
        elif self._foreign(member):
            opened = self.party.black_box(spec, contract=member.contract, files=files)
        else:
            self._check_trusted(member)
            opened = open_black_box(
                spec,
                contract=member.contract,
                device=self.device,
                trusted=member.trusted,
                files=files,
                containment=OWN,
            )
        return dataclasses.replace(opened, role=member.role, relation=member.relation)


def open_member(member: PoolMember, *, device: Device = "auto") -> Model:
    """Open a single member as a black box; see `OpenPool.open`."""
    return OpenPool(device=device).open(member).model


def _place(spec: str | Path) -> tuple[str, str]:
    """Return by what a model is known again: where it lies, and its name, which its digest may cover."""
    return os.path.realpath(spec), Path(spec).name
