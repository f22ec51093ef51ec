import dataclasses
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import ModelProto, helper, numpy_helper
from torch import Tensor, nn

from cae_backends.contract_files import PROGRAM_CONTRACT
from cae_backends.datasets import open_data
from cae_backends.tensorflow.runtime import load_keras, load_tensorflow
from cae_backends.torch import onnx_import, opening
from cae_converters import contract_nodes, conversion
from cae_converters.conversion import Conversion, convert
from cae_converters.parity import GRADIENTS, OUTPUTS, Parity, measure_parity, require_parity
from cae_converters.torch_to_onnx import export_torch
from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.errors import CaeError, ContractError, ModelError, OptionError
from cae_core.files.records import as_json
from cae_core.models import Predictions
from cae_core.opening.opened import open_model
from tests.converters.conftest import TORCH_CONTRACT, readout, save_keras, write_sidecar

tf = load_tensorflow()
keras = load_keras()

KERAS_CONTRACT = Contract(
    layout="NHWC", range=(-1.0, 1.0), output="probabilities", channels="GRAY", size=(8, 8), mean=(0.2,), std=(1.5,)
)
SAVED_CONTRACT = KERAS_CONTRACT.replace(classes=(9, 8, 7, 6, 5, 4, 3, 2, 1, 0))
SHAPE = (8, 8, 1)
SOURCES = ("keras/m.keras", "h5/m.h5", "saved/m", "program/m.pt2", "graph/m.onnx")
PAIRS = [(source, kind) for source in SOURCES for kind in ("onnx", "pt2") if (source, kind) != ("program/m.pt2", "pt2")]


def keras_classifier(size: tuple[int | None, int | None] = (8, 8)) -> Any:  # noqa: ANN401 - Keras has no types
    keras.utils.set_random_seed(2)
    train = open_data("digits", split="train")
    image = keras.Input((*size, 1))
    x = keras.layers.Conv2D(12, 3, padding="same")(image)
    x = keras.layers.ReLU()(keras.layers.BatchNormalization()(x))
    x = keras.layers.Flatten()(x) if None not in size else keras.layers.GlobalMaxPooling2D()(x)
    features = keras.Model(image, x)
    weights = readout(np.asarray(features(KERAS_CONTRACT.to_input(train.images))), train.labels)
    head = keras.layers.Dense(10, activation="softmax")
    model = keras.Model(image, head(x))
    head.set_weights([weights[:-1], weights[-1]])
    return model


def reversed_outputs(model: Any) -> Any:  # noqa: ANN401
    """The same classifier with its last column first."""
    weights, offsets = model.layers[-1].get_weights()
    model.layers[-1].set_weights([weights[:, ::-1], offsets[::-1]])
    return model


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory, torch_classifier: nn.Module) -> Path:
    """One classifier in each format, each with a contract that normalises, in a folder of its own."""
    folder = tmp_path_factory.mktemp("originals")
    for source in SOURCES:
        (folder / source).parent.mkdir()
    model = keras_classifier()
    save_keras(model, folder / "keras/m.keras")
    write_sidecar(folder / "keras/m.keras", KERAS_CONTRACT)
    save_keras(model, folder / "h5/m.h5")
    write_sidecar(folder / "h5/m.h5", KERAS_CONTRACT)
    reversed_outputs(model).export(folder / "saved/m", verbose=False)
    write_sidecar(folder / "saved/m", SAVED_CONTRACT)
    x = torch.zeros((2, 1, 8, 8))
    program = torch.export.export(torch_classifier, (x,), dynamic_shapes=({0: torch.export.Dim("n")},))
    torch.export.save(program, folder / "program/m.pt2")
    write_sidecar(folder / "program/m.pt2", TORCH_CONTRACT)
    export_torch(torch_classifier, folder / "graph/m.onnx", contract=TORCH_CONTRACT, image_shape=SHAPE)
    return folder


@pytest.fixture(scope="module")
def converted(
    originals: Path, tmp_path_factory: pytest.TempPathFactory, digits: ImageSet
) -> Callable[[str, str], Conversion]:
    """Convert on demand, each pair once."""
    folder = tmp_path_factory.mktemp("converted")
    made: dict[tuple[str, str], Conversion] = {}

    def get(source: str, kind: str) -> Conversion:
        if (source, kind) not in made:
            target = folder / f"{Path(source).parent}.{kind}"
            made[source, kind] = convert(originals / source, target, data=digits, trusted=True)
        return made[source, kind]

    return get


Converted = Callable[[str, str], Conversion]
every_pair = pytest.mark.parametrize(("source", "kind"), PAIRS)


