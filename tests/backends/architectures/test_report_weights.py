"""Published weights of the report's models: from a file, from a cache, and what is said where there are none."""

import shutil
import socket
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from filelock import FileLock

from cae_backends.architectures import weights_files
from cae_backends.architectures.report_keras import build_keras
from cae_backends.architectures.report_torch import build_torch
from cae_backends.tensorflow.runtime import load_keras
from cae_core.contract import Contract
from cae_core.errors import ModelError

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (32, 32, 3)
KERAS_FILE = "mobilenet_v2_weights_tf_dim_ordering_tf_kernels_1.0_224_no_top.h5"
TORCH_FILE = "mobilenet_v2-b0353104.pth"


def keras_with(weights: Any, name: str = "mobilenetv2") -> Any:  # noqa: ANN401 - Keras is untyped
    return build_keras(name, image_shape=SHAPE, classes=5, weights=weights, seed=0)


def torch_with(weights: Any, name: str = "mobilenetv2") -> dict[str, torch.Tensor]:  # noqa: ANN401 - also what is refused
    return dict(build_torch(name, image_shape=SHAPE, classes=5, weights=weights, seed=0).state_dict())


@pytest.fixture(scope="module")
def keras_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the weights of one network without its top, as Keras 3 writes them, and as it publishes them."""
    import h5py

    folder = tmp_path_factory.mktemp("keras")
    base = load_keras().applications.MobileNetV2(include_top=False, weights=None, input_shape=SHAPE, pooling="avg")
    with warnings.catch_warnings():  # Keras' own, of NumPy 2
        warnings.filterwarnings("ignore", message="__array__ implementation", category=DeprecationWarning)
        base.save_weights(folder / "new.weights.h5")
        base.save(folder / "whole.h5")
    with h5py.File(folder / "whole.h5") as whole, h5py.File(folder / KERAS_FILE, "w") as published:
        layers: Any = whole["model_weights"]
        for layer in layers:
            layers.copy(layer, published)
        published.attrs.update(layers.attrs)
    return folder


@pytest.fixture(scope="module")
def torch_state() -> dict[str, torch.Tensor]:
    """Of torchvision's own network, with its classifier of 1000 classes."""
    from torchvision import models

    return dict(models.mobilenet_v2(weights=None).state_dict())


class TestKerasFiles:
    @pytest.mark.parametrize("name", ["new.weights.h5", "whole.h5", KERAS_FILE])
    def test_loads(self, keras_files: Path, name: str) -> None:
        import h5py

        with h5py.File(keras_files / KERAS_FILE) as file:
            layer: Any = file["Conv1/Conv1"]
            kernel = np.asarray(next(iter(layer.values())))
        model = keras_with(keras_files / name)
        np.testing.assert_array_equal(model.get_layer("Conv1").get_weights()[0], kernel)
        assert model.output_shape == (None, 5)

    @pytest.mark.parametrize("name", ["new.weights.h5", KERAS_FILE])
    def test_refuses_a_broken_file(self, keras_files: Path, name: str, tmp_path: Path) -> None:
        broken = tmp_path / name
        broken.write_bytes((keras_files / name).read_bytes()[:100_000])
        with pytest.raises(ModelError, match=r"not the weights of mobilenetv2.*truncated.*Give mobilenet_v2_weights"):
            keras_with(broken)

    @pytest.mark.parametrize("name", ["new.weights.h5", KERAS_FILE])
    def test_refuses_another_models(self, keras_files: Path, name: str) -> None:
        with pytest.raises(ModelError, match="not the weights of resnet50v1's layers without the top"):
            keras_with(keras_files / name, "resnet50v1")

    @pytest.mark.parametrize(
        ("name", "message"),
        [("absent.h5", "no such file"), ("text.h5", "not the weights"), ("text.pkl", r"called \.h5 or \.weights\.h5")],
    )
    def test_refuses(self, name: str, message: str, tmp_path: Path) -> None:
        if name != "absent.h5":
            (tmp_path / name).write_text("hello")
        with pytest.raises(ModelError, match=message):
            keras_with(tmp_path / name)


class Evil:
    """Would tell, if it were unpickled."""

    told: Path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.told,))


