"""Defences: what each does to an image or an answer, by itself and the same way every time."""

import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cae_core.arrays import Floats32, Images, as_unit_float
from cae_core.dataset import ImageSet
from cae_core.defences.images import median, reduced, resized, smoothed
from cae_core.defences.table import DEFENCES, accuracy_cost, check_defence, defended
from cae_core.errors import ModelError, OptionError
from cae_core.models import NO_ANSWER, Predictions
from cae_core.verification.options import VerificationOptions

ROOT = Path(__file__).parents[3]
IMAGES = np.random.default_rng(3).integers(0, 256, (24, 7, 9, 3), dtype=np.uint8)


@dataclass
class Seen:
    """Answers by the brightness of the first row, and keeps what it was given."""

    labels_only: bool = False
    contract: str = "the contract"
    runtime: str = "the runtime"
    at_once: int = 5

    def __post_init__(self) -> None:
        self.given: list[Images] = []

    def predict(self, images: Images) -> Predictions:
        self.given.append(images)
        scores = as_unit_float(images)[:, 0].mean(axis=2)[:, :4] + np.float32(0.01)
        probabilities = (scores / scores.sum(axis=1, keepdims=True)).astype(np.float32)
        labels = probabilities.argmax(axis=1).astype(np.int64)
        return Predictions(labels, None if self.labels_only else probabilities)


def given(spec: str, images: Images) -> Images:
    model = Seen()
    defended(model, spec).predict(images)
    return model.given[0]


@pytest.mark.parametrize("spec", ["jpeg:60", "bits:3", "smooth:0.8", "resize:0.7", "noise:0.1", "bits:3+noise:0.1"])
def test_each_image_is_changed_by_itself_and_always_alike(spec: str) -> None:
    together = given(spec, IMAGES)
    order = np.random.default_rng(0).permutation(len(IMAGES))
    assert together.dtype == np.uint8
    assert together.shape == IMAGES.shape
    assert (together != IMAGES).any(axis=(1, 2, 3)).all()
    np.testing.assert_array_equal(given(spec, IMAGES[order]), together[order])
    for place in (0, 7):
        np.testing.assert_array_equal(given(spec, IMAGES[place : place + 1])[0], together[place])
    floats = given(spec, as_unit_float(IMAGES))
    assert floats.dtype == np.float32
    assert 0 <= floats.min() <= floats.max() <= 1
    if "+" not in spec:  # of bytes the second one draws by what the first one has rounded
        np.testing.assert_array_equal(np.rint(floats * 255), together)


@pytest.mark.parametrize("name", DEFENCES)
def test_no_image_is_answered(name: str) -> None:
    spec = DEFENCES[name].example
    model = defended(Seen(), spec, open_model=lambda _: Seen())
    assert len(model.predict(IMAGES[:0]).labels) == 0


def test_bits_are_levels() -> None:
    expected = np.rint(IMAGES / 255 * 7) / 7
    np.testing.assert_array_equal(given("bits:3", IMAGES), np.rint(expected * 255).astype(np.uint8))
    np.testing.assert_array_equal(given("bits:8", IMAGES), IMAGES)
    assert len(np.unique(reduced(as_unit_float(IMAGES[0]), 1))) == 2


@pytest.mark.parametrize("sigma", [0.3, 1.0, 4.0])
def test_smoothing_is_a_gaussian(sigma: float) -> None:
    """The oracle is SciPy, whose mirror is called so; its radius is cut off where the image ends."""
    from scipy.ndimage import gaussian_filter

    image = as_unit_float(IMAGES[0])
    reach = min(int(np.ceil(3 * sigma)), 6)
    expected = gaussian_filter(image.astype(np.float64), (sigma, sigma, 0), mode="mirror", radius=(reach, reach, 0))
    np.testing.assert_allclose(smoothed(image, sigma), expected, atol=1e-6)


def test_the_median_is_of_four_neighbours() -> None:
    image = as_unit_float(IMAGES[1])
    found = median(image)
    for row, column, channel in ((0, 0, 0), (3, 4, 2), (6, 8, 1)):
        rows = [row, row + 1 if row < 6 else 5]
        columns = [column, column + 1 if column < 8 else 7]
        expected = np.median([image[y, x, channel] for y in rows for x in columns])
        assert found[row, column, channel] == pytest.approx(expected)


