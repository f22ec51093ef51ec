"""What single methods ask and score, each against a closed form or an independent calculation."""

from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.spatial.distance import cdist

from cae_core.arena.kinds import kind_named, known_kinds
from cae_core.arena.material import Material
from cae_core.arena.methods.conferrable import Conferrable
from cae_core.arena.methods.correlations import Correlations, correlations, cut_mixed
from cae_core.arena.methods.dataset_inference import BlindWalk, welch
from cae_core.arena.methods.ip_guard import BoundaryPoints, boundary_loss, to_boundary
from cae_core.arena.methods.natural_errors import NaturalErrors
from cae_core.arena.methods.robustness import RobustnessDistance
from cae_core.arena.modifiers import Adjusted, Screened, conferred
from cae_core.arena.queries import Queries, load_queries, save_queries
from cae_core.dataset import ImageSet
from cae_core.errors import DataError, GenerationError, PoolError
from cae_core.generation.generate import generate
from cae_core.generation.settings import GenerationSettings
from cae_core.models import NO_ANSWER, Predictions
from cae_core.pool.roles import GenerationMembers
from cae_core.progress import silent
from tests.core.arena.toy_pool import ToyPool, toy_pool
from tests.core.toys import SHAPE, LinearModel

SMALL = {
    "ours": {"eps": 0.2},
    "ipguard": {"k": 0.1, "rate": 0.01, "steps": 100},
}


@pytest.fixture(scope="module")
def toys() -> ToyPool:
    return toy_pool()


@pytest.fixture(scope="module")
def material(toys: ToyPool, tmp_path_factory: pytest.TempPathFactory) -> Material:
    held_out = np.arange(len(toys.data)) % 3 > 0
    data = ImageSet(toys.data.images, toys.data.labels, toys.data.class_names, "toy", "all", held_out)
    return Material(
        members=GenerationMembers.of_pool(toys.pool),
        data=data,
        seed=1,
        opened=toys.opened(),
        folder=tmp_path_factory.mktemp("work"),
    )


@pytest.mark.parametrize("name", sorted({*known_kinds()} - {"ours-report"}))  # of these toys it makes no example
def test_every_method_asks_no_more_than_its_budget_and_likes_the_source_best(name: str, material: Material) -> None:
    kind = kind_named(name)
    method = kind.with_parameters({**next(iter(kind.configurations.values())), **SMALL.get(name, {})})
    queries = method.make(material, (3, 12), progress=silent)
    assert set(queries.plans) == {3, 12}
    for budget in (3, 12):
        asked = queries.rows(queries.plans[budget])
        assert 0 < len(asked) <= (budget * (24 if method.needs.own_budget else 1))
        told = {
            model: method.score(asked, material.opened.open(member).model.predict(asked.images))
            for model, member in (("source", material.members.source), ("other", material.members.references[0]))
        }
        assert np.isfinite(list(told.values())).all()
        if not method.needs.own_budget:  # the source is the likest of all
            assert told["source"] >= told["other"]
    again = method.make(material, (3, 12), progress=silent)
    np.testing.assert_array_equal(again.images, queries.images)


def test_ours_asks_what_a_generation_finds(material: Material) -> None:
    method = Conferrable(eps=0.2)
    queries = method.make(material, (6, 12), progress=silent)
    for budget in (6, 12):
        alone = generate(
            material.white_boxes, material.data, method.settings(budget, 1), provenance=material.provenance
        ).fingerprint
        np.testing.assert_array_equal(
            np.sort(queries.images[queries.plans[budget]], axis=0), np.sort(alone.images, axis=0)
        )


def test_the_reports_settings_are_the_presets(material: Material) -> None:
    method = Conferrable(preset="report-code")
    assert method.settings(100, 1) == GenerationSettings.from_preset("report-code", count=100, seed=1, max_seeds=2000)
    with pytest.raises(GenerationError, match=r"None of [0-9]+ seeds"):
        Conferrable(preset="report", iterations=2).make(material, (5,), progress=silent)


def test_natural_errors_are_of_no_training_image_unless_asked_for(material: Material) -> None:
    data, source = material.data, material.source
    assert data.held_out is not None
    for part, allowed in (("test", data.held_out), ("all", np.ones(len(data), bool))):
        queries = NaturalErrors(part=part).make(material, (500,), progress=silent)  # type: ignore[arg-type]
        wrong = data.images[allowed & (source.predict(data.images).labels != data.labels)]
        assert {image.tobytes() for image in queries.images} == {image.tobytes() for image in wrong}


