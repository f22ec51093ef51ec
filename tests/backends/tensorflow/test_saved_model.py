"""SavedModels are read and not loaded: every honest export answers as it is, and nothing that a file names is run."""

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_backends.tensorflow.operations import check_operations
from cae_backends.tensorflow.runtime import load_keras, load_tensorflow
from cae_core.arrays import as_unit_float
from cae_core.errors import ModelError
from tests.backends.foreign_files import IMAGES, NHWC, logits_of, opened, refusal
from tests.backends.keras_nets import KerasModel, convnet, tape_vjp
from tests.backends.saved_models import Tensor, edited, linear, save_function, save_in_session

tf, keras = load_tensorflow(), load_keras()
v1: Any = tf.compat.v1
MetaGraph: TypeAlias = Any


pytestmark = pytest.mark.hostile


def told_by_tensorflow(path: Path) -> NDArray[np.float32]:
    """Return what TensorFlow's own loader answers; for files of this test's own making."""
    signature = tf.saved_model.load(str(path)).signatures["serving_default"]
    (scores,) = signature(tf.constant(as_unit_float(IMAGES))).values()
    told: NDArray[np.float32] = scores.numpy()
    return told


def in_two_parts(images: Tensor) -> Tensor:
    weights = v1.get_variable("w", (192, 5), use_resource=False, partitioner=v1.fixed_size_partitioner(2))
    return tf.reshape(images, (-1, 192)) @ tf.convert_to_tensor(weights)


def of_references(images: Tensor) -> Tensor:
    return tf.reshape(images, (-1, 192)) @ v1.get_variable("w", (192, 5), use_resource=False)


def of_resources(images: Tensor) -> Tensor:
    return tf.reshape(images, (-1, 192)) @ v1.get_variable("w", (192, 5), use_resource=True)


def in_branches(images: Tensor) -> Tensor:
    """Answer as TensorFlow 1's Keras did: a learning phase that is off unless it is fed."""
    training = v1.placeholder_with_default(False, (), "keras_learning_phase")  # noqa: FBT003
    kept = v1.cond(training, lambda: tf.nn.dropout(images, 0.5), lambda: tf.identity(images))
    looped = v1.while_loop(lambda i, _: i < 3, lambda i, x: (i + 1, x * 1.5), [tf.constant(0), kept])[1]
    return tf.reshape(looped, (-1, 192)) @ v1.get_variable("w", (192, 5), use_resource=True)


def in_branches_of_references(images: Tensor) -> Tensor:
    """Read one variable in a branch and one in a loop, each by reference."""
    weights = v1.get_variable("w", (192, 5), use_resource=False)
    shift = v1.get_variable("b", (5,), use_resource=False)
    training = v1.placeholder_with_default(False, (), "keras_learning_phase")  # noqa: FBT003
    chosen = v1.cond(training, lambda: weights * 2, lambda: weights * 3)
    scores = tf.reshape(images, (-1, 192)) @ chosen
    return v1.while_loop(lambda i, _: i < 3, lambda i, x: (i + 1, x + shift), [tf.constant(0), scores])[1]


@pytest.fixture
def first_control_flow() -> Iterator[None]:
    """Branches and loops as nodes of the graph: Switch, Merge, Enter, Exit."""
    v1.disable_control_flow_v2()
    yield
    v1.enable_control_flow_v2()


@pytest.mark.parametrize("function", [in_branches, in_branches_of_references])
def test_branches_and_loops_of_tensorflow_1(
    tmp_path: Path, first_control_flow: None, function: Callable[[Tensor], Tensor]
) -> None:
    path = save_in_session(tmp_path / "saved", function)
    v1.enable_control_flow_v2()
    told = opened(path).predict(IMAGES).probabilities
    assert told is not None
    np.testing.assert_allclose(told, tf.nn.softmax(told_by_tensorflow(path)), atol=1e-5)


@pytest.mark.parametrize("function", [of_references, of_resources, in_two_parts])
def test_exports_of_tensorflow_1(tmp_path: Path, function: Callable[[Tensor], Tensor]) -> None:
    path = save_in_session(tmp_path / "saved", function)
    np.testing.assert_allclose(logits_of(path), told_by_tensorflow(path), atol=1e-5)


