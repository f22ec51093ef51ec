"""The input contract is affine with an exact adjoint; the output contract maps classes; nothing is guessed."""

import itertools
import math
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core.contract import (
    Contract,
    contract_from_metadata,
    files_named,
    metadata_of,
    parse_contract,
    read_contract,
)
from cae_core.errors import ContractError, DataError
from cae_core.files.digests import digest_of

PLAIN: dict[str, Any] = {"layout": "NHWC", "range": (0.0, 1.0), "output": "logits"}

CASES: Any = itertools.product(
    ("NHWC", "NCHW"),
    ((0.0, 1.0), (-1.0, 1.0), (0.0, 255.0)),
    ("RGB", "BGR"),
    ((None, None), ((7, 4), "bilinear"), ((3, 9), "bicubic-antialias")),
    ((None, None), ((0.4, 0.5, 0.3), (0.2, 0.3, 0.25)), ((0.5,), (0.5,))),
)
CONTRACTS = [
    Contract(
        layout=layout, range=range_, output="logits", channels=channels, size=size, resize=resize, mean=mean, std=std
    )
    for layout, range_, channels, (size, resize), (mean, std) in CASES
]


def random_images(seed: int, shape: tuple[int, ...] = (2, 5, 6, 3)) -> np.ndarray[Any, np.dtype[np.float32]]:
    return np.random.default_rng(seed).random(shape, np.float32)


@pytest.mark.parametrize("contract", CONTRACTS[::7])
def test_pull_back_is_the_adjoint(contract: Contract) -> None:
    x, u = random_images(0), random_images(1)
    change = contract.to_input(x + u).astype(np.float64) - contract.to_input(x)
    v = np.random.default_rng(2).standard_normal(change.shape).astype(np.float32)
    pulled = contract.pull_back(v, x.shape)
    assert pulled.shape == x.shape
    assert pulled.dtype == np.float32
    assert float((v * change).sum()) == pytest.approx(float((pulled * u).sum()), rel=1e-3, abs=1e-3)


def test_to_input_in_its_documented_order() -> None:
    contract = Contract(
        layout="NCHW", range=(0, 255), output="logits", channels="BGR", mean=(10, 20, 30), std=(1, 2, 5)
    )
    tensor = contract.to_input(np.array([51, 102, 153], np.uint8).reshape(1, 1, 1, 3))
    np.testing.assert_allclose(tensor.reshape(3), [153 - 10, (102 - 20) / 2, (51 - 30) / 5], rtol=1e-6)
    assert tensor.shape == (1, 3, 1, 1)


def test_grey_images_become_three_equal_channels_and_their_gradients_add() -> None:
    contract = Contract(**PLAIN, channels="RGB")
    x = random_images(0, (1, 2, 2, 1))
    np.testing.assert_array_equal(contract.to_input(x), np.repeat(x, 3, axis=3))
    np.testing.assert_array_equal(contract.pull_back(np.ones((1, 2, 2, 3), np.float32), x.shape), 3)


def test_a_mean_image_is_subtracted_in_the_units_of_the_range() -> None:
    mean_image = random_images(3, (5, 6, 3)) * 255
    contract = Contract(**{**PLAIN, "range": (0.0, 255.0)}, mean_image=mean_image, std=(2.0,))
    x = random_images(0)
    np.testing.assert_allclose(contract.to_input(x), (x * 255 - mean_image) / 2, rtol=1e-4, atol=1e-4)


def test_uint8_models_get_the_pixels_back() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    contract = Contract(layout="NHWC", range=(0.0, 255.0), output="logits", dtype="uint8")
    np.testing.assert_array_equal(contract.to_input(pixels), pixels)


def test_refuses_what_is_no_canonical_image() -> None:
    contract = Contract(**PLAIN)
    refused: list[Any] = [np.zeros((2, 2, 3), np.float32), np.zeros((1, 2, 2, 3)), np.zeros((1, 2, 2, 4), np.float32)]
    for wrong in refused:
        with pytest.raises(DataError):
            contract.to_input(wrong)


def test_refuses_a_size_without_a_rule() -> None:
    with pytest.raises(ContractError, match="Name a resize rule"):
        Contract(**PLAIN, size=(8, 8)).to_input(random_images(0))


def test_refuses_colour_images_for_a_grey_model() -> None:
    with pytest.raises(ContractError, match="GRAY"):
        Contract(**PLAIN, channels="GRAY").to_input(random_images(0))


