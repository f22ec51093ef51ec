"""A calibration in the fingerprint's file: it comes back whole, leaves the id alone; nothing else passes for one."""

import dataclasses
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated
from cae_core.calibration.file import CALIBRATION_FORMAT, calibration_digest, save_calibration
from cae_core.calibration.groups import CalibrationModel, KnownModel, KnownModels
from cae_core.calibration.record import Calibration
from cae_core.errors import CaeError, FingerprintError
from cae_core.files.tensor_file import pack_tensors, read_tensors
from cae_core.fingerprint.file import Fingerprint, load_fingerprint, save_fingerprint
from cae_core.statistics.score import Score
from tests.core.suspects import ask, matching
from tests.core.toys import toy_calibration, toy_fingerprint

Tensors = dict[str, NDArray[Any]]
DATA = Path(__file__).parents[2] / "data"


def whole(fingerprint: Fingerprint, **changes: Any) -> Calibration:  # noqa: ANN401 - the fields have different types
    """Return a calibration in which every field is used."""
    n = len(fingerprint)
    settings: dict[str, Any] = {
        "score": Score.LLR,
        "fpr": 0.1,
        "fnr": 0.07,
        "chosen": np.arange(n) % 3 > 0,
        "weights": np.random.default_rng(2).normal(size=(2, n)),
        "screen": (CalibrationModel(name="s", sha256="5", kind="pruned", architecture="mlp", ancestor="imagenet"),),
    }
    made = toy_calibration(fingerprint, [3, 0, 5, 2], [17, 20, 11], **{**settings, **changes, "preprocessed": {}})
    behind = {
        defence: dataclasses.replace(made.references, answers=(made.references.answers + place) % 10)
        for place, defence in enumerate(changes.get("preprocessed", ()), start=1)
    }
    return dataclasses.replace(made, preprocessed=behind)


@pytest.fixture
def calibrated_file(fingerprint: Fingerprint, tmp_path: Path) -> Path:
    path = tmp_path / "calibrated.safetensors"
    save_calibration(whole(fingerprint), fingerprint, path)
    return path


def load(path: Path) -> Calibration:
    calibration = load_calibrated(path).calibration
    assert calibration is not None
    return calibration


def rewrite(path: Path, change: Callable[[dict[str, Any], Tensors], object], *, signed: bool = True) -> None:
    """Write the file again with a changed calibration; ``signed``: with the digest that belongs to it."""
    metadata, tensors = read_tensors(path)
    told = json.loads(metadata["cae"])
    own = {name.removeprefix("calibration."): t for name, t in tensors.items() if name.startswith("calibration.")}
    others = {name: t for name, t in tensors.items() if not name.startswith("calibration.")}
    change(told["calibration"], own)
    if signed:
        from cae_core.calibration.file import _digest

        unsigned = {name: value for name, value in told["calibration"].items() if name != "sha256"}
        told["calibration"]["sha256"] = _digest(unsigned, own)
    others |= {f"calibration.{name}": tensor for name, tensor in own.items()}
    path.write_bytes(pack_tensors(others, {"cae": json.dumps(told)}))


def assert_same(mine: Any, theirs: Any) -> None:  # noqa: ANN401 - a tree of dataclasses
    assert type(mine) is type(theirs)
    for entry in dataclasses.fields(mine):
        left, right = getattr(mine, entry.name), getattr(theirs, entry.name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
        elif dataclasses.is_dataclass(left):
            assert_same(left, right)
        elif entry.name == "preprocessed":
            assert list(left) == list(right)
            for defence, group in left.items():
                assert_same(group, right[defence])
        else:
            assert left == right


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"score": Score.CAEACC, "weights": None, "screen": ()},
        {"score": Score.ADJUSTED, "weights": None, "degree": 0},
        {"preprocessed": ("jpeg:75", "bits:4+noise:0.05")},
    ],
)
def test_a_calibration_comes_back_whole(fingerprint: Fingerprint, tmp_path: Path, changes: dict[str, Any]) -> None:
    made = whole(fingerprint, **changes)
    save_calibration(made, fingerprint, tmp_path / "f")
    assert_same(made, load(tmp_path / "f"))


