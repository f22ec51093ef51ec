"""ONNX files, as a suspect that ONNX Runtime runs, and as a white box that is converted to torch."""

from functools import partial
from pathlib import Path
from random import Random
from typing import Any

from tests.fuzz.mutations import edited_bytes
from tests.fuzz.reader import Case, Make, Reader
from tests.fuzz.readers.models import Models

__all__ = ["GRADIENTS", "ONNX"]


def _prepare(folder: Path) -> Models:
    from tests.fuzz.readers.onnx_edits import base_models

    return Models(base_models(), folder)


def _parses(content: bytes) -> bool:
    import onnx

    try:
        return bool(onnx.load_from_string(content).graph.node)
    except Exception:  # noqa: BLE001 - the question is whether anything at all is wrong
        return False


def _written(folder: Path, content: bytes) -> Path:
    path = folder / "m.onnx"
    path.write_bytes(content)
    (folder / "w.bin").write_bytes(bytes(range(256)) * 16)
    (folder / "link.bin").symlink_to("/etc/passwd")
    return path


def _edited(random: Random, models: Models) -> tuple[bytes, str]:
    from tests.fuzz.readers.onnx_edits import edited_model

    name = random.choice(list(models.files))
    if random.random() < 0.35:
        return edited_bytes(random, models.files[name], most=5), f"{name}: bytes"
    content, what = edited_model(random, models.files[name])
    return content, f"{name}: {what}"


def _suspect(random: Random, models: Models, folder: Path) -> Case:
    content, what = _edited(random, models)
    return Case(partial(models.asked, _written(folder, content)), what, _parses(content))


def _white_box(random: Random, models: Models, folder: Path) -> Case:
    content, what = _edited(random, models)
    return Case(partial(models.differentiated, _written(folder, content)), what, _parses(content))


def _given(name: str, *, gradients: bool = False, **change: Any) -> Make:  # noqa: ANN401
    """Return a case of a valid model, or of one with a small change: a batch, a line of metadata, a node's name."""

    def make(_: Random, models: Models, folder: Path) -> Case:
        import onnx

        model = onnx.load_from_string(models.files[name])
        axis = model.graph.input[0].type.tensor_type.shape.dim[0]
        if "batch" in change:
            axis.Clear()
            axis.dim_value = change["batch"]
        for key, value in change.get("said", {}).items():
            entry = model.metadata_props.add()
            entry.key, entry.value = f"cae.{key}", value
        if "type" in change:
            model.graph.input[0].type.tensor_type.elem_type = change["type"]
        if "node" in change:
            model.graph.node[0].name = change["node"]
        content = model.SerializeToString()
        if "text" in change:  # the same length, and no UTF-8
            content = content.replace(b"image", change["text"])
        path = _written(folder, content)
        return Case(partial(models.differentiated if gradients else models.asked, path), "given")

    return make


_CHANGES: dict[str, dict[str, Any]] = {
    "a batch of 2 to the power of 31": {"batch": 1 << 31},
    "a batch of ten million": {"batch": 10**7},
    "texts that are not UTF-8": {"text": b"\xffmage"},
    "900 million pixels": {"said": {"size": "[30000,30000]", "resize": "bilinear"}},
    "a mean image": {"said": {"mean_image": "/dev/zero"}},
    "a node's name is code": {"node": 'a")(__import__("os").system("touch HARMED"))'},
    "a node's name has two lines": {"node": "a\nb"},
    "a name of 100000 letters that is complained of": {"node": "x" * 10**5, "type": 17},
}

ONNX = Reader(
    name="onnx",
    prepare=_prepare,
    make=_suspect,
    failures={name: _given("linear", **change) for name, change in _CHANGES.items()},
    valid={name: _given(name) for name in ("linear", "convolution", "softmax", "labels")},
    containable=True,
)

GRADIENTS = Reader(
    name="gradients",
    prepare=_prepare,
    make=_white_box,
    failures={name: _given("convolution", gradients=True, **change) for name, change in _CHANGES.items()},
    valid={name: _given(name, gradients=True) for name in ("linear", "convolution", "softmax")},
    heavy=True,
    memory=3 << 30,
    containable=True,
)
