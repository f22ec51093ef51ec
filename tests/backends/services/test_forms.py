"""What is posted and how answers are read, without a service."""

import base64
import io
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cae_backends.services.description import Description
from cae_backends.services.forms import Wire, wire_of
from cae_backends.services.pictures import as_numbers
from cae_backends.services.template import Template
from cae_core.contract import Contract
from cae_core.errors import CaeError, ModelError, OptionError
from cae_core.models import NO_ANSWER

IMAGES = np.random.default_rng(1).integers(0, 256, (2, 4, 5, 3), np.uint8)
LABELS = Contract(
    layout="NHWC", range=(0, 255), dtype="uint8", output="labels", class_names=("cat", "dog"), classes=(1, 0)
)
SHARES = Contract(layout="NCHW", range=(0, 1), output="probabilities")
FLOATS = Contract(layout="NHWC", range=(0, 1), output="logits", input="x", output_name="y")


def wire(form: str, contract: Contract, **more: Any) -> Wire:  # noqa: ANN401
    return wire_of(Description(form=form, url="http://127.0.0.1/", contract=contract, **more))  # type: ignore[arg-type]


def of_json(answer: str, kind: str, contract: Contract, *, images: int = 1, body: Any = None) -> Wire:  # noqa: ANN401
    body = body or {"image": ["{png}"]}
    return wire("json", contract, answer=answer, kind=kind, images=images, body=body)


class TestBodies:
    def test_open_inference(self) -> None:
        told = wire("open-inference", FLOATS).body(IMAGES)["inputs"][0]
        assert (told["name"], told["shape"], told["datatype"]) == ("x", [2, 4, 5, 3], "FP32")
        assert np.array_equal(np.array(told["data"], np.float32), FLOATS.to_input(IMAGES).ravel())
        assert wire("open-inference", LABELS).body(IMAGES)["inputs"][0]["datatype"] == "UINT8"

    def test_tensorflow_serving(self) -> None:
        rows = wire("tensorflow-serving", SHARES).body(IMAGES)["instances"]
        assert np.array_equal(np.array(rows, np.float32), SHARES.to_input(IMAGES))
        assert set(wire("tensorflow-serving", FLOATS).body(IMAGES)["instances"][0]) == {"x"}

    def test_numbers_are_short_and_exact(self) -> None:
        values = np.array([0.1, 1 / 3, 1e-20, 255], np.float32)
        assert as_numbers(values)[0] == 0.1
        assert np.array_equal(np.array(as_numbers(values), np.float32), values)

    def test_a_template_is_filled(self) -> None:
        table = {"a": [{"b": "data:image/png;base64,{png}", "c": [1, "x"]}], "d": {"e": ["{tensor}"]}, "f": "{png} "}
        filled = Template(table, many=False).filled(IMAGES[:1])
        read = base64.b64decode(filled["a"][0]["b"].removeprefix("data:image/png;base64,"))
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(read))), IMAGES[0])
        assert filled["a"][0]["c"] == [1, "x"]
        assert filled["d"]["e"] == [IMAGES[0].tolist()]
        assert table["f"] == "{png} "  # the template stays as it was

    @pytest.mark.parametrize("item", ["{png}", "{jpeg}", "{tensor}", {"id": 3, "b64": "{png}"}, [["{tensor}"]]])
    def test_the_item_with_the_image_is_repeated(self, item: object) -> None:
        filled = Template({"k": 1, "list": ["first", item]}, many=True).filled(IMAGES)
        count = 3 if not isinstance(item, list) else 2
        assert len(filled["list"]) == count
        assert filled["list"][0] == "first"
        if isinstance(item, list):
            assert [len(inner) for inner in (filled["list"][1], filled["list"][1][0])] == [1, 2]

    def test_jpeg_is_nearly_the_image(self) -> None:
        smooth = np.full((1, 16, 16, 3), 90, np.uint8)
        file = base64.b64decode(Template(["{jpeg}"], many=True).filled(smooth)[0])
        assert np.abs(np.asarray(Image.open(io.BytesIO(file)), int) - 90).max() <= 2

    @pytest.mark.parametrize(("table", "many"), [({"a": "png"}, False), ({"a": "{png}"}, True), ({}, False)])
    def test_a_template_has_a_place(self, table: object, many: bool) -> None:  # noqa: FBT001
        with pytest.raises(OptionError, match="place"):
            Template(table, many=many)


