"""The largest p over groups of references: exact in each of them, and said in verdict and file."""

import dataclasses
import json
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from cae_core.calibration.calibrated import load_calibrated
from cae_core.calibration.file import save_calibration
from cae_core.calibration.record import Calibration
from cae_core.calibration.standing import Seen
from cae_core.errors import FingerprintError, OptionError
from cae_core.files.tensor_file import read_tensors
from cae_core.statistics.exposure import Exposure, ExposureRule
from cae_core.statistics.score import Score
from cae_core.verification.options import VerificationOptions
from cae_core.verification.sequential import start_sequential
from tests.core.suspects import ask, matching
from tests.core.toys import paired, toy_calibration, toy_fingerprint

FINGERPRINT = toy_fingerprint(n=40, probes=50)


def grouped(
    exposures: Sequence[Exposure], matches: Sequence[int], rule: ExposureRule = ExposureRule.LARGEST, **changes: object
) -> Calibration:
    """Return a calibration on references of these exposures with so many matches each."""
    calibration = toy_calibration(FINGERPRINT, list(matches), [36, 38, 39], exposure=rule, **changes)
    models = [
        dataclasses.replace(model, exposure=exposure)
        for model, exposure in zip(calibration.references.models, exposures, strict=True)
    ]
    return dataclasses.replace(
        calibration, references=dataclasses.replace(calibration.references, models=tuple(models))
    )


SEEN_AND_NOT = [Exposure.ALL] * 19 + [Exposure.NONE] * 19
INNOCENT = [*range(1, 20), *range(11, 30)]  # who never saw the images repeats more errors


def test_each_group_is_ranked_by_itself_and_the_largest_p_counts() -> None:
    calibration = grouped(SEEN_AND_NOT, INNOCENT)
    verdict = ask(matching(FINGERPRINT, 25), FINGERPRINT, calibration=calibration)
    assert verdict.decision.p_value == 6 / 20  # 25 to 29 of those that never saw them
    found = verdict.finding("exposure")
    assert found["references"] == {"all": 19, "none": 19}
    assert [ranking["p_value"] for ranking in found["rankings"]] == [1 / 20, 6 / 20]
    assert verdict.decision.sides is not None
    assert (verdict.decision.sides.references, verdict.decision.sides.as_high) == (19, 5)
    thief = ask(matching(FINGERPRINT, 38), FINGERPRINT, calibration=calibration)
    assert (thief.decision.verdict, thief.decision.p_value, thief.decision.threshold) == ("surrogate", 1 / 20, 30 / 40)
    assert "is reached by 0 of 19 independent models trained on all of its images (p = 0.0500)" in thief.decision.reason


def test_one_group_alone_is_an_assumption_that_is_said() -> None:
    calibration = grouped(SEEN_AND_NOT, INNOCENT, ExposureRule.ALL)
    verdict = ask(matching(FINGERPRINT, 36), FINGERPRINT, calibration=calibration)
    assert (verdict.decision.verdict, verdict.decision.threshold) == ("surrogate", 20 / 40)
    assert verdict.warnings == (
        (
            "assumption that the accuser has to support: the suspect, if independent, was trained on all of the "
            "fingerprint's "
            "images"
        ),
    )


def test_too_few_in_one_group_support_no_accusation() -> None:
    exposures = [Exposure.ALL] * 19 + [Exposure.UNKNOWN] * 3
    verdict = ask(matching(FINGERPRINT, 40), FINGERPRINT, calibration=grouped(exposures, [1] * 22))
    assert (verdict.decision.verdict, verdict.decision.p_value, verdict.decision.threshold) == (
        "inconclusive",
        1 / 4,
        None,
    )
    assert "3 references trained on some of its images are too few for an error rate of 0.05" in verdict.decision.reason
    assert "at least 19 references" in verdict.decision.remedy


