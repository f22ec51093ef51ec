"""How long the rest takes is told from finished epochs, and not before they tell it."""

from typing import Any

import pytest

from cae_backends.training.jobs import PoolJob
from cae_backends.training.pace import Pace, Running
from cae_backends.training.recipe import Recipe


def job(name: str, kind: str = "independent", *, epochs: int = 10, **changes: Any) -> PoolJob:  # noqa: ANN401
    fields: dict[str, Any] = {
        "role": "source" if kind == "source" else "generate",
        "parent": "" if kind in ("source", "independent") else "source",
        "architecture": "mlp",
        "seed": 0,
        "recipe": Recipe(epochs=epochs, batch_size=16),
    }
    return PoolJob(name=name, kind=kind, **(fields | changes))


def looked_at(running: Running, *looks: tuple[float, int]) -> Running:
    for now, epochs in looks:
        running.look(now, epochs, running.job.recipe.epochs)
    return running


def test_nothing_is_told_before_an_epoch_was_timed() -> None:
    """The first one holds the start of the process, and the import of a framework."""
    running = Running(job("a"))
    assert running.words() == "a (starting)"
    for looks in ([(0.0, 0)], [(0.0, 0), (50.0, 1)], [(50.0, 1), (51.0, 1)]):
        assert Pace().left([job("b")], [looked_at(Running(job("a")), *looks)], workers=1) is None
    looked_at(running, (0.0, 0), (50.0, 1), (52.0, 2), (56.0, 4), (56.5, 4))
    assert (running.timed, running.seconds) == (3, 6.0)
    assert running.words() == "a (epoch 5 of 10)"
    assert Pace().left([job("b")], [running], workers=1) == pytest.approx(6 * 2 + 10 * 2)
    looked_at(running, (60.0, 10))
    assert running.words() == "a (writing)"


def test_jobs_are_weighed_by_their_epochs_and_their_share_of_the_images() -> None:
    pace = Pace()
    pace.learn(job("a", epochs=10), 30.0, None)
    waiting = [job("b", epochs=40), job("c", recipe=Recipe(epochs=40, batch_size=16, share=0.25))]
    assert pace.left(waiting, [], workers=1) == pytest.approx(3 * 40 + 3 * 10)
    assert pace.left(waiting, [], workers=2) == pytest.approx(120)  # a job is not shared
    assert pace.left([job("d", "8-bit weights"), job("e")], [], workers=1) == pytest.approx(30)


def test_thieves_wait_for_the_source() -> None:
    pace = Pace()
    pace.learn(job("a"), 10.0, None)
    jobs = [job("source", "source", epochs=100), *(job(f"t{i}", "hard labels") for i in range(4))]
    assert pace.left(jobs, [], workers=4) == pytest.approx(100 + 10)


def test_what_is_unknown_is_not_guessed() -> None:
    pace = Pace()
    pace.learn(job("a"), 10.0, None)
    other = job("b", architecture="resnet")
    assert pace.left([other], [], workers=1) is None
    assert pace.left([other, job("c", epochs=20)], [], workers=1) is None
    assert pace.left([other, job("c", epochs=90)], [], workers=1) == pytest.approx(100)
    assert Pace().left([], [], workers=1) is None


def test_a_kind_has_its_own_pace_once_it_has_run_and_writing_takes_time_too() -> None:
    pace = Pace()
    pace.learn(job("a"), 25.0, looked_at(Running(job("a")), (0.0, 1), (9.0, 10)))  # 15 s besides its epochs
    assert pace.left([job("t", "hard labels")], [], workers=1) == pytest.approx(10 + 15)
    pace.learn(job("t", "hard labels"), 65.0, looked_at(Running(job("t", "hard labels")), (0.0, 1), (45.0, 10)))
    assert pace.left([job("u", "hard labels")], [], workers=1) == pytest.approx(50 + 15)
    assert pace.left([job("b")], [], workers=1) == pytest.approx(10 + 15)
