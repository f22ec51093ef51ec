"""Whole generations of toy models: what comes out, the same bytes every time, and resuming."""

import dataclasses
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core.dataset import ImageSet
from cae_core.errors import DataError, GenerationError
from cae_core.files.records import as_json
from cae_core.files.tensor_file import pack_tensors
from cae_core.fingerprint.file import Fingerprint, save_fingerprint
from cae_core.generation.generate import GenerationResult, generate
from cae_core.generation.run_state import RunState
from cae_core.generation.search import Search
from cae_core.generation.settings import GenerationSettings
from cae_core.method.conferrability import conferrability
from tests.core.toys import PROVENANCE, ConstantModel, LinearModel, World, make_world, quick_settings


def content(fingerprint: Fingerprint, folder: Path) -> bytes:
    """Return the bytes of the saved file."""
    path = folder / "content.safetensors"
    save_fingerprint(fingerprint, path)
    return path.read_bytes()


def run(
    world: World, settings: GenerationSettings, *, checkpoint: Path | None = None, replace: bool = False
) -> GenerationResult:
    return generate(
        world.white_boxes, world.data, settings, provenance=PROVENANCE, checkpoint=checkpoint, replace=replace
    )


class Interruption:
    """A progress callback that presses Ctrl-C at its n-th call of one stage, and remembers the stages."""

    def __init__(self, stage: str, at: int, error: type[BaseException] = KeyboardInterrupt) -> None:
        self.stage, self.left, self.error = stage, at, error
        self.stages: list[str] = []

    def __call__(self, stage: str, _done: int, _total: int, /) -> None:
        self.stages.append(stage)
        self.left -= stage == self.stage
        if stage == self.stage and self.left == 0:
            raise self.error


VARIANTS = [
    {},
    {"objective": "composite", "check_every": 5},
    {"objective": "composite-keras", "ranking": "random"},
    {"norm": "l2", "eps": 0.6},
]


@pytest.mark.parametrize("changes", VARIANTS, ids=str)
@pytest.mark.parametrize("classes", [3, 37])
def test_every_example_is_what_it_claims_to_be(classes: int, changes: dict[str, object]) -> None:
    """With any number of classes: an earlier implementation had 100 in its code."""
    world, settings = make_world(classes, images=300 if classes < 10 else 600), quick_settings(**changes)
    result = run(world, settings)
    found, white_boxes = result.fingerprint, world.white_boxes
    assert result.complete
    assert len(found) == 12
    assert result.seeds_tried >= 12
    assert (settings.ball()).contains(found.images, found.seeds).all()
    assert (found.labels != found.ground_truth).all()
    np.testing.assert_array_equal(white_boxes.source.predict(found.images).labels, found.labels)
    np.testing.assert_array_equal(white_boxes.source.predict(found.seeds).labels, found.ground_truth)
    everyone = [m for m in white_boxes.models if isinstance(m, LinearModel)]
    surrogates, references = (
        np.stack([m.logits(found.images) for m in part]) for part in (everyone[1:3], everyone[3:])
    )
    confer = conferrability(surrogates, references)[np.arange(12), found.labels]
    np.testing.assert_allclose(found.conferrability, confer, rtol=1e-4)
    assert confer.min() >= settings.tau - 1e-5
    margins = np.sort(everyone[0].logits(found.images), axis=1)
    assert (margins[:, -1] - margins[:, -2]).min() >= 0.1 - 1e-4
    assert len(found.class_names) == classes
    assert np.unique(found.seeds.reshape(12, -1), axis=0).shape[0] == 12


def test_probes_are_benign_images_that_are_no_seeds(world: World, generated: GenerationResult) -> None:
    found = generated.fingerprint
    assert found.probe_images.shape == (200, *world.data.images.shape[1:])
    where = {image.tobytes(): int(label) for image, label in zip(world.data.images, world.data.labels, strict=True)}
    assert [where[image.tobytes()] for image in found.probe_images] == found.probe_labels.tolist()
    assert not {image.tobytes() for image in found.probe_images} & {image.tobytes() for image in found.seeds}


