"""Judging among the toys: who is upheld, who is rejected, and what cannot be judged."""

import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from threading import Barrier
from typing import Any

import numpy as np
import pytest

from cae_core import clock, workflows
from cae_core.arrays import Images, Labels
from cae_core.calibration import file as calibration_file
from cae_core.calibration.calibrate import CalibrationSettings
from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated
from cae_core.defences.table import defended
from cae_core.disputes import case
from cae_core.disputes.drawing import draw_half
from cae_core.disputes.judging import DatedEvidence, Judgement, judge_claim, judge_unasked, references_needed
from cae_core.disputes.regeneration import JudgePool, Regeneration, read_judge_pool, regenerate, seed_of
from cae_core.disputes.seal import make_opening
from cae_core.errors import OptionError, PoolError, VerdictError
from cae_core.files.records import as_json, readable_json
from cae_core.files.tensor_file import pack_tensors
from cae_core.fingerprint.example_kinds import count_example_kinds
from cae_core.fingerprint.file import Fingerprint, save_fingerprint
from cae_core.models import Model, Predictions
from cae_core.pool.manifest import PoolMember
from cae_core.pool.manifest_writing import write_manifest
from cae_core.pool.same_model import probe_images
from cae_core.statistics.score import Score
from cae_core.verification.verdict import Suspect
from tests.core.judge_toys import CLASSES, NONCE, Dispute, ToyPool, make_dispute, opened
from tests.core.toys import LinearModel, quick_settings

SEALED = datetime(2026, 1, 31, 12, tzinfo=UTC)
LATER = datetime(2026, 5, 1, tzinfo=UTC)
PROVEN = DatedEvidence(sealed_at=SEALED, suspect_since=LATER, authority="an authority")


@pytest.fixture(autouse=True)
def present(monkeypatch: pytest.MonkeyPatch) -> None:
    """Later than every date here."""
    monkeypatch.setattr(clock, "utc_now", lambda: datetime(2026, 6, 1, tzinfo=UTC))


class TestTheFuture:
    """Nothing is proven to have existed at a time that has not come."""

    LATE = DatedEvidence(sealed_at=SEALED, suspect_since=datetime(2026, 6, 1, 0, 0, 1, tzinfo=UTC))

    def test_it_is_refused_before_anybody_is_asked(self, regeneration: Regeneration, dispute: Dispute) -> None:
        suspect = LabelsOnly(opened(dispute.copy))
        with pytest.raises(VerdictError, match=r"since 2026-06-01T00:00:01\+00:00, and it is only 2026-06-01T00:00:00"):
            judge(regeneration, suspect, dated=self.LATE)
        assert suspect.asked == 0

    def test_this_very_moment_is_not_the_future(self) -> None:
        self.LATE.check(datetime(2026, 6, 1, 0, 0, 1, tzinfo=UTC))
        self.LATE.check(datetime(2026, 6, 1, 3, 0, 1, tzinfo=timezone(timedelta(hours=3))))
        DatedEvidence().check(datetime(2000, 1, 1, tzinfo=UTC))


@pytest.fixture(scope="module")
def dispute(tmp_path_factory: pytest.TempPathFactory) -> Dispute:
    return make_dispute(tmp_path_factory.mktemp("dispute"), references=99)


@pytest.fixture(scope="module")
def regeneration(dispute: Dispute) -> Regeneration:
    return dispute.regenerated(fpr=0.01)


class LabelsOnly:
    """Tells labels, which a function may change."""

    def __init__(
        self, model: Model, change: Callable[[Images, Labels], Labels] = lambda _images, labels: labels
    ) -> None:
        self.model, self.change, self.asked = model, change, 0

    def predict(self, images: Images) -> Predictions:
        self.asked += len(images)
        return Predictions(self.change(images, self.model.predict(images).labels))


def judge(regeneration: Regeneration, suspect: Model, **options: Any) -> Judgement:  # noqa: ANN401 - of different types
    given = {"named": Suspect(name="theirs", sha256="ab"), "seals": 1, "dated": PROVEN}
    return judge_claim(regeneration, suspect, **{**given, **options})


