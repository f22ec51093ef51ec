"""What a claim must bring before the judge looks at it, and what is said of it without deciding anything."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core.arrays import Images, as_unit_float
from cae_core.contract import Contract
from cae_core.disputes.claim import check_consistency, check_source_contract, claimed_settings, open_claim
from cae_core.disputes.claim_rerun import claimed_members, rerun_claim, sample_examples
from cae_core.disputes.seal import make_opening
from cae_core.errors import FingerprintError, OptionError, PoolError, VerdictError
from cae_core.files.digests import digest_of
from cae_core.files.records import as_json
from cae_core.fingerprint.file import Fingerprint, load_fingerprint, save_fingerprint
from cae_core.generation.settings import GenerationSettings
from cae_core.generation.white_boxes import open_white_boxes
from cae_core.models import DifferentiableModel, Predictions
from tests.core.judge_toys import NONCE, Dispute, ToyPool, make_dispute, opened
from tests.core.toys import quick_settings


@pytest.fixture(scope="module")
def dispute(tmp_path_factory: pytest.TempPathFactory) -> Dispute:
    return make_dispute(tmp_path_factory.mktemp("dispute"))


@pytest.fixture(scope="module")
def claimed(dispute: Dispute) -> Fingerprint:
    return dispute.claim()


def open_it(dispute: Dispute, claimed: Fingerprint, **changes: Any) -> None:  # noqa: ANN401 - of different types
    opening = make_opening(claimed, claimant="Example Ltd")
    given: dict[str, Any] = {
        "seal": as_json(opening.seal()),
        "opening": as_json(opening),
        "source_sha256": dispute.source.digest(),
    }
    open_claim(claimed, **{**given, **changes})


def forged(claimed: Fingerprint, source: DifferentiableModel, *, eps: float, steps: int = 20) -> Fingerprint:
    """Return ordinary adversarial examples (projected gradient) under the claim's name and with all its metadata."""
    seeds = as_unit_float(claimed.seeds)
    images, rows = seeds.copy(), np.arange(len(seeds))
    for _ in range(steps):
        logits, pull_back = source.vjp(images)
        gradient = np.exp(logits - logits.max(axis=1, keepdims=True))
        gradient /= gradient.sum(axis=1, keepdims=True)
        gradient[rows, claimed.ground_truth] -= 1
        images += np.float32(eps / 4) * np.sign(pull_back(gradient))
        images = np.clip(np.clip(images, seeds - np.float32(eps), seeds + np.float32(eps)), 0, 1)
    rounded = claimed_settings(claimed).ball().quantise(images, claimed.seeds)
    return dataclasses.replace(claimed, images=rounded, labels=source.predict(rounded).labels)


def test_an_honest_claim_opens(dispute: Dispute, claimed: Fingerprint) -> None:
    open_it(dispute, claimed)


def test_another_fingerprint_is_refused(dispute: Dispute, claimed: Fingerprint) -> None:
    other = make_opening(dispute.claim(seed=4))
    with pytest.raises(VerdictError, match="it was made for the fingerprint"):
        open_it(dispute, claimed, seal=as_json(other.seal()), opening=as_json(other))


def test_another_source_is_refused(dispute: Dispute, claimed: Fingerprint) -> None:
    with pytest.raises(VerdictError, match="The source that the seal binds has SHA-256"):
        open_it(dispute, claimed, source_sha256=dispute.copy.digest())


def test_a_source_that_the_fingerprint_does_not_name_is_refused(dispute: Dispute, claimed: Fingerprint) -> None:
    """The seal itself is consistent: the claimant sealed another source than the fingerprint was made of."""
    opening = dataclasses.replace(make_opening(claimed), source=dispute.copy.digest())
    sealed = {"seal": as_json(opening.seal()), "opening": as_json(opening)}
    with pytest.raises(VerdictError, match="The source that the fingerprint names has SHA-256"):
        open_it(dispute, claimed, source_sha256=dispute.copy.digest(), **sealed)


