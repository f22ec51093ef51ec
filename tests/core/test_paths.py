"""Every public call takes a path as a text and as a `Path`, and the ledger is kept alike in both."""

import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import cae_core
from cae_core import clock, loaders
from cae_core.calibration.calibrate import CalibrationSettings
from cae_core.containment.record import UNCONTAINED
from cae_core.disputes.case import CaseFiles
from cae_core.errors import CaeError, PoolError, VerdictError
from cae_core.files.records import readable_json
from cae_core.fingerprint.file import save_fingerprint
from cae_core.opening import party
from cae_core.pool.manifest import PoolMember
from cae_core.pool.roles import CalibrationMembers
from cae_core.verification.ledger import ledger_of
from cae_core.workflows import checkpoint_of, replay_file
from tests.core.toys import toy_fingerprint
from tests.golden.models import ExactLoader, whole_numbers, write_model

FORMS = [str, Path, os.fspath]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a fingerprint, a suspect that `ExactLoader` opens, and a reference."""
    monkeypatch.setattr(loaders, "installed_loaders", lambda: iter([ExactLoader()]))
    monkeypatch.setattr(party, "_uncontained", lambda *_given, **_named: UNCONTAINED)  # a process has its own loaders
    monkeypatch.chdir(tmp_path)
    save_fingerprint(toy_fingerprint(classes=4), tmp_path / "f")
    for name in ("s", "r"):
        write_model(tmp_path / f"{name}.exact", whole_numbers(name, 64).reshape(16, 4))
    return tmp_path


@pytest.mark.parametrize("form", FORMS)
def test_verify_plan_and_replay(form: Callable[[Path], Any], folder: Path) -> None:
    suspect, fingerprint = form(folder / "s.exact"), form(folder / "f")
    verdict = cae_core.verify_suspect(suspect, fingerprint)
    assert verdict.suspect.name == str(folder / "s.exact")
    assert verdict.earlier is not None  # remembered, without being asked to
    assert cae_core.verify_suspect(suspect, fingerprint, ledger="auto").earlier is not None
    assert len(ledger_of(folder / "f").read_bytes().splitlines()) == 6
    (folder / "v.json").write_bytes(readable_json(verdict))
    assert replay_file(form(folder / "v.json"), fingerprint).differences == ()
    assert len(cae_core.plan_suspect(suspect, fingerprint).questions) == len(verdict.examination.transcript)


@pytest.mark.parametrize("form", FORMS)
def test_the_ledger_elsewhere_or_nowhere(form: Callable[[Path], Any], folder: Path) -> None:
    verdict = cae_core.verify_suspect("s.exact", "f", ledger=form(folder / "l.jsonl"))
    assert verdict.earlier is not None
    assert (folder / "l.jsonl").exists()
    assert cae_core.verify_suspect("s.exact", "f", ledger=None).earlier is None
    assert not ledger_of(folder / "f").exists()


@pytest.mark.parametrize("form", FORMS)
def test_calibrate_seal_and_read(form: Callable[[Path], Any], folder: Path) -> None:
    members = CalibrationMembers(
        references=(PoolMember(path=folder / "r.exact", role="calibrate", relation="reference"),)
    )
    settings = CalibrationSettings()
    with pytest.raises(PoolError):  # it is no classifier of these images; the files were read
        cae_core.calibrate_fingerprint(form(folder / "f"), members, settings=settings, output=form(folder / "o"))
    loaded = cae_core.load_calibrated(form(folder / "f")).fingerprint
    assert cae_core.load_fingerprint(form(folder / "f")).id == loaded.id
    assert cae_core.open_model(form(folder / "s.exact")).predict(np.zeros((1, 4, 4, 1), np.uint8)).labels.shape == (1,)
    assert checkpoint_of(form(folder / "f")) == folder / "f.partial"
    (folder / "pool.toml").write_text('[[model]]\npath = "s.exact"\nrole = "test"\nrelation = "reference"\n')
    assert len(cae_core.read_pool(form(folder / "pool.toml")).members) == 1


@pytest.mark.parametrize("form", FORMS)
def test_the_files_of_a_case(form: Callable[[Path], Any]) -> None:
    names = ("claim", "seal", "opening", "source", "pool", "suspect", "claimant_pool", "workdir")
    files = CaseFiles(**{name: form(Path("a") / name) for name in names})
    paths: dict[str, Any] = {name: Path("a") / name for name in names}
    assert files == CaseFiles(**paths)
    assert files.suspect == os.path.join("a", "suspect")  # noqa: PTH118 - as the system writes it
    assert files.workdir == Path("a/workdir")


def test_what_is_not_there_is_said_in_a_sentence(folder: Path) -> None:
    for name in ("none", Path("none")):
        with pytest.raises(CaeError, match="none"):
            cae_core.verify_suspect("s.exact", name)
        with pytest.raises(CaeError, match="none"):
            cae_core.verify_suspect(name, "f")
        with pytest.raises(VerdictError, match="none"):
            replay_file(name, "f")
    assert not ledger_of(folder / "f").exists()


def test_the_clock_is_utc_and_counts_seconds() -> None:
    now = clock.utc_now()
    assert now.tzinfo == UTC
    assert now.microsecond == 0
    assert abs((datetime.now(UTC) - now).total_seconds()) < 60