def with_part(pool: JudgePool, part: str, **changes: Any) -> JudgePool:  # noqa: ANN401 - a member, or several
    """Return the judge's pool with other members in a part of it."""
    changed: dict[str, Any] = {part: dataclasses.replace(getattr(pool, part), **changes)}
    return dataclasses.replace(pool, **changed)


def test_a_copy_is_upheld_with_dated_evidence(dispute: Dispute, regeneration: Regeneration) -> None:
    found = judge(regeneration, LabelsOnly(opened(dispute.copy)))
    assert (found.outcome, found.p_value, found.p_adjusted, found.attested) == ("upheld", 0.01, 0.01, True)
    assert "reached by 0 of 99 independent models" in found.reason
    assert found.verdict is not None
    assert as_json(found)["verification"]["caeacc"] >= 0.9
    assert as_json(found)["evidence"] == {
        "sealed_at": "2026-01-31T12:00:00+00:00",
        "suspect_since": "2026-05-01T00:00:00+00:00",
        "authority": "an authority",
        "proven": True,
    }


def test_references_behind_a_defence_count_as_well(dispute: Dispute) -> None:
    """Behind noise that drowns an image, references answer anything: also what the source does."""
    among = dispute.regenerated(fpr=0.05, behind=("noise:1",))
    assert as_json(among)["calibration"]["behind"] == ["noise:1"]
    found = judge(among, LabelsOnly(opened(dispute.copy)))
    assert (found.outcome, found.p_value) == ("upheld", 0.01)
    assert found.verdict is not None
    behind = found.verdict.examination.standing
    assert behind is not None
    assert [ranking.behind for ranking in behind.references] == ["", "noise:1"]
    assert behind.references[1].highest > behind.references[0].highest
    innocent = defended(opened(dispute.judge.calibrating.references[0]), "noise:1", classes=CLASSES)
    again = judge(among, innocent, named=Suspect(name="theirs", sha256="cd"))
    assert again.p_value is not None
    assert again.p_value > 0.05
    with pytest.raises(OptionError, match="either --control or --behind"):
        dispute.regenerated(dispute.with_controls(2), behind=("noise:1",))


def test_a_group_of_too_few_references_rejects_nothing(dispute: Dispute) -> None:
    """Of 99 references 9 saw none of the images: no p among these is below 1 / 10, whatever the suspect answers."""
    references = [
        dataclasses.replace(member, exposure="all" if place < 90 else "none")
        for place, member in enumerate(dispute.judge.calibrating.references)
    ]
    regeneration = dispute.regenerated(with_part(dispute.judge, "calibrating", references=references), fpr=0.05)
    thief = judge(regeneration, LabelsOnly(opened(dispute.copy)))
    assert (thief.outcome, thief.p_value) == ("cannot judge", 0.1)
    assert "9 references trained on none of its images are too few for an error rate of 0.05" in thief.reason
    assert thief.remedy.endswith("until there are 19.")
    innocent = judge(regeneration, opened(dispute.stranger))
    assert innocent.outcome == "rejected"  # the 90 others speak for it


@pytest.mark.parametrize(("evidence", "said"), [
    (DatedEvidence(), "the seal is not dated"),
    (DatedEvidence(suspect_since=LATER), "the seal is not dated"),
    (DatedEvidence(sealed_at=SEALED), "nobody has shown since when the suspect has existed"),
    (DatedEvidence(sealed_at=SEALED, suspect_since=SEALED), "the suspect existed at 2026-01-31"),
    (DatedEvidence(sealed_at=LATER, suspect_since=SEALED), "the seal dates from 2026-05-01"),
])  # fmt: skip
def test_without_proof_of_who_was_first_nothing_is_upheld(
    dispute: Dispute, regeneration: Regeneration, evidence: DatedEvidence, said: str
) -> None:
    found = judge(regeneration, opened(dispute.copy), dated=evidence)
    assert (found.outcome, found.p_value) == ("cannot judge", 0.01)
    assert found.reason.startswith("direction not proven: ")
    assert said in found.reason
    assert found.remedy
    assert not as_json(found)["evidence"]["proven"]