@pytest.mark.parametrize(
    "wrong",
    [
        {"layout": "CHWN"},
        {"range": (1.0, 0.0)},
        {"output": "scores"},
        {"resize": "lanczos"},
        {"std": (0.0,)},
        {"mean": (0.5,), "mean_image": np.zeros((1, 1, 1), np.float32)},
        {"dtype": "uint8"},
        {"size": (1, 2, 3)},
        {"size": (0, 8)},
        {"size": (4097, 8)},
        {"range": (0.0, math.inf)},
        {"range": (math.nan, 1.0)},
        {"mean": (math.nan,)},
        {"mean": ()},
        {"std": (math.nan,)},
        {"std": (1e-300,)},
        {"std": ()},
        {"classes": ()},
        {"classes": (-1, -1)},
        {"classes": (0, -2)},
        {"classes": (0, 1 << 70)},
    ],
)
def test_refuses_malformed_fields(wrong: dict[str, Any]) -> None:
    with pytest.raises(ContractError):
        Contract(**{**PLAIN, **wrong})


def test_the_largest_size_and_the_widest_numbers_are_taken() -> None:
    contract = Contract(**{**PLAIN, "range": (-1e15, 1e15)}, size=(4096, 1), resize="nearest", std=(1e-15,))
    scale, shift = contract.affine(3)
    assert np.isfinite(scale).all()
    assert np.isfinite(shift).all()


def test_refuses_more_classes_than_the_model_has_outputs() -> None:
    with pytest.raises(ContractError, match="name 4 outputs and the model has 3"):
        Contract(**PLAIN, classes=(0, 1, 2, 3)).to_predictions(np.zeros((1, 3), np.float32))


def test_class_map_and_its_adjoint() -> None:
    contract = Contract(**PLAIN, classes=(2, -1, 0, 1))
    scores = np.array([[1.0, 9.0, 3.0, 2.0]], np.float32)
    assert contract.to_canonical(scores).tolist() == [[3.0, 2.0, 1.0]]
    assert contract.to_predictions(scores).labels.tolist() == [0]
    assert contract.from_canonical(np.array([[3.0, 2.0, 1.0]], np.float32), 4).tolist() == [[1.0, 0.0, 3.0, 2.0]]
    labels = Contract(**{**PLAIN, "output": "labels"}, classes=(2, -1, 0, 1))
    assert labels.to_predictions(np.array([0, 1, 2, 3, 4, -1])).labels.tolist() == [2, -1, 0, 1, -1, -1]


def test_a_class_map_of_many_classes_is_read_at_once() -> None:
    contract = Contract(**PLAIN, classes=tuple(range(100_000)))
    start = time.process_time()
    with pytest.raises(ContractError, match="name 100000 outputs and the model has 3"):
        contract.to_canonical(np.zeros((1, 3), np.float32))
    assert time.process_time() - start < 5


def test_refuses_a_class_map_that_names_a_class_twice() -> None:
    with pytest.raises(ContractError, match="once"):
        Contract(**PLAIN, classes=(0, 0, 1)).to_canonical(np.zeros((1, 3), np.float32))


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("output", ["logits", "probabilities"])
def test_an_answer_that_is_not_finite_is_no_answer(value: float, output: str) -> None:
    scores = np.array([[0.1, 0.9], [value, 0.5]], np.float32)
    assert Contract(**{**PLAIN, "output": output}).to_predictions(scores).labels.tolist() == [1, -1]


def test_huge_logits_give_finite_probabilities() -> None:
    found = Contract(**PLAIN).to_predictions(np.array([[1e4, -1e4, 1e4]], np.float32)).probabilities
    assert found is not None
    np.testing.assert_allclose(found, [[0.5, 0, 0.5]])


@pytest.mark.parametrize("contract", CONTRACTS[::5])
def test_metadata_round_trip(contract: Contract) -> None:
    assert contract_from_metadata(metadata_of(contract), origin="test") == contract


