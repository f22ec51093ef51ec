"""Where a suspect stands among the calibration models, and from which score it is accused."""

import dataclasses
import json
import math

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from numpy.typing import NDArray

from cae_core.arrays import Labels
from cae_core.calibration.groups import CalibrationModel, Group, answer_shares
from cae_core.calibration.record import Calibration
from cae_core.calibration.standing import Seen, Standing
from cae_core.errors import OptionError
from cae_core.fingerprint.file import Fingerprint
from cae_core.statistics.score import Score
from cae_core.verification.circumstances import Circumstances
from tests.core.suspects import examined, ruled
from tests.core.toys import counted, paired, toy_calibration, toy_fingerprint, toy_group

TEN = toy_fingerprint(n=10, probes=10)
EXAMPLES = np.arange(10)


def pattern(text: str) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
    """Return the matches (r, n) of r models; each row has an ``x`` for a match and a ``.`` for none."""
    return np.array([[letter == "x" for letter in row] for row in text.split()])


def stand(
    fingerprint: Fingerprint,
    calibration: Calibration,
    asked: Labels,
    matches: NDArray[np.bool_],
    score: Score | None = None,
) -> Standing:
    """Place a suspect with ``matches`` (a,) over the examples ``asked`` (a,) among the calibration models."""
    probed = np.arange(len(fingerprint.probe_labels))
    seen = Seen(asked=asked, matches=matches, probed=probed, right=np.ones(len(probed), bool))
    return paired(fingerprint, calibration).standing(seen, score=score)


def test_the_rank_is_taken_on_the_very_examples_that_were_asked() -> None:
    """The second reference has the most matches of all, and none on the asked half."""
    calibration = toy_calibration(TEN, pattern("xxx....... .....xxxxx xx........"), pattern("xxxxxxxxxx xxxx......"))
    half = np.array([4, 1, 0, 3, 2])
    standing = stand(TEN, calibration, half, pattern("..xx.")[0])  # matches the examples 0 and 3
    assert standing.value == 0.4
    assert standing.high.scores.tolist() == [0.6, 0.0, 0.4]
    assert standing.low.scores.tolist() == [1.0, 0.8]
    assert standing.p_value == 3 / 4  # two of three score as high: 0.4 is a tie
    assert standing.p_value_surrogate == 1 / 3
    assert stand(TEN, calibration, EXAMPLES, pattern("xxxx......")[0]).p_value == 2 / 4


def test_ties_go_against_the_accuser_on_both_sides() -> None:
    calibration = toy_calibration(TEN, [5, 5, 5], [5, 5, 5])
    standing = stand(TEN, calibration, EXAMPLES, counted(TEN, [5], seed=1)[0])
    assert (standing.p_value, standing.p_value_surrogate) == (1.0, 1.0)
    above = stand(TEN, calibration, EXAMPLES, counted(TEN, [6])[0])
    assert (above.p_value, above.p_value_surrogate) == (1 / 4, 1.0)
    below = stand(TEN, calibration, EXAMPLES, counted(TEN, [4])[0])
    assert (below.p_value, below.p_value_surrogate) == (1.0, 1 / 4)


def test_without_surrogates_nothing_is_unusual_for_one() -> None:
    standing = stand(TEN, toy_calibration(TEN, [1, 2]), EXAMPLES, pattern("..........")[0])
    assert standing.p_value_surrogate == 1.0
    assert len(standing.low) == 0


def test_a_refusal_is_no_match() -> None:
    group = dataclasses.replace(toy_group(TEN, pattern("xxxxxxxxxx x........."), "r"), answers=np.full((2, 10), -1))
    assert not group.matches(TEN).any()


