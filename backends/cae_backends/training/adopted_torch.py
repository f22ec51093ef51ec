"""Exported programs and ONNX files as networks that can be trained further."""

from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, fx, nn

from cae_backends.torch.model import TorchModel
from cae_backends.torch.network import ContractedNetwork
from cae_backends.torch.simplify import BATCH_NORMS
from cae_backends.training.recipe import Recipe
from cae_backends.training.torch_network import TorchNetwork
from cae_backends.training.trainers import Step
from cae_core.contract import Contract
from cae_core.errors import ModelError
from cae_core.opening.opened import open_model
from cae_core.opening.white_box_check import OpenedWhiteBox, check_white_box

__all__ = ["AdoptedTorch"]


class AdoptedTorch(TorchNetwork):
    """The network of a ``.pt2`` or ``.onnx`` file, with its contract's arithmetic around it.

    Such a file holds the graph of one mode, evaluation, and keeps it: batch norm acts by the statistics of the source,
    of which scale and shift are trained, and dropout does nothing. Where an ONNX file has its batch norms yet, a
    recipe with ``statistics = "renewed"`` trains them as they were trained once, by each batch's statistics. What an
    exporter has folded into convolutions is there no more, and cannot be unfolded: mean and deviation are lost in it.

    What is trained are the parameters of a program, and of an ONNX file the weights of the layers that torch has
    itself (convolutions, batch norms, linear layers) and the constant factors of matrix products.

    Args:
        path: of the file.
        contract: replaces the file's.
        device: where to train.
        trusted: whether the file is one's own.

    Raises:
        ModelError: see `Adopter.adopt`; or the network answers otherwise than ONNX Runtime does for the file.
    """

    def __init__(self, path: Path, *, contract: Contract | None, device: str, trusted: bool) -> None:
        opened = open_model(str(path), gradients=True, contract=contract, device="cpu", trusted=trusted)
        if not isinstance(opened, TorchModel):
            raise ModelError(f"{path}: this is no model that torch opens. Name a .pt2 or .onnx file.")
        if opened.contract.output == "labels":
            raise ModelError(f"{path}: a model that answers labels only cannot be trained further. Export its logits.")
        # what it answers before anything is changed: ONNX Runtime's answers for the same file, to 1e-4 of their spread
        check_white_box(cast("OpenedWhiteBox", opened), origin=str(path))
        graph = _graph_of(opened.network)
        _promote(graph)
        network = opened.network.requires_grad_(requires_grad=True)
        super().__init__(_FromChannelsFirst(network), device=device)
        self._order = _in_order(self.module, graph)
        self.contract = Contract(layout="NCHW", range=(0.0, 1.0), output="logits")
        if not self.kernels:
            raise ModelError(f"{path}: no weights of it can be trained further. Export the network that was trained.")

    @property
    def kernels(self) -> tuple[str, ...]:
        """See `Network.kernels`."""
        parameters = dict(self.module.named_parameters())
        return tuple(name for name in self._order if parameters[name].ndim > 1)

    @property
    def head(self) -> tuple[str, ...]:
        """See `Network.head`: the last kernel, and what the graph uses with it or after it."""
        return self._order[self._order.index(self.kernels[-1]) :]

    def start(
        self, recipe: Recipe, *, seed: int, frozen: Collection[str], masks: Mapping[str, NDArray[np.bool_]]
    ) -> Step:
        """See `Network.start`.

        Raises:
            ModelError: the recipe renews the statistics of batch norms, and the file has none.
        """
        network = cast("_FromChannelsFirst", self.module)
        network.renewed = _batch_norms(network) if recipe.statistics == "renewed" else ()
        if recipe.statistics == "renewed" and not network.renewed:
            raise ModelError(
                "No batch norm is left in the source's file, as exporters fold them into convolutions, so that no "
                'statistics can be renewed. Leave statistics = "renewed" out, or export the network without folding.'
            )
        return super().start(recipe, seed=seed, frozen=frozen, masks=masks)


class _FromChannelsFirst(nn.Module):
    """Takes images (n, k, h, w) to a network of images (n, h, w, k).

    Attributes:
        network: whose mode never changes, but for these layers:
        renewed: batch norms that act in training by the statistics of each batch.
    """

    def __init__(self, network: ContractedNetwork) -> None:
        super().__init__()
        self.network = network
        self.renewed: tuple[nn.Module, ...] = ()
        super().train(mode=False)

    def forward(self, x: Tensor) -> Tensor:
        images = x.permute(0, 2, 3, 1)
        # traced, the network's check of its answer would write the number of images into the graph
        logits: Tensor = self.network.logits_of(self.network.module(self.network.input(images).contiguous()))
        return logits

    def train(self, mode: bool = True) -> "_FromChannelsFirst":  # noqa: FBT001, FBT002 - the signature is torch's
        self.training = mode
        for layer in self.renewed:
            layer.train(mode)
        return self


def _batch_norms(network: nn.Module) -> tuple[nn.Module, ...]:
    return tuple(layer for layer in network.modules() if isinstance(layer, BATCH_NORMS))


def _graph_of(network: nn.Module) -> fx.GraphModule:
    """Return the outermost graph in ``network``: all that its file says."""
    return next(module for module in network.modules() if isinstance(module, fx.GraphModule))


def _promote(graph: fx.GraphModule) -> None:
    """Make parameters of the constants by which a converted ONNX file multiplies: for onnx2torch they are buffers."""
    for node in graph.graph.nodes:
        if node.op != "call_module" or "MatMul" not in type(graph.get_submodule(str(node.target))).__name__:
            continue
        for argument in node.args:
            if isinstance(argument, fx.Node) and argument.op == "get_attr":
                owner, _, name = str(argument.target).rpartition(".")
                container = graph.get_submodule(owner)
                value = getattr(container, name)
                if not isinstance(value, nn.Parameter):
                    delattr(container, name)
                    container.register_parameter(name, nn.Parameter(value))


def _in_order(module: nn.Module, graph: fx.GraphModule) -> tuple[str, ...]:
    """Return the names of a module's parameters in the order in which its graph uses them."""
    names = {id(parameter): name for name, parameter in module.named_parameters()}
    return tuple(dict.fromkeys(names[id(parameter)] for parameter in _used(graph) if id(parameter) in names))


def _used(graph: fx.GraphModule) -> Iterator[Any]:
    """Yield the parameters of a graph as its nodes take them, from the input to the output."""
    for node in graph.graph.nodes:
        for argument in node.all_input_nodes:
            if argument.op == "get_attr":
                yield _attribute(graph, str(argument.target))
        if node.op == "call_module":
            yield from graph.get_submodule(str(node.target)).parameters()


def _attribute(graph: fx.GraphModule, target: str) -> torch.Tensor | None:
    owner, _, name = target.rpartition(".")
    value = getattr(graph.get_submodule(owner), name, None)
    return value if isinstance(value, torch.Tensor) else None
