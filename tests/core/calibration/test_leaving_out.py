"""Rates of makes that are left out, power, units and the sentence on the null: all from answers that are there."""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated
from cae_core.calibration.file import save_calibration
from cae_core.calibration.leaving_out import left_out
from cae_core.calibration.overlap import shared_with_generation
from cae_core.calibration.record import Calibration
from cae_core.errors import FingerprintError
from cae_core.files.tensor_file import read_tensors
from cae_core.statistics.exposure import Exposure, ExposureRule
from cae_core.statistics.score import Score
from cae_core.statistics.unit import Unit
from cae_core.verification.sequential import start_sequential
from tests.core.suspects import ask, matching
from tests.core.toys import paired, toy_calibration, toy_fingerprint, toy_group

FINGERPRINT = toy_fingerprint(n=40, probes=50)
Make = tuple[str, str, Exposure]


def made_of(
    makes: Sequence[Make], matches: Sequence[int], surrogates: Sequence[int] = (), **changes: object
) -> Calibration:
    """Return a calibration on references of these recipes, architectures and exposures, with so many matches."""
    calibration = toy_calibration(FINGERPRINT, list(matches), list(surrogates), **changes)
    models = [
        dataclasses.replace(model, kind="", recipe=recipe, architecture=architecture, exposure=exposure)
        for model, (recipe, architecture, exposure) in zip(calibration.references.models, makes, strict=True)
    ]
    return dataclasses.replace(
        calibration, references=dataclasses.replace(calibration.references, models=tuple(models))
    )


def subject(calibration: Calibration) -> CalibratedFingerprint:
    return paired(FINGERPRINT, calibration)


PLAIN, MOVED = ("plain", "mlp", Exposure.UNKNOWN), ("moved", "mlp", Exposure.UNKNOWN)


def test_a_recipe_that_the_others_lack_is_accused() -> None:
    calibration = made_of([PLAIN] * 19 + [MOVED] * 4, [*range(1, 20), 15, 25, 26, 27])
    rows = {(row.attribute, row.value): row for row in left_out(subject(calibration))}
    assert set(rows) == {("recipe", "plain"), ("recipe", "moved")}  # of one architecture nothing would be left
    moved, plain = rows["recipe", "moved"], rows["recipe", "plain"]
    assert (moved.models, moved.accused, moved.rate) == (4, 3, 0.05)
    assert (plain.models, plain.accused, plain.rate) == (19, 0, 1 / 5)  # four support no 5 %


def test_architecture_and_exposure_too() -> None:
    makes = [("a", "mlp", Exposure.ALL)] * 19 + [("a", "cnn", Exposure.NONE)] * 20
    calibration = made_of(makes, [1] * 19 + [30] * 20, exposure=ExposureRule.LARGEST)
    rows = {(row.attribute, row.value): row.accused for row in left_out(subject(calibration))}
    assert rows == {
        ("architecture", "mlp"): 0,
        ("architecture", "cnn"): 20,
        ("exposure", "all"): 0,
        ("exposure", "none"): 20,
    }


def test_the_calibrations_own_rule_judges() -> None:
    """Not unlike all copies, not of an accuracy that is no reference's, and by units where these decide."""
    makes = [PLAIN] * 19 + [MOVED] * 4
    matches = [*range(1, 20), 25, 25, 25, 25]
    copies = made_of(makes, matches, [32, 35])
    assert {row.value: row.accused for row in left_out(subject(copies))}["moved"] == 0
    by_recipe = made_of([(str(i), "mlp", Exposure.UNKNOWN) for i in range(19)] + [MOVED] * 4, matches, unit=Unit.RECIPE)
    assert {row.value: row.accused for row in left_out(subject(by_recipe))}["moved"] == 4
    calibration = made_of(makes, matches)
    wrong = [0] * 19 + [30] * 4
    unlike = toy_group(FINGERPRINT, calibration.references.matches(FINGERPRINT), "r", wrong_probes=wrong)
    unlike = dataclasses.replace(unlike, models=calibration.references.models)
    assert {r.value: r.accused for r in left_out(subject(dataclasses.replace(calibration, references=unlike)))} == {
        "plain": 0,
        "moved": 0,
    }


def test_nothing_is_said_where_references_are_no_ranking() -> None:
    calibration = made_of([PLAIN] * 19 + [MOVED] * 4, [1] * 23, [30] * 5, parametric=True)
    assert left_out(subject(calibration)) == ()
    assert subject(calibration).power == ()
    assert left_out(paired(FINGERPRINT)) == ()


def test_power_is_what_the_rule_says_of_its_own_copies() -> None:
    calibration = made_of([PLAIN] * 19, range(1, 20), [18, 19, 25, 30, 35, 40])
    kinds = ["weak", "weak", "weak", "strong", "strong", "strong"]
    models = [dataclasses.replace(m, kind=kind) for m, kind in zip(calibration.surrogates.models, kinds, strict=True)]
    calibration = dataclasses.replace(
        calibration, surrogates=dataclasses.replace(calibration.surrogates, models=tuple(models))
    )
    found = {kind.kind: (kind.accused, kind.models) for kind in subject(calibration).power}
    assert found == {"weak": (1, 3), "strong": (3, 3)}
    verdict = ask(matching(FINGERPRINT, 38), FINGERPRINT, calibration=calibration)
    assert verdict.finding("power") == [
        {"kind": "weak", "models": 3, "accused": 1, "few": True},
        {"kind": "strong", "models": 3, "accused": 3, "few": True},
    ]
    line = {line.label: line.text for finding in verdict.findings for line in finding.lines}["would have caught"]
    assert line.startswith("weak 33% (1 of 3, few), strong 100% (3 of 3, few)")


