"""Calibrating: every model is asked once, and none that could be known to the fingerprint under another name."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core.arrays import Images, Labels
from cae_core.calibration.calibrate import CalibrationSettings, calibrate, plan_calibration, wanted_score
from cae_core.calibration.record import Calibration
from cae_core.defences.table import defended
from cae_core.errors import ModelError, OptionError, PoolError
from cae_core.files.records import as_json
from cae_core.fingerprint.example_kinds import NATURAL_ERROR
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import BENIGN, EXAMPLE, SOURCE_ERROR
from cae_core.models import Model, Predictions
from cae_core.pool.manifest import PoolMember, Relation, Role
from cae_core.pool.members import OpenPool
from cae_core.pool.roles import CalibrationMembers
from cae_core.statistics.score import Score
from tests.core.suspects import matching, table
from tests.core.toys import toy_fingerprint


class Known:
    """A model with fixed labels, and probabilities that are its own as long as its seed is."""

    def __init__(self, fingerprint: Fingerprint, examples: Labels, probes: Labels, *, seed: int, bare: bool) -> None:
        self.labels = table(fingerprint, examples, probes)
        self.classes, self.seed, self.bare = len(fingerprint.class_names), seed, bare
        self.asked = 0

    def predict(self, images: Images) -> Predictions:
        self.asked += 1
        labels = self.labels(images.astype(np.uint8))
        noise = np.random.default_rng(self.seed).uniform(0, 0.3 / self.classes, (len(images), self.classes))
        noise[np.arange(len(images)), labels] += 1 - noise.sum(axis=1)
        return Predictions(labels, None if self.bare else noise.astype(np.float32))


@dataclass
class Shelf:
    """Model files of a test, and what opens them."""

    folder: Path
    fingerprint: Fingerprint
    models: dict[str, Model] = field(default_factory=dict)

    def open(self, member: PoolMember) -> Model:
        if str(member.path) not in self.models:
            raise ModelError(f"{member.path}: cannot be opened.")
        return self.models[str(member.path)]

    def put(
        self,
        name: str,
        model: Model,
        *,
        relation: Relation = "reference",
        role: Role = "calibrate",
        kind: str = "",
        architecture: str = "",
        ancestor: str = "",
    ) -> PoolMember:
        path = self.folder / f"{name}.toy"
        path.write_text(name)
        self.models[str(path)] = model
        return PoolMember(
            path=path, role=role, relation=relation, kind=kind, architecture=architecture, ancestor=ancestor
        )

    def model(self, matches: int, *, wrong_probes: int = 0, seed: int, bare: bool = False) -> Known:
        """Return a model that matches so many examples and errs on the first probes."""
        fingerprint = self.fingerprint
        answer = matching(fingerprint, matches, wrong_probes=wrong_probes).answer
        return Known(fingerprint, answer(fingerprint.images), answer(fingerprint.probe_images), seed=seed, bare=bare)

    def many(
        self, counts: Sequence[int], name: str, *, relation: Relation = "reference", role: Role = "calibrate"
    ) -> list[PoolMember]:
        """Return models that differ from all others."""
        first = 1000 * sum(map(ord, name))
        models = [self.model(count, seed=first + i) for i, count in enumerate(counts)]
        return [self.put(f"{name}-{i}", model, relation=relation, role=role) for i, model in enumerate(models)]


@pytest.fixture
def shelf(tmp_path: Path, fingerprint: Fingerprint) -> Shelf:
    return Shelf(tmp_path, fingerprint)


def run(
    shelf: Shelf,
    references: Sequence[PoolMember],
    surrogates: Sequence[PoolMember] = (),
    *,
    screen: Sequence[PoolMember] = (),
    generation: Sequence[PoolMember] = (),
    **settings: Any,  # noqa: ANN401 - the fields have different types
) -> Calibration:
    return calibrate(
        shelf.fingerprint,
        CalibrationMembers(references=references, surrogates=surrogates, screen=screen, generation=generation),
        settings=CalibrationSettings(**settings),
        opened=OpenPool(opener=shelf.open),
    ).calibration


def source(shelf: Shelf) -> PoolMember:
    return shelf.put("source", shelf.model(20, seed=1), relation="source", role="source")


class TestWhatIsKept:
    def test_every_models_answers_and_description(self, shelf: Shelf) -> None:
        references = [
            shelf.put(f"other-{i}", shelf.model(i, seed=i), kind="independent", architecture="mlp", ancestor="imagenet")
            for i in (0, 4, 2)
        ]
        thief = shelf.put("thief", shelf.model(15, wrong_probes=7, seed=9), relation="surrogate", kind="pruned")
        found = run(shelf, references, [thief], fpr=0.2, fnr=0.3)
        assert found.references.matches(shelf.fingerprint).sum(axis=1).tolist() == [0, 4, 2]
        assert found.surrogates.matches(shelf.fingerprint).sum(axis=1).tolist() == [15]
        assert found.references.right.all()
        assert found.surrogates.right.sum(axis=1).tolist() == [53]
        described = found.references.models[1]
        assert (described.name, described.kind, described.architecture) == ("other-4", "independent", "mlp")
        assert (described.ancestor, described.sha256) == ("imagenet", references[1].digest())
        assert (found.fpr, found.fnr, found.score, found.parametric) == (0.2, 0.3, "caeacc", False)
        assert found.chosen.all()
        assert found.weights is None

    def test_what_the_references_answer_behind_each_defence(self, shelf: Shelf) -> None:
        references = shelf.many([0, 4, 2], "other")
        thief = shelf.put("thief", shelf.model(15, seed=9), relation="surrogate")
        found = run(shelf, references, [thief], behind=("random:0.5", "bits:8"))
        assert list(found.preprocessed) == ["random:0.5", "bits:8"]
        images = shelf.fingerprint.all_images()
        for behind, group in found.preprocessed.items():
            assert group.models == found.references.models
            for row, member in enumerate(references):
                answers = defended(shelf.open(member), behind, classes=10).predict(images).labels
                np.testing.assert_array_equal(group.answers[row], answers[shelf.fingerprint.rows(EXAMPLE)])
                right = answers[shelf.fingerprint.rows(BENIGN)] == shelf.fingerprint.probe_labels
                np.testing.assert_array_equal(group.right[row], right)
        np.testing.assert_array_equal(found.preprocessed["bits:8"].answers, found.references.answers)
        assert (found.preprocessed["random:0.5"].answers != found.references.answers).any()
        models = [known for known in shelf.models.values() if isinstance(known, Known)]
        assert {known.asked for known in models} == {1, 5}  # the thief once, the others three times and twice above

    def test_answers_to_images_that_the_source_gets_wrong(self, shelf: Shelf) -> None:
        """They are asked with the others, and are part of neither examples nor probes."""
        shelf.fingerprint = toy_fingerprint(akh=7)
        found = run(shelf, shelf.many([4, 2], "other"), shelf.many([15], "thief", relation="surrogate"))
        wrong = shelf.fingerprint.of(SOURCE_ERROR).labels
        np.testing.assert_array_equal(found.references.further["akh"], np.tile(wrong, (2, 1)))
        assert found.surrogates.further["akh"].shape == (1, 7)
        assert found.references.matches(shelf.fingerprint).sum(axis=1).tolist() == [4, 2]
        assert found.references.right.all()
        assert run(shelf, shelf.many([4], "more")).surrogates.further["akh"].shape == (0, 7)

    def test_the_fingerprint_stays_as_it_is(self, shelf: Shelf) -> None:
        before = shelf.fingerprint.id
        found = run(shelf, shelf.many([1], "other"))
        assert found.fingerprint_id == before == toy_fingerprint().id
        del shelf.fingerprint.__dict__["id"]  # it is cached
        assert shelf.fingerprint.id == before

    def test_each_model_is_asked_once_and_counted(self, shelf: Shelf) -> None:
        told: list[tuple[int, int]] = []
        references, owner = shelf.many([1, 2], "other"), source(shelf)
        calibrate(
            shelf.fingerprint,
            CalibrationMembers(references=references, generation=[owner]),
            settings=CalibrationSettings(),
            opened=OpenPool(opener=shelf.open),
            progress=lambda *done: told.append(done),
        )
        assert told == [(1, 3), (2, 3), (3, 3)]
        assert {model.asked for model in shelf.models.values() if isinstance(model, Known)} == {1}

    def test_what_they_answered_is_returned_beside_the_calibration(self, shelf: Shelf) -> None:
        """Nobody need ask them again: a judge knows his models by it."""
        shelf.fingerprint = toy_fingerprint(akh=7)
        owner, bare = source(shelf), shelf.put("bare", shelf.model(2, seed=3, bare=True))
        references = [*shelf.many([4], "other"), bare]
        found = calibrate(
            shelf.fingerprint,
            CalibrationMembers(references=references, generation=[owner]),
            settings=CalibrationSettings(),
            opened=OpenPool(opener=shelf.open),
        )
        assert [asked.member for asked in found.asked] == [owner, *references]
        assert [asked.sha256 for asked in found.asked] == [member.digest() for member in (owner, *references)]
        images = np.concatenate(
            [shelf.fingerprint.images, shelf.fingerprint.probe_images, shelf.fingerprint.of(SOURCE_ERROR).images]
        )
        for asked in found.asked[:2]:
            answers = shelf.open(asked.member).predict(images)
            np.testing.assert_array_equal(asked.labels, answers.labels)
            assert asked.outputs is not None
            assert answers.probabilities is not None
            np.testing.assert_array_equal(asked.outputs, answers.probabilities)
        assert found.asked[2].outputs is None
        assert found.asked[2].labels.shape == (20 + 60 + 7,)

    def test_models_that_answer_labels_only(self, shelf: Shelf) -> None:
        bare = [shelf.put(f"bare-{i}", shelf.model(3, seed=0, bare=True)) for i in range(2)]
        assert len(run(shelf, bare).references) == 2

    def test_a_screen_role_chooses_and_weighs_and_is_in_no_threshold(self, shelf: Shelf) -> None:
        screen = [
            *shelf.many([14, 16, 15], "thief", relation="surrogate", role="screen"),
            *shelf.many([2, 3], "stranger", role="screen"),
        ]
        references = shelf.many([1, 2, 0, 3], "other")
        found = run(shelf, references, screen=screen, score=Score.LLR, keep=8)
        assert (found.chosen.sum(), found.score) == (8, "llr")
        assert found.weights is not None
        assert found.weights.shape == (2, 20)
        assert [model.name for model in found.screen] == [member.name for member in screen]
        assert len(found.references) == 4
        alike = run(shelf, shelf.many([9, 9, 9, 9], "more"), screen=screen, score=Score.LLR, keep=8)
        np.testing.assert_array_equal(alike.chosen, found.chosen)
        np.testing.assert_array_equal(alike.weights, found.weights)

    def test_a_file_that_names_no_models_can_still_be_calibrated(self, shelf: Shelf) -> None:
        for part in (None, "x", {"name": "r"}, [{"name": "r"}, 3], []):
            generation = {**shelf.fingerprint.generation, "references": part}
            strange = Shelf(shelf.folder, replace(shelf.fingerprint, generation=generation), shelf.models)
            assert len(run(strange, strange.many([1], "other")).references) == 1


class TestModelsThatAreKnownAlready:
    @pytest.mark.parametrize(
        ("part", "name"), [("source", "source"), ("surrogates", "surrogate"), ("references", "reference")]
    )
    def test_by_its_file(self, shelf: Shelf, part: str, name: str) -> None:
        """No manifest is needed for that: the fingerprint names the digests of what made it."""
        member = shelf.put("mine", shelf.model(3, seed=5))
        described = {"name": "m", "sha256": member.digest(), "accuracy": 0.9}
        generation = {**shelf.fingerprint.generation, part: described if part == "source" else [described]}
        shelf.fingerprint = replace(shelf.fingerprint, generation=generation)
        with pytest.raises(
            PoolError, match=rf"mine\.toy: this reference is the {name} m of the fingerprint\. .*remove"
        ):
            run(shelf, [member])

    @pytest.mark.parametrize("relation", ["reference", "surrogate"])
    @pytest.mark.parametrize("made", ["source", "surrogate", "reference"])
    def test_by_its_answers(self, shelf: Shelf, made: Relation, relation: Relation) -> None:
        """Converted: other bytes, the same answers."""
        role: Role = "source" if made == "source" else "generate"
        model = shelf.model(20, seed=1)
        known = shelf.put("known", model, relation=made, role=role)
        copy = shelf.put("converted", model, relation=relation)
        groups = {"reference": shelf.many([1], "other"), "surrogate": shelf.many([15], "thief", relation="surrogate")}
        groups[relation].append(copy)
        message = rf"converted\.toy \({relation}, calibrate\) answers everything like .*known\.toy \({made}, {role}\)"
        with pytest.raises(PoolError, match=message):
            run(shelf, groups["reference"], groups["surrogate"], generation=[known])
        with pytest.raises(PoolError, match=message):
            run(
                shelf,
                shelf.many([2], "further"),
                screen=[*groups["reference"], *groups["surrogate"]],
                generation=[known],
            )

    @pytest.mark.parametrize("same", ["file", "answers"])
    @pytest.mark.parametrize("first", ["references", "surrogates", "screen"])
    def test_in_two_roles(self, shelf: Shelf, first: str, same: str) -> None:
        model = shelf.model(3, seed=5)
        one = shelf.put("one", model)
        two = shelf.put("two", model)
        if same == "file":
            shelf.models[str(two.path)] = shelf.model(4, seed=6)
            two.path.write_text("one")
        screen = [*shelf.many([15], "thief", relation="surrogate", role="screen"), *shelf.many([0], "s", role="screen")]
        groups: dict[str, list[PoolMember]] = {"references": [two], "surrogates": [], "screen": screen}
        groups[first].append(one)
        expected = {"file": r"two\.toy: this reference is .*one\.toy \(reference", "answers": "it is the same model"}
        if first != "screen":  # then the other is asked first
            expected = {
                "file": r"one\.toy: this reference is .*two\.toy \(reference",
                "answers": "it is the same model",
            }
        with pytest.raises(PoolError, match=expected[same]):
            run(shelf, groups["references"], groups["surrogates"], screen=groups["screen"])

    def test_named_twice(self, shelf: Shelf) -> None:
        (member,) = shelf.many([3], "other")
        with pytest.raises(PoolError, match=r"other-0\.toy \(reference, calibrate\)\. .*each once; remove this one"):
            run(shelf, [member, member])

    def test_nearly_the_same_answers(self, shelf: Shelf) -> None:
        """What a conversion changes is below 1e-4; two models differ by more."""

        class Shifted(Known):
            by = 0.0

            def predict(self, images: Images) -> Predictions:
                found = super().predict(images)
                assert found.probabilities is not None
                moved = found.probabilities.copy()
                moved[-1, 0] += self.by
                return Predictions(found.labels, moved)

        models = [shelf.model(3, seed=5), shelf.model(3, seed=5)]
        one, two = (shelf.put(f"m{i}", model) for i, model in enumerate(models))
        for by, refused in ((5e-5, True), (5e-4, False)):
            models[1].__class__, Shifted.by = Shifted, by
            if refused:
                with pytest.raises(PoolError, match="the same model"):
                    run(shelf, [one, two])
            else:
                assert len(run(shelf, [one, two]).references) == 2


class TestModelsThatCannotBeUsed:
    def test_the_source_of_another_fingerprint(self, shelf: Shelf) -> None:
        """Its surrogates would be references by another name."""
        stranger = shelf.put("stranger", shelf.model(17, seed=1), relation="source", role="source")
        with pytest.raises(PoolError, match="source gives 17 of 20 examples the fingerprint's label, so it is not"):
            run(shelf, shelf.many([1], "other"), generation=[stranger])

    def test_a_source_with_a_near_tie_in_another_runtime(self, shelf: Shelf) -> None:
        converted = shelf.put("converted", shelf.model(19, seed=1), relation="source", role="source")
        assert len(run(shelf, shelf.many([1], "other"), generation=[converted]).references) == 1

    def test_a_generate_member_that_cannot_be_opened_hides_nothing(self, shelf: Shelf) -> None:
        member = PoolMember(path=shelf.folder / "x.toy", role="generate", relation="reference")
        member.path.touch()
        with pytest.raises(PoolError, match=r"x\.toy: it cannot be told apart from the calibration models \("):
            run(shelf, shelf.many([1], "other"), generation=[member])

    def test_a_reference_that_cannot_be_opened(self, shelf: Shelf) -> None:
        (member,) = shelf.many([1], "other")
        shelf.models.clear()
        with pytest.raises(ModelError, match="cannot be opened"):
            run(shelf, [member])

    @pytest.mark.parametrize("known", [True, False])
    def test_another_number_of_classes(self, shelf: Shelf, known: bool) -> None:  # noqa: FBT001
        wide = toy_fingerprint(classes=12)
        labels = np.full(20, 11)
        model = Known(replace(shelf.fingerprint, class_names=wide.class_names), labels, shelf.fingerprint.probe_labels,
                      seed=1, bare=not known)  # fmt: skip
        with pytest.raises(PoolError, match=r"wide\.toy: the model answers 12 classes and the fingerprint has 10"):
            run(shelf, [shelf.put("wide", model)])

    def test_a_useless_one(self, shelf: Shelf) -> None:
        constant = Known(shelf.fingerprint, np.zeros(20, np.int64), np.zeros(60, np.int64), seed=1, bare=False)
        with pytest.raises(
            PoolError, match=r"flat\.toy: the model gives the same class, 0, to all 60 benign.*or remove it"
        ):
            run(shelf, [shelf.put("flat", constant)])

    @pytest.mark.parametrize(("wrong", "refused"), [(42, True), (39, False)])
    def test_one_that_fails_the_benign_check(self, shelf: Shelf, wrong: int, refused: bool) -> None:  # noqa: FBT001
        """As the suspects' check: the upper 99 % limit of the accuracy against halfway, 0.5."""
        member = shelf.put("poor", shelf.model(3, wrong_probes=wrong, seed=1))
        if refused:
            with pytest.raises(PoolError, match=r"poor\.toy: the model is right on 30% of 60 .*Correct its contract"):
                run(shelf, [member])
        else:
            assert len(run(shelf, [member]).references) == 1

    def test_a_poor_generate_member_is_no_hindrance(self, shelf: Shelf) -> None:
        poor = shelf.put("poor", shelf.model(3, wrong_probes=60, seed=1), role="generate")
        assert len(run(shelf, shelf.many([1], "other"), generation=[poor]).references) == 1


