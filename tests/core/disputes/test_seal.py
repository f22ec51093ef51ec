"""A sealed claim opens with its own opening and with nothing else."""

import json
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import Any

import pytest

from cae_core.disputes.seal import OPENING_FORMAT, SEAL_FORMAT, Opening, Seal, make_opening, parse_opening, parse_seal
from cae_core.disputes.sealing import opening_of, seal_file
from cae_core.errors import OptionError, VerdictError
from cae_core.files.records import readable_json
from cae_core.fingerprint.file import Fingerprint, save_fingerprint
from cae_core.generation.generate import GenerationResult
from tests.core.toys import toy_fingerprint


@pytest.fixture
def claimed(generated: GenerationResult) -> Fingerprint:
    return generated.fingerprint


@pytest.fixture
def opening(claimed: Fingerprint) -> Opening:
    return make_opening(claimed, fpr=0.01, max_queries=80, claimant="Example Ltd", salt=bytes(32))


def written(value: Opening | Seal) -> dict[str, Any]:
    """Return what a file of it holds."""
    parsed: dict[str, Any] = json.loads(readable_json(value))
    return parsed


def test_the_opening_binds_fingerprint_models_and_terms(claimed: Fingerprint, opening: Opening) -> None:
    assert opening.fingerprint_id == claimed.id
    assert (opening.source, opening.surrogates, opening.references) == ("00", ("01", "02"), ("03", "04"))
    assert (opening.score, opening.fpr, opening.max_queries, opening.claimant) == ("caeacc", 0.01, 80, "Example Ltd")


def test_an_opening_opens_its_seal_after_a_round_trip(opening: Opening) -> None:
    seal = parse_seal(written(opening.seal()), "seal.json")
    assert parse_opening(written(opening), seal, "opening.json") == opening


def test_the_seal_shows_nothing(opening: Opening) -> None:
    assert set(written(opening.seal())) == {"format", "hash", "commitment"}
    assert opening.fingerprint_id not in json.dumps(written(opening.seal()))


def test_the_salt_makes_equal_claims_look_different(claimed: Fingerprint) -> None:
    first, second = make_opening(claimed), make_opening(claimed)
    assert len(bytes.fromhex(first.salt)) == 32
    assert first.seal() != second.seal()


CHANGES: list[tuple[str, Any]] = [
    ("fingerprint_id", "0" * 64),
    ("source", "05"),
    ("fingerprint_sha256", "00" * 32),
    ("source_files", ["00  other.onnx"]),
    ("source_contract", "00" * 32),
    ("surrogates", ["01"]),
    ("references", ["04", "03"]),
    ("score", "llr"),
    ("fpr", 0.05),
    ("max_queries", None),
    ("tool", "another"),
    ("claimant", "Somebody Else"),
    ("salt", "11" * 32),
]


@pytest.mark.parametrize(("field", "value"), CHANGES)
def test_nothing_can_be_changed_afterwards(opening: Opening, field: str, value: Any) -> None:  # noqa: ANN401 - any type
    with pytest.raises(VerdictError, match="does not open the seal"):
        parse_opening({**written(opening), field: value}, opening.seal(), "opening.json")


def test_every_field_is_among_those_changes(opening: Opening) -> None:
    assert {field for field, _ in CHANGES} == set(written(opening)) - {"format"}


@pytest.mark.parametrize("version", [0, OPENING_FORMAT + 1, None, "1", True])
def test_another_format_is_refused_with_both_versions(opening: Opening, version: object) -> None:
    expected = rf"format version {version!r} and this release reads"
    with pytest.raises(VerdictError, match=f"this seal has {expected} {SEAL_FORMAT}\\."):
        parse_seal({**written(opening.seal()), "format": version}, "seal.json")
    with pytest.raises(VerdictError, match=f"this opening has {expected} 1 and {OPENING_FORMAT}\\."):
        parse_opening({**written(opening), "format": version}, opening.seal(), "opening.json")


@pytest.mark.parametrize("commitment", ["", "xyz", 3, None, "AB" * 32])
def test_a_seal_without_a_commitment_is_refused(opening: Opening, commitment: object) -> None:
    with pytest.raises(VerdictError, match=r"seal\.json: this is no seal"):
        parse_seal({**written(opening.seal()), "commitment": commitment}, "seal.json")


@pytest.mark.parametrize(("change", "said"), [
    ({"surrogates": "01"}, "malformed"),
    ({"fpr": float("nan")}, "malformed"),
    ({"fpr": 1.5}, "malformed"),
    ({"fpr": "0.05"}, "malformed"),
    ({"score": "accuracy"}, "malformed"),
    ({"score": ["caeacc"]}, "malformed"),
    ({"max_queries": True}, "malformed"),
    ({"claimant": 7}, "malformed"),
    ({"more": 1}, "'more' is unknown"),
])  # fmt: skip
def test_malformed_openings_are_one_sentence(opening: Opening, change: dict[str, Any], said: str) -> None:
    with pytest.raises(VerdictError, match=said):
        parse_opening({**written(opening), **change}, opening.seal(), "opening.json")


