"""Rankings and what is said of several of them: each number by hand."""

from fractions import Fraction

import numpy as np
import pytest

from cae_core.calibration.standing import Ranking, Standing, largest
from cae_core.statistics.exposure import Exposure
from cae_core.statistics.score import Score
from cae_core.statistics.unit import Unit

NINETEEN = [i / 100 for i in range(10, 29)]  # 0.10 .. 0.28


def ranking(value: float, scores: list[float], **changes: object) -> Ranking:
    given = {"score": Score.CAEACC, "rows": np.arange(len(scores)), **changes}
    return Ranking(value=value, scores=np.array(scores), **given)  # type: ignore[arg-type] # of several types


def low(value: float, scores: list[float], **changes: object) -> Ranking:
    return ranking(value, scores, high=False, **changes)


class TestAmongReferences:
    def test_ties_count_and_p_is_their_share_with_the_suspect(self) -> None:
        found = ranking(0.3, [0.1, 0.3, 0.5, 0.2])
        assert (found.as_extreme, found.p_value, found.exact_p_value) == (2, 3 / 5, Fraction(3, 5))
        assert (len(found), found.draws, found.highest) == (4, 4, 0.5)

    def test_of_recipes_each_counts_once(self) -> None:
        found = ranking(0.3, [0.3, 0.1, 0.5, 0.2], units=np.array([7, 7, 7, 2]), unit=Unit.RECIPE)
        assert found.draws == 2
        assert found.as_extreme == 2
        assert found.exact_p_value == (1 + Fraction(2, 3)) / 3
        assert found.p_value == float(Fraction(5, 9))

    def test_by_default_each_model_is_one_draw_of_unknown_exposure(self) -> None:
        found = ranking(0.3, [0.1])
        assert (found.high, found.exposure, found.unit, found.units) == (True, Exposure.UNKNOWN, Unit.MODEL, None)
        assert np.isnan(found.opposite)

    def test_without_models_nothing_is_highest_and_nothing_unusual(self) -> None:
        found = ranking(0.3, [])
        assert np.isnan(found.highest)
        assert (found.as_extreme, found.p_value, found.exact_p_value) == (0, 1.0, Fraction(1))

    def test_the_threshold_is_one_match_above_the_highest_reference(self) -> None:
        assert ranking(0.5, NINETEEN).threshold(100, rate=0.05) == 0.29
        assert ranking(0.5, NINETEEN[:18]).threshold(100, rate=0.05) is None

    def test_by_a_beta_binomial_model_the_threshold_is_another(self) -> None:
        by_rank = ranking(0.5, NINETEEN[:4]).threshold(100, rate=0.05)
        by_model = ranking(0.5, NINETEEN[:4]).threshold(100, rate=0.05, parametric=True)
        assert by_rank is None
        assert by_model is not None

    def test_of_recipes_the_threshold_is_one_match_above_the_score_that_p_falls_at(self) -> None:
        two_each = ranking(0.5, NINETEEN[:18], units=np.repeat(np.arange(9), 2), unit=Unit.RECIPE)
        assert two_each.threshold(100, rate=0.1) == 0.28
        assert two_each.threshold(100, rate=0.15) == 0.27  # above it one of the last two: (1 + 1/2) / 10
        assert two_each.threshold(100, rate=0.09) is None


class TestAmongSurrogates:
    def test_they_count_where_they_score_as_low(self) -> None:
        found = low(0.6, [0.6, 0.5, 0.9])
        assert (found.as_extreme, found.p_value, found.exact_p_value) == (2, 3 / 4, Fraction(3, 4))

    def test_of_recipes_each_counts_once(self) -> None:
        found = low(0.6, [0.6, 0.7, 0.9], units=np.array([1, 1, 2]))
        assert found.exact_p_value == (1 + Fraction(1, 2)) / 3
        assert found.p_value == 0.5

    @pytest.mark.parametrize(("value", "nearer"), [(0.49, True), (0.5, False), (0.51, False)])
    def test_nearer_to_references_is_below_the_middle_between_both(self, value: float, nearer: bool) -> None:  # noqa: FBT001
        assert low(value, [0.75, 0.9], opposite=0.25).nearer_to_references == nearer

    def test_one_copy_is_enough_to_be_nearer_to(self) -> None:
        assert low(0.4, [0.75], opposite=0.25).nearer_to_references
        assert not low(0.6, [0.75], opposite=0.25).nearer_to_references

    def test_without_any_it_is_not_nearer_to_references(self) -> None:
        assert not low(0.3, [], opposite=0.25).nearer_to_references

    def test_below_enough_of_them_it_is_like_none(self) -> None:
        assert low(0.74, [0.75] * 19, opposite=0.25).unlike_all(0.05)
        assert not low(0.74, [0.75] * 18, opposite=0.25).unlike_all(0.05)
        assert low(0.49, [0.75] * 18, opposite=0.25).unlike_all(0.05)

    def test_as_low_as_one_of_them_it_is_like_that_one(self) -> None:
        assert not low(0.75, [0.75] * 19).unlike_all(0.05)
        assert not low(0.3, []).unlike_all(0.05)

    def test_another_scores_count_takes_the_place_of_its_own(self) -> None:
        below, above = low(0.1, [0.75] * 19), low(0.8, [0.75] * 19)
        assert not below.unlike_all(0.05, as_extreme=1)
        assert above.unlike_all(0.05, as_extreme=0)