def test_only_another_degree_is_written(fingerprint: Fingerprint, tmp_path: Path) -> None:
    """Calibrations of before, which knew of none, keep their digest."""
    for degree, told in ((2, None), (1, 1)):
        save_calibration(whole(fingerprint, degree=degree), fingerprint, tmp_path / "f")
        assert json.loads(read_tensors(tmp_path / "f")[0]["cae"])["calibration"].get("degree") == told


@pytest.mark.parametrize("degree", [-1, 3, 2**70, 1.0, True, "1", None, [1]])
def test_a_degree_that_is_none_is_refused(calibrated_file: Path, degree: object) -> None:
    rewrite(calibrated_file, lambda told, _: told.update(degree=degree))
    with pytest.raises(FingerprintError, match="its calibration is incomplete or malformed"):
        load(calibrated_file)


def test_a_score_that_these_models_cannot_have_is_refused(fingerprint: Fingerprint, tmp_path: Path) -> None:
    few = toy_calibration(fingerprint, [1, 2, 3], score=Score.ADJUSTED)
    for made in (few, toy_calibration(fingerprint, [1, 2, 3, 4], score=Score.ADJUSTED, parametric=True)):
        save_calibration(made, fingerprint, tmp_path / "f")
        with pytest.raises(FingerprintError, match=r"adjusted score takes (at least 4 references|no parametric)"):
            load(tmp_path / "f")


def test_a_calibration_without_surrogates_comes_back_whole(fingerprint: Fingerprint, tmp_path: Path) -> None:
    made = toy_calibration(fingerprint, [3, 4], parametric=True)
    save_calibration(made, fingerprint, tmp_path / "f")
    assert_same(made, load(tmp_path / "f"))


def test_it_changes_neither_the_id_nor_anything_else_of_the_fingerprint(
    fingerprint: Fingerprint, fingerprint_file: Path, calibrated_file: Path, tmp_path: Path
) -> None:
    loaded = load_fingerprint(calibrated_file)
    assert loaded.id == fingerprint.id
    save_fingerprint(loaded, tmp_path / "plain")
    assert (tmp_path / "plain").read_bytes() == fingerprint_file.read_bytes()


def test_a_second_calibration_replaces_the_first(fingerprint: Fingerprint, calibrated_file: Path) -> None:
    other = toy_calibration(fingerprint, [1])
    save_calibration(other, load_fingerprint(calibrated_file), calibrated_file)
    assert_same(other, load(calibrated_file))