def test_a_missing_field_is_named(opening: Opening) -> None:
    record = written(opening)
    del record["salt"]
    with pytest.raises(VerdictError, match="'salt' is missing"):
        parse_opening(record, opening.seal(), "opening.json")


def test_a_rate_or_budget_that_no_verification_can_meet_is_refused(claimed: Fingerprint) -> None:
    with pytest.raises(OptionError, match="between 0 and 1"):
        make_opening(claimed, fpr=1.0)
    with pytest.raises(OptionError, match="a verification takes at least"):
        make_opening(claimed, max_queries=5)
    with pytest.raises(OptionError, match="score must be one of"):
        make_opening(claimed, score="accuracy")


def test_a_fingerprint_that_does_not_name_its_models_cannot_be_sealed() -> None:
    with pytest.raises(VerdictError, match="does not say which files its source and pools are"):
        make_opening(toy_fingerprint())


def test_the_opening_is_a_secret_and_is_never_overwritten(claimed: Fingerprint, tmp_path: Path) -> None:
    file, output = tmp_path / "f.safetensors", tmp_path / "seal.json"
    save_fingerprint(claimed, file)
    sealed = seal_file(file, output, claimant="Example Ltd")
    assert stat.S_IMODE(sealed.opening_path.stat().st_mode) == 0o600
    assert sealed.opening_path == opening_of(output) == tmp_path / "seal.opening.json"
    assert parse_seal(json.loads(output.read_bytes()), "seal.json") == sealed.opening.seal()
    before = sealed.opening_path.read_bytes()
    with pytest.raises(VerdictError, match=r"seal\.json: there is a seal already"):
        seal_file(file, output, claimant="Example Ltd")
    output.rename(tmp_path / "published")  # a seal may lie elsewhere
    with pytest.raises(VerdictError, match=r"seal\.opening\.json: there is the opening of another claim"):
        seal_file(file, output, claimant="Another Ltd")
    assert sealed.opening_path.read_bytes() == before


def test_a_seal_that_was_killed_between_its_files_is_completed(claimed: Fingerprint, tmp_path: Path) -> None:
    file, output = tmp_path / "f.safetensors", tmp_path / "seal.json"
    save_fingerprint(claimed, file)
    sealed = seal_file(file, output, claimant="Example Ltd")
    whole = output.read_bytes()
    output.unlink()
    again = seal_file(file, output, claimant="Example Ltd")
    assert output.read_bytes() == whole
    assert again.opening == sealed.opening


def test_what_attests_is_complete_before_there_is_a_seal(claimed: Fingerprint, tmp_path: Path) -> None:
    file, output = tmp_path / "f.safetensors", tmp_path / "seal.json"
    save_fingerprint(claimed, file)

    def fail(_seal: Path) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        seal_file(file, output, attest=fail)
    assert {path.name for path in tmp_path.iterdir()} == {"f.safetensors", "seal.opening.json"}
    seen: list[bytes] = []
    seal_file(file, output, attest=lambda seal: seen.append(seal.read_bytes()))
    assert seen == [output.read_bytes()]


def test_of_many_that_seal_at_once_one_does(claimed: Fingerprint, tmp_path: Path) -> None:
    file, output = tmp_path / "f.safetensors", tmp_path / "seal.json"
    save_fingerprint(claimed, file)
    start = Barrier(6)

    def seal(claimant: int) -> bool:
        start.wait()
        try:
            seal_file(file, output, claimant=f"claimant {claimant % 2}")
        except VerdictError:
            return False
        return True

    with ThreadPoolExecutor(6) as threads:
        assert sum(threads.map(seal, range(6))) == 1
    seal_read = parse_seal(json.loads(output.read_bytes()), "seal.json")
    assert parse_opening(json.loads(opening_of(output).read_bytes()), seal_read, "opening").seal() == seal_read
    assert {path.name for path in tmp_path.iterdir()} == {"f.safetensors", "seal.json", "seal.opening.json"}


def test_without_a_calibration_the_literature_like_rate_is_sealed(claimed: Fingerprint, tmp_path: Path) -> None:
    save_fingerprint(claimed, tmp_path / "f.safetensors")
    assert seal_file(tmp_path / "f.safetensors", tmp_path / "a.json").opening.fpr == 0.05
    assert seal_file(tmp_path / "f.safetensors", tmp_path / "b.json", fpr=0.2).opening.fpr == 0.2
