"""The checkpoint: what is saved comes back, and only for the same inputs."""

from pathlib import Path

import numpy as np
import pytest

from cae_core.arrays import as_unit_float
from cae_core.errors import GenerationError
from cae_core.files.tensor_file import pack_tensors, read_tensors
from cae_core.generation.run_state import RunState, load_checkpoint, save_checkpoint, start_run
from cae_core.generation.search import Search
from cae_core.generation.seeds import rank_seeds
from tests.core.toys import SHAPE, World, quick_settings


@pytest.fixture
def state(world: World) -> RunState:
    """Return a state in the middle of a run, with accepted examples and a half-spent batch."""
    search = Search.prepare(world.white_boxes, world.data, quick_settings(iterations=10, batch=6))
    queue = rank_seeds(world.white_boxes, world.data, ranking="screened", seed=0)
    state = start_run(queue, SHAPE)
    for _ in range(14):
        state = search.turn_over(search.step(search.refill(state))[0])
    return state


def test_a_saved_state_comes_back_whole(state: RunState, tmp_path: Path) -> None:
    path = tmp_path / "state"
    save_checkpoint(state, path, run_id="abc")
    loaded = load_checkpoint(path, run_id="abc")
    assert loaded is not None
    assert len(loaded.accepted) == len(state.accepted) > 0
    assert (loaded.step, loaded.next_seed) == (14, state.next_seed)
    assert loaded.queue.source_accuracy == state.queue.source_accuracy
    for mine, theirs in (
        (state.images, loaded.images),
        (state.position, loaded.position),
        (state.start_step, loaded.start_step),
        (state.adam.first, loaded.adam.first),
        (state.adam.second, loaded.adam.second),
        (state.adam.steps, loaded.adam.steps),
        (state.accepted.images, loaded.accepted.images),
        (state.accepted.labels, loaded.accepted.labels),
        (state.queue.wanted, loaded.queue.wanted),
        (state.queue.source_labels, loaded.queue.source_labels),
        (state.queue.references_right, loaded.queue.references_right),
    ):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(mine, theirs)
    save_checkpoint(loaded, tmp_path / "again", run_id="abc")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_an_empty_state_comes_back(world: World, tmp_path: Path) -> None:
    queue = rank_seeds(world.white_boxes, world.data, ranking="screened", seed=0)
    save_checkpoint(start_run(queue, SHAPE), tmp_path / "state", run_id="abc")
    loaded = load_checkpoint(tmp_path / "state", run_id="abc")
    assert loaded is not None
    assert loaded.images.shape == (0, *SHAPE)
    assert loaded.accepted.images.shape == (0, *SHAPE)


def test_a_checkpoint_of_other_inputs_is_ignored(state: RunState, tmp_path: Path) -> None:
    save_checkpoint(state, tmp_path / "state", run_id="abc")
    assert load_checkpoint(tmp_path / "state", run_id="abd") is None


def test_a_checkpoint_of_another_format_is_refused_with_what_to_do(state: RunState, tmp_path: Path) -> None:
    """The run would silently begin again, hours in; one of other inputs would do so anyway."""
    path = tmp_path / "state"
    save_checkpoint(state, path, run_id="abc")
    metadata, tensors = read_tensors(path)
    del tensors["format"]
    for told, found in (({}, 1), ({"format": np.asarray(2)}, 2)):
        path.write_bytes(pack_tensors({**tensors, **told}, metadata))
        with pytest.raises(GenerationError, match=rf"state: .* in format {found}, .* reads format 3\. Delete the file"):
            load_checkpoint(path, run_id="abc")
        assert load_checkpoint(path, run_id="abd") is None


def test_a_missing_and_a_broken_checkpoint_are_ignored(state: RunState, tmp_path: Path) -> None:
    path = tmp_path / "state"
    assert load_checkpoint(path, run_id="abc") is None
    assert load_checkpoint(tmp_path, run_id="abc") is None
    save_checkpoint(state, path, run_id="abc")
    whole = path.read_bytes()
    for length in (0, 7, 8, 200, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert load_checkpoint(path, run_id="abc") is None
    path.write_bytes(whole)
    metadata, tensors = read_tensors(path)
    del tensors["adam.second"]
    path.write_bytes(pack_tensors(tensors, metadata))
    assert load_checkpoint(path, run_id="abc") is None


def test_a_run_begins_with_an_empty_batch(world: World) -> None:
    queue = rank_seeds(world.white_boxes, world.data, ranking="screened", seed=0)
    search = Search.prepare(world.white_boxes, world.data, quick_settings(batch=6))
    state = search.refill(start_run(queue, SHAPE))
    assert (state.step, state.next_seed, len(state.accepted)) == (0, 6, 0)
    np.testing.assert_array_equal(state.images, as_unit_float(world.data.images[queue.index[:6]]))
