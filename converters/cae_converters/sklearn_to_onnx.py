"""scikit-learn -> ONNX: an estimator of rows of pixels becomes a classifier of images.

skl2onnx writes a graph with rows (n, d) as its input, and labels and probabilities as its outputs. Here scaling and
flattening are put before it, and one output is kept, so that every runtime sees an ordinary image classifier.
"""

import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_backends.onnxruntime import LOADER
from cae_converters.onnx_file import checked_file, drop_unused, portable, set_metadata
from cae_core.arrays import as_unit_float
from cae_core.contract import Contract, metadata_of
from cae_core.errors import BackendMissing, ModelError

if TYPE_CHECKING:
    from onnx import ModelProto

__all__ = ["DISAGREEMENT", "export_sklearn"]

DISAGREEMENT = 0.01
"""The largest fraction of labels that may differ, ties aside: the file computes in float32."""

_TIE = 1e-5
"""Probabilities that are this close are a tie; forests of pure leaves tie often, exactly, on random images."""

_Output: TypeAlias = Literal["probabilities", "labels"]

_CHECKED_IMAGES = 256
_OPSETS = {"": 18, "ai.onnx.ml": 3}


def export_sklearn(
    estimator: Any,  # noqa: ANN401 - scikit-learn publishes no types
    path: Path,
    *,
    image_shape: tuple[int, int, int],
    scale: float,
) -> None:
    """Write a fitted classifier to one ONNX file with an image input, float32 NHWC in [0, 1].

    The file answers probabilities where the estimator has them and its label is the most probable one; else labels.

    Args:
        estimator: a fitted classifier, or a pipeline that ends in one, of rows of h * w * k pixels; its classes are
            0 .. c-1.
        path: of the file; it is replaced only by a file that has passed the check.
        image_shape: (h, w, k); a row is such an image, flattened.
        scale: the value that a white pixel had in training: 16 for scikit-learn's digits, 1 or 255 elsewhere.

    Raises:
        BackendMissing: skl2onnx or ONNX Runtime is not installed.
        ModelError: no fitted classifier of such rows, no converter for it, or more than `DISAGREEMENT` of the labels
            on random images differ.
        StorageError: the file cannot be written.
    """
    _check_estimator(estimator, image_shape)
    images = np.random.default_rng(0).integers(0, 256, (_CHECKED_IMAGES, *image_shape), np.uint8)
    rows = (as_unit_float(images) * np.float32(scale)).reshape(len(images), -1)
    expected = np.asarray(estimator.predict(rows))
    output = _output(estimator, rows, expected)
    height, width, channels = image_shape
    contract = Contract(
        layout="NHWC",
        range=(0.0, 1.0),
        output=output,
        channels="GRAY" if channels == 1 else "RGB",
        size=(height, width),
    )
    proto = _convert(estimator, rows.shape[1], output)
    _take_images(proto, image_shape, scale)
    _keep_output(proto, output)
    portable(proto)
    set_metadata(proto, metadata_of(contract))
    with checked_file(path, proto) as draft:
        found = LOADER.open(str(draft), contract=None, device="cpu").predict(images).labels
        differing = float(_disagrees(estimator, rows, expected, found, output).mean())
        if differing > DISAGREEMENT:
            raise ModelError(
                f"{path}: the exported model answers another label than the estimator for {differing:.0%} of "
                f"{_CHECKED_IMAGES} random images (at most {DISAGREEMENT:.0%}). Nothing was written."
            )


def _check_estimator(estimator: Any, image_shape: tuple[int, int, int]) -> None:  # noqa: ANN401
    classes = getattr(estimator, "classes_", None)
    if classes is None:
        raise ModelError(f"{type(estimator).__name__} is no fitted classifier. Fit it on rows of pixels and labels.")
    if not np.array_equal(classes, np.arange(len(classes))):
        raise ModelError(
            f"The estimator's classes must be 0 .. c-1; found {list(classes)[:12]}. Number them and refit."
        )
    pixels = int(np.prod(image_shape))
    if estimator.n_features_in_ != pixels:
        raise ModelError(
            f"Images of shape {image_shape} have {pixels} pixels; the estimator takes {estimator.n_features_in_}."
        )


def _output(estimator: Any, rows: NDArray[Any], labels: NDArray[Any]) -> _Output:  # noqa: ANN401
    """Some estimators (SVC with Platt scaling) do not answer their most probable class."""
    if not hasattr(estimator, "predict_proba"):
        return "labels"
    most_probable = np.asarray(estimator.predict_proba(rows)).argmax(axis=1)
    return "probabilities" if np.array_equal(most_probable, labels) else "labels"


def _disagrees(
    estimator: Any,  # noqa: ANN401
    rows: NDArray[Any],
    expected: NDArray[Any],
    found: NDArray[Any],
    output: _Output,
) -> NDArray[np.bool_]:
    differs = np.asarray(expected != found)
    if output == "probabilities":
        each = np.arange(len(rows))
        probabilities = np.asarray(estimator.predict_proba(rows))
        differs &= probabilities[each, expected] - probabilities[each, found] > _TIE
    return differs


def _convert(estimator: Any, pixels: int, output: _Output) -> "ModelProto":  # noqa: ANN401
    try:
        from onnx import ModelProto
        from skl2onnx import convert_sklearn
        from skl2onnx.common.data_types import FloatTensorType
        from skl2onnx.common.exceptions import MissingConverter, MissingShapeCalculator
    except ImportError as exc:
        raise BackendMissing(
            f"Exporting from scikit-learn needs {exc.name}. Install it: pip install 'cae-fingerprint[digits]'."
        ) from exc
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about attributes that scikit-learn will drop; the labels are checked
            proto = convert_sklearn(
                estimator,
                name="classifier",  # else a random name, and other bytes each time
                initial_types=[("rows", FloatTensorType([None, pixels]))],
                # An estimator without probabilities need not know the option.
                options={id(estimator): {"zipmap": False}} if output == "probabilities" else None,
                target_opset=_OPSETS,
            )
    except (MissingConverter, MissingShapeCalculator, NotImplementedError, RuntimeError, NameError, ValueError) as exc:
        reason = (str(exc).strip().splitlines() or [""])[0][:200]
        raise ModelError(f"skl2onnx cannot convert {type(estimator).__name__} ({reason}).") from exc
    if not isinstance(proto, ModelProto):
        raise ModelError(f"skl2onnx made no complete model of {type(estimator).__name__}.")
    return proto


def _take_images(proto: "ModelProto", image_shape: tuple[int, int, int], scale: float) -> None:
    """Put image (n, h, w, k) -> times scale -> flattened before the graph's rows."""
    from onnx import TensorProto, helper

    graph = proto.graph
    nodes = [
        helper.make_node("Mul", ["image", "image_scale"], ["image_scaled"], name="scale"),
        helper.make_node("Flatten", ["image_scaled"], ["rows"], name="flatten", axis=1),
        *graph.node,
    ]
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.append(helper.make_tensor_value_info("image", TensorProto.FLOAT, ["n", *image_shape]))
    graph.initializer.append(helper.make_tensor("image_scale", TensorProto.FLOAT, [], [scale]))


def _keep_output(proto: "ModelProto", output: _Output) -> None:
    """Keep one output, and what leads to it. skl2onnx writes labels first, probabilities second."""
    graph = proto.graph
    kept = graph.output[0 if output == "labels" else 1]
    del graph.output[:]
    graph.output.append(kept)
    drop_unused(proto)
