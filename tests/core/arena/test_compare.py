"""A whole comparison on linear classifiers."""

from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from cae_core.arena.compare import Comparison, compare
from cae_core.arena.contender import parse_contenders
from cae_core.arena.outcome import ALL
from cae_core.arena.settings import CompareSettings
from cae_core.errors import OptionError, PoolError
from cae_core.pool.manifest import Pool
from tests.core.arena.toy_pool import ToyOpen, ToyPool, toy_pool

METHODS = ("ours:eps=0.2", "akh", "pgd:eps=0.2,steps=5", "random")


@pytest.fixture(scope="module")
def toys() -> ToyPool:
    return toy_pool()


def run(toys: ToyPool, output: Path, *, opened: ToyOpen | None = None, **settings: object) -> Comparison:
    given = {"budgets": (5, 20), **settings}
    return compare(
        toys.pool,
        toys.data,
        parse_contenders(METHODS),
        settings=CompareSettings(**given),  # type: ignore[arg-type]
        output=output,
        opened=opened or toys.opened(),
    )


@pytest.fixture(scope="module")
def first(toys: ToyPool, tmp_path_factory: pytest.TempPathFactory) -> tuple[Comparison, Path, ToyOpen]:
    output, opened = tmp_path_factory.mktemp("comparison"), toys.opened()
    return run(toys, output, opened=opened), output, opened


def test_every_method_is_judged_with_every_budget(first: tuple[Comparison, Path, ToyOpen]) -> None:
    found = first[0]
    assert [(o.method, o.budget) for o in found.outcomes] == [(m, b) for m in METHODS for b in (5, 20)]
    assert {o.references for o in found.outcomes} == {20}
    assert all(len(o.suspects) == 10 for o in found.outcomes)


def test_p_values_are_ranks_of_agreement_counted_by_hand(first: tuple[Comparison, Path, ToyOpen]) -> None:
    found, output, opened = first
    from cae_core.arena.queries import load_queries

    queries = next(
        loaded
        for loaded, told in map(load_queries, sorted((output / "queries").glob("*.safetensors")))
        if told["name"] == "random, usual"
    )
    outcome = next(o for o in found.outcomes if o.method == "random" and o.budget == 20)

    def agreement(name: str) -> float:
        return float(np.mean(opened.models[name].predict(queries.images[:20]).labels == queries.labels[:20]))

    references = [agreement(name) for name in opened.models if name.startswith("calibrate-reference")]
    for suspect in outcome.suspects:
        score = agreement(suspect.name)
        assert suspect.score == score
        assert suspect.p_value == (1 + sum(other >= score for other in references)) / 21
    accused = [s for s in outcome.suspects if s.relation == "surrogate" and s.p_value <= 0.05]
    whole = outcome.summaries[0]
    assert whole.kind == ALL
    assert whole.detected is not None
    assert whole.detected.accused == len(accused)


def test_queries_are_of_the_source(first: tuple[Comparison, Path, ToyOpen], toys: ToyPool) -> None:
    from cae_core.arena.queries import load_queries

    source = toys.models["source-source-source-0"]
    for path in (first[1] / "queries").glob("*.safetensors"):
        queries, _ = load_queries(path)
        np.testing.assert_array_equal(source.predict(queries.images).labels, queries.labels)


def test_a_second_run_asks_nobody(first: tuple[Comparison, Path, ToyOpen], toys: ToyPool) -> None:
    opened = toys.opened()
    again = run(toys, first[1], opened=opened)
    assert not any(model.calls for model in toys.models.values())
    assert not opened.opened
    assert again.outcomes == first[0].outcomes


def test_each_model_is_opened_once_and_asked_once_a_method(toys: ToyPool, tmp_path: Path) -> None:
    opened = toys.opened()
    run(toys, tmp_path, opened=opened, choose=False)
    judged = [name for name in toys.models if name.startswith(("calibrate", "test"))]
    assert {opened.opened[name] for name in judged} == {1}
    assert {len(toys.models[name].calls) for name in judged} == {1 + len(METHODS)}  # the probes, and each method's


def test_an_interrupted_run_goes_on_where_it_was(
    toys: ToyPool, tmp_path: Path, first: tuple[Comparison, Path, ToyOpen]
) -> None:
    class Tired(ToyOpen):
        def open(self, member: object, *, keep: bool = False) -> object:  # type: ignore[override]
            if sum(self.opened.values()) == 9:
                raise KeyboardInterrupt
            return super().open(member, keep=keep)  # type: ignore[arg-type]

    asked: dict[str, int] = dict.fromkeys(toys.models, 0)
    found: Comparison | None = None
    attempts = 0
    while found is None and attempts < 20:
        attempts += 1
        toys.opened()
        with suppress(KeyboardInterrupt):
            found = run(toys, tmp_path, opened=Tired(toys.models))
        for name, model in toys.models.items():
            asked[name] += len(model.calls)
    assert attempts >= 3
    assert found is not None
    assert found.outcomes == first[0].outcomes
    judged = [name for name in toys.models if name.startswith(("calibrate", "test"))]
    assert {asked[name] for name in judged} == {1 + len(METHODS)}


