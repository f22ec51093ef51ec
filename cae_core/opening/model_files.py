"""The files that a model is read from, and the digest by which it is known: hashed here, when first asked for."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from pathlib import Path

from cae_core.errors import ModelError, StorageError
from cae_core.files.digests import copied_with_digest, digest_of_files, files_in, sha256_of_file, sha256_of_text
from cae_core.loaders import files_told, is_model
from cae_core.opening.own_code import is_own_code

__all__ = ["HashedFile", "ModelFiles", "suspect_digest"]


@dataclass(frozen=True, kw_only=True)
class HashedFile:
    """One file of a model.

    Attributes:
        name: seen from the model's folder, with ``/``.
        sha256: of its content.
    """

    name: str
    sha256: str

    @property
    def line(self) -> str:
        """As ``sha256sum`` prints it."""
        return f"{self.sha256}  {self.name}"


@dataclass(frozen=True)
class ModelFiles:
    """What lies at a path or an address; each file is read once, when a digest is first asked for.

    Attributes:
        spec: the path or the address.
    """

    spec: str

    @cached_property
    def own(self) -> tuple[HashedFile, ...]:
        """The files that the digest covers, by name: every one that the model is read from; none of an address.

        Of code of the user's own, see `own_code`, the files that it names: its weights.

        How it is asked, its contract, is no part of it, and has a digest of its own; see `Contract.digest`.

        Raises:
            ModelError: a file is not there, leads out of the model's folder, or is none; see `files_told`.
        """
        return tuple(HashedFile(name=name, sha256=sha256_of_file(path)) for name, path in self.paths.items())

    @cached_property
    def digest(self) -> str:
        """The SHA-256 by which the model is known: over all of its files, or of the address itself.

        Raises:
            ModelError: see `own`, and `digest_of_files`.
        """
        if not (self.own or Path(self.spec).exists()):
            return sha256_of_text(self.spec)
        return digest_of_files({file.name: file.sha256 for file in self._lines}, folder=Path(self.spec).is_dir())

    @property
    def lines(self) -> tuple[str, ...]:
        """The files of the digest as ``sha256sum`` prints them, by name."""
        return tuple(file.line for file in self._lines)

    @cached_property
    def _lines(self) -> tuple[HashedFile, ...]:
        """What the digest covers: the files and, of code of the user's own, the words that say what is made of them."""
        if not (self.own and is_own_code(self.spec)):
            return self.own
        words = self.spec.rpartition("=")[0]
        return (*self.own, HashedFile(name=words, sha256=sha256_of_text(words)))

    @cached_property
    def sha256(self) -> Mapping[Path, str]:
        """The SHA-256 of every file that opening the model may read: its own ones and, after them, its contract's.

        Raises:
            ModelError: see `own`.
        """
        hashed = zip(self.paths.values(), (file.sha256 for file in self.own), strict=True)
        return {**dict(hashed), **{file: sha256_of_file(file) for file in self._told.contract}}

    @property
    def has_contract(self) -> bool:
        """Whether a file beside the model says how it is asked, which its digest does not cover."""
        return bool(self._told.contract)

    def check_unchanged(self) -> None:
        """Refuse a model of which a file was written to, or exchanged, since it was hashed.

        Raises:
            ModelError: naming it.
        """
        for path, state in self._states.items():
            if _state(path) != state:
                raise ModelError(
                    f"{path}: the file was changed while it was in use, so its answers may belong to another "
                    "model. Make sure that nobody writes to it, and start again."
                )

    @property
    def unchanged(self) -> bool:
        """Whether what was hashed still lies there, by inode, size and times."""
        return all(_state(path) == state for path, state in self._states.items())

    def copied(self, folder: Path) -> "ModelFiles":
        """Copy the model into an empty folder of its own, hashed while it is copied: the copy is what was hashed.

        Args:
            folder: which nobody else may write to.

        Returns:
            The files of the copy; an address is returned as it is.

        Raises:
            ModelError: see `own`.
            StorageError: the copy cannot be written.
        """
        path = Path(self.spec)
        if not path.exists():
            return self
        base = folder / path.name if path.is_dir() else folder
        try:
            hashed = [HashedFile(name=name, sha256=_copied(source, base / name)) for name, source in self.paths.items()]
            for source in self._told.contract:
                _copied(source, folder / source.relative_to(path.parent))
        except OSError as error:
            raise StorageError(f"{path}: no copy of it can be made in {folder} ({error.strerror or error}).") from error
        copy = ModelFiles(str(folder / path.name))
        copy.__dict__["own"] = tuple(hashed)  # where `cached_property` looks
        return copy

    @cached_property
    def _told(self) -> "_Told":
        path = Path(self.spec)
        if not path.exists():
            return _Told(*files_told(self.spec)) if is_own_code(self.spec) else _Told((), ())
        told, contract = files_told(self.spec)
        return _Told(told or tuple(files_in(path)), contract)

    @cached_property
    def paths(self) -> Mapping[str, Path]:
        """Where the files of the digest lie, by the names that they have in it.

        Raises:
            ModelError: see `own`.
        """
        self._states  # noqa: B018 - taken before anything is read
        path = Path(self.spec)
        if path.is_file():
            _refuse_other_models(path, self._told.own)
        if is_own_code(self.spec):
            return {file.name: file for file in self._told.own}
        return dict(sorted((_seen_from(path, file), file) for file in self._told.own))

    @cached_property
    def _states(self) -> Mapping[Path, tuple[int, ...]]:
        return {path: _state(path) for path in chain(self._told.own, self._told.contract)}


@dataclass(frozen=True)
class _Told:
    """The files of a model: those that it is read from, and those that say how it is asked."""

    own: tuple[Path, ...]
    contract: tuple[Path, ...]


def suspect_digest(spec: str | os.PathLike[str]) -> str:
    """Return the SHA-256 by which a suspect is known: over all of its files, else of the string that names it."""
    return ModelFiles(os.fspath(spec)).digest


def _refuse_other_models(model: Path, own: Iterable[Path]) -> None:
    """Refuse a file of weights that is a model itself: the digest names files, and not which one is the model.

    Raises:
        ModelError: one is, or the folder around them.
    """
    others = [file for file in own if file != model]
    found = next(
        (file for file in others if is_model(file)), model.parent if others and is_model(model.parent) else None
    )
    if found is not None:
        raise ModelError(
            f"{model}: some of its weights lie in {found}, which is a model by itself, so that one list of files would "
            "be two models. Export it with its weights in a file of their own."
        )


def _seen_from(model: Path, file: Path) -> str:
    """Return the name of a file of ``model``, seen from its folder.

    Raises:
        ModelError: it lies elsewhere.
    """
    folder = model if model.is_dir() else model.parent
    if not file.is_relative_to(folder) or ".." in file.relative_to(folder).parts:
        raise ModelError(f"{model}: it is read from {file} too, which lies outside of its folder. Copy it there.")
    return file.relative_to(folder).as_posix()


def _copied(source: Path, target: Path) -> str:
    target.parent.mkdir(parents=True, exist_ok=True)
    return copied_with_digest(source, target)


def _state(path: Path) -> tuple[int, ...]:
    """Return what is known of a file without reading it; nothing of one that is gone."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
