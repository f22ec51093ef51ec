"""SavedModel folders, read and never loaded: the serving signature's graph, and its variables from the checkpoint.

TensorFlow's own loader runs what the file names as initialiser and as restorer, and builds all functions in it. Here
the file is parsed, the part that the signature's answer needs is taken, checked and frozen, and the values of its
variables are read by the name under which the file's restore function would look them up.
"""

import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cae_backends.tensorflow.frozen import FrozenGraph, freeze_graph, only
from cae_backends.tensorflow.restoring import Saved, saved_values
from cae_backends.tensorflow.restricting import Restricted, restrict
from cae_backends.tensorflow.runtime import load_tensorflow
from cae_core.errors import CaeError, ModelError, first_line

__all__ = ["SAVED_MODEL", "read_saved_model"]

SAVED_MODEL = "saved_model.pb"
"""The file by which a SavedModel folder is recognised."""

_SIGNATURES = ("serving_default", "serve")
_OWN = ("__saved_model_init_op", "__saved_model_train_op")  # what TensorFlow notes among the signatures
_OBJECTS = "_CHECKPOINTABLE_OBJECT_GRAPH"  # the checkpoint's own name for the description of its objects
_VARIABLES = ("VarHandleOp", "Variable", "VariableV2")
_LARGEST = 1 << 31  # bytes; no message of protobuf can be larger


def read_saved_model(path: Path) -> FrozenGraph:
    """Return the graph of a SavedModel's serving signature, its variables as constants. Nothing in it is run.

    Raises:
        BackendMissing: TensorFlow is not installed.
        ModelError: the folder is damaged, has no usual signature, or its graph is none of a classifier.
    """
    load_tensorflow()
    try:
        return _freeze_signature(path, _meta_graph(path))
    except CaeError:
        raise
    except Exception as exc:
        # TensorFlow and protobuf read a foreign file here, and name no exceptions of theirs
        raise _damaged(path, first_line(exc)) from exc


def _meta_graph(path: Path) -> Any:  # noqa: ANN401 - a MetaGraphDef
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    file = path / SAVED_MODEL
    _check_regular(path, file)
    if file.stat().st_size >= _LARGEST:
        raise _damaged(path, f"{SAVED_MODEL} is larger than 2 GiB")
    description = SavedModel()
    description.ParseFromString(file.read_bytes())
    graphs = list(description.meta_graphs)
    if len(graphs) > 1:
        graphs = [graph for graph in graphs if list(graph.meta_info_def.tags) == ["serve"]]
    if len(graphs) != 1:
        raise _damaged(path, f"it holds {len(description.meta_graphs)} graphs, and not one of them for serving")
    return graphs[0]


def _freeze_signature(path: Path, meta: Any) -> FrozenGraph:  # noqa: ANN401 - a MetaGraphDef
    origin = str(path)
    signature = _signature(meta, origin)
    given, wanted = _only_tensor(signature.inputs, "input", origin), _only_tensor(signature.outputs, "output", origin)
    restricted = restrict(meta.graph_def, given=given.name, wanted=wanted.name, origin=origin)
    captured, variables = _variables(path, meta, restricted)
    return freeze_graph(
        restricted,
        given=given.name,
        wanted=wanted.name,
        taken=_spec(given, next(iter(signature.inputs))),
        captured=captured,
        variables=variables,
        origin=origin,
    )


def _signature(meta: Any, origin: str) -> Any:  # noqa: ANN401 - a MetaGraphDef and its SignatureDef
    signatures = {name: signature for name, signature in meta.signature_def.items() if name not in _OWN}
    name = next((name for name in _SIGNATURES if name in signatures), None)
    if name is None and len(signatures) == 1:
        (name,) = signatures
    if name is None:
        found = ", ".join(sorted(signatures)) or "none"
        raise ModelError(
            f"{origin}: a SavedModel needs a signature called {_SIGNATURES[0]}; found {found}. A subclassed model gets "
            "one by model.export(folder), or by tf.saved_model.save(model, folder, signatures=...)."
        )
    return signatures[name]


