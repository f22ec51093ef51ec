"""The same network as the tools write it that people use: exporters of the frameworks, and quantisers."""

import warnings
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnxruntime.quantization import CalibrationDataReader

from cae_backends.onnxruntime import LOADER
from cae_core.contract import Contract, Task
from tests.backends import dialects
from tests.backends.dialects import AXES, CLASSES, HIDDEN, NAMES, SIDE, logits_of, weights
from tests.backends.test_dialects import images, softmax

TASK = Task(classes=CLASSES, names=NAMES)
PIXELS = SIDE * SIDE * 3
FLAT = Contract(layout="FLAT", range=(0.0, 1.0), output="probabilities")


def check(path: Path, contract: Contract, *, coarse: float = 1e-4) -> None:
    asked = images(3)
    expected = logits_of(asked)
    found = LOADER.open(str(path), contract=contract, device="cpu", task=TASK).predict(asked)
    assert found.labels.tolist() == expected.argmax(axis=1).tolist()
    if contract.output != "labels":
        assert found.probabilities is not None
        np.testing.assert_allclose(found.probabilities, softmax(expected), atol=coarse)


def written(path: Path, **traits: object) -> tuple[Path, Contract]:
    plain = {name: values[0] for name, values in AXES.items()}
    case = plain | {"opset": 17} | traits
    dialects.write(path, case)
    return path, dialects.contract_of(case)


@pytest.mark.parametrize("dictionaries", [True, False])
@pytest.mark.parametrize("names", [True, False])
def test_scikit_learn(tmp_path: Path, dictionaries: bool, names: bool) -> None:  # noqa: FBT001 - by position
    pytest.importorskip("sklearn")
    skl2onnx = pytest.importorskip("skl2onnx")
    from sklearn.neural_network import MLPClassifier

    first, a, second, b = weights(3)
    network = MLPClassifier((HIDDEN,), max_iter=1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        labels = np.array(NAMES) if names else np.arange(CLASSES)
        network.fit(np.zeros((CLASSES, PIXELS), np.float32), labels)
    order = [NAMES.index(name) for name in network.classes_] if names else list(range(CLASSES))
    network.coefs_, network.intercepts_ = [first, second[:, order]], [a, b[order]]
    proto = skl2onnx.to_onnx(network, np.zeros((1, PIXELS), np.float32), options={"zipmap": dictionaries})
    onnx.save(proto, tmp_path / "m.onnx")
    sorted_names = {"class_names": tuple(str(name) for name in network.classes_)} if names and not dictionaries else {}
    check(tmp_path / "m.onnx", FLAT.replace(**sorted_names))
    check(tmp_path / "m.onnx", FLAT.replace(output="labels"))


@pytest.mark.parametrize("dynamo", [True, False])
def test_torch(tmp_path: Path, dynamo: bool) -> None:  # noqa: FBT001 - by position
    torch = pytest.importorskip("torch")
    first, a, second, b = (torch.tensor(array) for array in weights(3))

    class Network(torch.nn.Module):  # type: ignore[misc, name-defined]
        def forward(self, x: Any) -> Any:  # noqa: ANN401
            x = ((x * 0.25 + 0.5).permute(0, 2, 3, 1)).flatten(1)
            return torch.relu(x @ first + a) @ second + b

    axes = {"dynamic_shapes": {"x": {0: "n"}}} if dynamo else {"dynamic_axes": {"x": {0: "n"}}}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            Network().eval(), (torch.zeros(2, 3, SIDE, SIDE),), tmp_path / "m.onnx", input_names=["x"], dynamo=dynamo,
            **({"verbose": False} if dynamo else {}), **axes,
        )  # fmt: skip
    check(tmp_path / "m.onnx", Contract(layout="NCHW", range=(0, 1), output="logits", mean=(0.5,), std=(0.25,)))


def test_tensorflow(tmp_path: Path) -> None:
    pytest.importorskip("tensorflow")
    pytest.importorskip("tf2onnx")
    from cae_backends.tensorflow.runtime import load_tensorflow

    tf = load_tensorflow()
    import tf2onnx

    first, a, second, b = weights(3)

    @tf.function(input_signature=[tf.TensorSpec((None, SIDE, SIDE, 3), tf.float32, name="x")])  # type: ignore[untyped-decorator]
    def network(x: Any) -> Any:  # noqa: ANN401
        flat = tf.reshape(x / 255, (-1, PIXELS))
        return tf.nn.softmax(tf.nn.relu(flat @ first + a) @ second + b)

    tf2onnx.convert.from_function(
        network, input_signature=network.input_signature, opset=15, output_path=str(tmp_path / "m.onnx")
    )
    check(tmp_path / "m.onnx", Contract(layout="NHWC", range=(0, 255), output="probabilities"))


@pytest.mark.parametrize("keep", [True, False])
def test_float16_by_onnxconverter_common(tmp_path: Path, keep: bool) -> None:  # noqa: FBT001 - by position
    converter = pytest.importorskip("onnxconverter_common.float16")
    path, contract = written(tmp_path / "m.onnx")
    proto = converter.convert_float_to_float16(onnx.load(path), keep_io_types=keep)
    onnx.save(proto, path)
    check(path, contract, coarse=0.02)
    assert LOADER.signature(str(path)).inputs[0].dtype == ("float32" if keep else "float16")


class _Calibration(CalibrationDataReader):  # type: ignore[misc]
    """Some images, as the quantiser reads them."""

    def __init__(self, x: NDArray[Any]) -> None:
        self._left = [{"image": row[None]} for row in x]

    def get_next(self) -> dict[str, NDArray[Any]]:
        return self._left.pop() if self._left else {}


@pytest.mark.parametrize("kind", ["dynamic", "QDQ", "QOperator"])
def test_quantised_by_onnx_runtime(tmp_path: Path, kind: str) -> None:
    """A quantised network answers something else than the network: what the bare runtime answers is right."""
    from onnxruntime import quantization

    path, contract = written(tmp_path / "m.onnx", batch="n")
    asked = images(3)
    x = contract.to_input(asked)
    small = tmp_path / "q.onnx"
    if kind == "dynamic":
        quantization.quantize_dynamic(path, small)
    else:
        formats = {"QDQ": quantization.QuantFormat.QDQ, "QOperator": quantization.QuantFormat.QOperator}
        quantization.quantize_static(path, small, _Calibration(x), quant_format=formats[kind])
    session = onnxruntime.InferenceSession(str(small), providers=["CPUExecutionProvider"])
    expected = np.concatenate([np.asarray(session.run(None, {"image": row[None]})[0]) for row in x])
    found = LOADER.open(str(small), contract=contract, device="cpu", task=TASK).predict(asked)
    assert found.labels.tolist() == expected.argmax(axis=1).tolist()
    np.testing.assert_allclose(found.probabilities, softmax(expected), atol=1e-6)  # type: ignore[arg-type]
    assert (found.labels == logits_of(asked).argmax(axis=1)).mean() > 0.8