def test_the_same_calibration_gives_the_same_bytes(
    fingerprint: Fingerprint, calibrated_file: Path, tmp_path: Path
) -> None:
    save_calibration(whole(toy_fingerprint()), fingerprint, tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == calibrated_file.read_bytes()
    save_calibration(load(calibrated_file), fingerprint, tmp_path / "loaded")
    assert (tmp_path / "loaded").read_bytes() == calibrated_file.read_bytes()


def test_the_file_is_a_secret(calibrated_file: Path) -> None:
    assert calibrated_file.stat().st_mode & 0o777 == 0o600


def test_a_file_without_one_has_none(fingerprint: Fingerprint, fingerprint_file: Path) -> None:
    assert load_calibrated(fingerprint_file).calibration is None


def test_the_digest_covers_everything(fingerprint: Fingerprint) -> None:
    made = whole(fingerprint)
    others = [
        dataclasses.replace(made, fpr=0.2),
        dataclasses.replace(made, score=Score.CAEACC),
        dataclasses.replace(made, screen=()),
        dataclasses.replace(made, chosen=~made.chosen),
        dataclasses.replace(made, weights=None),
        dataclasses.replace(made, references=made.surrogates),
        dataclasses.replace(made, surrogates=dataclasses.replace(made.surrogates, right=~made.surrogates.right)),
    ]
    assert len({calibration_digest(calibration) for calibration in (made, *others)}) == 8
    assert calibration_digest(whole(toy_fingerprint())) == calibration_digest(made)


def test_the_digest_is_that_of_the_metadata_and_of_each_tensor_by_name(
    fingerprint: Fingerprint, tmp_path: Path
) -> None:
    """Every field is told under its own name, so that an id of years ago is the id of today."""
    made = whole(fingerprint, fingerprint_sha256=fingerprint.content_sha256)
    row = {"name": "k", "sha256": "6", "role": "test", "relation": "surrogate"}
    known = KnownModels(models=(KnownModel(**row),), scores=np.ones((1, 3, 2), np.float32))
    asked = {"akh": np.arange(8, dtype=np.int64).reshape(4, 2), "control": np.zeros((4, 0), np.int64)}
    references = dataclasses.replace(made.references, further=asked)
    made = dataclasses.replace(made, references=references, known=known)
    save_calibration(made, fingerprint, tmp_path / "f")
    metadata, tensors = read_tensors(tmp_path / "f")
    told = json.loads(metadata["cae"])["calibration"]
    own = {name.removeprefix("calibration."): t for name, t in tensors.items() if name.startswith("calibration.")}
    settings = {"format", "fingerprint_id", "fingerprint_sha256", "score", "fpr", "fnr", "parametric", "screen"}
    assert told.keys() == settings | {"references", "surrogates", "known", "sha256"}
    answers = {f"{relation}.{what}" for relation in ("references", "surrogates") for what in ("answers", "right")}
    assert own.keys() == answers | {"chosen", "weights", "references.akh", "known.scores"}
    assert (told["fingerprint_sha256"], told["known"]) == (fingerprint.content_sha256, [row])
    claimed = told.pop("sha256")
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode())
    for name in sorted(own):
        digest.update(f"{name}{own[name].dtype}{own[name].shape}".encode() + own[name].tobytes())
    assert calibration_digest(made) == claimed == digest.hexdigest()


def change_answer(_told: dict[str, Any], tensors: Tensors) -> None:
    tensors["references.answers"][0, 0] = 7


@pytest.mark.parametrize(
    "change",
    [
        change_answer,
        lambda told, _: told.update(fpr=0.5),
        lambda told, _: told.update(score="caeacc"),
        lambda told, _: told["references"][0].update(kind="other"),
        lambda told, _: told.update(more=1),
        lambda _, tensors: tensors.update(more=np.zeros(1)),
        lambda _, tensors: tensors.pop("weights"),
        lambda told, _: told.update(sha256=None),
    ],
)
def test_an_edited_calibration_is_refused(
    calibrated_file: Path, change: Callable[[dict[str, Any], Tensors], object]
) -> None:
    rewrite(calibrated_file, change, signed=False)
    with pytest.raises(FingerprintError, match=r"its calibration was edited\. Use the original file"):
        load(calibrated_file)


def test_the_calibration_of_another_fingerprint_is_refused(fingerprint: Fingerprint, tmp_path: Path) -> None:
    other = toy_fingerprint(seed=6)
    save_calibration(whole(other), fingerprint, tmp_path / "f")
    with pytest.raises(
        FingerprintError, match=f"belongs to the fingerprint {other.id[:12]}… and the file holds {fingerprint.id[:12]}…"
    ):
        load(tmp_path / "f")


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_an_unknown_version_is_refused(calibrated_file: Path, version: object) -> None:
    rewrite(calibrated_file, lambda told, _: told.update(format=version))
    with pytest.raises(FingerprintError, match=r"its calibration has format version .* and this release reads 1"):
        load(calibrated_file)
    assert CALIBRATION_FORMAT == 1


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_a_calibration_that_is_no_object_is_refused(calibrated_file: Path, value: object) -> None:
    """And not taken for a file without one: the literature's threshold would come in its place."""
    metadata, tensors = read_tensors(calibrated_file)
    told = {**json.loads(metadata["cae"]), "calibration": value}
    calibrated_file.write_bytes(pack_tensors(tensors, {"cae": json.dumps(told)}))
    with pytest.raises(FingerprintError, match="its calibration is no JSON object"):
        load(calibrated_file)