def test_times_are_compared_whatever_their_zones() -> None:
    east = datetime.fromisoformat("2026-01-31T12:30+02:00")  # an hour and a half before noon in UTC
    assert DatedEvidence(sealed_at=east, suspect_since=SEALED).doubt() is None
    assert DatedEvidence(sealed_at=SEALED, suspect_since=east).doubt() is not None


@pytest.mark.parametrize("evidence", [PROVEN, DatedEvidence()], ids=["dated", "undated"])
def test_an_independent_suspect_is_rejected(
    dispute: Dispute, regeneration: Regeneration, evidence: DatedEvidence
) -> None:
    found = judge(regeneration, opened(dispute.stranger), dated=evidence)
    assert found.outcome == "rejected"
    assert found.p_value is not None
    assert found.p_value > 0.01
    assert "does not prove independence" in found.reason


def test_the_p_value_is_multiplied_by_the_seals_and_is_no_more_than_one(dispute: Dispute) -> None:
    regeneration = dispute.regenerated(fpr=0.05)
    upheld, more = (judge(regeneration, opened(dispute.copy), seals=seals) for seals in (5, 6))
    assert (upheld.outcome, upheld.p_value, upheld.p_adjusted) == ("upheld", 0.01, 0.05)
    assert (more.outcome, more.p_value) == ("cannot judge", None)  # 99 references do not support 0.05 / 6
    rejected = judge(regeneration, opened(dispute.stranger), seals=5)
    assert (rejected.outcome, rejected.p_adjusted) == ("rejected", 1.0)


def test_a_thousand_seals_cannot_be_judged_with_99_references(dispute: Dispute, regeneration: Regeneration) -> None:
    suspect = LabelsOnly(opened(dispute.copy))
    found = judge(regeneration, suspect, seals=1000)
    assert (found.outcome, found.needed, found.p_value) == ("cannot judge", 99_999, None)
    assert found.reason == "99 references are too few for an error rate of 0.01 when p is multiplied by 1000 seals"
    assert (suspect.asked, found.attested, found.verdict) == (0, False, None)


def test_eighteen_references_cannot_judge_whatever_the_rate(dispute: Dispute) -> None:
    few = with_part(dispute.judge, "calibrating", references=dispute.judge.calibrating.references[:18])
    for rate in (0.05, 0.5):
        found = judge(dispute.regenerated(few, fpr=rate), opened(dispute.copy))
        assert (found.outcome, found.needed) == ("cannot judge", 19)
        assert found.reason == "18 references are fewer than the 19 that every judgement needs"
        assert "until there are 19" in found.remedy


@pytest.mark.parametrize("fpr", [0.001, 0.01, 0.03, 0.05, 0.07, 0.1, 0.3, 0.9])
@pytest.mark.parametrize("seals", [1, 2, 3, 7, 100])
def test_the_references_needed_are_just_enough(fpr: float, seals: int) -> None:
    """Checked in integers: seals / (r + 1) <= fpr, with the rate as it is written."""
    thousandths = round(fpr * 1000)
    needed = references_needed(fpr, seals)
    assert needed >= 19
    assert seals * 1000 <= thousandths * (needed + 1)
    assert needed == 19 or seals * 1000 > thousandths * needed
    assert judge_unasked(references=needed, fpr=fpr, seals=seals, dated=PROVEN) is None
    assert judge_unasked(references=needed - 1, fpr=fpr, seals=seals, dated=PROVEN) is not None


@pytest.mark.parametrize("seals", [0, -3])
def test_fewer_seals_than_one_are_refused(dispute: Dispute, regeneration: Regeneration, seals: int) -> None:
    with pytest.raises(VerdictError, match=f"at least 1; found {seals}"):
        judge(regeneration, opened(dispute.copy), seals=seals)


