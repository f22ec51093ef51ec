"""Benign images that the source gets wrong: chosen from the data, asked among the others, and never in CAEAcc."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_core.arrays import Floats32, Images, Labels
from cae_core.calibration.calibrated import load_calibrated
from cae_core.calibration.file import calibration_digest, save_calibration
from cae_core.calibration.record import Calibration
from cae_core.dataset import ImageSet
from cae_core.errors import FingerprintError, OptionError
from cae_core.files.records import as_json
from cae_core.files.tensor_file import pack_tensors, read_tensors
from cae_core.fingerprint.answers import Answered
from cae_core.fingerprint.file import Fingerprint, load_fingerprint, save_fingerprint
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE, SOURCE_ERROR
from cae_core.fingerprint.questions import count_queries, plan_questions
from cae_core.generation.generate import GenerationResult, generate
from cae_core.generation.seeds import SeedQueue, rank_seeds
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.source_errors import choose_source_errors
from cae_core.generation.white_boxes import WhiteBoxes
from cae_core.models import Predictions
from cae_core.pool.same_model import probe_images
from cae_core.verification.findings.repeated_errors import repeated_errors
from cae_core.verification.options import VerificationOptions
from cae_core.verification.replay import replay_verdict
from tests.core.suspects import NONCE, Scripted, ask, oracle, table
from tests.core.toys import (
    PROVENANCE,
    LinearModel,
    World,
    make_world,
    paired,
    quick_settings,
    toy_calibration,
    toy_fingerprint,
)

DATA = Path(__file__).parents[2] / "data"
FINGERPRINT = toy_fingerprint(akh=12)
ERRORS = FINGERPRINT.of(SOURCE_ERROR)
EXAMPLES = np.arange(20)


NOTHING = np.zeros(0, np.int64)


def queue_of(source: Labels, right: Labels) -> SeedQueue:
    """Return a queue of no seeds that remembers these answers."""
    return SeedQueue(NOTHING, NOTHING, NOTHING, 0.5, source.astype(np.int32), right.astype(np.int32))


class TestChoosing:
    #  image:         0  1  2  3  4  5  6
    truth = np.array([0, 0, 0, 1, 1, 1, 2])
    source = np.array([0, 1, 2, 1, -1, 0, 0])  # wrong on 1, 2, 5, 6; silent on 4
    references = np.array(
        [
            [0, 0, 0, 1, 1, 1, 0],
            [0, 0, 2, 1, 1, 1, 0],
            [0, 0, 0, 1, 1, 2, 2],
        ]
    )

    def chosen(
        self, count: int, *, without: tuple[int, ...] = (), references: int = 3, seed: int = 0
    ) -> dict[int, int]:
        queue = queue_of(self.source, (self.references[:references] == self.truth).sum(axis=0))
        taken = np.array(without, np.int64)
        index, labels = choose_source_errors(queue, self.truth, count, references=references, without=taken, seed=seed)
        assert index.dtype == labels.dtype == np.int64
        return dict(zip(index.tolist(), labels.tolist(), strict=True))

    def test_the_source_is_wrong_and_most_references_are_right(self) -> None:
        """The source's own wrong label is kept; 6 is right for one of three references only."""
        assert self.chosen(9) == {1: 1, 2: 2, 5: 0}

    def test_more_than_half_must_be_right(self) -> None:
        assert set(self.chosen(9, references=2)) == {1, 5}  # half of two is not enough for 2
        assert set(self.chosen(9, references=1)) == {1, 2, 5}

    def test_those_that_most_references_get_right_come_first(self) -> None:
        for seed in range(8):
            assert list(self.chosen(1, seed=seed)) == [1]
        seconds = {list(self.chosen(2, seed=seed))[1] for seed in range(20)}
        assert seconds == {2, 5}  # as many references: at random

    def test_the_same_seed_gives_the_same(self) -> None:
        assert self.chosen(3, seed=4) == self.chosen(3, seed=4)

    def test_what_is_taken_is_left_out(self) -> None:
        assert set(self.chosen(9, without=(1, 3))) == {2, 5}


