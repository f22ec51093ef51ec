"""The fingerprint file: it comes back whole, always the same bytes, and nothing else is taken for one."""

import dataclasses
import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated, save_calibrated
from cae_core.errors import FingerprintError
from cae_core.files.digests import canonical_json
from cae_core.files.tensor_file import pack_tensors, read_tensors
from cae_core.fingerprint.file import Fingerprint, LabelledImages, load_fingerprint, save_fingerprint
from tests.core.toys import toy_calibration, toy_fingerprint

Tensors = dict[str, NDArray[Any]]
GOLDEN = {"0.1.0": "c50889ba826d313c70a2cd773335b93216d8f313da5025603a7a865edc9f478b"}
DATA = Path(__file__).parents[2] / "data"


def rewrite(path: Path, change: Callable[[dict[str, Any], Tensors], object]) -> None:
    """Write the file again with changed metadata or tensors."""
    metadata, tensors = read_tensors(path)
    told = json.loads(metadata["cae"])
    change(told, tensors)
    path.write_bytes(pack_tensors(tensors, {"cae": json.dumps(told)}))


def change_tensor(name: str, value: NDArray[Any]) -> Callable[[dict[str, Any], Tensors], object]:
    return lambda _told, tensors: tensors.update({name: value})


def assert_same(mine: Fingerprint, theirs: Fingerprint) -> None:
    for field in dataclasses.fields(mine):
        left, right = getattr(mine, field.name), getattr(theirs, field.name)
        if isinstance(left, np.ndarray):
            assert left.dtype == right.dtype
            np.testing.assert_array_equal(left, right)
        else:
            assert left == right


def test_a_fingerprint_comes_back_whole(fingerprint: Fingerprint, fingerprint_file: Path) -> None:
    loaded = load_fingerprint(fingerprint_file)
    assert_same(fingerprint, loaded)
    assert loaded.id == fingerprint.id
    assert len(loaded) == 20
    assert loaded.source_accuracy == 0.9


@given(n=st.integers(1, 6), probes=st.integers(1, 6), classes=st.integers(2, 200), seed=st.integers(0, 1000))
def test_any_sizes_come_back(
    tmp_path_factory: pytest.TempPathFactory, n: int, probes: int, classes: int, seed: int
) -> None:
    path = tmp_path_factory.mktemp("sizes") / "f"
    made = toy_fingerprint(n, probes, classes, seed)
    save_fingerprint(made, path)
    assert_same(made, load_fingerprint(path))


