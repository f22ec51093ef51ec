"""Two thefts, one after the other, and the copies that are changed without a training."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cae_backends.execution.executor import this_process
from cae_backends.training.adoption import find_adopter
from cae_backends.training.fitting import accuracy
from cae_backends.training.jobs import PoolJob, ancestor_of, check_jobs, job_digest
from cae_backends.training.kinds.chains import Chain, Victim, make_derived
from cae_backends.training.kinds.copies import averaged, four_bit, half_precision, noisy
from cae_backends.training.kinds.record import Teacher, Theft
from cae_backends.training.kinds.scratch import independent
from cae_backends.training.kinds.setup import Made, Setup
from cae_backends.training.kinds.table import KINDS, find_kind
from cae_backends.training.plans import parse_plan
from cae_backends.training.pool_jobs import train_pool
from cae_backends.training.pool_store import PoolData
from cae_backends.training.recipe import Recipe
from cae_backends.training.trainers import Network, find_trainer
from cae_core.errors import OptionError, PoolError
from cae_core.opening.opened import open_model
from cae_core.pool.manifest import read_pool
from tests.backends.blobs import blobs
from tests.backends.training.adopted_files import write_onnx
from tests.backends.training.test_adoption import DATA as COLOURS
from tests.backends.training.test_adoption import adopt

DATA = PoolData(blobs(), blobs(20, seed=1))
SHORT = Recipe(epochs=3, batch_size=16)


def setup(recipe: Recipe = SHORT, **others: object) -> Setup:
    options: dict[str, object] = {
        "trainer": find_trainer("torch"),
        "data": DATA.train,
        "architecture": "mlp",
        "seed": 1,
    }
    return Setup(recipe=recipe, **(options | others))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def source() -> Network:
    return independent(setup(Recipe(epochs=8, batch_size=16), seed=5)).network


def copied(source: Network) -> Network:
    copy = setup().fresh()
    copy.load(source.weights())
    return copy


def victim(source: Network) -> Victim:
    return Victim(asked=lambda: source.logits, copied=lambda: copied(source), architecture="mlp", trainer="torch")


def members(*kinds: str, **group: object) -> dict[str, object]:
    quick = {"epochs": 3, "batch_size": 16, "sparsity": 0.75}
    rows = [{"kind": kind, "recipes": ["quick"], "count": {"test": 1}, **group} for kind in kinds]
    return {"source": {"architecture": "mlp", "recipe": "quick"}, "recipe": {"quick": quick}, "members": rows}


@pytest.mark.parametrize(
    ("first", "second", "starts", "copies"),
    [
        ("pruned", "fine-tuned", "weights", True),
        ("pruned", "distilled", "weights", False),
        ("hard labels", "pruned", "answers", False),
        ("soft labels", "hard labels", "answers", False),
    ],
)
def test_what_a_chain_is_made_of(first: str, second: str, starts: str, copies: bool) -> None:  # noqa: FBT001
    kind = find_kind(f"{first}, then {second}")
    assert isinstance(kind, Chain)
    assert (kind.first, kind.second) == (KINDS[first], KINDS[second])
    assert (kind.relation, kind.starts_from, kind.copies) == ("surrogate", starts, copies)
    assert kind.asks == ({"pruned", "fine-tuned"} != {first, second})
    assert not kind.known_images


@pytest.mark.parametrize(
    "name",
    [
        "pruned, then",
        "pruned, then ",
        "pruned then distilled",
        "pruned, then independent",
        "source, then pruned",
        "pruned, then pruned, then pruned",
        ", then pruned",
    ],
)
def test_no_chain(name: str) -> None:
    with pytest.raises(PoolError, match='or two thefts as "pruned, then distilled"; found'):
        find_kind(name)


def test_the_second_thief_asks_the_model_of_the_first(source: Network) -> None:
    """The oracle is the two made by hand; the first has a seed of its own and the same share of the images."""
    seen: list[tuple[Teacher, Setup]] = []

    def first(teacher: Teacher, setup: Setup) -> Made:
        seen.append((teacher, setup))
        return Made(copied(source), {})

    def second(teacher: Teacher, setup: Setup) -> Made:
        seen.append((teacher, setup))
        return Made(copied(source), {})

    kinds = [Theft(name=make.__name__, make=make, how="") for make in (first, second)]
    told: list[tuple[int, int]] = []
    given = setup(SHORT, snapshots=(1,), progress=lambda done, epochs: told.append((done, epochs)))
    make_derived(Chain.of(*kinds), victim(source), given)
    images = np.random.default_rng(0).random((5, 8, 8, 1), np.float32)
    np.testing.assert_array_equal(seen[0][0](images), source.logits(images))
    np.testing.assert_array_equal(seen[1][0](images), source.logits(images))
    assert seen[0][0].__self__ is source  # type: ignore[attr-defined]
    assert seen[1][0].__self__ is not source  # type: ignore[attr-defined]
    former, latter = (setup for _, setup in seen)
    assert (former.seed != latter.seed, former.images_seed, latter.seed) == (True, 1, 1)
    assert (former.snapshots, latter.snapshots) == ((), (1,))
    for stage in (former, latter):
        assert stage.progress is not None
        stage.progress(2, 3)
    assert told == [(2, 6), (5, 6)]


def test_a_copy_is_changed_once_more(source: Network) -> None:
    """Zeros of the first stay zero where the second only adds none: rounding keeps what pruning has made zero."""
    recipe = Recipe(epochs=1, batch_size=16, sparsity=0.5)
    made = make_derived(find_kind("pruned, then 8-bit weights"), victim(source), setup(recipe))  # type: ignore[arg-type]
    assert set(made.snapshots) == set()
    for name in made.network.kernels:
        weight = made.network.weights()[name]
        assert (weight == 0).mean() >= 0.5
        assert max(len(np.unique(row)) for row in weight) <= 255


@pytest.mark.long
def test_a_chain_is_a_member_as_any_other(tmp_path: Path) -> None:
    """It is planned, trained, written and opened; the second thief of another architecture than the source."""
    plan = members("pruned, then distilled", architectures=["cnn-small"])
    plan["members"] += members("hard labels, then fine-tuned", architectures=["cnn-deep"])["members"]  # type: ignore[operator]
    plan["members"] += members("pruned, then fine-tuned last layer")["members"]  # type: ignore[operator]
    jobs = parse_plan(plan, origin="plan").jobs
    assert [job.name for job in jobs[1:]] == [
        "test-pruned-then-distilled-001",
        "test-hard-labels-then-fine-tuned-001",
        "test-pruned-then-fine-tuned-last-layer-001",
    ]
    rows = read_pool(train_pool(jobs, DATA, tmp_path / "pool.toml", crew=this_process())).members
    assert [row.kind for row in rows[1:]] == [job.kind for job in jobs[1:]]
    assert [row.architecture for row in rows[1:]] == ["cnn-small", "cnn-deep", "mlp"]
    for row in rows[1:]:
        assert (row.relation, row.parent, row.trained_on) == ("surrogate", "source", None)
        told = open_model(str(row.path), contract=row.contract, device="cpu").predict(DATA.test.images)
        assert (told.labels == DATA.test.labels).mean() == pytest.approx(row.accuracy, abs=1e-6)


@pytest.mark.long
def test_a_file_is_copied_and_then_asked(tmp_path: Path) -> None:
    """The first thief trains the file's own network, the second one of the trainer's architectures."""
    path = write_onnx(tmp_path / "mine.onnx")
    plan = members("pruned, then distilled", architectures=["mlp"])
    plan["members"] += members("pruned, then 8-bit weights")["members"]  # type: ignore[operator]
    jobs = parse_plan(plan | {"source": {"file": str(path)}}, origin="plan").jobs
    rows = read_pool(train_pool(jobs, COLOURS, tmp_path / "pool.toml", crew=this_process())).members
    assert [row.architecture for row in rows[1:]] == ["mlp", ""]
    for row in rows[1:]:
        told = open_model(str(row.path), contract=row.contract, device="cpu").predict(COLOURS.test.images)
        assert (told.labels == COLOURS.test.labels).mean() == pytest.approx(row.accuracy, abs=1e-6)
    assert find_adopter(path) == "torch"


@pytest.mark.parametrize(
    ("group", "message"),
    [
        (members("pruned, then fine-tuned", architectures=["cnn-small"]), "keeps its parent's architecture"),
        (members("pruned, then other architecture", architectures=["mlp"]), "has its parent's, mlp"),
        (members("pruned, then adversarially fine-tuned"), "gives an adversarial radius"),
        (members("pruned, then distilled"), "architectures must be a list"),
        (members("8-bit weights, then 4-bit weights", count={"screen": 1}, snapshots=1), "has no epochs"),
        (members("pruned, then 4-bit weights", queries="foreign"), "asks nothing"),
    ],
)
def test_refuses_a_chain(group: dict[str, object], message: str) -> None:
    with pytest.raises(PoolError, match=message):
        parse_plan(group, origin="plan")


def test_ancestors_come_down_a_chain_of_copies_only() -> None:
    source = PoolJob(name="source", role="source", kind="source", architecture="mlp", seed=0)
    chains = {"a": "pruned, then fine-tuned", "b": "pruned, then distilled", "c": "distilled, then pruned"}
    jobs = check_jobs(
        [
            source,
            *(
                PoolJob(name=name, role="test", kind=kind, architecture="mlp", seed=1, parent="source")
                for name, kind in chains.items()
            ),
        ]
    )
    assert [ancestor_of(job, jobs) for job in jobs.values()] == [""] * 4
    assert len({job_digest(job, data="d", parent="p") for job in jobs.values()}) == 4


@pytest.mark.parametrize("field", ["weight_noise", "interpolation", "statistics"])
def test_older_recipes_keep_their_digests(field: str) -> None:
    assert field not in Recipe().identity()


def weights_of(
    source: Network, make: Callable[[Network, Setup], Made], recipe: Recipe = SHORT
) -> dict[str, np.ndarray]:
    return make(copied(source), setup(recipe)).network.weights()


def test_four_bits_are_fifteen_levels(source: Network) -> None:
    changed = weights_of(source, four_bit)
    for name in source.kernels:
        before, after = source.weights()[name], changed[name]
        for old, new in zip(before, after, strict=True):
            levels = np.unique(new)
            assert 3 <= len(levels) <= 15
            assert np.abs(new - old).max() <= np.abs(old).max() / 14 * 1.001


def test_half_precision_is_float16s(source: Network) -> None:
    changed = weights_of(source, half_precision)
    for name, before in source.weights().items():
        np.testing.assert_array_equal(changed[name], before.astype(np.float16).astype(before.dtype))
    assert any((changed[name] != before).any() for name, before in source.weights().items())


def test_noise_is_relative_to_each_layer(source: Network) -> None:
    changed = weights_of(source, noisy, Recipe(weight_noise=0.5))
    for name, before in source.weights().items():
        moved = changed[name] - before
        if name in source.kernels:
            share = np.sqrt((moved**2).mean() / (before**2).mean())
            assert share == pytest.approx(0.5, rel=4 / np.sqrt(before.size))
        else:
            assert not moved.any()
    still = weights_of(source, noisy, Recipe(weight_noise=0.0))
    assert all((still[name] == before).all() for name, before in source.weights().items())


def test_an_average_lies_between_the_two(source: Network) -> None:
    recipe = Recipe(epochs=3, batch_size=16, interpolation=0.25)
    made = averaged(copied(source), setup(recipe, snapshots=(2,)))
    other, mine = independent(setup(recipe, snapshots=(2,))), source.weights()
    pairs = [(made.network.weights(), other.network.weights()), (made.snapshots[2], other.snapshots[2])]
    for found, theirs in pairs:
        for name, before in mine.items():
            expected = 0.75 * before + 0.25 * theirs[name] if before.dtype == np.float32 else before
            np.testing.assert_allclose(found[name], expected, atol=1e-6)
    assert accuracy(
        averaged(copied(source), setup(Recipe(epochs=1, interpolation=0.0))).network, DATA.test
    ) == accuracy(source, DATA.test)


def test_a_file_is_not_averaged(tmp_path: Path) -> None:
    copy = adopt(write_onnx(tmp_path / "mine.onnx"))
    with pytest.raises(OptionError, match="its architecture is not known"):
        averaged(copy, setup(adopted=True))


@pytest.mark.parametrize("fields", [{"weight_noise": -0.1}, {"interpolation": 1.0}, {"statistics": "lost"}])
def test_refuses_a_recipe(fields: dict[str, object]) -> None:
    with pytest.raises(OptionError):
        Recipe(**fields)  # type: ignore[arg-type]
