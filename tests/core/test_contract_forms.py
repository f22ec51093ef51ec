"""Layouts without axes, whole numbers, one score, names of classes: against loops written independently."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_core.contract import Contract, Task, contract_from_metadata, fitted, metadata_of, parse_contract
from cae_core.errors import ContractError, ModelError

PLAIN: dict[str, Any] = {"layout": "NHWC", "range": (0.0, 1.0), "output": "logits"}


def contract(**fields: Any) -> Contract:  # noqa: ANN401 - the fields have different types
    return Contract(**(PLAIN | fields))


def pixels(shape: tuple[int, ...], seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def row_of(image: NDArray[np.uint8], *, channels_first: bool) -> list[float]:
    """One image as a row of numbers, by three loops."""
    height, width, channels = image.shape
    places = (
        [(i, j, c) for c in range(channels) for i in range(height) for j in range(width)]
        if channels_first
        else [(i, j, c) for i in range(height) for j in range(width) for c in range(channels)]
    )
    return [float(image[place]) / 255 for place in places]


@pytest.mark.parametrize("layout", ["FLAT", "FLAT_NCHW"])
def test_a_flat_row_has_the_pixels_in_the_order_of_its_name(layout: str) -> None:
    images = pixels((2, 3, 4, 3))
    made = contract(layout=layout).to_input(images)
    expected = [row_of(image, channels_first=layout == "FLAT_NCHW") for image in images]
    np.testing.assert_allclose(made, expected, rtol=1e-6)


def test_an_image_without_an_axis_of_channels() -> None:
    images = pixels((2, 3, 4, 1))
    np.testing.assert_array_equal(contract(layout="HW").to_input(images), contract().to_input(images)[..., 0])
    with pytest.raises(ContractError, match='layout = "NHWC"'):
        contract(layout="HW").to_input(pixels((2, 3, 4, 3)))


@pytest.mark.parametrize("layout", ["NHWC", "NCHW", "HW", "FLAT", "FLAT_NCHW"])
def test_pull_back_is_the_adjoint_in_every_layout(layout: str) -> None:
    colours = 1 if layout == "HW" else 3
    made = contract(layout=layout, size=(7, 4), resize="bilinear", range=(-1.0, 1.0), std=(0.5,))
    x, u = (np.random.default_rng(seed).random((2, 5, 6, colours), np.float32) for seed in (0, 1))
    change = made.to_input(x + u).astype(np.float64) - made.to_input(x)
    v = np.random.default_rng(2).standard_normal(change.shape).astype(np.float32)
    assert float((v * change).sum()) == pytest.approx(float((made.pull_back(v, x.shape) * u).sum()), rel=1e-3)


@pytest.mark.parametrize(
    ("layout", "made", "wanted", "expected"),
    [
        ("FLAT", (784,), (784,), (784,)),
        ("FLAT", (784,), (784, 1), (784, 1)),
        ("FLAT", (784,), (1, 28, 28), (1, 28, 28)),
        ("FLAT", (784,), ("n", 1), (784, 1)),
        ("FLAT", (784,), (783,), None),
        ("FLAT", (784,), (783, None), None),
        ("FLAT", (784,), (None, None), None),
        ("FLAT", (784,), (), None),
        ("HW", (28, 28), (28, None), (28, 28)),
        ("HW", (28, 28), (28, 28, 1), (28, 28, 1)),
        ("NHWC", (28, 28, 1), (28, 28), None),
        ("NHWC", (28, 28, 1), (None, "w", 1), (28, 28, 1)),
        ("NCHW", (3, 28, 28), (1, 28, 28), None),
    ],
)
def test_only_a_tensor_without_axes_is_reshaped(
    layout: str, made: tuple[int, ...], wanted: tuple[int | str | None, ...], expected: tuple[int, ...] | None
) -> None:
    assert fitted(layout, made, wanted) == expected


class TestIntegers:
    """A whole number q stands for scale * (q - zero_point)."""

    @pytest.mark.parametrize(
        ("dtype", "least", "most"), [("uint8", 0, 255), ("int8", -128, 127), ("int16", -(2**15), 2**15 - 1)]
    )
    def test_a_scale_and_a_zero_point(self, dtype: str, least: int, most: int) -> None:
        made = contract(dtype=dtype, scale=1 / 64, zero_point=least + 3, range=(-2.0, 3.0)).to_input(
            np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
        )
        real = [Fraction(value, 255) * 5 - 2 for value in range(256)]
        expected = [min(max(round(value * 64) + least + 3, least), most) for value in real]
        assert made.dtype == dtype
        assert np.abs(made.reshape(-1).astype(int) - expected).max() <= 1  # where float32 sees another half
        assert (made.reshape(-1) == expected).mean() > 0.98

    def test_without_a_scale_the_range_has_the_numbers(self) -> None:
        made = contract(dtype="int8", range=(-128.0, 127.0)).to_input(
            np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
        )
        assert made.reshape(-1).tolist() == list(range(-128, 128))

    @pytest.mark.parametrize(
        "wrong",
        [
            {"dtype": "uint8", "range": (0.0, 1.0)},
            {"dtype": "int8", "range": (0.0, 255.0)},
            {"dtype": "uint8", "range": (0.0, 255.0), "mean": (1.0,)},
            {"dtype": "uint8", "range": (0.0, 255.0), "zero_point": 3},
            {"dtype": "uint8", "scale": 0.0},
            {"dtype": "uint8", "scale": float("nan")},
            {"dtype": "uint8", "scale": 0.1, "zero_point": 256},
            {"scale": 0.1},
            {"zero_point": 1},
            {"dtype": "bool"},
            {"dtype": "uint32"},
        ],
    )
    def test_what_loses_the_image_is_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ContractError):
            contract(**wrong)

    def test_integers_for_probabilities_are_shares_of_the_types_range(self) -> None:
        told = contract(output="probabilities")
        for scores in (np.array([[64, 192]], np.uint8), np.array([[-64, 64]], np.int8)):
            found = told.to_predictions(scores)
            assert found.labels.tolist() == [1]
            assert found.probabilities is not None
            np.testing.assert_allclose(found.probabilities, [[0.25, 0.75]])

    def test_integers_for_logits_tell_labels_only(self) -> None:
        found = contract().to_predictions(np.array([[-3, 5, 1]], np.int8))
        assert found.labels.tolist() == [1]
        assert found.probabilities is None


class TestOneScore:
    """One score is that of the second of two classes."""

    def test_a_probability(self) -> None:
        found = contract(output="probabilities").to_predictions(np.array([[0.25], [0.75]], np.float32))
        assert found.labels.tolist() == [0, 1]
        np.testing.assert_allclose(found.probabilities, [[0.75, 0.25], [0.25, 0.75]])  # type: ignore[arg-type]

    def test_a_logit(self) -> None:
        found = contract().to_predictions(np.array([[-np.log(3)], [np.log(3)]], np.float32))
        np.testing.assert_allclose(found.probabilities, [[0.75, 0.25], [0.25, 0.75]], rtol=1e-6)  # type: ignore[arg-type]

    def test_a_class_map_turns_them(self) -> None:
        told = contract(output="probabilities", classes=(1, 0))
        assert told.to_predictions(np.array([[0.25], [0.75]], np.float32)).labels.tolist() == [1, 0]


class TestNames:
    """The classes of the outputs by what the data call them."""

    TASK = Task(classes=3, names=("cat", "dog", "frog"))

    def test_they_become_the_data_sets_numbers(self) -> None:
        told = contract(class_names=("frog", "bird", "cat", "dog")).for_task(self.TASK)
        assert told.classes == (2, -1, 0, 1)
        scores = np.array([[0.1, 9.0, 0.3, 0.2]], np.float32)
        assert told.to_predictions(scores).labels.tolist() == [0]

    def test_numbers_are_names_too(self) -> None:
        assert contract(class_names=("1", "0")).for_task(Task(classes=2)).classes == (1, 0)

    def test_a_class_that_is_not_named_is_refused(self) -> None:
        with pytest.raises(ContractError, match="the data have a class 'dog'"):
            contract(class_names=("cat", "Dog", "frog")).for_task(self.TASK)
        with pytest.raises(ContractError, match="a class called 2"):
            contract(class_names=("0", "1")).for_task(Task(classes=3))

    def test_nobody_is_asked_before_the_names_are_known(self) -> None:
        told = contract(class_names=("cat", "dog"))
        assert told.for_task(None) is told
        for output, answer in (("logits", np.zeros((1, 2), np.float32)), ("labels", np.array([1]))):
            with pytest.raises(ContractError, match="is not known here"):
                told.replace(output=output).to_predictions(answer)

    def test_a_map_by_number_goes_before(self) -> None:
        told = contract(class_names=("cat", "dog"), classes=(1, 0))
        assert told.for_task(self.TASK) is told

    @pytest.mark.parametrize("kind", ["object", "U", "S"])
    def test_labels_in_words(self, kind: str) -> None:
        told = contract(output="labels", class_names=("frog", "cat", "dog")).for_task(self.TASK)
        assert told.to_predictions(np.array(["dog", "frog", "cow"], kind)).labels.tolist() == [1, 2, -1]
        with pytest.raises(ContractError, match="answers names of classes, such as 'dog'"):
            contract(output="labels").to_predictions(np.array(["dog"], kind))

    def test_the_number_of_classes(self) -> None:
        self.TASK.check_count(3, "m.onnx")
        with pytest.raises(ModelError, match=r"m\.onnx: answers with 4 classes and the fingerprint has 3"):
            self.TASK.check_count(4, "m.onnx")

    @pytest.mark.parametrize(
        "wrong",
        [
            {"class_names": ("a",)},
            {"class_names": ("a", "a")},
            {"class_names": ("a", "")},
            {"class_names": ("a", "b"), "classes": (0, 1, 2)},
            {"output_name": ""},
            {"output_name": 3},
            {"input": 3},
        ],
    )
    def test_malformed_names_are_refused(self, wrong: dict[str, Any]) -> None:
        with pytest.raises(ContractError):
            contract(**wrong)


@pytest.mark.parametrize("wrong", [{"zero_point": 0.5}, {"zero_point": "1"}, {"scale": "wide"}, {"scale": [0.5]}])
def test_a_number_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    table = {**contract(dtype="int8", scale=0.25, zero_point=-3).table(), **wrong}
    with pytest.raises(ContractError, match=r"^c\.toml: the contract is malformed"):
        parse_contract(table, origin="c.toml")


FURTHER = [
    contract(layout="FLAT_NCHW", dtype="int8", scale=0.25, zero_point=-3, output_name="scores"),
    contract(layout="HW", class_names=("a", "b"), dtype="float64"),
]


@pytest.mark.parametrize("told", FURTHER)
def test_the_new_fields_travel(told: Contract) -> None:
    assert contract_from_metadata(metadata_of(told), origin="x") == told
    assert parse_contract(told.table(), origin="x") == told
    assert parse_contract(told.table(), origin="x").digest == told.digest


def test_contracts_of_before_have_the_digests_of_before() -> None:
    """Written down from the release in which a contract had no such fields."""
    plain = contract(range=(0.0, 255.0))
    full = Contract(
        layout="NCHW", range=(0, 1), output="labels", channels="BGR", size=(8, 8), resize="nearest", mean=(0.5,),
        std=(0.25,), classes=(1, 0), input="x",
    )  # fmt: skip
    assert plain.digest == "759dbf000e26e3bbf4d21b831598068c35a66f3ec3f5d521d2949611298f1dac"
    assert full.digest == "35b95ec9729355592d8e37062c0de04fb6af71b05ac6568b2a0807dde3b0c2fd"
    assert len({plain.digest, *(told.digest for told in FURTHER)}) == 3