@every_pair
def test_the_result_answers_real_images_as_the_original(
    originals: Path, converted: Converted, digits: ImageSet, source: str, kind: str
) -> None:
    original = open_model(str(originals / source), gradients=True, device="cpu", trusted=True)
    done = converted(source, kind)
    result = open_model(str(done.path), device="cpu", trusted=True)
    for count in (1, 40):
        expected, found = original.predict(digits.images[:count]), result.predict(digits.images[:count])
        np.testing.assert_array_equal(found.labels, expected.labels)
        assert found.probabilities is not None
        assert expected.probabilities is not None
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)
    accuracy = (result.predict(digits.images).labels == digits.labels).mean()
    assert accuracy > 0.85  # the normalisation and the class map are those that it was made for


def test_a_conversion_is_told_as_json_holds_it(converted: Converted) -> None:
    done = converted(*PAIRS[0])
    told = json.loads(json.dumps(as_json(done)))
    assert (told["path"], told["unchecked"]) == (str(done.path), list(done.unchecked))
    assert [parity["runtime"] for parity in told["parity"]] == [parity.runtime for parity in done.parities]
    assert told["contract"]["layout"] == done.contract.layout
    assert None not in told["contract"].values()


@every_pair
def test_the_result_takes_images_from_0_to_1_and_carries_its_contract(
    converted: Converted, source: str, kind: str
) -> None:
    done = converted(source, kind)
    original = {"saved/m": SAVED_CONTRACT, "program/m.pt2": TORCH_CONTRACT, "graph/m.onnx": TORCH_CONTRACT}
    contract = original.get(source, KERAS_CONTRACT)
    # a program gives gradients, so it answers what was before the softmax
    output = "logits" if kind == "pt2" else contract.output
    bare = Contract(layout=contract.layout, range=(0.0, 1.0), output=output, channels="GRAY", size=(8, 8))
    assert done.contract == bare
    assert open_model(str(done.path), device="cpu", trusted=True).contract == bare  # type: ignore[attr-defined] # of every backend
    assert not list(done.path.parent.glob("*.toml"))


@every_pair
def test_the_report_covers_both_runtimes_and_both_sets_of_images(converted: Converted, source: str, kind: str) -> None:
    done = converted(source, kind)
    runtimes = {"ONNX Runtime", "onnx2torch"} if kind == "onnx" else {"torch"}
    assert {(parity.runtime, parity.images) for parity in done.parities} == {
        (runtime, images) for runtime in runtimes for images in ("random", "digits")
    }
    assert len(done.parities) == 2 * len(runtimes)
    assert {parity.count for parity in done.parities} == {7, 16}
    assert done.unchecked == ()
    for parity in done.parities:
        assert parity.outputs <= 1e-5 * parity.scale
        # ONNX Runtime gives no gradient, neither for the result nor for an original that is an ONNX file
        if parity.runtime == "ONNX Runtime" or source == "graph/m.onnx":
            assert parity.gradients is None
        else:
            assert parity.gradients is not None
            assert parity.gradients < 1e-5


@every_pair
def test_the_file_is_the_same_when_made_twice_and_says_nothing_of_the_machine(
    originals: Path, converted: Converted, tmp_path: Path, source: str, kind: str
) -> None:
    path = converted(source, kind).path
    again = tmp_path / path.name
    convert(originals / source, again, trusted=True)
    content = path.read_bytes()
    assert again.read_bytes() == content
    for trace in (
        str(Path.cwd()),
        f"{Path.home()}/",
        str(path.parent),
        "site-packages",
        "dist-packages",
        ".py",
        "stack_trace",
    ):
        assert trace.encode() not in content
    assert [x.name for x in tmp_path.iterdir()] == [path.name]


@pytest.mark.parametrize("source", SOURCES)
def test_an_onnx_file_is_valid_with_names_that_say_what_they_are(converted: Converted, source: str) -> None:
    done = converted(source, "onnx")
    proto = onnx.load(done.path)
    onnx.checker.check_model(proto, full_check=True)
    (image,), (answer,) = proto.graph.input, proto.graph.output
    assert (image.name, answer.name) == ("image", done.contract.output)
    first, *others = image.type.tensor_type.shape.dim
    assert first.dim_param
    assert [axis.dim_value for axis in others] == ([8, 8, 1] if done.contract.layout == "NHWC" else [1, 8, 8])
    assert answer.type.tensor_type.shape.dim[0].dim_param == first.dim_param
    assert [entry.domain for entry in proto.opset_import if entry.domain == ""] == [""]


