"""The kinds of steps, by the name of their table in a study file; in an order in which each needs earlier ones only."""

from collections.abc import Mapping

from cae_study.kinds.compare import COMPARE
from cae_study.kinds.fingerprint import FINGERPRINT
from cae_study.kinds.label_changes import LABEL_CHANGES
from cae_study.kinds.match_rates import MATCH_RATES
from cae_study.kinds.pool import POOL
from cae_study.kinds.strength import STRENGTH
from cae_study.kinds.verdicts import VERDICTS
from cae_study.step import StepKind

__all__ = ["KINDS"]

KINDS: Mapping[str, StepKind] = {
    kind.name: kind for kind in (POOL, FINGERPRINT, LABEL_CHANGES, MATCH_RATES, VERDICTS, STRENGTH, COMPARE)
}