def on_examples(regeneration: Regeneration, answer: Callable[[int], int]) -> Callable[[Images, Labels], Labels]:
    """Return a change of the answers to the regenerated examples, a function of the example's place."""
    places = {image.tobytes(): i for i, image in enumerate(regeneration.fingerprint.images)}

    def change(images: Images, labels: Labels) -> Labels:
        found = [(row, places.get(image.tobytes())) for row, image in enumerate(images)]
        for row, place in found:
            if place is not None:
                labels[row] = answer(place)
        return labels

    return change


def test_a_suspect_that_answers_examples_at_random_is_not_rejected(
    dispute: Dispute, regeneration: Regeneration
) -> None:
    random = np.random.default_rng(0)
    evasive = LabelsOnly(opened(dispute.copy), on_examples(regeneration, lambda _: int(random.integers(4))))
    found = judge(regeneration, evasive)
    assert found.outcome == "cannot judge"
    assert found.reason.startswith("possible evasion: ")


def test_a_suspect_that_refuses_the_examples_is_not_rejected(dispute: Dispute, regeneration: Regeneration) -> None:
    found = judge(regeneration, LabelsOnly(opened(dispute.copy), on_examples(regeneration, lambda _: -1)))
    assert found.outcome == "cannot judge"
    assert "the suspect refuses 100% of the examples" in found.reason


def test_evasion_that_does_not_help_is_upheld(dispute: Dispute, regeneration: Regeneration) -> None:
    """Asked again, the copy says something else: it matches as often all the same."""
    seen: set[bytes] = set()

    def fickle(images: Images, labels: Labels) -> Labels:
        for row, image in enumerate(images):
            labels[row] = (labels[row] + (image.tobytes() in seen)) % 4
            seen.add(image.tobytes())
        return labels

    found = judge(regeneration, LabelsOnly(opened(dispute.copy), fickle))
    assert found.verdict is not None
    assert found.verdict.evasion
    assert found.outcome == "upheld"


def test_a_suspect_that_is_asked_wrongly_cannot_be_judged(dispute: Dispute, regeneration: Regeneration) -> None:
    upside_down = LinearModel(-opened(dispute.copy).weights)
    found = judge(regeneration, upside_down)
    assert (found.outcome, found.attested) == ("cannot judge", True)
    assert "is its input range right?" in found.reason


def test_an_accuracy_that_no_reference_has_cannot_be_judged(dispute: Dispute, regeneration: Regeneration) -> None:
    worse = dataclasses.replace(
        regeneration.calibration,
        references=dataclasses.replace(
            regeneration.calibration.references, right=np.zeros_like(regeneration.calibration.references.right)
        ),
    )
    subject = CalibratedFingerprint(fingerprint=regeneration.fingerprint, calibration=worse)
    found = judge(dataclasses.replace(regeneration, subject=subject), opened(dispute.copy))
    assert found.outcome == "cannot judge"
    assert "is outside the references' range of 0% to 0%" in found.reason


def test_above_the_references_and_below_every_known_copy_is_neither(
    dispute: Dispute, regeneration: Regeneration
) -> None:
    """One match more than any reference has, and fewer than the judge's own copies."""
    fingerprint, calibration = regeneration.fingerprint, regeneration.calibration
    groups = (calibration.references, calibration.surrogates)
    highest, lowest = (group.matches(fingerprint).sum(axis=1) for group in groups)
    assert highest.max() + 1 < lowest.min()

    def suspect(matches: int) -> LabelsOnly:
        def answer(place: int) -> int:
            return int((fingerprint.labels if place < matches else fingerprint.ground_truth)[place])

        return LabelsOnly(opened(dispute.copy), on_examples(regeneration, answer))

    found = judge(regeneration, suspect(int(highest.max()) + 1))
    assert (found.outcome, found.p_value) == ("cannot judge", 0.01)
    assert "0 of 99 independent models, p = 0.0100, and 0 of 3 known copies score as low" in found.reason
    assert "fits neither kind" in found.reason
    assert "weaker copies" in found.remedy
    upheld = judge(regeneration, suspect(int(lowest.min())))
    assert upheld.outcome == "upheld"
    assert "1 of 3 known copies scores as low" in upheld.reason or lowest.tolist().count(lowest.min()) > 1