NAMES = ("fpr", "fnr", "score", "parametric", "screen", "references", "surrogates", "sha256")
TENSORS = ("chosen", "references.answers", "references.right", "surrogates.answers", "surrogates.right")


@pytest.mark.parametrize("name", [*NAMES, *TENSORS])
def test_a_missing_part_is_refused(calibrated_file: Path, name: str) -> None:
    def remove(told: dict[str, Any], tensors: Tensors) -> None:
        del (told if name in NAMES else tensors)[name]

    rewrite(calibrated_file, remove, signed=name != "sha256")
    with pytest.raises(FingerprintError, match=f"incomplete or malformed .*{name}"):
        load(calibrated_file)


MODEL = {"name": "m", "sha256": "0", "kind": "", "architecture": "", "ancestor": ""}


@pytest.mark.parametrize(
    "values",
    [
        {"fpr": 0},
        {"fpr": 1},
        {"fpr": "0.05"},
        {"fpr": None},
        {"fnr": -0.1},
        {"score": "auc"},
        {"score": ["llr"]},
        {"parametric": 1},
        {"parametric": True},  # beside the score llr
        {"screen": None},
        {"screen": [{"name": "s"}]},
        {"screen": [{**MODEL, "more": 1}]},
        {"references": []},
        {"references": [MODEL] * 3},
        {"references": {"a": 1}},
        {"references": [{**MODEL, "kind": ["x"]}] * 4},
        {"surrogates": [MODEL] * 4},
        {"surrogates": 3},
        {"chosen": np.ones(19, np.uint8)},
        {"chosen": np.zeros(20, np.uint8)},
        {"chosen": np.ones((1, 20), np.uint8)},
        {"weights": np.zeros((2, 19))},
        {"weights": np.full((2, 20), np.nan)},
        {"weights": np.full((2, 20), np.inf)},
        {"weights": np.zeros((2, 20), np.int64)},
        {"references.answers": np.zeros((4, 19), np.int64)},
        {"references.answers": np.zeros((3, 20), np.int64)},
        {"references.answers": np.zeros(20, np.int64)},
        {"references.answers": np.zeros((4, 20), np.float32)},
        {"references.answers": np.full((4, 20), 10)},
        {"surrogates.answers": np.full((3, 20), -2)},
        {"surrogates.right": np.ones((3, 59), np.uint8)},
        {
            "references": [],
            "references.answers": np.zeros((0, 20), np.int64),
            "references.right": np.ones((0, 60), bool),
        },
    ],
    ids=str,
)
def test_malformed_values_are_refused_whatever_the_digest(calibrated_file: Path, values: dict[str, Any]) -> None:
    """The digest shows an edit by mistake; whoever means harm writes the right one."""

    def change(told: dict[str, Any], tensors: Tensors) -> None:
        for name, value in values.items():
            (tensors if isinstance(value, np.ndarray) else told)[name] = value

    rewrite(calibrated_file, change)
    with pytest.raises(FingerprintError, match="incomplete or malformed"):
        load(calibrated_file)


def test_a_parametric_one_on_a_single_reference_is_refused(fingerprint: Fingerprint, tmp_path: Path) -> None:
    save_calibration(toy_calibration(fingerprint, [3], parametric=True), fingerprint, tmp_path / "f")
    with pytest.raises(FingerprintError, match=r"malformed .*1 references"):
        load(tmp_path / "f")
    two = toy_calibration(fingerprint, [3, 5], parametric=True)
    save_calibration(two, fingerprint, tmp_path / "f")
    assert len(load(tmp_path / "f").references) == 2


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


