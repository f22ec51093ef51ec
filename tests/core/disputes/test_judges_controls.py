"""A judge with control sources of his own: both ranks have to speak against the suspect."""

import dataclasses
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from cae_core.arrays import Images
from cae_core.calibration.calibrate import CalibrationSettings
from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.disputes.judging import DatedEvidence, Judgement, controls_needed, judge_claim, judge_unasked
from cae_core.disputes.regeneration import JudgePool, Regeneration, read_judge_pool, regenerate
from cae_core.errors import PoolError
from cae_core.files.records import as_json
from cae_core.fingerprint.kinds import CONTROL
from cae_core.models import Model, Predictions
from cae_core.pool.manifest import PoolMember
from cae_core.pool.manifest_writing import write_manifest
from cae_core.pool.roles import GenerationMembers
from cae_core.statistics.score import Score
from cae_core.verification.verdict import Suspect
from tests.core.judge_toys import NONCE, Dispute, ToyPool, make_dispute, opened
from tests.core.toys import quick_settings

PROVEN = DatedEvidence(sealed_at=datetime(2026, 1, 31, tzinfo=UTC), suspect_since=datetime(2026, 5, 1, tzinfo=UTC))
QUARTER = 0.25  # which three control sources support


@pytest.fixture(scope="module")
def dispute(tmp_path_factory: pytest.TempPathFactory) -> Dispute:
    return make_dispute(tmp_path_factory.mktemp("dispute"))


@pytest.fixture(scope="module")
def regeneration(dispute: Dispute) -> Regeneration:
    return dispute.regenerated(dispute.with_controls(3), fpr=QUARTER)


def judge(regeneration: Regeneration, suspect: Model, *, seals: int = 1, sha256: str = "ab") -> Judgement:
    return judge_claim(regeneration, suspect, named=Suspect(name="theirs", sha256=sha256), seals=seals, dated=PROVEN)


class MatchingEverySource:
    """As a robust model may: right about benign images, and with every source's own label on its examples."""

    def __init__(self, regeneration: Regeneration, model: Model) -> None:
        self.model, made = model, regeneration.fingerprint
        kinds = [(made.images, made.labels)]
        if made.controls:
            kinds.append((made.of(CONTROL).images, made.of(CONTROL).labels))
        self.labels = {
            image.tobytes(): int(label) for images, labels in kinds for image, label in zip(images, labels, strict=True)
        }

    def predict(self, images: Images) -> Predictions:
        honest = self.model.predict(images).labels.tolist()
        found = [self.labels.get(image.tobytes(), own) for image, own in zip(images, honest, strict=True)]
        return Predictions(np.array(found, np.int64))


def test_a_copy_is_upheld_by_both_ranks(dispute: Dispute, regeneration: Regeneration) -> None:
    assert (regeneration.fingerprint.controls, regeneration.calibration.null) == (3, NullHypothesis.BOTH)
    found = judge(regeneration, opened(dispute.copy))
    assert (found.outcome, found.p_value, found.p_adjusted) == ("upheld", 1 / 4, 1 / 4), found.reason
    assert "whose p is the larger and counts, and by 0 of 19 independent models" in found.reason
    assert (found.references, found.needed, found.controls, found.controls_needed) == (19, 19, 3, 3)
    told = as_json(found)
    assert (told["controls"], told["controls_needed"]) == (3, 3)
    assert told["verification"]["findings"]["controls"]["null"] == "both"


def test_who_matches_every_source_is_rejected_by_the_source_rank_alone(
    dispute: Dispute, regeneration: Regeneration
) -> None:
    by_references = dispute.regenerated(fpr=QUARTER)
    suspect = MatchingEverySource(by_references, opened(dispute.stranger))
    assert judge(by_references, suspect).outcome == "upheld"
    found = judge(regeneration, MatchingEverySource(regeneration, opened(dispute.stranger)))
    assert (found.outcome, found.p_value) == ("rejected", 1.0), found.reason
    assert "with 3 of 3 control sources in the source's place, whose p is the larger and counts" in found.reason


