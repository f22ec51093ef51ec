"""Which seeds of a fingerprint a pool's member saw: by what its manifest says of its training images."""

import dataclasses
import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core.errors import OptionError, PoolError
from cae_core.fingerprint.file import Fingerprint
from cae_core.pool.exposure import exposure_of
from cae_core.pool.manifest import PoolMember, read_pool
from cae_core.pool.support import supported
from cae_core.pool.trained_on import Part, TrainedOn, parse_trained_on, trained_share
from cae_core.statistics.exposure import Exposure, ExposureRule
from tests.core.toys import toy_fingerprint

TRAIN, TEST, OTHER = "a" * 64, "b" * 64, "c" * 64


def of(seeds: list[int], **data: object) -> Fingerprint:
    """Return a fingerprint whose seeds stand at these places of a data set."""
    made = toy_fingerprint(n=len(seeds))
    generation = {**made.generation, "data": {"name": "toys", "sha256": TRAIN, **data}}
    return dataclasses.replace(made, generation=generation, seed_index=np.array(seeds))


def member(trained_on: TrainedOn | None = None, **fields: Any) -> PoolMember:  # noqa: ANN401 - of several types
    return PoolMember(path=Path("m.onnx"), role="calibrate", relation="reference", trained_on=trained_on, **fields)


def exposed(fingerprint: Fingerprint, **trained_on: Any) -> str:  # noqa: ANN401 - of several types
    return exposure_of(member(TrainedOn(**trained_on)), fingerprint).value


PARTS = [{"split": "train", "count": 100, "sha256": TRAIN}, {"split": "test", "count": 50, "sha256": TEST}]


def test_all_images_of_a_data_set_or_none() -> None:
    assert exposed(of([3, 4]), data=TRAIN) == "all"
    assert exposed(of([3, 4]), data=OTHER) == ""
    assert exposed(of([3, 4]), data=OTHER, apart_from=(TRAIN,)) == "none"
    assert exposed(of([3, 4], sha256=TEST), data=TRAIN, apart_from=(TEST,)) == "none"


def test_a_share_is_the_one_that_the_training_draws() -> None:
    drawn = trained_share(100, 0.5, seed=7)
    left = np.setdiff1d(np.arange(100), drawn)
    assert len(drawn) == 50
    np.testing.assert_array_equal(drawn, np.random.default_rng(7).permutation(100)[:50])
    share = {"data": TRAIN, "count": 100, "share": 0.5, "seed": 7}
    assert exposed(of(drawn[:5].tolist()), **share) == "all"
    assert exposed(of(left[:5].tolist()), **share) == "none"
    assert exposed(of([drawn[0], left[0]]), **share) == "partly"


def test_a_part_and_its_rest_share_no_image() -> None:
    part, rest = Part(share=0.3, seed=2), Part(share=0.3, seed=2, rest=True)
    own, other = part.places(100), rest.places(100)
    assert (len(own), len(other)) == (30, 70)
    assert sorted([*own, *other]) == list(range(100))
    given = {"data": TRAIN, "count": 100}
    assert exposed(of(own[:5].tolist()), **given, part=part) == "all"
    assert exposed(of(own[:5].tolist()), **given, part=rest) == "none"
    drawn = other[trained_share(70, 0.5, seed=4)]  # a share of what the part gives
    assert exposed(of(drawn[:5].tolist()), **given, part=rest, share=0.5, seed=4) == "all"
    left = np.setdiff1d(other, drawn)
    assert exposed(of(left[:5].tolist()), **given, part=rest, share=0.5, seed=4) == "none"


def test_data_of_two_splits_are_told_apart() -> None:
    """Places run on from the training images to the test images."""
    whole = {"sha256": OTHER, "split": "all", "parts": PARTS}
    share = {"data": TRAIN, "count": 100, "share": 0.2, "seed": 1}
    drawn = trained_share(100, 0.2, 1)
    assert exposed(of([5, 99], **whole), data=TRAIN) == "all"
    assert exposed(of([5, 100], **whole), data=TRAIN) == "partly"  # of the test images nothing is said
    assert exposed(of([101, 100], **whole), data=TRAIN) == ""
    assert exposed(of([100, 149], **whole), data=TRAIN, apart_from=(TEST,)) == "none"
    assert exposed(of([5, 100], **whole), data=TRAIN, apart_from=(TEST,)) == "partly"
    assert exposed(of([drawn[0], 120], **whole), **share, apart_from=(TEST,)) == "partly"
    assert exposed(of([100, 149], **whole), **share, apart_from=(TEST,)) == "none"
    assert exposed(of([5, 150], **whole), data=TRAIN, apart_from=(TEST,)) == "partly"  # beyond all parts: unknown


