"""Before a judge nobody but the judge consents to files whose opening runs code."""

import dataclasses
from pathlib import Path

import pytest

from cae_core.disputes.claim_rerun import claimed_members
from cae_core.disputes.regeneration import read_judge_pool
from cae_core.pool.manifest import PoolMember
from cae_core.pool.manifest_writing import write_manifest
from tests.core.judge_toys import Dispute, make_dispute

BOTH = pytest.mark.parametrize("judge", [False, True])
LISTED = pytest.mark.parametrize("manifest", [False, True])


@pytest.fixture(scope="module")
def dispute(tmp_path_factory: pytest.TempPathFactory) -> Dispute:
    return make_dispute(tmp_path_factory.mktemp("dispute"))


def consented(member: PoolMember, *, trusted: bool) -> PoolMember:
    return dataclasses.replace(member, trusted=trusted)


@BOTH
@LISTED
def test_a_claimants_manifest_is_not_believed(dispute: Dispute, judge: bool, manifest: bool) -> None:  # noqa: FBT001
    """Not even where the judge trusts the files that he named himself: the claimant names these."""
    theirs = [consented(member, trusted=manifest) for member in dispute.claimant.everyone]
    found = claimed_members(dispute.claim(), consented(dispute.source, trusted=judge), theirs)
    assert found.source.trusted == judge
    assert not any(member.trusted for member in (*found.surrogates, *found.references))


@BOTH
@LISTED
def test_the_judges_word_and_his_manifests_both_count(
    dispute: Dispute,
    tmp_path: Path,
    judge: bool,  # noqa: FBT001
    manifest: bool,  # noqa: FBT001
) -> None:
    source = {"path": str(dispute.source.path), "role": "source", "relation": "source"}
    consent = {"sha256": dispute.source.digest(), "trusted": True} if manifest else {}
    path = tmp_path / "judge.toml"
    write_manifest(path, [{**source, **consent}])
    pool = read_judge_pool(path, dispute.source.path, trusted=judge)
    assert pool.source.trusted == (judge or manifest)
    assert pool.calibrating.generation == (pool.source,)


@BOTH
def test_a_source_that_the_judges_manifest_does_not_name_is_trusted_by_the_judge_alone(
    dispute: Dispute,
    tmp_path: Path,
    judge: bool,  # noqa: FBT001
) -> None:
    path = tmp_path / "judge.toml"
    others = [{"path": str(m.path), "role": m.role, "relation": m.relation} for m in dispute.judge.own]
    write_manifest(path, others)
    assert read_judge_pool(path, dispute.source.path, trusted=judge).source.trusted == judge
