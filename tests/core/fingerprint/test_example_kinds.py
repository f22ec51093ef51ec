"""Kinds of examples in the file: they come back, the id covers them, and contradictions are refused."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from cae_core.errors import FingerprintError
from cae_core.files.tensor_file import read_tensors
from cae_core.fingerprint.example_kinds import BLEND, EXAMPLE_KINDS, NATURAL_ERROR, PERTURBED_ERROR
from cae_core.fingerprint.file import Fingerprint, load_fingerprint, save_fingerprint
from tests.core.toys import toy_fingerprint

KIND = np.repeat(np.arange(4, dtype=np.uint8), 5)


def with_kinds(kind: NDArray[Any] = KIND, **changes: Any) -> Fingerprint:  # noqa: ANN401 - of different types
    """Return a fingerprint whose examples are what ``kind`` says, each with its seed's place."""
    plain = toy_fingerprint()
    unsearched = np.isin(kind, (NATURAL_ERROR.code, BLEND.code))
    images = np.where((kind == NATURAL_ERROR.code)[:, None, None, None], plain.seeds, plain.images)
    steps = np.where(unsearched, 0, plain.steps).astype(np.int32)
    told = {"images": images, "steps": steps, "example_kind": kind, "seed_index": np.arange(20) * 3, **changes}
    return dataclasses.replace(plain, **told)


def saved(fingerprint: Fingerprint, path: Path) -> Path:
    save_fingerprint(fingerprint, path)
    return path


def test_each_kind_stands_at_the_place_of_its_code() -> None:
    assert [kind.code for kind in EXAMPLE_KINDS] == [0, 1, 2, 3]
    assert len({kind.name for kind in EXAMPLE_KINDS}) == 4


def test_kinds_and_places_come_back(tmp_path: Path) -> None:
    loaded = load_fingerprint(saved(with_kinds(), tmp_path / "f"))
    assert loaded.example_kinds.tolist() == KIND.tolist()
    assert loaded.example_kinds.dtype == np.int64
    assert loaded.seed_index is not None
    assert loaded.seed_index.tolist() == (np.arange(20) * 3).tolist()


def test_the_id_covers_kinds_where_there_are_any(tmp_path: Path) -> None:
    """And a file whose examples are all perturbed ones has the id that it had before there were kinds."""
    other = np.where(BLEND.code == KIND, 1, KIND).astype(np.uint8)
    same_images = [with_kinds(kind, images=with_kinds().images, steps=with_kinds().steps) for kind in (KIND, other)]
    assert same_images[0].id != same_images[1].id
    plain, zeros = toy_fingerprint(), dataclasses.replace(toy_fingerprint(), example_kind=np.zeros(20, np.uint8))
    assert plain.id == zeros.id
    assert saved(plain, tmp_path / "a").read_bytes() == saved(zeros, tmp_path / "b").read_bytes()
    assert not {"example_kind", "seed_index"} & read_tensors(tmp_path / "a")[1].keys()
    assert load_fingerprint(tmp_path / "a").example_kinds.tolist() == [0] * 20
    assert load_fingerprint(tmp_path / "a").seed_index is None


def test_places_are_no_part_of_the_id_but_of_the_content() -> None:
    one, other = with_kinds(), with_kinds(seed_index=np.arange(20))
    assert one.id == other.id
    assert one.content_sha256 != other.content_sha256


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"example_kind": KIND + np.uint8(1)}, r"knows examples of the kinds 0 to 3; found 4\. Use the release"),
        ({"images": toy_fingerprint().images}, "said to be an unchanged image is not its seed"),
        ({"steps": np.ones(20, np.int32)}, "said to be no result of a search took steps"),
        ({"seed_index": np.arange(20) - 1}, "seed_index must be at least 0; found -1"),
        ({"seed_index": np.arange(19)}, r"'seed_index' should be int64 \(20\)"),
        ({"example_kind": KIND.astype(np.int64)}, r"'example_kind' should be uint8 \(20\)"),
    ],
)
def test_contradictions_are_refused(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    path = saved(dataclasses.replace(with_kinds(), **changes), tmp_path / "f")
    with pytest.raises(FingerprintError, match=message):
        load_fingerprint(path)


def test_a_perturbed_error_may_have_steps(tmp_path: Path) -> None:
    kind = np.full(20, PERTURBED_ERROR.code, np.uint8)
    assert load_fingerprint(saved(with_kinds(kind), tmp_path / "f")).steps.any()
