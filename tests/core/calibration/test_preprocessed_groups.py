"""References that were asked behind defences as well: each defence a group of its own, and the largest p counts."""

import dataclasses
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core.calibration.calibrated import load_calibrated
from cae_core.calibration.file import save_calibration
from cae_core.calibration.leaving_out import left_out
from cae_core.calibration.record import Calibration
from cae_core.calibration.standing import Seen
from cae_core.errors import FingerprintError
from cae_core.scan.correction import Correction, correction_for
from cae_core.statistics.score import Score
from cae_core.verification.sequential import start_sequential
from tests.core.calibration.test_file import rewrite
from tests.core.suspects import ask, matching
from tests.core.toys import counted, paired, toy_calibration, toy_fingerprint, toy_group

FINGERPRINT = toy_fingerprint(n=40, probes=50)
PLAIN = list(range(1, 20))
BEHIND = {"jpeg:75": [count + 2 for count in PLAIN], "bits:3": [count + 10 for count in PLAIN]}
"""Innocents that round their images match more often."""


def calibrated(
    plain: Sequence[int],
    behind: dict[str, list[int]],
    surrogates: Sequence[int] = (),
    *,
    wrong_behind: int = 0,
    **changes: Any,  # noqa: ANN401 - the fields have different types
) -> Calibration:
    """Return a calibration on references with so many matches each, as they are and behind each defence."""
    made = toy_calibration(FINGERPRINT, list(plain), list(surrogates), **changes)
    groups = {
        defence: dataclasses.replace(
            toy_group(FINGERPRINT, counted(FINGERPRINT, counts), "reference", wrong_probes=wrong_behind),
            models=made.references.models,
        )
        for defence, counts in behind.items()
    }
    return dataclasses.replace(made, preprocessed=groups)


def test_the_largest_p_of_all_groups_counts_and_the_verdict_says_which() -> None:
    calibration = calibrated(PLAIN, BEHIND, [36, 38, 39])
    innocent = ask(matching(FINGERPRINT, 25), FINGERPRINT, calibration=calibration)
    assert innocent.decision.p_value == 6 / 20  # 25 to 29 behind bits:3
    found = innocent.finding("preprocessed")
    assert [(ranking["behind"], ranking["p_value"]) for ranking in found] == [("jpeg:75", 1 / 20), ("bits:3", 6 / 20)]
    lenient = dataclasses.replace(calibrated(PLAIN, BEHIND), fpr=0.4)
    reason = ask(matching(FINGERPRINT, 25), FINGERPRINT, calibration=lenient).decision.reason
    assert "reached by 5 of 19 independent models behind bits:3" in reason
    thief = ask(matching(FINGERPRINT, 38), FINGERPRINT, calibration=calibration)
    assert (thief.decision.verdict, thief.decision.p_value, thief.decision.threshold) == ("surrogate", 1 / 20, 30 / 40)
    assert paired(FINGERPRINT, calibration).threshold() == 30 / 40
    words = thief.finding("null_hypothesis")["words"]
    assert "as they are or behind jpeg:75 or bits:3" in words


def test_without_a_defence_nothing_is_said() -> None:
    verdict = ask(matching(FINGERPRINT, 38), FINGERPRINT, calibration=toy_calibration(FINGERPRINT, PLAIN, [36, 38]))
    assert "preprocessed" not in {finding.key for finding in verdict.findings}
    assert "behind" not in verdict.finding("null_hypothesis")


@pytest.mark.parametrize("score", [Score.CAEACC, Score.ADJUSTED])
def test_it_is_exact_for_a_suspect_of_any_one_group(score: Score) -> None:
    """Each model of a group is the suspect once, whatever the others are: at most k of 20 have p <= k / 20."""
    random = np.random.default_rng(3)
    probed, asked = np.arange(50), np.arange(40)
    for _ in range(3):
        groups = [np.clip(random.normal(mean, 4, 20), 0, 40).astype(int).tolist() for mean in (10, 14, 22)]
        for own in range(len(groups)):
            found: list[Fraction] = []
            for place, suspect in enumerate(groups[own]):
                plain, *behind = ([*group[:place], *group[place + 1 :]] for group in groups)
                calibration = calibrated(plain, dict(zip(("jpeg:75", "bits:3"), behind, strict=True)), score=score)
                seen = Seen(asked=asked, matches=asked < suspect, probed=probed, right=probed >= 0)
                found.append(paired(FINGERPRINT, calibration).standing(seen).high.exact_p_value)
            assert all(sum(p <= Fraction(k, 20) for p in found) <= k for k in range(1, 21))