@pytest.fixture(scope="module")
def noisy() -> World:
    """Return a world whose source errs on some images that its references know."""
    world = make_world(images=600)
    assert isinstance(world.white_boxes.source, LinearModel)
    weights = world.white_boxes.source.weights
    source = LinearModel(weights + 4 * np.random.default_rng(1).standard_normal(weights.shape))
    return World(WhiteBoxes(source, world.white_boxes.surrogates, world.white_boxes.references), world.data)


def chosen_by_asking_again(
    white_boxes: WhiteBoxes, data: ImageSet, count: int, *, without: NDArray[np.int64], seed: int
) -> tuple[Labels, Labels]:
    """Choose as `choose_source_errors` says, by asking the source and the references themselves."""
    answers = white_boxes.source.predict(data.images).labels
    right = np.sum([model.predict(data.images).labels == data.labels for model in white_boxes.references], axis=0)
    fits = (answers != data.labels) & (answers >= 0) & (2 * right > len(white_boxes.references))
    fits[without] = False
    order = np.random.default_rng([seed, 2]).permutation(len(data))
    order = order[np.argsort(-right[order], kind="stable")]
    chosen = order[fits[order]][:count].astype(np.int64)
    return chosen, answers[chosen]


class Asked(LinearModel):
    """Remembers the images of each `predict`."""

    def __init__(self, weights: Floats32) -> None:
        super().__init__(weights)
        self.batches: list[list[bytes]] = []

    def predict(self, images: Images) -> Predictions:
        self.batches.append([image.tobytes() for image in images])
        return super().predict(images)


class TestAskingOnce:
    @pytest.mark.parametrize("seed", range(6))
    @pytest.mark.parametrize("count", [3, 200])
    def test_what_the_ranking_kept_chooses_what_asking_again_would(self, noisy: World, count: int, seed: int) -> None:
        white_boxes, data = noisy.white_boxes, noisy.data
        queue = rank_seeds(white_boxes, data, ranking="screened", seed=0)
        without = np.random.default_rng(seed).permutation(len(data))[:200]
        found = choose_source_errors(
            queue, data.labels, count, references=len(white_boxes.references), without=without, seed=seed
        )  # fmt: skip
        expected = chosen_by_asking_again(white_boxes, data, count, without=without, seed=seed)
        assert len(expected[0]) >= 3
        for mine, theirs in zip(found, expected, strict=True):
            assert mine.dtype == theirs.dtype
            np.testing.assert_array_equal(mine, theirs)

    def test_each_model_is_asked_about_each_image_once(self, noisy: World) -> None:
        """Apart from the probes that tell one model from another, and from the search, which asks for gradients."""
        models = [Asked(model.weights) for model in noisy.white_boxes.models if isinstance(model, LinearModel)]
        white_boxes, data = WhiteBoxes(models[0], models[1:3], models[3:]), noisy.data
        found = generate(white_boxes, data, quick_settings(akh=5), provenance=PROVENANCE).fingerprint
        assert len(found.of(SOURCE_ERROR).labels) == 5
        once, probes = ([image.tobytes() for image in images] for images in (data.images, probe_images(data)))
        for model in models:
            assert model.batches == [once, probes]

    def test_a_resumed_run_asks_nobody(self, noisy: World, tmp_path: Path) -> None:
        settings, path = quick_settings(akh=5), tmp_path / "state"
        first = generate(noisy.white_boxes, noisy.data, settings, provenance=PROVENANCE, checkpoint=path).fingerprint
        models = [Asked(model.weights) for model in noisy.white_boxes.models if isinstance(model, LinearModel)]
        white_boxes = WhiteBoxes(models[0], models[1:3], models[3:])
        again = generate(white_boxes, noisy.data, settings, provenance=PROVENANCE, checkpoint=path).fingerprint
        assert [model.batches for model in models] == [[]] * 5
        assert again.id == first.id
        np.testing.assert_array_equal(again.of(SOURCE_ERROR).images, first.of(SOURCE_ERROR).images)
        np.testing.assert_array_equal(again.of(SOURCE_ERROR).labels, first.of(SOURCE_ERROR).labels)


