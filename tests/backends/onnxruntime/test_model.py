import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cae_backends.onnx.failures import shortened
from cae_backends.onnxruntime import LOADER, session
from cae_backends.onnxruntime.model import OnnxRuntimeModel
from cae_core.arrays import Floats32
from cae_core.contract import Contract, metadata_of
from cae_core.errors import CaeError, ContractError, ModelError
from cae_core.models import NO_ANSWER, Model
from cae_core.opening.opened import open_model

CONTRACT = Contract(layout="NCHW", range=(0.0, 1.0), output="logits", channels="RGB")
CLASSES, PIXELS = 10, 3 * 4 * 4
FLOAT, INT64 = TensorProto.FLOAT, TensorProto.INT64


def weights() -> Floats32:
    return np.random.default_rng(7).standard_normal((PIXELS, CLASSES)).astype(np.float32)


def images(n: int, seed: int = 3) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (n, 4, 4, 3), np.uint8)


def expected_logits(x: NDArray[np.uint8]) -> Floats32:
    return (x.astype(np.float32) / np.float32(255)).transpose(0, 3, 1, 2).reshape(len(x), -1).astype(
        np.float32
    ) @ weights()


def save(
    path: Path,
    *,
    shape: tuple[int | str, ...] = ("n", 3, 4, 4),
    kind: int = FLOAT,
    contract: Contract | None = CONTRACT,
    extra: tuple[onnx.NodeProto, ...] = (),
    outputs: tuple[tuple[str, int, tuple[int | str, ...]], ...] = (("logits", FLOAT, ("n", CLASSES)),),
    more_inputs: tuple[str, ...] = (),
) -> str:
    """Image -> flatten -> linear, with the nodes ``extra`` behind it."""
    nodes = [
        helper.make_node("Cast", ["image"], ["cast"], to=FLOAT),
        helper.make_node("Flatten", ["cast"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"]),
        *extra,
    ]
    inputs = [helper.make_tensor_value_info("image", kind, shape)]
    inputs += [helper.make_tensor_value_info(name, FLOAT, [1]) for name in more_inputs]
    graph = helper.make_graph(
        nodes,
        "linear",
        inputs,
        [helper.make_tensor_value_info(*output) for output in outputs],
        [numpy_helper.from_array(weights(), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    if contract is not None:
        helper.set_model_props(model, metadata_of(contract))
    onnx.save(model, path)
    return str(path)


def opened(spec: str, contract: Contract | None = None) -> OnnxRuntimeModel:
    return LOADER.open(spec, contract=contract, device="cpu")


def refused(kind: type[CaeError], spec: str, contract: Contract | None = None) -> str:
    with pytest.raises(kind) as caught:
        opened(spec, contract)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_answers_as_numpy_does(tmp_path: Path) -> None:
    x = images(37)
    model = open_model(save(tmp_path / "m.onnx"), device="cpu")
    assert isinstance(model, OnnxRuntimeModel)
    assert isinstance(model, Model)
    assert model.providers == ("CPUExecutionProvider",)
    assert model.contract == CONTRACT
    found = model.predict(x)
    logits = expected_logits(x)
    softmax = np.exp(logits - logits.max(axis=1, keepdims=True))
    assert found.probabilities is not None
    np.testing.assert_array_equal(found.labels, logits.argmax(axis=1))
    np.testing.assert_allclose(found.probabilities, softmax / softmax.sum(axis=1, keepdims=True), atol=1e-6)
    assert found.labels.dtype == np.int64
    assert found.probabilities.dtype == np.float32


def test_floats_and_bytes_of_the_same_images_get_the_same_answers(tmp_path: Path) -> None:
    model, x = opened(save(tmp_path / "m.onnx")), images(5)
    floats = (x / np.float32(255)).astype(np.float32)
    floats.flags.writeable = False
    np.testing.assert_array_equal(model.predict(floats).labels, model.predict(x).labels)
    np.testing.assert_array_equal(model.predict(x[:, ::-1]).labels, model.predict(x[:, ::-1].copy()).labels)


def test_splitting_into_batches_changes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model, x = opened(save(tmp_path / "m.onnx")), images(23)
    whole = model.predict(x)
    monkeypatch.setattr("cae_backends.onnxruntime.model._BATCH_PIXELS", 5 * 16)
    split = model.predict(x)
    np.testing.assert_array_equal(split.labels, whole.labels)
    assert split.probabilities is not None
    assert whole.probabilities is not None
    np.testing.assert_allclose(split.probabilities, whole.probabilities, atol=1e-6)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize("n", [1, 4, 7])
def test_a_fixed_batch_is_padded(tmp_path: Path, batch: int, n: int) -> None:
    spec = save(tmp_path / "m.onnx", shape=(batch, 3, 4, 4), outputs=(("logits", FLOAT, (batch, CLASSES)),))
    x = images(n)
    np.testing.assert_array_equal(opened(spec).predict(x).labels, expected_logits(x).argmax(axis=1))


def test_no_image_gets_no_answer(tmp_path: Path) -> None:
    found = opened(save(tmp_path / "m.onnx")).predict(images(0))
    assert found.labels.shape == (0,)
    assert found.probabilities is not None
    assert found.probabilities.shape == (0, CLASSES)


@pytest.mark.parametrize("kind", [TensorProto.FLOAT16, TensorProto.DOUBLE])
def test_other_floats_are_cast(tmp_path: Path, kind: int) -> None:
    x = images(6)
    found = opened(save(tmp_path / "m.onnx", kind=kind)).predict(x)
    np.testing.assert_array_equal(found.labels, expected_logits(x).argmax(axis=1))


def test_a_model_of_bytes_gets_bytes(tmp_path: Path) -> None:
    contract = CONTRACT.replace(dtype="uint8", range=(0.0, 255.0))
    x = images(6)
    found = opened(save(tmp_path / "m.onnx", kind=TensorProto.UINT8, contract=contract)).predict(x)
    np.testing.assert_array_equal(found.labels, expected_logits(x).argmax(axis=1))


@pytest.mark.parametrize(("kind", "dtype"), [(TensorProto.UINT8, "uint8"), (TensorProto.INT32, "int32")])
def test_another_dtype_than_the_contract_says_is_refused(tmp_path: Path, kind: int, dtype: str) -> None:
    message = refused(ContractError, save(tmp_path / "m.onnx", kind=kind))
    assert f"takes {dtype} and its contract says float32" in message


def test_bytes_for_a_float_model_are_refused(tmp_path: Path) -> None:
    contract = CONTRACT.replace(dtype="uint8", range=(0.0, 255.0))
    assert 'dtype = "float32"' in refused(ContractError, save(tmp_path / "m.onnx"), contract)


TWO_OUTPUTS = (helper.make_node("Softmax", ["logits"], ["p"]), helper.make_node("ArgMax", ["p"], ["y"], axis=1))


@pytest.mark.parametrize("output", ["probabilities", "labels"])
def test_the_contract_chooses_the_output(tmp_path: Path, output: str) -> None:
    contract = CONTRACT.replace(output=output)
    outputs = (("y", INT64, ("n", 1)), ("p", FLOAT, ("n", CLASSES)))
    x = images(9)
    found = opened(save(tmp_path / "m.onnx", contract=contract, extra=TWO_OUTPUTS, outputs=outputs)).predict(x)
    np.testing.assert_array_equal(found.labels, expected_logits(x).argmax(axis=1))
    assert (found.probabilities is None) == (output == "labels")


def test_an_ambiguous_or_missing_output_is_refused(tmp_path: Path) -> None:
    both = (("logits", FLOAT, ("n", CLASSES)), ("p", FLOAT, ("n", CLASSES)))
    message = refused(ModelError, save(tmp_path / "m.onnx", extra=TWO_OUTPUTS, outputs=both))
    assert "logits tensor(float)" in message
    assert "p tensor(float)" in message
    labels = CONTRACT.replace(output="labels")
    assert "one integer output" in refused(ModelError, save(tmp_path / "m.onnx", contract=labels))


def test_an_output_of_another_rank_is_refused(tmp_path: Path) -> None:
    extra = (helper.make_node("Unsqueeze", ["logits", "axis"], ["deep"]),)
    constant = helper.make_node("Constant", [], ["axis"], value_ints=[2])
    wide = helper.make_node("Concat", ["deep", "deep"], ["wide"], axis=2)
    outputs = (("wide", FLOAT, ("n", CLASSES, 2)),)
    model = opened(save(tmp_path / "m.onnx", extra=(constant, *extra, wide), outputs=outputs))
    with pytest.raises(ModelError, match=r"shape \(n, c\).*found \(2, 10, 2\) for 2 images"):
        model.predict(images(2))


def test_rows_that_are_not_numbers_are_no_answer(tmp_path: Path) -> None:
    extra = (helper.make_node("Log", ["logits"], ["log"]),)  # NaN where a logit is negative
    model = opened(save(tmp_path / "m.onnx", extra=extra, outputs=(("log", FLOAT, ("n", CLASSES)),)))
    assert (model.predict(images(4)).labels == NO_ANSWER).all()


def test_black_images_with_infinite_scores_are_no_answer(tmp_path: Path) -> None:
    extra = (helper.make_node("Reciprocal", ["logits"], ["inverse"]),)
    model = opened(save(tmp_path / "m.onnx", extra=extra, outputs=(("inverse", FLOAT, ("n", CLASSES)),)))
    assert (model.predict(np.zeros((3, 4, 4, 3), np.uint8)).labels == NO_ANSWER).all()


def test_images_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    model = opened(save(tmp_path / "m.onnx"))
    with pytest.raises(ContractError, match=r"takes images of shape \(3, 4, 4\) and its contract makes \(3, 6, 6\)"):
        model.predict(np.zeros((2, 6, 6, 3), np.uint8))
    gray = opened(save(tmp_path / "m.onnx"), CONTRACT.replace(channels="GRAY"))
    with pytest.raises(ContractError, match="takes GRAY and the images have 3 channels"):
        gray.predict(images(1))
    swapped = opened(save(tmp_path / "m.onnx"), CONTRACT.replace(layout="NHWC"))
    with pytest.raises(ContractError, match="Correct layout"):
        swapped.predict(images(1))


def test_a_run_that_fails_is_a_model_error(tmp_path: Path) -> None:
    model = opened(save(tmp_path / "m.onnx", shape=("n", "k", "h", "w")))
    with pytest.raises(ModelError, match="ONNX Runtime cannot run the model") as caught:
        model.predict(np.zeros((2, 6, 6, 3), np.uint8))
    assert caught.value.__cause__ is not None
    assert "ONNXRuntimeError" not in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 no model", bytes(300), b"\x08\x07garbage" * 50])
def test_a_file_that_is_no_model_is_refused(tmp_path: Path, content: bytes, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "m.onnx"
    path.write_bytes(content)
    message = refused(ModelError, str(path))
    assert ("is empty" if not content else "cannot open this file") in message
    assert len(message) < 500
    assert capfd.readouterr() == ("", "")


def test_a_truncated_model_is_refused(tmp_path: Path) -> None:
    path = Path(save(tmp_path / "m.onnx"))
    path.write_bytes(path.read_bytes()[:-200])
    refused(ModelError, str(path))


def test_a_missing_file_and_a_folder_are_refused(tmp_path: Path) -> None:
    assert "no such model file" in refused(ModelError, str(tmp_path / "none.onnx"))
    assert "no such model file" in refused(ModelError, str(tmp_path))


def test_a_model_without_one_image_input_is_refused(tmp_path: Path) -> None:
    message = refused(ContractError, save(tmp_path / "m.onnx", shape=("n", PIXELS)))
    assert 'layout = "FLAT"' in message
    assert "a tensor of rank 2" in message
    message = refused(ModelError, save(tmp_path / "m.onnx", more_inputs=("temperature",)))
    assert "its inputs are image, temperature: a classifier has one; make temperature a constant" in message
    message = refused(ModelError, save(tmp_path / "m.onnx", more_inputs=("a", "b")))
    assert "make a, b constants, or export the model without them" in message


def changed(spec: str, change: Callable[[onnx.ModelProto], object]) -> str:
    model = onnx.load(spec)
    change(model)
    onnx.save(model, spec)
    return spec


def test_a_newer_format_is_told_with_both_versions(tmp_path: Path) -> None:
    spec = save(tmp_path / "m.onnx")
    newest = onnxruntime.__version__
    message = refused(ModelError, changed(spec, lambda model: setattr(model, "ir_version", 99)))
    assert re.search(rf"has the IR version 99, and ONNX Runtime {newest} knows versions up to \d+\. Install", message)
    spec = save(tmp_path / "m.onnx")
    message = refused(ModelError, changed(spec, lambda model: setattr(model.opset_import[0], "version", 4000)))
    assert re.search(
        rf"has the opset 4000 of ai\.onnx, and ONNX Runtime {newest} knows opsets up to \d+\. Ins", message
    )
    spec = save(tmp_path / "m.onnx")
    message = refused(ModelError, changed(spec, lambda model: model.opset_import.add(domain="ai.onnx.ml", version=77)))
    assert "the opset 77 of ai.onnx.ml" in message


def test_a_version_that_is_none_is_refused_without_a_place_in_foreign_sources(tmp_path: Path) -> None:
    for change in (lambda m: m.ClearField("ir_version"), lambda m: m.ClearField("opset_import")):
        message = refused(ModelError, changed(save(tmp_path / "m.onnx"), change))
        assert "Missing" in message
        assert ".cc:" not in message


@pytest.mark.parametrize("imported", [{"version": 1}, {}])
@pytest.mark.parametrize("domain", ["my.tools", "com.microsoft", "org.pytorch.aten", "a:b(c)", 'q"\n'])
def test_an_operator_of_another_domain_is_named(tmp_path: Path, domain: str, imported: dict[str, int]) -> None:
    spec = save(tmp_path / "m.onnx", extra=(helper.make_node("Squash", ["logits"], ["s"], domain=domain),))
    if imported:
        changed(spec, lambda model: model.opset_import.add(domain=domain, **imported))
    message = refused(ModelError, spec)
    shown = domain if domain.isprintable() else ascii(domain)
    assert f"uses the operator Squash of the domain {shown}, which ONNX Runtime" in message
    assert "Export the model with standard operators" in message


@pytest.mark.parametrize("operator", ["Squash", "Gelu"])  # there is none; it is younger than opset 18
def test_an_operator_that_the_opset_lacks_is_named(tmp_path: Path, operator: str) -> None:
    message = refused(ModelError, save(tmp_path / "m.onnx", extra=(helper.make_node(operator, ["logits"], ["s"]),)))
    assert f"uses the operator {operator} of the domain ai.onnx, which ONNX Runtime" in message
    assert "in opset 18" in message


def test_an_operator_without_code_for_its_types_is_named(tmp_path: Path) -> None:
    extra = (
        helper.make_node("Cast", ["logits"], ["whole"], to=TensorProto.INT16),
        helper.make_node("Mod", ["whole", "whole"], ["m"]),
        helper.make_node("Cast", ["whole"], ["b"], to=TensorProto.BFLOAT16),
        helper.make_node("Sigmoid", ["b"], ["s"]),
        helper.make_node("Cast", ["s"], ["end"], to=FLOAT),
    )
    outputs = (("end", FLOAT, ("n", CLASSES)),)
    message = refused(ModelError, save(tmp_path / "m.onnx", extra=extra, outputs=outputs))
    assert "cannot run the operator Sigmoid (version 13)" in message


def test_a_reason_is_not_cut_by_the_place_in_foreign_sources() -> None:
    place = "/onnxruntime_src/onnxruntime/core/graph/model.cc:256 onnxruntime::Model::Model(onnx::ModelProto&&, "
    place += "const std::function<void (int)>&, " * 20 + "bool) const "
    found = shortened(
        RuntimeError(f"[ONNXRuntimeError] : 1 : FAIL : Load model from /a b/m.onnx failed:{place}No weights.")
    )
    assert found == "No weights"
    found = shortened(
        RuntimeError("[ONNXRuntimeError] : 1 : FAIL : parse_string.h:116 ParseString Failed to parse (x)")
    )
    assert found == "Failed to parse (x)"
    assert (
        shortened(RuntimeError("Reshape: the sizes (1,2) and (3) differ")) == "Reshape: the sizes (1,2) and (3) differ"
    )


def test_a_reason_in_the_middle_or_on_the_next_line_is_kept() -> None:
    place = "/onnxruntime_src/a.h:45 onnxruntime::Helper::Helper(const onnxruntime::TensorShape&, bool) "
    run = f"Non-zero status code returned while running Reshape node. Name:'{'n' * 300}' Status Message: {place}x == y"
    found = shortened(RuntimeError(f"[ONNXRuntimeError] : 6 : RUNTIME_EXCEPTION : {run} was false."))
    assert found == "Reshape: x == y was false"
    indices = "Got invalid dimensions for the following indices\n index: 0 Got: 2 Expected: 0\n"
    found = shortened(RuntimeError(f"[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : {indices}"))
    assert found == "Got invalid dimensions for the following indices index: 0 Got: 2 Expected: 0"


@pytest.mark.parametrize("place", ["metadata", "key", "input", "node"])
def test_texts_that_are_not_utf8_are_told(tmp_path: Path, place: str) -> None:
    mark = "MARK"
    spec = save(tmp_path / "m.onnx")
    if place in ("metadata", "key"):
        changed(spec, lambda m: m.metadata_props.add(key=mark, value="v") if place == "key" else m.metadata_props.add(
            key="author", value=mark))  # fmt: skip
    content = Path(spec).read_bytes()
    old = {"input": b"image", "node": b"Flatten"}.get(place, mark.encode())
    Path(spec).write_bytes(content.replace(old, b"\xff" * len(old)))
    message = refused(ModelError, spec)
    assert "UTF-8" in message


def test_a_path_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"bad\xff.onnx")
    Path(save(tmp_path / "m.onnx")).rename(path)
    message = refused(ModelError, str(path))
    assert "bad\\udcff.onnx: ONNX Runtime opens paths that are UTF-8" in message
    assert message.isascii()
    assert "no such model file" in refused(ModelError, str(tmp_path / "a\0b.onnx"))


@pytest.mark.parametrize("batch", [1 << 31, 10_000_000])
def test_a_fixed_batch_that_fills_the_memory_is_refused(tmp_path: Path, batch: int) -> None:
    model = opened(save(tmp_path / "m.onnx", shape=(batch, 3, 4, 4)))
    with pytest.raises(ModelError, match=rf"takes {batch} images at a time"):
        model.predict(images(2))


def test_an_image_size_that_does_not_fit_is_refused_before_an_image_is_resized(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = opened(save(tmp_path / "m.onnx"), CONTRACT.replace(size=(4096, 4096), resize="nearest"))
    monkeypatch.setattr(Contract, "to_input", lambda *_: pytest.fail("an image was made"))
    with pytest.raises(ContractError, match=r"its contract makes \(3, 4096, 4096\)"):
        model.predict(images(2))


@pytest.mark.parametrize("left", ["", "from onnxruntime import capi", "import no_such_part"])
def test_a_runtime_whose_files_are_gone_is_told_with_its_remedy(tmp_path: Path, left: str) -> None:
    """What is left where one of two packages that share a folder was removed: nothing of the module, or some of it."""
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text(left)
    script = f"""
import sys
sys.path.insert(0, {str(tmp_path)!r})
from cae_core.opening.opened import open_model
try:
    open_model({save(tmp_path / "m.onnx")!r})
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert re.fullmatch(r"BackendMissing ONNX Runtime .* Install it anew: .*\n", done.stdout)
    assert "pip uninstall -y onnxruntime onnxruntime-gpu, and then pip install onnxruntime" in done.stdout


def test_the_contract_is_never_guessed(tmp_path: Path) -> None:
    spec = save(tmp_path / "m.onnx", contract=None)
    with pytest.raises(ContractError):
        opened(spec)
    assert opened(spec, CONTRACT).contract == CONTRACT
    assert "'pixels'" in refused(ContractError, spec, CONTRACT.replace(input="pixels"))
    (tmp_path / "m.toml").write_text('[contract]\nlayout = "NCHW"\nrange = [0, 255]\noutput = "logits"\n')
    assert opened(spec).contract.range == (0.0, 255.0)


@pytest.mark.parametrize("device", ["gpu", "cuda:", "cuda:x", "cpu:0", "auto:1", ""])
def test_an_unknown_device_is_refused(tmp_path: Path, device: str) -> None:
    with pytest.raises(ModelError, match="known are auto, cpu, cuda"):
        LOADER.open(save(tmp_path / "m.onnx"), contract=None, device=device)


def test_cuda_without_a_device_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_usable_cuda_devices", lambda: 0)
    with pytest.raises(ModelError, match="0 CUDA devices found"):
        LOADER.open(save(tmp_path / "m.onnx"), contract=None, device="cuda:1")


def test_a_device_that_the_runtime_cannot_use(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(session, "_usable_cuda_devices", lambda: 99)
    spec = save(tmp_path / "m.onnx")
    with pytest.raises(ModelError, match="cannot use 'cuda:98'"):
        LOADER.open(spec, contract=None, device="cuda:98")
    monkeypatch.setattr(session, "_cuda_index", lambda _: 98)
    assert LOADER.open(spec, contract=None, device="auto").providers == ("CPUExecutionProvider",)
    assert capfd.readouterr() == ("", "")


def test_opening_and_asking_imports_no_other_framework_and_says_nothing(tmp_path: Path) -> None:
    script = f"""
import sys
import cae_backends.onnxruntime.model
assert "onnxruntime" not in sys.modules
import numpy as np
from cae_core.opening.opened import open_model
open_model({save(tmp_path / "m.onnx")!r}).predict(np.zeros((2, 4, 4, 3), np.uint8))
print([x for x in ("torch", "tensorflow", "onnx", "scipy", "sklearn") if x in sys.modules])
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[]\n", "")


def test_images_of_another_task_are_told_with_the_name_of_the_file(tmp_path: Path) -> None:
    spec = save(tmp_path / "m.onnx", shape=("n", 3, "h", "w"))
    for contract, words in (
        (CONTRACT.replace(size=(32, 32)), "32x32 images and the images are 4x4"),
        (CONTRACT.replace(channels="GRAY"), "takes GRAY and the images have 3 channels"),
        (CONTRACT.replace(std=(0.5, 0.5)), "std must have 1 or 3 values"),
    ):
        with pytest.raises(ContractError) as caught:
            opened(spec, contract).predict(images(2))
        assert str(caught.value).startswith(f"{spec}: ")
        assert words in str(caught.value)


def test_a_device_is_not_blamed_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(session, "_usable_cuda_devices", lambda: 99)
    spec = changed(save(tmp_path / "m.onnx"), lambda model: setattr(model, "ir_version", 99))
    with pytest.raises(ModelError, match="IR version 99"):
        LOADER.open(spec, contract=None, device="cuda:98")


@pytest.mark.parametrize("batch", ["n", 1, 7])
def test_a_dynamically_quantised_graph_answers_each_image_by_itself(tmp_path: Path, batch: int | str) -> None:
    """It scales by the largest value of its whole input, so that neighbours would change an answer."""
    path = tmp_path / "q.onnx"
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("DynamicQuantizeLinear", ["flat"], ["q", "scale", "zero"]),
        helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["d"]),
        helper.make_node("MatMul", ["d", "w"], ["logits"]),
    ]
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info("image", FLOAT, (batch, 3, 4, 4))],
        [helper.make_tensor_value_info("logits", FLOAT, (batch, CLASSES))],
        [numpy_helper.from_array(weights(), "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    helper.set_model_props(model, metadata_of(CONTRACT))
    onnx.save(model, path)
    x = images(40)
    x[20:] //= 16  # the dark half would be rounded to the levels of the bright one
    opened = open_model(str(path), device="cpu")
    together = opened.predict(x).probabilities
    assert together is not None
    alone = [opened.predict(image[np.newaxis]).probabilities for image in x]
    np.testing.assert_array_equal(together, np.concatenate([p for p in alone if p is not None]))
    exact = np.exp(expected_logits(x))
    np.testing.assert_allclose(together, exact / exact.sum(axis=1, keepdims=True), atol=0.05)