def test_a_stranger_is_rejected(dispute: Dispute, regeneration: Regeneration) -> None:
    found = judge(regeneration, opened(dispute.stranger))
    assert found.outcome == "rejected"
    assert found.verdict is not None
    ranks = found.verdict.finding("controls")
    assert found.p_value == max(ranks["p_sources"], ranks["p_references"])


def test_both_ranks_are_multiplied_by_the_seals(dispute: Dispute) -> None:
    regeneration = dispute.regenerated(dispute.with_controls(3), fpr=0.5)
    assert judge(regeneration, opened(dispute.copy), seals=2).p_adjusted == 0.5
    few = judge(regeneration, opened(dispute.copy), seals=3)
    assert (few.outcome, few.controls_needed, few.verdict) == ("cannot judge", 5, None)
    assert few.reason == "3 control sources are too few for an error rate of 0.5 when p is multiplied by 3 seals"
    assert "until there are 5" in few.remedy


@pytest.mark.parametrize("fpr", [0.001, 0.01, 0.03, 0.05, 0.07, 0.3, 0.9])
@pytest.mark.parametrize("seals", [1, 2, 7])
def test_the_controls_needed_are_just_enough(fpr: float, seals: int) -> None:
    """Checked in integers: seals / (m + 1) <= fpr, with the rate as it is written."""
    thousandths, needed = round(fpr * 1000), controls_needed(fpr, seals)
    assert seals * 1000 <= thousandths * (needed + 1)
    assert not needed or seals * 1000 > thousandths * needed
    enough = partial(judge_unasked, references=10**6, fpr=fpr, seals=seals, dated=PROVEN)
    assert enough(controls=needed) is None
    assert not needed or enough(controls=needed - 1) is not None
    assert enough() is None


def test_a_sealed_budget_that_does_not_do_for_all_sources_cannot_be_judged_by() -> None:
    given = partial(judge_unasked, references=19, fpr=QUARTER, seals=1, dated=PROVEN, controls=3, examples=40)
    least = 95  # 4 times 10 examples, 50 benign images, and one in twenty again
    assert given(max_queries=least) is None
    found = given(max_queries=least - 1)
    assert found is not None
    assert found.reason == "the seal allows 94 queries, and 3 control sources and the claimed source take 95"
    assert found.remedy
    assert given(controls=None, max_queries=70) is None


def test_whatever_score_was_sealed_both_ranks_are_by_caeacc(dispute: Dispute) -> None:
    for score in (Score.ADJUSTED, Score.LLR):
        made = dispute.regenerated(dispute.with_controls(3), fpr=QUARTER, score=score)
        assert (made.calibration.score, made.calibration.null) == (Score.CAEACC, NullHypothesis.BOTH)


def _changed(pool: JudgePool, member: PoolMember, path: Path) -> JudgePool:
    """Return the pool where a file takes the place of a control's source, or of its second surrogate."""
    first, *rest = pool.controls
    if member == first.source:
        changed = dataclasses.replace(first, source=dataclasses.replace(member, path=path))
    else:
        own = [dataclasses.replace(each, path=path) if each == member else each for each in first.surrogates]
        changed = dataclasses.replace(first, surrogates=own)
    return dataclasses.replace(pool, controls=(changed, *rest))


@pytest.mark.parametrize("part", ["source", "surrogate"])
@pytest.mark.parametrize("other", ["claimed source", "surrogate", "calibrate reference", "another control"])
@pytest.mark.parametrize("made", ["copied", "converted"])
def test_a_control_is_no_other_model_of_the_case(
    dispute: Dispute, tmp_path: Path, part: str, other: str, made: str
) -> None:
    pool = dispute.with_controls(3)
    same = {
        "claimed source": dispute.source,
        "surrogate": pool.generating.surrogates[0],
        "calibrate reference": pool.calibrating.references[3],
        "another control": pool.controls[1].source,
    }[other]
    path = tmp_path / "same.npy"
    np.save(path, np.load(same.path) + np.float32(0.25 if made == "converted" else 0))
    member = pool.controls[0].source if part == "source" else pool.controls[0].surrogates[1]
    with pytest.raises(PoolError, match=r"same\.npy") as caught:
        dispute.regenerated(_changed(pool, member, path), fpr=QUARTER)
    assert any(words in str(caught.value) for words in ("one file", "copied or converted"))