def test_other_pool_members_are_refused(dispute: Dispute, claimed: Fingerprint) -> None:
    opening = make_opening(claimed)
    opening = dataclasses.replace(opening, references=opening.references[:-1])
    with pytest.raises(VerdictError, match="binds other surrogates or references"):
        open_it(dispute, claimed, seal=as_json(opening.seal()), opening=as_json(opening))


def test_a_budget_that_asks_nothing_is_refused_before_anything_is_generated(
    dispute: Dispute, claimed: Fingerprint
) -> None:
    opening = dataclasses.replace(make_opening(claimed), max_queries=3)
    with pytest.raises(VerdictError, match="its query budget leaves nothing to judge by: --max-queries 3"):
        open_it(dispute, claimed, seal=as_json(opening.seal()), opening=as_json(opening))


def test_an_honest_claim_is_consistent_and_invented_images_are_not(dispute: Dispute, claimed: Fingerprint) -> None:
    source = opened(dispute.source)
    found = check_consistency(claimed, source)
    assert found.complete
    assert as_json(found)["examples"] == len(claimed) == 12
    noise = np.random.default_rng(0).integers(0, 256, claimed.images.shape, np.uint8)
    invented = check_consistency(dataclasses.replace(claimed, images=noise), source)
    assert (invented.within_eps, invented.complete) == (0, False)
    moved = dataclasses.replace(claimed, labels=(claimed.labels + 1) % 4)
    assert check_consistency(moved, source).source_label == 0


def test_transferable_examples_are_consistent_too(dispute: Dispute, claimed: Fingerprint) -> None:
    """Which is why consistency decides nothing."""
    foreign = forged(claimed, opened(dispute.source), eps=0.2)
    assert check_consistency(foreign, opened(dispute.source)).complete


@pytest.mark.parametrize("settings", [{}, {"count": 20, "batch": 3, "check_every": 5}], ids=["one batch", "turnover"])
def test_the_record_leads_to_an_honest_claim(dispute: Dispute, settings: dict[str, Any]) -> None:
    claim = dispute.claim(**settings)
    theirs = dispute.claimant
    members = claimed_members(claim, dispute.source, [*theirs.references, *theirs.surrogates])
    assert members.everyone == theirs.everyone
    told: list[tuple[str, int, int]] = []
    replayed = rerun_claim(
        claim,
        open_white_boxes(members, opened=ToyPool()),
        sample_examples(claim, 10, nonce=NONCE),
        progress=lambda *done: told.append(done),
    )
    figures = as_json(replayed)
    assert (figures["examples"], figures["passed"], figures["consistent"]) == (10, 10, True)
    assert figures["largest_conferrability_difference"] < 1e-6
    assert figures["least_pixels_within_one_level"] == 1.0
    assert told[-1][0] == "replaying"
    assert told[-1][1] == told[-1][2]


def test_the_record_does_not_lead_to_foreign_examples(dispute: Dispute, claimed: Fingerprint) -> None:
    foreign = forged(claimed, opened(dispute.source), eps=0.2)
    replayed = as_json(rerun_claim(foreign, dispute.claimant_boxes(), np.arange(len(foreign))))
    assert replayed["passed"] == 0
    assert not replayed["consistent"]
    assert replayed["least_pixels_within_one_level"] < 0.95


def test_the_record_of_another_seed_does_not_lead_there(dispute: Dispute, claimed: Fingerprint) -> None:
    """With other dropout masks the images are others: the seed is part of the record."""
    generation = {**claimed.generation, "settings": as_json(quick_settings(seed=99))}
    other = dataclasses.replace(claimed, generation=generation)
    assert rerun_claim(other, dispute.claimant_boxes(), np.arange(len(other))).passed < len(other)