def test_the_same_fingerprint_gives_the_same_bytes(fingerprint_file: Path, tmp_path: Path) -> None:
    for name in ("a", "b"):
        save_fingerprint(toy_fingerprint(), tmp_path / name)
        assert (tmp_path / name).read_bytes() == fingerprint_file.read_bytes()
    save_fingerprint(load_fingerprint(fingerprint_file), tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == fingerprint_file.read_bytes()


def test_the_file_is_a_secret(fingerprint: Fingerprint, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.touch(mode=0o644)
    save_fingerprint(fingerprint, path)
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_file_can_be_read_without_this_project(fingerprint: Fingerprint, fingerprint_file: Path) -> None:
    content = fingerprint_file.read_bytes()
    (size,) = struct.unpack("<Q", content[:8])
    header = json.loads(content[8 : 8 + size])
    first, last = header["labels"]["data_offsets"]
    labels = np.frombuffer(content[8 + size :][first:last], "<i8")
    assert labels.tolist() == fingerprint.labels.tolist()
    told = json.loads(header["__metadata__"]["cae"])
    assert header["__metadata__"]["cae"] == canonical_json(told)
    assert (told["format"], told["geometry"], told["fingerprint_id"]) == (1, [4, 4, 1], fingerprint.id)


def test_the_id_covers_images_labels_and_generation_and_not_the_tools(fingerprint: Fingerprint) -> None:
    n = len(fingerprint)
    other: list[dict[str, Any]] = [
        {"images": np.roll(fingerprint.images, 1)},
        {"images": fingerprint.images.reshape(n, 2, 8, 1)},
        {"labels": np.roll(fingerprint.labels, 1)},
        {"ground_truth": np.roll(fingerprint.ground_truth, 1)},
        {"labels": fingerprint.ground_truth, "ground_truth": fingerprint.labels},
        {"generation": {**fingerprint.generation, "seed": 1}},
    ]
    ids = {dataclasses.replace(fingerprint, **change).id for change in other}
    assert len(ids | {fingerprint.id}) == 7
    assert dataclasses.replace(fingerprint, tools={"numpy": "99"}).id == fingerprint.id
    backwards = dict(reversed(fingerprint.generation.items()))
    assert dataclasses.replace(fingerprint, generation=backwards).id == fingerprint.id


def canonical(value: object) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def of_some_kinds(fingerprint: Fingerprint) -> Fingerprint:
    """Return it with all that a fingerprint may hold."""
    n = len(fingerprint)
    wrong = LabelledImages(fingerprint.images[:3], np.array([3, 1, 2], np.int64))
    return dataclasses.replace(
        fingerprint,
        example_kind=(np.arange(n) % 2).astype(np.uint8),
        seed_index=np.arange(n, dtype=np.int64) * 7,
        further={"akh": wrong},
        origin={"contract": "ab"},
        generation={**fingerprint.generation, "said": "ä"},
    )


def test_the_id_is_that_of_these_bytes(fingerprint: Fingerprint) -> None:
    labels = fingerprint.labels.astype("<i8").tobytes() + fingerprint.ground_truth.astype("<i8").tobytes()
    images = repr(fingerprint.images.shape).encode() + fingerprint.images.tobytes()
    assert fingerprint.id == hashlib.sha256(images + labels + canonical(fingerprint.generation)).hexdigest()
    perturbed = dataclasses.replace(fingerprint, example_kind=np.zeros(len(fingerprint), np.uint8))
    assert perturbed.id == fingerprint.id
    assert "example_kind" not in perturbed.tensors()
    other = of_some_kinds(fingerprint)
    kinds = bytes(i % 2 for i in range(len(fingerprint)))
    assert other.id == hashlib.sha256(images + labels + kinds + canonical(other.generation)).hexdigest()


@pytest.mark.parametrize("full", [False, True])
def test_the_second_digest_is_that_of_all_that_the_file_holds(
    fingerprint: Fingerprint,
    tmp_path: Path,
    full: bool,  # noqa: FBT001 - drawn
) -> None:
    made = of_some_kinds(fingerprint) if full else fingerprint
    save_fingerprint(made, tmp_path / "f")
    metadata, tensors = read_tensors(tmp_path / "f")
    told = json.loads(metadata["cae"])
    claimed = told.pop("content_sha256")
    fields = {"format", "fingerprint_id", "class_names", "geometry", "generation", "tools"}
    assert told.keys() == fields | ({"origin"} if full else set())
    assert (told["format"], told["fingerprint_id"], told["geometry"]) == (1, made.id, list(made.images.shape[1:]))
    own = {"images", "seeds", "labels", "ground_truth", "conferrability", "start_step", "steps"}
    further = {"example_kind", "seed_index", "akh_images", "akh_labels"}
    assert tensors.keys() == own | {"probe_images", "probe_labels"} | (further if full else set())
    digest = hashlib.sha256(canonical(told))
    for name in sorted(tensors):
        digest.update(f"{name}{tensors[name].dtype.str}{tensors[name].shape}".encode() + tensors[name].tobytes())
    assert made.content_sha256 == claimed == digest.hexdigest()


@pytest.mark.parametrize("version", GOLDEN)
def test_files_of_every_released_version_load_for_ever(version: str) -> None:
    path = DATA / f"fingerprint-{version}.safetensors"
    assert path.stat().st_size < 20_000
    loaded = load_fingerprint(path)
    assert loaded.id == GOLDEN[version]
    assert loaded.labels.tolist() == [2, 0, 1]
    assert loaded.images[0, 0, 0].tolist() == [4, 11, 18]
    assert loaded.conferrability.tolist() == [0.875, 0.9375, 1.0]
    assert loaded.class_names == ("cat", "dog", "naïve ünïcode")
    assert loaded.tools["cae-fingerprint"] == version


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "none", tmp_path):
        with pytest.raises(FingerprintError, match=r"no such fingerprint file\. Make one with `cae generate`"):
            load_fingerprint(path)


def test_an_empty_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "f").touch()
    with pytest.raises(FingerprintError, match=r"file is empty\. Copy or generate it again"):
        load_fingerprint(tmp_path / "f")