def test_beside_the_adjusted_score_they_rank_by_caeacc() -> None:
    calibration = calibrated(PLAIN, BEHIND, [36, 38, 39], score=Score.ADJUSTED)
    standing = ask(matching(FINGERPRINT, 25), FINGERPRINT, calibration=calibration).examination.standing
    assert standing is not None
    assert [(ranking.score, ranking.behind) for ranking in standing.references] == [
        (Score.ADJUSTED, ""),
        (Score.CAEACC, ""),
        (Score.CAEACC, "jpeg:75"),
        (Score.CAEACC, "bits:3"),
    ]
    assert standing.p_value == 6 / 20


def test_in_sequential_mode_the_largest_count_of_any_group_stands() -> None:
    plain = list(range(39))
    calibration = calibrated([min(count, 20) for count in plain], {"jpeg:75": plain, "bits:3": [5] * 39})
    assert start_sequential(paired(FINGERPRINT, calibration)).test.k0 == 38


def test_an_accuracy_that_references_have_behind_a_defence_is_none_beyond_theirs() -> None:
    suspect = matching(FINGERPRINT, 38, wrong_probes=20)
    for score in (Score.CAEACC, Score.ADJUSTED):
        bare = calibrated(PLAIN, {}, [36, 38, 39], score=score)
        assert ask(suspect, FINGERPRINT, calibration=bare).decision.verdict == "inconclusive"
        asked_behind = calibrated(PLAIN, BEHIND, [36, 38, 39], wrong_behind=20, score=score)
        verdict = ask(suspect, FINGERPRINT, calibration=asked_behind)
        assert "accuracy" not in verdict.decision.reason
        unlike = calibrated(PLAIN, BEHIND, [36, 38, 39], wrong_behind=2, score=score)
        assert ask(suspect, FINGERPRINT, calibration=unlike).decision.verdict == "inconclusive"


def test_what_is_left_out_is_left_out_of_every_group() -> None:
    calibration = calibrated([*PLAIN, 25, 25], {"jpeg:75": [*([30] * 19), 1, 1]})
    models = [
        dataclasses.replace(model, recipe="moved" if place > 18 else "plain")
        for place, model in enumerate(calibration.references.models)
    ]
    calibration = dataclasses.replace(
        calibration,
        references=dataclasses.replace(calibration.references, models=tuple(models)),
    )
    accused = {row.value: row.accused for row in left_out(paired(FINGERPRINT, calibration))}
    assert accused["kind of reference, moved"] == 0  # the others match more often behind the defence


def test_a_scan_takes_holms_correction() -> None:
    """That a largest p of several groups is positively dependent is not proven."""
    assert correction_for(calibrated(PLAIN, {}), None) == Correction.BH
    assert correction_for(calibrated(PLAIN, BEHIND), None) == Correction.HOLM


@pytest.mark.parametrize(
    "change",
    [
        lambda told, _: told.update(preprocessed=["second-model:/etc/passwd", "bits:3"]),
        lambda told, _: told.update(preprocessed=["bits:3", "bits:3"]),
        lambda told, _: told.update(preprocessed=["bits:3\n", "bits:3"]),
        lambda told, _: told.update(preprocessed=["unheard-of:1", "bits:3"]),
        lambda told, _: told.update(preprocessed=[3, 4]),
        lambda told, _: told.update(preprocessed="bits:3"),
        lambda told, _: told.update(preprocessed=["jpeg:75", "bits:3", "bits:4"]),
        lambda _, tensors: tensors.update({"preprocessed.0.answers": np.zeros((18, 40), np.int64)}),
        lambda _, tensors: tensors.update({"preprocessed.1.answers": np.full((19, 40), 10)}),
        lambda _, tensors: tensors.update({"preprocessed.1.right": np.ones((19, 49), np.uint8)}),
    ],
)
def test_malformed_groups_are_refused(tmp_path: Path, change: Callable[[Any, Any], object]) -> None:
    save_calibration(calibrated(PLAIN, BEHIND), FINGERPRINT, tmp_path / "f")
    rewrite(tmp_path / "f", change)
    with pytest.raises(FingerprintError, match="incomplete or malformed"):
        load_calibrated(tmp_path / "f")


def test_sources_are_not_ranked_among_them(tmp_path: Path) -> None:
    """Control sources are asked nothing behind a defence."""
    from cae_core.calibration.calibrate import CalibrationSettings
    from cae_core.errors import OptionError

    with pytest.raises(OptionError, match="--exposure and --behind"):
        CalibrationSettings(null="sources", behind=("jpeg:75",))
    for wrong in (("second-model:a.onnx",), ("bits:3", "bits:3"), ("bits:9",)):
        with pytest.raises(OptionError):
            CalibrationSettings(behind=wrong)
