"""Names of inner values: counters of a process become places in the graph, and nothing else changes."""

from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from cae_converters.onnx_file import number_names


def graph(*, first: str, second: str, turned: bool) -> onnx.ModelProto:
    """max(3x + 2, 0) with names and an order of constants that say nothing."""
    constants = [
        numpy_helper.from_array(np.array(value, np.float32), name) for value, name in ((3, f"{first}_c"), (2, "k9"))
    ]
    nodes = [
        helper.make_node("Mul", ["image", f"{first}_c"], [first], name=f"{first}_node"),
        helper.make_node("Add", [first, "k9"], [second]),
        helper.make_node("Clip", [second, "zero", ""], ["logits"]),
    ]
    unused = [numpy_helper.from_array(np.array(7, np.float32), "unused")]
    zero = [numpy_helper.from_array(np.array(0, np.float32), "zero")]
    described = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("image", "logits")]
    ordered = [*unused, *zero, *constants]
    made = helper.make_graph(nodes, "g", described[:1], described[1:], ordered[::-1] if turned else ordered)
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def test_counters_do_not_reach_the_file(tmp_path: Path) -> None:
    one, two = graph(first="a__36", second="b", turned=False), graph(first="a__34", second="q__1", turned=True)
    number_names(one)
    number_names(two)
    assert one.SerializeToString(deterministic=True) == two.SerializeToString(deterministic=True)
    assert len(one.graph.initializer) == 3
    assert [value.name for value in (*one.graph.input, *one.graph.output)] == ["image", "logits"]
    onnx.save(one, tmp_path / "m.onnx")
    session = onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), providers=["CPUExecutionProvider"])
    found = session.run(None, {"image": np.array([-2, 0, 1], np.float32)})[0]
    np.testing.assert_array_equal(found, np.array([0, 2, 5], np.float32))
