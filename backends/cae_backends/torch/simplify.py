"""Makes an inference graph cheaper without changing its values: batch norm goes into the convolutions."""

import copy

from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from cae_backends.torch.network import FORWARD_ERRORS

__all__ = ["BATCH_NORMS", "simplify"]

_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
BATCH_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)


def simplify(module: nn.Module) -> nn.Module:
    """Return a copy of ``module``, in eval mode, with batch norm folded into the convolutions before it.

    ``view`` becomes ``reshape``, so that the copy also takes channels-last tensors. A module that cannot be traced
    comes back as a plain copy.
    """
    module = copy.deepcopy(module)
    try:
        # A converted ONNX file is a graph already; tracing it again would enter modules with control flow.
        graph = module if isinstance(module, fx.GraphModule) else fx.symbolic_trace(module)
    except (*FORWARD_ERRORS, NameError):
        return module
    _fold_batch_norms(graph)
    _relax_views(graph)
    graph.recompile()
    return graph


def _fold_batch_norms(graph: fx.GraphModule) -> None:
    calls = [str(node.target) for node in graph.graph.nodes if node.op == "call_module"]
    for node in list(graph.graph.nodes):
        before = node.args[0] if node.args else None
        if node.op != "call_module" or not isinstance(before, fx.Node) or before.op != "call_module":
            continue
        convolution, norm = graph.get_submodule(str(before.target)), graph.get_submodule(str(node.target))
        if not isinstance(convolution, _CONVOLUTIONS) or not isinstance(norm, BATCH_NORMS):
            continue
        # A convolution whose output, or whose weights, also serve elsewhere must stay as it is.
        shared = len(before.users) > 1 or calls.count(str(before.target)) > 1
        if shared or norm.running_mean is None:
            continue
        _replace(graph, str(before.target), fuse_conv_bn_eval(convolution, norm))
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)


def _replace(graph: fx.GraphModule, target: str, module: nn.Module) -> None:
    parent, _, name = target.rpartition(".")
    setattr(graph.get_submodule(parent), name, module.requires_grad_(requires_grad=False))


def _relax_views(graph: fx.GraphModule) -> None:
    for node in graph.graph.nodes:
        if node.op == "call_method" and node.target == "view":
            node.target = "reshape"
