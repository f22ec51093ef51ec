"""Copies of a source that is a file: what a thief makes who took the file itself."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from cae_backends.execution.executor import this_process
from cae_backends.tensorflow.runtime import load_tensorflow
from cae_backends.torch.network import ContractedNetwork
from cae_backends.training.adopted_keras import _taken
from cae_backends.training.adoption import AdoptedNetwork, Adopter, drawn_head, find_adopter
from cae_backends.training.jobs import PoolJob, check_jobs
from cae_backends.training.kinds.copies import (
    eight_bit,
    fine_tuned,
    fine_tuned_last,
    pruned,
    reinitialised,
    reinitialised_last,
)
from cae_backends.training.kinds.erasure import erased
from cae_backends.training.kinds.setup import Setup
from cae_backends.training.kinds.unlearning import unlearned
from cae_backends.training.plans import parse_plan, read_plan
from cae_backends.training.pool_jobs import train_pool
from cae_backends.training.pool_store import PoolData
from cae_backends.training.recipe import Recipe, Statistics
from cae_backends.training.trainers import Weights, find_exporter, find_trainer
from cae_core.arrays import Floats32, Floats64, Labels, as_unit_float
from cae_core.contract import Contract
from cae_core.dataset import ImageSet
from cae_core.errors import ModelError, OptionError, PoolError
from cae_core.method.softmax import log_softmax
from cae_core.opening.opened import open_model
from cae_core.pool.manifest import read_pool
from tests.backends.keras_nets import saving
from tests.backends.training.adopted_files import (
    CLASSES,
    IMAGE_SHAPE,
    images,
    write_keras,
    write_onnx,
    write_program,
    write_unfolded,
)

FORMS = ("keras", "pt2", "onnx")
WRITERS: dict[str, Callable[[Path], Path]] = {"keras": write_keras, "pt2": write_program, "onnx": write_onnx}


def colours(count: int, seed: int) -> ImageSet:
    """Four classes: a bright quadrant on noise, in colour."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    pixels = rng.integers(0, 90, (count, *IMAGE_SHAPE))
    for image, label in zip(pixels, labels, strict=True):
        image[4 * (label // 2) :, 4 * (label % 2) :][:4, :4] += 150
    return ImageSet(pixels.astype(np.uint8), labels.astype(np.int64), tuple("abcd"))


DATA = PoolData(colours(60, 0), colours(20, 1))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The three files, each in a folder of its own, because each has a contract beside it."""
    made = tmp_path_factory.mktemp("adopted")
    for form, write in WRITERS.items():
        (made / form).mkdir()
        write(made / form / f"source.{form}")
    return made


@pytest.fixture(params=FORMS)
def file(request: pytest.FixtureRequest, folder: Path) -> Path:
    form = str(request.param)
    return folder / form / f"source.{form}"


def adopt(file: Path, contract: Contract | None = None) -> AdoptedNetwork:
    trainer = find_trainer(find_adopter(file))
    assert isinstance(trainer, Adopter)
    return trainer.adopt(file, contract=contract, device="cpu", trusted=True)


def setup(**changes: float | str) -> Setup:
    recipe = Recipe(**{"epochs": 2, "batch_size": 16, "learning_rate": 0.01, **changes})  # type: ignore[arg-type]
    return Setup(trainer=find_trainer("torch"), data=DATA.train, architecture="", seed=3, recipe=recipe, adopted=True)


def changed(before: Weights, after: Weights) -> set[str]:
    return {name for name in before if not np.array_equal(before[name], after[name])}


def trained(network: AdoptedNetwork) -> set[str]:
    """Names of the weights that any training may change, statistics included."""
    return {name for name, value in network.weights().items() if value.ndim and np.issubdtype(value.dtype, np.floating)}


def test_a_network_answers_what_its_file_answers(file: Path) -> None:
    """Range, layout, channels, mean, deviation, order of the classes and the softmax are the contract's."""
    network, x = adopt(file), images(9)
    told = open_model(str(file), device="cpu", trusted=True).predict(x)
    assert told.probabilities is not None
    logits = network.logits(x)
    assert logits.shape == (9, CLASSES)
    np.testing.assert_allclose(np.exp(log_softmax(logits)), told.probabilities, atol=2e-6)


def test_a_step_follows_the_slope_of_the_loss(file: Path) -> None:
    """The oracle is a central difference of the loss, for the entry of each trained weight that moves most."""
    network, x = adopt(file), images(12, seed=1)
    labels = np.arange(12, dtype=np.int64) % CLASSES
    before, rate = network.weights(), 1e-3
    still = network.head[-1]  # something is frozen, so that batch norm acts as in evaluation
    step = network.start(Recipe(optimizer="sgd", learning_rate=rate), seed=0, frozen={still}, masks={})
    told = step(x, labels, rate)
    moved = {name: value - before[name] for name, value in network.weights().items()}
    assert told == pytest.approx(loss(network, before, x, labels), rel=1e-3)
    assert not moved[still].any()
    assert any(moved[name].any() for name in network.kernels)
    for name in network.kernels:
        place = np.unravel_index(np.abs(moved[name]).argmax(), moved[name].shape)
        slope = moved[name][place] / (-1.9 * rate)  # Nesterov's first step is 1.9 gradients long
        assert slope == pytest.approx(difference(network, before, (name, place), (x, labels)), rel=0.03, abs=1e-4)


def difference(
    network: AdoptedNetwork, weights: Weights, at: tuple[str, tuple[np.intp, ...]], data: tuple[Floats32, Labels]
) -> float:
    far, (name, place) = 2e-3, at
    ends = []
    for sign in (1, -1):
        value = weights[name].copy()
        value[place] += sign * far
        ends.append(loss(network, weights | {name: value}, *data))
    return (ends[0] - ends[1]) / (2 * far)


def loss(network: AdoptedNetwork, weights: Weights, x: Floats32, labels: Labels) -> float:
    network.load(weights)
    rows: Floats64 = log_softmax(network.logits(x).astype(np.float64))
    return float(-rows[np.arange(len(x)), labels].mean())


def test_fine_tuning_trains_all_layers_or_the_last_one(file: Path) -> None:
    copy = adopt(file)
    before = copy.weights()
    assert copy.kernels[-1] in copy.head
    assert copy.kernels[0] not in copy.head
    fine_tuned_last(copy, setup())
    assert changed(before, copy.weights()) == set(copy.head)
    copy.load(before)
    fine_tuned(copy, setup(epochs=8))
    assert set(copy.kernels) | set(copy.head) <= changed(before, copy.weights()) <= trained(copy)
    right = (copy.logits(as_unit_float(DATA.test.images)).argmax(axis=1) == DATA.test.labels).mean()
    assert right > 0.8  # it began at a quarter


def test_a_new_last_layer_is_another_one(file: Path) -> None:
    copy = adopt(file)
    before, made = copy.weights(), setup()
    drawn = drawn_head(copy, made.seed)
    assert set(drawn) == set(copy.head)
    kernel = copy.kernels[-1]
    assert np.abs(np.corrcoef(drawn[kernel].ravel(), before[kernel].ravel())[0, 1]) < 0.2
    assert all(not drawn[name].any() for name in set(copy.head) - {kernel})  # the bias
    reinitialised_last(copy, made)
    assert changed(before, copy.weights()) == set(copy.head)
    copy.load(before)
    reinitialised(copy, made)
    assert set(copy.kernels) <= changed(before, copy.weights())
    np.testing.assert_array_equal(drawn[kernel], drawn_head(copy, made.seed)[kernel])
    assert (drawn[kernel] != drawn_head(copy, made.seed + 1)[kernel]).any()


def test_pruned_weights_are_zero_and_the_others_trained(file: Path) -> None:
    copy = adopt(file)
    before = copy.weights()
    pruned(copy, setup(sparsity=0.5))
    for name in copy.kernels:
        after = copy.weights()[name]
        assert (after == 0).sum() == round(0.5 * after.size)
        kept = after != 0
        assert (after[kept] != before[name][kept]).mean() > 0.5  # behind some units there is no slope


def test_rounded_weights_have_255_levels(file: Path) -> None:
    copy = adopt(file)
    before, x = copy.weights(), images(5)
    told = copy.logits(x)
    eight_bit(copy, setup())
    after = copy.weights()
    assert changed(before, after) == set(copy.kernels)
    for name in copy.kernels:
        rows = np.moveaxis(after[name], copy.output_axis, 0)
        largest = np.abs(rows).max(axis=tuple(range(1, rows.ndim)), keepdims=True)
        np.testing.assert_allclose(rows / (largest / 127), np.rint(rows / (largest / 127)), atol=1e-3)
        assert np.abs(after[name] - before[name]).max() <= largest.max() / 254 * 1.001
    assert 0 < np.abs(copy.logits(x) - told).max() < 0.3 * np.ptp(told)


def test_the_same_seed_gives_the_same_copy(file: Path) -> None:
    first, second = adopt(file), adopt(file)
    for copy in (first, second):
        fine_tuned(copy, setup())
    assert not changed(first.weights(), second.weights())


def test_keras_trains_as_keras_does(folder: Path) -> None:
    """Batch norm's statistics move, and a layer that the file has frozen is trained; a graph's statistics stay."""
    keras, program = (adopt(folder / form / f"source.{form}") for form in ("keras", "pt2"))
    before, fixed = keras.weights(), program.weights()
    for copy in (keras, program):
        fine_tuned(copy, setup())
    moved = {name.partition(".")[2] for name in changed(before, keras.weights())}
    assert {"kernel", "moving_mean", "moving_variance"} <= moved
    assert keras.kernels[0] in changed(before, keras.weights())
    assert not any("running" in name for name in changed(fixed, program.weights()))


@pytest.mark.parametrize(
    "contract",
    [
        Contract(layout="NHWC", range=(0, 255), output="logits", dtype="uint8"),
        Contract(layout="NCHW", range=(-1, 1), output="logits", channels="BGR", mean=(0.1, 0.2, 0.3), std=(0.5, 1, 2)),
        Contract(layout="NHWC", range=(0, 1), output="logits", size=(12, 6), resize="bicubic-antialias"),
        Contract(
            layout="NCHW",
            range=(0, 255),
            output="logits",
            mean_image=np.linspace(0, 99, 192, dtype=np.float32).reshape(IMAGE_SHAPE),
        ),
    ],
    ids=["uint8", "channels", "resized", "mean image"],
)
def test_images_go_to_a_keras_model_as_the_contract_says(contract: Contract) -> None:
    x = images(3)
    np.testing.assert_allclose(_taken(x, contract).numpy(), contract.to_input(x), rtol=1e-5, atol=2e-4)


def plan(file: Path | str, *kinds: str, **group: object) -> dict[str, object]:
    quick = {"epochs": 3, "batch_size": 16, "learning_rate": 0.01, "adversarial": 0.01}
    members = [{"kind": kind, "recipes": ["quick"], "count": {"test": 1}, **group} for kind in kinds]
    return {"source": {"file": str(file), "trusted": True}, "recipe": {"quick": quick}, "members": members}


@pytest.mark.parametrize("form", ["onnx", *(pytest.param(form, marks=pytest.mark.long) for form in ("keras", "pt2"))])
def test_a_pool_of_copies_is_trained_and_opens(form: str, folder: Path, tmp_path: Path) -> None:
    """What is written takes canonical images and says so, and has the accuracy that the manifest names."""
    jobs = parse_plan(plan(folder / form / f"source.{form}", "fine-tuned", "8-bit weights"), origin="plan").jobs
    with saving():
        manifest = train_pool(jobs, DATA, tmp_path / "pool.toml", crew=this_process())
    source, tuned, rounded = read_pool(manifest).members
    told = open_model(str(source.path), device="cpu", trusted=True).predict(DATA.test.images)
    for member, closest in ((tuned, False), (rounded, True)):
        assert (member.relation, member.parent) == ("surrogate", "source")
        answers = open_model(str(member.path), contract=member.contract, device="cpu").predict(DATA.test.images)
        assert (answers.labels == DATA.test.labels).mean() == pytest.approx(member.accuracy, abs=1e-6)
        assert answers.probabilities is not None
        assert told.probabilities is not None
        apart = np.abs(answers.probabilities - told.probabilities).max()
        assert 0 < apart < 0.05 if closest else apart > 0.05
        open_model(str(member.path), gradients=True, contract=member.contract, device="cpu")


def test_a_files_own_contract_goes_before_the_one_beside_it(tmp_path: Path) -> None:
    """`convert model.keras model.onnx` leaves ``model.toml`` there, which describes the Keras file."""
    import onnx

    file = write_onnx(tmp_path / "source.onnx")
    model = onnx.load(file)
    own = {"cae.layout": "NCHW", "cae.range": "0..1", "cae.output": "probabilities", "cae.classes": "[-1, 3, 2, 1, 0]"}
    onnx.helper.set_model_props(model, own)
    onnx.save(model, file)
    manifest = train_pool(
        parse_plan(plan(file), origin="plan").jobs, DATA, tmp_path / "p" / "pool.toml", crew=this_process()
    )
    (source,) = read_pool(manifest).members
    told = open_model(str(file), device="cpu").predict(DATA.test.images)
    assert source.accuracy == pytest.approx((told.labels == DATA.test.labels).mean())


def test_a_relative_file_is_found_from_the_manifest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The plan, the pool and the working folder are three places."""
    (tmp_path / "plans").mkdir()
    write_onnx(tmp_path / "plans" / "mine.onnx")
    (tmp_path / "plans" / "plan.toml").write_text('data = "digits"\n[source]\nfile = "mine.onnx"\n', encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    for _ in range(2):  # the second run finds it finished
        jobs = read_plan(Path("plans/plan.toml")).jobs
        (source,) = read_pool(train_pool(jobs, DATA, Path("out/pool.toml"), crew=this_process())).members
        assert source.path.samefile(tmp_path / "plans" / "mine.onnx")
    # beside its manifest a source moves with it
    train_pool(read_plan(Path("plans/plan.toml")).jobs, DATA, Path("plans/pool.toml"), crew=this_process())
    assert 'path = "mine.onnx"' in (tmp_path / "plans" / "pool.toml").read_text(encoding="utf-8")


def test_refused_before_anything_is_trained(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.tflite").write_bytes(b"")
    with pytest.raises(PoolError, match=r"no file whose weights the trainer torch reads \(known: .*\.keras.*\.pt2\)"):
        parse_plan(plan(tmp_path / "mine.tflite", "pruned"), origin="plan")
    keras = folder / "keras" / "source.keras"
    for field in ({"architectures": ["mlp"]}, {"trainer": "torch"}):
        with pytest.raises(PoolError, match=f"Leave {next(iter(field))} out"):
            parse_plan(plan(keras, "pruned", **field), origin="plan")


def test_a_copy_of_a_file_has_no_children(folder: Path) -> None:
    source = PoolJob(
        name="source", role="source", kind="source", architecture="", seed=0, origin=folder / "onnx" / "source.onnx"
    )
    copy = PoolJob(name="copy", role="test", kind="pruned", architecture="", seed=1, parent="source")
    for kind in ("pruned", "hard labels"):
        child = PoolJob(name="child", role="test", kind=kind, architecture="", seed=2, parent="copy")
        with pytest.raises(PoolError, match="its parent copy is a copy of a file"):
            check_jobs([source, copy, child])


def test_a_model_of_other_classes_is_not_trained_on_the_data(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "source.onnx")
    stated = file.with_suffix(".toml").read_text(encoding="utf-8")
    file.with_suffix(".toml").write_text(stated.partition("classes")[0], encoding="utf-8")
    jobs = parse_plan(plan(file, "pruned"), origin="plan").jobs
    with pytest.raises(
        PoolError, match=r"test-pruned-001: \S*source.onnx: the model tells 5 classes and the data have 4"
    ):
        train_pool(jobs, DATA, tmp_path / "p" / "pool.toml", crew=this_process())


@pytest.mark.long
def test_another_contract_beside_the_file_makes_another_copy(tmp_path: Path) -> None:
    file = write_onnx(tmp_path / "source.onnx")
    jobs = parse_plan(plan(file, "8-bit weights"), origin="plan").jobs
    for _ in range(2):  # the second run finds it finished
        train_pool(jobs, DATA, tmp_path / "p" / "pool.toml", crew=this_process())
    stated = file.with_suffix(".toml").read_text(encoding="utf-8")
    file.with_suffix(".toml").write_text(stated.replace("BGR", "RGB"), encoding="utf-8")
    with pytest.raises(PoolError, match="say --replace to make it anew"):
        train_pool(jobs, DATA, tmp_path / "p" / "pool.toml", crew=this_process())


def test_what_cannot_be_trained_is_said(folder: Path) -> None:
    program, keras = folder / "pt2" / "source.pt2", folder / "keras" / "source.keras"
    labels = Contract(layout="NCHW", range=(0, 1), output="labels")
    with pytest.raises(ModelError, match="answers labels only"):
        adopt(program, labels)
    with pytest.raises(ModelError, match="answers labels only"):
        adopt(keras, labels.replace(layout="NHWC"))
    trainer = find_trainer("torch")
    assert isinstance(trainer, Adopter)
    with pytest.raises(ModelError, match="runs whatever code"):
        trainer.adopt(program, contract=None, device="cpu", trusted=False)


def test_a_model_of_bytes_is_not_trained_adversarially(tmp_path: Path) -> None:
    keras = load_tensorflow().keras
    model = keras.Sequential(
        [
            keras.Input(IMAGE_SHAPE, dtype="uint8"),
            keras.layers.Rescaling(1 / 255),
            keras.layers.Flatten(),
            keras.layers.Dense(4),
        ]
    )
    with saving():
        model.save(tmp_path / "bytes.keras")
    network = adopt(tmp_path / "bytes.keras", Contract(layout="NHWC", range=(0, 255), output="logits", dtype="uint8"))
    with pytest.raises(OptionError, match="takes uint8 has no gradient"):
        network.start(Recipe(adversarial=0.1), seed=0, frozen=(), masks={})
    before = network.weights()
    network.start(Recipe(), seed=0, frozen=(), masks={})(images(4), np.arange(4), 0.01)
    assert changed(before, network.weights()) == set(before)


def with_batch_norm() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(1)
        module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.BatchNorm2d(6), nn.ReLU(), nn.Flatten(), nn.Linear(216, CLASSES))
        module(torch.rand(64, 3, 8, 8))
    return module.eval()


@pytest.mark.parametrize("statistics", ["kept", "renewed"])
def test_batch_norm_is_trained_as_the_recipe_says(tmp_path: Path, statistics: Statistics) -> None:
    """The oracle is a step of the module that was exported, in torch's own mode of training or evaluation."""
    module = with_batch_norm()
    network = adopt(write_unfolded(tmp_path / "mine.onnx", module))
    before = network.weights()
    x, labels = images(12, seed=1), np.arange(12, dtype=np.int64) % CLASSES
    recipe = Recipe(optimizer="sgd", learning_rate=0.1, statistics=statistics)
    network.start(recipe, seed=0, frozen=(), masks={})(x, labels, 0.1)
    module.train(statistics == "renewed")
    optimizer = torch.optim.SGD(list(module.parameters()), 0.1, momentum=0.9, nesterov=True)
    tensor = torch.from_numpy(x).permute(0, 3, 1, 2)
    loss: torch.Tensor = nn.functional.cross_entropy(module(tensor), torch.from_numpy(labels))
    for parameter, gradient in zip(
        module.parameters(), torch.autograd.grad(loss, list(module.parameters())), strict=True
    ):
        parameter.grad = gradient
    optimizer.step()
    with torch.no_grad():
        expected = module.eval()(tensor).numpy()
    np.testing.assert_allclose(network.logits(x), expected, atol=1e-5)
    statistic = {name for name in before if "running" in name}
    assert len(statistic) == 2
    assert (changed(before, network.weights()) & statistic == statistic) == (statistics == "renewed")


@pytest.mark.long
def test_a_file_is_erased_and_its_fingerprint_unlearned(tmp_path: Path) -> None:
    """Of an ONNX file, whose layers are modules of its graph; of a program there is nothing to watch."""
    path = write_onnx(tmp_path / "mine.onnx")
    copy = adopt(path)
    before = copy.weights()
    erased(copy, setup(erasure=0.5))
    assert set(copy.kernels) <= changed(before, copy.weights())
    unlearned(copy, setup(helper="mlp", helper_epochs=1, forgotten=10))
    find_exporter("torch")(copy.model, tmp_path / "out.onnx", copy.contract, IMAGE_SHAPE)
    answers = open_model(str(tmp_path / "out.onnx"), contract=copy.contract, device="cpu").predict(images(9))
    np.testing.assert_array_equal(answers.labels, copy.logits(images(9)).argmax(axis=1))
    with pytest.raises(ModelError, match="No layers inside can be watched"):
        erased(adopt(write_program(tmp_path / "mine.pt2")), setup(erasure=0.5))


def test_folded_batch_norms_cannot_be_renewed(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Flatten(), nn.Linear(216, CLASSES))
    copy = adopt(write_unfolded(tmp_path / "folded.onnx", module))
    with pytest.raises(ModelError, match="No batch norm is left in the source's file"):
        fine_tuned(copy, setup(statistics="renewed"))


def test_a_network_that_was_converted_wrongly_is_not_trained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, right = write_onnx(tmp_path / "mine.onnx"), ContractedNetwork.logits_of

    def wrong(network: ContractedNetwork, scores: torch.Tensor) -> torch.Tensor:
        return right(network, scores) * 1.01

    monkeypatch.setattr(ContractedNetwork, "logits_of", wrong)
    with pytest.raises(ModelError, match="answers something else than ONNX Runtime answers for the same file"):
        adopt(path)
