"""What each null hypothesis takes: by trying every number of references and controls."""

from fractions import Fraction

import pytest

from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.calibration.null_plan import LEAST_CONTROLS, plan_nulls
from cae_core.errors import OptionError


@pytest.mark.parametrize("fpr", [0.3, 0.1, 0.05, 0.02, 0.01])
@pytest.mark.parametrize("surrogates", [1, 5, 12])
def test_nothing_smaller_supports_the_rate(fpr: float, surrogates: int) -> None:
    rate = Fraction(str(fpr))
    references, sources, two_way, both = plan_nulls(fpr, surrogates=surrogates, examples=10, probes=50)
    assert references.references == next(r for r in range(1000) if Fraction(1, r + 1) <= rate)
    assert sources.controls == references.references
    assert (both.references, both.controls) == (references.references, sources.controls)
    assert both.models == references.models + sources.models
    tried = [
        (r + m * (1 + surrogates), r, m)
        for r in range(1, 200)
        for m in range(LEAST_CONTROLS, 200)
        if Fraction(1, (r + 1) * (m + 1)) <= rate
    ]
    assert two_way.models == min(tried)[0]
    assert (two_way.models, two_way.references, two_way.controls) in tried


def test_queries_count_every_source_the_benign_images_and_the_repeats() -> None:
    plans = plan_nulls(0.05, surrogates=5, examples=10, probes=50)
    assert [plan.null for plan in plans] == list(NullHypothesis)
    assert [plan.queries for plan in plans] == [63, 263, 95, 263]  # 60, 250 and 90, and one in twenty again
    with pytest.raises(OptionError):
        plan_nulls(0, surrogates=5, examples=10, probes=50)