def test_a_shared_ancestor_that_no_reference_has_cannot_be_judged(dispute: Dispute) -> None:
    source = dataclasses.replace(dispute.source, ancestor="public weights")
    pool = with_part(dispute.judge, "generating", source=source)
    found = judge(dispute.regenerated(pool), opened(dispute.copy))
    assert found.outcome == "cannot judge"
    assert "the source's pretrained ancestor (public weights)" in found.reason


def test_one_regeneration_judges_many_suspects_alike(dispute: Dispute, regeneration: Regeneration) -> None:
    """In any order: nothing of one suspect stays for the next."""
    first = [judge(regeneration, opened(suspect)) for suspect in (dispute.copy, dispute.stranger)]
    second = [judge(regeneration, opened(suspect)) for suspect in (dispute.stranger, dispute.copy)]
    assert as_json(first) == as_json(second[::-1])


def test_the_budget_is_kept(dispute: Dispute, regeneration: Regeneration) -> None:
    suspect = LabelsOnly(opened(dispute.copy))
    found = judge(regeneration, suspect, max_queries=80)
    assert suspect.asked <= 80
    assert found.outcome == "upheld"


def test_the_nonce_decides_seed_and_images(dispute: Dispute, regeneration: Regeneration) -> None:
    assert regeneration.fingerprint.generation["settings"]["seed"] == seed_of(NONCE)
    assert regeneration.fingerprint.id == dispute.regenerated().fingerprint.id
    other = regenerate(
        dispute.judge,
        dispute.data,
        settings=quick_settings(count=40),
        calibration=CalibrationSettings(),
        nonce=bytes(16),
        opened=ToyPool(),
    )
    assert other.fingerprint.id != regeneration.fingerprint.id


def test_kinds_of_examples_of_the_claim_are_regenerated_from_the_judges_images(dispute: Dispute) -> None:
    made = regenerate(
        dispute.judge,
        dispute.data,
        settings=quick_settings(count=20, blends=0.25, natural=0.1, blend_candidates=4000),
        calibration=CalibrationSettings(fpr=0.01),
        nonce=NONCE,
        opened=ToyPool(),
    )
    counts = count_example_kinds(made.fingerprint.example_kinds)
    assert counts["blend"] == 5
    assert sum(counts.values()) == 20
    half = {image.tobytes() for image in draw_half(dispute.data, nonce=NONCE, count=20).images}
    assert half >= {seed.tobytes() for seed in made.fingerprint.seeds}
    assert judge(made, opened(dispute.copy)).outcome == "upheld"
    assert judge(made, opened(dispute.stranger)).outcome != "upheld"


def converted(folder: Path, member: PoolMember, name: str) -> PoolMember:
    """Return the same model in another file: the same constant added to all logits changes no probability."""
    path = folder / f"{name}.npy"
    np.save(path, np.load(member.path) + np.float32(0.25))
    return dataclasses.replace(member, path=path)


@pytest.mark.parametrize("relation", ["surrogates", "references"])
@pytest.mark.parametrize("part", ["generating", "calibrating"])
@pytest.mark.parametrize("made", ["copied", "converted"])
def test_the_claimed_source_is_refused_among_the_judges_models(
    dispute: Dispute, tmp_path: Path, part: str, relation: str, made: str
) -> None:
    first, *rest = getattr(getattr(dispute.judge, part), relation)
    own = np.load(dispute.source.path) + np.float32(0.25 if made == "converted" else 0)
    path = tmp_path / "same.npy"
    np.save(path, own)
    pool = with_part(dispute.judge, part, **{relation: (dataclasses.replace(first, path=path), *rest)})
    with pytest.raises(PoolError, match=r"same\.npy .*: this is the claimed source"):
        dispute.regenerated(pool)


