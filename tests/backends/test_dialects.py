"""The same network, however its file was written: the same answers."""

from pathlib import Path

import numpy as np
import pytest

from cae_backends.onnxruntime import LOADER
from cae_core.contract import Task, contract_of
from cae_core.opening.party import Party
from tests.backends import dialects
from tests.backends.dialects import AXES, CLASSES, NAMES, SIDE, Case, cover, is_possible, logits_of, pairs_of

TASK = Task(classes=CLASSES, names=NAMES)


def images(channels: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """Images about which the network is sure, so that no rounding of a dialect turns its label."""
    drawn = np.random.default_rng(11).integers(0, 256, (4000, SIDE, SIDE, channels), np.uint8)
    logits = logits_of(drawn)
    ordered, labels = np.sort(logits, axis=1), logits.argmax(axis=1)
    margins = ordered[:, -1] - ordered[:, -2]
    two_each = [np.flatnonzero((labels == label) & (margins > 1))[:2] for label in range(CLASSES)]
    sure = drawn[np.concatenate(two_each)]
    assert len(sure) >= 12  # of six classes at least
    return sure


def softmax(
    logits: np.ndarray[tuple[int, ...], np.dtype[np.float32]],
) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True), np.float64)


def complaint(path: Path, case: Case) -> str:
    """Return what is wrong with the answers of a dialect; empty where nothing is."""
    asked = images(1 if case["channels"] in ("GRAY", "REPEATED") else 3)
    dialects.write(path, case)
    expected = logits_of(asked)
    try:
        found = LOADER.open(str(path), contract=dialects.contract_of(case), device="cpu", task=TASK).predict(asked)
    except Exception as error:  # noqa: BLE001 - it is told with its case
        return f"{case}: {error}"
    if found.labels.tolist() != expected.argmax(axis=1).tolist():
        return f"{case}: {found.labels} instead of {expected.argmax(axis=1)}"
    coarse = 0.02 if "uint8" in case["output"] or case["dtype"] in ("float16", "quantised") else 1e-3
    if found.probabilities is not None and np.abs(found.probabilities - softmax(expected)).max() > coarse:
        return f"{case}: probabilities differ by {np.abs(found.probabilities - softmax(expected)).max()}"
    return ""


def test_every_two_traits_of_a_dialect_together(tmp_path: Path) -> None:
    complaints = [complaint(tmp_path / "m.onnx", case) for case in cover()]
    assert not [text for text in complaints if text]


def test_the_cover_has_every_two_values_that_can_meet() -> None:
    """Cases that are drawn by chance have no pair that the cover lacks."""
    met = {pair for case in cover() for pair in pairs_of(case)}
    random = np.random.default_rng(1)
    for _ in range(3000):
        case = {name: values[random.integers(len(values))] for name, values in AXES.items()}
        if is_possible(case):
            assert met.issuperset(pairs_of(case))


def test_one_score_of_two_classes_and_its_class_map(tmp_path: Path) -> None:
    """By hand: the score of the larger class is told, as one sigmoid does."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    from cae_core.contract import Contract

    weight = np.random.default_rng(0).normal(size=(64, 1)).astype(np.float32)
    nodes = [
        helper.make_node("Flatten", ["x"], ["f"]),
        helper.make_node("MatMul", ["f", "w"], ["z"]),
        helper.make_node("Sigmoid", ["z"], ["p"]),
    ]
    graph = helper.make_graph(
        nodes, "g", [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 8, 8, 1])],
        [helper.make_tensor_value_info("p", TensorProto.FLOAT, ["n", 1])], [numpy_helper.from_array(weight, "w")],
    )  # fmt: skip
    path = tmp_path / "m.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8), path)
    asked = np.random.default_rng(1).integers(0, 256, (20, 8, 8, 1), np.uint8)
    p = 1 / (1 + np.exp(-(asked.reshape(20, 64) / 255) @ weight.astype(np.float64)))[:, 0]
    told = Contract(layout="NHWC", range=(0, 1), output="probabilities")
    for contract, of_first in ((told, 1 - p), (told.replace(classes=(1, 0)), p)):
        found = LOADER.open(str(path), contract=contract, device="cpu", task=Task(classes=2)).predict(asked)
        assert found.probabilities is not None
        np.testing.assert_allclose(found.probabilities[:, 0], of_first, atol=1e-5)
        assert found.labels.tolist() == (of_first < 0.5).astype(int).tolist()


@pytest.mark.parametrize("width", [9, 11])
def test_the_number_of_classes_is_checked_before_anything_is_asked(tmp_path: Path, width: int) -> None:
    from cae_core.errors import ModelError

    case = {name: values[0] for name, values in AXES.items()} | {"layout": "NHWC"}
    dialects.write(tmp_path / "m.onnx", case)
    with pytest.raises(ModelError, match=f"answers with 10 classes and the fingerprint has {width}"):
        LOADER.open(
            str(tmp_path / "m.onnx"), contract=dialects.contract_of(case), device="cpu", task=Task(classes=width)
        )


def test_a_process_of_its_own_is_told_the_classes(tmp_path: Path) -> None:
    """Names that the model answers, and an output that its width alone tells, in the child; the parent records both."""
    plain = {name: values[0] for name, values in AXES.items()} | {"opset": 17}
    asked = images(3)
    expected = logits_of(asked).argmax(axis=1).tolist()
    party = Party(device="cpu")
    try:
        for name, output in (("names", "names"), ("two", "second output")):
            path, case = tmp_path / f"{name}.onnx", plain | {"output": output}
            dialects.write(path, case)
            opened = party.black_box(str(path), contract=dialects.contract_of(case), task=TASK)
            assert opened.model.predict(asked).labels.tolist() == expected
            found = contract_of(opened.model)
            assert found is not None
            assert found.class_names == (NAMES if name == "names" else None)
            assert found.output_name == (None if name == "names" else "y")
    finally:
        party.end()
