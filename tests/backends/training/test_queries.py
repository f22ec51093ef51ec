"""Thieves who choose what they ask, those who know the method, and training against moved images."""

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from cae_backends.architectures.options import Scaling
from cae_backends.training.fitting import accuracy, logits_of
from cae_backends.training.kinds import queries
from cae_backends.training.kinds.erasure import erased
from cae_backends.training.kinds.queries import (
    asked_by_noise,
    augmented_by_the_jacobian,
    chosen_as_centres,
    chosen_by_entropy,
    noise_images,
    sloped,
)
from cae_backends.training.kinds.scratch import independent
from cae_backends.training.kinds.setup import Setup
from cae_backends.training.kinds.table import KINDS, find_kind
from cae_backends.training.kinds.unlearning import own_examples, unlearned
from cae_backends.training.recipe import Recipe
from cae_backends.training.torch_adversarial import attacked, trades
from cae_backends.training.torch_erasure import ErasedTorch, likeness
from cae_backends.training.torch_network import TorchNetwork
from cae_backends.training.trainers import DifferentiableNetwork, Network, find_trainer
from cae_core.arrays import Floats32, Floats64, as_unit_float
from cae_core.errors import ModelError, OptionError
from tests.backends.blobs import blobs
from tests.backends.third_party import TRAINER as LINEAR

DATA, TEST = blobs(80), blobs(40, seed=1)
SHORT = Recipe(epochs=6, batch_size=16)


def setup(recipe: Recipe = SHORT, trainer: str = "torch", **others: object) -> Setup:
    given: dict[str, object] = {"architecture": "mlp", "seed": 1, "data": DATA, "trainer": find_trainer(trainer)}
    return Setup(recipe=recipe, **(given | others))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def source() -> Network:
    return independent(setup(Recipe(epochs=10, batch_size=16), seed=5)).network


def copied(source: Network) -> TorchNetwork:
    copy = setup().fresh()
    copy.load(source.weights())
    assert isinstance(copy, TorchNetwork)
    return copy


class Teaching:
    """The source as a thief asks it, and all that it was asked."""

    def __init__(self, source: Network) -> None:
        self.source = source
        self.asked: list[NDArray[np.uint8]] = []

    def __call__(self, images: Floats32) -> Floats32:
        self.asked.append(np.rint(images * 255).astype(np.uint8))
        return self.source.logits(images)

    def distinct(self) -> set[bytes]:
        return {image.tobytes() for batch in self.asked for image in batch}


@pytest.mark.parametrize("trainer", ["torch", "keras"])
def test_a_pullback_is_the_slope_of_the_logits(trainer: str) -> None:
    """The oracle is a central difference."""
    made = sloped(setup(trainer=trainer).fresh())
    x = as_unit_float(DATA.images[:3])
    rng = np.random.default_rng(0)
    weights = rng.standard_normal((3, 4)).astype(np.float32)
    direction = rng.standard_normal(x.shape).astype(np.float32)
    told = float((made.pullback(x, weights) * direction).sum())
    step = (np.float32(1e-3) * direction).astype(np.float32)
    ends = [float((made.logits(moved) * weights).sum()) for moved in (x + step, x - step)]
    assert told == pytest.approx((ends[0] - ends[1]) / 2e-3, rel=0.05, abs=0.05)


def test_a_trainer_without_gradients_says_so() -> None:
    plain = LINEAR.build(
        "linear",
        image_shape=(8, 8, 1),
        classes=4,
        seed=0,
        scaling=Scaling.fixed(1),
        device="cpu",
    )
    assert not isinstance(plain, DifferentiableNetwork)
    with pytest.raises(OptionError, match="gives no gradients of images"):
        sloped(plain)


