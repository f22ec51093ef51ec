"""ONNX graphs in names of our own: names are data, and every form that the runtime reads comes to one."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cae_backends.torch.onnx_import import convert_onnx
from cae_backends.torch.onnx_neutral import neutral
from cae_backends.torch.opening import open_onnx
from cae_core.arrays import as_unit_float
from cae_core.contract import Contract
from cae_core.errors import ContractError, ModelError
from cae_core.opening.opened import open_model

pytestmark = [pytest.mark.hostile, pytest.mark.usefixtures("one_thread")]

LOGITS = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")
IMAGES: NDArray[np.uint8] = np.random.default_rng(1).integers(0, 256, (5, 8, 8, 3), dtype=np.uint8)


def numbers(*shape: int) -> NDArray[np.float32]:
    return np.random.default_rng(sum(shape)).standard_normal(shape).astype(np.float32)


WEIGHTS = {"w": numbers(4, 3, 3, 3), "fc": numbers(4, 5)}
NODES = [
    ("Conv", ["x", "w"], ["c"]),
    ("Relu", ["c"], ["h"]),
    ("GlobalAveragePool", ["h"], ["p"]),
    ("Flatten", ["p"], ["f"]),
    ("Gemm", ["f", "fc"], ["y"]),
]


def classifier(
    nodes: list[tuple[str, list[str], list[str]]] = NODES,
    *,
    kind: int = TensorProto.FLOAT,
    batch: int | str = "n",
    opset: int = 18,
    weights: Mapping[str, NDArray[Any]] = {},
) -> onnx.ModelProto:
    graph = helper.make_graph(
        [helper.make_node(*node) for node in nodes],
        "g",
        [helper.make_tensor_value_info("x", kind, (batch, 3, 8, 8))],
        [helper.make_tensor_value_info("y", kind, None)],
        [numpy_helper.from_array(value, name) for name, value in (WEIGHTS | dict(weights)).items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=9)


def saved(proto: onnx.ModelProto, folder: Path) -> str:
    path = folder / "model.onnx"
    path.write_bytes(proto.SerializeToString())
    return str(path)


def assert_the_same_in_both(proto: onnx.ModelProto, folder: Path, *, atol: float = 1e-5) -> None:
    """The white box, without the check at its opening, answers what ONNX Runtime answers."""
    path = saved(proto, folder)
    expected = open_model(path, contract=LOGITS, device="cpu").predict(IMAGES).probabilities
    found = open_onnx(Path(path), contract=LOGITS, device="cpu").predict(IMAGES).probabilities
    assert expected is not None
    np.testing.assert_allclose(found, expected, atol=atol)  # type: ignore[arg-type] # a model of logits tells them


def code_that_makes(path: Path) -> str:
    """Python that a name could be: torch.fx writes ``getattr(self, "NAME")``."""
    return f'q" if open("{path}", "w") else "q'


ODD_NAMES = [
    '"',
    "'",
    "\\",
    "a\nb",
    "a\x00b",
    "self",
    "def",
    "forward",
    "input_1",
    "é",
    "0",
    "a.b",
    " ",
    "node_0",
    "value_0",
]


@pytest.mark.parametrize("name", ODD_NAMES)
def test_a_name_is_text_wherever_it_stands(tmp_path: Path, name: str) -> None:
    everywhere = classifier()
    for place, node in enumerate(everywhere.graph.node):  # the runtime wants no name twice
        node.name = name * (place + 1)
    everywhere.graph.name = everywhere.doc_string = everywhere.producer_name = name
    renamed = {"c": name, "w": f"{name} w", "fc": f"{name} fc"}
    for node in everywhere.graph.node:
        for names in (node.input, node.output):
            for place, value in enumerate(names):
                names[place] = renamed.get(value, value)
    for tensor in everywhere.graph.initializer:
        tensor.name = renamed[tensor.name]
    assert_the_same_in_both(everywhere, tmp_path)


def hostile_files(canary: Path) -> dict[str, onnx.ModelProto]:
    """Files that hold code in every place where a name stands."""
    code = code_that_makes(canary)
    found = {"node": classifier(), "value": classifier(), "weight": classifier(), "function": classifier()}
    found["node"].graph.node[1].name = code
    for place in (found["value"].graph.node[0].output, found["value"].graph.node[1].input):
        place[0] = code
    found["weight"].graph.initializer[0].name = found["weight"].graph.node[0].input[1] = code
    inner = [helper.make_node("Relu", ["a"], [code], name=code)]
    function = helper.make_function("own", "F", ["a"], [code], inner, [helper.make_opsetid("", 18)])
    found["function"].functions.append(function)
    found["function"].opset_import.append(helper.make_opsetid("own", 1))
    found["function"].graph.node[1].CopyFrom(helper.make_node("F", ["c"], ["h"], name=code, domain="own"))
    return found


@pytest.mark.parametrize("place", ["node", "value", "weight", "function"])
def test_code_in_names_is_not_run(tmp_path: Path, place: str) -> None:
    canary = tmp_path / "canary"
    proto = hostile_files(canary)[place]
    model = open_model(saved(proto, tmp_path), gradients=True, contract=LOGITS, device="cpu")
    model.predict(IMAGES)
    _, pull_back = model.vjp(as_unit_float(IMAGES))
    pull_back(np.ones((5, 5), np.float32))
    assert not canary.exists()


@pytest.mark.parametrize("place", ["operator", "domain"])
def test_code_in_the_name_of_an_operator_or_a_domain_is_refused(tmp_path: Path, place: str) -> None:
    canary = tmp_path / "canary"
    proto = classifier()
    if place == "operator":
        proto.graph.node[1].op_type = code_that_makes(canary)
    else:
        proto.graph.node[1].domain = code_that_makes(canary)
        proto.opset_import.append(helper.make_opsetid(proto.graph.node[1].domain, 1))
    with pytest.raises(ModelError, match="is not one of ONNX's own"):
        open_model(saved(proto, tmp_path), gradients=True, contract=LOGITS, device="cpu")
    assert not canary.exists()


@pytest.mark.long
def test_the_canary_would_sing(tmp_path: Path) -> None:
    """What is tested above is real: handed to onnx2torch as it is, the name is run."""
    canary = tmp_path / "canary"
    proto = hostile_files(canary)["node"]
    (tmp_path / "m.onnx").write_bytes(proto.SerializeToString())
    code = (
        "import sys, onnx, onnx2torch, torch; module = onnx2torch.convert(onnx.load(sys.argv[1]));"
        " module.register_module('q', torch.nn.Identity()); module(torch.zeros(1, 3, 8, 8))"
    )
    subprocess.run([sys.executable, "-c", code, str(tmp_path / "m.onnx")], check=False, capture_output=True)
    assert canary.exists()


def test_nothing_of_the_files_texts_is_left() -> None:
    proto = classifier()
    text = "a text of the file"
    for node in proto.graph.node:
        node.name = node.doc_string = text
    for tensor in proto.graph.initializer:
        tensor.doc_string = text
    proto.doc_string = proto.graph.name = proto.producer_name = text
    proto.metadata_props.add(key=text, value=text)
    assert text.encode() not in neutral(proto, origin="m.onnx").proto.SerializeToString()


def test_a_failing_node_is_told_by_its_own_name() -> None:
    proto = classifier([*NODES[:-1], ("Hardmax", ["f"], ["y"])])
    proto.graph.node[-1].name = "head\x1b[2J"
    with pytest.raises(ModelError, match=r"operator Hardmax \(opset 18, node 'head\\x1b\[2J'\)"):
        convert_onnx(proto, origin="m.onnx")


def test_nodes_named_like_values(tmp_path: Path) -> None:
    """Node names and value names are separate; the conversion keeps both in one table."""
    for clash in ("x", "w", "fc", "h", "y"):
        proto = classifier()
        proto.graph.node[3].name = clash
        assert_the_same_in_both(proto, tmp_path)


def test_nodes_in_another_order(tmp_path: Path) -> None:
    assert_the_same_in_both(classifier(NODES[::-1]), tmp_path)


@pytest.mark.parametrize("batch", [-1, "n", 2])
def test_batches_free_and_fixed(tmp_path: Path, batch: int | str) -> None:
    assert_the_same_in_both(classifier(batch=batch), tmp_path)


def test_a_batch_of_0_is_a_free_one() -> None:
    """Some tools write it so; the runtime takes it at its word and runs no image."""
    x = torch.rand(3, 3, 8, 8)
    free, none = (convert_onnx(classifier(batch=batch), origin="m.onnx")(x) for batch in ("n", 0))
    torch.testing.assert_close(none, free)


def test_sparse_weights(tmp_path: Path) -> None:
    for places in (np.arange(20), np.stack(np.unravel_index(np.arange(20), (4, 5)), axis=1)):
        proto = classifier()
        del proto.graph.initializer[1]
        values = numpy_helper.from_array(WEIGHTS["fc"].ravel(), "fc")
        sparse = helper.make_sparse_tensor(values, numpy_helper.from_array(places.astype(np.int64), "p"), (4, 5))
        proto.graph.sparse_initializer.append(sparse)
        assert_the_same_in_both(proto, tmp_path)


def test_a_sparse_weight_that_would_fill_the_memory_is_refused() -> None:
    proto = classifier()
    values, places = (numpy_helper.from_array(np.array([0, 5]), name) for name in ("x", "p"))
    proto.graph.sparse_initializer.append(helper.make_sparse_tensor(values, places, (1 << 20, 1 << 20)))
    with pytest.raises(ModelError, match="a sparse weight cannot be read"):
        neutral(proto, origin="m.onnx")


@pytest.mark.parametrize(("dtype", "kind", "atol"), [("float16", 10, 4e-3), ("float64", 11, 1e-5)])
def test_other_floats(tmp_path: Path, dtype: str, kind: int, atol: float) -> None:
    nodes = [("Flatten", ["x"], ["f"]), ("Gemm", ["f", "fc"], ["y"])]  # the runtime has no convolution in float64
    proto = classifier(nodes, kind=kind, weights={"fc": numbers(192, 5).astype(dtype)})
    assert_the_same_in_both(proto, tmp_path, atol=atol)
    assert neutral(proto, origin="m").resolution == (2.0**-10 if dtype == "float16" else 2.0**-23)


def test_float16_inside_of_a_float32_graph(tmp_path: Path) -> None:
    proto = classifier([*NODES[:-1], ("Identity", ["f"], ["g"]), ("Gemm", ["g", "fc"], ["y"])])
    down, up = (helper.make_node("Cast", [a], [b], to=to) for a, b, to in (("c", "d", 10), ("d", "e", 1)))
    proto.graph.node.insert(1, down)
    proto.graph.node.insert(2, up)
    proto.graph.node[3].input[0] = "e"
    assert_the_same_in_both(proto, tmp_path, atol=2e-3)


PARTS: dict[str, list[tuple[str, list[str], list[str]]]] = {
    "second part of a split": [*NODES[:-1], ("Gemm", ["f", "fc"], ["g"]), ("Split", ["g", "z"], ["q", "y"])],
    "values of a sorting": [*NODES[:-1], ("Gemm", ["f", "fc"], ["g"]), ("TopK", ["g", "k"], ["y", "places"])],
}


@pytest.mark.parametrize("nodes", PARTS.values(), ids=PARTS)
def test_the_answer_is_a_part_of_what_a_node_makes(
    tmp_path: Path, nodes: list[tuple[str, list[str], list[str]]]
) -> None:
    proto = classifier(nodes, weights={"z": np.array([2, 3]), "k": np.array([3])})
    if proto.graph.node[-1].op_type == "Split":
        proto.graph.node[-1].attribute.append(helper.make_attribute("axis", 1))
    assert_the_same_in_both(proto, tmp_path)


def test_two_outputs_of_which_one_is_the_answer(tmp_path: Path) -> None:
    proto = classifier()
    proto.graph.output.insert(0, helper.make_tensor_value_info("h", TensorProto.FLOAT, ["n", 4, 6, 6]))
    assert_the_same_in_both(proto, tmp_path)


def test_two_outputs_that_could_both_be_the_answer(tmp_path: Path) -> None:
    proto = classifier()
    proto.graph.output.append(helper.make_tensor_value_info("f", TensorProto.FLOAT, ["n", 4]))
    with pytest.raises(ModelError, match="2 of the outputs y, f can be that"):
        open_onnx(Path(saved(proto, tmp_path)), contract=LOGITS, device="cpu")


def test_what_the_answer_does_not_need_is_not_converted(tmp_path: Path) -> None:
    proto = classifier([*NODES, ("Hardmax", ["f"], ["unused"])])
    assert_the_same_in_both(proto, tmp_path)


@pytest.mark.parametrize(("what", "found"), [("IR version", 99), ("opset", 99)])
def test_files_of_the_future(what: str, found: int) -> None:
    proto = classifier()
    if what == "opset":
        proto.opset_import[0].version = found
    else:
        proto.ir_version = found
    with pytest.raises(ModelError, match=rf"m\.onnx: the file has {what} 99, and .* knows up to \d+\. Update"):
        convert_onnx(proto, origin="m.onnx")


def test_graphs_that_are_none() -> None:
    circle = [("Add", ["x", "b"], ["a"]), ("Relu", ["a"], ["b"]), ("Relu", ["b"], ["y"])]
    wrong = {"which nothing makes": [("Relu", ["no"], ["y"])], "a circle": circle, "twice": [*NODES, NODES[-1]]}
    for sentence, nodes in wrong.items():
        with pytest.raises(ModelError, match=sentence):
            convert_onnx(classifier(nodes), origin="m.onnx")


def test_a_graph_inside_of_a_node_is_refused() -> None:
    proto = classifier([*NODES[:-1], ("Gemm", ["f", "fc"], ["g"])])
    branch = helper.make_graph(
        [helper.make_node("Identity", ["g"], ["b"])], "b", [], [helper.make_tensor_value_info("b", 1, None)]
    )
    proto.graph.node.append(helper.make_node("If", ["yes"], ["y"], then_branch=branch, else_branch=branch, name="if"))
    proto.graph.initializer.append(numpy_helper.from_array(np.array([True]), "yes"))
    with pytest.raises(ModelError, match=r"operator If \(opset 18, node 'if'\) cannot be converted"):
        convert_onnx(proto, origin="m.onnx")


def test_batch_norms_of_old_opsets_in_training_mode() -> None:
    constants = {name: np.abs(numbers(4)) + 1 for name in ("s", "b", "m", "v")}
    for outputs, refused in ((["n"], False), (["n", "", "", "", ""], False), (["n", "1", "2", "3", "4"], True)):
        nodes = [
            NODES[0],
            ("BatchNormalization", ["c", "s", "b", "m", "v"], outputs),
            ("Relu", ["n"], ["h"]),
            *NODES[2:],
        ]
        proto = classifier(nodes, opset=11, weights=constants)
        if refused:
            with pytest.raises(ModelError, match="has training_mode"):
                convert_onnx(proto, origin="m.onnx")
        else:
            convert_onnx(proto, origin="m.onnx")


TAILS: dict[str, list[tuple[str, list[str], list[str]]]] = {
    "Flatten": [("Softmax", ["z"], ["q"]), ("Flatten", ["q"], ["y"])],
    "Reshape": [("Softmax", ["z"], ["q"]), ("Reshape", ["q", "rows"], ["y"])],
    "Mul": [("Softmax", ["z"], ["q"]), ("Mul", ["one", "q"], ["y"])],
    "Clip": [("Softmax", ["z"], ["q"]), ("Clip", ["q", "low", "one"], ["y"])],
    "Dropout": [("Softmax", ["z"], ["q"]), ("Dropout", ["q"], ["y"])],
    "several": [
        ("Softmax", ["z"], ["q"]),
        ("Identity", ["q"], ["r"]),
        ("Max", ["r", "low"], ["s"]),
        ("Sub", ["s", "low"], ["y"]),
    ],
    "by hand": [("Exp", ["z"], ["e"]), ("ReduceSum", ["e", "axis"], ["t"]), ("Div", ["e", "t"], ["y"])],
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS)
def test_probabilities_are_no_logits(tmp_path: Path, tail: list[tuple[str, list[str], list[str]]]) -> None:
    """Seen in the graph where a softmax stands near its end, else by the answers."""
    constants = {"rows": np.array([0, -1]), "one": np.float32(1), "low": np.float32(0), "axis": np.array([1])}
    proto = classifier(
        [*NODES[:-1], ("Gemm", ["f", "fc"], ["z"]), *tail], weights={k: np.asarray(v) for k, v in constants.items()}
    )
    path = saved(proto, tmp_path)
    with pytest.raises(ContractError, match="ends in a softmax"):
        open_model(path, gradients=True, contract=LOGITS, device="cpu")
    told = LOGITS.replace(output="probabilities")
    assert_close = np.testing.assert_allclose
    white = open_model(path, gradients=True, contract=told, device="cpu").predict(IMAGES).probabilities
    assert_close(white, open_model(path, contract=told, device="cpu").predict(IMAGES).probabilities, atol=1e-5)  # type: ignore[arg-type]


@pytest.mark.parametrize("last", ["LogSoftmax", "Identity"])
def test_logits_are_no_probabilities(tmp_path: Path, last: str) -> None:
    proto = classifier([*NODES[:-1], ("Gemm", ["f", "fc"], ["z"]), (last, ["z"], ["y"])])
    with pytest.raises(ContractError, match=r'says output = "probabilities" and its answers are none'):
        open_model(
            saved(proto, tmp_path), gradients=True, contract=LOGITS.replace(output="probabilities"), device="cpu"
        )


def test_the_module_holds_our_names_only(tmp_path: Path) -> None:
    opened = open_onnx(Path(saved(classifier(), tmp_path)), contract=LOGITS, device="cpu")
    names = {name for name, _ in opened.network.module.named_modules()} - {""}
    assert all(name == "initializers" or name.startswith("node_") for name in names)
    assert isinstance(opened.network.module, torch.fx.GraphModule)
