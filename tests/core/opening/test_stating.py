"""Single fields that a user states replace those of the contract that was found, or are one."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core.contract import Contract, Contracts
from cae_core.errors import ContractError
from cae_core.opening import stating
from cae_core.opening.stating import changed_contract, stated_contract, stated_for_many

WHOLE = 'layout="NCHW", range=[0,1], output="logits", mean=[0.5]'
PLAIN = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")


def test_nothing_stated_is_no_contract() -> None:
    assert stated_contract("m.onnx") is None
    assert stated_for_many() is None


def test_fields_replace_those_of_the_contract_that_is_given() -> None:
    found = stated_contract("m.onnx", WHOLE, {"range": [0, 255], "output_name": "y"})
    assert found == PLAIN.replace(range=(0.0, 255.0), mean=(0.5,), output_name="y")


def test_fields_replace_those_of_the_contract_that_the_model_carries(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    def carried(spec: str, **options: object) -> Contract:
        asked.append(spec)
        return PLAIN

    monkeypatch.setattr(stating, "carried_contract", carried)
    assert stated_contract("m.onnx", None, {"layout": "NHWC"}) == PLAIN.replace(layout="NHWC")
    assert stated_contract("m.onnx", WHOLE) is not None
    assert asked == ["m.onnx"]  # not where a contract is given


def test_fields_alone_are_a_contract_where_they_say_enough() -> None:
    assert changed_contract(None, {"layout": "NCHW", "range": [0, 1], "output": "logits"}) == PLAIN
    with pytest.raises(ContractError, match="does not say range, output"):
        changed_contract(None, {"layout": "NCHW"})


def test_one_way_to_say_it_replaces_the_other() -> None:
    image = np.zeros((2, 2, 3), np.float32)
    before = PLAIN.replace(mean_image=image, classes=(1, 0))
    assert changed_contract(before, {"range": [0, 2]}).mean_image is image
    assert changed_contract(before, {"mean": [0.5]}) == PLAIN.replace(mean=(0.5,), classes=(1, 0))
    assert changed_contract(before, {"class_names": ["a", "b"]}).classes is None


def test_several_models_by_patterns(tmp_path: Path) -> None:
    path = tmp_path / "c.toml"
    path.write_text(f'[[contract]]\nfiles = "a*"\n{WHOLE.replace(", ", chr(10))}\n')
    found = stated_for_many(str(path), {"range": [0, 255]})
    assert isinstance(found, Contracts)
    assert found.of(tmp_path / "a.onnx") == PLAIN.replace(range=(0.0, 255.0), mean=(0.5,))
    assert found.of(tmp_path / "b.onnx") is None
