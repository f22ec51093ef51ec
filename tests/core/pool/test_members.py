"""One job opens members through one `OpenPool`: a file is hashed once, and a model held only where that was asked."""

import dataclasses
import os
import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from cae_core import loaders
from cae_core.contract import Contract
from cae_core.errors import ModelError, PoolError
from cae_core.files import digests
from cae_core.files.digests import sha256_of_file
from cae_core.pool.manifest import PoolMember
from cae_core.pool.members import OpenPool
from cae_core.testing import LinearModel


class Shelf:
    """A loader of ``.toy`` files that remembers what it has opened, and on which device."""

    name = "toys"
    suffixes = (".toy",)
    folders = ()
    schemes = ()
    gradients = True

    def __init__(self) -> None:
        self.opened: list[tuple[str, str]] = []

    def open(self, spec: str, *, contract: Contract | None, device: str) -> LinearModel:  # noqa: ARG002 - the protocol
        self.opened.append((Path(spec).name, device))
        return LinearModel.random((2, 2, 1), classes=3, seed=0)


def own_pool(device: str = "auto") -> OpenPool:
    """Return a pool of one's own models: they are opened here."""
    return OpenPool(device=device, foreign=lambda _member: False)


@pytest.fixture
def shelf(monkeypatch: pytest.MonkeyPatch) -> Shelf:
    made = Shelf()
    monkeypatch.setattr(loaders, "installed_loaders", lambda: iter([made]))
    return made


@pytest.fixture
def hashed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that are read to be hashed."""
    names: list[str] = []
    blocks = digests._blocks

    def noted(path: Path) -> Iterator[bytes]:
        names.append(path.name)
        return blocks(path)

    monkeypatch.setattr(digests, "_blocks", noted)
    return names


@pytest.fixture
def member(tmp_path: Path) -> PoolMember:
    path = tmp_path / "m.toy"
    path.write_bytes(b"weights")
    return PoolMember(path=path, role="calibrate", relation="reference")


def test_a_file_is_hashed_once_under_whatever_name(
    shelf: Shelf, hashed: list[str], member: PoolMember, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "sub").mkdir()
    pool = own_pool()
    found = {pool.digest(member), pool.files("m.toy").digest, pool.files(tmp_path / "sub" / ".." / "m.toy").digest}
    assert pool.open(member).digest in found
    assert pool.open_white_box(member).digest in found
    assert len(found) == 1
    assert hashed == ["m.toy"]


def test_an_opened_member_says_what_it_is(shelf: Shelf, member: PoolMember) -> None:
    for found in (own_pool(device="cuda:1").open(member), own_pool(device="cuda:1").open_white_box(member)):
        assert (found.spec, found.role, found.relation, found.trusted) == (
            str(member.path), "calibrate", "reference", False,
        )  # fmt: skip
        assert (found.contract, found.digest) == (None, sha256_of_file(member.path))
    assert shelf.opened == [("m.toy", "cuda:1")] * 2


def test_a_member_is_let_go_of_unless_it_is_to_be_kept(shelf: Shelf, member: PoolMember) -> None:
    pool = own_pool()
    gone = weakref.ref(pool.open(member).model)
    assert gone() is None
    kept = weakref.ref(pool.open(member, keep=True).model)
    assert kept() is not None
    assert pool.open(member, keep=True).model is kept()
    assert pool.open(member).model is kept()  # asked for the last time
    assert kept() is None
    assert len(shelf.opened) == 2
    pool.open(member)
    assert len(shelf.opened) == 3


def test_a_member_that_is_open_already(member: PoolMember) -> None:
    model = LinearModel.random((2, 2, 1), classes=3, seed=1)
    found = OpenPool(opener=lambda _member: model).open(member)
    assert found.model is model
    assert (found.role, found.digest) == ("calibrate", sha256_of_file(member.path))
    images = np.zeros((1, 2, 2, 1), np.uint8)
    assert found.model.predict(images).labels.shape == (1,)


def test_the_manifests_digest_is_checked_by_the_one_that_is_known(
    shelf: Shelf, hashed: list[str], member: PoolMember
) -> None:
    pool = own_pool()
    digest = pool.digest(member)
    wrong = PoolMember(path=member.path, role="test", relation="reference", sha256="ab")
    right = PoolMember(path=member.path, role="test", relation="reference", sha256=digest)
    with pytest.raises(PoolError, match="the file has changed since the manifest was written"):
        pool.digest(wrong)
    assert pool.digest(right) == digest
    assert hashed == ["m.toy"]


def test_a_file_that_was_written_to_in_between_is_hashed_again(shelf: Shelf, member: PoolMember) -> None:
    """A case may take hours: what its models are is what they are when they are asked."""
    pool = own_pool()
    known = dataclasses.replace(member, sha256=pool.digest(member))
    assert pool.digest(known) == known.sha256
    member.path.write_bytes(b"more weights")
    assert pool.digest(member) == sha256_of_file(member.path)
    with pytest.raises(PoolError, match="the file has changed since the manifest was written"):
        pool.digest(known)


def test_a_trusted_file_is_hashed_again_just_before_it_is_opened(shelf: Shelf, member: PoolMember) -> None:
    """Opening it runs its code: another file that has taken its place since is not opened."""
    pool = own_pool()
    trusted = PoolMember(
        path=member.path, role="test", relation="reference", trusted=True, sha256=sha256_of_file(member.path)
    )
    assert (pool.digest(trusted), pool.open(trusted).trusted) == (trusted.sha256, True)
    before = member.path.stat()
    member.path.write_bytes(b"crowbar")  # as long, and of the same time
    os.utime(member.path, ns=(before.st_atime_ns, before.st_mtime_ns))
    for use in (pool.digest, pool.open, pool.open_white_box):
        with pytest.raises(PoolError, match="the file has changed since the manifest was written"):
            use(trusted)
    assert len(shelf.opened) == 1


def test_a_member_that_is_not_there(shelf: Shelf, tmp_path: Path) -> None:
    absent = PoolMember(path=tmp_path / "absent.toy", role="test", relation="reference")
    with pytest.raises(PoolError, match="the pool names this model, but there is no such file"):
        own_pool().digest(absent)
    with pytest.raises(ModelError, match="no such model file"):
        own_pool().open(absent)