def test_several_signatures_and_an_output_with_a_name(tmp_path: Path) -> None:
    module = tf.Module()
    module.weights = tf.Variable(np.random.default_rng(0).normal(size=(192, 5)).astype(np.float32))
    spec = tf.TensorSpec((None, 8, 8, 3), name="pixels")
    module.answer = tf.function(
        lambda pixels: {"scores": tf.reshape(pixels, (-1, 192)) @ module.weights}, input_signature=[spec]
    )
    module.features = tf.function(lambda pixels: {"a": pixels, "b": pixels}, input_signature=[spec])
    path = tmp_path / "saved"
    tf.saved_model.save(module, str(path), {"serving_default": module.answer, "features": module.features})
    np.testing.assert_allclose(logits_of(path), told_by_tensorflow(path), atol=1e-5)
    assert opened(path, NHWC.replace(input="pixels"))


def test_an_embedding_a_branch_and_a_loop_over_variables(tmp_path: Path) -> None:
    table = tf.Variable(np.random.default_rng(0).normal(size=(9, 5)).astype(np.float32))

    def answer(images: Tensor) -> Tensor:
        rows = tf.gather(table, tf.cast(images[:, 0, :, 0] * 8, tf.int32))
        _, looped = tf.while_loop(
            lambda i, _: i < 3, lambda i, x: (i + 1, x * table[0, 0]), [0, tf.reduce_sum(rows, 1)]
        )
        return tf.cond(tf.reduce_mean(table) > 100, lambda: -looped, lambda: looped + table[1]) + linear(images)

    path = save_function(tmp_path / "saved", answer, table=table)
    np.testing.assert_allclose(logits_of(path), told_by_tensorflow(path), rtol=1e-5)


def with_a_branch(seed: int) -> KerasModel:
    """Return a network whose graph has a branch at inference: the longer side decides what is padded."""
    layers, images = keras.layers, keras.Input((8, 8, 3))
    keras.utils.set_random_seed(seed)
    sized = layers.Resizing(6, 4, pad_to_aspect_ratio=True)(images)
    return keras.Model(images, layers.Dense(5)(layers.Flatten()(sized)))


def test_many_of_one_architecture_are_open_at_once(tmp_path: Path) -> None:
    """Freezing writes a branch's functions anew, and all models of a process share the names of functions."""
    networks = [with_a_branch(seed) for seed in (0, 1)]
    for seed, network in enumerate(networks):
        network.export(tmp_path / str(seed), verbose=False)
    order = (0, 1, 0, 0, 1)
    x = as_unit_float(IMAGES)
    v = np.random.default_rng(0).standard_normal((len(x), 5)).astype(np.float32)
    answered = [model.vjp(x) for model in [opened(tmp_path / str(seed)) for seed in order]]
    for seed, (logits, pullback) in zip(order, answered, strict=True):
        expected, gradient = tape_vjp(networks[seed], x, v)
        np.testing.assert_allclose(logits, expected, atol=1e-6)
        np.testing.assert_allclose(pullback(v), gradient, atol=1e-6)
    assert np.abs(answered[0][0] - answered[1][0]).max() > 0.01


APPLICATIONS = sorted(name for name in dir(keras.applications) if name[0].isupper())
SMALL = ("MobileNetV3Small",)
"""Tried before each change: it has gates, normalisation of batches and depthwise convolutions."""


def application(name: str) -> KerasModel:
    size = 75 if "Inception" in name or name == "Xception" else 32
    return getattr(keras.applications, name)(weights=None, classes=5, input_shape=(size, size, 3))


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.long if name in SMALL else pytest.mark.slow) for name in APPLICATIONS],
)
def test_keras_applications(tmp_path: Path, name: str) -> None:
    network = application(name)
    images = np.random.default_rng(0).integers(0, 256, (2, *network.input_shape[1:]), dtype=np.uint8)
    network.export(tmp_path / "saved", verbose=False)
    told = opened(tmp_path / "saved", NHWC.replace(output="probabilities")).predict(images).probabilities
    assert told is not None
    np.testing.assert_allclose(told, network(as_unit_float(images), training=False), atol=1e-5)
    keras.backend.clear_session()


@pytest.mark.parametrize("kind", ["LSTM", "GRU", "SimpleRNN"])
def test_gradients_through_recurrent_layers(tmp_path: Path, kind: str) -> None:
    layers, images = keras.layers, keras.Input((8, 8, 3))
    rows = layers.Reshape((8, 24))(images)
    network = keras.Model(images, layers.Dense(5)(layers.Bidirectional(getattr(layers, kind)(6))(rows)))
    network.export(tmp_path / "saved", verbose=False)
    x = as_unit_float(IMAGES)
    logits, pullback = opened(tmp_path / "saved").vjp(x)
    v = np.random.default_rng(0).standard_normal(logits.shape).astype(np.float32)
    expected, gradient = tape_vjp(network, x, v)
    np.testing.assert_allclose(logits, expected, atol=1e-6)
    assert np.abs(gradient).max() > 1e-3
    np.testing.assert_allclose(pullback(v), gradient, atol=1e-6)