def test_jacobian_augmentation_doubles_the_images(source: Network) -> None:
    recipe = Recipe(epochs=3, batch_size=16, share=0.1, rounds=3, jacobian_step=0.2)
    teacher = Teaching(source)
    augmented_by_the_jacobian(teacher, setup(recipe))
    few = {image.tobytes() for image in DATA.images}
    assert max(map(len, teacher.asked)) == 64  # 8, doubled three times
    assert len(teacher.distinct() & few) == 8
    last = max(teacher.asked, key=len)
    for first, half in ((0, 8), (0, 16), (0, 32)):
        moved = np.abs(last[half : 2 * half].astype(int) - last[first:half])
        assert moved.max() == 51
        assert (moved > 0).mean() > 0.5


def test_jacobian_images_are_moved_up_the_logit_of_the_answer(source: Network) -> None:
    made = copied(source)
    images = DATA.images[:20]
    moved = queries._moved(made, images, source.logits, 0.05)
    labels = source.logits(as_unit_float(images)).argmax(axis=1)
    rows = np.arange(20)
    before, after = logits_of(made, images)[rows, labels], logits_of(made, moved)[rows, labels]
    assert (after >= before).mean() > 0.9


def test_centres_are_chosen_greedily() -> None:
    """The oracle recomputes every distance for each choice."""
    rng = np.random.default_rng(2)
    rows = np.log(rng.dirichlet(np.ones(4), 30))
    asked = np.array([3, 11])
    found, points = list(asked), np.exp(rows)
    for _ in range(6):
        nearest = [min(((point - points[c]) ** 2).sum() for c in found) for point in points]
        found.append(int(np.argmax([-1 if i in found else d for i, d in enumerate(nearest)])))
    np.testing.assert_array_equal(queries._centres(rows, asked, 6), found[2:])


def test_the_least_sure_have_the_largest_entropy() -> None:
    from scipy.stats import entropy

    rows: Floats64 = np.log(np.random.default_rng(3).dirichlet(np.ones(4), 30))
    found = queries._least_sure(rows, np.array([1, 2]), 5)
    order = [i for i in np.argsort(-entropy(np.exp(rows), axis=1)) if i not in (1, 2)]
    np.testing.assert_array_equal(found, order[:5])


@pytest.mark.parametrize("make", [chosen_as_centres, chosen_by_entropy])
def test_chosen_queries_keep_to_their_budget(make: object, source: Network) -> None:
    teacher = Teaching(source)
    made = make(teacher, setup(Recipe(epochs=12, batch_size=8, share=0.3, rounds=2), snapshots=(3,)))  # type: ignore[operator]
    assert len(teacher.distinct()) == 24
    assert teacher.distinct() <= {image.tobytes() for image in DATA.images}
    assert set(made.snapshots) == {3}
    assert accuracy(made.network, TEST) > 0.6


def test_noise_is_asked_where_there_is_no_image(source: Network) -> None:
    teacher = Teaching(source)
    made = asked_by_noise(teacher, setup())
    assert len(teacher.distinct()) == len(DATA)
    assert not teacher.distinct() & {image.tobytes() for image in DATA.images}
    assert made.network.logits(as_unit_float(TEST.images)).shape == (40, 4)


def test_noise_is_blurred_by_different_widths() -> None:
    images = noise_images((40, 16, 12, 3), np.random.default_rng(0))
    assert images.shape == (40, 16, 12, 3)
    assert (images.min(axis=(1, 2, 3)) == 0).all()
    assert (images.max(axis=(1, 2, 3)) == 255).all()
    steps = np.abs(np.diff(images.astype(int), axis=1)).mean(axis=(1, 2, 3))
    assert steps.min() < 15
    assert steps.max() > 40


def test_an_erased_copy_is_unlike_the_source_and_still_right(source: Network) -> None:
    recipe = Recipe(epochs=8, batch_size=16, learning_rate=2e-3, erasure=1.0)
    copy = erased(copied(source), setup(recipe, snapshots=(2,)))
    assert isinstance(copy.network, TorchNetwork)
    assert set(copy.snapshots) == {2}
    x = torch.from_numpy(as_unit_float(TEST.images)).permute(0, 3, 1, 2)
    truth = torch.from_numpy(TEST.labels)
    before = copied(source)
    watched = ErasedTorch(before)
    assert watched.likeness(x, truth).item() == pytest.approx(2, abs=1e-4)  # of itself
    before.load(copy.network.weights())  # compared with what it was
    assert watched.likeness(x, truth).item() < 0.6
    tuned = copied(source)
    compared = ErasedTorch(tuned)
    setup(recipe).fit_truth(tuned)
    assert compared.likeness(x, truth).item() > 1.2
    assert accuracy(copy.network, TEST) >= 0.9