def test_a_sidecar_of_both_files_is_not_applied_twice(originals: Path, tmp_path: Path, digits: ImageSet) -> None:
    for name in ("m.keras", "m.toml"):
        (tmp_path / name).write_bytes((originals / "keras" / name).read_bytes())
    expected = open_model(str(tmp_path / "m.keras"), device="cpu").predict(digits.images)
    convert(tmp_path / "m.keras", tmp_path / "m.onnx")
    convert(tmp_path / "m.onnx", tmp_path / "m.pt2")
    for name in ("m.onnx", "m.pt2"):
        found = open_model(str(tmp_path / name), device="cpu", trusted=True).predict(digits.images)
        assert found.probabilities is not None
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)  # type: ignore[arg-type]


def test_a_result_is_converted_again_over_an_earlier_one_and_never_over_its_source(
    originals: Path, tmp_path: Path, digits: ImageSet
) -> None:
    source, path, again = originals / "graph/m.onnx", tmp_path / "m.onnx", tmp_path / "again.onnx"
    expected = open_model(str(source), device="cpu").predict(digits.images)
    again.write_bytes(source.read_bytes())
    first, second = convert(source, path), convert(path, again)
    assert first.contract == second.contract
    before = again.read_bytes()
    with pytest.raises(OptionError, match=r"again\.onnx: this is one of the inputs"):
        convert(again, again)
    assert again.read_bytes() == before
    np.testing.assert_allclose(
        open_model(str(again), device="cpu").predict(digits.images).probabilities,  # type: ignore[arg-type]
        expected.probabilities,  # type: ignore[arg-type]
        atol=1e-5,
    )


@pytest.mark.parametrize("source", ["keras/m.keras", "graph/m.onnx"])
def test_data_of_another_size_put_the_resizing_into_the_graph(
    originals: Path, tmp_path: Path, digits: ImageSet, source: str
) -> None:
    large = np.kron(digits.images, np.ones((1, 2, 2, 1), np.uint8))[:, 1:, :15]
    data = ImageSet(large, digits.labels, digits.class_names, "large digits")
    base = KERAS_CONTRACT if source.endswith("keras") else TORCH_CONTRACT
    contract = base.replace(resize="bilinear-antialias")
    expected = open_model(
        str(originals / source), gradients=True, contract=contract, device="cpu", trusted=True
    ).predict(large)
    for kind in ("onnx", "pt2"):
        done = convert(originals / source, tmp_path / f"m.{kind}", contract=contract, data=data, trusted=True)
        assert done.contract.size == (15, 15)
        assert done.contract.resize is None
        found = open_model(str(done.path), device="cpu", trusted=True).predict(large)
        np.testing.assert_array_equal(found.labels, expected.labels)
        np.testing.assert_allclose(found.probabilities, expected.probabilities, atol=1e-5)  # type: ignore[arg-type]
    with pytest.raises(ContractError, match="Name a resize rule"):
        convert(originals / source, tmp_path / "no.onnx", data=data)
    assert not (tmp_path / "no.onnx").exists()


def test_a_model_of_any_size_takes_the_size_that_its_contract_says(tmp_path: Path, digits: ImageSet) -> None:
    save_keras(keras_classifier((None, None)), tmp_path / "m.keras")
    anything = KERAS_CONTRACT.replace(size=None)
    with pytest.raises(CaeError, match=r"size = \[32, 32\]"):
        convert(tmp_path / "m.keras", tmp_path / "m.onnx", contract=anything)
    with pytest.raises(CaeError, match=r"size = \[32, 32\]"):
        convert(tmp_path / "m.keras", tmp_path / "m.onnx", contract=anything, data=digits)
    assert [x.name for x in tmp_path.iterdir()] == ["m.keras"]
    done = convert(tmp_path / "m.keras", tmp_path / "m.onnx", contract=KERAS_CONTRACT, data=digits)
    assert done.contract.size == (8, 8)


def test_a_program_that_does_not_say_its_size_needs_one(originals: Path, tmp_path: Path, digits: ImageSet) -> None:
    contract = TORCH_CONTRACT.replace(size=None)
    with pytest.raises(ContractError, match="nobody says which images"):
        convert(originals / "program/m.pt2", tmp_path / "m.onnx", contract=contract, trusted=True)
    assert convert(
        originals / "program/m.pt2", tmp_path / "m.onnx", contract=contract, data=digits, trusted=True
    ).contract.size == (
        8,
        8,
    )


def test_without_data_the_report_says_so(originals: Path, tmp_path: Path) -> None:
    done = convert(originals / "graph/m.onnx", tmp_path / "m.onnx")
    assert {parity.images for parity in done.parities} == {"random"}
    assert done.unchecked == ("Compared on random images only: no real ones were given.",)


