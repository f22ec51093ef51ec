"""The Keras layers that the tests take through conversion, from the source of these tests: TensorFlow is not loaded."""

import ast
from pathlib import Path

from cae_site.tables import code, table

__all__ = ["keras_layers"]

_TESTED = Path(__file__).parents[3] / "tests/converters/keras_layers.py"


def keras_layers() -> str:
    """Return a table of two rows: the layers, and the activations."""
    tree = ast.parse(_TESTED.read_text(encoding="utf-8"))
    rows = [("layers", _layers(tree)), ("activations", _activations(tree))]
    return table(["what", "which"], [(what, ", ".join(map(code, sorted(names)))) for what, names in rows])


def _layers(tree: ast.Module) -> set[str]:
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "layers"
    }


def _activations(tree: ast.Module) -> set[str]:
    (listed,) = (
        node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and any(ast.unparse(each) == "ACTIVATIONS" for each in node.targets)
    )
    return {node.value for node in ast.walk(listed) if isinstance(node, ast.Constant) and isinstance(node.value, str)}
