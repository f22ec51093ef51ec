"""What is proposed is a contract, says what the file shows, and what it only supposes in comments."""

from pathlib import Path

import pytest

from cae_backends.contract_files import find_contract
from cae_backends.contract_template import Shown, template
from cae_core.contract import read_contract
from cae_core.errors import ContractError
from cae_core.reading import parse_toml
from cae_core.signature import Ending, Signature, TensorSign


def sign(
    name: str, shape: tuple[int | str | None, ...] | None, dtype: str = "float32", ending: Ending | None = None
) -> TensorSign:
    return TensorSign(name=name, dtype=dtype, shape=shape, ending=ending)


def proposed(shape: tuple[int | str | None, ...], dtype: str, *outputs: TensorSign) -> str:
    return template(shape, dtype, Signature(inputs=(sign("x", shape, dtype),), outputs=outputs))


@pytest.mark.parametrize(
    ("shape", "dtype", "outputs", "fields"),
    [
        (("n", 3, 32, 32), "float32", [sign("y", ("n", 10))], {"layout": "NCHW", "size": [32, 32], "output": "logits"}),
        (("n", 28, 28, 1), "float32", [], {"layout": "NHWC", "size": [28, 28]}),
        ((None, 784), "float16", [], {"layout": "FLAT", "range": [0, 1]}),
        ((1, 784, 1), "float32", [], {"layout": "FLAT"}),
        ((None, 28, 28), "float32", [], {"layout": "HW", "size": [28, 28]}),
        (("n", 3, 8, 8), "uint8", [], {"range": [0, 255], "dtype": "uint8"}),
        (("n", 3, 8, 8), "int8", [], {"range": [-128, 127], "dtype": "int8"}),
        (("n", 3, "h", "w"), "float32", [sign("y", (1, 2), ending="softmax")], {"output": "probabilities"}),
        (("n", 3, 8, 8), "float32", [sign("y", ("n", 1), ending="sigmoid")], {"output": "probabilities"}),
        (("n", 3, 8, 8), "float32", [sign("y", ("n", 2), ending="log_softmax")], {"output": "logits"}),
        (("n", 3, 8, 8), "float32", [sign("y", ("n",), "int64")], {"output": "labels"}),
        (("n", 3, 8, 8), "float32", [sign("y", None, "string")], {"output": "labels"}),
        (
            ("n", 3, 8, 8),
            "float32",
            [sign("label", ("n",), "int64"), sign("p", None, "sequence")],
            {"output": "labels"},
        ),
        (
            ("n", 3, 8, 8),
            "float32",
            [sign("features", ("n", 64)), sign("p", ("n", 10), ending="softmax")],
            {"output": "probabilities", "output_name": "p"},
        ),
        ((), "float32", [], {"layout": "NCHW"}),
    ],
)
def test_it_says_what_the_file_shows(
    shape: tuple[int | str | None, ...], dtype: str, outputs: list[TensorSign], fields: dict[str, object]
) -> None:
    told = parse_toml(proposed(shape, dtype, *outputs).encode())["contract"]
    assert {name: told.get(name) for name in fields} == fields
    assert told.keys() <= {"layout", "range", "output", "size", "dtype", "output_name"}


def test_it_is_a_contract_and_so_is_it_with_its_comments_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    text = proposed(("n", 3, 32, 32), "float32", sign("y", ("n", 10)))
    path.write_text(text)
    read_contract(str(path))
    path.write_text(text.replace("\n# ", "\n"))
    full = read_contract(str(path))
    assert (full.channels, full.mean, full.resize) == ("RGB", (0.485, 0.456, 0.406), "bilinear-antialias")


def test_a_first_layer_that_rescales_is_shown() -> None:
    assert "range = [0, 255]  # the values of black and white; the first layers rescale" in template(
        (None, 8, 8, 3), "float32", shown=Shown(white=255)
    )


def test_names_in_the_file_do_not_leave_their_line() -> None:
    odd = proposed(("n", 3, 8, 8), "float32", sign('a"\nrange = [5, 6]', ("n", 10)), sign("b\n[x]\u202e", ("n", "\n9")))
    told = parse_toml(odd.encode())
    assert told["contract"]["range"] == [0, 1]
    assert told.keys() == {"contract"}
    assert "\u202e" not in odd


def test_the_message_names_the_command_that_finds_it_and_the_place_to_write_it_to() -> None:
    def damaged() -> Signature:
        raise ContractError("this is told when the model is opened")

    with pytest.raises(ContractError) as caught:
        find_contract(Path("theirs.onnx"), {}, ("n", 3, 32, 32), None, look=damaged)
    assert "cae contract theirs.onnx --data NAME|PATH" in str(caught.value)
    assert "write it to theirs.toml" in str(caught.value)
    assert 'layout = "NCHW"' in str(caught.value)