@given(name=st.sampled_from([*NAMES, "fingerprint_id", "format"]), value=JSON, signed=st.booleans())
@settings(max_examples=60)
@example(name="fpr", value=float("nan"), signed=False)
@example(name="screen", value=[{"name": "\ud800", "sha256": ""}], signed=False)
@example(name="fpr", value=10**400, signed=True)
def test_any_other_value_gives_a_calibration_or_one_sentence(
    tmp_path_factory: pytest.TempPathFactory, name: str, value: object, *, signed: bool
) -> None:
    """What is loaded can judge, and what cannot judge is not loaded."""
    fingerprint, path = toy_fingerprint(), tmp_path_factory.mktemp("any") / "f"
    save_calibration(whole(fingerprint), fingerprint, path)
    try:
        rewrite(path, lambda told, _: told.update({name: value}), signed=signed)
    except ValueError:  # JSON has no NaN, and canonical JSON no half of a character: there is no digest of it
        rewrite(path, lambda told, _: told.update({name: value}), signed=False)
    try:
        calibration = load(path)
    except FingerprintError:
        return
    assert ask(matching(fingerprint, 12), fingerprint, calibration=calibration).behind is not None


@given(place=st.integers(8, 40_000), byte=st.integers(0, 255))
@settings(max_examples=60)
def test_a_changed_byte_gives_one_sentence_or_the_same_verdict(
    tmp_path_factory: pytest.TempPathFactory, place: int, byte: int
) -> None:
    fingerprint, path = toy_fingerprint(), tmp_path_factory.mktemp("byte") / "f"
    made = whole(fingerprint)
    save_calibration(made, fingerprint, path)
    content = bytearray(path.read_bytes())
    place %= len(content)
    content[place] = byte
    path.write_bytes(bytes(content))
    try:
        loaded = load_calibrated(path).calibration
    except CaeError:
        return
    if loaded is not None:  # None: the byte was one of the name
        assert calibration_digest(loaded) == calibration_digest(made)


def test_a_calibrated_file_of_every_released_version_loads_for_ever() -> None:
    path = DATA / "fingerprint-0.1.0-calibrated.safetensors"
    assert path.stat().st_size < 20_000
    fingerprint = load_fingerprint(path)
    assert fingerprint.id == load_fingerprint(DATA / "fingerprint-0.1.0.safetensors").id
    calibration = load(path)
    assert calibration_digest(calibration) == "63ab05fbd7f05320be714a9f8f7871f006d139617d06ec38fb323c93086ad6f7"
    assert (calibration.score, calibration.fpr, calibration.fnr, calibration.parametric) == ("llr", 0.25, 0.3, False)
    assert calibration.chosen.tolist() == [True, False, True]
    assert calibration.references.answers.tolist() == [[0, 1, 2], [2, 1, 2], [0, 0, -1], [1, 1, 2]]
    assert calibration.surrogates.answers.tolist() == [[2, 0, 1], [2, 1, 1], [0, 0, 1]]
    assert calibration.references.right.sum(axis=1).tolist() == [10, 9, 8, 7]
    assert calibration.references.kinds() == {"independent": 4}
    assert calibration.surrogates.models[1] == CalibrationModel(
        name="surrogate-1", sha256="b" * 64, kind="hard labels", architecture="naïve ünïcode", ancestor="imagenet"
    )
    assert [model.name for model in calibration.screen] == ["screen-0", "screen-1"]
    assert calibration.weights is not None
    assert calibration.weights.tolist() == [[0.5, 0.25, 1.0], [-0.5, -0.25, -2.0]]
    assert CalibratedFingerprint(fingerprint=fingerprint, calibration=calibration).threshold() == np.nextafter(-0.75, 0)