def test_the_likelihood_ratio_by_hand() -> None:
    """log 3 and -log 2 for the first example, log 5 and 0 for the second, nothing for the others."""
    weights = np.zeros((2, 10))
    weights[:, 0], weights[:, 1] = (math.log(3), -math.log(2)), (math.log(5), 0)
    calibration = toy_calibration(
        TEN, pattern("x......... .x........ .........."), pattern("xx........"), score=Score.LLR, weights=weights
    )
    asked = np.array([1, 0, 7])
    standing = stand(TEN, calibration, asked, pattern("xx.")[0])
    assert standing.value == pytest.approx(math.log(15) / 3)
    np.testing.assert_allclose(standing.high.scores, np.array([math.log(3), math.log(5 / 2), -math.log(2)]) / 3)
    assert (standing.p_value, standing.p_value_surrogate) == (1 / 4, 1.0)
    assert stand(TEN, calibration, asked, pattern("xx.")[0], Score.CAEACC).value == pytest.approx(2 / 3)


def test_the_likelihood_ratio_takes_weights() -> None:
    with pytest.raises(OptionError, match="no weights for the likelihood-ratio score"):
        stand(TEN, toy_calibration(TEN, [1]), EXAMPLES, pattern("..........")[0], Score.LLR)


@pytest.mark.parametrize("n", [3, 8, 9, 40, 129, 300])
def test_the_same_answers_have_the_same_score_in_any_order(n: int) -> None:
    """To the last bit: else a tie would be broken by rounding, and by the order in which somebody asked."""
    fingerprint, random = toy_fingerprint(n=n), np.random.default_rng(n)
    matches = random.random((5, n)) < 0.5
    calibration = toy_calibration(fingerprint, matches, score=Score.LLR, weights=random.normal(size=(2, n)))
    scores = set()
    for _ in range(20):
        asked = random.permutation(n)
        standing = stand(fingerprint, calibration, asked, matches[2][asked])
        assert standing.value == standing.high.scores[2]
        scores.add(standing.value)
    assert len(scores) == 1


@given(
    counts=st.lists(st.integers(0, 10), min_size=1, max_size=45),
    fpr=st.sampled_from([0.01, 0.05, 0.07, 0.1, 0.25, 1 / 3, 0.5]),
    chosen=st.integers(1, 10),
)
@example(counts=[0, 0], fpr=1 / 3, chosen=1)  # which is written as a little less
def test_the_threshold_is_where_the_p_value_crosses_for_every_count(counts: list[int], fpr: float, chosen: int) -> None:
    calibration = toy_calibration(TEN, counts, fpr=fpr, chosen=chosen > EXAMPLES)
    asked = np.flatnonzero(calibration.chosen)
    threshold = paired(TEN, calibration).threshold()
    for matches in range(chosen + 1):
        matched = np.arange(chosen) < matches
        standing = stand(TEN, calibration, asked, matched)
        decision = ruled(examined(paired(TEN, calibration), matched, asked=asked, circumstances=Circumstances()))
        accused = threshold is not None and standing.value >= threshold
        assert (standing.p_value <= fpr) == accused == (decision.verdict == "surrogate")
        assert decision.threshold == threshold


@pytest.mark.parametrize("seed", range(2))
def test_the_likelihood_ratios_threshold_is_where_the_p_value_crosses_for_every_answer(seed: int) -> None:
    random = np.random.default_rng(seed)
    calibration = toy_calibration(
        TEN,
        random.random((24, 10)) < 0.3,
        fpr=0.1,
        score=Score.LLR,
        weights=np.round(random.normal(size=(2, 10)), 1),  # rounded: so that there are ties
    )
    subject = paired(TEN, calibration)
    threshold = subject.threshold()
    assert threshold is not None
    outcomes = set()
    for bits in range(2**10):
        matches = (bits >> EXAMPLES) & 1 == 1
        standing = stand(TEN, calibration, EXAMPLES, matches)
        decision = ruled(examined(subject, matches, circumstances=Circumstances()))
        assert (standing.p_value <= 0.1) == (standing.value >= threshold) == (decision.verdict == "surrogate")
        outcomes.add(decision.verdict)
    assert outcomes == {"surrogate", "inconclusive"}