class TestAnswers:
    @pytest.mark.parametrize(
        ("answer", "kind", "told", "label"),
        [
            ("r.name", "label", {"r": {"name": "cat"}}, 1),
            ("r.id", "label", {"r": {"id": 1}}, 0),
            ("[0]", "label", [1.0], 0),
            ("name", "label", {"name": "mouse"}, NO_ANSWER),
            ("id", "label", {"id": 9}, NO_ANSWER),
            ("top", "top", {"top": [["cat", 0.2], ["dog", 0.7]]}, 0),
            ("top", "top", {"top": [[0.7, "cat"], [0.2, "dog"]]}, 1),
            ("top", "top", {"top": [{"n": "cat", "p": 0.2}, {"n": "dog", "p": 1}]}, 0),
        ],
    )
    def test_labels_names_and_the_top_ones(self, answer: str, kind: str, told: object, label: int) -> None:
        assert of_json(answer, kind, LABELS).answers(told, 1).labels.tolist() == [label]

    def test_several_images(self) -> None:
        found = of_json("r[*].s", "scores", SHARES, images=2).answers({"r": [{"s": [0.9, 0.1]}, {"s": [0.2, 0.8]}]}, 2)
        assert found.labels.tolist() == [0, 1]
        assert found.probabilities is not None

    def test_what_is_no_number_is_no_answer(self) -> None:
        told = {"predictions": [[0.1, None], [float("nan"), 1], [0.1, 0.9]]}
        found = wire("tensorflow-serving", SHARES).answers(told, 3)
        assert found.labels.tolist() == [NO_ANSWER, NO_ANSWER, 1]

    def test_named_outputs(self) -> None:
        outputs = [{"name": "z", "shape": [2, 9], "data": [0]}, {"name": "y", "shape": [2, 2], "data": [1, 2, 4, 3]}]
        assert wire("open-inference", FLOATS).answers({"outputs": outputs}, 2).labels.tolist() == [1, 0]
        nested = [{"name": "y", "shape": [2, 2], "data": [[1, 2], [4, 3]]}]
        assert wire("open-inference", FLOATS).answers({"outputs": nested}, 2).labels.tolist() == [1, 0]
        rows = {"predictions": [{"y": [1, 2], "z": 0}, {"y": [4, 3], "z": 0}]}
        assert wire("tensorflow-serving", FLOATS).answers(rows, 2).labels.tolist() == [1, 0]
        names = {"outputs": [{"name": "n", "shape": [2, 1], "datatype": "BYTES", "data": ["dog", "cat"]}]}
        assert wire("open-inference", LABELS).answers(names, 2).labels.tolist() == [0, 1]

    @pytest.mark.hostile
    @pytest.mark.parametrize(
        "told",
        [
            None,
            [],
            "text",
            {},
            {"outputs": None},
            {"outputs": []},
            {"outputs": [{}]},
            {"outputs": [{"name": "y", "shape": [2, 2], "data": [1, 2, 3]}]},
            {"outputs": [{"name": "y", "shape": [3, 2], "data": [1, 2, 3, 4]}]},
            {"outputs": [{"name": "y", "shape": [-2, 2], "data": [1, 2, 3, 4]}]},
            {"outputs": [{"name": "y", "shape": [2, 2], "data": ["a", "b", "c", "d"]}]},
            {"outputs": [{"name": "y", "shape": [2, 2], "data": [[1, 2], [1]]}]},
            {"outputs": [{"name": "y", "shape": [2, 2], "data": [True, 2, 3, 4]}]},
            {"outputs": [{"name": "y", "shape": [2, 2], "data": [{"a": 1}, 2, 3, 4]}]},
            {"outputs": [{"name": "x", "shape": [2, 2], "data": [1, 2, 3, 4]}]},
        ],
    )
    def test_what_is_no_answer_is_one_sentence(self, told: object) -> None:
        with pytest.raises(ModelError) as raised:
            wire("open-inference", FLOATS).answers(told, 2)
        assert "\n" not in str(raised.value)

    @pytest.mark.hostile
    @pytest.mark.parametrize("top", [None, [], [1], "text", [["a", "b"]], [[]], [["cat", True]]])
    def test_what_is_no_list_of_names_is_one_sentence(self, top: object) -> None:
        with pytest.raises(CaeError):
            of_json("top", "top", LABELS).answers({"top": top}, 1)