def test_a_data_set_by_its_name_and_split() -> None:
    train = of([1, 2], split="train")
    assert exposed(train, data="toys") == "all"
    assert exposed(train, data="toys", split="test") == "none"
    assert exposed(of([1, 2]), data="toys") == "none"  # what names no split is of test images
    assert exposed(train, data="others") == ""
    assert exposed(of([1, 120], split="all", parts=PARTS), data="toys") == "partly"


def test_both_splits_are_all_images() -> None:
    whole = of([1, 120], split="all", parts=PARTS)
    both = parse_trained_on({"data": "toys", "split": "both"}, Path())
    assert exposure_of(member(both), whole) == Exposure.ALL


def test_an_npz_file_has_no_splits() -> None:
    """It is given whole, whichever split is asked: no split of it says that a model saw none of its images."""
    assert exposed(of([1, 2], name="own.npz"), data="own.npz") == "all"
    assert exposed(of([1, 2], name="own.npz", split="test"), data="own.npz", split="train") == "all"
    assert exposed(of([1, 2], name="own.npz"), data="other.npz") == ""


def test_fingerprints_of_before_know_no_places() -> None:
    before = dataclasses.replace(of([1, 2]), seed_index=None)
    assert exposed(before, data=TRAIN) == "all"
    assert exposed(before, data=TRAIN, count=100, share=0.5) == ""
    assert exposed(before, data=OTHER, apart_from=(TRAIN,)) == "none"


def test_a_file_of_indices(tmp_path: Path) -> None:
    np.save(tmp_path / "own.npy", np.array([2, 3, 5]))
    indices = {"data": TRAIN, "indices": tmp_path / "own.npy"}
    assert [exposed(of(seeds), **indices) for seeds in ([2, 5], [2, 4], [1, 4])] == ["all", "partly", "none"]


def _npy(array: np.ndarray[Any, Any]) -> bytes:
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


@pytest.mark.parametrize(
    "content",
    [b"", b"not an array", _npy(np.zeros((2, 2), int)), _npy(np.array([0.5])), _npy(np.array([-1])), _npy(np.array(3))],
)
def test_indices_that_are_none_are_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "own.npy").write_bytes(content)
    with pytest.raises(PoolError, match=r"m\.onnx: .*own\.npy: the indices of trained_on are refused"):
        exposed(of([1]), data=TRAIN, indices=tmp_path / "own.npy")
    with pytest.raises(PoolError, match=r"none\.npy: they cannot be read"):
        exposed(of([1]), data=TRAIN, indices=tmp_path / "none.npy")


