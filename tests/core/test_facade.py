"""The root of the core: its names, its help, and what its values look like."""

import inspect
import pydoc
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import cae_core
from cae_core.dataset import ImageSet
from cae_core.errors import ModelError
from cae_core.models import Model, Predictions
from cae_core.own_models import black_box
from cae_core.testing import CallableModel, check_model
from tests.core.suspects import NONCE, ask, matching
from tests.core.toys import paired, toy_calibration, toy_fingerprint

FINGERPRINT = toy_fingerprint(n=60)
RANK = toy_calibration(FINGERPRINT, [5 + i % 20 for i in range(39)], [40 + i % 15 for i in range(39)])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The file of an uncalibrated fingerprint."""
    from cae_core.fingerprint.file import save_fingerprint

    save_fingerprint(FINGERPRINT, tmp_path / "fingerprint.safetensors")
    return tmp_path / "fingerprint.safetensors"


def test_help_shows_every_name() -> None:
    text = pydoc.plain(pydoc.render_doc(cae_core))
    for name in set(cae_core.__all__) - {"__version__"}:
        assert name in text
        value = getattr(cae_core, name)
        if callable(value):
            first = (inspect.getdoc(value) or "").splitlines()[0]
            assert first, name
            assert first[:40] in text, name


def test_the_root_names_each_job_in_its_own_words() -> None:
    told = (cae_core.__doc__ or "").partition("Four open")[0]
    jobs = {name for name in cae_core.__all__ if inspect.isfunction(getattr(cae_core, name))}
    for name in jobs - {"load_fingerprint", "load_calibrated", "open_model", "read_pool"}:
        assert name in (told if not name.endswith("_members") else cae_core.__doc__ or ""), name


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    code = "import sys, cae_core; dir(cae_core); print([name for name in sys.modules if name.startswith('cae_core.')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "['cae_core.version']"


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="'cae_core' has no attribute 'verify_suspects'"):
        cae_core.verify_suspects  # noqa: B018 - asked for


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (FINGERPRINT, f"Fingerprint({FINGERPRINT.id[:12]}, 60 examples of "),
        (RANK, "Calibration(39 references, 39 surrogates, caeacc, fpr 0.05, fnr "),
        (paired(FINGERPRINT, RANK), f"CalibratedFingerprint(Fingerprint({FINGERPRINT.id[:12]}, 60 examples"),
        (paired(FINGERPRINT, None), f"CalibratedFingerprint(Fingerprint({FINGERPRINT.id[:12]}, 60 examples"),
        (Predictions(np.zeros(3, np.int64)), "Predictions(3 answers, labels alone)"),
        (Predictions(np.zeros(1, np.int64), np.ones((1, 2), np.float32)), "Predictions(1 answers, with probabilities)"),
        (
            ImageSet(np.zeros((2, 4, 5, 3), np.uint8), np.zeros(2, np.int64), ("a", "b"), name="x\u202e"),
            "ImageSet(x\\u202e, 2 images of 4 x 5 x 3, 2 classes)",
        ),
        (ask(matching(FINGERPRINT, 60), FINGERPRINT, calibration=RANK), "Verdict(surrogate, "),
        (black_box(len), "BlackBox(len)"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_value_is_one_line_without_its_arrays(value: object, shown: str) -> None:
    assert repr(value).startswith(shown)
    assert "\n" not in repr(value)
    assert len(repr(value)) < 240


def test_a_function_is_judged_as_the_model_that_it_is(path: Path) -> None:
    copy = matching(FINGERPRINT, 60)
    found = cae_core.verify_model(
        black_box(lambda images: copy.predict(images).labels), path, name="theirs", nonce=NONCE, ledger=None
    )
    assert found.decision.verdict == "surrogate"
    assert (found.suspect.name, found.containment and found.containment.child) == ("theirs", False)
    again = cae_core.verify_model(copy, path, name="theirs", nonce=NONCE, ledger=None)
    assert [answer.label for answer in again.answers] == [answer.label for answer in found.answers]


def test_the_ledger_remembers_a_model_by_its_name(path: Path) -> None:
    copy = matching(FINGERPRINT, 60)
    counts = [
        earlier.verifications
        for name in ("theirs", "theirs", "another's")
        if (earlier := cae_core.verify_model(copy, path, name=name).earlier) is not None
    ]
    assert counts[:2] == [0, 1]
    assert path.with_name(path.name + ".ledger.jsonl").exists()


def test_a_black_box_of_scores_names_and_numbers() -> None:
    images = np.arange(8, dtype=np.uint8).reshape(8, 1, 1, 1)
    numbers: Model = black_box(lambda given: given[:, 0, 0, 0] % 2)
    names = black_box(lambda given: ["cat" if row % 2 else "dog" for row in given[:, 0, 0, 0]], classes=["dog", "cat"])
    scores = black_box(lambda given: np.eye(2)[given[:, 0, 0, 0] % 2])
    for model in (numbers, names, scores):
        assert model.predict(images).labels.tolist() == [0, 1] * 4
    told = scores.predict(images).probabilities
    assert told is not None
    assert told.tolist() == np.eye(2)[np.arange(8) % 2].tolist()
    check_model(black_box(lambda given: (given[:, 0, 0, 0] > 0).astype(int)), images, classes=2)


def test_a_black_box_that_fails_says_so_by_its_name() -> None:
    def broken(images: object) -> None:
        raise RuntimeError("out of memory")

    with pytest.raises(ModelError, match=r"^broken: it fails \(RuntimeError: out of memory\)"):
        black_box(broken).predict(np.zeros((1, 2, 2, 1), np.uint8))


def test_the_name_of_before_is_the_white_box_of_now() -> None:
    assert CallableModel is cae_core.WhiteBox