@pytest.mark.parametrize("relation", ["surrogates", "references"])
@pytest.mark.parametrize("part", ["generating", "calibrating"])
def test_a_suspect_among_the_judges_models_is_refused(
    dispute: Dispute, regeneration: Regeneration, tmp_path: Path, part: str, relation: str
) -> None:
    member = getattr(getattr(dispute.judge, part), relation)[1]
    with pytest.raises(PoolError, match=f"theirs: the suspect is .*{member.path.name} of the judge's pool"):
        judge(regeneration, opened(member), named=Suspect(name="theirs", sha256=member.digest()))
    with pytest.raises(PoolError, match=f"theirs: the suspect is .*{member.path.name} of the judge's pool"):
        judge(regeneration, opened(converted(tmp_path, member, "other")))


def test_no_model_of_the_judge_is_asked_an_image_twice(dispute: Dispute) -> None:
    """Once the probes of the early guard and once the images of the fingerprint; the source stays open in between."""
    asked: dict[Path, list[bytes]] = {}
    opening: list[Path] = []

    class Noted:
        def __init__(self, member: PoolMember) -> None:
            self.model, self.asked = opened(member), asked.setdefault(member.path, [])
            opening.append(member.path)

        def predict(self, images: Images) -> Predictions:
            self.asked += [image.tobytes() for image in images]
            return self.model.predict(images)

    pool = dispute.judge
    found = regenerate(
        pool,
        dispute.data,
        settings=quick_settings(count=40),
        calibration=CalibrationSettings(fpr=0.01),
        nonce=NONCE,
        opened=ToyPool(opener=Noted),
    ).fingerprint
    images = [image.tobytes() for part in (found.images, found.probe_images) for image in part]
    probes = [image.tobytes() for image in probe_images(dispute.data)]
    assert Counter(opening) == Counter([pool.source.path, *(2 * [member.path for member in pool.own])])
    assert len(opening) == 1 + 2 * (3 + 3 + 99 + 3)
    assert all(seen == probes + images for seen in asked.values())


def test_the_source_itself_may_be_the_suspect(dispute: Dispute, regeneration: Regeneration) -> None:
    """The thief who changed nothing."""
    found = judge(regeneration, opened(dispute.source), named=Suspect(name="theirs", sha256=dispute.source.digest()))
    assert found.outcome == "upheld"


def test_a_parametric_p_value_and_a_score_without_a_screen_are_refused(dispute: Dispute) -> None:
    parametric = CalibrationSettings(parametric=True)
    with pytest.raises(OptionError, match="guarantees no error rate"):
        regenerate(dispute.judge, dispute.data, settings=quick_settings(), calibration=parametric, nonce=NONCE)
    with pytest.raises(PoolError, match="no screen role to weigh it by"):
        dispute.regenerated(score=Score.LLR)


def test_the_adjusted_score_decides_where_it_was_sealed(dispute: Dispute) -> None:
    regeneration = dispute.regenerated(score=Score.ADJUSTED)
    upheld, rejected = (judge(regeneration, opened(model)) for model in (dispute.copy, dispute.stranger))
    assert (upheld.outcome, rejected.outcome) == ("upheld", "rejected")
    assert upheld.verdict is not None
    assert upheld.verdict.decision.score == Score.ADJUSTED
    assert upheld.reason.startswith("adjusted score ")


def test_a_screen_role_weighs_and_chooses(dispute: Dispute) -> None:
    def screening(members: Sequence[PoolMember]) -> tuple[PoolMember, ...]:
        return tuple(dataclasses.replace(member, role="screen") for member in members)

    screen = screening(dispute.claimant.surrogates) + screening(dispute.claimant.references)
    pool = with_part(dispute.judge, "calibrating", screen=screen)
    regeneration = dispute.regenerated(pool, fpr=0.01, score=Score.LLR)
    found = judge(regeneration, opened(dispute.copy))
    assert found.outcome == "upheld"
    assert "the likelihood-ratio score" in found.reason
    assert judge(regeneration, opened(dispute.stranger)).outcome == "rejected"
    with pytest.raises(PoolError, match="of the judge's pool"):
        judge(regeneration, opened(screen[0]))


