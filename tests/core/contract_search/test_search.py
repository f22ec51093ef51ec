"""The search, on a model that nobody could read the contract off: a classifier by colour that wants its own numbers."""

import numpy as np
import pytest

from cae_core.arrays import Images
from cae_core.contract import Contract
from cae_core.contract_search.contract_images import contract_images
from cae_core.contract_search.found import contract_text
from cae_core.contract_search.search import search_contract
from cae_core.dataset import ImageSet
from cae_core.errors import ContractError, DataError, ModelError
from cae_core.models import Model, Predictions
from cae_core.signature import Signature, TensorSign

COLOURS = np.array([[200, 60, 40], [60, 180, 70], [50, 80, 190], [190, 180, 60], [120, 120, 120]])
NAMES = ("red", "green", "blue", "yellow", "grey")


def colours(count: int = 600, seed: int = 0) -> ImageSet:
    rng = np.random.default_rng(seed)
    labels = rng.integers(len(COLOURS), size=count)
    images = COLOURS[labels][:, None, None] + rng.normal(0, 45, (count, 6, 6, 3))
    return ImageSet(np.clip(images, 0, 255).astype(np.uint8), labels, NAMES, name="colours")


class ByColour:
    """Answers by the nearest colour of what it takes its tensor for."""

    def __init__(self, true: Contract, asked: Contract, answer: str) -> None:
        self._true, self._asked, self._answer = true, asked, answer

    def predict(self, images: Images) -> Predictions:
        x = self._asked.to_input(images)
        if x.shape != self._true.to_input(images).shape:
            raise ModelError("the tensor has another shape")
        x = x.transpose(0, 2, 3, 1) if self._true.layout == "NCHW" else x
        scale, shift = self._true.affine(3)
        wanted = COLOURS[:, ::-1] if self._true.channels == "BGR" else COLOURS
        middle = x.reshape(len(x), -1, 3).mean(axis=1)
        logits = -np.square((middle[:, None] - (wanted / 255 * scale + shift)) / scale * 12).sum(axis=2)
        if self._answer == "probabilities":
            p = np.exp(logits - logits.max(axis=1, keepdims=True))
            logits = p / p.sum(axis=1, keepdims=True)
        return self._asked.to_predictions(logits.astype(np.float32))


def signature(*shape: int | str | None, width: int | str | None = 5) -> Signature:
    return Signature(
        inputs=(TensorSign(name="x", dtype="float32", shape=("n", *shape)),),
        outputs=(TensorSign(name="y", dtype="float32", shape=("n", width)),),
    )


IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
TRUE = {
    "plain": Contract(layout="NCHW", range=(0, 1), output="logits"),
    "bytes": Contract(layout="NHWC", range=(0, 255), output="logits"),
    "signed": Contract(layout="NHWC", range=(-1, 1), output="probabilities"),
    "ImageNet": Contract(layout="NCHW", range=(0, 1), output="logits", **IMAGENET),  # type: ignore[arg-type]
    "caffe": Contract(layout="NHWC", range=(0, 255), output="logits", channels="BGR", mean=(103.939, 116.779, 123.68)),
}


@pytest.mark.parametrize("name", TRUE)
def test_the_right_one_is_found(name: str) -> None:
    true = TRUE[name]
    shape = (3, 6, 6) if true.layout == "NCHW" else (6, 6, 3)
    data = contract_images(colours())

    def opening(contract: Contract) -> Model:
        return ByColour(true, contract, true.output)

    found = search_contract(signature(*shape), opening, data, origin="m.onnx", sha256="ab" * 32)
    assert found.contract is not None, found.why
    assert found.contract.output == true.output
    x = data.images[:50]
    answers = ByColour(true, found.contract, true.output).predict(x).labels
    assert (answers == ByColour(true, true, true.output).predict(x).labels).mean() >= 0.98
    written = contract_text(found)
    assert "[contract]" in written
    assert written.count("\n# ") == 1 + len(found.tried)


def test_layouts_are_told_apart_where_the_shape_does_not_tell() -> None:
    data = contract_images(colours())

    def opening(contract: Contract) -> Model:
        return ByColour(TRUE["plain"], contract, "logits")

    found = search_contract(signature(None, None, None), opening, data, origin="m.onnx")
    assert found.contract is not None
    assert found.contract.layout == "NCHW"
    assert any(one.state == "refused" and "another shape" in one.why for one in found.tried)


def test_an_input_that_no_candidate_makes_is_not_written() -> None:
    """Numbers of a fifth of the range around 0.1: the nearest candidates are darker and stronger than what it wants."""
    odd = Contract(layout="NHWC", range=(0, 1), output="logits", mean=(-0.3,), std=(4.0,))

    def opening(contract: Contract) -> Model:
        return ByColour(odd, contract, "logits")

    found = search_contract(signature(6, 6, 3), opening, contract_images(colours()), origin="m.onnx")
    assert found.contract is None
    assert found.why
    assert not any(one.state == "found" for one in found.tried)


def test_a_model_of_another_task_is_not_believed() -> None:
    class Constant:
        def predict(self, images: Images) -> Predictions:
            return Predictions(np.zeros(len(images), np.int64))

    found = search_contract(signature(6, 6, 3), lambda _: Constant(), contract_images(colours()), origin="m.onnx")
    assert found.contract is None
    assert "no more than chance" in found.why


def test_tensors_of_another_task_are_refused_before_anything_is_asked() -> None:
    data = contract_images(colours())

    def opening(_: Contract) -> Model:
        raise AssertionError("it was opened")

    with pytest.raises(ContractError, match="1000"):
        search_contract(signature(6, 6, 3, width=1000), opening, data, origin="m.onnx")
    with pytest.raises(ContractError, match="no images of 6x6"):
        search_contract(signature(7), opening, data, origin="m.onnx")


def test_a_model_that_cannot_be_asked_by_any_says_why() -> None:
    def opening(_: Contract) -> Model:
        raise ModelError("m.onnx: it is broken")

    with pytest.raises(ModelError, match="it is broken"):
        search_contract(signature(6, 6, 3), opening, contract_images(colours()), origin="m.onnx")


def test_examples_their_seeds_and_probes_are_not_asked() -> None:
    data = colours(100)
    example = np.clip(data.images[3].astype(int) + 8, 0, 255).astype(np.uint8)
    left = contract_images(data, np.stack([example, data.images[7]]))
    assert len(left) == 98
    known = {image.tobytes() for image in left.images}
    assert data.images[3].tobytes() not in known
    assert data.images[7].tobytes() not in known


def test_too_few_images_are_refused() -> None:
    with pytest.raises(DataError, match="at least 20"):
        contract_images(colours(19))
