"""Changes to a TensorFlow graph that keep its meaning and that tf2onnx needs."""

from typing import Any

from cae_backends.tensorflow.runtime import load_tensorflow

__all__ = ["rewritten"]

_KEPT_APART = ("_XlaMustCompile", "_noinline")


def rewritten(graph_def: Any) -> Any:  # noqa: ANN401 - a GraphDef
    """Return a copy in which functions can be inlined, and without what ONNX has no operator for but can spell out.

    Keras has a convolution with groups compiled as a function of its own, which would stay one.
    """
    copy = type(graph_def)()
    copy.CopyFrom(graph_def)
    for part in (*copy.node, *copy.library.function):
        for mark in _KEPT_APART:
            part.attr.pop(mark, None)
    for node in list(copy.node):
        if node.op in ("Erfc", "Expm1", "Log1p"):
            _spell_out(copy, node)
    return copy


def _spell_out(graph_def: Any, node: Any) -> None:  # noqa: ANN401 - a GraphDef and one of its nodes
    """Write erfc x = 1 - erf x (it is in exact GELUs), expm1 x = e^x - 1 and log1p x = ln(x + 1).

    Where the result is near 0, its absolute error stays small and its relative one does not.
    """
    kind = node.attr["T"]
    one = graph_def.node.add(op="Const", name=f"{node.name}/one")
    one.attr["dtype"].CopyFrom(kind)
    one.attr["value"].tensor.CopyFrom(load_tensorflow().make_tensor_proto(1, kind.type, ()))
    inner = graph_def.node.add(name=f"{node.name}/inner", input=node.input)
    inner.attr["T"].CopyFrom(kind)
    inner.op, node.op, inputs = {
        "Erfc": ("Erf", "Sub", (one, inner)),
        "Expm1": ("Exp", "Sub", (inner, one)),
        "Log1p": ("AddV2", "Log", (inner,)),
    }[node.op]
    if inner.op == "AddV2":
        inner.input.append(one.name)
    del node.input[:]
    node.input.extend(part.name for part in inputs)