@pytest.mark.parametrize("part", [0.0005, 0.001, 0.01, 0.1, 0.3, 0.5, 0.9, 0.99, 0.9999])
def test_a_truncated_file_is_refused(fingerprint_file: Path, part: float) -> None:
    whole = fingerprint_file.read_bytes()
    fingerprint_file.write_bytes(whole[: max(1, int(part * len(whole)))])
    with pytest.raises(FingerprintError, match="not a complete safetensors file"):
        load_fingerprint(fingerprint_file)


def test_a_large_file_that_is_none_is_refused_before_all_of_it_is_read(fingerprint_file: Path, tmp_path: Path) -> None:
    """A sparse file of any size costs whoever sends it nothing."""
    for begin in (b"", (1 << 24).to_bytes(8, "little"), fingerprint_file.read_bytes(), b"\xff" * 8):
        path = tmp_path / "large.safetensors"
        with path.open("wb") as file:
            file.write(begin)
            file.truncate(1 << 40)
        with pytest.raises(
            FingerprintError, match=r"not a complete safetensors file \((no header|it has 1099511627776)"
        ):
            load_fingerprint(path)
    path.unlink()


@pytest.mark.parametrize("content", [b"\x80\x04K\x01.", b"PK\x03\x04" + b"\0" * 64, b"{}", b"\xff" * 64, b"\n" * 64])
def test_a_file_of_another_kind_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(FingerprintError, match="not a complete safetensors file"):
        load_fingerprint(path)


def test_foreign_safetensors_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(pack_tensors({"weight": np.zeros(3)}, {"format": "pt"}))
    with pytest.raises(FingerprintError, match="holds no fingerprint: its metadata lack the key 'cae'"):
        load_fingerprint(path)


@pytest.mark.parametrize("dtype", ["BF16", "F8_E4M3"])
def test_weights_of_a_type_that_numpy_lacks_are_refused(tmp_path: Path, dtype: str) -> None:
    size = 2 if dtype == "F8_E4M3" else 4
    header = json.dumps({"weight": {"dtype": dtype, "shape": [2], "data_offsets": [0, size]}}).encode()
    path = tmp_path / "f"
    path.write_bytes(struct.pack("<Q", len(header)) + header + b"\0" * size)
    with pytest.raises(FingerprintError, match=r"not a complete safetensors file|holds no fingerprint"):
        load_fingerprint(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "not JSON"),
        ("", "not JSON"),
        ("[1]", "not a JSON object"),
        ("{}", "format version None"),
        ("[" * 100_000, "not JSON"),
        ('{"format": ' + "9" * 5000 + "}", "not JSON"),
    ],
    ids=["open", "empty", "list", "object", "deep", "long number"],
)
def test_metadata_that_are_no_json_object_are_refused(fingerprint_file: Path, text: str, message: str) -> None:
    _, tensors = read_tensors(fingerprint_file)
    fingerprint_file.write_bytes(pack_tensors(tensors, {"cae": text}))
    with pytest.raises(FingerprintError, match=message):
        load_fingerprint(fingerprint_file)


