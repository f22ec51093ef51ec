"""A function and a program of the user's own: what they are given, what they may answer, and how they fail."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

from cae_backends.own_code import LOADER
from cae_core.contract import Contract, Task
from cae_core.errors import CaeError, ModelError
from cae_core.models import NO_ANSWER, Model
from cae_core.opening.opened import open_black_box
from cae_core.workflows import verify_suspect

GOLDEN = Path(__file__).parents[2] / "data" / "fingerprint-0.1.0-calibrated.safetensors"

TASK = Task(classes=3, names=("cat", "dog", "frog"))
IMAGES = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), np.uint8)
LABELS = [int(image.sum()) % 3 for image in IMAGES]
CHANNELS_FIRST = Contract(layout="NCHW", range=(0, 1), output="logits")

CODE = """
import numpy as np

def _labels(images):
    assert images.dtype == np.uint8 and images.shape[1:] == (4, 6, 3)
    return images.reshape(len(images), -1).sum(axis=1, dtype=np.int64) % 3

numbers = _labels
def plain(images): return [int(x) for x in _labels(images)]
def names(images): return [("cat", "dog", "frog")[x] for x in _labels(images)]
def shares(images): return np.eye(3)[_labels(images)] * 0.7 + 0.1
def logits(images): return (9 * np.eye(3)[_labels(images)]).tolist()
def some(images): return [None, -1, *plain(images)[2:]]
def unknown(images): return ["bird", *names(images)[1:]]
def infinite(images): return [[float("nan")] * 3, *logits(images)[1:]]
def tensor(x):
    assert x.dtype == np.float32 and x.shape[1:] == (3, 4, 6) and x.max() <= 1
    return logits(np.rint(x.transpose(0, 2, 3, 1) * 255).astype(np.uint8))
def changing(images):
    told = plain(images)
    images[:] = 0
    return told
class Held:
    answer = staticmethod(plain)