def saving_to(mark: Path) -> Any:  # noqa: ANN401 - an operation
    return tf.raw_ops.SaveV2(prefix=str(mark), tensor_names=["a"], shape_and_slices=[""], tensors=[tf.constant([1])])


def test_what_loading_would_run_is_not_run(tmp_path: Path) -> None:
    mark = tmp_path / "written"
    honest = save_in_session(tmp_path / "honest", of_resources)
    hostile = save_in_session(tmp_path / "hostile", of_resources, at_loading=lambda: saving_to(mark))
    opened(honest).predict(IMAGES)
    opened(hostile).predict(IMAGES)
    assert not list(tmp_path.glob("written*"))
    tf.saved_model.load(str(hostile))
    assert list(tmp_path.glob("written*"))  # so the absence above shows something


def with_writer(function: Any, mark: Path, *, node: str = "spy") -> None:  # noqa: ANN401 - a FunctionDef
    """Add to a function an operation that writes a file, and have it run."""
    for name, text in (("path", str(mark)), ("text", "was run")):
        constant = function.node_def.add(name=f"{node}_{name}", op="Const")
        constant.attr["dtype"].type = tf.string.as_datatype_enum
        constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(text))
    function.node_def.add(name=node, op="WriteFile", input=[f"{node}_path:output:0", f"{node}_text:output:0"])
    function.signature.control_output.append(node)
    function.control_ret[node] = node
    function.signature.is_stateful = True


def named(meta: MetaGraph, part: str) -> Any:  # noqa: ANN401 - a FunctionDef
    return next(function for function in meta.graph_def.library.function if part in function.signature.name)


def test_a_restore_function_is_looked_at_and_not_run(tmp_path: Path) -> None:
    mark, weights = tmp_path / "written", tf.Variable(np.random.default_rng(0).normal(size=(192, 5)).astype(np.float32))
    path = save_function(tmp_path / "saved", lambda images: tf.reshape(images, (-1, 192)) @ weights, weights=weights)
    before = logits_of(path)
    edited(path, lambda meta: with_writer(named(meta, "traced_restore"), mark))
    np.testing.assert_array_equal(logits_of(path), before)
    assert not mark.exists()


def test_registered_gradients_are_not_used(tmp_path: Path) -> None:
    mark = tmp_path / "written"
    path = save_function(tmp_path / "saved", lambda images: tf.nn.silu(linear(images)))  # it has a gradient of its own
    logits, pullback = opened(path).vjp(as_unit_float(IMAGES))
    expected = pullback(np.ones_like(logits))

    def change(meta: MetaGraph) -> None:
        gradient = named(meta, "internal_grad")
        with_writer(gradient, mark)
        entry = meta.graph_def.library.gradient.add()
        call = next(node for node in named(meta, "signature_wrapper").node_def if node.op.endswith("PartitionedCall"))
        entry.function_name, entry.gradient_func = call.attr["f"].func.name, gradient.signature.name

    edited(path, change)
    logits, pullback = opened(path).vjp(as_unit_float(IMAGES))
    np.testing.assert_allclose(pullback(np.ones_like(logits)), expected, atol=1e-6)
    assert not mark.exists()


def never_taken(images: Tensor, act: Callable[[], Any]) -> Tensor:
    def hidden() -> Tensor:
        act()
        return linear(images)

    return tf.cond(tf.reduce_sum(images) < -1, hidden, lambda: linear(images))


def in_a_case(images: Tensor, act: Callable[[], Any]) -> Tensor:
    def hidden() -> Tensor:
        act()
        return linear(images)

    return tf.switch_case(tf.cast(tf.reduce_sum(images) * 0, tf.int32), [lambda: linear(images), hidden])


