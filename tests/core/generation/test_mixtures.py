"""Generations of several kinds of examples: what each example is, where it comes from, and the same after a break."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core.arrays import as_unit_float
from cae_core.dataset import ImageSet
from cae_core.errors import OptionError
from cae_core.fingerprint.example_kinds import NATURAL_ERROR, PERTURBED, PERTURBED_ERROR, count_example_kinds
from cae_core.fingerprint.file import Fingerprint, load_fingerprint, save_fingerprint
from cae_core.generation.generate import GenerationResult, generate
from cae_core.generation.groups import MemberGroups
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.survey import survey_images
from cae_core.generation.white_boxes import WhiteBoxes
from tests.core.toys import PROVENANCE, LinearModel, World, make_world, quick_settings

MIXED: dict[str, Any] = {"natural": 0.5, "errors": 0.25, "count": 12}
NONE = np.zeros(0, np.int64)


def erring(images: int = 900) -> World:
    """Return a world whose source errs on some images, as its surrogates do and its references do not."""
    world = make_world(images=images)
    source = world.white_boxes.source
    assert isinstance(source, LinearModel)
    random = np.random.default_rng(2)
    oddity = 8 * random.standard_normal(source.weights.shape)
    stolen = [LinearModel(source.weights + oddity + random.standard_normal(oddity.shape)) for _ in range(2)]
    return World(
        WhiteBoxes(LinearModel(source.weights + oddity), stolen, world.white_boxes.references, world.white_boxes.names),
        world.data,
    )


@pytest.fixture(scope="module")
def noisy() -> World:
    return erring()


@pytest.fixture(scope="module")
def mixed(noisy: World) -> GenerationResult:
    return generate(noisy.white_boxes, noisy.data, quick_settings(**MIXED), provenance=PROVENANCE)


def of_kind(fingerprint: Fingerprint, code: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    return np.asarray(fingerprint.example_kinds == code)


class TestMixture:
    def test_there_are_so_many_of_each_kind(self, mixed: GenerationResult) -> None:
        assert mixed.complete
        found = count_example_kinds(mixed.fingerprint.example_kinds)
        assert found == {"perturbed": 3, "perturbed error": 3, "natural error": 6}

    def test_each_example_is_what_its_kind_says(self, noisy: World, mixed: GenerationResult) -> None:
        found, source = mixed.fingerprint, noisy.white_boxes.source
        assert (source.predict(found.images).labels == found.labels).all()
        assert (found.labels != found.ground_truth).all()
        right = source.predict(found.seeds).labels == found.ground_truth
        np.testing.assert_array_equal(right, of_kind(found, PERTURBED.code))
        natural = of_kind(found, NATURAL_ERROR.code)
        changed = (found.images != found.seeds).any(axis=(1, 2, 3))
        np.testing.assert_array_equal(changed, ~natural)
        assert quick_settings().ball().contains(found.images, found.seeds).all()
        assert (found.steps[natural] == 0).all()
        assert (found.steps[~natural] > 0).all()
        assert (found.conferrability[~natural] >= 0.5).all()

    def test_each_seed_is_known_by_its_place_and_used_once(self, noisy: World, mixed: GenerationResult) -> None:
        found = mixed.fingerprint
        assert found.seed_index is not None
        np.testing.assert_array_equal(noisy.data.images[found.seed_index], found.seeds)
        assert len(set(found.seed_index.tolist())) == len(found)
        probes = {image.tobytes() for image in found.probe_images}
        assert not probes & {seed.tobytes() for seed in found.seeds}

    def test_the_best_natural_errors_are_taken(self, noisy: World, mixed: GenerationResult) -> None:
        """By the images' own answers, with the mean over references: here there are no groups."""
        boxes, data, found = noisy.white_boxes, noisy.data, mixed.fingerprint
        wrong = np.flatnonzero(boxes.source.predict(data.images).labels != data.labels)
        labels, rows = boxes.source.predict(data.images[wrong]).labels, np.arange(len(wrong))

        def given(models: Any) -> Any:  # noqa: ANN401
            answers = [model.predict(data.images[wrong]).probabilities for model in models]
            return np.mean([p[rows, labels] for p in answers if p is not None], axis=0)

        logits = np.sort(boxes.source.vjp(as_unit_float(data.images[wrong]))[0], axis=1)
        clear = logits[:, -1] - logits[:, -2] >= 0.1
        worth = given(boxes.surrogates) - given(boxes.references)
        best = wrong[np.argsort(np.where(clear, -worth, np.inf), kind="stable")[:6]]
        natural = of_kind(found, NATURAL_ERROR.code)
        assert found.seed_index is not None
        assert set(found.seed_index[natural].tolist()) == set(best.tolist())
        chosen = np.isin(wrong, best)
        product = given(boxes.surrogates)[chosen] * (1 - given(boxes.references)[chosen])
        np.testing.assert_allclose(np.sort(found.conferrability[natural]), np.sort(product), atol=1e-4)

    def test_of_each_kind_the_better_ones_come_first(self, noisy: World) -> None:
        """As a budget takes for granted; better are those with the larger gap of mean probabilities."""
        settings = quick_settings(natural=0.4, errors=0.3, count=20)
        found = generate(noisy.white_boxes, noisy.data, settings, provenance=PROVENANCE).fingerprint
        rows = np.arange(len(found))

        def given(models: Any) -> Any:  # noqa: ANN401
            answers = [model.predict(found.images).probabilities for model in models]
            return np.mean([p[rows, found.labels] for p in answers if p is not None], axis=0)

        gap = given(noisy.white_boxes.surrogates) - given(noisy.white_boxes.references)
        for code, count in ((0, 6), (1, 6), (2, 8)):
            own = gap[of_kind(found, code)]
            assert len(own) == count
            assert (np.diff(own) <= 1e-5).all(), code

    def test_it_comes_back_from_a_file(self, mixed: GenerationResult, tmp_path: Path) -> None:
        save_fingerprint(mixed.fingerprint, tmp_path / "f")
        loaded = load_fingerprint(tmp_path / "f")
        assert loaded.id == mixed.fingerprint.id
        np.testing.assert_array_equal(loaded.example_kinds, mixed.fingerprint.example_kinds)
        np.testing.assert_array_equal(loaded.seed_index, mixed.fingerprint.seed_index)
        save_fingerprint(loaded, tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == (tmp_path / "f").read_bytes()

    def test_the_same_again_is_the_same(self, noisy: World, mixed: GenerationResult) -> None:
        again = generate(noisy.white_boxes, noisy.data, quick_settings(**MIXED), provenance=PROVENANCE)
        assert again.fingerprint.content_sha256 == mixed.fingerprint.content_sha256

    @pytest.mark.parametrize("at", [1, 2, 5, 9])
    def test_a_broken_run_goes_on_to_the_same(
        self, noisy: World, mixed: GenerationResult, tmp_path: Path, at: int
    ) -> None:
        path, settings = tmp_path / "state", quick_settings(**MIXED)

        def interrupt(stage: str, _done: int, _total: int) -> None:
            counted[0] += stage == "searching"
            if counted[0] == at:
                raise KeyboardInterrupt

        counted = [0]
        with pytest.raises(KeyboardInterrupt):
            generate(
                noisy.white_boxes, noisy.data, settings, provenance=PROVENANCE, checkpoint=path, progress=interrupt
            )
        again = generate(noisy.white_boxes, noisy.data, settings, provenance=PROVENANCE, checkpoint=path)
        assert again.resumed_with is not None
        assert again.fingerprint.content_sha256 == mixed.fingerprint.content_sha256
        assert (again.seeds_tried, again.steps) == (mixed.seeds_tried, mixed.steps)


class TestShortages:
    def test_perturbed_ones_take_the_places_of_errors_that_are_too_few(self, world: World) -> None:
        """This source hardly errs."""
        wrong = int((world.white_boxes.source.predict(world.data.images).labels != world.data.labels).sum())
        settings = quick_settings(natural=0.9, count=12)
        result = generate(world.white_boxes, world.data, settings, provenance=PROVENANCE)
        counts = count_example_kinds(result.fingerprint.example_kinds)
        assert wrong < settings.wanted()[NATURAL_ERROR]
        assert counts.get("natural error", 0) <= wrong
        assert result.complete
        assert sum(counts.values()) == 12

    def test_errors_alone_take_as_many_seeds_as_needed(self, noisy: World) -> None:
        result = generate(noisy.white_boxes, noisy.data, quick_settings(errors=1.0), provenance=PROVENANCE)
        assert count_example_kinds(result.fingerprint.example_kinds) == {"perturbed error": 12}

    def test_natural_errors_alone_take_no_search(self, noisy: World) -> None:
        result = generate(noisy.white_boxes, noisy.data, quick_settings(natural=1.0), provenance=PROVENANCE)
        assert count_example_kinds(result.fingerprint.example_kinds) == {"natural error": 12}
        assert (result.seeds_tried, result.steps) == (0, 0)

    def test_no_more_seeds_are_tried_than_allowed(self, noisy: World) -> None:
        settings = quick_settings(errors=0.5, count=200, max_seeds=9)
        assert generate(noisy.white_boxes, noisy.data, settings, provenance=PROVENANCE).seeds_tried == 9


class TestData:
    def test_training_images_are_no_probes_and_are_named(self, noisy: World) -> None:
        held_out = np.arange(900) >= 400
        data = dataclasses.replace(noisy.data, split="all", held_out=held_out)
        found = generate(noisy.white_boxes, data, quick_settings(**MIXED), provenance=PROVENANCE).fingerprint
        place = {image.tobytes(): i for i, image in enumerate(data.images)}
        assert min(place[image.tobytes()] for image in found.probe_images) >= 400
        told, names = found.generation["data"], data.class_names
        train, test = (ImageSet(data.images[p], data.labels[p], names) for p in (slice(400), slice(400, None)))
        assert told["split"] == "all"
        assert told["parts"] == [
            {"split": "train", "count": 400, "sha256": train.sha256()},
            {"split": "test", "count": 500, "sha256": test.sha256()},
        ]
        right = (noisy.white_boxes.source.predict(test.images).labels == test.labels).mean()
        assert found.source_accuracy == right

    def test_probes_of_many_images_are_drawn_blind(self) -> None:
        """So they hold as many errors of the source as the data do, whatever becomes an example."""
        world = erring(images=2100)
        drawn = []
        for changes in ({"natural": 1.0}, {"errors": 0.5}):
            found = generate(world.white_boxes, world.data, quick_settings(**changes), provenance=PROVENANCE)
            drawn.append([image.tobytes() for image in found.fingerprint.probe_images])
        assert drawn[0] == drawn[1]
        assert len(drawn[0]) == 200


class TestSurvey:
    def test_pools_are_asked_about_errors_and_some_others(self, noisy: World) -> None:
        settings = quick_settings(natural=0.5, count=5)
        found = survey_images(noisy.white_boxes, noisy.data, settings, without=np.arange(100))
        wrong = noisy.white_boxes.source.predict(noisy.data.images).labels != noisy.data.labels
        assert found.index[: found.errors].tolist() == [i for i in np.flatnonzero(wrong) if i >= 100]
        assert not wrong[found.index[found.errors :]].any()
        assert found.index.min() >= 100

    def test_groups_change_what_an_image_is_worth(self, noisy: World) -> None:
        grouped = dataclasses.replace(noisy.white_boxes, groups=MemberGroups((("a", "b"),)))
        plain, worst = (
            survey_images(boxes, noisy.data, quick_settings(natural=1.0), without=NONE)
            for boxes in (noisy.white_boxes, grouped)
        )
        assert (worst.worth <= plain.worth + 1e-12).all()
        assert (worst.worth < plain.worth - 0.01).any()


class TestSettings:
    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"errors": -0.1}, r"errors must lie in \[0, 1\]; found -0\.1"),
            ({"natural": 1.5}, r"natural must lie in \[0, 1\]"),
            (
                {"natural": 0.5, "errors": 0.3, "blends": 0.3},
                "add up to at most 1; found errors 0.3, natural",
            ),
            ({"label_quota": 0.0}, r"label_quota must lie in \(0, 1\]"),
            ({"blend_candidates": 0}, "blend_candidates must be at least 1"),
        ],
    )
    def test_impossible_ones_are_refused(self, changes: dict[str, Any], message: str) -> None:
        with pytest.raises(OptionError, match=message):
            GenerationSettings(eps=0.1, **changes)

    def test_a_quota_keeps_labels_apart(self, noisy: World) -> None:
        free, kept = (
            generate(noisy.white_boxes, noisy.data, quick_settings(**MIXED, label_quota=quota), provenance=PROVENANCE)
            for quota in (None, 1 / 3)
        )
        natural = kept.fingerprint.labels[of_kind(kept.fingerprint, NATURAL_ERROR.code)]
        assert np.bincount(natural).max() <= 2
        for code in (PERTURBED.code, PERTURBED_ERROR.code):
            assert np.bincount(kept.fingerprint.labels[of_kind(kept.fingerprint, code)]).max() <= 1
        assert free.fingerprint.id != kept.fingerprint.id
        assert kept.complete
