"""A state dict and the class that makes the network: the user's own code, and weights that are tensors only."""

import argparse
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import nn

from cae_backends.torch.named_class import parse_named_class
from cae_backends.torch.weights import load_weights
from cae_core.contract import Contract
from cae_core.errors import CaeError, ContractError, ModelError
from cae_core.files.digests import digest_of_files, sha256_of_text
from cae_core.loaders import is_model
from cae_core.opening.model_files import ModelFiles
from cae_core.opening.opened import open_black_box
from cae_core.opening.party import Party
from cae_core.pool.manifest import parse_member
from cae_core.pool.members import open_member
from cae_core.pool.roles import collect_members

pytestmark = pytest.mark.usefixtures("one_thread")

Space: TypeAlias = dict[str, Any]
"""The names of a module."""

CONTRACT = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 1), dtype=np.uint8)
CODE = """
from torch import nn

class Net(nn.Module):
    def __init__(self, classes=10, *, width=8):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(1, width, 3), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten())
        self.head = nn.Linear(36 * width, classes)

    def forward(self, x):
        return self.head(self.body(x))

class Outer:
    Inner = Net

def make_dictionary():
    return {}

def fails(n):
    raise RuntimeError("no such data set")
"""


@pytest.fixture
def nets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Space]:
    """A working folder with the user's code; its module is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my_nets").mkdir()
    (tmp_path / "my_nets" / "small.py").write_text(CODE)
    kept = list(sys.path)
    space: Space = {"__name__": "of_the_test"}
    exec(CODE, space)  # noqa: S102 - the oracle: the same class, made here
    yield space
    sys.path[:] = kept
    for name in [name for name in sys.modules if name.partition(".")[0] == "my_nets"]:
        del sys.modules[name]


def network(nets: Space, **options: int) -> nn.Module:
    torch.manual_seed(3)
    made: nn.Module = nets["Net"](**options)
    made.train()(torch.rand(8, 1, 8, 8))  # the batch norm has statistics
    return made.eval()


def expected(net: nn.Module) -> NDArray[np.float32]:
    with torch.no_grad():
        scores: torch.Tensor = net(torch.tensor(IMAGES).permute(0, 3, 1, 2) / 255)
    return scores.softmax(1).numpy()


def answered(spec: str, contract: Contract | None = CONTRACT) -> NDArray[np.float32]:
    opened = open_black_box(spec, contract=contract, device="cpu", named_by_user=True)
    probabilities = opened.model.predict(IMAGES).probabilities
    assert probabilities is not None
    return probabilities


@pytest.mark.parametrize("call", ["Net", "Net()", "Net(10)", "Net(classes=10, width=8)", "Outer.Inner(10, width = 8)"])
def test_a_class_and_its_weights(nets: Space, call: str) -> None:
    net = network(nets)
    torch.save(net.state_dict(), "w=1.pth")
    np.testing.assert_allclose(answered(f"torch:my_nets.small:{call}=w=1.pth"), expected(net), atol=1e-6)


@pytest.mark.parametrize(
    ("wrapped", "told"),
    [
        (lambda w: {"state_dict": w, "epoch": 3, "acc": np.float64(0.9)}, "the weights in 'state_dict'"),
        (lambda w: {"model": w, "losses": np.arange(3.0), "best": np.int64(3)}, "the weights in 'model'"),
        (lambda w: {"net": w, "args": argparse.Namespace(lr=0.1)}, "the weights in 'net'"),
        (lambda w: {f"module.{k}": v for k, v in w.items()}, "names without 'module.'"),
        (
            lambda w: {"a": {"model": {f"module.model.{k}": v for k, v in w.items()}}, "mean": torch.zeros(3)},
            "the weights in 'a.model', names without 'module.model.'",
        ),
        (lambda w: {"optimizer": {"state": {0: {"exp_avg": torch.zeros(2)}}}, "model": w}, "the weights in 'model'"),
        (lambda w: {k: v for k, v in w.items() if "num_batches" not in k}, ""),
        (lambda w: {k: v.half() if v.is_floating_point() else v for k, v in w.items()}, ""),
    ],
)
def test_weights_are_found_where_training_code_puts_them(
    nets: Space, wrapped: Callable[[dict[str, torch.Tensor]], object], told: str
) -> None:
    net = network(nets)
    torch.save(wrapped(net.state_dict()), "w.pth")
    model: Any = open_black_box(
        "torch:my_nets.small:Net=w.pth", contract=CONTRACT, device="cpu", named_by_user=True
    ).model
    assert model.runtime == f"torch {torch.__version__}" + (f", {told}" if told else "")
    np.testing.assert_allclose(model.predict(IMAGES).probabilities, expected(net), atol=2e-3)


def test_safetensors_and_the_old_form_of_torch(nets: Space) -> None:
    net = network(nets)
    save_file(net.state_dict(), "w.safetensors")
    torch.save(net.state_dict(), "w.pth", _use_new_zipfile_serialization=False)
    for name in ("w.safetensors", "w.pth"):
        np.testing.assert_allclose(answered(f"torch:my_nets.small:Net={name}"), expected(net), atol=1e-6)


class Sings:
    def __reduce__(self) -> tuple[object, ...]:
        return os.mkdir, ("canary",)


def test_weights_are_tensors_only(nets: Space) -> None:
    torch.save({"state_dict": network(nets).state_dict(), "more": Sings()}, "w.pth")
    torch.save(nn.Sequential(nn.Flatten()), "whole.pth")
    for name in ("w.pth", "whole.pth"):
        with pytest.raises(ModelError, match=rf"{name}: it holds pickled objects beside tensors.*net\.state_dict"):
            answered(f"torch:my_nets.small:Net={name}")
    assert not Path("canary").exists()
    Path("zeros.pth").write_bytes(bytes(1000))
    Path("lfs.pth").write_text("version https://git-lfs.github.com/spec/v1\nsize 12\n")
    for name in ("zeros.pth", "lfs.pth"):
        with pytest.raises(ModelError, match=rf"{name}: this is (nothing that torch\.save wrote|no file of weights)"):
            answered(f"torch:my_nets.small:Net={name}")


def test_weights_that_are_not_the_networks_are_named(nets: Space) -> None:
    net = network(nets)
    weights = net.state_dict()
    torch.save({"net": {**weights, "head.weight": torch.zeros(7, 288), "tail.a": torch.zeros(1)}}, "w.pth")
    del weights["body.0.bias"]
    torch.save(weights, "less.pth")
    with pytest.raises(
        ModelError,
        match=r"not the weights of this network \(the weights in 'net'\): left over: tail\.a; of another shape: "
        r"head\.weight \(7, 288\) instead of \(10, 288\)",
    ):
        load_weights(net, Path("w.pth"))
    with pytest.raises(ModelError, match=r"missing: body\.0\.bias\. Name the class"):
        load_weights(net, Path("less.pth"))
    torch.save({"epoch": 3}, "none.pth")
    with pytest.raises(ModelError, match=r"none\.pth: it holds no weights"):
        load_weights(net, Path("none.pth"))


@pytest.mark.parametrize(
    ("spec", "sentence"),
    [
        ("torch:my_nets.small=w.pth", r"expected torch:package\.module:Class\(args\)=weights\.pth"),
        ("torch:my_nets/small.py:Net()=w.pth", r"models/net\.py is models\.net"),
        ("torch:my_nets.small:Net(", "with a class or function and a file of weights"),
        ("torch:my_nets.small:Net()", "with a class or function and a file of weights"),
        ("torch:my_nets.small:Net(print(1))=w.pth", "arguments must be literals of Python"),
        ("torch:my_nets.small:Net(*[1])=w.pth", "arguments must be literals of Python"),
        ("torch:my_nets.small:Net(**{})=w.pth", "names no class"),
        ("torch:my_nets.small:Net()()=w.pth", "names no class"),
        ("torch:my_nets.small:Net()=absent.pth", r"absent\.pth: no such file of weights"),
        ("torch:my_nets.large:Net()=w.pth", r"my_nets\.large cannot be imported \(ModuleNotFoundError"),
        ("torch:my_nets.small:Ney()=w.pth", r"my_nets\.small has no Ney\. It has Net, Outer, fails, make_dictionary"),
        ("torch:my_nets.small:fails(3)=w.pth", r"cannot be made \(RuntimeError: no such data set\)"),
        ("torch:my_nets.small:Net(size=3)=w.pth", r"cannot be made \(TypeError.*Give the arguments"),
        ("torch:my_nets.small:make_dictionary=w.pth", r"must make a torch\.nn\.Module; found dict"),
    ],
)
def test_what_does_not_name_a_network_is_said(nets: Space, spec: str, sentence: str) -> None:
    torch.save(network(nets).state_dict(), "w.pth")
    with pytest.raises(ModelError, match=sentence) as caught:
        answered(spec)
    assert "\n" not in str(caught.value)


def test_the_contract_is_that_of_the_option_or_lies_beside_the_weights(nets: Space) -> None:
    net = network(nets)
    torch.save(net.state_dict(), "w.pth")
    spec = "torch:my_nets.small:Net=w.pth"
    with pytest.raises(ContractError, match=r"(?s)w\.pth: .*w\.toml.*NCHW.*size = \[8, 8\]"):
        open_black_box(spec, device="cpu", named_by_user=True)
    Path("w.toml").write_text('layout = "NCHW"\nrange = [0, 1]\noutput = "logits"\n')
    np.testing.assert_allclose(answered(spec, None), expected(net), atol=1e-6)
    assert ModelFiles(spec).has_contract


def test_images_that_do_not_fit_are_said_with_the_class(nets: Space) -> None:
    torch.save(network(nets).state_dict(), "w.pth")
    with pytest.raises(ModelError, match=r"^my_nets\.small:Net: the model fails on its input of shape \(4, 3, 8, 8\)"):
        open_black_box(
            "torch:my_nets.small:Net=w.pth", contract=CONTRACT, device="cpu", named_by_user=True
        ).model.predict(np.repeat(IMAGES, 3, axis=3))


def test_the_digest_covers_the_weights_and_the_words_wherever_they_lie(nets: Space, tmp_path: Path) -> None:
    torch.save(network(nets).state_dict(), "w.pth")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "w.pth").write_bytes(Path("w.pth").read_bytes())
    words = "torch:my_nets.small:Net(10)"
    files = ModelFiles(f"{words}=w.pth")
    (own,) = files.own
    assert files.digest == digest_of_files({"w.pth": own.sha256, words: sha256_of_text(words)})
    assert files.lines == (f"{own.sha256}  w.pth", f"{sha256_of_text(words)}  {words}")
    assert ModelFiles(f"{words}={tmp_path}/other/w.pth").digest == files.digest
    assert ModelFiles("torch:my_nets.small:Net(11)=w.pth").digest != files.digest
    Path("w.pth").write_bytes(b"another")
    assert ModelFiles(f"{words}=w.pth").digest != files.digest
    with pytest.raises(ModelError, match="was changed while it was in use"):
        files.check_unchanged()


def test_only_its_user_names_code(nets: Space) -> None:
    net = network(nets)
    torch.save(net.state_dict(), "w.pth")
    spec = "torch:my_nets.small:Net=w.pth"
    Path(spec).touch()  # a manifest in the working folder, whose paths are relative, could name it
    contract = {"layout": "NCHW", "range": [0, 1], "output": "logits"}
    row = {"path": spec, "role": "test", "relation": "surrogate", "contract": contract}
    (bare,) = collect_members([Path(spec)], relation="surrogate", role="generate", trusted=True)
    party = Party(device="cpu")
    attempts: list[Callable[[], object]] = [
        lambda: open_black_box(spec, contract=CONTRACT, device="cpu", trusted=True),
        lambda: party.black_box(spec, contract=CONTRACT, trusted=True),
        lambda: party.white_box(spec, contract=CONTRACT, trusted=True),
        lambda: open_member(parse_member(row, Path("pool.toml")), device="cpu"),
        lambda: open_member(bare, device="cpu"),
    ]
    for refused in attempts:
        with pytest.raises(CaeError, match="from the command line only"):
            refused()
    opened = party.black_box(spec, contract=CONTRACT, named_by_user=True)
    assert opened.containment.words == "none: it is its user's own code, named on the command line"
    assert not is_model(Path(spec))


def test_the_parts_of_a_text() -> None:
    named = parse_named_class("torch:a.b:C.make([1, 2], name='x=(1)', flag=None)=../d=1/w.pth")
    assert (named.module, named.name, named.args) == ("a.b", "C.make", ([1, 2],))
    assert (named.kwargs, named.weights) == ({"name": "x=(1)", "flag": None}, Path("../d=1/w.pth"))


def test_numbers_as_numpy_1_named_them(nets: Space) -> None:
    net = network(nets)
    torch.save({"net": net.state_dict(), "acc": np.float64(0.9)}, "w.pth", _use_new_zipfile_serialization=False)
    content = Path("w.pth").read_bytes()
    assert b"numpy._core.multiarray" in content
    Path("w.pth").write_bytes(content.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    np.testing.assert_allclose(answered("torch:my_nets.small:Net=w.pth"), expected(net), atol=1e-6)