def _only_tensor(named: Mapping[str, Any], kind: str, origin: str) -> Any:  # noqa: ANN401 - TensorInfos
    tensor = only([named[key] for key in sorted(named)], kind, origin)
    if not tensor.name:
        raise ModelError(f"{origin}: a classifier's {kind} is one dense tensor; found a sparse or composed one.")
    return tensor


def _spec(tensor: Any, name: str) -> Any:  # noqa: ANN401 - a TensorInfo and its TensorSpec
    tf = load_tensorflow()
    legal = "".join(letter if letter.isascii() and (letter.isalnum() or letter in "_.-/") else "_" for letter in name)
    shape = tf.TensorShape(tensor.tensor_shape)
    return tf.TensorSpec(shape, tf.dtypes.as_dtype(tensor.dtype), name=legal.lstrip("_-/.") or "images")


def _variables(path: Path, meta: Any, restricted: Restricted) -> tuple[dict[str, Any], list[Any]]:  # noqa: ANN401
    """Return what stands for each variable's tensor in the graph, and the variables, with their values."""
    tf = load_tensorflow()
    nodes = [node for node in restricted.graph_def.node if node.op in _VARIABLES]
    inside = sorted(
        function.signature.name
        for function in restricted.graph_def.library.function
        if any(node.op in _VARIABLES for node in function.node_def)
    )
    if inside:
        raise _damaged(path, f"the function {inside[0]!r} makes a variable of its own")
    if not nodes:
        return {}, []
    reader = _reader(path)
    saved = saved_values(meta, reader.get_tensor(_OBJECTS) if reader.has_tensor(_OBJECTS) else b"")
    unsaved = sorted(node.name for node in nodes if node.name not in saved)
    if unsaved:
        raise _damaged(path, f"the variable {unsaved[0]!r} has no value in its checkpoint")
    captured, variables = {}, []
    for node in nodes:
        value = _value(path, reader, saved[node.name], tf.dtypes.as_dtype(node.attr["dtype"].type))
        shape = tf.TensorShape(node.attr["shape"].shape)
        if not shape.is_compatible_with(value.shape):
            raise _damaged(path, f"the variable {node.name!r} has shape {shape}, its value {value.shape}")
        variable = tf.Variable(value, trainable=False, dtype=node.attr["dtype"].type)
        captured[f"{node.name}:0"] = variable.handle if node.op == "VarHandleOp" else variable.value()
        variables.append(variable)
    return captured, variables


def _reader(path: Path) -> Any:  # noqa: ANN401 - a CheckpointReader
    folder = path / "variables"
    shards = sorted(folder.glob("variables.data-*"))
    for file in (folder / "variables.index", *shards):
        _check_regular(path, file)
    if not shards:
        raise _damaged(path, "variables/variables.data-… is missing")
    return load_tensorflow().compat.v1.train.NewCheckpointReader(str(folder / "variables"))


def _value(path: Path, reader: Any, saved: Saved, dtype: Any) -> NDArray[Any]:  # noqa: ANN401
    if not reader.has_tensor(saved.key):
        raise _damaged(path, f"its checkpoint holds no {saved.key!r}")
    if reader.get_variable_to_dtype_map()[saved.key] != dtype:
        found = reader.get_variable_to_dtype_map()[saved.key].name
        raise _damaged(path, f"its checkpoint holds {saved.key!r} as {found}, its graph as {dtype.name}")
    shape = reader.get_variable_to_shape_map()[saved.key]
    held = sum(shard.stat().st_size for shard in (path / "variables").glob("variables.data-*"))
    if np.prod([float(size) for size in shape]) * dtype.size > held:
        raise _damaged(path, f"{saved.key!r} of shape {tuple(shape)} is larger than its checkpoint")
    value: NDArray[Any] = reader.get_tensor(saved.key)
    return value[saved.region] if saved.region else value


def _check_regular(path: Path, file: Path) -> None:
    try:
        mode = file.stat().st_mode
    except OSError as exc:
        raise _damaged(path, first_line(exc)) from exc
    if not stat.S_ISREG(mode):
        raise _damaged(path, f"{file.name} is no regular file")


def _damaged(path: Path, reason: str) -> ModelError:
    return ModelError(f"{path}: this SavedModel cannot be loaded ({reason}). Export it again.")