def test_likeness_is_a_cosine_of_centred_rows() -> None:
    a, b = (np.random.default_rng(seed).standard_normal((5, 3, 4)) for seed in (0, 1))
    rows = [np.corrcoef(one.ravel(), other.ravel())[0, 1] for one, other in zip(a, b, strict=True)]
    assert likeness(torch.from_numpy(a), torch.from_numpy(b)).item() == pytest.approx(float(np.mean(rows)), abs=1e-6)


def test_what_cannot_be_erased(source: Network) -> None:
    with pytest.raises(ModelError, match="No layers inside can be watched"):
        ErasedTorch(TorchNetwork(nn.Sequential(nn.Flatten(), nn.Linear(64, 4))))
    keras = setup(trainer="keras").fresh()
    with pytest.raises(OptionError, match="Only the trainer torch erases"):
        erased(keras, setup(Recipe(erasure=1.0), trainer="keras"))


def test_own_examples_confer(source: Network) -> None:
    """The copies answer one wrong label, the references the truth, and no pixel is moved by more than the radius."""
    others = [independent(setup(Recipe(epochs=10, batch_size=16), seed=seed)).network for seed in (6, 7)]
    images, labels = TEST.images, TEST.labels
    made = own_examples([sloped(copied(source))], [sloped(other) for other in others], images, labels, radius=0.4)
    assert np.abs(made.astype(int) - images).max() <= 103
    wrong = logits_of(source, made).argmax(axis=1) != labels
    right = [logits_of(other, made).argmax(axis=1) == labels for other in others]
    assert wrong.mean() > 0.3
    assert np.mean(right) > 0.7


def test_a_copy_forgets_its_own_fingerprint(source: Network) -> None:
    """It answers the truth on more of the very examples that it was made to forget than the copy before."""
    told: list[tuple[int, int]] = []
    recipe = Recipe(epochs=15, batch_size=16, forgotten=40, forgotten_radius=0.4, helper="cnn-small", helper_epochs=4)
    given = setup(recipe, snapshots=(3,), progress=lambda done, epochs: told.append((done, epochs)))
    made = unlearned(copied(source), given)
    assert set(made.snapshots) == {3}
    assert told[-1] == (75, 75)
    assert len(told) == 15 + 4 * 4
    fresh = own_examples([sloped(copied(source))], [], TEST.images, TEST.labels, radius=0.4)
    right = [(logits_of(each, fresh).argmax(axis=1) == TEST.labels).mean() for each in (source, made.network)]
    assert right[1] > right[0] + 0.2
    with pytest.raises(OptionError, match=r"Name one of the trainer's in the recipe, such as helper"):
        unlearned(copied(source), setup(adopted=True))


def linear() -> nn.Module:
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return nn.Sequential(nn.Flatten(), nn.Linear(64, 4))


@pytest.fixture
def batch() -> tuple[Tensor, Tensor]:
    return torch.from_numpy(as_unit_float(DATA.images[:12])).permute(0, 3, 1, 2), torch.from_numpy(DATA.labels[:12])