def test_the_metadata_tell_settings_data_and_models(world: World, generated: GenerationResult) -> None:
    told = generated.fingerprint.generation
    assert told["settings"] == as_json(quick_settings())
    assert told["data"] == {"name": "toy", "sha256": world.data.sha256()}
    assert told["surrogates"] == PROVENANCE["surrogates"]
    assert told["source"]["sha256"] == "00"
    assert generated.fingerprint.source_accuracy == told["source"]["accuracy"]
    assert generated.fingerprint.source_accuracy > 0.9


def test_the_same_seed_gives_the_same_bytes(world: World, generated: GenerationResult, tmp_path: Path) -> None:
    again = run(world, quick_settings())
    assert content(again.fingerprint, tmp_path) == content(generated.fingerprint, tmp_path)


def test_another_seed_gives_another_fingerprint(world: World, generated: GenerationResult) -> None:
    other = run(world, quick_settings(seed=4))
    assert other.fingerprint.id != generated.fingerprint.id
    assert not np.array_equal(other.fingerprint.images, generated.fingerprint.images)


@pytest.mark.parametrize("at", [1, 2, 7, 20, 21, 39, 40])
def test_an_interrupted_run_that_goes_on_gives_the_same_bytes(
    world: World, generated: GenerationResult, tmp_path: Path, at: int
) -> None:
    checkpoint, stop = tmp_path / "state", Interruption("searching", at)
    with pytest.raises(KeyboardInterrupt):
        generate(
            world.white_boxes, world.data, quick_settings(), provenance=PROVENANCE, checkpoint=checkpoint, progress=stop
        )
    assert checkpoint.stat().st_mode & 0o777 == 0o600
    rest = Interruption("never", 1)
    result = generate(
        world.white_boxes, world.data, quick_settings(), provenance=PROVENANCE, checkpoint=checkpoint, progress=rest
    )
    assert "ranking seeds" not in rest.stages
    assert rest.stages.count("searching") == generated.steps - at
    assert content(result.fingerprint, tmp_path) == content(generated.fingerprint, tmp_path)
    assert (result.steps, result.seeds_tried) == (generated.steps, generated.seeds_tried)


def test_a_run_interrupted_again_and_again_gives_the_same_bytes(
    world: World, generated: GenerationResult, tmp_path: Path
) -> None:
    checkpoint = tmp_path / "state"
    for _ in range(9):
        with pytest.raises(KeyboardInterrupt):
            generate(
                world.white_boxes, world.data, quick_settings(), provenance=PROVENANCE, checkpoint=checkpoint,
                progress=Interruption("searching", 4),
            )  # fmt: skip
    result = run(world, quick_settings(), checkpoint=checkpoint)
    assert content(result.fingerprint, tmp_path) == content(generated.fingerprint, tmp_path)


