"""The errors of earlier implementations, one named test for each."""

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from cae_core.arrays import Images, as_unit_float
from cae_core.dataset import ImageSet
from cae_core.errors import DataError, GenerationError, ModelError
from cae_core.fingerprint.file import load_fingerprint, save_fingerprint
from cae_core.generation.acceptance import accept
from cae_core.generation.generate import GenerationResult, generate
from cae_core.generation.run_state import start_run
from cae_core.generation.search import Search
from cae_core.generation.seeds import rank_seeds
from cae_core.generation.white_boxes import WhiteBoxes
from cae_core.method.adam import adam_step, init_adam
from cae_core.method.ball import Ball
from cae_core.method.caeacc import cae_accuracy
from cae_core.method.conferrability import conferrability
from cae_core.method.objectives.composite import CompositeLoss
from cae_core.models import Predictions
from cae_core.verification.verdict import Suspect
from cae_core.verification.verify import verify
from tests.core.suspects import examined, ruled
from tests.core.toys import (
    PROVENANCE,
    LinearModel,
    LogitCase,
    World,
    make_world,
    paired,
    quick_settings,
    toy_fingerprint,
)


def test_the_conferrability_term_built_from_a_fresh_tensor_has_no_gradient() -> None:
    case = LogitCase.draw(6)
    with_term = CompositeLoss()(case.source, case.surrogates, case.references, case.goal)
    without = CompositeLoss(w_confer=0.0)(case.source, case.surrogates, case.references, case.goal)
    assert np.abs(with_term.surrogates - without.surrogates).max() > 1e-3
    assert np.abs(with_term.references).max() > 1e-3
    np.testing.assert_array_equal(without.references, 0)


def test_the_update_ascends_the_loss(world: World) -> None:
    settings = quick_settings(objective="composite", dropout=0.0)
    search = Search.prepare(world.white_boxes, world.data, settings)
    queue = rank_seeds(world.white_boxes, world.data, ranking="screened", seed=0)
    state = search.refill(start_run(queue, world.data.images.shape[1:]))
    values = []
    for _ in range(10):
        state, value = search.step(state)
        values.append(value)
    assert (values[-1] < values[0]).all()


def test_100_classes_are_hard_coded() -> None:
    for classes, images in ((2, 100), (11, 200)):
        world = make_world(classes, images)
        found = generate(world.white_boxes, world.data, quick_settings(count=3), provenance=PROVENANCE).fingerprint
        assert len(found.class_names) == classes
        assert (found.labels < classes).all()


def test_adams_state_is_lost_at_each_iteration() -> None:
    """Without its state, Adam is the sign of the gradient; alternating gradients would then go nowhere fast."""
    gradient = np.ones((1, 2, 2, 1), np.float32)
    _, state = adam_step(init_adam(gradient.shape), gradient, 0.1)
    kept, _ = adam_step(state, -gradient, 0.1)
    lost, _ = adam_step(init_adam(gradient.shape), -gradient, 0.1)
    np.testing.assert_allclose(lost, 0.1, rtol=1e-5)
    np.testing.assert_allclose(kept, 0.1 * (0.1 - 0.09) / 0.19, rtol=1e-4)


def test_no_clamp_to_the_pixel_range(generated: GenerationResult) -> None:
    seeds = np.array([0, 255], np.uint8).reshape(2, 1, 1, 1)
    outside = np.array([-0.1, 1.1], np.float32).reshape(2, 1, 1, 1)
    for ball in (Ball(0.2), Ball(0.2, "l2")):
        assert ball.project(outside, as_unit_float(seeds)).reshape(-1).tolist() == [0, 1]
        assert ball.quantise(outside, seeds).reshape(-1).tolist() == [0, 255]
    assert generated.fingerprint.images.dtype == np.uint8