def test_as_many_surrogates_as_the_claimed_source_has(dispute: Dispute) -> None:
    with pytest.raises(PoolError, match="this control source has 2 surrogates and the claimed source has 3"):
        dispute.regenerated(dispute.with_controls(3, surrogates=2), fpr=QUARTER)


@pytest.mark.parametrize("place", [0, 2])
def test_a_suspect_among_the_controls_is_refused(
    dispute: Dispute, regeneration: Regeneration, tmp_path: Path, place: int
) -> None:
    member = dispute.with_controls(3).of_controls[place]
    with pytest.raises(PoolError, match=f"the suspect is .*{member.path.name} of the judge's pool"):
        judge(regeneration, opened(member), sha256=member.digest())
    path = tmp_path / "other.npy"
    np.save(path, np.load(member.path) + np.float32(0.25))
    with pytest.raises(PoolError, match=f"the suspect is .*{member.path.name} of the judge's pool"):
        judge(regeneration, opened(dataclasses.replace(member, path=path)))


def test_a_kept_regeneration_serves_the_same_controls_alone(dispute: Dispute, tmp_path: Path) -> None:
    def run(pool: JudgePool) -> tuple[bool, Regeneration]:
        stages: list[str] = []
        made = regenerate(
            pool,
            dispute.data,
            settings=quick_settings(count=40),
            calibration=CalibrationSettings(fpr=QUARTER),
            nonce=NONCE,
            folder=tmp_path,
            opened=ToyPool(),
            progress=lambda stage, _done, _total: stages.append(stage),
        )
        return "searching" in stages, made

    three = dispute.with_controls(3)
    fewer, others = (
        dataclasses.replace(three, controls=three.controls[rows]) for rows in (slice(2), slice(None, None, -1))
    )
    searched, first = run(three)
    assert searched
    again, kept = run(three)
    assert not again
    assert as_json(kept) == as_json(first)
    assert first.fingerprint.id == dispute.regenerated(three, fpr=QUARTER).fingerprint.id
    assert [path.name for path in tmp_path.iterdir()] == ["fingerprint.safetensors"]
    for other in (fewer, others, dispute.judge):
        searched, made = run(other)
        assert searched
        assert made.fingerprint.controls == len(other.controls)
        assert made.fingerprint.id != first.fingerprint.id


def test_manifests_of_controls_share_the_pools_references(dispute: Dispute, tmp_path: Path) -> None:
    def rows(members: GenerationMembers) -> list[dict[str, str]]:
        return [
            {"path": str(x.path), "role": x.role, "relation": x.relation} for x in (members.source, *members.surrogates)
        ]

    pool = dispute.with_controls(2)
    references = [{"path": str(x.path), "role": x.role, "relation": x.relation} for x in pool.generating.references]
    write_manifest(tmp_path / "judge.toml", [*rows(pool.generating), *references])
    for number, control in enumerate(pool.controls):
        folder = tmp_path / "controls" / f"control-{number:02}"
        folder.mkdir(parents=True)
        write_manifest(folder / "pool.toml", rows(control))
    found = read_judge_pool(tmp_path / "judge.toml", dispute.source.path, controls=[tmp_path / "controls"])
    assert [member.path for member in found.of_controls] == [member.path for member in pool.of_controls]
    assert all(control.references == found.generating.references for control in found.controls)
    assert set(found.of_controls) <= set(found.own)
