"""One file with the contracts of several models: the last table that names a model is its."""

from pathlib import Path

import numpy as np
import pytest

from cae_backends.contract_files import find_sidecar, sidecar_files
from cae_core.contract import FOLDER_CONTRACTS, read_contract, read_contracts
from cae_core.errors import ContractError

SEVERAL = """
[[contract]]
files = "*.onnx"
layout = "NCHW"
range = [0, 1]
output = "logits"

[[contract]]
files = ["mobile*", "old/*"]
layout = "NHWC"
range = [0, 255]
output = "labels"
"""


@pytest.mark.parametrize(
    ("name", "layout"),
    [
        ("resnet.onnx", "NCHW"),
        ("mobilenet.onnx", "NHWC"),
        ("mobilenet.keras", "NHWC"),
        ("old/resnet.onnx", "NHWC"),
        ("new/resnet.onnx", "NCHW"),
        ("new/old/resnet.onnx", "NCHW"),
        ("resnet.keras", None),
        ("RESNET.ONNX", None),
    ],
)
def test_the_last_table_that_names_a_model_is_its(tmp_path: Path, name: str, layout: str | None) -> None:
    path = tmp_path / "contracts.toml"
    path.write_text(SEVERAL)
    found = read_contracts(str(path)).of(tmp_path / name)
    assert (found and found.layout) == layout


def test_one_contract_is_that_of_every_model(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(SEVERAL.split("[[contract]]")[1].replace('files = "*.onnx"', "[contract]"))
    for text in (str(path), 'layout="NCHW", range=[0,1], output="logits"'):
        assert read_contracts(text).of("anything/m.h5") == read_contract(text)


def test_where_one_is_wanted_several_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(SEVERAL)
    with pytest.raises(ContractError, match=r"contracts for several models, \[\[contract\]\], and here one is wanted"):
        read_contract(str(path))


FIELDS = 'layout = "NCHW"\nrange = [0, 1]\noutput = "logits"\n'


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (f"[[contract]]\n{FIELDS}", "says which models it is for"),
        (f"[[contract]]\nfiles = 3\n{FIELDS}", "says which models it is for"),
        (f"[[contract]]\nfiles = []\n{FIELDS}", "says which models it is for"),
        (f'[[contract]]\nfiles = ["a", 3]\n{FIELDS}', "says which models it is for"),
        (f'[[contract]]\nfiles = ""\n{FIELDS}', "says which models it is for"),
        (f'[[contract]]\nfiles = "{"*" * 1001}"\n{FIELDS}', "says which models it is for"),
        ('[[contract]]\nfiles = "*.onnx"\nlayout = "NCHW"\n', r"c\.toml \(\*\.onnx\): the contract does not say range"),
        ("contract = 3\n", "must be a table"),
        ("contract = [3]\n", "says which models it is for"),
        (f'[[contract]]\nfiles = "a"\n{FIELDS}' * 1001, "at most 1000 contracts; found 1001"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "c.toml"
    path.write_text(content)
    with pytest.raises(ContractError, match=message) as caught:
        read_contracts(str(path))
    assert str(caught.value).startswith(str(path))
    assert len(str(caught.value)) < 400


def test_a_folders_file_is_found_beside_its_models(tmp_path: Path) -> None:
    """A model's own file goes before it; what it names may be read, and nothing else."""
    np.save(tmp_path / "mean.npy", np.zeros((2, 2, 3), np.float32))
    shared = tmp_path / FOLDER_CONTRACTS
    shared.write_text(SEVERAL + 'mean_image = "mean.npy"\n')
    assert sidecar_files(tmp_path / "a.onnx") == (shared, tmp_path / "mean.npy")
    found = find_sidecar(tmp_path / "a.onnx")
    assert found is not None
    assert found.layout == "NCHW"
    assert find_sidecar(tmp_path / "a.keras") is None
    own = tmp_path / "a.toml"
    own.write_text(FIELDS.replace("NCHW", "HW"))
    assert sidecar_files(tmp_path / "a.onnx") == (own,)
    found = find_sidecar(tmp_path / "a.onnx")
    assert found is not None
    assert found.layout == "HW"
