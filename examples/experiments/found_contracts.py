"""How often a contract is found that nobody states: models that are made to want another input, one way each.

    python examples/experiments/found_contracts.py --pool cifar10/pool.toml --data cifar-10-batches-py --output found

Each model of the pool loses its metadata, and gets nodes in front of it and behind it, so that it wants its images in
another layout, range, normalisation or order of channels, and tells labels or probabilities. Then its contract is
searched for by labelled test images. A contract counts as right if the model, asked by it, gives the labels that it
gives when it is asked as it wants to be: exactly, or for all but 1 % of the images.
"""

import argparse
import dataclasses
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from cae_backends.datasets import open_data
from cae_core.contract import Contract, parse_contract
from cae_core.contract_search.found import ContractFound
from cae_core.contract_search.of_file import find_contract
from cae_core.dataset import ImageSet
from cae_core.loaders import open_model
from cae_core.pool.manifest import PoolMember, read_pool

CIFAR = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2470, 0.2435, 0.2616)}
IMAGES_OWN = {"mean": (0.4914, 0.4822, 0.4465), "std": (0.2023, 0.1994, 0.2010)}
IMAGENET = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
WAYS = (
    {"range": (0.0, 1.0)},
    {"range": (0.0, 255.0)},
    {"range": (-1.0, 1.0)},
    {"range": (0.0, 1.0), **CIFAR},
    {"range": (0.0, 1.0), **IMAGES_OWN},
    {"range": (0.0, 1.0), **IMAGENET},
    {"range": (0.0, 255.0), "channels": "BGR", "mean": (103.939, 116.779, 123.68)},
    {"range": (0.0, 1.0), "channels": "BGR"},
    {"range": (-0.5, 0.5)},
    {"range": (0.0, 255.0), "dtype": "uint8"},
    {"range": (0.0, 1.0), "mean": (0.3, 0.3, 0.3), "std": (0.11, 0.12, 0.13)},  # nobody's: it must not be found
)
LAYOUTS = ("NCHW", "NHWC", "FLAT", "FLAT_NCHW")
OUTPUTS = ("logits", "probabilities", "labels")
COMPARED = 2_000


@dataclasses.dataclass(frozen=True)
class Judged:
    """A model with the contract that it wants and what was found."""

    name: str
    true: Contract
    found: ContractFound
    agreement: float | None
    exact: bool
    seconds: float

    @property
    def outcome(self) -> str:
        """Right, wrong, or nothing was written."""
        if self.agreement is None:
            return "nothing written"
        return "right" if self.exact or self.agreement >= 0.99 else "WRONG"