def test_the_surest_errors_come_first(material: Material) -> None:
    queries = NaturalErrors(order="sure").make(material, (500,), progress=silent)
    told = material.source.predict(queries.images).probabilities
    assert told is not None
    assert (np.diff(told.max(axis=1)) <= 0).all()


def test_screened_queries_are_the_most_conferrable(material: Material) -> None:
    base = NaturalErrors(part="all")
    every = base.make(material, (25,), progress=silent)
    kept = Screened(base=base, candidates=5).make(material, (5,), progress=silent)
    boxes = material.white_boxes
    worth = conferred(every, boxes.surrogates, boxes.references)
    by_hand = [
        np.mean([m.predict(image[None]).labels[0] == label for m in boxes.surrogates])
        * (1 - np.mean([m.predict(image[None]).labels[0] == label for m in boxes.references]))
        for image, label in zip(every.images, every.labels, strict=True)
    ]
    np.testing.assert_allclose(worth, by_hand)
    np.testing.assert_array_equal(kept.images, every.images[np.argsort(-worth, kind="stable")[:5]])
    assert Screened(base=base).needs.pools
    assert Adjusted(base=base).adjusts


def test_the_boundary_loss_is_the_papers_and_its_gradient_that_of_differences() -> None:
    random = np.random.default_rng(2)
    logits = random.normal(0, 3, (40, 5)).astype(np.float32)
    first, second = np.zeros(40, np.int64), np.full(40, 3)
    loss, gradient = boundary_loss(logits, first, second, k=1.5)
    for row in range(40):
        z = logits[row].astype(float)
        assert loss[row] == pytest.approx(max(z[0] - z[3] + 1.5, 0) + max(max(z[1], z[2], z[4]) - z[0], 0), abs=1e-5)
    h = 1e-2
    for label in range(5):
        step = np.zeros(5, np.float32)
        step[label] = h
        higher, lower = (boundary_loss(logits + sign * step, first, second, k=1.5)[0] for sign in (1, -1))
        slope = (higher - lower) / (2 * h)
        smooth = np.abs(slope - np.round(slope)) < 1e-2  # elsewhere a corner lies within the step
        assert smooth.mean() > 0.9
        np.testing.assert_allclose(gradient[smooth, label], slope[smooth], atol=1e-2)


def test_points_rest_where_the_target_exceeds_by_k_and_no_other_label_does() -> None:
    random = np.random.default_rng(3)
    model = LinearModel(random.standard_normal((int(np.prod(SHAPE)), 4)))
    images = random.uniform(0.3, 0.7, (10, *SHAPE)).astype(np.float32)
    first, second = (model.logits(images).argmax(axis=1), model.logits(images).argmin(axis=1))
    moved, arrived = to_boundary(model, images, first, second, k=0.5, rate=0.002, steps=2000)
    assert arrived.all()
    z, rows = model.logits(moved), np.arange(10)
    margin = z[rows, second] - z[rows, first]
    assert (margin >= 0.5 - 1e-5).all()
    assert margin.max() < 1.5  # it is near the boundary, not far beyond
    others = z.copy()
    others[rows, second] = others[rows, first] = -np.inf
    assert (others.max(axis=1) <= z[rows, first] + 1e-5).all()


def test_no_point_within_few_steps_is_a_failure(material: Material) -> None:
    with pytest.raises(GenerationError, match="No image reached"):
        BoundaryPoints(k=50.0, steps=2).make(material, (5,), progress=silent)


def test_logarithms_of_probabilities_are_logits_but_for_a_constant() -> None:
    logits = np.random.default_rng(4).normal(0, 2, (8, 5))
    outputs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    centred = logits - logits.mean(axis=1, keepdims=True)
    found = correlations(outputs, likeness="cosine-log", width=1.0)
    np.testing.assert_allclose(found, 1 - cdist(centred, centred, "cosine"), atol=1e-9)
    certain = correlations(np.eye(3), likeness="cosine-log", width=1.0)  # of zeros the logarithm is bounded
    assert np.isfinite(certain).all()