class TestGenerating:
    def test_without_it_a_fingerprint_is_what_it_was(self, world: World, generated: GenerationResult) -> None:
        """The id too: the setting enters only where it is used."""
        assert "akh" not in generated.fingerprint.generation["settings"]
        assert "akh" not in generated.fingerprint.generation
        assert generated.fingerprint.of(SOURCE_ERROR).images.shape == (0, 6, 6, 1)
        again = generate(world.white_boxes, world.data, quick_settings(akh=0), provenance=PROVENANCE)
        assert again.fingerprint.id == generated.fingerprint.id

    def test_the_images_come_from_the_data_and_the_labels_from_the_source(self, noisy: World) -> None:
        found = generate(noisy.white_boxes, noisy.data, quick_settings(akh=5), provenance=PROVENANCE).fingerprint
        errors = found.of(SOURCE_ERROR)
        assert len(errors.labels) == 5
        place = {image.tobytes(): i for i, image in enumerate(noisy.data.images)}
        index = [place[image.tobytes()] for image in errors.images]
        answers = noisy.white_boxes.source.predict(errors.images).labels
        np.testing.assert_array_equal(answers, errors.labels)
        assert (answers != noisy.data.labels[index]).all()
        taken = {image.tobytes() for image in (*found.probe_images, *found.seeds)}
        assert not taken & {image.tobytes() for image in errors.images}
        assert found.generation["settings"]["akh"] == 5
        assert found.generation["akh"]["count"] == 5

    def test_examples_and_probes_are_the_same_with_and_without(self, noisy: World) -> None:
        with_, without = (
            generate(noisy.white_boxes, noisy.data, quick_settings(akh=akh), provenance=PROVENANCE).fingerprint
            for akh in (5, 0)
        )
        np.testing.assert_array_equal(with_.images, without.images)
        np.testing.assert_array_equal(with_.probe_images, without.probe_images)
        assert with_.id != without.id

    def test_fewer_than_asked_for_are_taken(self, world: World) -> None:
        settings = quick_settings(akh=200)
        found = generate(world.white_boxes, world.data, settings, provenance=PROVENANCE).fingerprint
        assert len(found.of(SOURCE_ERROR).labels) < 200
        assert found.generation["settings"]["akh"] == 200
        assert found.generation.get("akh", {"count": 0})["count"] == len(found.of(SOURCE_ERROR).labels)

    def test_the_settings(self) -> None:
        assert "akh" not in as_json(GenerationSettings(eps=0.1))
        assert as_json(GenerationSettings(eps=0.1, akh=3))["akh"] == 3
        assert GenerationSettings(**as_json(GenerationSettings(eps=0.1, akh=3))).akh == 3
        with pytest.raises(OptionError, match="akh must be at least 0; found -1"):
            GenerationSettings(eps=0.1, akh=-1)


def rewritten(path: Path, **tensors: Any) -> Path:  # noqa: ANN401 - arrays, or None to leave one out
    metadata, found = read_tensors(path)
    kept = {name: tensor for name, tensor in {**found, **tensors}.items() if tensor is not None}
    path.write_bytes(pack_tensors(kept, metadata))
    return path


