"""Exported torch programs: opening one runs what stands in it, so another party's is never opened."""

import contextlib
import json
import os
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cae_backends.torch.forms import is_torchscript
from cae_converters.conversion import convert
from cae_core.arrays import as_unit_float
from cae_core.contract import Contract
from cae_core.errors import ContractError, ModelError, PoolError
from cae_core.generation.ensembles import build_ensemble
from cae_core.loaders import is_model, runs_code
from cae_core.opening.opened import open_model
from cae_core.pool.manifest import parse_member
from cae_core.pool.members import OpenPool, open_member
from cae_core.pool.roles import collect_members
from cae_core.testing import check_differentiable, check_model

pytestmark = [pytest.mark.hostile, pytest.mark.usefixtures("one_thread")]

NCHW = Contract(layout="NCHW", range=(0.0, 1.0), output="logits", size=(8, 8), channels="RGB")
IMAGES = np.random.default_rng(0).integers(0, 256, (4, 8, 8, 3), dtype=np.uint8)


def export(net: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        dynamic = ({0: torch.export.Dim("n")},)
        torch.export.save(torch.export.export(net, (torch.rand(2, 3, 8, 8),), dynamic_shapes=dynamic), path)
    return path


def network(*, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    parts = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Dropout(dropout), nn.Flatten(), nn.Linear(144, 5)]
    return nn.Sequential(*parts).eval()


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export(network(), tmp_path_factory.mktemp("honest") / "m.pt2")


def edited(source: Path, target: Path, change: Callable[[str, bytes], bytes], extra: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(source) as given, zipfile.ZipFile(target, "w") as written:
        folder = given.namelist()[0].partition("/")[0]
        for name in given.namelist():
            if name.removeprefix(f"{folder}/") in extra:
                continue
            written.writestr(name, change(name, given.read(name)))
        for name, content in extra.items():
            written.writestr(f"{folder}/{name}", content)
    return target


def hostile_files(honest: Path, folder: Path, canary: Path) -> dict[str, Path]:
    """Programs with code in every place that torch evaluates, unpickles, imports or loads."""
    code = f"__import__('pathlib').Path({str(canary)!r}).touch()"

    def told(field: str) -> Callable[[str, bytes], bytes]:
        def change(name: str, content: bytes) -> bytes:
            if not name.endswith("models/model.json"):
                return content
            graph = json.loads(content)
            if field == "guards":
                graph["guards_code"] = [code]
            if field == "symbols":
                values = graph["graph_module"]["graph"]["tensor_values"]
                size = next(v["sizes"][0]["as_expr"] for v in values.values() if "as_expr" in v["sizes"][0])
                size["expr_str"] = f"({code} and 0) or {size['expr_str']}"
            if field == "opaque":
                graph["graph_module"]["signature"]["input_specs"].append({"custom_obj": {"custom_obj_name": "o"}})
            if field == "treespec":
                calls = graph["graph_module"]["module_call_graph"][0]["signature"]
                calls["in_spec"] = json.dumps([1, {"type": "os.system", "context": code, "children_spec": []}])
            return json.dumps(graph).encode()

        return change

    same = lambda _name, content: content  # noqa: E731 - the archive as it is
    pickled = b"cposix\nsystem\n(S'touch " + str(canary).encode() + b"'\ntR."
    return {
        "guards": edited(honest, folder / "guards.pt2", told("guards"), {}),
        "symbols": edited(honest, folder / "symbols.pt2", told("symbols"), {}),
        "treespec": edited(honest, folder / "treespec.pt2", told("treespec"), {}),
        "opaque constant": edited(
            honest, folder / "opaque.pt2", told("opaque"), {"data/constants/opaque_obj_0": pickled}
        ),
        "compiled code": edited(honest, folder / "so.pt2", same, {"data/aotinductor/model/x.so": b"\x7fELF"}),
        "pickled weights": edited(honest, folder / "pickle.pt2", same, {"data/weights/weight_0": pickled}),
    }


@pytest.mark.parametrize("gradients", [False, True])
def test_what_another_party_wrote_is_not_opened_in_any_role(honest: Path, tmp_path: Path, gradients: bool) -> None:  # noqa: FBT001
    canary = tmp_path / "canary"
    files = hostile_files(honest, tmp_path, canary)
    for path in (honest, *files.values()):
        with pytest.raises(ModelError, match=r"runs whatever code stands in it.*ONNX export.*--trusted"):
            open_model(str(path), gradients=gradients, contract=NCHW, device="cpu")  # type: ignore[call-overload]
        (bare,) = collect_members([path], relation="surrogate", role="generate")
        with pytest.raises(ModelError, match="runs whatever code"):
            (OpenPool().open_white_box if gradients else open_member)(bare)
    assert not canary.exists()


def test_ones_own_is_opened_with_consent(honest: Path) -> None:
    assert runs_code(honest)
    model = open_model(str(honest), gradients=True, contract=NCHW, device="cpu", trusted=True)
    net = network()
    with torch.no_grad():
        expected = net(torch.tensor(IMAGES).permute(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(model.vjp(as_unit_float(IMAGES))[0], expected.numpy(), atol=1e-5)
    (member,) = collect_members([honest], relation="surrogate", role="generate", trusted=True)
    assert member.trusted


def test_the_canary_would_sing(honest: Path, tmp_path: Path) -> None:
    """What consent means: torch runs the code of the file."""
    with zipfile.ZipFile(honest) as archive:
        if not any(name.endswith("models/model.json") for name in archive.namelist()):
            pytest.skip("this torch writes archives of another form")
    canary = tmp_path / "canary"
    hostile = hostile_files(honest, tmp_path, canary)["symbols"]
    with contextlib.suppress(ModelError):
        open_model(str(hostile), contract=NCHW, device="cpu", trusted=True)
    assert canary.exists()


def test_a_manifest_trusts_one_file_and_no_other(honest: Path, tmp_path: Path) -> None:
    copy = tmp_path / "m.pt2"
    copy.write_bytes(honest.read_bytes())
    contract = {"layout": "NCHW", "range": [0, 1], "output": "logits"}
    row = {"path": "m.pt2", "role": "test", "relation": "surrogate", "contract": contract, "trusted": True}
    with pytest.raises(PoolError, match="trusted = true is said of one file, so its sha256 must stand beside it"):
        parse_member(row, tmp_path / "pool.toml")
    with pytest.raises(PoolError, match="trusted cannot be 'yes'"):
        parse_member(row | {"trusted": "yes"}, tmp_path / "pool.toml")
    digest = parse_member({k: v for k, v in row.items() if k != "trusted"}, tmp_path / "pool.toml").digest()
    member = parse_member(row | {"sha256": digest}, tmp_path / "pool.toml")
    open_member(member, device="cpu")
    export(network(dropout=0.1), copy)
    with pytest.raises(PoolError, match="the file has changed since the manifest was written"):
        open_member(member, device="cpu")


def test_a_program_in_training_mode_is_refused(tmp_path: Path) -> None:
    """Its dropout is drawn anew at every call."""
    for net, name in ((network(dropout=0.5).train(), "dropout"), (batch_norm().train(), "norm")):
        path = export(net, tmp_path / f"{name}.pt2")
        with pytest.raises(ModelError, match="left in training mode"):
            open_model(str(path), gradients=True, contract=NCHW, device="cpu", trusted=True)


def batch_norm() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5))


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".th", ".ckpt", ".bin", ".pkl"])
def test_pickled_files_get_the_way_out(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"m{suffix}"
    torch.save(network().state_dict(), path)
    for opened in (lambda: open_model(str(path)), lambda: convert(path, tmp_path / "m.onnx")):
        with pytest.raises(ModelError, match=r"pickled torch files are not opened.*torch\.onnx\.export"):
            opened()


def test_weights_alone_get_the_way_out(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").touch()
    with pytest.raises(ModelError, match=r"holds tensors alone.*torch:package\.module:Class"):
        open_model(str(tmp_path / "m.safetensors"))


def test_a_file_of_a_folder_names_the_folder(tmp_path: Path) -> None:
    path = tmp_path / "saved_model.pb"
    path.touch()
    for opened in (lambda: open_model(str(path)), lambda: convert(path, tmp_path / "m.onnx")):
        with pytest.raises(ModelError, match=rf"Give the folder that holds saved_model\.pb: {tmp_path}"):
            opened()


@pytest.mark.parametrize("batch", [1, 3])
def test_a_program_with_a_fixed_batch_is_asked_in_batches_of_its_size(tmp_path: Path, batch: int) -> None:
    net, path = network(), tmp_path / "m.pt2"
    torch.export.save(torch.export.export(net, (torch.rand(batch, 3, 8, 8),)), path)
    contract = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")  # size and channels stand in the file
    model = open_model(str(path), gradients=True, contract=contract, device="cpu", trusted=True)
    images = np.concatenate([IMAGES, IMAGES[:1]])
    x = (torch.tensor(images).permute(0, 3, 1, 2) / 255).requires_grad_()
    expected = net(x)
    logits, pullback = model.vjp(as_unit_float(images))
    np.testing.assert_allclose(logits, expected.detach().numpy(), atol=1e-5)
    upstream = torch.randn(expected.shape, generator=torch.Generator().manual_seed(1))
    (gradient,) = torch.autograd.grad(expected, x, upstream)
    np.testing.assert_allclose(pullback(upstream.numpy()), gradient.permute(0, 2, 3, 1).numpy(), atol=1e-5)
    np.testing.assert_array_equal(model.predict(images).labels, expected.detach().numpy().argmax(1))
    assert len(model.predict(images[:0]).labels) == 0
    with pytest.raises(ModelError, match=rf"{path}: the model fails on its input of shape \(5, 3, 9, 9\)"):
        model.predict(np.zeros((5, 9, 9, 3), np.uint8))


def test_the_template_of_a_program_shows_its_input(tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    torch.export.save(torch.export.export(network(), (torch.rand(1, 3, 8, 8),)), path)
    with pytest.raises(ContractError, match=r"(?s)float32 with shape \(1, 3, 8, 8\).*size = \[8, 8\]"):
        open_model(str(path), device="cpu", trusted=True)
    torch.export.save(torch.export.export(network(), (torch.rand(9000, 3, 8, 8),)), path)
    with pytest.raises(ModelError, match="takes 9000 images at a time"):
        open_model(str(path), contract=NCHW, device="cpu", trusted=True)


def scripted(net: nn.Module, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.trace(net, torch.rand(2, 3, 8, 8))  # type: ignore[no-untyped-call]
        torch.jit.save(program, path)
    return path


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".torchscript", ".PT"])
def test_torchscript_is_opened_with_consent(tmp_path: Path, suffix: str) -> None:
    path, net = scripted(network(), tmp_path / f"m{suffix}"), network()
    assert is_model(path)
    for gradients in (False, True):
        with pytest.raises(ModelError, match=rf"opening a {suffix.lower()} file runs whatever code.*--trusted"):
            open_model(str(path), gradients=gradients, contract=NCHW, device="cpu")
    model = open_model(str(path), gradients=True, contract=NCHW, device="cpu", trusted=True)
    check_model(model, IMAGES, classes=5)
    check_differentiable(model, IMAGES)
    with torch.no_grad():
        expected = net(torch.tensor(IMAGES).permute(0, 3, 1, 2) / 255)
    np.testing.assert_allclose(model.vjp(as_unit_float(IMAGES))[0], expected.numpy(), atol=1e-5)
    for precision, tolerance in (("float32", 1e-5), ("bfloat16", 0.02)):
        grouped = build_ensemble([model, model], precision=precision)  # type: ignore[arg-type] # literals
        told, _ = grouped.vjp(as_unit_float(IMAGES), np.array([True, True]))
        np.testing.assert_allclose(told[1], expected.numpy(), atol=tolerance)


def test_what_is_no_torchscript_is_said(tmp_path: Path) -> None:
    path = scripted(network(), tmp_path / "m.pt")
    path.write_bytes(path.read_bytes()[:-200])
    with pytest.raises(ModelError, match=r"m\.pt: (pickled|this TorchScript program cannot be loaded)"):
        open_model(str(path), contract=NCHW, device="cpu", trusted=True)
    other = tmp_path / "m.torchscript"
    other.write_bytes(b"PK\x03\x04" + b"/constants.pkl")
    with pytest.raises(ModelError, match=r"m\.torchscript: this TorchScript program cannot be loaded.*again\."):
        open_model(str(other), contract=NCHW, device="cpu", trusted=True)


def test_a_conversion_of_torchscript_does_not_speak_of_pickles(tmp_path: Path) -> None:
    path = scripted(network(), tmp_path / "m.pt")
    with pytest.raises(ModelError, match=r"cannot be converted to .*m\.onnx"):
        convert(path, tmp_path / "m.onnx")


def test_a_look_at_a_file_is_bounded_and_reads_no_pipe(tmp_path: Path) -> None:
    path = tmp_path / "m.pt"
    assert not is_torchscript(path)
    os.mkfifo(path)
    assert not is_torchscript(path)
    path.unlink()
    torch.save({"constants.pkl": torch.zeros(3)}, path)
    assert not is_torchscript(path)
    assert not is_model(path)
