"""Training: the same seed gives the same weights, and thieves learn what the source says, in torch and in Keras."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from cae_backends.architectures.options import EFFICIENTNET_LITE, REPORT_ARCHITECTURES
from cae_backends.architectures.small_torch import ARCHITECTURES, build
from cae_backends.training.augmentation import Augmentation
from cae_backends.training.fitting import accuracy, fit, logits_of
from cae_backends.training.kinds.answers import distilled, retrained_on_labels, retrained_on_probabilities
from cae_backends.training.kinds.copies import COPIES, eight_bit, pruned
from cae_backends.training.kinds.record import Copy, Teacher
from cae_backends.training.kinds.scratch import independent
from cae_backends.training.kinds.setup import Made, Setup
from cae_backends.training.rates import Plateau
from cae_backends.training.recipe import Optimizer, Recipe, packaged_recipes, read_recipe
from cae_backends.training.torch_network import TorchNetwork
from cae_backends.training.trainers import Network, Trainer, Weights, find_trainer
from cae_core.arrays import Floats32, as_unit_float
from cae_core.errors import BackendMissing, DataError, ModelError, OptionError
from tests.backends.blobs import SHAPE, blobs

SHORT = Recipe(epochs=2, batch_size=16)
EVERYTHING = Recipe(
    epochs=4,
    batch_size=19,  # 38 images are trained on: batches of one size, for which Keras is traced once
    shift=1,
    flip=True,
    mix=0.4,
    noise=0.1,
    adversarial=0.05,
    temperature=2.0,
    label_smoothing=0.1,
    weight_decay=1e-3,
    share=0.8,
    validation=0.2,
    plateau=1,
    average=2,
    normalise="channels",
)
OTHERWISE = replace(EVERYTHING, optimizer="sgd", average=0, best=True, batch_size=16)
TRAINERS = ("torch", "keras")


def setup(recipe: Recipe = SHORT, *, seed: int = 1, architecture: str = "cnn-small", trainer: str = "torch") -> Setup:
    return Setup(trainer=find_trainer(trainer), data=blobs(), architecture=architecture, seed=seed, recipe=recipe)


def network(architecture: str = "mlp", seed: int = 0) -> TorchNetwork:
    return TorchNetwork(build(architecture, image_shape=SHAPE, classes=4, seed=seed))


@pytest.fixture(scope="module", params=TRAINERS)
def source(request: pytest.FixtureRequest) -> Network:
    return independent(setup(Recipe(epochs=8, batch_size=16), seed=5, trainer=request.param)).network


def same(a: Weights, b: Weights) -> bool:
    return all(np.array_equal(a[name], b[name]) for name in a)


def copied(source: Network, like: Setup) -> Network:
    copy = like.fresh()
    copy.load(source.weights())
    return copy


class Recorder(nn.Module):
    """Passes everything on and keeps what it has seen."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner
        self.seen: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.seen.append(images.clone())
        logits: Tensor = self.inner(images)
        return logits


class TestArchitectures:
    @pytest.mark.parametrize("name", ARCHITECTURES)
    @pytest.mark.parametrize("shape", [(8, 8, 1), (9, 13, 3), (32, 32, 3), (28, 28, 1)])
    def test_answers_one_logit_per_class(self, name: str, shape: tuple[int, int, int]) -> None:
        h, w, k = shape
        module = build(name, image_shape=shape, classes=7, seed=0).eval()
        assert module(torch.rand(3, k, h, w)).shape == (3, 7)

    def test_seed_decides_and_global_state_stays(self) -> None:
        state = torch.random.get_rng_state()
        made = [build("mlp", image_shape=SHAPE, classes=4, seed=seed) for seed in (0, 0, 1)]
        weights = [TorchNetwork(module).weights() for module in made]
        assert same(weights[0], weights[1])
        assert not same(weights[0], weights[2])
        assert torch.equal(state, torch.random.get_rng_state())

    @pytest.mark.parametrize(("name", "shape"), [("vgg", SHAPE), ("mlp", (2, 8, 1))])
    def test_refuses(self, name: str, shape: tuple[int, int, int]) -> None:
        with pytest.raises(OptionError, match=r"vgg|4x4"):
            build(name, image_shape=shape, classes=4, seed=0)