def test_a_parametric_threshold_is_where_its_p_value_crosses() -> None:
    calibration = toy_calibration(TEN, [2, 3, 3, 4], fpr=0.05, parametric=True)
    subject = paired(TEN, calibration)
    threshold = subject.threshold()
    verdicts = {}
    for matches in range(11):
        examination = examined(subject, matches > EXAMPLES, circumstances=Circumstances())
        verdicts[matches / 10] = ruled(examination).verdict
    assert threshold == min(score for score, verdict in verdicts.items() if verdict == "surrogate")


@pytest.mark.parametrize("counts", [[3] * 18, [10] * 19, [*range(10), *[10] * 30]])
def test_where_no_score_is_accused_there_is_no_threshold(counts: list[int]) -> None:
    """18 references are too few for 5 %, and a score beyond every example cannot be reached."""
    assert paired(TEN, toy_calibration(TEN, counts)).threshold() is None


def test_label_drift_is_of_the_chosen_examples_and_sums_to_1() -> None:
    third = (TEN.labels + 1) % 10
    third = np.where(third == TEN.ground_truth, (third + 1) % 10, third)
    group = toy_group(TEN, pattern("xx........ xx........"), "r")
    answers = np.where(np.array([EXAMPLES == 2, EXAMPLES < 0]), third, group.answers)
    answers[1, 3] = -1  # a refusal tells neither way
    references = dataclasses.replace(group, answers=answers)
    calibration = dataclasses.replace(toy_calibration(TEN, [0]), references=references, chosen=EXAMPLES < 5)
    drift = paired(TEN, calibration).label_drift()
    assert drift is not None
    assert [drift.truth, drift.match, drift.third] == pytest.approx([4 / 10, 4 / 10, 2 / 10])
    assert drift.truth + drift.match + drift.third == pytest.approx(1)


def test_the_provenance_counts_models_by_kind(fingerprint: Fingerprint) -> None:
    group = toy_group(fingerprint, counted(fingerprint, [1, 2, 3]), "r")
    kinds = ("", "pruned", "pruned")
    models = tuple(dataclasses.replace(m, kind=kind) for m, kind in zip(group.models, kinds, strict=True))
    chosen = np.arange(20) < 7
    screen = (CalibrationModel(name="s", sha256="5"),)
    surrogates = dataclasses.replace(group, models=models)
    calibration = dataclasses.replace(
        toy_calibration(fingerprint, [1]), surrogates=surrogates, chosen=chosen, screen=screen
    )
    told = json.loads(json.dumps(dataclasses.asdict(calibration.behind())))
    assert (told["references"], told["surrogates"], told["screen"], told["examples_chosen"]) == (1, 3, 1, 7)
    assert list(told["kinds"]["surrogates"].items()) == [("pruned", 2), ("unnamed", 1)]
    assert (told["fpr"], told["fnr"]) == (0.05, 0.05)


def test_there_are_three_scores() -> None:
    assert tuple(map(Score.named, ("caeacc", "llr", "adjusted"))) == tuple(Score) == ("caeacc", "llr", "adjusted")
    with pytest.raises(OptionError, match="score must be one of caeacc, llr, adjusted; found 'auc'"):
        Score.named("auc")


def test_answers_are_the_label_the_truth_or_neither(fingerprint: Fingerprint) -> None:
    asked = np.array([3, 7, 1, 15])
    labels, truth = fingerprint.labels[asked], fingerprint.ground_truth[asked]
    shares = answer_shares(np.array([labels[0], labels[1], truth[2], -1]), fingerprint, asked)
    assert (shares.match, shares.truth, shares.third) == (0.5, 0.25, 0.25)
    two = answer_shares(np.stack([labels, truth]), fingerprint, asked)
    assert (two.match, two.truth, two.third) == (0.5, 0.5, 0.0)


def test_accuracies_are_on_the_probes_that_were_asked() -> None:
    right = np.array([[True, False, True, True], [False, False, True, False]])
    models = tuple(CalibrationModel(name=str(i), sha256=str(i)) for i in range(2))
    group = Group(models=models, answers=np.zeros((2, 3), np.int64), right=right)
    assert group.accuracy(np.array([0, 1, 2])) == pytest.approx([2 / 3, 1 / 3])
    assert group.accuracy(np.array([1])).tolist() == [0.0, 0.0]
