"""What stands in graphs that were written for something else: leftovers of training, several outputs, other answers."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cae_backends.onnxruntime import LOADER
from cae_backends.onnxruntime.model import OnnxRuntimeModel
from cae_core.contract import Contract, Task
from cae_core.errors import CaeError, ContractError, ModelError

LOGITS = Contract(layout="NHWC", range=(0.0, 1.0), output="logits")
TOLD = LOGITS.replace(output="probabilities")
WEIGHTS = np.random.default_rng(0).normal(size=(16, 3)).astype(np.float32)
IMAGES: NDArray[np.uint8] = np.random.default_rng(1).integers(0, 256, (5, 4, 4, 1), np.uint8)
EXPECTED = (IMAGES.reshape(5, 16) / 255) @ WEIGHTS

Node = onnx.NodeProto


def node(operator: str, inputs: list[str], outputs: list[str], **more: Any) -> Node:  # noqa: ANN401 - as the operator
    return helper.make_node(operator, inputs, outputs, **more)


FRONT = [node("Flatten", ["x"], ["f"]), node("MatMul", ["f", "w"], ["z"])]


def save(
    path: Path,
    nodes: list[Node],
    outputs: Mapping[str, tuple[int, list[Any]]],
    inputs: Mapping[str, tuple[int, list[Any]]] | None = None,
    constants: Mapping[str, NDArray[Any]] | None = None,
) -> str:
    taken = {"x": (TensorProto.FLOAT, ["n", 4, 4, 1]), **(inputs or {})}
    graph = helper.make_graph(
        nodes,
        "g",
        [helper.make_tensor_value_info(name, *of) for name, of in taken.items()],
        [helper.make_tensor_value_info(name, *of) for name, of in outputs.items()],
        [numpy_helper.from_array(value, name) for name, value in {"w": WEIGHTS, **(constants or {})}.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), path)
    return str(path)


def opened(spec: str, contract: Contract = LOGITS, task: Task | None = None) -> OnnxRuntimeModel:
    return LOADER.open(spec, contract=contract, device="cpu", task=task)


def refusal(kind: type[CaeError], spec: str, contract: Contract = LOGITS, task: Task | None = None) -> str:
    with pytest.raises(kind) as caught:
        opened(spec, contract, task).predict(IMAGES)
    assert str(caught.value).startswith(f"{spec}: ")
    return str(caught.value).removeprefix(f"{spec}: ")


ROWS: tuple[int, list[Any]] = (TensorProto.FLOAT, ["n", 3])


class TestLeftovers:
    """Inputs of training are given what they have in inference; nothing else is guessed."""

    @pytest.mark.parametrize("name", ["is_training", "phase_train:0", "keras_learning_phase"])
    def test_a_flag_is_false(self, tmp_path: Path, name: str) -> None:
        nodes = [*FRONT, node("Neg", ["z"], ["minus"]), node("Where", [name, "minus", "z"], ["y"])]
        model = opened(save(tmp_path / "m.onnx", nodes, {"y": ROWS}, {name: (TensorProto.BOOL, [])}))
        assert model.predict(IMAGES).labels.tolist() == EXPECTED.argmax(axis=1).tolist()

    @pytest.mark.parametrize(("name", "shape"), [("keep_prob", []), ("keep_prob", [1])])
    def test_all_is_kept(self, tmp_path: Path, name: str, shape: list[int]) -> None:
        spec = save(
            tmp_path / "m.onnx",
            [*FRONT, node("Mul", ["z", name], ["y"])],
            {"y": ROWS},
            {name: (TensorProto.FLOAT, shape)},
        )
        assert opened(spec).predict(IMAGES).labels.tolist() == EXPECTED.argmax(axis=1).tolist()

    def test_nothing_is_dropped(self, tmp_path: Path) -> None:
        nodes = [*FRONT, node("Dropout", ["z", "ratio", "training_mode"], ["y"])]
        inputs: dict[str, tuple[int, list[Any]]] = {
            "ratio": (TensorProto.FLOAT, []),
            "training_mode": (TensorProto.BOOL, []),
        }
        model = opened(save(tmp_path / "m.onnx", nodes, {"y": ROWS}, inputs))
        np.testing.assert_array_equal(model.predict(IMAGES).labels, EXPECTED.argmax(axis=1))

    @pytest.mark.parametrize(
        ("name", "kind", "shape"),
        [
            ("temperature", TensorProto.FLOAT, []),
            ("flag", TensorProto.BOOL, []),
            ("keep_prob", TensorProto.FLOAT, [3]),
            ("train", TensorProto.FLOAT, []),
        ],
    )
    def test_any_other_is_named(self, tmp_path: Path, name: str, kind: int, shape: list[int]) -> None:
        nodes = [*FRONT, node("Cast", [name], ["c"], to=TensorProto.FLOAT), node("Mul", ["z", "c"], ["y"])]
        spec = save(tmp_path / "m.onnx", nodes, {"y": ROWS}, {name: (kind, shape)})
        assert f"make {name} a constant" in refusal(ModelError, spec)

    def test_the_contract_may_name_the_image(self, tmp_path: Path) -> None:
        nodes = [*FRONT, node("Mul", ["z", "dropout"], ["t"]), node("Sub", ["z", "t"], ["y"])]
        spec = save(tmp_path / "m.onnx", nodes, {"y": ROWS}, {"dropout": (TensorProto.FLOAT, [1])})
        assert opened(spec, LOGITS.replace(input="x")).predict(IMAGES).labels.tolist() == EXPECTED.argmax(1).tolist()
        assert "the contract's input is 'q'" in refusal(ContractError, spec, LOGITS.replace(input="q"))


TWO: dict[str, tuple[int, list[Any]]] = {"z": ROWS, "f": (TensorProto.FLOAT, ["n", 16])}


class TestOutputs:
    """One output is read: the named one, the only one that fits, or the one as wide as the classes."""

    def test_the_one_as_wide_as_the_classes_is_read_and_recorded(self, tmp_path: Path) -> None:
        spec = save(tmp_path / "m.onnx", FRONT, TWO)
        for contract, task in (
            (LOGITS, Task(classes=3)),
            (LOGITS.replace(classes=(0, 1, 2)), None),
            (LOGITS.replace(classes=(0, -1, 1)), Task(classes=2)),
        ):
            model = opened(spec, contract, task)
            assert model.output == "z"
            assert model.contract == contract.replace(output_name="z")

    def test_where_nothing_decides_the_field_is_named(self, tmp_path: Path) -> None:
        spec = save(tmp_path / "m.onnx", FRONT, TWO)
        for task in (None, Task(classes=4)):
            message = refusal(ModelError, spec, LOGITS, task)
            assert "found z tensor(float) ['n', 3], f tensor(float) ['n', 16]" in message
            assert 'output_name = "z"' in message

    def test_a_name_that_is_none(self, tmp_path: Path) -> None:
        spec = save(tmp_path / "m.onnx", FRONT, TWO)
        assert "'scores'; the model's are z, f" in refusal(ContractError, spec, LOGITS.replace(output_name="scores"))

    def test_a_column_of_labels_is_no_score(self, tmp_path: Path) -> None:
        """A label in a column would be a logit of two classes."""
        nodes = [*FRONT, node("ArgMax", ["z"], ["y"], axis=1, keepdims=1)]
        for shape in (["n", 1], ["n", None]):
            spec = save(tmp_path / "m.onnx", nodes, {"y": (TensorProto.INT64, shape)})
            assert refusal(ModelError, spec)
            model = opened(spec, LOGITS.replace(output="labels"))
            assert model.predict(IMAGES).labels.tolist() == EXPECTED.argmax(axis=1).tolist()

    def test_dictionaries_whose_names_nobody_knows(self, tmp_path: Path) -> None:
        zipped = node("ZipMap", ["z"], ["y"], domain="ai.onnx.ml", classlabels_strings=["b", "a", "c"])
        graph = helper.make_graph(
            [*FRONT, zipped], "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 4, 4, 1])],
            [helper.make_value_info("y", helper.make_sequence_type_proto(helper.make_map_type_proto(
                TensorProto.STRING, helper.make_tensor_type_proto(TensorProto.FLOAT, []))))],
            [numpy_helper.from_array(WEIGHTS, "w")],
        )  # fmt: skip
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 2)]
        onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=8), tmp_path / "m.onnx")
        spec = str(tmp_path / "m.onnx")
        assert "'a', 'b', 'c'. Say in its contract" in refusal(ContractError, spec)
        assert "Correct class_names" in refusal(ContractError, spec, LOGITS.replace(class_names=("a", "b", "d")))
        task = Task(classes=3, names=("c", "b", "a"))
        expected = EXPECTED[:, [2, 0, 1]].argmax(axis=1).tolist()  # the model's outputs are b, a, c
        for contract in (LOGITS, LOGITS.replace(class_names=("b", "a", "c"))):
            assert opened(spec, contract, task).predict(IMAGES).labels.tolist() == expected


class TestWrongKindOfAnswer:
    def test_logits_that_are_called_probabilities_are_noticed_at_the_first_answers(self, tmp_path: Path) -> None:
        spec = save(tmp_path / "m.onnx", FRONT, {"z": ROWS})
        assert 'Correct it to output = "logits"' in refusal(ContractError, spec, TOLD)

    def test_scores_that_do_not_sum_to_1_are_taken_where_they_are_shares(self, tmp_path: Path) -> None:
        """Of a network that ends in a sigmoid for each class."""
        model = opened(save(tmp_path / "m.onnx", [*FRONT, node("Sigmoid", ["z"], ["y"])], {"y": ROWS}), TOLD)
        assert model.predict(IMAGES).labels.tolist() == EXPECTED.argmax(axis=1).tolist()

    def test_a_sigmoid_that_is_called_a_logit_is_refused(self, tmp_path: Path) -> None:
        nodes = [*FRONT, node("Gather", ["z", "first"], ["one"], axis=1), node("Sigmoid", ["one"], ["y"])]
        spec = save(
            tmp_path / "m.onnx", nodes, {"y": (TensorProto.FLOAT, ["n", 1])}, constants={"first": np.array([0])}
        )
        assert "ends in a sigmoid" in refusal(ContractError, spec)
        expected = (EXPECTED[:, 0] > 0).astype(int).tolist()
        assert opened(spec, TOLD, Task(classes=2)).predict(IMAGES).labels.tolist() == expected

    def test_an_input_that_holds_no_image_of_this_size(self, tmp_path: Path) -> None:
        inputs = {"x": (TensorProto.FLOAT, ["n", 15])}
        spec = save(
            tmp_path / "m.onnx", [node("Identity", ["x"], ["z"])], {"z": (TensorProto.FLOAT, ["n", 15])}, inputs
        )
        message = refusal(ContractError, spec, LOGITS.replace(layout="FLAT"))
        assert "takes images of shape (15,) and its contract makes (16,)" in message


def test_grey_images_for_a_model_of_colour_are_told_how(tmp_path: Path) -> None:
    inputs: dict[str, tuple[int, list[Any]]] = {"x": (TensorProto.FLOAT, ["n", 3, 4, 4])}
    graph = [node("Flatten", ["x"], ["f"]), node("MatMul", ["f", "v"], ["z"])]
    spec = save(tmp_path / "m.onnx", graph, {"z": ROWS}, inputs, {"v": np.ones((48, 3), np.float32)})
    contract = LOGITS.replace(layout="NCHW")
    assert 'by channels = "RGB"' in refusal(ContractError, spec, contract)
    assert opened(spec, contract.replace(channels="RGB")).predict(IMAGES).labels.shape == (5,)


def test_an_input_of_which_the_file_does_not_say_the_shape(tmp_path: Path) -> None:
    spec = save(tmp_path / "m.onnx", FRONT, {"z": ROWS}, {"x": (TensorProto.FLOAT, None)})  # type: ignore[dict-item]
    for layout in ("NHWC", "HW"):
        model = opened(spec, Contract(layout=layout, range=(0, 1), output="logits"))
        assert model.predict(IMAGES).labels.tolist() == EXPECTED.argmax(axis=1).tolist()
    row: tuple[int, list[Any]] = (TensorProto.FLOAT, [16])
    wrong = save(tmp_path / "m.onnx", [node("Identity", ["x"], ["z"])], {"z": row}, {"x": row})
    assert "a tensor of rank 1" in refusal(ContractError, wrong)
    assert "takes images of shape ()" in refusal(ContractError, wrong, LOGITS.replace(layout="FLAT"))