def in_a_loop(images: Tensor, act: Callable[[], Any]) -> Tensor:
    def body(i: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        act()
        return i + 1, x

    return tf.while_loop(lambda i, _: i < 2, body, [0, linear(images)])[1]


def in_a_function_of_a_function(images: Tensor, act: Callable[[], Any]) -> Tensor:
    def body(x: Tensor) -> Tensor:
        act()
        return x

    inner = tf.function(body, autograph=False)
    outer = tf.function(lambda x: inner(x), autograph=False)  # noqa: PLW0108 - two functions are wanted
    return outer(linear(images))


@pytest.mark.parametrize("place", [never_taken, in_a_case, in_a_loop, in_a_function_of_a_function])
def test_functions_that_only_attributes_name_are_checked(
    tmp_path: Path, place: Callable[[Tensor, Callable[[], Any]], Tensor]
) -> None:
    mark = tmp_path / "written"
    honest = save_function(tmp_path / "honest", lambda images: place(images, lambda: None))
    np.testing.assert_allclose(logits_of(honest), told_by_tensorflow(honest), atol=1e-5)
    hostile = save_function(
        tmp_path / "hostile", lambda images: place(images, lambda: tf.io.write_file(str(mark), "was run"))
    )
    assert "calls WriteFile, which is no operation of a classifier" in refusal(hostile)
    assert not mark.exists()


def with_a_shift(meta: MetaGraph) -> tuple[Any, Any]:
    """Have the answer pass through a function of the file that adds 1; return the function and the node that calls."""
    made = meta.graph_def.library.function.add()
    made.signature.name = "shift"
    for argument in (made.signature.input_arg.add(name="a"), made.signature.output_arg.add(name="b")):
        argument.type = tf.float32.as_datatype_enum
    constant = made.node_def.add(name="one", op="Const")
    constant.attr["dtype"].type = tf.float32.as_datatype_enum
    constant.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(1.0))
    made.node_def.add(name="sum", op="AddV2", input=["a", "one:output:0"]).attr["T"].CopyFrom(constant.attr["dtype"])
    made.ret["b"] = "sum:z:0"
    scores = meta.signature_def["serving_default"].outputs["scores"]
    call = meta.graph_def.node.add(name="shifted", op="PartitionedCall", input=[scores.name])
    call.attr["f"].func.name = "shift"
    for name in ("Tin", "Tout"):
        call.attr[name].list.type.append(tf.float32.as_datatype_enum)
    scores.name = "shifted:0"
    return made, call


def given_a_handle(function: Any, call: Any) -> None:  # noqa: ANN401 - a FunctionDef and a NodeDef
    """Let the call say that the constant is a handle, of whatever variable of the process."""
    constant = function.node_def[0]
    for name, kind, taken in (("T", "type", "dtype"), ("V", "tensor", "value")):
        function.signature.attr.add(name=name, type=kind)
        constant.attr[taken].placeholder = name
    call.op = "shift"
    call.attr["T"].type = tf.resource.as_datatype_enum
    call.attr["V"].tensor.dtype = tf.resource.as_datatype_enum
    call.attr["V"].tensor.resource_handle_val.add(name="secret", container="localhost")
    read = function.node_def.add(name="read", op="ReadVariableOp", input=["one:output:0"])
    read.attr["dtype"].type = tf.float32.as_datatype_enum
    function.node_def[1].input[1] = "read:value:0"


def declaring_a_parameter(function: Any, _call: Any) -> None:  # noqa: ANN401 - a FunctionDef and a NodeDef
    function.signature.attr.add(name="T", type="type")


def using_a_parameter(function: Any, _call: Any) -> None:  # noqa: ANN401 - a FunctionDef and a NodeDef
    function.node_def[1].attr["T"].placeholder = "T"


def handing_on_a_function(_function: Any, call: Any) -> None:  # noqa: ANN401 - a FunctionDef and a NodeDef
    call.attr["f"].func.attr["F"].func.name = "ReadFile"


def handing_on_a_function_in_a_list(function: Any, call: Any) -> None:  # noqa: ANN401 - a FunctionDef and a NodeDef
    call.attr["more"].list.func.add(name=function.signature.name).attr["F"].func.name = "ReadFile"


@pytest.mark.parametrize(
    "change",
    [
        given_a_handle,
        declaring_a_parameter,
        using_a_parameter,
        handing_on_a_function,
        handing_on_a_function_in_a_list,
    ],
)
def test_functions_that_are_completed_by_their_callers(tmp_path: Path, change: Callable[[Any, Any], None]) -> None:
    path = save_in_session(tmp_path / "saved", of_resources)
    before = logits_of(path)
    honest = shutil.copytree(path, tmp_path / "honest")
    np.testing.assert_allclose(logits_of(edited(honest, with_a_shift)), before + 1, atol=1e-5)
    edited(path, lambda meta: change(*with_a_shift(meta)))
    assert "is given types, values or functions by what calls it" in refusal(path)