@pytest.mark.parametrize("likeness", ["cosine", "gaussian"])
def test_correlations_are_scipys(likeness: str) -> None:
    outputs = np.random.default_rng(4).dirichlet(np.ones(5), 12)
    distance = cdist(outputs, outputs, "cosine" if likeness == "cosine" else "sqeuclidean")
    wanted = 1 - distance if likeness == "cosine" else np.exp(-distance / (2 * 0.3**2))
    np.testing.assert_allclose(correlations(outputs, likeness=likeness, width=0.3), wanted, atol=1e-12)


def test_the_source_itself_has_no_distance_and_a_stranger_the_mean_one(material: Material) -> None:
    method = Correlations()
    queries = method.make(material, (10,), progress=silent)
    assert method.score(queries, material.source.predict(queries.images)) == 0
    stranger = np.random.default_rng(5).dirichlet(np.ones(4), 10).astype(np.float32)
    source = queries.facts["outputs"]
    by_hand = np.abs((1 - cdist(source, source, "cosine")) - (1 - cdist(stranger, stranger, "cosine"))).sum() / 100
    assert method.score(queries, Predictions(stranger.argmax(axis=1), stranger)) == pytest.approx(-by_hand, abs=1e-6)


def test_labels_stand_for_outputs_and_a_refusal_for_none() -> None:
    method = Correlations(answers="labels")
    told = np.eye(3)[[0, 0, 1]]
    queries = Queries.in_order(np.zeros((3, 2, 2, 1), np.uint8), np.array([0, 0, 1]), (3,), outputs=told)
    assert method.score(queries, Predictions(np.array([2, 2, 0]))) == 0  # other labels, the same pattern
    # one of the two alike is refused: its own place and two others differ
    assert method.score(queries, Predictions(np.array([0, NO_ANSWER, 1]))) == pytest.approx(-3 / 9)


def test_cutmix_puts_a_box_of_another_label_in() -> None:
    images = np.stack([np.full((8, 8, 1), level, np.uint8) for level in (10, 10, 200)])
    mixed = cut_mixed(images, np.array([0, 0, 1]), 300, np.random.default_rng(6))
    shares = []
    for image in mixed:
        assert set(np.unique(image)) <= {10, 200}
        shares.append((image == 200).mean())
        bright = np.argwhere(image[..., 0] == 200)
        dark = np.argwhere(image[..., 0] == 10)
        boxes = [group for group in (bright, dark) if len(group)]
        assert any(len(group) == np.prod(np.ptp(group, axis=0) + 1) for group in boxes)  # one of them is a box
    assert 0.2 < np.mean(shares) < 0.8


def test_robustness_distance_is_of_shares_that_are_right() -> None:
    method = RobustnessDistance()
    queries = Queries.in_order(
        np.zeros((4, 2, 2, 1), np.uint8), np.array([1, 1, 2, 3]), (4,), truth=np.array([0, 1, 2, 0])
    )  # the source is right on two of four
    for answers, wanted in (([0, 1, 2, 0], 0.5), ([0, 1, 3, 3], 1.0), ([9, 9, 9, 9], 0.5), ([0, 1, 2, 9], 0.75)):
        assert method.score(queries, Predictions(np.array(answers))) == wanted


def test_robustness_is_asked_of_the_surest_images(material: Material) -> None:
    queries = RobustnessDistance(eps=0.1).make(material, (5,), progress=silent)
    right = material.right("test")
    told = material.probabilities(right).astype(float)
    surest = right[np.argsort(1 - (told**2).sum(axis=1), kind="stable")[:5]]
    assert np.abs(queries.images.astype(int) - material.data.images[surest]).max() <= 25
    np.testing.assert_array_equal(queries.facts["truth"], material.data.labels[surest])


def test_welchs_t_is_scipys() -> None:
    random = np.random.default_rng(8)
    first, second = random.normal(1, 2, 9), random.normal(0, 1, 14)
    assert welch(first, second) == pytest.approx(stats.ttest_ind(first, second, equal_var=False).statistic)
    assert welch(np.ones(5), np.ones(4)) == 0
    assert welch(np.ones(1), np.ones(4)) == 0


