"""The tensors of a program of torch, or of a class of one's own."""

from pathlib import Path

import torch

from cae_backends.torch.opening import make_named
from cae_backends.torch.programs import load_exported, load_scripted
from cae_backends.torch.trying import USUAL_SIDE, answer_sign, answered, tried
from cae_core.errors import ModelError
from cae_core.signature import Signature, TensorSign

__all__ = ["signature_of_torch"]


def signature_of_torch(spec: str) -> Signature:
    """Return the tensors of ``torch:module:Class(args)=weights``, of a TorchScript file or of an exported program.

    Raises:
        ModelError: it cannot be loaded, or takes none of the shapes that are tried.
    """
    if spec.startswith("torch:"):
        named, network, _ = make_named(spec)
        return tried(network, origin=named.words)
    path = Path(spec)
    if path.suffix.lower() != ".pt2":
        return tried(load_scripted(path), origin=spec)
    program = load_exported(path)
    if len(program.input_shape) < 2:
        raise ModelError(f"{spec}: a classifier of images has one input, a tensor. Export it with one.")
    image = tuple(axis or USUAL_SIDE for axis in program.input_shape)
    taken = TensorSign(name="input", dtype=program.dtype, shape=program.input_shape)
    answer = answered(program.module, torch.zeros(image, dtype=getattr(torch, program.dtype)))
    if answer is None:
        raise ModelError(f"{spec}: the program fails on its own input, {image}. Export it again.")
    return Signature(inputs=(taken,), outputs=(answer_sign(answer),))