@pytest.mark.parametrize("change", [{"steps": 0}, {"steps": 21}, {"start_step": -1}])
def test_impossible_records_are_refused(dispute: Dispute, claimed: Fingerprint, change: dict[str, int]) -> None:
    changes: dict[str, Any] = {name: np.full(len(claimed), value, np.int32) for name, value in change.items()}
    broken = dataclasses.replace(claimed, **changes)
    with pytest.raises(VerdictError, match="took 1 to 20 steps each"):
        rerun_claim(broken, dispute.claimant_boxes(), np.arange(2))


def test_a_record_that_names_a_far_step_costs_no_more(dispute: Dispute, claimed: Fingerprint) -> None:
    far = dataclasses.replace(claimed, start_step=np.full(len(claimed), 2**31 - 1, np.int32))
    assert as_json(rerun_claim(far, dispute.claimant_boxes(), np.arange(2)))["examples"] == 2


def test_a_pool_that_lacks_a_member_is_refused(dispute: Dispute, claimed: Fingerprint) -> None:
    with pytest.raises(PoolError, match="lacks 3 of the 6 models"):
        claimed_members(claimed, dispute.source, dispute.claimant.surrogates)
    with pytest.raises(PoolError, match="lacks 0 of the 6 models"):
        claimed_members(claimed, dispute.copy, dispute.claimant.everyone)


def test_the_sample_is_the_nonces(claimed: Fingerprint) -> None:
    drawn = [sample_examples(claimed, 5, nonce=bytes([i])).tolist() for i in (1, 1, 2)]
    assert drawn[0] == drawn[1] != drawn[2]
    assert sample_examples(claimed, 500, nonce=NONCE).tolist() == list(range(12))


def with_settings(claimed: Fingerprint, settings: object) -> Fingerprint:
    return dataclasses.replace(claimed, generation={**claimed.generation, "settings": settings})


def test_the_judge_may_change_the_claims_settings(claimed: Fingerprint) -> None:
    assert as_json(claimed_settings(claimed)) == as_json(quick_settings())
    changed = claimed_settings(claimed, eps=0.3, tau=None, count=7)
    assert (changed.eps, changed.tau, changed.count) == (0.3, 0.5, 7)
    with pytest.raises(OptionError, match="count must be at least 1"):
        claimed_settings(claimed, count=0)


def test_the_form_of_adam_is_a_setting_of_the_claim(claimed: Fingerprint) -> None:
    assert claimed_settings(with_settings(claimed, {"eps": 0.1, "adam": "keras"})).adam == "keras"
    assert claimed_settings(with_settings(claimed, {"eps": 0.1})).adam == "paper"


def test_what_is_no_setting_has_no_effect(claimed: Fingerprint) -> None:
    assert claimed_settings(with_settings(claimed, {"eps": 0.1, "attack": "targeted"})).eps == 0.1


@pytest.mark.parametrize(("objective", "unused"), [
    ("margins", {"w_confer": 3.0, "target": "source"}),
    ("composite", {"cap": 4.0, "w_references": 1.5}),
    ("composite-keras", {"cap": 4.0}),
])  # fmt: skip
def test_options_that_the_claims_objective_does_not_read_have_no_effect(
    claimed: Fingerprint, objective: str, unused: dict[str, Any]
) -> None:
    """Earlier releases took them and kept them in the fingerprint; today's generation refuses them."""
    plain = {**as_json(quick_settings()), "objective": objective}
    assert as_json(claimed_settings(with_settings(claimed, plain | unused))) == plain
    with pytest.raises(OptionError, match="which does not read it"):
        GenerationSettings(**plain | unused)


@pytest.mark.parametrize("settings", [
    None,
    [],
    {},
    {"eps": "0.1"},
    {"eps": -1.0},
    {"eps": float("inf")},
    {"eps": True},
    {"eps": 0.1, "iterations": 1.5},
    {"eps": 0.1, "seed": 1 << 200},
    {"eps": 0.1, "objective": "anything"},
    {"eps": 0.1, "norm": 2},
    {"eps": 1e308, "norm": "l2"},
    {"eps": 0.1, "iterations": 10**15},
    {"eps": 0.1, "count": 10**15},
    {"eps": 0.1, "batch": 10**15},
])  # fmt: skip
def test_the_other_partys_settings_are_not_trusted(claimed: Fingerprint, settings: object) -> None:
    with pytest.raises(VerdictError, match="settings"):
        claimed_settings(with_settings(claimed, settings))


