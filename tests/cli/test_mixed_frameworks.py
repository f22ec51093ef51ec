"""One generation over Keras, torch and ONNX models: the same weights give the same search in one framework or three."""

import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

from cae_backends.datasets import open_data
from cae_backends.tensorflow.model import TensorflowModel
from cae_backends.tensorflow.runtime import load_keras
from cae_backends.torch.model import TorchModel
from cae_converters.conversion import convert
from cae_core.arrays import Floats64
from cae_core.fingerprint.file import load_fingerprint
from cae_core.generation.generate import generate
from cae_core.generation.run_state import RunState
from cae_core.generation.search import Search
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.white_boxes import open_white_boxes
from cae_core.pool.manifest import PoolMember
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import GenerationMembers, collect_members
from tests.cli.conftest import Outcome, Pool, Run

SIDECAR = 'layout = "NHWC"\nrange = [0, 1]\noutput = "probabilities"\n'


def write_keras(source: Path, target: Path) -> None:
    """Write the perceptron in an ONNX file of the tests as a Keras model that ends in a softmax."""
    keras = load_keras()
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(source).graph.initializer}
    layers = [
        keras.Input((8, 8, 1)),
        keras.layers.Flatten(),
        keras.layers.Dense(weights["b0"].size, activation="relu"),
        keras.layers.Dense(weights["b1"].size, activation="softmax"),
    ]
    model = keras.Sequential(layers)
    model.set_weights([weights["w0"], weights["b0"], weights["w1"], weights["b1"]])
    target.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="__array__", category=DeprecationWarning)  # Keras under NumPy 2
        model.save(target)
    target.with_suffix(".toml").write_text(SIDECAR)


@pytest.fixture(scope="module")
def mixed(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """The models of the pool with the same weights: a Keras source, torch surrogates, Keras and ONNX references."""
    made = Pool(tmp_path_factory.mktemp("mixed"))
    write_keras(pool.source, made.keras_source)
    for path in sorted(pool.surrogates.iterdir()):
        made.surrogates.mkdir(exist_ok=True)
        convert(path, made.surrogates / f"{path.stem}.pt2")
    for place, path in enumerate(sorted(pool.references.iterdir())):
        if place % 2:
            write_keras(path, made.references / f"{path.stem}.keras")
        else:
            made.references.mkdir(exist_ok=True)
            (made.references / path.name).write_bytes(path.read_bytes())
    return made


def members(pool: Pool, source: Path) -> GenerationMembers:
    return GenerationMembers(
        source=PoolMember(path=source, role="source", relation="source"),
        surrogates=collect_members([pool.surrogates], relation="surrogate", role="generate", trusted=True),
        references=collect_members([pool.references], relation="reference", role="generate"),
    )


SETTINGS = GenerationSettings.from_preset("perturbed", eps=48 / 255, count=20, iterations=30, tau=0.5)


def search(pool: Pool, source: Path) -> tuple[list[Floats64], Any, Sequence[Any]]:
    """Return the objective's values at each step, the result, and the models."""
    white_boxes = open_white_boxes(members(pool, source), opened=OpenPool(device="cpu", foreign=lambda _: False))
    curve: list[Floats64] = []
    step = Search.step

    def recorded(search: Search, state: RunState) -> tuple[RunState, Floats64]:
        moved, values = step(search, state)
        curve.append(values)
        return moved, values

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Search, "step", recorded)
        provenance: dict[str, Any] = {"source": {}, "surrogates": [], "references": []}
        result = generate(white_boxes, open_data("digits", split="test"), SETTINGS, provenance=provenance)
    return curve, result, white_boxes.models


def test_the_mixed_search_is_the_search_in_one_framework(pool: Pool, mixed: Pool) -> None:
    curve, result, models = search(mixed, mixed.keras_source)
    expected_curve, expected, expected_models = search(pool, pool.source)
    assert {type(model) for model in models} == {TensorflowModel, TorchModel}
    assert {type(model) for model in expected_models} == {TorchModel}
    assert len(curve) == len(expected_curve)
    for values, expected_values in zip(curve, expected_curve, strict=True):
        np.testing.assert_allclose(values, expected_values, rtol=1e-4, atol=1e-4)
    assert np.ptp(np.concatenate([values[:5] for values in curve])) > 1  # the curves do move
    found, wanted = result.fingerprint, expected.fingerprint
    np.testing.assert_array_equal(found.seeds, wanted.seeds)
    np.testing.assert_array_equal(found.labels, wanted.labels)
    np.testing.assert_array_equal(found.steps, wanted.steps)
    assert levels(found.images, wanted.images) <= 1
    np.testing.assert_allclose(found.conferrability, wanted.conferrability, atol=1e-3)


def levels(found: NDArray[np.uint8], expected: NDArray[np.uint8]) -> int:
    return int(np.abs(found.astype(int) - expected).max())


def test_one_command_takes_models_of_three_frameworks(pool: Pool, mixed: Pool, tmp_path: Path, run_cae: Run) -> None:
    def arguments(made: Pool, source: Path, output: Path) -> list[str]:
        return made.generate_arguments(output, "--source", str(source), "--trusted", "--json")

    outcome: Outcome = run_cae(*arguments(mixed, mixed.keras_source, tmp_path / "mixed.safetensors"))
    assert outcome.code == 0, outcome.err
    assert outcome.err == ""
    assert outcome.json()["examples"] == 20
    assert run_cae(*arguments(pool, pool.source, tmp_path / "single.safetensors")).code == 0
    found, wanted = (load_fingerprint(tmp_path / f"{name}.safetensors") for name in ("mixed", "single"))
    np.testing.assert_array_equal(found.seeds, wanted.seeds)
    np.testing.assert_array_equal(found.labels, wanted.labels)
    assert levels(found.images, wanted.images) <= 1
    names = [member["name"] for member in found.generation["references"]]
    assert names == [member["name"] for member in wanted.generation["references"]]


def test_a_keras_suspect_is_verified_as_its_onnx_file_is(
    pool: Pool, fingerprint: Path, tmp_path: Path, run_cae: Run
) -> None:
    suspect = tmp_path / "copy.keras"
    write_keras(pool.copy, suspect)
    verdicts = [
        run_cae("verify", "-s", path, "-f", fingerprint, "--nonce", "00", "--json").json()
        for path in (suspect, pool.copy)
    ]
    assert verdicts[0]["verdict"] == verdicts[1]["verdict"] == "surrogate"
    assert verdicts[0]["matches"] == verdicts[1]["matches"]
