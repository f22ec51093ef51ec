"""Reading ONNX files: weights beside them, wherever the file uses them, and texts that are none."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from cae_backends.onnx import files
from cae_backends.onnx.files import files_of_onnx, read_onnx, says
from cae_backends.onnxruntime import LOADER as RUNTIME
from cae_backends.torch import LOADER as TORCH
from cae_core.errors import ModelError
from cae_core.files.digests import digest_of_files
from cae_core.models import Model
from cae_core.opening import white_box_check
from cae_core.opening.model_files import ModelFiles
from cae_core.opening.opened import open_model
from tests.backends.onnx_beside import (
    DATA,
    IMAGES,
    LOGITS,
    WEIGHTS,
    dense,
    linear,
    runtime_of_today,
    sparse,
    spoilt,
    takes_other_bytes,
)

pytestmark = [pytest.mark.hostile, pytest.mark.usefixtures("one_thread")]


def answers(path: Path, *, gradients: bool) -> NDArray[np.floating[Any]]:
    model: Model = open_model(str(path), contract=LOGITS, device="cpu")
    if gradients:
        model = open_model(str(path), gradients=True, contract=LOGITS, device="cpu")
    found = model.predict(IMAGES).probabilities
    assert found is not None
    return found


@pytest.mark.parametrize("made", [dense, pytest.param(sparse, marks=runtime_of_today)])
def test_weights_beside_the_model_are_read_from_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, made: Callable[[Path], Path]
) -> None:
    """Also where the working folder has a file of the same name with other numbers."""
    model, working = tmp_path / "model", tmp_path / "working"
    model.mkdir()
    working.mkdir()
    path = made(model)
    other = np.full(WEIGHTS.size * 3, 7, np.float32)
    (working / DATA).write_bytes(other.tobytes())
    monkeypatch.chdir(working)
    logits = LOGITS.to_input(IMAGES).reshape(5, -1) @ WEIGHTS
    expected = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    np.testing.assert_allclose(answers(path, gradients=False), expected, atol=1e-5)
    np.testing.assert_allclose(answers(path, gradients=True), expected, atol=1e-5)


def test_nothing_is_left_outside(tmp_path: Path) -> None:
    proto = read_onnx(sparse(tmp_path))
    (found,) = proto.graph.sparse_initializer
    for tensor in (found.values, found.indices):
        assert tensor.data_location == TensorProto.DEFAULT
        assert not tensor.external_data
    np.testing.assert_array_equal(numpy_helper.to_array(found.indices), np.arange(WEIGHTS.size))


@pytest.mark.parametrize("link", ["hard", pytest.param("symbolic", marks=runtime_of_today)])
def test_weights_of_a_store_of_downloads_are_read(tmp_path: Path, link: str) -> None:
    """The runtime reads them too."""
    names, blobs = tmp_path / "names", tmp_path / "blobs"
    names.mkdir()
    blobs.mkdir()
    path = dense(blobs)
    if link == "hard":
        for name in (path.name, DATA):
            os.link(blobs / name, names / name)
    else:
        for name in (path.name, DATA):
            (names / name).symlink_to(blobs / name)
    found = [answers(names / path.name, gradients=gradients) for gradients in (False, True)]
    np.testing.assert_allclose(found[1], found[0], atol=1e-5)


@pytest.mark.parametrize("cut", ["values", "places"])
def test_sparse_weights_that_are_cut_are_told(tmp_path: Path, cut: str) -> None:
    path = sparse(tmp_path)
    kept = {"values": WEIGHTS.nbytes - 4, "places": WEIGHTS.nbytes + 8}[cut]
    (tmp_path / DATA).write_bytes((tmp_path / DATA).read_bytes()[:kept])
    with pytest.raises(ModelError, match=rf"its file of weights {DATA} has {kept} bytes"):
        open_model(str(path), gradients=True, contract=LOGITS, device="cpu")


@pytest.mark.parametrize("text", ["MatMul", "Flatten", "matrix", "flattening", "linear", "a key", "a value"])
def test_a_text_that_is_not_utf8_is_refused_in_a_sentence(tmp_path: Path, text: str) -> None:
    path = spoilt(tmp_path, text)
    for read in (read_onnx, lambda p: open_model(str(p), gradients=True, contract=LOGITS, device="cpu")):
        with pytest.raises(ModelError, match=r"m\.onnx: .*UTF-8.* Export"):
            read(path)


@takes_other_bytes
@pytest.mark.parametrize("text", ["commentary", "produced by", "version 1", "of a node"])
def test_comments_may_be_anything(tmp_path: Path, text: str) -> None:
    path = spoilt(tmp_path, text)
    np.testing.assert_allclose(answers(path, gradients=True), answers(path, gradients=False), atol=1e-5)


@pytest.mark.parametrize("made", [dense, sparse])
def test_weights_beside_a_model_are_among_its_files(tmp_path: Path, made: Callable[[Path], Path]) -> None:
    path = made(tmp_path)
    weights = tmp_path / DATA
    assert files_of_onnx(path) == (path, weights)
    sidecar = path.with_suffix(".toml")
    sidecar.touch()
    for loader in (RUNTIME, TORCH):
        assert loader.files(str(path)) == (path, weights)
        assert loader.contract_files(str(path)) == (sidecar,)
    found = ModelFiles(str(path))
    assert set(found.sha256) == {path, sidecar, weights}
    assert {file.name for file in found.own} == {path.name, DATA}
    before = found.digest
    assert before == digest_of_files({file.name: file.sha256 for file in found.own})
    weights.write_bytes(weights.read_bytes()[:-1] + b"x")
    assert ModelFiles(str(path)).digest != before


def test_a_model_in_one_file_reads_no_other_and_onnx_is_not_imported_to_know_it(tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(linear(numpy_helper.from_array(WEIGHTS, "w")).SerializeToString())
    script = (
        "import sys; from pathlib import Path; from cae_backends.onnxruntime import LOADER; "
        "print(LOADER.files(sys.argv[1]) == (Path(sys.argv[1]),), 'onnx' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(path)], check=True, capture_output=True, text=True)
    assert done.stdout == "True False\n"


@pytest.mark.parametrize("place", [0, 90, 93, 100, 105, 393])
def test_a_word_is_found_wherever_a_file_is_divided(
    tmp_path: Path, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "_PART", 100)
    path = tmp_path / "m.onnx"
    path.write_bytes(bytes(place) + b"location" + bytes(400 - place))
    assert says(path, b"location")
    assert not says(path, b"locations")
    path.write_bytes(b"")
    assert not says(path, b"location")


def test_a_file_larger_than_a_message_is_not_read(tmp_path: Path) -> None:
    """Who looks for the files beside it is no process of its own, and has no limit of memory."""
    path = tmp_path / "m.onnx"
    with path.open("wb") as file:
        file.truncate(1 << 31)
        file.write(b"location")
    with pytest.raises(ModelError, match="has 2147483648 bytes, and an ONNX file has at most 2147483647"):
        files_of_onnx(path)


def test_the_files_of_what_is_no_model_are_not_told(tmp_path: Path) -> None:
    path = dense(tmp_path)
    (tmp_path / DATA).unlink()
    with pytest.raises(ModelError, match=r"weights\.bin, which is not there"):
        files_of_onnx(path)
    path.write_bytes(b"location")
    with pytest.raises(ModelError, match="not an ONNX model, or it is damaged"):
        files_of_onnx(path)
    path.write_bytes(b"")
    assert files_of_onnx(path) == (path,)  # whoever opens it will say


def test_other_weights_beside_the_same_file_are_checked_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The white box is held against its files: their graph alone does not say that they were."""
    checked: list[str] = []
    check = white_box_check.check_white_box

    def noted(*model: Any, origin: str, **options: Any) -> None:  # noqa: ANN401 - the arguments of another function
        checked.append(origin)
        check(*model, origin=origin, **options)

    monkeypatch.setattr(white_box_check, "check_white_box", noted)
    paths: list[Path] = []
    for factor in (1, 1, 3):
        folder = tmp_path / str(len(paths))
        folder.mkdir()
        paths.append(dense(folder))
        (folder / DATA).write_bytes((WEIGHTS * np.float32(factor + 0.125)).tobytes())
        open_model(str(paths[-1]), gradients=True, contract=LOGITS, device="cpu")
    assert len({path.read_bytes() for path in paths}) == 1
    assert checked == [str(paths[0]), str(paths[2])]
