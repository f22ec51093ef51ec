"""The graph with the contract inside answers canonical images as the bare graph answers what the contract makes."""

import itertools
from typing import Any, Literal

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cae_converters.contract_nodes import absorb_contract
from cae_core.arrays import as_unit_float
from cae_core.contract import Contract
from cae_core.errors import ContractError
from cae_core.resize import RESIZE_RULES

OPSETS = (11, 13, 17, 18)
CLASSES = 5
PARTIAL = (2, -1, 0, 1, -1)  # three of the five outputs are classes of the data set
PERMUTED = (3, 0, 4, 1, 2)
KINDS = {
    "float32": TensorProto.FLOAT,
    "float16": TensorProto.FLOAT16,
    "float64": TensorProto.DOUBLE,
    "uint8": TensorProto.UINT8,
}


def bare(
    contract: Contract, size: tuple[int, int], channels: int, *, opset: int = 17, dtype: str = "float32"
) -> onnx.ModelProto:
    """A linear classifier of the model's own tensor; it has the names that a converted file has."""
    shape = contract.tensor_shape((*size, channels))
    scale = float(contract.affine(channels)[0].max())
    weights = np.random.default_rng(1).normal(0, 0.3 / scale, (int(np.prod(shape)), CLASSES))
    output = contract.output
    nodes = [
        helper.make_node("Cast", ["image"], ["x"], name="contract_image_node", to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["x"], ["flat"], axis=1),
        helper.make_node("MatMul", ["flat", "contract_constant_0_image"], ["scores"]),
        {
            "logits": helper.make_node("Identity", ["scores"], [output]),
            "probabilities": helper.make_node("Softmax", ["scores"], [output], axis=1),
            "labels": helper.make_node("ArgMax", ["scores"], [output], axis=1, keepdims=0),
        }[output],
    ]
    answer = ("n",) if output == "labels" else ("n", CLASSES)
    graph = helper.make_graph(
        nodes,
        "bare",
        [helper.make_tensor_value_info("image", (KINDS | {"int8": TensorProto.INT8})[dtype], ("n", *shape))],
        [helper.make_tensor_value_info(output, TensorProto.INT64 if output == "labels" else TensorProto.FLOAT, answer)],
        [numpy_helper.from_array(weights.astype(np.float32), "contract_constant_0_image")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=8)


def run(proto: onnx.ModelProto, x: NDArray[Any]) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    (taken,) = session.get_inputs()
    dtype = {"tensor(float16)": np.float16, "tensor(double)": np.float64}.get(taken.type, x.dtype)
    return np.asarray(session.run(None, {taken.name: x.astype(dtype)})[0])


def random_images(shape: tuple[int, int, int]) -> NDArray[np.uint8]:
    return np.random.default_rng(2).integers(0, 256, (6, *shape), np.uint8)


def canonical(contract: Contract, raw: NDArray[Any]) -> NDArray[Any]:
    if contract.output == "logits":
        return contract.to_canonical(raw)
    answer = contract.to_predictions(raw)
    return answer.labels if answer.probabilities is None else answer.probabilities


def check(contract: Contract, image: tuple[int, int, int], *, opset: int = 17, dtype: str = "float32") -> None:
    """Absorb ``contract`` once and once more, and compare both answers with the bare graph's."""
    images = random_images(image)
    x = contract.to_input(images)
    height, width, channels = contract.model_image(image)
    model_channels = contract.replace(channels="GRAY" if channels == 1 else "RGB")
    proto = bare(model_channels, (height, width), channels, opset=opset, dtype=dtype)
    expected = canonical(contract, run(proto, x))
    if contract.output != "labels":
        assert expected.std(axis=0).max() > 1e-3  # the images do tell the classes apart
    given = proto.SerializeToString()
    for _ in range(2):
        proto, left = absorb_contract(proto, contract, image)
        onnx.checker.check_model(proto, full_check=True)
        assert left == Contract(
            layout="NCHW" if contract.layout.endswith("NCHW") else "NHWC",
            range=(0.0, 1.0),
            output=contract.output,
            channels="GRAY" if image[2] == 1 else "RGB",
            size=image[:2],
        )
        assert left.mean_image is None
        found = run(proto, left.to_input(images))
        assert found.shape == expected.shape
        # what lies halfway between two float16, or two grey levels after a resize, may round to either
        atol = 5e-3 if dtype in ("float16", "uint8", "int8") else 1e-5
        np.testing.assert_allclose(canonical(left, found), expected, rtol=1e-4, atol=atol)
        contract = left
    assert proto.SerializeToString() != given


def drawn(seed: int) -> tuple[Contract, tuple[int, int, int], int, str]:
    """Return a contract that every field of may have any of its values, images and a graph that fit it."""
    random = np.random.default_rng(seed)

    def one(*values: Any) -> Any:  # noqa: ANN401 - as the values
        return values[random.integers(len(values))]

    channels = one(None, "RGB", "BGR", "GRAY")
    model_channels = 1 if channels == "GRAY" else 3
    image = (*one((6, 6), (5, 9), (8, 4)), 1 if channels == "GRAY" or (channels and random.random() < 0.3) else 3)
    dtype = one("float32", "float32", "float16", "float64", "uint8")
    low, high = (0.0, 255.0) if dtype == "uint8" else one((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0), (-2.5, 0.5))
    means = tuple(float(v) for v in random.uniform(low, high, one(1, model_channels)))
    stds = tuple(float(v) for v in random.uniform(0.5, 2, one(1, model_channels)) * (high - low) / 2)
    size = one(None, image[:2], (3, 4), (10, 7))
    contract = Contract(
        layout=one("NHWC", "NCHW"),
        range=(low, high),
        output=one("logits", "probabilities", "labels"),
        channels=channels,
        size=size,
        resize=one(*RESIZE_RULES),
        dtype="uint8" if dtype == "uint8" else "float32",
        std=None if dtype == "uint8" else one(None, stds),
        classes=one(None, PERMUTED, PARTIAL),
    )
    if dtype != "uint8":
        shape = (*(size or image[:2]), model_channels)
        image_mean = random.uniform(low, high, shape).astype(np.float32)
        contract = contract.replace(**one({}, {"mean": means}, {"mean_image": image_mean}))
    return contract, image, one(*OPSETS), dtype


@pytest.mark.parametrize("opset", [11, 18])
@pytest.mark.parametrize("layout", ["FLAT", "FLAT_NCHW", "HW"])
def test_layouts_without_axes_and_quantised_inputs(layout: Any, opset: int) -> None:  # noqa: ANN401 - a literal
    plain = Contract(layout=layout, range=(-1.0, 1.0), output="logits", size=(10, 7), resize="bilinear")
    image = (6, 6, 1) if layout == "HW" else (6, 6, 3)
    check(plain, image, opset=opset)
    check(plain.replace(mean=(0.1, 0.2, 0.3)[: image[2]], classes=PARTIAL), image, opset=opset)
    quantised = plain.replace(dtype="int8", scale=1 / 64, zero_point=-5)
    check(quantised, image, opset=opset, dtype="int8")


@pytest.mark.parametrize("seed", range(150))
def test_a_random_contract_inside_the_graph_answers_as_outside(seed: int) -> None:
    contract, image, opset, dtype = drawn(seed)
    check(contract, image, opset=opset, dtype=dtype)


def test_the_random_contracts_have_every_value_of_every_field() -> None:
    contracts = [drawn(seed)[0] for seed in range(150)]
    assert {(c.layout, c.channels) for c in contracts} == set(
        itertools.product(("NHWC", "NCHW"), (None, "RGB", "BGR", "GRAY"))
    )
    assert {(c.output, c.classes) for c in contracts} == set(
        itertools.product(("logits", "probabilities", "labels"), (None, PERMUTED, PARTIAL))
    )
    assert {drawn(seed)[2:] for seed in range(150)} == set(itertools.product(OPSETS, KINDS))
    assert any(c.mean_image is not None and c.std is not None for c in contracts)
    assert {len(c.mean) for c in contracts if c.mean} == {len(c.std) for c in contracts if c.std} == {1, 3}


@pytest.mark.parametrize("opset", OPSETS)
@pytest.mark.parametrize("layout", ["NHWC", "NCHW"])
@pytest.mark.parametrize("rule", RESIZE_RULES)
@pytest.mark.parametrize("image", [(4, 5, 3), (11, 9, 1)])
def test_every_resize_rule_up_and_down(
    rule: str, image: tuple[int, int, int], layout: Literal["NHWC", "NCHW"], opset: int
) -> None:
    contract = Contract(
        layout=layout, range=(-1, 1), output="logits", channels="BGR", size=(8, 6), resize=rule, mean=(0.1, 0.2, 0.3)
    )
    check(contract, image, opset=opset)


def test_an_identity_contract_adds_no_arithmetic() -> None:
    contract = Contract(layout="NCHW", range=(0, 1), output="logits", channels="RGB")
    proto, _ = absorb_contract(bare(contract, (4, 4), 3), contract, (4, 4, 3))
    assert [node.op_type for node in proto.graph.node] == [
        "Identity", "Cast", "Flatten", "MatMul", "Identity", "Identity",
    ]  # fmt: skip


def test_classes_that_the_data_lack_are_left_out_of_probabilities_that_no_softmax_made() -> None:
    contract = Contract(layout="NHWC", range=(0, 1), output="probabilities", classes=PARTIAL)
    proto = bare(contract, (4, 4), 3)
    proto.graph.node[-1].op_type = "Sigmoid"
    del proto.graph.node[-1].attribute[:]
    images = random_images((4, 4, 3))
    raw = run(proto, contract.to_input(images))
    absorbed, left = absorb_contract(proto, contract, (4, 4, 3))
    found = run(absorbed, left.to_input(images))
    chosen = raw[:, [PARTIAL.index(c) for c in range(found.shape[1])]]
    np.testing.assert_allclose(found, chosen / chosen.sum(1, keepdims=True), rtol=1e-5)
    outside = contract.to_predictions(raw).probabilities
    assert outside is not None
    np.testing.assert_allclose(found, outside, rtol=1e-5)


def test_a_single_colour_is_told_from_the_others() -> None:
    """By hand: BGR in [0, 255] less a mean, one weight; no code of the contract is the oracle here."""
    contract = Contract(layout="NHWC", range=(0, 255), output="logits", channels="BGR", mean=(10.0, 20.0, 30.0))
    proto = bare(contract, (1, 1), 3)
    weights = np.eye(3, CLASSES, dtype=np.float32)
    proto.graph.initializer[0].CopyFrom(numpy_helper.from_array(weights, proto.graph.initializer[0].name))
    absorbed, _ = absorb_contract(proto, contract, (1, 1, 3))
    red = np.array([[[[1.0, 0.4, 0.0]]]], np.float32)
    np.testing.assert_allclose(run(absorbed, red), [[-10.0, 82.0, 225.0, 0.0, 0.0]], rtol=1e-6)


def test_labels_as_a_column_and_as_small_integers() -> None:
    contract = Contract(layout="NHWC", range=(0, 1), output="labels", channels="RGB")
    images = as_unit_float(random_images((4, 4, 3)))
    proto = bare(contract, (4, 4), 3)
    expected = run(proto, images)
    proto.graph.node[-1].output[0] = "wide"
    proto.graph.node[-1].attribute[1].i = 1  # keepdims
    proto.graph.node.append(helper.make_node("Cast", ["wide"], ["labels"], to=TensorProto.INT32))
    proto.graph.output[0].CopyFrom(helper.make_tensor_value_info("labels", TensorProto.INT32, ("n", 1)))
    for classes in (None, PERMUTED):
        absorbed, left = absorb_contract(proto, contract.replace(classes=classes), (4, 4, 3))
        onnx.checker.check_model(absorbed, full_check=True)
        wanted = expected if classes is None else np.array(classes)[expected]
        np.testing.assert_array_equal(left.to_predictions(run(absorbed, images)).labels, wanted)


def test_weights_that_old_exporters_name_as_inputs() -> None:
    contract = Contract(layout="NCHW", range=(0, 255), output="logits", channels="RGB")
    proto = bare(contract, (4, 4), 3)
    images = as_unit_float(random_images((4, 4, 3))).transpose(0, 3, 1, 2)
    expected = run(proto, images * 255)
    weights = helper.make_tensor_value_info("contract_constant_0_image", TensorProto.FLOAT, (48, CLASSES))
    inputs = [weights, proto.graph.input[0]]
    del proto.graph.input[:]
    proto.graph.input.extend(inputs)
    proto.ir_version = 3
    onnx.checker.check_model(proto, full_check=True)
    absorbed, _ = absorb_contract(proto, contract, (4, 4, 3))
    onnx.checker.check_model(absorbed, full_check=True)
    assert [value.name for value in absorbed.graph.input] == ["image"]
    np.testing.assert_allclose(run(absorbed, images), expected, rtol=1e-4, atol=1e-5)


def test_a_branch_that_reads_weights_outside() -> None:
    contract = Contract(layout="NHWC", range=(0, 255), output="logits", channels="RGB")
    proto = bare(contract, (4, 4), 3)
    images = as_unit_float(random_images((4, 4, 3)))
    expected = run(proto, images * 255) * 2
    scores = helper.make_tensor_value_info("doubled", TensorProto.FLOAT, None)
    branches = [
        helper.make_graph([helper.make_node("Mul", ["scores", factor], ["doubled"])], "branch", [], [scores])
        for factor in ("two", "three")
    ]
    proto.graph.initializer.extend(
        numpy_helper.from_array(np.array(value), name)
        for name, value in (("two", np.float32(2)), ("three", np.float32(3)), ("always", np.True_))
    )
    choice = helper.make_node("If", ["always"], ["chosen"], then_branch=branches[0], else_branch=branches[1])
    proto.graph.node.insert(3, choice)
    proto.graph.node[-1].input[0] = "chosen"
    absorbed, _ = absorb_contract(proto, contract, (4, 4, 3))
    onnx.checker.check_model(absorbed, full_check=True)
    np.testing.assert_allclose(run(absorbed, images), expected, rtol=1e-4, atol=1e-5)


def test_each_domain_is_imported_once_and_the_file_names_no_foreign_maker() -> None:
    contract = Contract(layout="NHWC", range=(0, 1), output="logits", channels="RGB")
    proto, left = absorb_contract(bare(contract, (4, 4), 3, opset=18), contract, (4, 4, 3))
    proto, _ = absorb_contract(proto, left, (4, 4, 3))
    assert [(entry.domain, entry.version) for entry in proto.opset_import] == [("", 18)]
    assert proto.producer_name == "cae-fingerprint"


@pytest.mark.parametrize(
    ("changes", "image", "words"),
    [
        ({"size": (8, 8)}, (4, 4, 3), "Name a resize rule"),
        ({"channels": "GRAY"}, (4, 4, 3), "takes GRAY and the images have 3"),
        ({"mean": (0.1, 0.2)}, (4, 4, 3), "1 or 3 values"),
        ({"mean_image": np.zeros((5, 5, 3), np.float32)}, (4, 4, 3), "mean image has shape"),
        ({"mean_image": np.zeros((1, 1, 3), np.float32)}, (4, 4, 3), "mean image has shape"),
        ({"classes": (0, 0, 1, 2, 3)}, (4, 4, 3), "names each class"),
    ],
)
def test_a_contract_that_does_not_fit_is_refused(
    changes: dict[str, Any], image: tuple[int, int, int], words: str
) -> None:
    contract = Contract(layout="NHWC", range=(0, 1), output="logits", channels="RGB").replace(**changes)
    with pytest.raises(ContractError, match=words):
        absorb_contract(bare(contract, (4, 4), 3), contract, image)