def test_an_edited_file_is_noticed_when_it_is_read(claimed: Fingerprint, tmp_path: Path) -> None:
    path = tmp_path / "claim.safetensors"
    save_fingerprint(claimed, path)
    content = bytearray(path.read_bytes())
    content[content.index(claimed.images.tobytes())] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(FingerprintError, match="the file was edited"):
        load_fingerprint(path)


@pytest.mark.parametrize("name", ["probe_labels", "probe_images", "seeds"])
def test_a_claim_of_which_anything_was_edited_since_it_was_sealed_is_refused(
    dispute: Dispute, claimed: Fingerprint, name: str
) -> None:
    edited = dataclasses.replace(claimed, **{name: getattr(claimed, name)[::-1].copy()})
    assert edited.id == claimed.id
    opening = make_opening(claimed)
    with pytest.raises(VerdictError, match="are not those that were sealed"):
        open_it(dispute, edited, seal=as_json(opening.seal()), opening=as_json(opening))


def test_an_opening_of_the_first_format_still_opens(dispute: Dispute, claimed: Fingerprint) -> None:
    """It binds less: neither the probes, nor the source's files and its contract."""
    first = dataclasses.replace(make_opening(claimed), format=1)
    assert not {"fingerprint_sha256", "source_files", "source_contract"} & set(as_json(first))
    open_it(dispute, claimed, seal=as_json(first.seal()), opening=as_json(first))
    more = {**as_json(first), "source_contract": ""}
    with pytest.raises(VerdictError, match="'source_contract' is unknown"):
        open_it(dispute, claimed, seal={**as_json(first.seal()), "commitment": digest_of(more)}, opening=more)


def test_a_source_that_is_asked_otherwise_than_it_was_sealed_is_refused(dispute: Dispute, claimed: Fingerprint) -> None:
    contract = Contract(layout="NHWC", range=(0.0, 1.0), output="logits")
    told = dataclasses.replace(claimed, origin={"contract_sha256": contract.digest})
    opening = make_opening(told)
    claim = open_claim(
        told, seal=as_json(opening.seal()), opening=as_json(opening), source_sha256=dispute.source.digest()
    )

    class Asked:
        def __init__(self, contract: Contract) -> None:
            self.contract = contract

        def predict(self, images: Images) -> Predictions:
            raise NotImplementedError

    check_source_contract(claim, Asked(contract), origin="s.onnx")
    with pytest.raises(VerdictError, match=r"s\.onnx: the seal binds a source that is asked by the contract"):
        check_source_contract(claim, Asked(contract.replace(range=(0.0, 255.0))), origin="s.onnx")


def test_kinds_of_examples_are_held_to_what_they_say(dispute: Dispute, claimed: Fingerprint) -> None:
    """A source that is right about every seed does not err on those that are said to be errors."""
    source = opened(dispute.source)
    for code, seeds_right in ((0, 12), (1, 0), (3, 12)):
        kinds = np.full(len(claimed), code, np.uint8)
        found = check_consistency(dataclasses.replace(claimed, example_kind=kinds), source)
        assert found.seeds_right == seeds_right, code


def test_what_was_not_searched_is_not_searched_again(claimed: Fingerprint) -> None:
    kinds = np.where(np.arange(len(claimed)) % 2, 2, 1).astype(np.uint8)
    drawn = sample_examples(dataclasses.replace(claimed, example_kind=kinds), 100, nonce=NONCE)
    assert drawn.tolist() == list(range(0, len(claimed), 2))
