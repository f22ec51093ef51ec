"""ONNX to torch: every operator that is added has ONNX Runtime's values and right gradients; errors name the node."""

import subprocess
import sys
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from cae_backends.contract_files import find_contract
from cae_backends.torch import LOADER
from cae_backends.torch.model import TorchModel
from cae_backends.torch.onnx_import import convert_onnx, image_input, read_onnx
from cae_backends.torch.onnx_operators import ADDED_TYPES_ONLY, WRITTEN_HERE
from cae_core.contract import Contract, metadata_of
from cae_core.errors import BackendMissing, ContractError, ModelError
from cae_core.models import DifferentiableModel
from cae_core.testing import check_differentiable, check_model

pytestmark = pytest.mark.usefixtures("one_thread")

NCHW = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")
SHAPE = (2, 4, 6, 6)


Node: TypeAlias = tuple[str, list[str], list[str], dict[str, Any]]


@dataclass(frozen=True)
class Case:
    """Nodes from x (2, 4, 6, 6), positive, to y; each a name, its further inputs, and its attributes."""

    operator: str
    nodes: list[Node]
    constants: dict[str, NDArray[Any]] = field(default_factory=dict)
    output: int = TensorProto.FLOAT


def integers(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def floats(seed: int, *shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(seed).uniform(0.2, 1.0, shape).astype(np.float32)


def unary(
    operator: str, constants: dict[str, NDArray[Any]] | None = None, inputs: str = "", **attributes: object
) -> Case:
    """One node that takes x and constants; ``inputs`` names them where some are left out."""
    constants = constants or {}
    further = inputs.split(",") if inputs else list(constants)
    return Case(operator, [(operator, ["x", *further], ["y"], attributes)], constants)


def compared(operator: str) -> Case:
    """x where it compares with 0.6, else its double: the comparison decides which gradient flows."""
    nodes: list[Node] = [
        (operator, ["x", "level"], ["chosen"], {}),
        ("Add", ["x", "x"], ["twice"], {}),
        ("Where", ["chosen", "x", "twice"], ["y"], {}),
    ]
    return Case(operator, nodes, {"level": np.array(0.6, np.float32)})


def pair(
    first: tuple[str, dict[str, Any]], second: tuple[str, dict[str, Any]], subject: str, **constants: NDArray[Any]
) -> Case:
    """Two nodes, of which the second takes what the first made; the constants feed ``first_*`` and ``second_*``."""
    first_inputs = [name for name in constants if name.startswith("first")]
    second_inputs = [name for name in constants if name.startswith("second")]
    nodes: list[Node] = [
        (first[0], ["x", *first_inputs], ["between"], first[1]),
        (second[0], ["between", *second_inputs], ["y"], second[1]),
    ]
    return Case(subject, nodes, constants)


NORM = {"scale": floats(1, 4), "bias": floats(2, 4), "mean": floats(3, 4), "var": floats(4, 4)}
SHAPED: list[Node] = [("Shape", ["x"], ["shape"], {}), ("Reshape", ["x", "shape"], ["y"], {})]
FILLED: list[Node] = [
    ("ConstantOfShape", ["size"], ["ones"], {"value": numpy_helper.from_array(np.array([1.5], np.float32))}),
    ("Mul", ["x", "ones"], ["y"], {}),
]
CONSTANT: list[Node] = [("Constant", [], ["c"], {"value_float": 1.5}), ("Mul", ["x", "c"], ["y"], {})]
SPLIT_UNEVEN: list[Node] = [  # eight channels into 3, 3 and 2
    ("Concat", ["x", "x"], ["xx"], {"axis": 1}),
    ("Split", ["xx"], ["a", "b", "c"], {"axis": 1, "num_outputs": 3}),
    ("Concat", ["c", "a"], ["y"], {"axis": 1}),
]
SPLIT_SIZES: list[Node] = [
    ("Split", ["x", "sizes"], ["a", "b"], {"axis": -1}),
    ("Concat", ["b", "a"], ["y"], {"axis": 3}),
]

CASES = [
    unary("BatchNormalization", NORM, epsilon=1e-3),
    Case("Cast", [("Cast", ["x"], ["y"], {"to": TensorProto.DOUBLE})], output=TensorProto.DOUBLE),
    Case("Constant", CONSTANT),
    Case("ConstantOfShape", FILLED, {"size": integers(*SHAPE)}),
    unary("Conv", {"w": floats(1, 6, 2, 3, 3), "b": floats(2, 6)}, pads=[1, 1, 1, 1], strides=[2, 1], group=2),
    unary("ConvTranspose", {"w": floats(1, 4, 3, 2, 2), "b": floats(2, 3)}, strides=[2, 2]),
    unary("Dropout", {"ratio": np.array(0.5, np.float32)}),
    unary("Elu", alpha=0.7),
    compared("Equal"),
    unary("Flatten", axis=2),
    unary("GlobalAveragePool"),
    compared("GreaterOrEqual"),
    unary("HardSigmoid", alpha=0.25, beta=0.4),
    unary("HardSwish"),
    unary("Identity"),
    unary("InstanceNormalization", {"scale": floats(1, 4), "bias": floats(2, 4)}),
    compared("LessOrEqual"),
    unary("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1]),
    unary("MaxPool", kernel_shape=[2, 2], strides=[2, 2], pads=[0, 0, 1, 1]),
    unary("Selu"),
    Case("Shape", SHAPED),
    unary("Softplus"),
    pair(("ReduceSum", {}), ("Squeeze", {}), "Squeeze", first_axes=integers(2), second_axes=integers(2)),
    unary("Transpose", perm=[0, 2, 3, 1]),
    unary("Unsqueeze", {"axes": integers(1)}),
    unary("AveragePool", kernel_shape=[3, 3], strides=[1, 2], pads=[1, 1, 1, 1]),
    unary("AveragePool", kernel_shape=[2, 2], count_include_pad=1, pads=[1, 1, 1, 1]),
    unary("AveragePool", kernel_shape=[4, 4], strides=[4, 4], ceil_mode=1),
    unary("Gelu"),
    unary("Gelu", approximate="tanh"),
    unary("Pad", {"pads": integers(0, 0, 1, 2, 0, 0, 0, 3), "value": np.array(0.5, np.float32)}),
    unary("Pad", {"pads": integers(0, 1, 2, 1), "axes": integers(-1, 2)}, inputs="pads,,axes", mode="reflect"),
    unary("Pad", {"pads": integers(0, 0, 1, 2, 0, 0, 0, 3)}, mode="edge"),
    unary("Reshape", {"shape": integers(0, -1, 12)}),
    unary("Reshape", {"shape": integers(-1, 8)}, allowzero=1),
    unary(
        "Resize",
        {"scales": np.array([1, 1, 2, 2], np.float32)},
        inputs=",scales",
        mode="nearest",
        coordinate_transformation_mode="asymmetric",
        nearest_mode="floor",
    ),
    unary("Resize", {"sizes": integers(2, 4, 9, 4)}, inputs=",,sizes", mode="linear"),
    unary(
        "Resize",
        {"scales": np.array([1, 1, 2, 2], np.float32)},
        inputs=",scales",
        mode="cubic",
        coordinate_transformation_mode="pytorch_half_pixel",
    ),
    Case("Split", SPLIT_UNEVEN),
    Case("Split", SPLIT_SIZES, {"sizes": integers(2, 4)}),
    *(
        unary(f"Reduce{name}", {"axes": integers(3, -2)}, keepdims=0)
        for name in ("L1", "L2", "LogSum", "LogSumExp", "Max", "Mean", "Min", "Prod", "SumSquare")
    ),
    unary("ReduceMean"),
    unary("ReduceMean", {"axes": np.zeros(0, np.int64)}, noop_with_empty_axes=1),
    unary("ReduceMean", {"axes": integers(2, 3)}, keepdims=1),
]
VERSIONS = {name: versions for table in (ADDED_TYPES_ONLY, WRITTEN_HERE) for name, (_, versions) in table.items()}
MATRIX = [(case, version) for case in CASES for version in VERSIONS[case.operator]]


def model_of(case: Case, opset: int) -> onnx.ModelProto:
    nodes = [helper.make_node(name, inputs, outputs, **attributes) for name, inputs, outputs, attributes in case.nodes]
    graph = helper.make_graph(
        nodes,
        "case",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, SHAPE)],
        [helper.make_tensor_value_info("y", case.output, None)],
        [numpy_helper.from_array(value, name) for name, value in case.constants.items()],
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)
    return onnx.shape_inference.infer_shapes(proto)


def run_onnx(proto: onnx.ModelProto, x: NDArray[np.float32]) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {session.get_inputs()[0].name: x})[0])