def by_a_table(images: Tensor) -> Tensor:
    keys = tf.constant([0, 1], tf.int64)
    table = tf.lookup.experimental.MutableHashTable(tf.int64, tf.float32, 0.0)
    table.insert(keys, tf.constant([1.0, 2.0]))
    return linear(images) * table.lookup(tf.constant(1, tf.int64))


def by_the_clock(images: Tensor) -> Tensor:
    return linear(images) + tf.cast(tf.timestamp(), tf.float32)


def by_a_queue(images: Tensor) -> Tensor:
    return linear(images) * tf.queue.FIFOQueue(1, [tf.float32], [[]]).dequeue()


def ending_the_process(images: Tensor) -> Tensor:
    with tf.control_dependencies([tf.raw_ops.Abort(error_msg="bye")]):
        return linear(images)


def by_a_file_in_a_variable(images: Tensor, state: Tensor) -> Tensor:
    with tf.control_dependencies([state.assign(tf.cast(tf.strings.length(tf.io.read_file(__file__)), tf.float32))]):
        return linear(images)


@pytest.mark.parametrize(
    ("function", "operations"),
    [
        (by_a_table, "MutableHashTable"),
        (by_the_clock, "Timestamp"),
        (ending_the_process, "Abort"),
    ],
)
def test_what_is_on_no_list_is_never_run(tmp_path: Path, function: Callable[[Tensor], Tensor], operations: str) -> None:
    assert operations in refusal(save_function(tmp_path / "saved", function))


def test_a_queue_that_nobody_fills_is_not_waited_for(tmp_path: Path) -> None:
    assert "FIFOQueueV2, QueueDequeueV2" in refusal(save_in_session(tmp_path / "saved", by_a_queue))


def test_what_a_variable_is_given_is_checked_although_it_is_left_out(tmp_path: Path) -> None:
    state = tf.Variable(0.0)
    path = save_function(tmp_path / "saved", lambda images: by_a_file_in_a_variable(images, state), state=state)
    assert "calls ReadFile" in refusal(path)


def test_the_list_names_what_is_foreign() -> None:
    known = ["Conv2D", "MatMul", "Softmax", "While", "ReadVariableOp", "FusedBatchNormV3"]
    check_operations(known, origin="net")
    with pytest.raises(ModelError, match="net: the model's graph calls NoSuch, PyFunc, which"):
        check_operations([*known, "PyFunc", "NoSuch"], origin="net")


def counting(images: Tensor, state: Tensor) -> Tensor:
    with tf.control_dependencies([state.assign_add(1.0)]):
        return linear(images)


def counting_in_the_answer(images: Tensor, state: Tensor) -> Tensor:
    state.assign_add(1.0)
    return linear(images) * state


def learning(images: Tensor, state: Tensor) -> Tensor:
    state.assign(0.9 * state + 0.1 * tf.reduce_mean(images))
    return linear(images)


def test_state_that_no_answer_depends_on_is_left_alone(tmp_path: Path) -> None:
    state = tf.Variable(1.0)
    path = save_function(tmp_path / "saved", lambda images: counting(images, state), state=state)
    model = opened(path)
    np.testing.assert_allclose(model.vjp(as_unit_float(IMAGES))[0], told_by_tensorflow(path), atol=1e-5)
    np.testing.assert_array_equal(model.vjp(as_unit_float(IMAGES))[0], model.vjp(as_unit_float(IMAGES))[0])


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (counting_in_the_answer, "which changes at every call"),
        (learning, "the model changes its variables by the images that it is asked"),
    ],
)
def test_state_that_decides_is_refused(
    tmp_path: Path, function: Callable[[Tensor, Tensor], Tensor], reason: str
) -> None:
    state = tf.Variable(1.0)
    path = save_function(tmp_path / "saved", lambda images: function(images, state), state=state)
    assert reason in refusal(path)


def test_a_network_exported_in_training_is_refused(tmp_path: Path) -> None:
    network = convnet(0)
    for training in (False, True):
        traced = tf.function(lambda images, training=training: network(images, training=training), autograph=False)
        signature = traced.get_concrete_function(tf.TensorSpec((None, 8, 8, 3)))
        tf.saved_model.save(network, str(tmp_path / str(training)), signatures=signature)
    np.testing.assert_allclose(logits_of(tmp_path / "False"), network(as_unit_float(IMAGES), training=False), atol=1e-5)
    assert "as in training" in refusal(tmp_path / "True")