class TestRecipes:
    def test_the_report_has_the_settings_of_its_code(self) -> None:
        recipe = read_recipe("report", tables=packaged_recipes())
        assert (recipe.optimizer, recipe.learning_rate, recipe.batch_size, recipe.epochs) == ("adam", 1e-3, 32, 100)
        assert (recipe.schedule, recipe.plateau, recipe.patience, recipe.best) == ("keras-example", 5, 15, True)
        assert (recipe.normalise, recipe.l2, recipe.weight_decay) == ("mean-image", 1e-4, 0.0)
        assert not recipe.augments

    def test_a_base_speaks_where_the_table_is_silent(self) -> None:
        tables: dict[str, dict[str, Any]] = {"a": {"epochs": 3, "mix": 0.5}, "b": {"base": "a", "mix": 0.25}}
        recipe = read_recipe("b", tables=tables, changes={"noise": 1})
        assert (recipe.epochs, recipe.mix, recipe.noise) == (3, 0.25, 1.0)

    @pytest.mark.parametrize(
        ("table", "message"),
        [
            ({"base": "b"}, "each other's base"),
            ({"base": "c"}, "have no 'c'"),
            ({"colour": 1}, "unknown field 'colour'"),
            ({"epochs": "many"}, "epochs must be of type int"),
            ({"epochs": 0}, "1 epoch"),
            ({"optimizer": "lion"}, "adam, sgd"),
            ({"best": True}, "validation share"),
            ({"average": 99}, "averages at most"),
            ({"learning_rate": 0.0}, "positive"),
            ({"share": 0.0}, "share"),
            ({"mix": 2.0}, "mix"),
            ({"sparsity": 1.0}, "sparsity"),
            ({"shift": -1}, "not negative"),
        ],
    )
    def test_refuses(self, table: dict[str, Any], message: str) -> None:
        with pytest.raises(OptionError, match=message):
            read_recipe("b", tables={"b": table})

    def test_a_plateau_lowers_the_rate_and_ends_the_training(self) -> None:
        plateau = Plateau(Recipe(validation=0.1, plateau=2, patience=3))
        found = [(plateau.better(value), plateau.lowered(1.0), plateau.ended) for value in (0.5, 0.6, 0.6, 0.5, 0.1)]
        assert [better for better, _, _ in found] == [True, True, False, False, False]
        assert [rate for _, rate, _ in found] == pytest.approx([1, 1, 1, 0.1**0.5, 0.1**0.5])
        assert [ended for _, _, ended in found] == [False, False, False, False, True]
        assert plateau.lowered(1e-7) == 1e-7  # the floor does not raise what is below it


class TestAugmentation:
    def test_shift_moves_by_up_to_one_pixel_and_zeros_move_in(self) -> None:
        point = np.zeros((200, 8, 8, 1), np.uint8)
        point[:, 4, 4] = 255
        seen = Augmentation(point, Recipe(shift=1))(np.arange(200), np.random.default_rng(0))
        assert (seen.sum((1, 2, 3)) == 1).all()
        places = {(int(y), int(x)) for _, y, x, _ in np.argwhere(seen)}
        assert places == {(y, x) for y in (3, 4, 5) for x in (3, 4, 5)}

    def test_flip_mirrors_half_of_the_images(self) -> None:
        images = blobs(200).images
        seen = Augmentation(images, Recipe(flip=True))(np.arange(200), np.random.default_rng(0))
        kept = (seen == as_unit_float(images)).all((1, 2, 3))
        mirrored = (seen == as_unit_float(images[:, :, ::-1])).all((1, 2, 3))
        assert (kept | mirrored).all()
        assert 60 < kept.sum() < 140

    def test_blends_and_noise_stay_images(self) -> None:
        seen = Augmentation(blobs(50).images, Recipe(mix=0.8, noise=0.5))(np.arange(50), np.random.default_rng(0))
        assert seen.dtype == np.float32
        assert seen.min() == 0
        assert seen.max() == 1