def test_metadata_without_a_contract_and_with_a_broken_one() -> None:
    assert contract_from_metadata({"author": "x", "cae.data": "digits"}, origin="test") is None
    with pytest.raises(ContractError, match="does not say range, output"):
        contract_from_metadata({"cae.layout": "NHWC"}, origin="model.onnx")
    with pytest.raises(ContractError, match=r"cae\.mean is malformed"):
        contract_from_metadata({"cae.mean": "[0.5"}, origin="model.onnx")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("size", "[30000, 30000]"), ("size", "[0, 0]"), ("size", "[1152921504606846976, 8]"), ("size", "{}"),
        ("size", "8"), ("size", "[" * 5000), ("size", "[NaN, 8]"), ("size", "[Infinity, 8]"),
        ("mean", "[" * 100_000), ("mean", "[[0.5]]"), ("mean", "NaN"), ("mean", "1e400"), ("mean", "null"),
        ("std", "[0.5, -1]"), ("std", '"wide"'), ("std", "9" * 5000), ("std", "[]"),
        ("classes", "9" * 5000), ("classes", "9" * 4000), ("classes", "[1e400]"), ("classes", "[]"),
        ("range", ""), ("range", "0"), ("range", "0..1..2"), ("range", "nan..1"), ("range", "0..1e400"),
        ("range", "black..white"), ("layout", "N" * 5000), ("channels", "\ud800"), ("dtype", ""),
    ],
)  # fmt: skip
def test_malformed_metadata_end_in_one_short_sentence(name: str, value: str) -> None:
    metadata = {**metadata_of(Contract(**PLAIN)), f"cae.{name}": value}
    with pytest.raises(ContractError, match=r"^model\.onnx: ") as caught:
        contract_from_metadata(metadata, origin="model.onnx")
    assert len(str(caught.value)) < 400


def test_metadata_do_not_name_a_file(tmp_path: Path) -> None:
    np.save(tmp_path / "mean.npy", np.ones((2, 2, 3), np.float32))
    metadata = {**metadata_of(Contract(**PLAIN)), "cae.mean_image": str(tmp_path / "mean.npy")}
    with pytest.raises(ContractError, match=r"cae\.mean_image, and a model cannot name files"):
        contract_from_metadata(metadata, origin="model.onnx")


def test_the_files_that_a_contract_names_are_files_beside_it(tmp_path: Path) -> None:
    path, image = tmp_path / "m.toml", tmp_path / "mean.npy"
    image.touch()
    (tmp_path / "folder").mkdir()
    named = {"mean.npy": (image,), "folder/../mean.npy": (image,)}
    for name in (*named, "../mean.npy", "folder", "none.npy", "n" * 5000, "n/" * 3000, "\\u0000", "/etc/passwd"):
        path.write_text(f'mean_image = "{name}"\n')
        assert files_named(path) == named.get(name, ()), name
    path.write_text("mean_image = 3\n")
    assert files_named(path) == files_named(tmp_path / "none.toml") == ()


def test_reading_a_file_and_a_mean_image_beside_it(tmp_path: Path) -> None:
    np.save(tmp_path / "mean.npy", np.ones((2, 2, 3), np.float64))
    path = tmp_path / "model.toml"
    path.write_text('[contract]\nlayout = "NCHW"\nrange = [0, 1]\noutput = "logits"\nmean_image = "mean.npy"\n')
    contract = read_contract(str(path))
    assert contract.layout == "NCHW"
    assert contract.mean_image is not None
    assert contract.mean_image.dtype == np.float32


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("missing.toml", "no such contract file"),
        ("layout = ", "not TOML"),
        ('layout = "NHWC"', "does not say range, output"),
        ('layout = "NHWC", range = [0, 1], output = "logits", colour = 1', "unknown contract field 'colour'"),
        ('layout = "NHWC", range = ["a", 1], output = "logits"', "malformed"),
    ],
)
def test_reading_names_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(ContractError, match=message):
        read_contract(text)


@pytest.mark.parametrize(
    "content",
    [
        b"# caf\xe9\n", b"contract = 5\n", b"contract = [1]\n", b"a = " + b"[" * 20_000, b"a = " + b"1" * 9000,
        b"#" * (1 << 20) + b"#", b"a." * 30_000 + b"a = 1\n",
        b'layout = "NHWC"\nrange = [0, 1]\noutput = "logits"\nsize = [inf, 8]\n',
        b'layout = "NHWC"\nrange = [0, 1]\noutput = "logits"\nmean_image = "m.npz"\n',
        b'layout = "NHWC"\nrange = [0, 1]\noutput = "logits"\nmean_image = "large.npy"\n',
        b'layout = "NHWC"\nrange = [0, 1]\noutput = "logits"\nmean_image = "\\u0000"\n',
        b"layout = 5\nrange = 5\noutput = 5\n", b"layout = []\nrange = [0, 1]\noutput = {}\n",
    ],
)  # fmt: skip
def test_an_odd_file_ends_in_one_sentence(tmp_path: Path, content: bytes) -> None:
    with (tmp_path / "m.npz").open("wb") as file:
        np.savez(file, a=np.zeros(3))
    header = "{'descr': '<f8', 'fortran_order': False, 'shape': (100000000000000,)}"
    (tmp_path / "large.npy").write_bytes(b"\x93NUMPY\x01\x00" + bytes([len(header), 0]) + header.encode())
    (tmp_path / "model.toml").write_bytes(content)
    with pytest.raises(ContractError) as caught:
        read_contract(str(tmp_path / "model.toml"))
    assert str(caught.value).startswith(str(tmp_path))
    assert len(str(caught.value)) < 500


