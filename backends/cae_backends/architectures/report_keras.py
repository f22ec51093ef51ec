"""The models of the report in Keras: its own ResNet20v1, and keras.applications for the others."""

import os
import random
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cae_backends.architectures.options import (
    DENSENET_TOP,
    KERAS_NETWORKS,
    TOP_DROPOUT,
    TOP_WIDTHS,
    ImageShape,
    PretrainedWeights,
    check_options,
)
from cae_backends.architectures.resnet20_keras import keras_resnet20
from cae_backends.architectures.weights_files import bounded_download, check_file, download_failed
from cae_backends.tensorflow.runtime import load_keras
from cae_core.errors import ModelError, first_line

if TYPE_CHECKING:
    from filelock import FileLock

__all__ = ["build_keras"]

_PUBLISHED = {
    "resnet50v1": "resnet50_weights_tf_dim_ordering_tf_kernels_notop.h5",
    "mobilenetv2": "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5",
    DENSENET_TOP: "densenet121_weights_tf_dim_ordering_tf_kernels_notop.h5",
}
"""Name -> the file that Keras downloads."""


def build_keras(
    name: str,
    *,
    image_shape: ImageShape,
    classes: int,
    weights: PretrainedWeights = None,
    seed: int | None = None,
    logits: bool = False,
) -> Any:  # noqa: ANN401 - Keras is untyped
    """Return a model of the report, a ``keras.Model`` for float32 (n, h, w, k), normalised as its contract says.

    Args:
        name: one of `REPORT_ARCHITECTURES`.
        image_shape: (h, w, k); k is 1 or 3, and h and w at least 32, 8 for ResNet20v1.
        classes: c.
        weights: of the layers below the classifier: None for random ones, ``"imagenet"`` to have Keras download the
            published ones or find them in its cache, or a file of them, .h5 or .weights.h5, without the top.
        seed: of the random weights; with the same version of Keras the same seed gives the same. Nobody else's random
            numbers change.
        logits: whether the model answers logits; by default it answers probabilities, as the report's do.

    Raises:
        BackendMissing: Keras or TensorFlow is not installed.
        OptionError: the architecture cannot have this (see `options.check_options`).
        ModelError: the weights cannot be downloaded, or their file is missing, broken or another model's.
    """
    check_options(name, image_shape=image_shape, classes=classes, weights=weights)
    activation = None if logits else "softmax"
    load_keras()
    with _seeded(seed):
        if name == "resnet20v1":
            return keras_resnet20(image_shape, classes, activation=activation)
        base = _base(name, image_shape, weights)
        return _with_classifier(name, base, classes, activation)


def _base(name: str, image_shape: ImageShape, weights: PretrainedWeights) -> Any:  # noqa: ANN401 - Keras is untyped
    """Return what is below the classifier, with its pooling."""
    build = getattr(load_keras().applications, KERAS_NETWORKS[name])
    options = {"include_top": False, "input_shape": image_shape, "pooling": "max" if name == DENSENET_TOP else "avg"}
    if weights == "imagenet":
        with _download(name), _one_download():
            return build(weights="imagenet", **options)
    base = build(weights=None, **options)
    if weights is not None:
        _load(name, base, weights)
    return base


def _with_classifier(name: str, base: Any, classes: int, activation: str | None) -> Any:  # noqa: ANN401 - Keras is untyped
    keras = load_keras()
    layers, x = keras.layers, base.output
    for number, width in enumerate(TOP_WIDTHS if name == DENSENET_TOP else (), start=1):
        x = layers.BatchNormalization(name=f"top{number}_norm")(x)
        x = layers.Dense(width, activation="relu", name=f"top{number}_dense")(x)
        x = layers.Dropout(TOP_DROPOUT, name=f"top{number}_dropout")(x)
    x = layers.Dense(classes, activation=activation, name="predictions")(x)
    return keras.Model(base.input, x, name=name.replace("-", "_"))


def _load(name: str, base: Any, path: Path) -> None:  # noqa: ANN401 - Keras is untyped
    check_file(path)
    if not path.name.endswith(".h5"):
        raise ModelError(f"{path}: Keras reads weights from a file called .h5 or .weights.h5. Give one of these.")
    try:
        with warnings.catch_warnings():
            # Keras warns of layers that it does not find in the file, and leaves them as they are.
            warnings.simplefilter("error", UserWarning)
            base.load_weights(path)
    except (OSError, ValueError, KeyError, UserWarning) as exc:
        raise ModelError(
            f"{path}: these are not the weights of {name}'s layers without the top ({first_line(exc)}). "
            f"Give {_PUBLISHED[name]}, or what save_weights wrote for these layers."
        ) from exc


@contextmanager
def _download(name: str) -> Iterator[None]:
    """Turn what Keras raises where published weights cannot be had into an error of ours."""
    with warnings.catch_warnings(), bounded_download():
        # MobileNetV2's were trained at five sizes; for any other, Keras takes those of 224 and says so.
        warnings.filterwarnings("ignore", message="`input_shape` is undefined or non-square")
        try:
            yield
        except Exception as exc:
            # Keras raises Exception itself where it cannot connect or the server refuses.
            if type(exc) is Exception or isinstance(exc, ConnectionError | TimeoutError | HTTPException):
                raise download_failed(name, tried="Keras' server", file=_PUBLISHED[name], exc=exc) from exc
            if isinstance(exc, OSError | ValueError):
                raise ModelError(
                    f"The ImageNet weights of {name} in Keras' cache, ~/.keras/models, cannot be used "
                    f"({first_line(exc)}). Delete {_PUBLISHED[name]} there."
                ) from exc
            raise


def _one_download() -> "FileLock":
    """Keep other processes out: one that finds the file half written takes it for a whole one.

    Keras writes a download to its final place, and knows no digest of MobileNetV2's.
    """
    from filelock import FileLock

    home = Path(os.environ.get("KERAS_HOME") or Path.home() / ".keras")  # Keras has made it when it was imported
    return FileLock((home if os.access(home, os.W_OK) else Path(tempfile.gettempdir())) / "cae-download.lock")


@contextmanager
def _seeded(seed: int | None) -> Iterator[None]:
    """Fix the seeds of Keras' initialisers and dropout, which it draws from Python's own random numbers."""
    if seed is None:
        yield
        return
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)