def test_acceptance_is_joined_by_the_wrong_connective() -> None:
    """By OR, an image counts that keeps the source's label, or the truth."""
    source = LinearModel(np.array([[-20.0, 20.0]]))
    white_boxes = WhiteBoxes(source, [source], [LinearModel(-source.weights)])

    def accepted(original: int, truth: int) -> bool:
        judged = accept(
            np.full((1, 1, 1, 1), 255, np.uint8), white_boxes=white_boxes, ensemble=white_boxes.ensemble(),
            original=np.array([original]), ground_truth=np.array([truth]), tau=0.5, min_margin=0.1,
        )  # fmt: skip
        assert judged.labels.tolist() == [1]
        return bool(judged.accepted[0])

    assert [accepted(0, 0), accepted(1, 0), accepted(0, 1), accepted(1, 1)] == [True, False, False, False]


def test_softmax_over_the_product_of_probabilities_cannot_reach_tau() -> None:
    perfect = np.zeros((3, 1, 10))
    perfect[..., 4] = 60.0
    assert conferrability(perfect, np.roll(perfect, 1, axis=-1))[0, 4] > 0.95


def test_surrogate_labels_from_a_shuffled_loader_are_misaligned_with_their_images(world: World) -> None:
    """Asked in any order and any batches, each image keeps its own answer and its own truth."""
    order = np.random.default_rng(3).permutation(len(world.data))
    shuffled = world.data.subset(order)
    plain = world.white_boxes.source.predict(world.data.images).labels
    np.testing.assert_array_equal(world.white_boxes.source.predict(shuffled.images).labels, plain[order])
    queues = [rank_seeds(world.white_boxes, data, ranking="screened", seed=0) for data in (world.data, shuffled)]
    assert queues[0].source_accuracy == queues[1].source_accuracy > 0.9
    truths = [data.labels[queue.index].tolist() for data, queue in zip((world.data, shuffled), queues, strict=True)]
    assert [queue.original.tolist() for queue in queues] == truths
    wanted = [dict(zip(q.index.tolist(), q.wanted.tolist(), strict=True)) for q in queues]
    assert {int(order[i]): t for i, t in wanted[1].items()} == wanted[0]
    many = make_world(classes=11)
    wrong = ImageSet(many.data.images, np.roll(many.data.labels, 1), many.data.class_names, "misaligned")
    with pytest.raises(GenerationError, match="which is what chance gives"):
        rank_seeds(many.white_boxes, wrong, ranking="screened", seed=0)


def test_float_images_change_label_once_they_are_saved_as_png(
    world: World, generated: GenerationResult, tmp_path: Path
) -> None:
    save_fingerprint(generated.fingerprint, tmp_path / "f")
    found = load_fingerprint(tmp_path / "f")
    for image, label in zip(found.images, found.labels, strict=True):
        buffer = io.BytesIO()
        Image.fromarray(image[:, :, 0]).save(buffer, "PNG")
        with Image.open(buffer) as opened:
            back = np.asarray(opened, np.uint8)[np.newaxis, :, :, np.newaxis]
        assert world.white_boxes.source.predict(back).labels[0] == label


def test_verification_compares_logits_with_labels(generated: GenerationResult) -> None:
    class Scores:
        """Answers its scores where its labels belong."""

        def predict(self, images: Images) -> Predictions:
            scores: Any = np.zeros(len(images))
            return Predictions(scores)

    with pytest.raises(ModelError, match="must be integer labels"):
        verify(Scores(), paired(generated.fingerprint), named=Suspect(name="s", sha256="0"), nonce=b"0")
    logits: Any = np.zeros((12, 4))
    with pytest.raises(DataError, match="must be integer labels"):
        cae_accuracy(generated.fingerprint.labels, logits)


@pytest.mark.parametrize("matches", [0, 100])
def test_a_p_value_from_a_normal_fit_with_zero_variance(matches: int) -> None:
    """All scores alike: the interval is exact and not empty, and without references there is no p-value at all."""
    labels = np.ones(100, np.int64)
    caeacc = cae_accuracy(labels if matches else labels - 1, labels)
    assert 0.03 < caeacc.high - caeacc.low < 0.04
    examination = examined(paired(toy_fingerprint(n=100)), np.full(100, matches > 0))
    assert examination.caeacc == caeacc
    decision = ruled(examination)
    assert decision.p_value is None
    assert decision.origin == "literature"