def test_a_resized_image_lies_on_black() -> None:
    places = set()
    for image in as_unit_float(IMAGES):
        inside = np.argwhere(resized(image, 0.5).any(axis=2))
        (top, left), (bottom, right) = inside.min(axis=0), inside.max(axis=0)
        assert (bottom - top + 1, right - left + 1) == (4, 4)
        places.add((int(top), int(left)))
    assert len(places) > 4
    np.testing.assert_allclose(resized(as_unit_float(IMAGES[0]), 1.0), as_unit_float(IMAGES[0]), atol=1e-6)


def test_noise_has_its_deviation() -> None:
    grey = np.full((40, 8, 8, 3), 0.5, np.float32) + np.linspace(0, 1e-3, 40, dtype=np.float32)[:, None, None, None]
    moved = given("noise:0.05", grey) - grey
    assert moved.std() == pytest.approx(0.05, rel=0.05)
    assert abs(np.corrcoef(moved[0].ravel(), moved[1].ravel())[0, 1]) < 0.3


@pytest.mark.parametrize("channels", [1, 3])
def test_jpeg_is_pillows(channels: int) -> None:
    images = IMAGES[:2, :, :, :channels]
    file = io.BytesIO()
    pixels = images[0, :, :, 0] if channels == 1 else images[0]
    Image.fromarray(pixels).save(file, "JPEG", quality=30)
    np.testing.assert_array_equal(given("jpeg:30", images)[0].reshape(pixels.shape), np.asarray(Image.open(file)))
    with pytest.raises(OptionError, match="jpeg takes images of 1 or 3 channels; found 2"):
        given("jpeg:30", IMAGES[:, :, :, :2])


def test_several_stand_in_their_order() -> None:
    first = given("noise:0.2", IMAGES)
    np.testing.assert_array_equal(given("noise:0.2+bits:2", IMAGES), given("bits:2", first))
    assert (given("bits:2+noise:0.2", IMAGES) != given("noise:0.2+bits:2", IMAGES)).any()


@dataclass
class Fixed:
    """Answers each image by a function of it."""

    scores: Floats32

    def predict(self, images: Images) -> Predictions:
        rows = np.repeat(self.scores[None], len(images), axis=0)
        return Predictions(np.full(len(images), self.scores.argmax(), np.int64), rows)


@pytest.mark.parametrize("labels_only", [False, True])
def test_squeezing_refuses_what_changes(labels_only: bool) -> None:  # noqa: FBT001
    """The oracle is the sum of differences by hand, of what the model answers to both squeezed images."""
    model = Seen(labels_only=labels_only)
    plain = model.predict(IMAGES)
    others = [
        model.predict(np.rint(np.rint(IMAGES / 255 * 15) / 15 * 255).astype(np.uint8)),
        model.predict(np.stack([np.rint(median(image) * 255).astype(np.uint8) for image in as_unit_float(IMAGES)])),
    ]
    if labels_only:
        odd = np.max([2.0 * (other.labels != plain.labels) for other in others], axis=0)
    else:
        assert plain.probabilities is not None
        rows = [other.probabilities for other in others if other.probabilities is not None]
        odd = np.max([np.abs(row - plain.probabilities).sum(axis=1) for row in rows], axis=0)
    limit = float(np.median(odd)) if not labels_only else 1.0
    told = defended(model, f"squeeze:{limit}").predict(IMAGES)
    assert 0 < (odd > limit).sum() < len(IMAGES)
    np.testing.assert_array_equal(told.labels == NO_ANSWER, odd > limit)
    np.testing.assert_array_equal(told.labels[odd <= limit], plain.labels[odd <= limit])
    if not labels_only:
        assert told.probabilities is not None
        np.testing.assert_array_equal(np.isnan(told.probabilities).all(axis=1), odd > limit)