def test_it_is_exact_for_a_suspect_of_any_one_group() -> None:
    """Each model of a group is the suspect once, whatever the others are: at most k of 20 have p <= k / 20."""
    random = np.random.default_rng(3)
    probed, asked = np.arange(50), np.arange(40)
    for _ in range(5):
        groups = [np.clip(random.normal(mean, 4, 20), 0, 40).astype(int).tolist() for mean in (10, 20)]
        for own, other in (groups, groups[::-1]):
            found: list[Fraction] = []
            for i, suspect in enumerate(own):
                exposures = [Exposure.ALL] * 19 + [Exposure.NONE] * 20
                calibration = grouped(exposures, own[:i] + own[i + 1 :] + other)
                seen = Seen(asked=asked, matches=asked < suspect, probed=probed, right=probed >= 0)
                found.append(paired(FINGERPRINT, calibration).standing(seen).high.exact_p_value)
            assert all(sum(p <= Fraction(k, 20) for p in found) <= k for k in range(1, 21))


def test_each_group_has_its_own_fit() -> None:
    """Matches fall with accuracy in one group and rise in the other: together neither would be explained."""
    right = [*range(30, 50), *range(30, 50)]
    matches = [55 - count for count in right[:20]] + [count - 25 for count in right[20:]]
    calibration = grouped([Exposure.ALL] * 20 + [Exposure.NONE] * 20, matches, score=Score.ADJUSTED, degree=1)
    probes = np.arange(50) < np.array(right)[:, np.newaxis]
    calibration = dataclasses.replace(calibration, references=dataclasses.replace(calibration.references, right=probes))
    standing = ask(
        matching(FINGERPRINT, 38, wrong_probes=10), FINGERPRINT, calibration=calibration
    ).examination.standing
    assert standing is not None
    assert [(r.exposure, r.p_value) for r in standing.references if r.score == Score.ADJUSTED] == [
        (Exposure.ALL, 1 / 21),
        (Exposure.NONE, 1 / 21),
    ]
    assert [ranking.score for ranking in standing.surrogates] == [Score.ADJUSTED, Score.ADJUSTED, Score.CAEACC]


def test_in_sequential_mode_the_largest_count_of_any_group_stands() -> None:
    exposures = [Exposure.ALL] * 39 + [Exposure.NONE] * 39
    calibration = grouped(exposures, [*range(39), *([20] * 38), 33])
    run = start_sequential(paired(FINGERPRINT, calibration))
    assert run.test.k0 == 38
    small = grouped(exposures, [*range(39), *([20] * 38), 33], ExposureRule.NONE)
    assert start_sequential(paired(FINGERPRINT, small)).test.k0 == 33
    few = grouped([Exposure.ALL] * 39 + [Exposure.NONE] * 38, [1] * 77)
    assert start_sequential(paired(FINGERPRINT, few)).test.k0 == len(FINGERPRINT)
    with pytest.raises(OptionError, match="at least 39 references, and there are 38"):
        ask(matching(FINGERPRINT, 5), FINGERPRINT, calibration=few, options=VerificationOptions(sequential=True))


def test_the_file_keeps_it_and_says_nothing_where_nothing_is_known(tmp_path: Path) -> None:
    for calibration, told in ((grouped(SEEN_AND_NOT, INNOCENT), True), (toy_calibration(FINGERPRINT, [1, 2]), False)):
        save_calibration(calibration, FINGERPRINT, tmp_path / "f")
        found = load_calibrated(tmp_path / "f").calibration
        assert found is not None
        assert (found.exposure, found.references.models) == (calibration.exposure, calibration.references.models)
        written = json.loads(read_tensors(tmp_path / "f")[0]["cae"])["calibration"]
        assert ("exposure" in written, "exposure" in written["references"][0]) == (told, told)


def test_a_rule_that_no_reference_fulfils_is_refused(tmp_path: Path) -> None:
    made = grouped([Exposure.ALL] * 2, [1, 2], ExposureRule.NONE)
    save_calibration(made, FINGERPRINT, tmp_path / "f")
    with pytest.raises(FingerprintError, match="no reference has the exposure none"):
        load_calibrated(tmp_path / "f")