class TestFile:
    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        save_fingerprint(FINGERPRINT, tmp_path / "f")
        return tmp_path / "f"

    def test_they_come_back_whole(self, path: Path, tmp_path: Path) -> None:
        loaded = load_fingerprint(path)
        np.testing.assert_array_equal(loaded.of(SOURCE_ERROR).images, ERRORS.images)
        np.testing.assert_array_equal(loaded.of(SOURCE_ERROR).labels, ERRORS.labels)
        assert loaded.id == FINGERPRINT.id
        save_fingerprint(loaded, tmp_path / "again")
        assert (tmp_path / "again").read_bytes() == path.read_bytes()

    def test_without_any_the_file_has_no_such_tensor(self, fingerprint_file: Path) -> None:
        assert not [name for name in read_tensors(fingerprint_file)[1] if name.startswith("akh")]
        assert load_fingerprint(fingerprint_file).of(SOURCE_ERROR).images.shape == (0, 4, 4, 1)

    @pytest.mark.parametrize(
        ("tensors", "message"),
        [
            ({"akh_images": None}, "the tensor 'akh_images' is missing"),
            ({"akh_labels": None}, "the tensor 'akh_labels' is missing"),
            ({"akh_images": None, "akh_labels": None}, "not those that it was generated with"),
            ({"akh_labels": np.zeros(12, np.int32)}, "'akh_labels' should be int64"),
            ({"akh_labels": np.zeros(11, np.int64)}, r"'akh_labels' should be int64 \(12\)"),
            ({"akh_images": np.zeros((12, 4, 5, 1), np.uint8)}, r"'akh_images' should be uint8 \(12, 4, 4, 1\)"),
            ({"akh_labels": np.full(12, 10)}, r"akh_labels must lie in 0 \.\. 9"),
            ({"akh_labels": (ERRORS.labels + 1) % 10}, "not those that it was generated with"),
            ({"akh_images": ERRORS.images[::-1].copy()}, "not those that it was generated with"),
        ],
    )
    def test_other_ones_are_refused(self, path: Path, tensors: dict[str, Any], message: str) -> None:
        with pytest.raises(FingerprintError, match=message):
            load_fingerprint(rewritten(path, **tensors))

    def test_they_cannot_be_added_afterwards(self, fingerprint_file: Path) -> None:
        """The id covers them: an accuser cannot add images of his choice to a sealed fingerprint."""
        added = {"akh_images": ERRORS.images, "akh_labels": ERRORS.labels}
        with pytest.raises(FingerprintError, match="not those that it was generated with"):
            load_fingerprint(rewritten(fingerprint_file, **added))

    def test_a_file_with_them_of_every_released_version_loads_for_ever(self) -> None:
        loaded = load_fingerprint(DATA / "fingerprint-0.1.0-akh.safetensors")
        assert loaded.id == "3de9a3a58112152cbdf051e78217202a5e6cbf18d84faa85f81bf0af1b4e10a3"
        assert loaded.of(SOURCE_ERROR).labels.tolist() == [1, 2]
        assert loaded.of(SOURCE_ERROR).images[1, 0, 0].tolist() == [14, 27, 40]
        assert loaded.generation["akh"]["count"] == 2


class TestAsking:
    def test_they_are_asked_once_each_in_the_same_random_order(self) -> None:
        places = []
        for i in range(40):
            plan = plan_questions(FINGERPRINT, suspect_sha256="ab", nonce=bytes([i]))
            first = [q for q in plan if not q.repeat]
            assert sorted(q.index for q in first if q.kind == SOURCE_ERROR) == list(range(12))
            places += [place / len(plan) for place, q in enumerate(plan) if q.kind == SOURCE_ERROR]
            assert len(plan) == 20 + 60 + 12 + 5  # 5 % of 92, rounded up
        assert 0.45 < np.mean(places) < 0.55

    def test_their_images_are_asked(self) -> None:
        asked: set[bytes] = set()

        def answer(images: np.ndarray[Any, np.dtype[np.uint8]]) -> np.ndarray[Any, np.dtype[np.int64]]:
            asked.update(image.tobytes() for image in images)
            return oracle(FINGERPRINT)(images)

        ask(Scripted(answer), FINGERPRINT)
        assert {image.tobytes() for image in ERRORS.images} <= asked

    def test_without_any_the_plan_is_what_it_was(self, fingerprint: Fingerprint) -> None:
        plan = plan_questions(fingerprint, suspect_sha256="ab", nonce=NONCE)
        assert count_queries(plan).keys() == {"fingerprint", "benign"}

    @pytest.mark.parametrize(
        ("budget", "examples", "probes", "akh"),
        [(70, 16, 50, 0), (74, 20, 50, 0), (80, 20, 56, 0), (84, 20, 60, 0), (90, 20, 60, 5), (100, 20, 60, 12)],
    )
    def test_a_budget_spares_them_first(self, budget: int, examples: int, probes: int, akh: int) -> None:
        plan = [
            q for q in plan_questions(FINGERPRINT, suspect_sha256="ab", nonce=NONCE, max_queries=budget) if not q.repeat
        ]
        assert [sum(q.kind == kind for q in plan) for kind in (EXAMPLE, BENIGN, SOURCE_ERROR)] == [
            examples,
            probes,
            akh,
        ]

    def test_the_sequential_mode_does_not_ask_them(self) -> None:
        verdict = ask(Scripted(oracle(FINGERPRINT)), FINGERPRINT, options=VerificationOptions(sequential=True))
        assert verdict.finding("akh") is None
        assert not [a for a in verdict.answers if a.question.kind == SOURCE_ERROR]


