"""ONNX files, and networks that a class of the user's own makes, as `TorchModel`."""

from pathlib import Path

import torch

from cae_backends.contract_files import check_end, check_rank, find_contract, image_shape
from cae_backends.onnx.signature import signature_of_onnx
from cae_backends.onnx.softmax import ends_in_softmax, final_softmax, take_off
from cae_backends.onnxruntime.witness import OnnxWitness
from cae_backends.torch.model import TorchModel
from cae_backends.torch.named_class import NamedClass, make_network, parse_named_class
from cae_backends.torch.onnx_import import answer_of, convert_neutral, image_input, read_onnx
from cae_backends.torch.onnx_neutral import neutral
from cae_backends.torch.shaping import shaped
from cae_backends.torch.trying import tried
from cae_backends.torch.weights import load_weights
from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.loaders import Device

__all__ = ["make_named", "open_named", "open_onnx"]


def open_onnx(path: Path, *, contract: Contract | None, device: Device) -> TorchModel:
    """Open an ONNX file with gradients.

    Where it answers probabilities by a softmax at its end, the opened model answers the logits before it.

    Raises:
        BackendMissing: onnx2torch does not work here.
        ModelError: the file is no ONNX model, or has an operator that cannot be converted.
        ContractError: nobody says what it takes, or it says logits and ends in a softmax.
    """
    proto = read_onnx(path)
    taken = image_input(proto, origin=str(path))
    metadata = {entry.key: entry.value for entry in proto.metadata_props}
    found = told = find_contract(
        path, metadata, taken.shape, contract, dtype=taken.dtype, look=lambda: signature_of_onnx(path)
    )
    check_rank(found, taken.shape, origin=str(path))
    graph = neutral(proto, origin=str(path), output=answer_of(proto, found, origin=str(path)))
    check_end(found, softmax=ends_in_softmax(graph.proto), origin=str(path))
    softmax = final_softmax(graph.proto) if found.output == "probabilities" else None
    if softmax is not None:
        take_off(graph.proto, softmax)
        found = found.replace(output="logits")
    return TorchModel(
        shaped(convert_neutral(graph, origin=str(path)), found, taken.shape[1:]),
        contract=found,
        device=device,
        image_shape=image_shape(found, taken.shape),
        witness=OnnxWitness(path, told, graph.resolution),
    )


def open_named(spec: str, *, contract: Contract | None, device: Device) -> TorchModel:
    """Open a network that the user's own class makes, with the weights in a file.

    The model's runtime says what was done to find the weights in it.

    Raises:
        ModelError: the text, the class or the weights are not what they should be.
        ContractError: there is no contract: given, or in a sidecar of the weights.
    """
    named, network, done = make_named(spec)
    found = find_contract(named.weights, {}, (), contract, look=lambda: tried(network, origin=named.words))
    model = TorchModel(network, contract=found, device=device, origin=named.words)
    model.runtime += f", {done}" if done else ""
    return model


def make_named(spec: str) -> tuple[NamedClass, torch.nn.Module, str]:
    """Return what the user wrote, the network with its weights, and what was done to find them, in words.

    Raises:
        ModelError: the text, the class or the weights are not what they should be.
    """
    named = parse_named_class(spec)
    if not named.weights.is_file():
        raise ModelError(f"{named.weights}: no such file of weights. Give the path of an existing one.")
    network = make_network(named)
    if not isinstance(network, torch.nn.Module):
        raise ModelError(
            f"{named.words}: it must make a torch.nn.Module; found {type(network).__name__}. Name the network's class."
        )
    return named, network, load_weights(network, named.weights)