def test_the_regeneration_is_kept_and_gone_on_with(dispute: Dispute, tmp_path: Path) -> None:
    """Interrupted in the middle of the search, it ends in the same file; finished, it is not repeated."""
    pool = dispute.judge
    settings = quick_settings(count=40, batch=4)

    def run(folder: Path, interrupt_at: float = math.inf) -> Regeneration:
        stages: list[str] = []

        def progress(stage: str, _done: int, _total: int) -> None:
            stages.append(stage)
            if stages.count("searching") > interrupt_at:
                raise KeyboardInterrupt

        found = regenerate(
            pool,
            dispute.data,
            settings=settings,
            calibration=CalibrationSettings(),
            nonce=NONCE,
            folder=folder,
            opened=ToyPool(),
            progress=progress,
        )
        (folder / "stages").write_text("\n".join(stages))
        return found

    whole = run(tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", interrupt_at=30)
    resumed = run(tmp_path / "cut")
    files = [tmp_path / name / "fingerprint.safetensors" for name in ("whole", "cut")]
    assert files[0].read_bytes() == files[1].read_bytes()
    assert resumed.fingerprint.id == whole.fingerprint.id
    assert "ranking seeds" not in (tmp_path / "cut" / "stages").read_text()
    again = run(tmp_path / "whole")
    assert "searching" not in (tmp_path / "whole" / "stages").read_text()
    assert again.fingerprint.id == whole.fingerprint.id
    # the order of the keys as well: a judgement that was gone on with is the same, byte for byte
    assert readable_json(whole) == readable_json(resumed) == readable_json(again)
    kept = load_calibrated(files[0])  # which checks the digest that was kept
    assert kept.content_sha256 == again.subject.content_sha256
    assert kept.calibration is not None
    assert kept.calibration.fpr == again.calibration.fpr


def test_the_fingerprint_is_made_of_the_half_that_the_nonce_draws(dispute: Dispute, regeneration: Regeneration) -> None:
    half = draw_half(dispute.data, nonce=NONCE, count=40)
    drawn = {image.tobytes() for image in half.images}
    fingerprint = regeneration.fingerprint
    assert {image.tobytes() for image in (*fingerprint.seeds, *fingerprint.probe_images)} <= drawn
    told = as_json(regeneration)
    assert told["images"] == {"sha256": dispute.data.sha256(), "of": 300, "drawn": 150}
    assert told["generation"]["data"]["sha256"] == half.sha256()


def test_what_a_kill_after_the_fingerprint_leaves_goes_with_the_next_run(dispute: Dispute, tmp_path: Path) -> None:
    """A state of the same inputs is of no use any more; one of others is not touched."""

    def run(folder: Path, **settings: Any) -> Regeneration:  # noqa: ANN401 - of different types
        return regenerate(
            dispute.judge,
            dispute.data,
            settings=quick_settings(count=40, **settings),
            calibration=CalibrationSettings(),
            nonce=NONCE,
            folder=folder,
            opened=ToyPool(),
        )

    state = tmp_path / "fingerprint.safetensors.partial"
    kept: list[bytes] = []

    def save(fingerprint: Fingerprint, path: Path) -> None:
        kept.append(state.read_bytes())
        save_fingerprint(fingerprint, path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(workflows, "save_fingerprint", save)
        run(tmp_path)
    assert not state.exists()
    state.write_bytes(kept[0])
    run(tmp_path)
    assert not state.exists()
    state.write_bytes(pack_tensors({}, {"run_id": "another"}))
    run(tmp_path)
    assert state.exists()


def test_the_calibration_is_hashed_once_however_many_are_judged(
    dispute: Dispute, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []

    def noted(*content: Any) -> str:  # noqa: ANN401 - of different types
        hashed.append(digest_of_parts(*content))
        return hashed[-1]

    digest_of_parts = calibration_file._digest
    monkeypatch.setattr(calibration_file, "_digest", noted)
    regeneration = regenerate(
        dispute.judge,
        dispute.data,
        settings=quick_settings(count=40),
        calibration=CalibrationSettings(fpr=0.01),
        nonce=NONCE,
        folder=tmp_path,
        opened=ToyPool(),
    )
    for suspect in (dispute.copy, dispute.stranger):
        judge(regeneration, opened(suspect))
    assert hashed == [regeneration.subject.content_sha256]


def test_a_broken_or_foreign_file_in_the_folder_is_made_again(
    dispute: Dispute, regeneration: Regeneration, tmp_path: Path
) -> None:
    path = tmp_path / "fingerprint.safetensors"
    save_fingerprint(dispute.claim(), path)
    for content in (path.read_bytes(), path.read_bytes()[:200]):
        path.write_bytes(content)
        found = regenerate(
            dispute.judge,
            dispute.data,
            settings=quick_settings(count=40),
            calibration=CalibrationSettings(),
            nonce=NONCE,
            folder=tmp_path,
            opened=ToyPool(),
        )
        assert found.fingerprint.id == regeneration.fingerprint.id
    path.write_bytes(b"no fingerprint at all")
    with pytest.raises(OptionError, match="a file of another kind"):
        regenerate(
            dispute.judge,
            dispute.data,
            settings=quick_settings(count=40),
            calibration=CalibrationSettings(),
            nonce=NONCE,
            folder=tmp_path,
            opened=ToyPool(),
        )
    assert path.read_bytes() == b"no fingerprint at all"


def manifest(folder: Path, dispute: Dispute, source: PoolMember | None) -> Path:
    members = [*([source] if source else []), *dispute.judge.own]
    path = folder / "judge.toml"
    rows = [{"path": str(m.path), "role": m.role, "relation": m.relation, "ancestor": m.ancestor} for m in members]
    write_manifest(path, rows)
    return path


def test_the_manifest_is_read_by_roles(dispute: Dispute, tmp_path: Path) -> None:
    listed = dataclasses.replace(dispute.source, ancestor="public weights")
    found = read_judge_pool(manifest(tmp_path, dispute, listed), dispute.source.path, ancestor="other")
    assert [m.path for m in found.own] == [m.path for m in dispute.judge.own]
    assert (found.source.ancestor, found.source.path) == ("public weights", dispute.source.path)
    without = read_judge_pool(manifest(tmp_path, dispute, None), dispute.source.path, ancestor="other")
    assert isinstance(without, JudgePool)
    assert without.source.ancestor == "other"


def test_surrogates_of_another_source_are_refused(dispute: Dispute, tmp_path: Path) -> None:
    other = dataclasses.replace(dispute.copy, role="source", relation="source")
    with pytest.raises(PoolError, match="its surrogates are derived from that; the claimed source"):
        read_judge_pool(manifest(tmp_path, dispute, other), dispute.source.path)


def test_an_undated_claim_says_so_in_json() -> None:
    told = as_json(DatedEvidence(suspect_since=LATER + timedelta(hours=1)))
    assert told == {"sealed_at": None, "suspect_since": "2026-05-01T01:00:00+00:00", "authority": None, "proven": False}


def test_of_two_judges_at_once_the_first_draws_the_nonce(dispute: Dispute, tmp_path: Path) -> None:
    seal, start = make_opening(dispute.claim()).seal(), Barrier(6)

    def nonce(_number: int) -> bytes:
        start.wait()
        return case._kept_nonce(tmp_path / "case", seal, None)

    with ThreadPoolExecutor(6) as threads:
        drawn = set(threads.map(nonce, range(6)))
    assert len(drawn) == 1
    assert [path.name for path in (tmp_path / "case").iterdir()] == ["case.json"]