def test_an_interruption_inside_a_step_loses_nothing(
    world: World, generated: GenerationResult, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the step and the turnover, the sixth time."""
    turn_over = Search.turn_over

    def stop(search: Search, state: RunState, *, seen: Callable[[Any], None]) -> RunState:
        if state.step == 6:
            raise KeyboardInterrupt
        return turn_over(search, state, seen=seen)

    checkpoint = tmp_path / "state"
    with monkeypatch.context() as patch:
        patch.setattr(Search, "turn_over", stop)
        with pytest.raises(KeyboardInterrupt):
            generate(world.white_boxes, world.data, quick_settings(), provenance=PROVENANCE, checkpoint=checkpoint)
    result = run(world, quick_settings(), checkpoint=checkpoint)
    assert content(result.fingerprint, tmp_path) == content(generated.fingerprint, tmp_path)


def test_a_run_killed_after_its_first_step_has_its_ranking_saved(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also soon after the machine has started, when the monotonic clock is still near zero."""
    monkeypatch.setattr(time, "monotonic", lambda: 1.0)
    checkpoint, dead = tmp_path / "state", Interruption("searching", 2, MemoryError)
    with pytest.raises(MemoryError):
        generate(
            world.white_boxes, world.data, quick_settings(), provenance=PROVENANCE, checkpoint=checkpoint, progress=dead
        )
    rest = Interruption("never", 1)
    generate(
        world.white_boxes, world.data, quick_settings(), provenance=PROVENANCE, checkpoint=checkpoint, progress=rest
    )
    assert "ranking seeds" not in rest.stages


@pytest.fixture
def interrupted(world: World, tmp_path: Path) -> Path:
    """The state of a run that was interrupted."""
    checkpoint = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        generate(
            world.white_boxes, world.data, quick_settings(), provenance=PROVENANCE, checkpoint=checkpoint,
            progress=Interruption("searching", 7),
        )  # fmt: skip
    return checkpoint


def test_the_state_of_a_run_is_given_up_for_another_one_only_where_that_is_said(
    world: World, interrupted: Path, tmp_path: Path
) -> None:
    other, before = quick_settings(seed=9, eps=0.15), interrupted.read_bytes()
    with pytest.raises(GenerationError, match=r"(?s)state: the state of an interrupted run with other.*--replace"):
        run(world, other, checkpoint=interrupted)
    assert interrupted.read_bytes() == before
    replaced, undisturbed = run(world, other, checkpoint=interrupted, replace=True), run(world, other)
    assert content(replaced.fingerprint, tmp_path) == content(undisturbed.fingerprint, tmp_path)
    assert (replaced.resumed_with, undisturbed.resumed_with) == (None, None)


class Words:
    """Is told how far a generation is, and keeps the sentences."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        pass

    def detail(self, stage: str, words: str, /) -> None:
        pass

    def say(self, words: str, /) -> None:
        self.said.append(words)


def test_a_resumed_run_says_so(world: World, interrupted: Path) -> None:
    told = Words()
    result = generate(
        world.white_boxes, world.data, quick_settings(), provenance=PROVENANCE, checkpoint=interrupted,
        replace=True, progress=told,
    )  # fmt: skip
    assert result.resumed_with is not None
    (sentence,) = told.said
    assert f"an interrupted run goes on: {result.resumed_with} of {quick_settings().count} examples" in sentence


def test_a_file_of_another_kind_is_no_state_and_stays(world: World, tmp_path: Path) -> None:
    checkpoint = tmp_path / "state"
    checkpoint.write_bytes(pack_tensors({"a": np.zeros(3)}, {"kind": "something else"}))
    before = checkpoint.read_bytes()
    with pytest.raises(GenerationError, match="of another kind"):
        run(world, quick_settings(), checkpoint=checkpoint, replace=True)
    assert checkpoint.read_bytes() == before


@pytest.mark.parametrize("broken", [b"", b"\0" * 100, None])
def test_a_broken_checkpoint_starts_anew(
    world: World, generated: GenerationResult, tmp_path: Path, broken: bytes | None
) -> None:
    checkpoint = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        generate(
            world.white_boxes, world.data, quick_settings(), provenance=PROVENANCE, checkpoint=checkpoint,
            progress=Interruption("searching", 7),
        )  # fmt: skip
    checkpoint.write_bytes(checkpoint.read_bytes()[:-9] if broken is None else broken)
    result = run(world, quick_settings(), checkpoint=checkpoint)
    assert content(result.fingerprint, tmp_path) == content(generated.fingerprint, tmp_path)


def test_a_finished_checkpoint_gives_the_result_at_once(world: World, tmp_path: Path) -> None:
    checkpoint = tmp_path / "state"
    first = run(world, quick_settings(), checkpoint=checkpoint)
    rest = Interruption("searching", 1)
    again = generate(
        world.white_boxes, world.data, quick_settings(), provenance=PROVENANCE, checkpoint=checkpoint, progress=rest
    )
    assert "searching" not in rest.stages
    assert again.fingerprint.id == first.fingerprint.id


def test_seeds_that_run_out_leave_the_result_incomplete(world: World) -> None:
    result = run(world, quick_settings(max_seeds=6))
    assert not result.complete
    assert 0 < len(result.fingerprint) <= 6
    assert result.seeds_tried == 6


def test_all_seeds_of_a_small_data_set_may_be_used_up(world: World) -> None:
    data = world.data.subset(range(20))
    result = generate(world.white_boxes, data, quick_settings(count=50), provenance=PROVENANCE)
    assert not result.complete
    assert len(result.fingerprint.probe_images) == 20  # too few are left over, so seeds are probes as well


def test_no_example_at_all_is_an_error_that_says_what_to_do(world: World) -> None:
    with pytest.raises(GenerationError, match=r"None of 8 seeds became an example .*Lower --tau"):
        run(world, quick_settings(eps=1 / 255, max_seeds=8, tau=0.99))


def test_a_useless_source_is_refused_before_the_search(world: World) -> None:
    white_boxes = dataclasses.replace(world.white_boxes, source=ConstantModel(4))
    stop = Interruption("searching", 1)
    with pytest.raises(GenerationError, match="source is right on 75 of 300"):
        generate(white_boxes, world.data, quick_settings(), provenance=PROVENANCE, progress=stop)
    assert "searching" not in stop.stages


def test_one_image_is_too_few(world: World) -> None:
    with pytest.raises(DataError, match="needs seeds and benign probes; found 1 images"):
        generate(world.white_boxes, world.data.subset([0]), quick_settings(), provenance=PROVENANCE)


def test_progress_reaches_the_whole(world: World) -> None:
    told: list[tuple[str, int, int]] = []
    generate(world.white_boxes, world.data, quick_settings(), provenance=PROVENANCE, progress=lambda *x: told.append(x))
    assert told[4] == ("ranking seeds", 5, 5)
    assert told[-1] == ("searching", 12, 12)
    done = [done for stage, done, _ in told if stage == "searching"]
    assert done == sorted(done)


class Listener(Interruption):
    """Remembers words as well."""

    def __init__(self, stage: str = "never", at: int = 1) -> None:
        super().__init__(stage, at)
        self.details: list[tuple[str, str]] = []
        self.said: list[str] = []

    def detail(self, stage: str, words: str, /) -> None:
        self.details.append((stage, words))

    def say(self, words: str, /) -> None:
        self.said.append(words)


def test_a_search_says_what_it_has_tried_and_found(world: World, tmp_path: Path) -> None:
    """Also where nothing is accepted: slow and hopeless look alike otherwise."""
    listener = Listener("searching", 45)
    settings = quick_settings(tau=0.999999, count=12, check_every=5)
    checkpoint = tmp_path / "state"
    with pytest.raises(KeyboardInterrupt):
        generate(
            *(world.white_boxes, world.data, settings), provenance=PROVENANCE, checkpoint=checkpoint, progress=listener
        )
    searching = [words for stage, words in listener.details if stage == "searching"]
    pattern = (
        r"(\d+) of (\d+) seeds tried, step (\d+), (no label has turned yet|best conferrability (\S+), wanted 0\.999999)"
    )
    found = [re.fullmatch(pattern, words) for words in searching]
    assert all(found)
    steps = [int(match[3]) for match in found if match]
    assert steps == list(range(1, 46))
    values = [float(match[5]) for match in found if match and match[5]]
    assert values
    assert values == sorted(values)
    assert 0 < values[-1] <= 1
    assert not listener.said
    names = {words for stage, words in listener.details if stage == "comparing models"}
    assert len(names) == len(world.white_boxes.models)
    again = Listener("searching", 1)
    with pytest.raises(KeyboardInterrupt):
        generate(
            *(world.white_boxes, world.data, settings), provenance=PROVENANCE, checkpoint=checkpoint, progress=again
        )
    (said,) = again.said
    assert re.fullmatch(r"an interrupted run goes on: \d+ of 12 examples from [1-9]\d* seeds so far\.", said)


def test_images_beside_the_labels_they_were_given() -> None:
    """Each example keeps the label of its own image, also when the data come in another order."""
    world = make_world()
    order = np.random.default_rng(2).permutation(len(world.data))
    shuffled = ImageSet(world.data.images[order], world.data.labels[order], world.data.class_names, "shuffled")
    found = generate(world.white_boxes, shuffled, quick_settings(), provenance=PROVENANCE).fingerprint
    np.testing.assert_array_equal(world.white_boxes.source.predict(found.images).labels, found.labels)
    truth = {image.tobytes(): int(label) for image, label in zip(world.data.images, world.data.labels, strict=True)}
    assert [truth[seed.tobytes()] for seed in found.seeds] == found.ground_truth.tolist()


def test_a_run_that_found_nothing_leaves_no_state(world: World, tmp_path: Path) -> None:
    """It was through; what is tried next has other settings, and is not kept from it."""
    with pytest.raises(GenerationError, match="None of 8 seeds"):
        run(world, quick_settings(eps=1 / 255, max_seeds=8, tau=0.99), checkpoint=tmp_path / "state")
    assert not list(tmp_path.iterdir())