@pytest.mark.parametrize("version", [0, 2, "1", None, 1.5])
def test_an_unknown_version_is_refused(fingerprint_file: Path, version: object) -> None:
    rewrite(fingerprint_file, lambda told, _: told.update(format=version))
    with pytest.raises(FingerprintError, match=r"format version .* and this release reads 1\. Use the release"):
        load_fingerprint(fingerprint_file)


@pytest.mark.parametrize("name", [f.name for f in dataclasses.fields(Fingerprint)[:9]])
def test_a_missing_tensor_is_refused(fingerprint_file: Path, name: str) -> None:
    rewrite(fingerprint_file, lambda _, tensors: tensors.pop(name))
    with pytest.raises(FingerprintError, match=f"the tensor '{name}' is missing"):
        load_fingerprint(fingerprint_file)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("images", np.zeros((20, 4, 4, 1), np.float32), r"should be uint8 \(20, 4, 4, 1\) and is float32"),
        (
            "images",
            np.zeros((20, 4, 4), np.uint8),
            r"'images' should be uint8 \(n, h, w, k\) and is uint8 \(20, 4, 4\)",
        ),
        ("seeds", np.zeros((20, 4, 5, 1), np.uint8), r"'seeds' should be uint8 \(20, 4, 4, 1\)"),
        ("labels", np.zeros(20, np.int32), r"should be int64 \(20\) and is int32"),
        ("labels", np.zeros(19, np.int64), r"should be int64 \(20\) and is int64 \(19,\)"),
        ("ground_truth", np.zeros((20, 1), np.int64), r"and is int64 \(20, 1\)"),
        ("conferrability", np.zeros(20), r"should be float32 \(20\) and is float64"),
        ("steps", np.zeros(20, np.int64), "'steps' should be int32"),
        ("probe_images", np.zeros((60, 4, 4, 3), np.uint8), r"'probe_images' should be uint8 \(60, 4, 4, 1\)"),
        ("probe_labels", np.zeros(59, np.int64), r"should be int64 \(60\) and is int64 \(59,\)"),
        ("conferrability", np.full(20, np.nan, np.float32), "not finite"),
        ("conferrability", np.full(20, np.inf, np.float32), "not finite"),
        ("labels", np.full(20, 10), r"labels must lie in 0 \.\. 9; found 10 \.\. 10"),
        ("labels", np.full(20, -1), r"labels must lie in 0 \.\. 9"),
        ("ground_truth", np.full(20, 10), r"ground_truth must lie in"),
        ("probe_labels", np.full(60, -2), r"probe_labels must lie in"),
        ("labels", np.zeros(20, np.int64), "label is its true class"),
        ("images", np.zeros((20, 4, 4, 1), np.uint8), "the file was edited"),
    ],
)
def test_wrong_tensors_are_refused(fingerprint_file: Path, name: str, value: NDArray[Any], message: str) -> None:
    rewrite(fingerprint_file, change_tensor(name, value))
    with pytest.raises(FingerprintError, match=message):
        load_fingerprint(fingerprint_file)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"fingerprint_id": "0" * 64}, "the file was edited"),
        ({"generation": {"source": {"accuracy": 0.9}}}, "the file was edited"),
        ({"generation": {"source": {"accuracy": float("nan")}}}, "not finite or out of range"),
        ({"generation": {"source": {"accuracy": 1.1}}}, "not finite or out of range"),
        ({"generation": {"source": {"accuracy": 0.9}, "settings": float("nan")}}, "malformed"),
        ({"generation": {"source": {"accuracy": 0.9}, "name": "\ud800"}}, "the file was edited"),
        ({"generation": {"source": {}}}, "malformed"),
        ({"generation": [1]}, "malformed"),
        ({"class_names": 10}, "malformed"),
        ({"class_names": ["a"]}, "labels must lie in"),
    ],
)
def test_wrong_metadata_are_refused(fingerprint_file: Path, changes: dict[str, Any], message: str) -> None:
    rewrite(fingerprint_file, lambda told, _: told.update(changes))
    with pytest.raises(FingerprintError, match=message):
        load_fingerprint(fingerprint_file)


