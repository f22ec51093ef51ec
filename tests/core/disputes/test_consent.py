"""Before a judge nobody but the judge consents to files whose opening runs code."""

from pathlib import Path

import pytest

from cae_core.disputes.case import JudgeOptions, _consented
from cae_core.disputes.judging import DatedEvidence
from cae_core.pool.manifest import PoolMember


def member(*, trusted: bool) -> PoolMember:
    return PoolMember(path=Path("m.pt2"), role="generate", relation="surrogate", trusted=trusted)


@pytest.mark.parametrize("judge", [False, True])
@pytest.mark.parametrize("manifest", [False, True])
def test_a_claimants_manifest_is_not_believed(judge: bool, manifest: bool) -> None:  # noqa: FBT001
    """Not even where the judge trusts the files that he named himself: the claimant names these."""
    options = JudgeOptions(seals=1, evidence=DatedEvidence(), trusted=judge)
    assert not _consented(member(trusted=manifest), options, believed=False).trusted
    assert _consented(member(trusted=manifest), options, believed=True).trusted == (judge or manifest)