def calibrated(matches: list[int], surrogates: list[int] = [], **changes: Any) -> Calibration:  # noqa: ANN401, B006 - read only
    """Return a calibration on models that repeat so many of the errors, the first ones."""
    base = toy_calibration(FINGERPRINT, [1] * len(matches), [18] * len(surrogates), fpr=0.2, fnr=0.2, **changes)
    groups = {}
    for name, counts in (("references", matches), ("surrogates", surrogates)):
        errors = np.arange(12) < np.array(counts, np.int64).reshape(-1, 1)
        akh = np.where(errors, ERRORS.labels, (ERRORS.labels + 1) % 10)
        groups[name] = dataclasses.replace(getattr(base, name), further={"akh": akh})
    return dataclasses.replace(base, **groups)


def suspect(repeated: int, *, matches: int = 0) -> Scripted:
    errors = np.where(np.arange(12) < repeated, ERRORS.labels, (ERRORS.labels + 1) % 10)
    examples = np.where(matches > EXAMPLES, FINGERPRINT.labels, FINGERPRINT.ground_truth)
    return Scripted(table(FINGERPRINT, examples, FINGERPRINT.probe_labels, errors))


class TestEvidence:
    def test_it_is_reported_apart_and_never_in_caeacc(self) -> None:
        told = as_json(ask(suspect(9, matches=5), FINGERPRINT, calibration=calibrated([1, 2, 9, 3], [10, 8, 11])))
        assert told["akh"] == {"matches": 9, "asked": 12, "p_value": 2 / 5, "p_value_surrogate": 2 / 4}
        assert (told["matches"], told["asked"]) == (5, 20)
        assert set(told["queries"]) == {"fingerprint", "benign", "akh"}
        assert sum(told["queries"].values()) == len(told["answers"])
        json.dumps(told, allow_nan=False)

    @pytest.mark.parametrize("repeated", [0, 12])
    @pytest.mark.parametrize("matches", [0, 10, 20])
    def test_it_decides_nothing(self, repeated: int, matches: int) -> None:
        plain = toy_fingerprint()
        calibration = calibrated([1, 2, 9, 3], [10, 8, 11, 12])
        same = dataclasses.replace(toy_calibration(plain, [1] * 4, [18] * 4), fpr=0.2, fnr=0.2)
        decision = ask(suspect(repeated, matches=matches), FINGERPRINT, calibration=calibration).decision
        answers = table(plain, np.where(matches > EXAMPLES, plain.labels, plain.ground_truth), plain.probe_labels)
        assert decision == ask(Scripted(answers), plain, calibration=same).decision

    def test_uncalibrated_there_is_no_p_value(self) -> None:
        told = as_json(ask(suspect(7), FINGERPRINT))["akh"]
        assert told == {"matches": 7, "asked": 12, "p_value": None, "p_value_surrogate": None}

    def test_without_such_images_there_is_none(self, fingerprint: Fingerprint) -> None:
        assert as_json(ask(Scripted(oracle(fingerprint)), fingerprint))["akh"] is None

    def test_a_calibration_that_did_not_ask_them_has_no_rank(self) -> None:
        verdict = ask(suspect(7), FINGERPRINT, calibration=toy_calibration(FINGERPRINT, [1, 2], [18]))
        assert verdict.finding("akh") == {"matches": 7, "asked": 12, "p_value": None, "p_value_surrogate": None}

    def test_without_surrogates_nothing_is_unusual_for_one(self) -> None:
        calibration = calibrated([1, 2])
        loaded = dataclasses.replace(calibration.surrogates, further={})  # as a file holds none
        for group in (calibration.surrogates, loaded):
            verdict = ask(suspect(0), FINGERPRINT, calibration=dataclasses.replace(calibration, surrogates=group))
            assert verdict.finding("akh")["p_value_surrogate"] == 1.0

    def test_the_rank_is_taken_on_the_images_that_were_asked(self) -> None:
        """References repeat the first errors only; of the last ones none."""
        calibration = calibrated([6, 6, 6])
        examination = ask(suspect(0), FINGERPRINT, calibration=calibration).examination
        answers = examination.answers
        for asked, p in ((np.array([8, 9, 11]), 1 / 4), (np.array([0, 1, 9]), 1.0)):
            given = Answered(asked, np.where(asked > 7, ERRORS.labels[asked], -1))
            some = dataclasses.replace(answers, by_kind={**answers.by_kind, SOURCE_ERROR.name: given})
            found = repeated_errors(dataclasses.replace(examination, answers=some)).value
            assert (found["asked"], found["p_value"]) == (3, p)

    def test_refusals_and_changes_count_as_everywhere(self) -> None:
        silent = Scripted(table(FINGERPRINT, FINGERPRINT.ground_truth, FINGERPRINT.probe_labels, np.full(12, -1)))
        verdict = ask(silent, FINGERPRINT)
        assert verdict.finding("akh")["matches"] == 0
        assert verdict.unanswered >= 12

    @pytest.mark.parametrize("calibration", [None, calibrated([1, 2, 9, 3], [10])])
    def test_it_is_derived_again_from_a_record(self, calibration: Calibration | None) -> None:
        told = json.loads(json.dumps(as_json(ask(suspect(9), FINGERPRINT, calibration=calibration))))
        assert replay_verdict(told, paired(FINGERPRINT, calibration)).differences == ()
        errors = [a for a in told["answers"] if a["kind"] == "akh" and not a["repeat"]]
        answer = next(a for a in errors if a["label"] == ERRORS.labels[a["index"]])
        answer["label"] = (answer["label"] + 5) % 10
        differences = replay_verdict(told, paired(FINGERPRINT, calibration)).differences
        assert "akh" in differences
        assert "matches" not in differences