def test_a_model_that_withstands_noise_on_training_images_scores_high(material: Material) -> None:
    method = BlindWalk(directions=3, steps=4)
    queries = method.make(material, (40,), progress=silent)
    step, private = np.tile(np.arange(4), 120), queries.facts["private"]
    walk = np.repeat(np.arange(120), 4)

    def suspect(private_at: int, public_at: int) -> float:
        """Err from a step on, a step later on every fifth walk."""
        leaves = np.where(private, private_at, public_at) + (walk % 5 == 0)
        weighed = Queries(
            images=queries.images,
            labels=queries.labels,
            plans=queries.plans,
            facts={"private": private, "weight": np.full(len(private), 1 / 3)},
        )
        return method.score(weighed, Predictions(np.where(step >= leaves, queries.labels + 1, queries.labels)))

    assert suspect(3, 1) > 10
    assert suspect(1, 3) < -10
    assert abs(suspect(2, 2)) < 1.5


def test_directions_weigh_by_ridge_regression(material: Material, monkeypatch: pytest.MonkeyPatch) -> None:
    """As least squares of centred distances, with a row of √(ridge · images) for each direction beneath."""
    private, public = material.places("all")[:30], material.places("all")[30:70]
    walked = np.random.default_rng(10).integers(0, 5, (70, 3)).astype(float)
    walked[:30, 0] += 2  # along the first direction training images withstand more
    monkeypatch.setattr(BlindWalk, "_distances", lambda *_given: walked)
    found = BlindWalk(directions=3, steps=4)._weights(material, private, public, np.random.default_rng(0))
    sides = np.r_[np.ones(30), -np.ones(40)]
    rows = np.vstack([walked - walked.mean(axis=0), np.sqrt(1e-3 * 70) * np.eye(3)])
    wanted = np.linalg.lstsq(rows, np.r_[sides - sides.mean(), np.zeros(3)], rcond=None)[0]
    np.testing.assert_allclose(found, wanted, atol=1e-9)
    assert found[0] > max(abs(found[1]), abs(found[2]))


def test_noise_of_the_walk_grows_by_its_factor(material: Material) -> None:
    method = BlindWalk(directions=3, steps=3)
    grey = np.full((200, *SHAPE), 128, np.uint8)
    walks = method._walks(grey, np.random.default_rng(9)).reshape(200, 3, 3, -1).astype(float)
    size = np.sqrt(((walks - 128) ** 2).mean(axis=(0, 3)))
    np.testing.assert_allclose(size, np.tile(255 * 0.02 * 1.6 ** np.arange(3), (3, 1)), rtol=0.05)


def test_a_source_of_other_classes_is_refused(toys: ToyPool, material: Material) -> None:
    fewer = ImageSet(toys.data.images, np.minimum(toys.data.labels, 2), ("a", "b", "c"), "toy")
    other = Material(members=material.members, data=fewer, seed=1, opened=material.opened, folder=material.folder)
    with pytest.raises(PoolError, match="answers with 4 classes and the data have 3"):
        _ = other.source_answers


def test_dataset_inference_takes_training_images_that_are_known(toys: ToyPool, material: Material) -> None:
    blind = Material(members=material.members, data=toys.data, seed=1, opened=material.opened, folder=material.folder)
    with pytest.raises(GenerationError, match="both splits"):
        BlindWalk().make(blind, (4,), progress=silent)


def test_queries_come_back_from_their_file(tmp_path: Path) -> None:
    queries = Queries.in_order(np.zeros((3, 2, 2, 1), np.uint8), np.arange(3), (2, 9), more=np.eye(3))
    save_queries(queries, tmp_path / "q.safetensors", told={"name": "x"})
    found, told = load_queries(tmp_path / "q.safetensors")
    assert told["name"] == "x"
    assert {budget: rows.tolist() for budget, rows in found.plans.items()} == {2: [0, 1], 9: [0, 1, 2]}
    np.testing.assert_array_equal(found.facts["more"], np.eye(3))
    (tmp_path / "q.safetensors").write_bytes(b"something else")
    with pytest.raises(DataError, match="no queries of cae compare"):
        load_queries(tmp_path / "q.safetensors")


def test_queries_have_one_row_each() -> None:
    with pytest.raises(DataError, match="as many labels"):
        Queries.in_order(np.zeros((3, 2, 2, 1), np.uint8), np.arange(2), (2,))