def test_without_torch_the_report_says_so_and_nothing_else_is_missing(originals: Path, tmp_path: Path) -> None:
    script = (
        "import sys; sys.modules['torch'] = None\n"
        "from pathlib import Path\n"
        "from cae_converters.conversion import convert\n"
        "done = convert(Path(sys.argv[1]), Path(sys.argv[2]), trusted=True)\n"
        "assert not {'tensorflow', 'keras', 'onnx2torch'} & set(sys.modules)\n"
        "print([parity.runtime for parity in done.parities], *done.unchecked, sep='\\n')\n"
    )
    arguments = [sys.executable, "-c", script, str(originals / "graph/m.onnx"), str(tmp_path / "m.onnx")]
    environment = {"PYTHONPATH": ":".join(sys.path)}
    ended = subprocess.run(arguments, capture_output=True, text=True, check=False, env=environment)
    assert ended.returncode == 0, ended.stderr
    runtimes, *unchecked = ended.stdout.splitlines()
    assert runtimes == "['ONNX Runtime']"
    assert unchecked[0].startswith("Compared on random images only")
    assert unchecked[1].startswith("Not opened by onnx2torch: Opening a model with gradients needs torch")
    assert len(unchecked) == 2


@pytest.mark.parametrize("content", ["{nope", "[1]"])
def test_a_program_whose_contract_is_damaged(originals: Path, tmp_path: Path, content: str) -> None:
    written = tmp_path / "m.PT2"
    convert(originals / "keras/m.keras", written)
    changed = tmp_path / "changed.pt2"
    with zipfile.ZipFile(written) as source, zipfile.ZipFile(changed, "w", zipfile.ZIP_STORED) as target:
        names = [name for name in source.namelist() if name.endswith(PROGRAM_CONTRACT)]
        assert len(names) == 1
        for name in source.namelist():
            target.writestr(name, content if name in names else source.read(name))
    with pytest.raises(ContractError, match=r"changed\.pt2: its cae\.json must be a JSON object") as caught:
        open_model(str(changed), gradients=True, trusted=True)
    assert "\n" not in str(caught.value)


def test_labels_are_compared_as_labels(tmp_path: Path, digits: ImageSet) -> None:
    module = tf.Module()
    module.classifier = keras_classifier()
    spec = tf.TensorSpec((None, *SHAPE), tf.float32)
    answer = tf.function(lambda images: tf.argmax(module.classifier(images), 1), input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path / "m"), signatures=answer)
    contract = KERAS_CONTRACT.replace(output="labels", classes=(9, 8, 7, 6, 5, 4, 3, 2, 1, 0))
    done = convert(tmp_path / "m", tmp_path / "m.onnx", contract=contract, data=digits)
    assert {(p.outputs, p.gradients) for p in done.parities} == {(0.0, None)}
    found = open_model(str(done.path), device="cpu", trusted=True).predict(digits.images)
    assert found.probabilities is None
    expected = answer(KERAS_CONTRACT.to_input(digits.images)).numpy()
    np.testing.assert_array_equal(found.labels, 9 - expected)


def test_the_output_that_is_used_is_converted_and_the_others_are_left(tmp_path: Path, originals: Path) -> None:
    proto = onnx.load(originals / "graph/m.onnx")
    proto.graph.node.append(helper.make_node("ArgMax", ["logits"], ["label"], axis=1, keepdims=0))
    outputs = [helper.make_tensor_value_info("label", onnx.TensorProto.INT64, ("n",)), proto.graph.output[0]]
    del proto.graph.output[:]
    proto.graph.output.extend(outputs)
    onnx.save(proto, tmp_path / "two.onnx")
    done = convert(tmp_path / "two.onnx", tmp_path / "m.onnx")
    found = onnx.load(done.path).graph
    assert [value.name for value in found.output] == ["logits"]
    assert "ArgMax" not in {node.op_type for node in found.node}


# What a comparison must find.

Change = Callable[[ModelProto], None]


def _matrix(proto: ModelProto) -> Any:  # noqa: ANN401 - a TensorProto
    """The weights of the last layer, whichever axis is the classes'."""
    return next(t for t in proto.graph.initializer if len(t.dims) == 2 and 10 in t.dims and max(t.dims) > 10)


def _rewrite(proto: ModelProto, change: Callable[[Any], Any]) -> None:
    tensor = _matrix(proto)
    tensor.CopyFrom(numpy_helper.from_array(np.ascontiguousarray(change(numpy_helper.to_array(tensor))), tensor.name))