def test_a_second_model_answers_what_looks_odd() -> None:
    model, opened = Seen(), list[str]()

    def second(path: str) -> Fixed:
        opened.append(path)
        return Fixed(np.array([0.1, 0.2, 0.3, 0.4], np.float32))

    plain = model.predict(IMAGES)
    told = defended(model, "second-model:a+b:c.onnx", open_model=second).predict(IMAGES)
    refused = defended(Seen(labels_only=True), "squeeze:1").predict(IMAGES).labels == NO_ANSWER
    assert opened == ["a+b:c.onnx"]
    assert refused.any()
    np.testing.assert_array_equal(told.labels, np.where(refused, 3, plain.labels))
    assert told.probabilities is not None
    np.testing.assert_allclose(told.probabilities[refused], [[0.1, 0.2, 0.3, 0.4]] * int(refused.sum()))
    with pytest.raises(ModelError, match="The second model tells 3 classes and the suspect 4"):
        defended(model, "second-model:x", open_model=lambda _: Fixed(np.ones(3, np.float32))).predict(IMAGES)


def test_random_answers_are_a_share_of_all_classes() -> None:
    many = np.random.default_rng(1).integers(0, 256, (2000, 2, 4, 1), dtype=np.uint8)
    plain, told = Seen().predict(many), defended(Seen(), "random:0.4").predict(many)
    other = told.labels != plain.labels
    assert other.mean() == pytest.approx(0.4 * 0.75, abs=0.04)  # a quarter of what is drawn is the label itself
    assert set(np.unique(told.labels[other])) == {0, 1, 2, 3}
    assert plain.probabilities is not None
    assert told.probabilities is not None
    np.testing.assert_array_equal(told.probabilities[np.arange(2000), told.labels], plain.probabilities.max(axis=1))
    np.testing.assert_array_equal(np.sort(told.probabilities, axis=1), np.sort(plain.probabilities, axis=1))
    labels = defended(Seen(labels_only=True), "random:0.4", classes=4).predict(many).labels
    np.testing.assert_array_equal(labels, told.labels)
    with pytest.raises(OptionError, match="their number is not known"):
        defended(Seen(labels_only=True), "random:0.4").predict(many)


def test_a_wrapped_model_says_of_itself_what_it_said() -> None:
    behind = defended(Seen(), "bits:4+smooth:1")
    assert [getattr(behind, name) for name in ("contract", "runtime", "at_once")] == ["the contract", "the runtime", 5]
    assert getattr(defended(Fixed(np.ones(3, np.float32)), "bits:4"), "contract", 1) is None


def test_what_a_defence_costs() -> None:
    data = ImageSet(IMAGES, Seen().predict(IMAGES).labels, tuple("abcd"))
    assert accuracy_cost(Seen(), defended(Seen(), "squeeze:0"), data) == (1.0, 0.0)
    without, with_it = accuracy_cost(Seen(), defended(Seen(), "bits:1"), data)
    assert without == 1.0 > with_it


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("", "Unknown defence ''; there are, each with its value: jpeg:75"),
        ("blur:1", "Unknown defence 'blur:1'"),
        ("jpeg", "Unknown defence 'jpeg'"),
        ("bits:4+", "Unknown defence ''"),
        ("bits:4,noise:1", "takes a whole number from 1 to 8; found '4,noise:1'"),
        ("bits:4.0", "takes a whole number from 1 to 8"),
        ("bits:9", "takes a whole number from 1 to 8; found '9'"),
        ("jpeg:0", "takes a whole number from 1 to 95"),
        ("noise:nan", "takes a number from 0 to 1"),
        ("noise:1e9", "takes a number from 0 to 1"),
        ("noise:", "takes a number from 0 to 1"),
        ("squeeze:-1", "takes a number from 0 to 2"),
        ("second-model:", "takes the path of a model"),
        ("bits:4+" * 100, "at most 500 characters; found 700"),
    ],
)
def test_refuses(spec: str, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        check_defence(spec)
    if spec:
        with pytest.raises(OptionError, match=message):
            VerificationOptions(defence=spec)


def test_the_page_lists_every_defence_as_its_record_has_it() -> None:
    page = (ROOT / "docs" / "defences.md").read_text(encoding="utf-8")
    table = page[page.index("| defence | value |") :].partition("\n\n")[0].splitlines()
    rows = [f"| `{one.name}` | {one.value} | `{one.example}` | {one.how} |" for one in DEFENCES.values()]
    assert table[2:] == rows
    for one in DEFENCES.values():
        check_defence(one.example)