class TestTorchFiles:
    def test_loads_all_but_the_classifier(self, torch_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
        torch.save(torch_state, tmp_path / "x.pth")
        loaded = torch_with(tmp_path / "x.pth")
        below = [key for key in torch_state if not key.startswith("classifier")]
        assert len(below) == len(torch_state) - 2
        assert all(torch.equal(loaded[key], torch_state[key]) for key in below)
        fresh = torch_with(None)
        assert loaded["classifier.1.weight"].shape == (5, 1280)
        assert not torch.equal(loaded["features.0.0.weight"], fresh["features.0.0.weight"])
        assert torch.equal(loaded["classifier.1.weight"], fresh["classifier.1.weight"])

    def test_loads_densenet_under_its_old_names_and_without_counters(self, tmp_path: Path) -> None:
        from torchvision import models

        state = models.densenet121(weights=None).state_dict()
        old = {
            key.replace("norm1.", "norm.1.").replace("conv2.", "conv.2.") if "denselayer" in key else key: value
            for key, value in state.items()
            if not key.endswith("num_batches_tracked")
        }
        assert old.keys() - state.keys()
        torch.save(old, tmp_path / "x.pth")
        loaded = torch_with(tmp_path / "x.pth", "densenet121-top")
        features = {key: value for key, value in state.items() if key.startswith("features.")}
        assert all(torch.equal(loaded["0." + key.removeprefix("features.")], value) for key, value in features.items())

    @pytest.mark.parametrize("name", ["resnet50v1", "densenet121-top"])
    def test_refuses_another_models(self, torch_state: dict[str, torch.Tensor], name: str, tmp_path: Path) -> None:
        torch.save(torch_state, tmp_path / "x.pth")
        with pytest.raises(ModelError, match=r"not the weights of torchvision's \w+ \(\d+ names differ"):
            torch_with(tmp_path / "x.pth", name)

    def test_refuses_other_shapes(self, torch_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
        torch.save(torch_state | {"features.0.0.weight": torch.zeros(32, 1, 3, 3)}, tmp_path / "x.pth")
        with pytest.raises(ModelError, match=r"features\.0\.0\.weight.*\[32, 1, 3, 3\]"):
            torch_with(tmp_path / "x.pth")

    def test_never_runs_pickled_code(self, tmp_path: Path) -> None:
        evil = Evil()
        evil.told = tmp_path / "ran"
        torch.save({"x": evil}, tmp_path / "x.pth")
        with pytest.raises(ModelError, match="pickled code is never run"):
            torch_with(tmp_path / "x.pth")
        assert not evil.told.exists()

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (None, "no such file"),
            (b"", "broken"),
            (b"hello", "the file holds more than tensors"),
            ([torch.zeros(2)], "state_dict of tensors is expected; found list"),
            ({"epoch": 3}, "state_dict of tensors is expected"),
        ],
    )
    def test_refuses(self, content: object, message: str, tmp_path: Path) -> None:
        path = tmp_path / "x.pth"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            torch.save(content, path)
        with pytest.raises(ModelError, match=message):
            torch_with(path)

    def test_refuses_a_broken_file(self, torch_state: dict[str, torch.Tensor], tmp_path: Path) -> None:
        path = tmp_path / "x.pth"
        torch.save(torch_state, path)
        path.write_bytes(path.read_bytes()[:1_000_000])
        with pytest.raises(ModelError, match="broken"):
            torch_with(path)


IMAGENET: dict[str, Any] = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}


class TestDocumentedContracts:
    """The contracts that docs/architectures.md gives for ImageNet weights do what the libraries' own functions do."""

    images = np.random.default_rng(2).integers(0, 256, (2, 224, 224, 3), dtype=np.uint8)

    @pytest.mark.parametrize(
        ("module", "fields"),
        [
            ("resnet", {"range": (0.0, 255.0), "channels": "BGR", "mean": (103.939, 116.779, 123.68)}),
            ("mobilenet_v2", {"range": (-1.0, 1.0)}),
            ("densenet", {"range": (0.0, 1.0), **IMAGENET}),
        ],
    )
    def test_keras(self, module: str, fields: dict[str, Any]) -> None:
        expected = getattr(load_keras().applications, module).preprocess_input(self.images.astype(np.float32))
        found = Contract(layout="NHWC", output="probabilities", **fields).to_input(self.images)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("name", ["resnet50", "mobilenet_v2", "densenet121"])
    def test_torchvision(self, name: str) -> None:
        from torchvision import models

        transform = models.get_model_weights(name)["IMAGENET1K_V1"].transforms(resize_size=224, antialias=True)
        expected = transform(torch.tensor(self.images.transpose(0, 3, 1, 2)))
        found = Contract(layout="NCHW", range=(0.0, 1.0), output="logits", **IMAGENET).to_input(self.images)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)