def calling_itself(meta: MetaGraph) -> None:
    function = named(meta, "signature_wrapper")
    call = next(node for node in function.node_def if node.op.endswith("PartitionedCall"))
    call.attr["f"].func.name = function.signature.name


def calling_often(meta: MetaGraph) -> None:
    """Thirty functions, each of which calls the next one twice."""
    library, inner = meta.graph_def.library, named(meta, "signature_wrapper")
    call = next(node for node in inner.node_def if node.op.endswith("PartitionedCall"))
    called = call.attr["f"].func.name
    for place in range(30):
        made = library.function.add()
        made.CopyFrom(inner)
        made.signature.name = f"twice_{place}"
        first = next(node for node in made.node_def if node.op.endswith("PartitionedCall"))
        first.attr["f"].func.name = called
        second = made.node_def.add()
        second.CopyFrom(first)
        second.name = "again"
        made.control_ret["again"] = "again"
        called = made.signature.name
    call.attr["f"].func.name = called


def without_a_function(meta: MetaGraph) -> None:
    call = next(node for node in named(meta, "signature_wrapper").node_def if node.op.endswith("PartitionedCall"))
    call.attr["f"].func.name = "gone"


def with_two_of_a_name(meta: MetaGraph) -> None:
    meta.graph_def.library.function.add().CopyFrom(named(meta, "signature_wrapper"))


def with_another_type(meta: MetaGraph) -> None:
    node = next(node for node in meta.graph_def.node if node.op == "VarHandleOp")
    node.attr["dtype"].type = tf.float64.as_datatype_enum


def with_another_shape(meta: MetaGraph) -> None:
    node = next(node for node in meta.graph_def.node if node.op == "VarHandleOp")
    node.attr["shape"].shape.dim[0].size = 7


def without_objects(meta: MetaGraph) -> None:
    meta.ClearField("object_graph_def")
    meta.ClearField("saver_def")


def with_half_its_objects(meta: MetaGraph) -> None:
    del meta.object_graph_def.nodes[len(meta.object_graph_def.nodes) // 2 :]
    meta.ClearField("saver_def")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (calling_itself, "calls itself"),
        (calling_often, "nodes would be run"),
        (without_a_function, "there is no function 'gone'"),
        (with_two_of_a_name, "two parts are called"),
        (with_another_type, "as float32, its graph as float64"),
        (with_another_shape, "has shape (7, 5), its value (192, 5)"),
        (without_objects, "has no value in its checkpoint"),
        (with_half_its_objects, "this SavedModel cannot be loaded ("),
    ],
)
def test_a_description_that_cannot_be_is_said_in_one_sentence(
    tmp_path: Path, change: Callable[[MetaGraph], None], reason: str
) -> None:
    weights = tf.Variable(np.random.default_rng(0).normal(size=(192, 5)).astype(np.float32))
    path = save_function(tmp_path / "saved", lambda images: tf.reshape(images, (-1, 192)) @ weights, weights=weights)
    assert logits_of(path).shape == (4, 5)
    assert reason in refusal(edited(path, change))


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.99])
@pytest.mark.parametrize(
    "name", ["saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"]
)
def test_cut_files_are_said_in_one_sentence(tmp_path: Path, name: str, share: float) -> None:
    weights = tf.Variable(np.random.default_rng(0).normal(size=(192, 5)).astype(np.float32))
    path = save_function(tmp_path / "saved", lambda images: tf.reshape(images, (-1, 192)) @ weights, weights=weights)
    content = (path / name).read_bytes()
    (path / name).write_bytes(content[: int(len(content) * share)])
    assert refusal(path)


def test_variables_are_looked_for_in_the_folder_alone(tmp_path: Path) -> None:
    """A checkpoint's name that is a folder would have TensorFlow follow a text file to any other checkpoint."""
    weights = tf.Variable(np.random.default_rng(0).normal(size=(192, 5)).astype(np.float32))
    path = save_function(tmp_path / "saved", lambda images: tf.reshape(images, (-1, 192)) @ weights, weights=weights)
    shutil.move(path / "variables", tmp_path / "elsewhere")
    (path / "variables" / "variables").mkdir(parents=True)
    (path / "variables" / "variables" / "checkpoint").write_text(
        f'model_checkpoint_path: "{tmp_path / "elsewhere" / "variables"}"\n'
    )
    assert "this SavedModel cannot be loaded (" in refusal(path)