class TestRolesAndOptions:
    def test_no_reference(self, shelf: Shelf) -> None:
        with pytest.raises(PoolError, match="at least 1 reference with the role calibrate; found 0"):
            run(shelf, [], shelf.many([15], "thief", relation="surrogate"))

    def test_one_reference_for_a_parametric_p_value(self, shelf: Shelf) -> None:
        references = shelf.many([1, 2], "other")
        with pytest.raises(PoolError, match="at least 2 references with the role calibrate; found 1"):
            run(shelf, references[:1], parametric=True)
        assert run(shelf, references, parametric=True).parametric

    def test_what_takes_a_screen_role(self, shelf: Shelf) -> None:
        references = shelf.many([1], "other")
        with pytest.raises(OptionError, match="likelihood-ratio score needs models of the role screen"):
            run(shelf, references, score=Score.LLR)
        with pytest.raises(OptionError, match="Choosing examples needs models of the role screen"):
            run(shelf, references, keep=5)

    @pytest.mark.parametrize(
        ("relation", "found"), [("surrogate", "1 surrogates and 0"), ("reference", "0 surr.* 1 r")]
    )
    def test_a_screen_role_of_one_relation(self, shelf: Shelf, relation: Relation, found: str) -> None:
        screen = shelf.many([9], "s", relation=relation, role="screen")
        with pytest.raises(PoolError, match=f"The screen role has {found}.*needs both"):
            run(shelf, shelf.many([1], "other"), screen=screen)

    @pytest.mark.parametrize("keep", [0, 21, -1])
    def test_a_choice_of_more_than_there_are(self, shelf: Shelf, keep: int) -> None:
        screen = [*shelf.many([9], "t", relation="surrogate", role="screen"), *shelf.many([1], "s", role="screen")]
        with pytest.raises(OptionError, match=rf"keep must lie in 1 \.\. 20.*found {keep}"):
            run(shelf, shelf.many([1], "other"), screen=screen, keep=keep)
        assert {model.asked for model in shelf.models.values() if isinstance(model, Known)} == {0}

    def test_what_cannot_be_calibrated_is_said_before_any_model_is_asked(self, shelf: Shelf) -> None:
        references = shelf.many([1], "other")
        screen = shelf.many([9], "t", relation="surrogate", role="screen")
        wrongs: list[dict[str, Any]] = [{"screen": screen}, {"keep": 3}, {"score": "llr"}, {"parametric": True}]
        for wrong in wrongs:
            with pytest.raises((PoolError, OptionError)):
                run(shelf, references, **wrong)
        assert {model.asked for model in shelf.models.values() if isinstance(model, Known)} == {0}

    @pytest.mark.parametrize(
        ("settings", "message"),
        [
            ({"fpr": 0}, "An error rate must lie between 0 and 1; found 0"),
            ({"fnr": 1.0}, "An error rate must lie between 0 and 1; found 1.0"),
            ({"fpr": float("nan")}, "found nan"),
            ({"score": "auc"}, "score must be one of caeacc, llr, adjusted; found 'auc'"),
            ({"score": "llr", "parametric": True}, "it takes --score caeacc"),
            ({"score": "adjusted", "parametric": True}, "it takes --score caeacc"),
            ({"degree": 3}, "degree must be one of 0, 1, 2; found 3"),
        ],
    )
    def test_settings_out_of_range(self, settings: dict[str, Any], message: str) -> None:
        with pytest.raises(OptionError, match=message):
            CalibrationSettings(**settings)

    @pytest.mark.parametrize(("references", "decides"), [(2, "caeacc"), (3, "adjusted")])
    def test_too_few_models_to_adjust_by(self, shelf: Shelf, references: int, decides: str) -> None:
        found = run(shelf, shelf.many([1, 2, 3, 4][:references], "other"), score="adjusted")
        assert (found.score, found.degree) == (decides, 1)

    def test_a_parabola_takes_forty_references_unless_it_is_asked_for(self, shelf: Shelf) -> None:
        models = shelf.many([i % 11 for i in range(40)], "other")
        assert run(shelf, models[:39]).degree == 1
        assert run(shelf, models).degree == 2
        assert run(shelf, models[:4], degree=2).degree == 2
        parted = [replace(model, exposure="all" if i < 20 else "none") for i, model in enumerate(models)]
        assert run(shelf, parted).degree == 1

    @pytest.mark.parametrize(("kind", "decides"), [(0, "caeacc"), (1, "caeacc"), (2, "adjusted")])
    def test_natural_errors_are_adjusted_by_default(self, shelf: Shelf, kind: int, decides: str) -> None:
        kinds = np.zeros(len(shelf.fingerprint), np.uint8)
        kinds[-1] = kind
        mixed = replace(shelf.fingerprint, example_kind=kinds)
        assert wanted_score(CalibrationSettings(), mixed) == decides
        assert wanted_score(CalibrationSettings(score="llr"), mixed) == "llr"

    def test_by_default_forty_references_of_each_group_adjust(self, shelf: Shelf) -> None:
        kinds = np.full(len(shelf.fingerprint), NATURAL_ERROR.code, np.uint8)
        natural = replace(shelf, fingerprint=replace(shelf.fingerprint, example_kind=kinds))
        models = natural.many([i % 11 for i in range(40)], "other")
        assert run(natural, models[:39]).score == "caeacc"
        assert run(natural, models[:39], score="adjusted").score == "adjusted"
        assert run(natural, models).score == "adjusted"
        parted = [replace(model, exposure="all" if i < 20 else "none") for i, model in enumerate(models)]
        assert run(natural, parted).score == "caeacc"

    def test_a_parametric_p_value_is_of_counts_by_default(self) -> None:
        assert CalibrationSettings(parametric=True).score == "caeacc"


class TestPlan:
    @pytest.mark.parametrize(
        ("rate", "needed", "sequential"),
        [(0.05, 19, 39), (0.01, 99, 199), (0.1, 9, 19), (0.07, 14, 28), (0.025, 39, 79)],
    )
    def test_what_a_rate_takes(self, rate: float, needed: int, sequential: int) -> None:
        plan = plan_calibration(rate, 10)
        assert (plan.needed, plan.needed_sequential) == (needed, sequential)
        assert 1 / (needed + 1) <= rate < 1 / needed
        assert 2 / (sequential + 1) <= rate < 2 / sequential

    def test_what_the_models_at_hand_support(self) -> None:
        assert plan_calibration(0.05, 0).best == 1.0
        assert plan_calibration(0.05, 19).best == 0.05
        assert [plan_calibration(0.05, r).exceeded for r in (18, 19, 38, 39, 99, 245)] == [0, 0, 0, 1, 4, 11]
        assert as_json(plan_calibration(0.05, 19)) == {
            "rate": 0.05, "models": 19, "needed": 19, "needed_sequential": 39, "best": 0.05, "exceeded": 0,
        }  # fmt: skip