def test_what_is_declared_counts_where_the_images_do_not_tell() -> None:
    fingerprint = of([1, 2])
    assert exposure_of(member(exposure="none"), fingerprint) == Exposure.NONE
    assert exposure_of(member(TrainedOn(data=OTHER), exposure="none"), fingerprint) == Exposure.NONE
    assert exposure_of(member(), fingerprint) == Exposure.UNKNOWN
    with pytest.raises(PoolError, match=r'exposure = "none".*trained on all of the fingerprint.s images'):
        exposure_of(member(TrainedOn(data=TRAIN), exposure="none"), fingerprint)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("x", "trained_on must be a table"),
        ([], "trained_on must be a table"),
        ({}, "data must be a text; found None"),
        ({"data": ""}, "data names no data set"),
        ({"data": "toys", "split": "training"}, "split must be one of train, test, all, both; found 'training'"),
        ({"data": 3}, "data must be a text"),
        ({"data": "x", "more": 1}, "unknown field 'more'"),
        ({"data": "x", "share": 0}, "share lies in"),
        ({"data": "x", "share": 1.5}, "share lies in"),
        ({"data": "x", "share": True}, "share must be"),
        ({"data": "x", "share": float("nan")}, "share must be"),
        ({"data": "x", "share": 0.5}, "give count beside share"),
        ({"data": "x", "share": 0.5, "count": 2**40}, "count in"),
        ({"data": "x", "share": 0.5, "count": 9, "seed": -1}, "seed is not negative"),
        ({"data": "x", "all": True, "share": 0.5, "count": 9}, "all = true leaves no share"),
        ({"data": "x", "all": True, "indices": "a.npy"}, "all = true leaves no share"),
        ({"data": "x", "part": {"share": 0.5}}, "give count beside share"),
        ({"data": "x", "part": {"share": 1.0}, "count": 9}, "part has a share, a seed"),
        ({"data": "x", "part": {"seed": 1}, "count": 9}, "part has a share, a seed"),
        ({"data": "x", "part": {"share": 0.5, "rest": 1}, "count": 9}, "part has a share, a seed"),
        ({"data": "x", "part": 3, "count": 9}, "part has a share, a seed"),
        ({"data": "x", "part": {"share": 0.5}, "count": 9, "indices": "a.npy"}, "leave share and part out"),
        ({"data": "x", "apart_from": [1]}, "apart_from must be a list"),
        ({"data": "x", "apart_from": "y"}, "apart_from must be a list"),
    ],
)
def test_a_table_that_is_wrong(table: object, message: str) -> None:
    with pytest.raises(OptionError, match=message):
        parse_trained_on(table, Path())


def test_a_manifest_says_it(tmp_path: Path) -> None:
    row = '[[model]]\npath = "m.onnx"\nrole = "calibrate"\nrelation = "reference"\n'
    manifest = tmp_path / "pool.toml"
    manifest.write_text(f'{row}recipe = "quick"\ntrained_on = {{ data = "x", indices = "own.npy" }}\n')
    found = read_pool(manifest).members[0]
    assert (found.recipe, found.trained_on) == ("quick", TrainedOn(data="x", indices=tmp_path / "own.npy"))
    for wrong, message in (
        ('exposure = "some"', "exposure cannot be"),
        ("trained_on = 1", "trained_on must be a table"),
    ):
        manifest.write_text(f"{row}{wrong}\n")
        with pytest.raises(PoolError, match=f"m.onnx: {message}"):
            read_pool(manifest)


def test_what_references_support() -> None:
    fingerprint = of([1, 2])
    seen, unseen = TrainedOn(data=TRAIN), TrainedOn(data=OTHER, apart_from=(TRAIN,))
    members = [
        *(member(seen, architecture="mlp", recipe=recipe) for recipe in ("a", "b", "a")),
        *(member(unseen, architecture=architecture) for architecture in ("mlp", "cnn")),
        member(),
        PoolMember(path=Path("s.onnx"), role="calibrate", relation="surrogate", trained_on=seen),
    ]
    groups = {group.exposure: group for group in supported(members, fingerprint)}
    assert {kind: (x.models, x.recipes, x.architectures, x.unknown) for kind, x in groups.items()} == {
        Exposure.ALL: (3, 2, 1, 0),
        Exposure.NONE: (2, 1, 2, 0),
        Exposure.PARTLY: (1, 1, 1, 1),
    }
    assert groups[Exposure.ALL].least_rate == 1 / 4
    assert groups[Exposure.ALL].least_rate_recipes == 1 / 3


def test_which_groups_count() -> None:
    exposures = [Exposure.NONE, Exposure.UNKNOWN, Exposure.ALL, Exposure.PARTLY, Exposure.NONE]
    largest = {Exposure.ALL: [2], Exposure.PARTLY: [1, 3], Exposure.NONE: [0, 4]}
    assert ExposureRule.LARGEST.groups(exposures) == largest
    assert list(ExposureRule.LARGEST.groups(exposures)) == list(largest)
    assert ExposureRule.NONE.groups(exposures) == {Exposure.NONE: [0, 4]}
    assert ExposureRule.ALL.groups([Exposure.NONE]) == {}
    assert ExposureRule.ONE_GROUP.groups(exposures) == {Exposure.UNKNOWN: [0, 1, 2, 3, 4]}
    with pytest.raises(OptionError, match="exposure must be one of largest, all, partly, none; found 'some'"):
        ExposureRule.named("some")