def scale_one_weight(proto: ModelProto) -> None:
    def change(weights: Any) -> Any:  # noqa: ANN401 - an array
        changed = weights.copy()
        changed.flat[np.abs(changed).argmax()] *= np.float32(1.05)
        return changed

    _rewrite(proto, change)


def swap_two_classes(proto: ModelProto) -> None:
    order = [1, 0, *range(2, 10)]
    _rewrite(proto, lambda weights: weights[:, order] if weights.shape[1] == 10 else weights[order])


def break_one_class(proto: ModelProto) -> None:
    def change(weights: Any) -> Any:  # noqa: ANN401 - an array
        changed = weights.copy()
        changed.flat[0] = np.nan
        return changed

    _rewrite(proto, change)


def assert_refused(source: Path, target: Path, data: ImageSet) -> str:
    """The conversion fails, an older target stays as it was, and no draft is left."""
    earlier = (source.parents[1] / {".onnx": "graph/m.onnx", ".pt2": "program/m.pt2"}[target.suffix]).read_bytes()
    target.write_bytes(earlier)
    with pytest.raises(ModelError, match="Nothing was written") as caught:
        convert(source, target, data=data, trusted=True)
    assert target.read_bytes() == earlier
    assert list(target.parent.iterdir()) == [target]
    target.unlink()
    return str(caught.value)


@pytest.mark.parametrize("change", [scale_one_weight, swap_two_classes, break_one_class])
@pytest.mark.parametrize("source", ["keras/m.keras", "graph/m.onnx"])
@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_a_result_with_other_weights_is_refused(
    originals: Path,
    tmp_path: Path,
    digits: ImageSet,
    monkeypatch: pytest.MonkeyPatch,
    *,
    change: Change,
    source: str,
    kind: str,
) -> None:
    real = contract_nodes.absorb_contract

    def absorb(*arguments: Any) -> tuple[ModelProto, Contract]:  # noqa: ANN401 - as absorb_contract takes them
        proto, left = real(*arguments)
        change(proto)
        return proto, left

    monkeypatch.setattr(conversion, "absorb_contract", absorb)
    message = assert_refused(originals / source, tmp_path / f"m.{kind}", digits)
    assert ("ONNX Runtime" if kind == "onnx" else "torch") in message
    assert "computes something else" in message
    assert ("nan" in message) == (change is break_one_class)


class HalfStopped(nn.Module):
    """The same answers with half of the gradient."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        answer: Tensor = self.module(x * 0.5 + x.detach() * 0.5)
        return answer


@pytest.mark.parametrize("kind", ["onnx", "pt2"])
def test_a_result_with_another_gradient_is_refused(
    originals: Path, tmp_path: Path, digits: ImageSet, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    real = onnx_import.convert_neutral
    monkeypatch.setattr(opening, "convert_neutral", lambda graph, origin: HalfStopped(real(graph, origin=origin)))
    message = assert_refused(originals / "keras/m.keras", tmp_path / f"m.{kind}", digits)
    assert "input gradients by 0.5 of their norm" in message


class Answers:
    """Gives fixed probabilities; a single image may be answered otherwise."""

    def __init__(self, alone: float = 0.25) -> None:
        self.alone = alone

    def predict(self, images: Any) -> Predictions:  # noqa: ANN401 - an array
        probabilities = np.full((len(images), 4), 0.25, np.float32)
        if len(images) == 1:
            probabilities[:] = self.alone
        return Predictions(np.zeros(len(images), np.int64), probabilities)


@pytest.mark.parametrize("alone", [0.3, float("nan")])
def test_an_image_that_is_answered_otherwise_alone_is_a_difference(alone: float) -> None:
    images = {"random": np.zeros((7, *SHAPE), np.uint8)}
    same = measure_parity(Answers(), {"same": Answers()}, images, output="probabilities")
    assert [parity.outputs for parity in same] == [0.0]
    require_parity(same, origin="m.onnx")
    other = measure_parity(Answers(), {"other": Answers(alone)}, images, output="probabilities")
    assert not other[0].holds
    with pytest.raises(ModelError, match="other computes something else"):
        require_parity(other, origin="m.onnx")


def test_the_limits_of_a_parity_and_what_is_never_within_them() -> None:
    within = Parity("torch", "random", 7, OUTPUTS * 20, 20.0, GRADIENTS)
    assert within.holds
    assert dataclasses.replace(within, gradients=None).holds
    for outputs in (OUTPUTS * 20.1, float("nan"), float("inf")):
        assert not dataclasses.replace(within, outputs=outputs).holds
    for gradients in (GRADIENTS * 1.01, float("nan")):
        assert not dataclasses.replace(within, gradients=gradients).holds