@pytest.fixture(params=["refused", "silent"])
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Every connection goes through a proxy that is not there, or one that never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        if request.param == "refused":
            server.close()
        for name in ("https_proxy", "HTTPS_PROXY"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{port}")
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("urllib.request._opener", None)  # it would keep the proxies of its first use
        monkeypatch.setattr(weights_files, "_TIMEOUT", 0.3)
        yield request.param


class TestImageNet:
    @pytest.mark.parametrize("framework", ["keras", "torch"])
    def test_without_a_network(
        self, framework: str, no_network: str, caches: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        load, file = (keras_with, KERAS_FILE) if framework == "keras" else (torch_with, TORCH_FILE)
        reason = "refused" if no_network == "refused" else "timed out"
        with pytest.raises(ModelError, match=rf"mobilenetv2.*{reason}.*Without a network, fetch {file}") as caught:
            load("imagenet")
        assert "\n" not in str(caught.value)
        assert [path for path in caches.rglob("*") if path.is_file() and path.suffix != ".lock"] == []
        assert socket.getdefaulttimeout() is None
        assert capsys.readouterr().out == ""

    def test_keras_takes_what_is_in_its_cache(self, keras_files: Path, caches: Path) -> None:
        content = (keras_files / KERAS_FILE).read_bytes()
        (caches / "models" / KERAS_FILE).write_bytes(content)
        found, expected = keras_with("imagenet"), keras_with(keras_files / KERAS_FILE)
        pairs = zip(found.get_weights(), expected.get_weights(), strict=True)
        assert all(np.array_equal(a, b) for a, b in pairs if a.shape != (1280, 5))

    @pytest.mark.long
    def test_keras_waits_for_the_download_of_another_process(
        self, keras_files: Path, caches: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fetched: list[str] = []

        def fetch(url: str, path: str, _told: object) -> None:
            fetched.append(url)
            shutil.copy(keras_files / KERAS_FILE, path)

        monkeypatch.setattr("keras.src.utils.file_utils.urlretrieve", fetch)
        with FileLock(caches / "cae-download.lock"):
            waiting = threading.Thread(target=keras_with, args=("imagenet",))
            waiting.start()
            waiting.join(3)
            assert (fetched, waiting.is_alive()) == ([], True)
            shutil.copy(keras_files / KERAS_FILE, caches / "models" / KERAS_FILE)
        waiting.join(60)
        assert (fetched, waiting.is_alive()) == ([], False)
        (caches / "models" / KERAS_FILE).unlink()
        keras_with("imagenet")
        assert len(fetched) == 1

    def test_keras_names_a_broken_file_in_its_cache(self, keras_files: Path, caches: Path) -> None:
        """MobileNetV2's file has no digest in Keras; so a download that was killed stays there."""
        content = (keras_files / KERAS_FILE).read_bytes()
        (caches / "models" / KERAS_FILE).write_bytes(content[:100_000])
        with pytest.raises(ModelError, match=rf"models, cannot be used \(.*truncated.*Delete {KERAS_FILE}"):
            keras_with("imagenet")

    def test_torch_takes_what_is_in_its_cache(self, torch_state: dict[str, torch.Tensor], caches: Path) -> None:
        path = caches / "hub" / "checkpoints" / TORCH_FILE
        torch.save(torch_state, path)
        assert torch.equal(torch_with("imagenet")["features.0.0.weight"], torch_state["features.0.0.weight"])
        path.write_bytes(path.read_bytes()[:1_000_000])
        with pytest.raises(ModelError, match=rf"{TORCH_FILE}: the file of weights is broken"):
            torch_with("imagenet")