def fewer(images): return plain(images)[1:]
def nothing(images): return None
def halves(images): return [0.5] * len(images)
def true(images): return [True] * len(images)
def ragged(images): return [[1.0, 2.0, 3.0]] * (len(images) - 1) + [[1.0]]
def failing(images): raise RuntimeError("no such \\x1b[2J file")
number = 3
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "codes_of_mine.py").write_text(CODE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.delitem(sys.modules, "codes_of_mine", raising=False)
    return tmp_path


def function(name: str, contract: Contract | None = None) -> Model:
    return LOADER.open(f"py:codes_of_mine:{name}", contract=contract, device="cpu", task=TASK)


def program(folder: Path, body: str, *, form: str = "", contract: Contract | None = None) -> Model:
    (folder / "program.py").write_text(body)
    spec = f"cmd:{form}'{sys.executable}' '{folder / 'program.py'}' an-argument"
    return LOADER.open(spec, contract=contract, device="cpu", task=TASK)


class TestCallables:
    @pytest.mark.parametrize("name", ["numbers", "plain", "names", "shares", "logits", "changing", "Held.answer"])
    def test_whatever_it_answers_is_read(self, name: str) -> None:
        before = IMAGES.copy()
        told = function(name).predict(IMAGES)
        assert told.labels.tolist() == LABELS
        assert (told.probabilities is not None) == (name == "shares")
        assert np.array_equal(IMAGES, before)

    def test_what_is_no_answer_is_none(self) -> None:
        assert function("some").predict(IMAGES).labels.tolist() == [NO_ANSWER, NO_ANSWER, *LABELS[2:]]
        for name in ("unknown", "infinite"):
            assert function(name).predict(IMAGES).labels.tolist() == [NO_ANSWER, *LABELS[1:]]

    def test_with_a_contract_it_gets_the_tensor(self) -> None:
        told = function("tensor", CHANNELS_FIRST).predict(IMAGES)
        assert told.labels.tolist() == LABELS
        assert told.probabilities is not None

    @pytest.mark.parametrize(
        ("name", "words"),
        [
            ("fewer", "asked 5 images and got 4 answers"),
            ("nothing", "no list answers"),
            ("halves", "number of a class"),
            ("true", "number of a class"),
            ("ragged", "as many of each image"),
            ("failing", r"RuntimeError: no such \\x1b\[2J file"),
        ],
    )
    def test_what_no_classifier_answers_is_one_sentence(self, name: str, words: str) -> None:
        with pytest.raises(ModelError, match=words):
            function(name).predict(IMAGES)

    @pytest.mark.parametrize(
        ("spec", "words"),
        [
            ("py:codes_of_mine", "expected py:package"),
            ("py:codes of mine:f", "expected py:package"),
            ("py:codes_of_mine:f()", "expected py:package"),
            ("py:no_such_module_here:f", "cannot be imported"),
            ("py:codes_of_mine:absent", "has no absent. It has"),
            ("py:codes_of_mine:number", "is no function"),
        ],
    )
    def test_what_names_none_is_refused(self, spec: str, words: str) -> None:
        with pytest.raises(ModelError, match=words):
            LOADER.open(spec, contract=None, device="cpu", task=TASK)


READ_PNG = """
import sys, json
import numpy as np
from PIL import Image
assert sys.argv[1:] == ["an-argument"]
for line in sys.stdin:
    x = int(np.asarray(Image.open(line.strip())).sum()) % 3
    print({form})
"""


class TestPrograms:
    @pytest.mark.parametrize(
        "form",
        [
            "x",
            "json.dumps(['cat', 'dog', 'frog'][x])",
            "json.dumps({'label': x, 'more': 1})",
            "json.dumps({'scores': [1.0 if c == x else 0.0 for c in range(3)]})",
            "json.dumps([1.0 if c == x else 0.0 for c in range(3)])",
        ],
    )
    def test_it_reads_names_and_prints_answers(self, form: str, here: Path) -> None:
        assert program(here, READ_PNG.replace("{form}", form)).predict(IMAGES).labels.tolist() == LABELS

    def test_it_may_read_arrays(self, here: Path) -> None:
        body = (
            "import sys, numpy as np\nfor line in sys.stdin:\n    x = np.load(line.strip())\n"
            "    assert x.shape == (3, 4, 6), x.shape\n    c = int(np.rint(x * 255).sum()) % 3\n"
            "    print([9.0 * (i == c) for i in range(3)])\n"
        )
        told = program(here, body, form="npy:", contract=CHANNELS_FIRST).predict(IMAGES)
        assert told.labels.tolist() == LABELS

    @pytest.mark.parametrize(
        ("body", "words"),
        [
            ("print(0)", "asked 5 images and got 1 answers"),
            ("print('cat')", "no JSON"),
            ("import sys; sys.exit(3)", "exit code 3"),
            ("print('{}')", "without label or scores"),
            ("print('[' * 9999)", "no JSON"),
        ],
    )
    def test_how_it_fails(self, body: str, words: str, here: Path) -> None:
        with pytest.raises(ModelError, match=words):
            program(here, body).predict(IMAGES)

    @pytest.mark.parametrize(
        ("spec", "words"), [("cmd:", "expected cmd:program"), ("cmd:npy:", "expected"), ("cmd:'a", "no command")]
    )
    def test_what_names_none_is_refused(self, spec: str, words: str) -> None:
        with pytest.raises(ModelError, match=words):
            LOADER.open(spec, contract=None, device="cpu")

    def test_one_that_is_not_there_is_one_sentence(self) -> None:
        with pytest.raises(ModelError, match="cannot be run"):
            LOADER.open("cmd:/no/such/program", contract=None, device="cpu").predict(IMAGES)
        with pytest.raises(CaeError, match="PNG files, which hold"):
            LOADER.open("cmd:true", contract=CHANNELS_FIRST, device="cpu")


@pytest.mark.parametrize("spec", ["py:codes_of_mine:plain", "cmd:true"])
def test_nobody_else_may_name_it(spec: str) -> None:
    with pytest.raises(ModelError, match="command line only"):
        open_black_box(spec)


def test_it_is_verified_and_recorded(here: Path) -> None:
    own = Path(shutil.copy(GOLDEN, here / "own.safetensors"))
    (here / "codes_of_mine.py").write_text("def answer(images): return [int(x.sum()) % 3 for x in images]\n")
    (here / "program.py").write_text(READ_PNG.replace("{form}", "x").replace('["an-argument"]', "[]"))
    spec = f"cmd:'{sys.executable}' program.py"
    first, second = verify_suspect("py:codes_of_mine:answer", own), verify_suspect(spec, own)
    for verdict, name in ((first, "py:codes_of_mine:answer"), (second, spec)):
        assert verdict.suspect.name == name
        assert verdict.containment is not None
        assert (verdict.containment.kind, verdict.containment.words[:22]) == ("none", "none: it is its user's")
    assert first.decision.value == second.decision.value
    assert first.nondeterministic == second.nondeterministic == 0
