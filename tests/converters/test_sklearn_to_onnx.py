from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from sklearn.cluster import KMeans
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC, LinearSVC

from cae_backends.datasets import open_data
from cae_backends.onnxruntime import LOADER
from cae_converters import sklearn_to_onnx
from cae_converters.sklearn_to_onnx import export_sklearn
from cae_core.dataset import ImageSet
from cae_core.errors import ModelError

SHAPE, SCALE = (8, 8, 1), 16


def rows(data: ImageSet) -> np.ndarray[Any, np.dtype[np.float32]]:
    return (data.images.astype(np.float32) / np.float32(255) * np.float32(SCALE)).reshape(len(data), -1)


def quick() -> LogisticRegression:
    return LogisticRegression(max_iter=50, tol=1)


@pytest.fixture(scope="module")
def train() -> ImageSet:
    return open_data("digits", split="train").subset(range(400))


@pytest.mark.parametrize(
    ("estimator", "output"),
    [
        (make_pipeline(StandardScaler(), LogisticRegression(max_iter=200)), "probabilities"),
        (RandomForestClassifier(15, random_state=0), "probabilities"),
        (MLPClassifier((20,), max_iter=400, random_state=0), "probabilities"),
        (SVC(), "labels"),
        (LinearSVC(random_state=0, max_iter=5000), "labels"),
    ],
    ids=["pipeline", "forest", "mlp", "svc", "linear-svc"],
)
def test_the_file_answers_as_the_estimator_does(estimator: Any, output: str, train: ImageSet, tmp_path: Path) -> None:  # noqa: ANN401
    estimator.fit(rows(train), train.labels)
    export_sklearn(estimator, tmp_path / "m.onnx", image_shape=SHAPE, scale=SCALE)
    assert list(tmp_path.iterdir()) == [tmp_path / "m.onnx"]
    model = LOADER.open(str(tmp_path / "m.onnx"), contract=None, device="cpu")
    assert (model.contract.output, model.contract.layout, model.contract.size) == (output, "NHWC", (8, 8))
    test = open_data("digits")
    found = model.predict(test.images)
    expected = estimator.predict(rows(test))
    assert (found.labels == expected).mean() > 0.99  # a tie between two trees may fall otherwise
    assert (found.labels == test.labels).mean() > 0.85
    if output == "probabilities":
        assert found.probabilities is not None
        np.testing.assert_allclose(found.probabilities, estimator.predict_proba(rows(test)), atol=1e-4)


def test_the_graph_has_an_image_input_and_one_output(train: ImageSet, tmp_path: Path) -> None:
    estimator = quick().fit(rows(train), train.labels)
    contents = []
    for name in ("a.onnx", "b.onnx"):
        export_sklearn(estimator, tmp_path / name, image_shape=SHAPE, scale=SCALE)
        contents.append((tmp_path / name).read_bytes())
    proto = onnx.load(tmp_path / "a.onnx")
    onnx.checker.check_model(proto)
    assert [d.dim_param or d.dim_value for d in proto.graph.input[0].type.tensor_type.shape.dim] == ["n", 8, 8, 1]
    assert len(proto.graph.output) == 1
    assert contents[0] == contents[1]


def test_colour_images_are_flattened_as_rows_are(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (90, 3, 4, 3), np.uint8)
    labels = images[..., 2].mean(axis=(1, 2)) > images[..., 0].mean(axis=(1, 2))
    estimator = LogisticRegression(max_iter=500).fit(images.reshape(90, -1) / 255, labels.astype(int))
    export_sklearn(estimator, tmp_path / "m.onnx", image_shape=(3, 4, 3), scale=1)
    found = LOADER.open(str(tmp_path / "m.onnx"), contract=None, device="cpu").predict(images).labels
    np.testing.assert_array_equal(found, estimator.predict(images.reshape(90, -1) / 255))


def test_an_estimator_that_is_no_image_classifier_is_refused(train: ImageSet, tmp_path: Path) -> None:
    x, y = rows(train), train.labels
    for estimator, shape, reason in (
        (LogisticRegression(), SHAPE, "no fitted classifier"),
        (KMeans(2).fit(x), SHAPE, "no fitted classifier"),
        (quick().fit(x, y + 1), SHAPE, "0 .. c-1"),
        (quick().fit(x, y.astype(str)), SHAPE, "0 .. c-1"),
        (quick().fit(x, y), (8, 8, 3), "192 pixels; the estimator takes 64"),
    ):
        with pytest.raises(ModelError, match=reason):
            export_sklearn(estimator, tmp_path / "m.onnx", image_shape=shape, scale=SCALE)
    assert list(tmp_path.iterdir()) == []


def test_an_estimator_without_converter_is_refused(train: ImageSet, tmp_path: Path) -> None:
    class Own(LogisticRegression):  # type: ignore[misc]
        pass

    estimator = Own(max_iter=50, tol=1).fit(rows(train), train.labels)
    with pytest.raises(ModelError, match="skl2onnx cannot convert Own"):
        export_sklearn(estimator, tmp_path / "m.onnx", image_shape=SHAPE, scale=SCALE)


def test_other_labels_are_refused(train: ImageSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    estimator = quick().fit(rows(train), train.labels)
    real = sklearn_to_onnx._take_images
    monkeypatch.setattr(sklearn_to_onnx, "_take_images", lambda proto, shape, _: real(proto, shape, 0.01))
    with pytest.raises(ModelError, match="answers another label than the estimator"):
        export_sklearn(estimator, tmp_path / "m.onnx", image_shape=SHAPE, scale=SCALE)
    assert list(tmp_path.iterdir()) == []