def test_every_added_operator_has_a_case() -> None:
    assert {case.operator for case in CASES} == set(VERSIONS)


@pytest.mark.parametrize(("case", "opset"), MATRIX, ids=lambda value: getattr(value, "operator", value))
def test_values_and_gradients(case: Case, opset: int) -> None:
    x = floats(0, *SHAPE)
    proto = model_of(case, opset)
    module = convert_onnx(proto, origin="case")
    expected = run_onnx(proto, x)
    found = module(torch.tensor(x)).detach().numpy()
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, rtol=2e-5, atol=2e-6)
    exact = torch.tensor(x, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(module.double(), (exact,), fast_mode=True)


UNSUPPORTED = [
    unary("Resize", {"sizes": integers(2, 4, 3, 3)}, inputs=",,sizes", mode="linear", antialias=1),
    unary("Resize", {"sizes": integers(2, 4, 9, 9)}, inputs=",,sizes", mode="nearest"),
    unary("AveragePool", kernel_shape=[2, 2], dilations=[2, 2]),
    unary("AveragePool", kernel_shape=[2, 2], ceil_mode=1, pads=[1, 1, 1, 1]),
    Case("Pad", [("Cast", ["x"], ["i"], {"to": TensorProto.INT64}), ("Pad", ["x", "i"], ["y"], {})]),
]


@pytest.mark.parametrize("case", UNSUPPORTED, ids=lambda case: case.operator)
def test_what_torch_would_answer_otherwise_is_refused(case: Case) -> None:
    with pytest.raises(ModelError, match=rf"operator {case.operator} \(opset 19, node"):
        convert_onnx(model_of(case, 19), origin="case")


def test_a_resize_of_an_older_opset_that_would_change_is_refused() -> None:
    case = unary("Resize", {"roi": np.zeros(0, np.float32), "scales": np.array([1, 1, 2, 2], np.float32)})
    with pytest.raises(ModelError, match="would change the answers"):
        convert_onnx(model_of(case, 13), origin="case")


def test_an_unknown_operator_is_named_with_its_opset_and_node() -> None:
    node = helper.make_node("Hardmax", ["x"], ["y"], name="head/Hardmax")
    value = helper.make_tensor_value_info
    graph = helper.make_graph(
        [node], "g", [value("x", TensorProto.FLOAT, SHAPE)], [value("y", TensorProto.FLOAT, None)]
    )
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    with pytest.raises(ModelError, match=r"model\.onnx: operator Hardmax \(opset 17, node 'head/Hardmax'\) cannot"):
        convert_onnx(proto, origin="model.onnx")


@pytest.mark.parametrize("content", [b"", b"not a model at all", b"\x08\x07\x12\x04test\x3a\xff"])
def test_files_that_are_no_models(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=r"model\.onnx: this is not an ONNX model"):
        read_onnx(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="cannot be read"):
        read_onnx(tmp_path / "model.onnx")


def test_several_inputs_are_refused() -> None:
    proto = model_of(unary("Relu"), 17)
    proto.graph.input.append(helper.make_tensor_value_info("mask", TensorProto.FLOAT, [1]))
    with pytest.raises(ModelError, match="one input; found x, mask"):
        image_input(proto, origin="model.onnx")


def test_an_onnx2torch_that_cannot_be_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnx2torch", None)
    with pytest.raises(BackendMissing, match="onnx2torch cannot be imported"):
        convert_onnx(model_of(unary("Relu"), 17), origin="case")


class Residual(nn.Module):
    """What today's exporter writes for a residual block, a pooling and a head."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.norm = nn.Conv2d(3, 8, 3, padding=1, bias=False), nn.BatchNorm2d(8)
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.BatchNorm2d(8), nn.SiLU())
        self.pool, self.drop, self.head = nn.AdaptiveAvgPool2d((2, 2)), nn.Dropout(0.5), nn.Linear(32, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.nn.functional.hardtanh(self.norm(self.stem(x)), -3, 3)
        x = self.drop(self.pool(x + self.body(x)))
        answer: torch.Tensor = self.head(x.reshape(x.shape[0], -1))
        return answer


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, nn.Module]:
    path, net = tmp_path_factory.mktemp("onnx") / "net.onnx", Residual().eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own deprecations, of this version
        dynamic = ({0: torch.export.Dim("n")},)
        program = torch.onnx.export(net, (torch.zeros(2, 3, 8, 8),), dynamo=True, dynamic_shapes=dynamic, verbose=False)
    assert program is not None
    program.save(str(path))
    return path, net


IMAGES: NDArray[np.uint8] = np.random.default_rng(4).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


def white_box(path: Path, contract: Contract | None) -> DifferentiableModel:
    return LOADER.open(str(path), contract=contract, device="cpu")


def test_a_model_survives_the_way_through_onnx(exported: tuple[Path, nn.Module]) -> None:
    path, net = exported
    opened, original = white_box(path, NCHW), TorchModel(net, contract=NCHW, device="cpu")
    x = IMAGES.astype(np.float32) / np.float32(255)
    (logits, pullback), (expected, expected_pullback) = opened.vjp(x), original.vjp(x)
    np.testing.assert_allclose(logits, expected, atol=1e-5)
    np.testing.assert_allclose(logits, run_onnx(read_onnx(path), NCHW.to_input(x)), atol=1e-5)
    v = np.random.default_rng(0).standard_normal(logits.shape).astype(np.float32)
    np.testing.assert_allclose(pullback(v), expected_pullback(v), atol=1e-5)
    check_model(opened, IMAGES, classes=5)
    check_differentiable(opened, IMAGES)


def test_no_contract_shows_what_to_write(exported: tuple[Path, nn.Module]) -> None:
    path, _ = exported
    with pytest.raises(ContractError) as caught:
        white_box(path, None)
    message = str(caught.value)
    assert "float32 with shape (n, 3, 8, 8)" in message
    assert 'layout = "NCHW"' in message
    example = path.parent / "example.toml"
    example.write_text(message.partition("\n\n")[2])
    assert find_contract(example.with_suffix(".onnx"), {}, [], None).size == (8, 8)


def test_the_order_of_contracts(tmp_path: Path) -> None:
    """The caller's, then the sidecar's, then the metadata's."""
    path = tmp_path / "model.onnx"
    metadata = metadata_of(NCHW)
    assert find_contract(path, metadata, [], None) == NCHW
    path.with_suffix(".toml").write_text('layout = "NHWC"\nrange = [0, 255]\noutput = "labels"\n')
    assert find_contract(path, metadata, [], None).layout == "NHWC"
    assert find_contract(path, metadata, [], NCHW) is NCHW


@pytest.mark.parametrize(
    ("shape", "dtype", "lines"),
    [
        (["n", 32, 32, 3], "uint8", ['layout = "NHWC"', "range = [0, 255]", "size = [32, 32]", 'dtype = "uint8"']),
        ([None, 1, "h", "w"], "float32", ['layout = "NCHW"', "shape (?, 1, h, w)", "range = [0, 1]"]),
    ],
)
def test_the_example_fits_the_input(shape: list[int | str | None], dtype: str, lines: list[str]) -> None:
    with pytest.raises(ContractError) as caught:
        find_contract(Path("m.onnx"), {}, shape, None, dtype=dtype)
    assert all(line in str(caught.value) for line in lines)


def test_the_contract_module_imports_no_framework() -> None:
    code = "import sys, cae_backends.contract_files; sys.exit('torch' in sys.modules or 'onnx' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize("constant_node", [False, True])
def test_an_allowzero_that_says_nothing_is_no_obstacle(*, constant_node: bool) -> None:
    """Torch's exporter writes allowzero=1 at opset 18 for every flatten; onnx2torch refuses it."""
    shape = numpy_helper.from_array(np.array([-1, 12], np.int64), "shape")
    nodes = [helper.make_node("Reshape", ["x", "shape"], ["y"], allowzero=1)]
    if constant_node:
        nodes.insert(0, helper.make_node("Constant", [], ["shape"], value=shape))
    graph = helper.make_graph(
        nodes,
        "flatten",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ("n", 3, 2, 2))],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ("n", 12))],
        [] if constant_node else [shape],
    )
    module = convert_onnx(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)]), origin="flatten")
    assert module(torch.ones(5, 3, 2, 2)).shape == (5, 12)
