"""What Keras files and SavedModels say of their tensors, and one model that is asked by several contracts."""

from pathlib import Path

import numpy as np
import pytest

from cae_backends.tensorflow import LOADER
from cae_backends.tensorflow.opening import open_tensorflow
from cae_backends.tensorflow.runtime import load_keras, load_tensorflow
from cae_core.contract import Contract
from cae_core.errors import ContractError
from cae_core.opening.party import Party
from tests.backends.keras_nets import saving

tf, keras = load_tensorflow(), load_keras()
BYTES = Contract(layout="NHWC", range=(0, 255), output="probabilities")
UNIT = BYTES.replace(range=(0, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("signatures")
    image = keras.Input((8, 8, 3))
    net = keras.Model(image, keras.layers.Dense(5, activation="softmax")(keras.layers.Flatten()(image)))
    with saving():
        net.save(made / "m.keras")
        net.export(made / "m", verbose=False)
    return made


def test_a_keras_file_says_its_tensors_and_its_ending(folder: Path) -> None:
    found = LOADER.signature(str(folder / "m.keras"))
    assert (found.inputs[0].shape, found.inputs[0].dtype) == ((None, 8, 8, 3), "float32")
    assert (found.outputs[0].shape, found.outputs[0].ending) == ((None, 5), "softmax")


def test_a_saved_model_says_its_input_and_its_ending(folder: Path) -> None:
    found = LOADER.signature(str(folder / "m"))
    assert found.inputs[0].shape == (None, 8, 8, 3)
    assert (found.outputs[0].shape, found.outputs[0].ending) == (None, "softmax")


@pytest.mark.parametrize("name", ["m.keras", "m"])
def test_one_open_model_is_asked_by_another_contract(folder: Path, name: str) -> None:
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), np.uint8)
    spec = str(folder / name)
    by_bytes = open_tensorflow(Path(spec), contract=BYTES, device="cpu")
    again = by_bytes.by_contract(UNIT)
    afresh = LOADER.open(spec, contract=UNIT, device="cpu")
    for model, expected in ((again, afresh), (by_bytes, LOADER.open(spec, contract=BYTES, device="cpu"))):
        told, wanted = model.predict(images).probabilities, expected.predict(images).probabilities
        assert told is not None
        np.testing.assert_array_equal(told, wanted)
    unlike = [model.predict(images).probabilities for model in (again, by_bytes)]
    assert unlike[0] is not None
    assert unlike[1] is not None
    assert not np.allclose(unlike[0], unlike[1], atol=1e-3)
    with pytest.raises(ContractError, match="ends in a softmax"):
        by_bytes.by_contract(UNIT.replace(output="logits"))


@pytest.mark.long
def test_the_party_s_process_reads_a_file_once(folder: Path) -> None:
    """The second contract is answered by the model that is open: the file says something else by then."""
    images = np.random.default_rng(0).integers(0, 256, (9, 8, 8, 3), np.uint8)
    path = folder / "changed.keras"
    path.write_bytes((folder / "m.keras").read_bytes())
    expected = LOADER.open(str(path), contract=UNIT, device="cpu").predict(images).labels
    party = Party(device="cpu")
    try:
        first = party.black_box(str(path), contract=BYTES)
        path.write_bytes(b"no model")
        second = party.black_box(str(path), contract=UNIT, files=first.files)
        np.testing.assert_array_equal(second.model.predict(images).labels, expected)
    finally:
        party.end()