class TestFit:
    @pytest.mark.parametrize(("recipe", "trainer"), [
        (SHORT, "torch"),
        (EVERYTHING, "torch"),
        (OTHERWISE, "torch"),
        (EVERYTHING, "keras"),
        pytest.param(SHORT, "keras", marks=pytest.mark.long),
        pytest.param(OTHERWISE, "keras", marks=pytest.mark.long),
    ])  # fmt: skip
    def test_same_seed_same_weights(self, recipe: Recipe, trainer: str) -> None:
        state, threads = torch.random.get_rng_state(), torch.get_num_threads()
        first, second, other = (
            independent(setup(recipe, seed=seed, trainer=trainer)).network.weights() for seed in (1, 1, 2)
        )
        assert same(first, second)
        assert not same(first, other)
        assert torch.equal(state, torch.random.get_rng_state())
        assert torch.get_num_threads() == threads

    def test_dropout_draws_from_the_seed_and_leaves_the_global_state(self) -> None:
        def trained(seed: int) -> Weights:
            layers = build("mlp", image_shape=SHAPE, classes=4, seed=0)
            made = TorchNetwork(nn.Sequential(*list(layers)[:-1], nn.Dropout(0.5), layers[-1]))
            state = torch.random.get_rng_state()
            fit(made, blobs().images, blobs().labels, replace(SHORT, adversarial=0.05), seed=seed)
            assert torch.equal(state, torch.random.get_rng_state())
            return made.weights()

        with torch.random.fork_rng(devices=[]):
            weights = []
            for state, seed in ((0, 1), (5, 1)):
                torch.manual_seed(state)
                weights.append(trained(seed))
        assert same(*weights)

    def test_dropout_differs_from_step_to_step(self) -> None:
        dropout = Recorder(nn.Identity())
        made = TorchNetwork(nn.Sequential(nn.Dropout(0.5), dropout, nn.Flatten(), nn.Linear(64, 4)))
        step = made.start(SHORT, seed=0, frozen=(), masks={})
        for _ in range(2):
            step(np.ones((4, *SHAPE), np.float32), np.zeros(4, np.int64), 0.1)
        assert not torch.equal(*dropout.seen)

    @pytest.mark.parametrize("trainer", TRAINERS)
    @pytest.mark.parametrize("optimizer", ["adam", "sgd"])
    @pytest.mark.parametrize("normalise", ["fixed", "mean-image"])
    def test_learns(self, optimizer: Optimizer, normalise: Any, trainer: str) -> None:  # noqa: ANN401 - a literal
        recipe = Recipe(epochs=10, batch_size=16, optimizer=optimizer, learning_rate=0.02, normalise=normalise)
        assert accuracy(independent(setup(recipe, trainer=trainer)).network, blobs(seed=9)) > 0.95

    def test_every_image_is_seen_once_an_epoch(self) -> None:
        student = Recorder(build("mlp", image_shape=SHAPE, classes=4, seed=0))
        data = blobs(50)
        fit(TorchNetwork(student), data.images, np.zeros(50, np.int64), Recipe(epochs=1, batch_size=16), seed=0)
        assert [len(x) for x in student.seen] == [13, 13, 12, 12]
        seen = np.sort(torch.cat(student.seen).flatten(1).numpy(), axis=0)
        np.testing.assert_array_equal(seen, np.sort(as_unit_float(data.images).reshape(50, -1), axis=0))

    @pytest.mark.parametrize(("decay", "l2"), [(0.0, 0.0), (0.5, 0.0), (0.25, 0.125)])
    def test_one_step_of_gradient_descent(self, decay: float, l2: float) -> None:
        """The oracle: T² times the cross-entropy at temperature T, by hand, for a linear layer in both frameworks."""
        heat, x = 3.0, as_unit_float(blobs(10).images)
        target = np.random.default_rng(0).dirichlet(np.ones(4), 10).astype(np.float32)
        recipe = Recipe(optimizer="sgd", temperature=heat, weight_decay=decay, l2=l2)
        for made in (linear_torch(), linear_keras()):
            (kernel,) = made.kernels
            before = made.weights()[kernel].reshape(64, 4) if made.output_axis else made.weights()[kernel].T
            z = x.reshape(10, -1) @ before / heat
            p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
            gradient = heat * x.reshape(10, -1).T @ (p - target) / 10 + (decay + 2 * l2) * before
            loss = made.start(recipe, seed=0, frozen=(), masks={})(x, target, 0.1)
            after = made.weights()[kernel] if made.output_axis else made.weights()[kernel].T
            # Nesterov's first step: the gradient and its momentum
            np.testing.assert_allclose(after, before - 0.1 * 1.9 * gradient, atol=1e-5)
            assert loss == pytest.approx(-(heat**2) * (target * np.log(p)).sum(1).mean(), rel=1e-5)

    @pytest.mark.parametrize("optimizer", ["adam", "sgd"])
    def test_l2_holds_for_kernels_and_not_for_biases(self, optimizer: Optimizer) -> None:
        """With black images and the network's own answers as targets, the gradient is the penalty's alone."""
        recipe = Recipe(optimizer=optimizer, l2=0.1)
        for made in (linear_torch(bias=True), linear_keras(bias=True)):
            before = made.weights()
            (kernel,), targets = made.kernels, np.full((10, 4), 0.25, np.float32)
            made.start(recipe, seed=0, frozen=(), masks={})(np.zeros((10, *SHAPE), np.float32), targets, 1e-3)
            step = 1e-3 * (1.9 * 0.2 * before[kernel] if optimizer == "sgd" else np.sign(before[kernel]))
            for name, value in made.weights().items():
                expected = before[name] - step if name == kernel else before[name]
                np.testing.assert_allclose(value, expected, atol=1e-5)  # Adam damps the steps of tiny weights

    def test_the_best_epoch_is_kept(self, monkeypatch: pytest.MonkeyPatch) -> None:
        recipe = Recipe(epochs=5, batch_size=16, validation=0.2, best=True, schedule="constant")
        told = iter([True, False, True, False, False])
        monkeypatch.setattr(Plateau, "better", lambda *_: next(told))
        made = network()
        kept = fit(made, blobs().images, blobs().labels, recipe, seed=0, snapshots=range(1, 6))
        assert same(made.weights(), kept[3])

    def test_the_accuracy_on_held_out_images_is_told_after_each_epoch(self) -> None:
        recipe, data = Recipe(epochs=4, batch_size=16, validation=0.25, learning_rate=1e-4), blobs()
        told: list[float] = []
        made = network("cnn-small")
        kept = fit(made, data.images, data.labels, recipe, seed=3, snapshots=range(1, 5), validated=told.append)
        held_out = np.random.default_rng(3).permutation(len(data))[: len(data) // 4]
        expected: list[float] = []
        for epoch in range(1, 5):
            made.load(kept[epoch])
            expected.append(accuracy(made, data.subset(held_out)))
        assert told == pytest.approx(expected)
        assert len(set(told)) > 1  # the blobs are learned
        fit(network(), data.images, data.labels, Recipe(epochs=1, batch_size=16), seed=3, validated=told.append)
        assert len(told) == 4

    def test_the_last_epochs_are_averaged(self) -> None:
        recipe = Recipe(epochs=4, batch_size=16, average=2)
        made = network("cnn-small")
        kept = fit(made, blobs().images, blobs().labels, recipe, seed=0, snapshots=[3, 4])
        for name, value in made.weights().items():
            mean = (kept[3][name].astype(np.float64) + kept[4][name]) / 2
            np.testing.assert_array_equal(value, mean.astype(value.dtype))

    def test_patience_ends_the_training(self) -> None:
        recipe = Recipe(epochs=50, batch_size=16, validation=0.2, patience=2)
        epochs: list[int] = []
        fit(network(), blobs().images, blobs().labels, recipe, seed=0, progress=lambda done, _: epochs.append(done))
        assert 3 <= epochs[-1] < 50

    def test_adversarial_training_sees_images_at_the_radius(self) -> None:
        student = Recorder(build("mlp", image_shape=SHAPE, classes=4, seed=0))
        data = blobs(16)
        recipe = Recipe(epochs=1, batch_size=16, adversarial=0.1)
        fit(TorchNetwork(student), data.images, data.labels, recipe, seed=0)
        start, moved = student.seen
        order = np.random.default_rng(0).permutation(np.arange(16))
        original = torch.from_numpy(as_unit_float(data.images[order])).permute(0, 3, 1, 2)
        for images in (start, moved):
            assert (images - original).abs().max() <= 0.1 + 1e-6
            assert images.min() >= 0
            assert images.max() <= 1
        assert ((moved - original).abs() > 0.0999).float().mean() > 0.3

    def test_divergence_is_reported(self) -> None:
        with pytest.raises(ModelError, match="diverged"):
            independent(setup(Recipe(epochs=9, learning_rate=1e30, optimizer="sgd")))

    @pytest.mark.parametrize("count", [0, 5])
    def test_refuses_targets_that_are_not_aligned(self, count: int) -> None:
        with pytest.raises(DataError, match="as many targets"):
            fit(network(), np.zeros((count, 8, 8, 1), np.uint8), np.zeros(4, np.int64), SHORT, seed=0)

    def test_an_unknown_trainer(self) -> None:
        with pytest.raises(BackendMissing, match=r"'jax'.*keras, torch"):
            find_trainer("jax")

    def test_the_torch_trainer_lists_what_it_builds(self) -> None:
        assert find_trainer("torch").architectures == (*ARCHITECTURES, *REPORT_ARCHITECTURES, EFFICIENTNET_LITE)


def linear_torch(*, bias: bool = False) -> Network:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        linear = nn.Linear(64, 4, bias=bias)
    if bias:
        nn.init.zeros_(linear.bias)
    return TorchNetwork(nn.Sequential(nn.Flatten(), linear))


def linear_keras(*, bias: bool = False) -> Network:
    """With a regulariser of its own, which the training leaves to the recipe."""
    from cae_backends.tensorflow.runtime import load_keras
    from cae_backends.training.keras_network import KerasNetwork

    layers, own = load_keras().layers, load_keras().regularizers.L2(0.3)
    drawn = load_keras().initializers.HeNormal(seed=0)
    dense = layers.Dense(4, use_bias=bias, kernel_initializer=drawn, kernel_regularizer=own)
    return KerasNetwork(load_keras().Sequential([load_keras().Input(SHAPE), layers.Flatten(), dense]), device="/CPU:0")


class Told:
    """A trainer whose network keeps what its steps are told."""

    name = "told"
    architectures = ("linear",)
    pretrained: Mapping[str, str] = {}

    def __init__(self) -> None:
        self.told: list[tuple[Floats32, NDArray[Any]]] = []

    def build(self, *_: object, **__: object) -> Network:
        student, told = network(), self.told
        start = student.start

        def spy(*args: Any, **options: Any) -> Callable[[Floats32, Any, float], float]:  # noqa: ANN401
            step = start(*args, **options)

            def spied(x: Floats32, y: NDArray[Any], rate: float) -> float:
                told.append((x, y))
                return step(x, y, rate)

            return spied

        student.start = spy  # type: ignore[method-assign]
        return student


class TestThieves:
    @pytest.mark.parametrize(
        ("derive", "reading"),
        [
            (retrained_on_labels, lambda z: z.argmax(1)),
            (retrained_on_probabilities, lambda z: torch.from_numpy(z).softmax(1).numpy()),
            (distilled, lambda z: torch.from_numpy(z / 2).softmax(1).numpy()),
        ],
    )
    @pytest.mark.parametrize("shift", [0, 1])
    def test_targets_are_the_sources_answers_to_the_images_trained_on(
        self,
        derive: Callable[[Teacher, Setup], Made],
        reading: Callable[[Floats32], NDArray[Any]],
        shift: int,
        source: Network,
    ) -> None:
        """Checked step by step: what the student sees, and what it is told about it."""
        trainer = Told()
        recipe = Recipe(epochs=2, batch_size=16, shift=shift, temperature=2.0, share=0.7)
        made: Trainer = trainer
        derive(source.logits, replace(setup(recipe), trainer=made))
        assert len(trainer.told) == 6
        for images, targets in trainer.told:
            np.testing.assert_allclose(targets, reading(source.logits(images)), atol=1e-5)

    def test_foreign_queries(self, source: Network) -> None:
        trainer = Told()
        foreign = np.random.default_rng(0).integers(0, 256, (32, *SHAPE), np.uint8)
        made: Trainer = trainer
        recipe = Recipe(epochs=1, batch_size=16)
        retrained_on_labels(source.logits, replace(setup(recipe), trainer=made, queries=foreign))
        seen = np.concatenate([images for images, _ in trainer.told])
        order = np.random.default_rng(1).permutation(np.arange(32))
        np.testing.assert_array_equal(seen, as_unit_float(foreign[order]))

    def test_learns_the_source_and_not_the_truth(self, source: Network) -> None:
        def contrary(images: Floats32) -> Floats32:
            return source.logits(1 - images)

        stolen = retrained_on_labels(contrary, setup(Recipe(epochs=12, batch_size=16))).network
        images = as_unit_float(blobs().images)
        assert (stolen.logits(images).argmax(1) == contrary(images).argmax(1)).mean() > 0.9
        assert accuracy(stolen, blobs()) < 0.6

    @pytest.mark.parametrize("kind", COPIES, ids=lambda kind: kind.name)
    def test_a_copy_changes_and_stays_a_classifier(self, kind: Copy, source: Network) -> None:
        trainer = "keras" if source.layout == "NHWC" else "torch"
        like = setup(replace(EVERYTHING, learning_rate=1e-3), trainer=trainer)
        before = source.weights()
        made = kind.make(copied(source, like), like).network
        assert same(source.weights(), before)
        assert not same(made.weights(), before)
        changed = {name for name, value in made.weights().items() if not np.array_equal(value, before[name])}
        if kind.name.endswith("last layer"):
            assert changed == set(source.head)
        assert logits_of(made, blobs().images).shape == (60, 4)

    @pytest.mark.parametrize("optimizer", ["adam", "sgd"])
    def test_pruned_weights_stay_zero_while_the_others_learn(self, optimizer: Optimizer, source: Network) -> None:
        trainer = "keras" if source.layout == "NHWC" else "torch"
        recipe = replace(EVERYTHING, optimizer=optimizer, sparsity=0.75, learning_rate=1e-3)
        like = setup(recipe, trainer=trainer)
        made, before = pruned(copied(source, like), like).network.weights(), source.weights()
        for name in source.kernels:
            zero = made[name] == 0
            assert zero.sum() == round(0.75 * zero.size)
            assert np.abs(before[name][zero]).max() <= np.abs(before[name][~zero]).min()
            assert not np.array_equal(made[name][~zero], before[name][~zero])

    def test_8_bit_weights_lie_on_a_grid(self, source: Network) -> None:
        like = setup(trainer="keras" if source.layout == "NHWC" else "torch")
        made, before = eight_bit(copied(source, like), like).network.weights(), source.weights()
        for name in source.kernels:
            rows, original = (
                np.moveaxis(w[name], source.output_axis, 0).reshape(w[name].shape[source.output_axis], -1)
                for w in (made, before)
            )
            step = np.abs(original).max(1, keepdims=True) / 127
            np.testing.assert_allclose(rows / step, np.rint(rows / step), atol=1e-4)
            assert np.abs(rows / step).max() <= 127.001
            assert (np.abs(rows - original) <= step * 0.5001).all()

    def test_share_takes_a_random_part(self) -> None:
        part = setup(Recipe(share=0.5)).portion()
        assert len(part) == 30
        other = setup(Recipe(share=0.5), seed=2).portion()
        assert part.sha256() != other.sha256()
        assert setup().portion().sha256() == blobs().sha256()