def standing(*references: Ranking, surrogates: tuple[Ranking, ...] = ()) -> Standing:
    return Standing(references=references, surrogates=surrogates or (low(0.5, []),))


class TestOfSeveralRankings:
    def test_the_largest_p_decides_and_of_equal_ones_the_first(self) -> None:
        first, second = ranking(0.5, [0.1] * 9), ranking(0.6, [0.1] * 4)
        found = standing(first, second)
        assert found.high is second
        assert (found.p_value, found.value, found.score) == (1 / 5, 0.6, Score.CAEACC)
        same = ranking(0.7, [0.2] * 4)
        assert standing(same, second).high is same
        assert found.outside is False

    def test_likewise_among_surrogates(self) -> None:
        many, few = low(0.3, [0.9] * 19), low(0.3, [0.9] * 4)
        found = standing(ranking(0.5, [0.1]), surrogates=(many, few))
        assert found.low is few
        assert found.p_value_surrogate == 1 / 5

    def test_beside_an_accusation_stands_the_ranking_by_its_score(self) -> None:
        by_matches, adjusted = low(0.3, [0.9]), low(1.0, [2.0], score=Score.ADJUSTED)
        found = standing(ranking(3.0, [1.0], score=Score.ADJUSTED), surrogates=(by_matches, adjusted))
        assert found.beside is adjusted

    def test_which_references_decide_is_said_where_there_are_several_groups(self) -> None:
        all_seen = ranking(0.5, [0.1] * 9, exposure=Exposure.ALL)
        none_seen = ranking(0.5, [0.1] * 4, exposure=Exposure.NONE)
        assert standing(all_seen, none_seen).among == " trained on none of its images"
        assert standing(all_seen).among == ""
        assert standing(all_seen, ranking(0.5, [0.1], exposure=Exposure.ALL)).among == ""

    def test_how_they_are_counted_is_said_where_it_is_not_by_models(self) -> None:
        recipes = ranking(0.5, [0.1] * 4, unit=Unit.RECIPE, units=np.array([0, 0, 0, 1]))
        assert standing(recipes).counted_as == ", in 2 recipes that count as one each"
        assert standing(ranking(0.5, [0.1] * 4)).counted_as == ""

    @pytest.mark.parametrize(
        ("references", "copies", "value", "accused"),
        [
            (19, 19, 0.5, True),
            (18, 19, 0.5, False),  # too few for the rate
            (19, 19, 0.39, False),  # below every copy
            (19, 18, 0.39, True),  # of few copies the nearer kind counts
        ],
    )
    def test_it_accuses_where_references_do_and_copies_do_not_stand_against_it(
        self,
        references: int,
        copies: int,
        value: float,
        accused: bool,  # noqa: FBT001 - expected
    ) -> None:
        found = standing(ranking(value, [0.1] * references), surrogates=(low(value, [0.4] * copies, opposite=0.1),))
        assert found.accuses(fpr=0.05, fnr=0.05) == accused


class TestThresholdOfSeveral:
    def test_each_group_has_to_be_exceeded(self) -> None:
        groups = ranking(0.5, NINETEEN), ranking(0.5, [x + 0.1 for x in NINETEEN])
        assert standing(*groups).threshold(100, rate=0.05, parametric=False) == 0.39
        assert standing(*groups[::-1]).threshold(100, rate=0.05, parametric=False) == 0.39
        few = ranking(0.5, NINETEEN[:3])
        assert standing(*groups, few).threshold(100, rate=0.05, parametric=False) is None

    def test_it_is_of_the_score_that_decides(self) -> None:
        other = ranking(9.0, [float(i) for i in range(19)], score=Score.LLR)
        found = standing(ranking(0.28, NINETEEN), other)  # p of 2 / 20, and of 11 / 20
        assert found.score == Score.LLR
        assert found.threshold(100, rate=0.05, parametric=False) == np.nextafter(18.0, np.inf)

    def test_of_adjusted_scores_it_is_that_of_the_group_that_decides(self) -> None:
        scores = [float(i) for i in range(19)]
        deciding = ranking(17.0, scores, score=Score.ADJUSTED)
        other = ranking(50.0, [x + 20 for x in scores], score=Score.ADJUSTED)
        found = standing(deciding, other).threshold(100, rate=0.05, parametric=False)
        assert found == np.nextafter(18.0, np.inf)

    def test_parametric_it_is_the_models(self) -> None:
        few = standing(ranking(0.5, NINETEEN[:4]))
        assert few.threshold(100, rate=0.05, parametric=False) is None
        assert few.threshold(100, rate=0.05, parametric=True) == few.high.threshold(100, rate=0.05, parametric=True)

    def test_the_largest_of_none_and_of_one_missing_is_none(self) -> None:
        assert largest([]) is None
        assert largest([0.5, None]) is None
        assert largest(iter([0.5, 0.7, 0.6])) == 0.7
        assert largest([0.0]) == 0.0