class TestCalibration:
    def test_it_comes_back_whole(self, tmp_path: Path) -> None:
        made = calibrated([1, 2, 9, 3], [10, 8])
        save_calibration(made, FINGERPRINT, tmp_path / "f")
        loaded = load_calibrated(tmp_path / "f").calibration
        assert loaded is not None
        np.testing.assert_array_equal(loaded.references.further["akh"], made.references.further["akh"])
        assert loaded.surrogates.further["akh"].shape == (2, 12)
        assert calibration_digest(loaded) == calibration_digest(made)

    @pytest.mark.parametrize(
        ("name", "akh"),
        [
            ("references", np.zeros((4, 11), np.int64)),
            ("references", np.zeros((3, 12), np.int64)),
            ("references", np.zeros((4, 12), np.float32)),
            ("references", np.full((4, 12), 10)),
            ("surrogates", np.full((2, 12), -2)),
            ("surrogates", np.zeros((0, 0), np.int64)),
            ("references", np.zeros((0, 0), np.int64)),
        ],
    )
    def test_other_answers_are_refused(self, name: str, akh: np.ndarray[Any, Any], tmp_path: Path) -> None:
        made = calibrated([1, 2, 9, 3], [10, 8])
        wrong = dataclasses.replace(made, **{name: dataclasses.replace(getattr(made, name), further={"akh": akh})})
        save_calibration(wrong, FINGERPRINT, tmp_path / "f")
        with pytest.raises(FingerprintError, match="incomplete or malformed"):
            load_calibrated(tmp_path / "f")