@pytest.mark.parametrize("steps", [1, 7])
def test_images_are_moved_against_the_network_within_the_radius(batch: tuple[Tensor, Tensor], steps: int) -> None:
    """Of a linear network the worst image is known where few pixels reach 0 or 1: each goes by the radius."""
    (x, y), module, radius = batch, linear(), 0.05
    x = 0.2 + 0.6 * x
    recipe = Recipe(adversarial=radius, adversarial_steps=steps)

    def loss(images: Tensor) -> Tensor:
        return functional.cross_entropy(module(images), y)

    moved = attacked(loss, x, recipe, torch.Generator().manual_seed(0)).detach()
    assert (moved - x).abs().max() <= radius + 1e-6
    start = x.clone().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(start), start)
    worst = x + radius * gradient.sign()
    reached = (loss(moved) - loss(x)).item() / (loss(worst) - loss(x)).item()
    assert (0.3 if steps == 1 else 0.95) < reached < 1.01


def test_trades_adds_the_divergence(batch: tuple[Tensor, Tensor]) -> None:
    (x, y), module = batch, linear()
    recipe = Recipe(adversarial=0.1, adversarial_steps=5, trades=6.0)
    seen: list[Tensor] = []

    def logits_of_(images: Tensor) -> Tensor:
        seen.append(images.detach())
        answer: Tensor = module(images)
        return answer

    total = trades(
        logits_of_, lambda z: functional.cross_entropy(z, y), x, recipe, torch.Generator().manual_seed(0)
    ).item()
    moved = seen[-1]
    assert (moved - x).abs().max() <= 0.1 + 1e-6
    p, q = (module(z).detach().double().softmax(1) for z in (x, moved))
    divergence = (p * (p.log() - q.log())).sum(1).mean().item()
    assert divergence > 0
    plain = functional.cross_entropy(module(x), y).item()
    assert total == pytest.approx(plain + 6 * divergence, rel=1e-4)


def loss_against(made: TorchNetwork) -> float:
    module = made.module.eval()
    x, y = torch.from_numpy(as_unit_float(TEST.images)).permute(0, 3, 1, 2), torch.from_numpy(TEST.labels)

    def loss(images: Tensor) -> Tensor:
        return functional.cross_entropy(module(images), y)

    moved = attacked(loss, x, Recipe(adversarial=0.2, adversarial_steps=10), torch.Generator().manual_seed(1))
    return loss(moved).item()


@pytest.mark.parametrize("more", [{"adversarial_steps": 5}, {"adversarial_steps": 5, "trades": 3.0}])
def test_networks_are_trained_so_and_keras_says_that_it_cannot(more: dict[str, float], source: Network) -> None:
    """A copy trained against moved images stands them better than one that was trained on plain ones."""
    recipe = Recipe(epochs=8, batch_size=16, learning_rate=2e-3, adversarial=0.2, **more)  # type: ignore[arg-type]
    robust, plain = copied(source), copied(source)
    setup(recipe).fit_truth(robust)
    setup(Recipe(epochs=8, batch_size=16, learning_rate=2e-3)).fit_truth(plain)
    assert loss_against(robust) < loss_against(plain)
    with pytest.raises(OptionError, match="has no TRADES"):
        setup(trainer="keras").fresh().start(recipe, seed=0, frozen=(), masks={})


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"adversarial_steps": 5}, "needs an adversarial radius"),
        ({"trades": 1.0}, "needs an adversarial radius"),
        ({"adversarial_steps": 0}, "1 to 1000 adversarial steps"),
        ({"rounds": 21}, "0 to 20 rounds; found 21"),
        ({"jacobian_step": 2.0}, "Jacobian step"),
        ({"erasure": -1.0}, "erasure in"),
        ({"forgotten": 0}, "at least 1"),
    ],
)
def test_refuses_a_recipe(fields: dict[str, float], message: str) -> None:
    with pytest.raises(OptionError, match=message):
        Recipe(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["adversarial_steps", "trades", "rounds", "erasure", "forgotten", "helper"])
def test_older_recipes_keep_their_digests(name: str) -> None:
    assert name not in Recipe().identity()


def test_manifests_do_not_say_what_such_thieves_saw() -> None:
    unknown = {kind.name for kind in KINDS.values() if not kind.known_images}
    assert unknown == {"Jacobian augmentation", "k-centre queries", "entropy queries", "noise queries"}
    assert find_kind("noise queries, then fine-tuned").starts_from == "answers"