@pytest.mark.parametrize("score", [Score.CAEACC, Score.ADJUSTED])
def test_each_copy_is_judged_as_a_suspect_would_be(score: Score) -> None:
    """Against verdicts about models with the copies' very answers, by calibrations without each of them."""
    copies = [15, 21, 28, 33, 40]
    calibration = made_of([PLAIN] * 19, range(1, 20), copies, score=score)
    accused = 0
    for row, count in enumerate(copies):
        others = np.delete(np.arange(len(copies)), row)
        rest = dataclasses.replace(calibration, surrogates=calibration.surrogates.subset(others))
        accused += ask(matching(FINGERPRINT, count), FINGERPRINT, calibration=rest).decision.verdict == "surrogate"
    assert sum(kind.accused for kind in subject(calibration).power) == accused
    assert 0 < accused < len(copies)


def test_a_verdict_says_of_what_its_p_is() -> None:
    makes = [("a", "mlp", Exposure.ALL), ("b", "cnn", Exposure.ALL), ("a", "mlp", Exposure.NONE)]
    calibration = made_of(makes, [1, 2, 3], exposure=ExposureRule.LARGEST, unit=Unit.RECIPE)
    found = ask(matching(FINGERPRINT, 20), FINGERPRINT, calibration=calibration).finding("null_hypothesis")
    assert found["references"] == [
        {"exposure": "all", "models": 2, "recipes": 2, "architectures": 2},
        {"exposure": "none", "models": 1, "recipes": 1, "architectures": 1},
    ]
    assert found["words"] == (
        "the suspect, if independent, is a model like the 2 references (2 recipes, 2 architectures, trained on all of "
        "the fingerprint's images) or the 1 reference (1 recipe, 1 architecture, trained on none of the fingerprint's "
        "images) but of another recipe; the error rate is an average over suspects and calibrations"
    )


def test_a_recipe_is_one_draw() -> None:
    makes = [(f"recipe {i % 4}", "mlp", Exposure.UNKNOWN) for i in range(20)]
    calibration = made_of(makes, range(1, 21), unit=Unit.RECIPE)
    verdict = ask(matching(FINGERPRINT, 38), FINGERPRINT, calibration=calibration)
    assert (verdict.decision.verdict, verdict.decision.p_value) == ("inconclusive", 1 / 5)
    assert "4 recipes of references are too few for an error rate of 0.05" in verdict.decision.reason
    assert "at least 19 recipes of references" in verdict.decision.remedy
    enough = dataclasses.replace(calibration, fpr=0.2)
    verdict = ask(matching(FINGERPRINT, 38), FINGERPRINT, calibration=enough)
    assert (verdict.decision.verdict, verdict.decision.threshold) == ("surrogate", 21 / 40)
    assert "reached by 0 of 20 independent models, in 4 recipes that count as one each" in verdict.decision.reason
    assert subject(enough).threshold() == 21 / 40
    assert start_sequential(subject(dataclasses.replace(calibration, fpr=0.4))).test.k0 == 20
    assert start_sequential(subject(enough)).test.k0 == 40


def test_the_larger_of_recipes_and_architectures_counts() -> None:
    makes = [(f"recipe {i}", f"architecture {i % 2}", Exposure.UNKNOWN) for i in range(9)]
    calibration = made_of(makes, range(1, 10), unit=Unit.GROUP, fpr=0.4)
    verdict = ask(matching(FINGERPRINT, 38), FINGERPRINT, calibration=calibration)
    assert verdict.decision.p_value == 1 / 3  # of two architectures; 1 / 10 of nine recipes


def test_the_file_keeps_the_unit(tmp_path: Path) -> None:
    for unit in Unit:
        calibration = made_of([PLAIN, MOVED], [1, 2], unit=unit)
        save_calibration(calibration, FINGERPRINT, tmp_path / "f")
        found = load_calibrated(tmp_path / "f").calibration
        assert found is not None
        assert (found.unit, found.references.models) == (unit, calibration.references.models)
        written = json.loads(read_tensors(tmp_path / "f")[0]["cae"])["calibration"]
        assert written.get("unit", "model") == unit
        assert ("unit" in written) == (unit != Unit.MODEL)
    save_calibration(made_of([PLAIN, MOVED], [1, 2], unit=Unit.RECIPE, parametric=True), FINGERPRINT, tmp_path / "f")
    with pytest.raises(FingerprintError, match="a parametric p-value is of models"):
        load_calibrated(tmp_path / "f")


def test_makes_that_made_the_fingerprint_are_warned_of() -> None:
    calibration = made_of([PLAIN] * 3 + [MOVED], [1, 2, 3, 4])
    described = [{"name": "r", "sha256": "0", "kind": "", "recipe": "plain", "architecture": "mlp"}]
    generation = {**FINGERPRINT.generation, "references": described}
    fingerprint = dataclasses.replace(FINGERPRINT, generation=generation)
    calibration = dataclasses.replace(calibration, fingerprint_id=fingerprint.id)
    assert shared_with_generation(paired(fingerprint, calibration)).startswith("3 of 4 references share kind, recipe")
    assert shared_with_generation(subject(made_of([PLAIN] * 2, [1, 2]))) == ""


def test_no_power_is_told_where_it_would_take_too_long() -> None:
    """A file of another party may name a hundred thousand copies and one reference; a verdict is not to wait for it."""
    few = toy_calibration(toy_fingerprint(n=2, probes=2), [1], [2] * 1500)
    assert paired(toy_fingerprint(n=2, probes=2), few).power == ()