@pytest.mark.parametrize("name", ["fingerprint_id", "class_names", "generation", "tools"])
def test_missing_metadata_are_refused(fingerprint_file: Path, name: str) -> None:
    rewrite(fingerprint_file, lambda told, _: told.pop(name))
    with pytest.raises(FingerprintError, match=f"incomplete or malformed .*{name}"):
        load_fingerprint(fingerprint_file)


@pytest.mark.parametrize("name", ["examples", "probes"])
def test_a_fingerprint_without_examples_or_probes_is_refused(tmp_path: Path, name: str) -> None:
    path = tmp_path / "f"
    save_fingerprint(toy_fingerprint(n=0) if name == "examples" else toy_fingerprint(probes=0), path)
    with pytest.raises(FingerprintError, match="holds no example or no benign probe"):
        load_fingerprint(path)


EDITS: dict[str, Callable[[dict[str, Any], Tensors], object]] = {
    "probe images": lambda _told, tensors: tensors.update(probe_images=255 - tensors["probe_images"]),
    "probe labels": lambda _told, tensors: tensors.update(probe_labels=(tensors["probe_labels"] + 1) % 10),
    "seeds": lambda _told, tensors: tensors.update(seeds=255 - tensors["seeds"]),
    "conferrability": lambda _told, tensors: tensors.update(conferrability=tensors["conferrability"] * 0),
    "start step": lambda _told, tensors: tensors.update(start_step=tensors["start_step"] + 1),
    "class names": lambda told, _tensors: told["class_names"].reverse(),
    "tools": lambda told, _tensors: told["tools"].update({"cae-fingerprint": "9"}),
    "origin": lambda told, _tensors: told.update(origin={"files": ["00  another.onnx"]}),
}
"""What the id does not cover."""


@pytest.mark.parametrize("edit", EDITS)
def test_what_the_id_does_not_cover_cannot_be_edited_unnoticed(fingerprint_file: Path, edit: str) -> None:
    identity = load_fingerprint(fingerprint_file).id
    rewrite(fingerprint_file, EDITS[edit])
    with pytest.raises(FingerprintError, match="the file was edited: its probes"):
        load_fingerprint(fingerprint_file)
    rewrite(fingerprint_file, lambda told, _tensors: told.pop("content_sha256"))  # as files of before are
    assert load_fingerprint(fingerprint_file).id == identity


@pytest.mark.parametrize("edit", EDITS)
def test_a_calibration_binds_what_the_id_does_not_cover(
    fingerprint: Fingerprint, fingerprint_file: Path, edit: str
) -> None:
    bound = dataclasses.replace(toy_calibration(fingerprint, [3]), fingerprint_sha256=fingerprint.content_sha256)
    save_calibrated(CalibratedFingerprint(fingerprint=fingerprint, calibration=bound), fingerprint_file)
    assert load_calibrated(fingerprint_file).calibration is not None
    rewrite(fingerprint_file, EDITS[edit])
    rewrite(fingerprint_file, lambda told, _tensors: told.pop("content_sha256"))
    with pytest.raises(FingerprintError, match="not as it was when it was calibrated"):
        load_calibrated(fingerprint_file)


@pytest.mark.parametrize("origin", [3, [], {"files": 3}, {"files": [3]}, {"contract_sha256": 3}])
def test_an_origin_that_is_none_is_refused(fingerprint_file: Path, origin: object) -> None:
    rewrite(fingerprint_file, lambda told, _tensors: told.update(origin=origin))
    with pytest.raises(FingerprintError, match="incomplete or malformed"):
        load_fingerprint(fingerprint_file)