def test_a_folder_may_have_a_sign_of_equality_in_its_name(tmp_path: Path) -> None:
    path = tmp_path / "rate=0.1" / "model.toml"
    path.parent.mkdir()
    path.write_text('layout = "NCHW"\nrange = [0, 1]\noutput = "logits"\n')
    assert read_contract(str(path)).layout == "NCHW"


def test_parsing_takes_one_value_for_all_channels() -> None:
    contract = parse_contract({**PLAIN, "mean": 0.5, "std": [0.25]}, origin="test")
    assert (contract.mean, contract.std) == ((0.5,), (0.25,))


def test_a_mean_image_lies_beside_its_contract(tmp_path: Path) -> None:
    """A contract that comes with a model may be another party's: it names no file elsewhere, and no pipe."""
    folder = tmp_path / "model"
    (folder / "inner").mkdir(parents=True)
    for place in (tmp_path, folder, folder / "inner"):
        np.save(place / "mean.npy", np.zeros((2, 2, 3), np.float32))
    os.mkfifo(folder / "pipe.npy")
    (folder / "link.npy").symlink_to(tmp_path / "mean.npy")
    table = {"layout": "NHWC", "range": [0, 1], "output": "logits"}
    for inside in ("mean.npy", "inner/mean.npy", "inner/../mean.npy"):
        assert parse_contract(table | {"mean_image": inside}, origin="m.toml", folder=folder).mean_image is not None
    for outside in ("../mean.npy", str(tmp_path / "mean.npy"), "link.npy"):
        with pytest.raises(ContractError, match="must lie in the contract's own folder"):
            parse_contract(table | {"mean_image": outside}, origin="m.toml", folder=folder)
    with pytest.raises(ContractError, match="must be a file"):
        parse_contract(table | {"mean_image": "pipe.npy"}, origin="m.toml", folder=folder)
    assert (
        parse_contract(table | {"mean_image": str(tmp_path / "mean.npy")}, origin="the option").mean_image is not None
    )


class TestDigest:
    """What a model was asked by, as records name it."""

    def test_it_is_that_of_the_canonical_json_of_the_table(self) -> None:
        contract = Contract(**{**PLAIN, "mean": (0.5,), "classes": (1, 0)})
        told = contract.table()
        assert told == {
            "layout": "NHWC",
            "range": [0.0, 1.0],
            "output": "logits",
            "dtype": "float32",
            "mean": [0.5],
            "classes": [1, 0],
        }
        assert contract.digest == digest_of(told)

    def test_equal_contracts_have_one_digest_however_they_are_written(self) -> None:
        written: Any = {"layout": "NHWC", "range": [0, 1], "output": "logits", "size": [8, 8], "std": 1}
        read = parse_contract(written, origin="x")
        assert read.digest == Contract(**{**PLAIN, "range": (0, 1), "size": (8, 8), "std": (1,)}).digest
        assert read.digest == contract_from_metadata(metadata_of(read), origin="x").digest  # type: ignore[union-attr]

    @pytest.mark.parametrize(
        "change",
        [
            {"range": (0.0, 255.0)},
            {"channels": "BGR"},
            {"mean": (0.1,)},
            {"mean_image": np.zeros((2, 2, 3), np.float32)},
            {"mean_image": np.ones((2, 2, 3), np.float32)},
            {"output": "labels"},
        ],
    )
    def test_another_contract_has_another_one(self, change: dict[str, Any]) -> None:
        others = [Contract(**PLAIN), Contract(**PLAIN, mean_image=np.full((2, 2, 3), 2, np.float32))]
        assert Contract(**{**PLAIN, **change}).digest not in [other.digest for other in others]