def main() -> None:
    """Make the models, search, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--count", type=int, default=66)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    options.output.mkdir(parents=True, exist_ok=True)
    data = open_data(options.data, split="test")
    pool = read_pool(options.pool)
    rng = np.random.default_rng(options.seed)
    members = [member for member in pool.select() if member.role != "test"]
    order = rng.permutation(len(members))
    chosen = [members[order[number % len(order)]] for number in range(options.count)]
    judged = [_judge(member, number, rng, data, options.output) for number, member in enumerate(chosen)]
    outcomes = Counter(one.outcome for one in judged)
    print("\n" + ", ".join(f"{outcome}: {count}" for outcome, count in outcomes.items()))
    print(f"exactly as wanted: {sum(one.exact for one in judged)}; seconds: {sum(one.seconds for one in judged):.0f}")


def _judge(member: PoolMember, number: int, rng: np.random.Generator, data: ImageSet, folder: Path) -> Judged:
    way = WAYS[number % len(WAYS)]
    fields = {"layout": str(rng.choice(LAYOUTS)), "output": str(rng.choice(OUTPUTS)), **way}
    true = parse_contract(fields, origin="the study")
    path = folder / f"model-{number:03d}.onnx"
    onnx.save(_wanting(onnx.load(str(member.path)), true, data.images.shape[1:]), str(path))
    started = time.perf_counter()
    found = find_contract(path, data)
    seconds = time.perf_counter() - started
    agreement = None
    if found.contract is not None:
        images = data.images[-COMPARED:]
        labels = [open_model(path, contract=contract).predict(images).labels for contract in (true, found.contract)]
        agreement = float((labels[0] == labels[1]).mean())
    made = Judged(
        member.name, true, found, agreement, found.contract is not None and _same(true, found.contract), seconds
    )
    best = found.tried[0]
    told = f"found {best.words} ({best.accuracy:.3f} of {best.images})" if found.contract else found.why
    print(f"{made.outcome}\t{agreement}\t{seconds:.1f} s\t{member.architecture}\t{_words(true)}\t{told}", flush=True)
    return made


def _same(one: Contract, other: Contract) -> bool:
    if (one.layout, one.output, one.channels or "RGB") != (other.layout, other.output, other.channels or "RGB"):
        return False
    return all(np.allclose(a, b, atol=1e-6) for a, b in zip(one.affine(3), other.affine(3), strict=True))


def _words(contract: Contract) -> str:
    return ", ".join(f"{name} {value}" for name, value in contract.stated().items())


def _wanting(model: onnx.ModelProto, contract: Contract, image: tuple[int, ...]) -> onnx.ModelProto:
    """Return the model, which takes NCHW in [0, 1] and answers logits, so that it is asked by ``contract``."""
    graph = model.graph
    del model.metadata_props[:]
    height, width, channels = image
    old, logits = graph.input[0].name, graph.output[0].name
    scale, shift = contract.affine(channels)
    turned = slice(None, None, -1 if contract.channels == "BGR" else 1)
    nodes: list[onnx.NodeProto] = []
    now = "wanted"
    shape: list[int | str] = ["n", channels, height, width]

    def then(operator: str, *inputs: str, **attributes: Any) -> None:  # noqa: ANN401 - an operator's own
        nonlocal now
        name = f"before_{len(nodes)}"
        nodes.append(helper.make_node(operator, [now, *inputs], [name], **attributes))
        now = name

    def constant(name: str, value: np.ndarray) -> str:
        graph.initializer.append(numpy_helper.from_array(value, name))
        return name

    if contract.dtype == "uint8":
        then("Cast", to=TensorProto.FLOAT)
    if contract.layout in ("NHWC", "FLAT"):
        shape = ["n", height, width, channels]
        if contract.layout == "FLAT":
            then("Reshape", constant("image", np.array([-1, height, width, channels], np.int64)))
        then("Transpose", perm=[0, 3, 1, 2])
    elif contract.layout == "FLAT_NCHW":
        then("Reshape", constant("image", np.array([-1, channels, height, width], np.int64)))
    if contract.layout.startswith("FLAT"):
        shape = ["n", height * width * channels]
    then("Sub", constant("shift", shift.reshape(1, -1, 1, 1)))
    then("Div", constant("scale", scale.reshape(1, -1, 1, 1)))
    if contract.channels == "BGR":
        then("Gather", constant("order", np.arange(channels)[turned].copy()), axis=1)
    for node in graph.node:
        node.input[:] = [now if name == old else name for name in node.input]
    kind = TensorProto.UINT8 if contract.dtype == "uint8" else TensorProto.FLOAT
    del graph.input[:]
    graph.input.append(helper.make_tensor_value_info("wanted", kind, shape))
    kept = list(graph.node)
    del graph.node[:]
    graph.node.extend([*nodes, *kept])
    if contract.output != "logits":
        _answering(graph, logits, contract.output)
    return model


def _answering(graph: onnx.GraphProto, logits: str, output: str) -> None:
    labels = output == "labels"
    if labels:
        graph.node.append(helper.make_node("ArgMax", [logits], ["answer"], axis=1, keepdims=0))
    else:
        graph.node.append(helper.make_node("Softmax", [logits], ["answer"], axis=1))
    shape = ["n"] if labels else ["n", graph.output[0].type.tensor_type.shape.dim[1].dim_value]
    del graph.output[:]
    kind = TensorProto.INT64 if labels else TensorProto.FLOAT
    graph.output.append(helper.make_tensor_value_info("answer", kind, shape))


if __name__ == "__main__":
    main()