def test_the_configuration_is_chosen_without_the_calibrate_and_test_roles(toys: ToyPool, tmp_path: Path) -> None:
    class Blind(ToyOpen):
        def open(self, member: object, *, keep: bool = False) -> object:  # type: ignore[override]
            if member.role in ("calibrate", "test"):  # type: ignore[attr-defined]
                raise KeyboardInterrupt
            return super().open(member, keep=keep)  # type: ignore[arg-type]

    with pytest.raises(KeyboardInterrupt):
        run(toys, tmp_path, opened=Blind(toys.models))
    whole = run(toys, tmp_path)
    (choice,) = whole.choices
    assert choice.method == "akh"
    assert choice.auc[choice.configuration] == max(choice.auc.values())
    assert (choice.surrogates, choice.references) == (5, 5)  # generate and screen


def test_of_the_role_screen_every_configuration_is_shown(toys: ToyPool, tmp_path: Path) -> None:
    opened = toys.opened()
    found = run(toys, tmp_path, opened=opened, role="screen")
    assert {(e.method, e.configuration) for e in found.entries if e.method == "akh"} == {
        ("akh", name) for name in ("random", "sure", "all-images", "all-images-sure")
    }
    assert not any(opened.opened[name] for name in toys.models if name.startswith("test"))
    assert not found.choices


def test_a_method_without_queries_says_so_and_the_others_go_on(toys: ToyPool, tmp_path: Path) -> None:
    found = compare(
        toys.pool,
        toys.data,
        parse_contenders(["pgd:eps=1/255,steps=1,most_seeds=3", "random"]),
        settings=CompareSettings(budgets=(10,)),
        output=tmp_path,
        opened=toys.opened(),
    )
    assert [bool(entry.failed) for entry in found.entries] == [True, False]
    assert "eps 0.00392" in found.entries[0].failed
    assert [o.method for o in found.outcomes] == ["random"]


@pytest.mark.parametrize(
    ("role", "relation", "sentence"),
    [
        ("calibrate", "reference", "no reference of the role calibrate"),
        ("test", "surrogate", "no surrogate of the role test"),
        ("test", "reference", "no reference of the role test"),
        ("source", "source", 'expected one model with relation = "source"'),
    ],
)
def test_a_role_that_is_empty_is_refused_before_anything_is_made(
    toys: ToyPool, tmp_path: Path, role: str, relation: str, sentence: str
) -> None:
    left = tuple(m for m in toys.pool.members if (m.role, m.relation) != (role, relation))
    poor = ToyPool(Pool(left, "pool.toml"), toys.data, toys.models)
    with pytest.raises(PoolError, match=sentence):
        run(poor, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_of_something_else_or_another_version_is_refused(toys: ToyPool, tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("dear")
    with pytest.raises(OptionError, match="holds no comparison"):
        run(toys, tmp_path)
    (tmp_path / "arena.json").write_text('{"arena": 2}')
    with pytest.raises(OptionError, match="version 2"):
        run(toys, tmp_path)
    assert (tmp_path / "letter.txt").read_text() == "dear"


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"role": "calibrate"}, "role test or screen"),
        ({"budgets": (20, 10)}, "ascending"),
        ({"budgets": (0,)}, "1 to 10000"),
        ({"budgets": ()}, "ascending"),
        ({"rate": 0.0}, "between 0 and 1"),
        ({"seed": -1}, "at least 0"),
    ],
)
def test_settings_outside_their_range_are_refused(given: dict[str, object], sentence: str) -> None:
    with pytest.raises(OptionError, match=sentence):
        CompareSettings(**given)  # type: ignore[arg-type]


def test_behind_a_defence_only_the_suspects_answer_otherwise(
    toys: ToyPool, tmp_path: Path, first: tuple[Comparison, Path, ToyOpen]
) -> None:
    run(toys, tmp_path)
    opened = toys.opened()
    found = run(toys, tmp_path, opened=opened, defence="random:1")  # every answer is drawn
    assert {name for name, times in opened.opened.items() if times} == {
        name for name in toys.models if name.startswith("test")
    }
    assert found.accuracy["surrogate"] < 0.45 < found.accuracy_without["surrogate"]  # type: ignore[index]
    plain, behind = ({(o.method, o.budget): o.summaries[0].auc for o in each.outcomes} for each in (first[0], found))
    assert plain["akh", 20] > 0.9
    assert behind["akh", 20] < 0.9
    assert run(toys, tmp_path).outcomes == first[0].outcomes  # what was answered without it is still there


def test_an_unknown_defence_is_refused() -> None:
    with pytest.raises(OptionError, match="Unknown defence"):
        CompareSettings(defence="wall:3")
