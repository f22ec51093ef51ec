"""Training of pools: what is made is kept, what is finished is not made again, and failures stay where they are."""

import errno
import json
import os
import re
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, Future
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest

from cae_backends.execution.crew import Crew, Shared
from cae_backends.execution.executor import this_process
from cae_backends.training import pool_jobs
from cae_backends.training.jobs import PoolJob, check_jobs, job_digest
from cae_backends.training.kinds.estimators import SCIKIT_LEARN
from cae_backends.training.kinds.table import KINDS
from cae_backends.training.pool_jobs import train_pool
from cae_backends.training.pool_store import PoolData, PoolStore
from cae_backends.training.pretrained import Pretrained
from cae_backends.training.recipe import Recipe
from cae_backends.training.trainers import EXPORTER_GROUP
from cae_core.contract import Contract
from cae_core.errors import DataError, PoolError
from cae_core.files.digests import sha256_of_file
from cae_core.pool.manifest import read_pool
from cae_core.pool.manifest_writing import append_rows
from cae_core.pool.trained_on import Part, TrainedOn
from tests.backends.blobs import SHAPE, blobs
from tests.backends.installing import install

SHORT = Recipe(epochs=2, batch_size=16)
PUBLISHED = Pretrained(ancestor="ImageNet weights")


def job(name: str, kind: str = "independent", **changes: Any) -> PoolJob:  # noqa: ANN401
    parent = "source" if KINDS[kind].relation == "surrogate" else ""
    role = "source" if kind == "source" else "test"
    fields: dict[str, Any] = {"role": role, "architecture": "mlp", "seed": len(name), "parent": parent, "recipe": SHORT}
    return PoolJob(name=name, kind=kind, **(fields | changes))


JOBS = [
    job("pruned", "pruned"),  # before its parent: the order of the list is the manifest's, not the execution's
    job("source", "source"),
    job("grandchild", "fine-tuned", parent="stolen"),
    job("stolen", "soft labels", seed=4),
    job("other"),
]
DATA = PoolData(blobs(), blobs(20, seed=1))


def export_estimator(model: Any, path: Path, _contract: Contract, image_shape: tuple[int, int, int]) -> None:  # noqa: ANN401
    """Write a stand-in for a model file."""
    assert (model.n_features_in_, image_shape) == (64, SHAPE)
    path.write_bytes(b"estimator")


def export_module(model: Any, path: Path, contract: Contract, image_shape: tuple[int, int, int]) -> None:  # noqa: ANN401
    """Write a stand-in for a model file."""
    assert (image_shape, contract.layout, contract.size) == (SHAPE, "NCHW", (8, 8))
    path.write_bytes(b"".join(value.numpy().tobytes() for value in model.state_dict().values()))


@pytest.fixture(autouse=True)
def exporters(monkeypatch: pytest.MonkeyPatch) -> None:
    here = {"torch": f"{__name__}:export_module", "sklearn": f"{__name__}:export_estimator"}
    install(monkeypatch, {EXPORTER_GROUP: here})


@dataclass
class ScriptedCrew:
    """Runs jobs in a thread; some fail, and some take their worker with them."""

    failing: tuple[str, ...] = ()
    killing: tuple[str, ...] = ()
    limit: int = 2
    made: list[str] = field(default_factory=list)
    restarts: int = 0
    data: Any = None
    broken: bool = False

    def share(self, shared: Shared[Any]) -> None:
        self.data = shared.unpack(shared.pack())

    def submit(self, work: Callable[[Any, Any], Any], item: Any) -> "Future[Any]":  # noqa: ANN401
        if self.broken:
            raise BrokenExecutor
        future: Future[Any] = Future()
        name = item.job.name
        if name in self.killing:
            self.broken = True
            future.set_exception(BrokenExecutor("dead"))
        elif name in self.failing:
            future.set_exception(ValueError("no luck"))
        else:
            self.made.append(name)
            future.set_result(work(item, self.data))
        return future

    def restart(self) -> None:
        self.restarts += 1
        self.broken = False

    @contextmanager
    def opened(self) -> Iterator[Crew]:
        yield self


def train(
    folder: Path,
    jobs: list[PoolJob] = JOBS,
    data: PoolData = DATA,
    *,
    replaces: bool = False,
    **script: Any,  # noqa: ANN401
) -> ScriptedCrew:
    crew = ScriptedCrew(**script)
    train_pool(jobs, data, folder / "pool.toml", crew=crew.opened(), replace=replaces)
    return crew


class Listener:
    """A progress callback that takes words."""

    def __init__(self, *, interrupts: bool = False) -> None:
        self.words: list[str] = []
        self.said: list[str] = []
        self.interrupts = interrupts

    def __call__(self, done: int, total: int, name: str) -> None:
        """Count nothing."""

    def detail(self, stage: str, words: str, /) -> None:
        assert stage == "training"
        self.words.append(words)
        if self.interrupts and "(epoch " in words:
            raise KeyboardInterrupt

    def say(self, words: str, /) -> None:
        self.said.append(words)


@pytest.mark.long
def test_a_run_says_which_job_is_in_which_epoch_and_what_it_waits_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pool_jobs, "_LOOK_S", 0.001)
    long = [job("source", "source", recipe=replace(SHORT, epochs=200)), job("other", recipe=replace(SHORT, epochs=300))]
    stopped = Listener(interrupts=True)
    with pytest.raises(KeyboardInterrupt):
        train_pool(long, DATA, tmp_path / "pool.toml", workers=2, progress=stopped)
    assert re.search(r"(source|other) \(epoch \d+ of [23]00\)", stopped.words[-1])
    assert stopped.said == ["stopping; waiting for 2 jobs to end an epoch, or to be written"]
    assert not list((tmp_path / "state").glob("*.json"))


def test_a_later_run_says_what_is_done(tmp_path: Path) -> None:
    train(tmp_path, JOBS[1:2])
    listener = Listener()
    train_pool(JOBS, DATA, tmp_path / "pool.toml", crew=this_process(), progress=listener)
    assert listener.said == ["1 of 5 jobs were done by earlier runs; the others are trained."]
    assert any(words.startswith("other (starting)") for words in listener.words)  # a thread tells no epochs


class TestTrainPool:
    def test_manifest(self, tmp_path: Path) -> None:
        told: list[tuple[int, int, str]] = []
        manifest = tmp_path / "new" / "pool.toml"
        train_pool(JOBS, DATA, manifest, crew=this_process(), progress=lambda *e: told.append(e))
        pool = read_pool(manifest)
        assert [member.name for member in pool.members] == [job.name for job in JOBS]
        assert [event[:2] for event in told] == [(number, 5) for number in range(6)]
        for member, made in zip(pool.members, JOBS, strict=True):
            found = (member.role, member.relation, member.kind, member.architecture, member.parent, member.seed)
            assert found == (made.role, made.relation, made.kind, made.architecture, made.parent, made.seed)
            assert member.digest() == member.sha256
            assert 0 <= (member.accuracy or -1) <= 1
            assert member.contract == Contract(
                layout="NCHW", range=(0.0, 1.0), output="logits", channels="GRAY", size=(8, 8)
            )

    def test_the_accuracy_by_epoch_is_kept_where_images_are_held_out(self, tmp_path: Path) -> None:
        """Other records keep the form of before, and records of before still count as finished."""
        held = replace(SHORT, epochs=3, validation=0.25)
        jobs = [
            job("source", "source", recipe=held),
            *(job("stolen", "soft labels"), job("tuned", "fine-tuned", recipe=held), job("pruned", "pruned")),
        ]
        train(tmp_path, jobs)
        records = [json.loads(path.read_text()) for path in (tmp_path / "state").glob("*.json")]
        assert sorted("validation" in record for record in records) == [False, False, True, True]
        found = PoolStore(tmp_path).validation_by_epoch()
        models = {sha256_of_file(member.path): member.name for member in read_pool(tmp_path / "pool.toml").members}
        assert {models[model] for model in found} == {"source", "tuned"}
        assert [len(accuracies) for accuracies in found.values()] == [3, 3]
        for path in (tmp_path / "state").glob("*.json"):
            record = json.loads(path.read_text())
            path.write_text(json.dumps({name: value for name, value in record.items() if name != "validation"}))
        assert train(tmp_path, jobs).made == []

    def test_the_manifest_says_what_each_was_trained_on(self, tmp_path: Path) -> None:
        half = replace(SHORT, share=0.5)
        jobs = [
            job("source", "source", recipe=half, recipe_name="owner"),
            *(job("all"), job("half", recipe=half, seed=9), job("tuned", "fine-tuned")),
            job("rest", recipe=half, seed=5, part=Part(share=0.3, seed=2, rest=True)),
            job("thief", "hard labels", queries="foreign"),
        ]
        data = PoolData(DATA.train, DATA.test, blobs(40, seed=7).images)
        train(tmp_path, jobs, data)
        found = {member.name: member for member in read_pool(tmp_path / "pool.toml").members}
        own: dict[str, Any] = {
            "data": DATA.train.sha256(),
            "count": len(DATA.train),
            "apart_from": (DATA.test.sha256(),),
        }
        assert found["all"].trained_on == TrainedOn(**own)
        assert found["half"].trained_on == TrainedOn(**own, share=0.5, seed=9)
        rest = TrainedOn(**own, share=0.5, seed=5, part=Part(share=0.3, seed=2, rest=True))
        assert found["rest"].trained_on == rest
        assert (found["source"].recipe, found["all"].recipe) == ("owner", "")
        assert found["tuned"].trained_on is None  # its parent's images are not its own
        thief = found["thief"].trained_on
        assert thief is not None
        assert (thief.count, thief.apart_from) == (40, (DATA.test.sha256(), DATA.train.sha256()))
        assert thief.data not in thief.apart_from

    def test_second_run_starts_no_worker(self, tmp_path: Path) -> None:
        assert sorted(train(tmp_path).made) == sorted(job.name for job in JOBS)
        before = (tmp_path / "pool.toml").read_text()

        @contextmanager
        def nobody() -> Iterator[Crew]:
            pytest.fail("a worker was started")
            yield

        train_pool(JOBS, DATA, tmp_path / "pool.toml", crew=nobody())
        assert (tmp_path / "pool.toml").read_text() == before

    @pytest.mark.parametrize(
        ("changed", "again"),
        [
            ("other", {"other"}),
            ("stolen", {"stolen", "grandchild"}),
            ("source", {"source", "pruned", "stolen", "grandchild"}),
        ],
    )
    def test_a_changed_job_is_done_again_with_what_derives_from_it(
        self, changed: str, again: set[str], tmp_path: Path
    ) -> None:
        train(tmp_path)
        changes = [replace(job, seed=99) if job.name == changed else job for job in JOBS]
        assert set(train(tmp_path, changes, replaces=True).made) == again

    def test_only_the_weights_of_the_source_and_of_parents_are_kept(self, tmp_path: Path) -> None:
        train(tmp_path)
        assert len(list((tmp_path / "state").glob("*.safetensors"))) == 2  # source and stolen
        assert train(tmp_path).made == []

    def test_a_job_that_becomes_a_parent_is_trained_again_and_nothing_else(self, tmp_path: Path) -> None:
        train(tmp_path)
        before = {path.name: path.read_bytes() for path in (tmp_path / "test").iterdir()}
        more = [*JOBS, job("child", "pruned", parent="grandchild")]
        assert train(tmp_path, more).made == ["grandchild", "child"]
        assert all((tmp_path / "test" / name).read_bytes() == content for name, content in before.items())
        assert train(tmp_path, more).made == []
        assert train(tmp_path, JOBS).made == []

    def test_other_data_or_a_damaged_file_are_noticed(self, tmp_path: Path) -> None:
        train(tmp_path)
        (tmp_path / "test" / "other.onnx").write_bytes(b"damaged")
        record = next(path for path in (tmp_path / "state").glob("*.json") if "0." in path.read_text())
        record.write_text("{")
        made = train(tmp_path).made
        assert "other" in made
        assert len(made) <= 2
        assert len(train(tmp_path, data=PoolData(blobs(seed=3), DATA.test), replaces=True).made) == len(JOBS)

    @pytest.mark.parametrize("changed", ["source", "stolen", "other"])
    def test_a_finished_model_of_other_inputs_is_not_overwritten(self, changed: str, tmp_path: Path) -> None:
        train(tmp_path)
        before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
        quick = [replace(job, recipe=replace(SHORT, epochs=1)) if job.name == changed else job for job in JOBS]
        with pytest.raises(PoolError, match=rf"{changed}\.onnx: this finished model .* say --replace .* --pool"):
            train(tmp_path, [*quick, job("new")])
        assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
        assert train(tmp_path, [*JOBS, job("new")]).made == ["new"]

    def test_a_finished_model_whose_parent_comes_out_changed_is_not_overwritten(self, tmp_path: Path) -> None:
        train(tmp_path)
        kept = (tmp_path / "test" / "stolen.onnx").read_bytes()
        (tmp_path / "source" / "source.onnx").unlink()
        quick = [replace(job, seed=9) if job.name == "stolen" else job for job in JOBS]
        with pytest.raises(PoolError, match=r"stolen\.onnx: this finished model"):
            train(tmp_path, quick)
        assert (tmp_path / "test" / "stolen.onnx").read_bytes() == kept
        assert train(tmp_path).made == []

    def test_a_failure_stops_only_what_depends_on_it(self, tmp_path: Path) -> None:
        with pytest.raises(
            PoolError, match=r"(?s)2 of 5 jobs.*other 3 are kept.*stolen: ValueError: no luck"
        ) as caught:
            train(tmp_path, failing=("stolen",))
        assert "grandchild: its parent stolen was not made" in str(caught.value)
        assert isinstance(caught.value.__cause__, ValueError)
        assert not (tmp_path / "pool.toml").exists()
        assert not list(tmp_path.rglob(".*"))
        assert train(tmp_path).made == ["stolen", "grandchild"]

    def test_many_failures_of_one_reason_are_one_line(self, tmp_path: Path) -> None:
        jobs = [job("source", "source"), *(job(f"other-{i:02}", seed=i) for i in range(15))]
        with pytest.raises(PoolError, match=r"other-00, .* and 3 more: ValueError: no luck") as caught:
            train(tmp_path, jobs, failing=tuple(job.name for job in jobs[1:]))
        assert len(str(caught.value).splitlines()) == 2

    def test_a_job_that_kills_its_worker_is_found_and_the_others_are_made(self, tmp_path: Path) -> None:
        with pytest.raises(PoolError, match=r"(?s)1 of 5 jobs.*other: its process ended 3 times"):
            train(tmp_path, killing=("other",))
        assert sorted(train(tmp_path).made) == ["other"]

    def test_workers_that_die_at_once_are_reported(self, tmp_path: Path) -> None:
        class Dead(ScriptedCrew):
            def submit(self, work: Callable[[Any, Any], Any], item: Any) -> "Future[Any]":  # noqa: ANN401, ARG002
                raise BrokenExecutor("all are dead")

        with pytest.raises(PoolError, match=r"(?s)5 of 5 jobs.*source.*: BrokenExecutor: all are dead"):
            train_pool(JOBS, DATA, tmp_path / "pool.toml", crew=Dead().opened())

    def test_a_full_disk_is_a_sentence_and_loses_nothing(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        train(tmp_path)
        before = (tmp_path / "pool.toml").read_text()

        def full(_handle: int) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

        more = [*JOBS, job("another")]
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            with pytest.raises(PoolError, match=r"1 of 6 jobs.*(?s:.)*No space left on device"):
                train(tmp_path, more)
        assert (tmp_path / "pool.toml").read_text() == before
        assert train(tmp_path, more).made == ["another"]

    def test_snapshots_are_members(self, tmp_path: Path) -> None:
        long = job("long", role="generate", recipe=Recipe(epochs=8, batch_size=16), snapshots=2)
        train(tmp_path, [job("source", "source"), long])
        members = read_pool(tmp_path / "pool.toml").select(role="generate")
        assert [member.name for member in members] == ["long", "long.epoch-005", "long.epoch-006"]
        assert members[1].kind == "independent, epoch 5 of 8"
        assert len({member.digest() for member in members}) == 3
        assert train(tmp_path, [job("source", "source"), long]).made == []

    def test_estimator(self, tmp_path: Path) -> None:
        jobs = [job("source", "source"), job("forest", SCIKIT_LEARN.name, architecture="svc-rbf")]
        train(tmp_path, jobs)
        pool = read_pool(tmp_path / "pool.toml")
        assert pool.members[1].contract is None  # the file says it
        assert (pool.members[1].accuracy or 0) > 0.9

    def test_foreign_queries(self, tmp_path: Path) -> None:
        jobs = [job("source", "source"), job("thief", "hard labels", queries="foreign")]
        with pytest.raises(PoolError, match="foreign images, and there are none"):
            train(tmp_path, jobs)
        foreign = blobs(40, seed=7).images
        assert train(tmp_path, jobs, PoolData(DATA.train, DATA.test, foreign)).made == ["source", "thief"]
        fewer = PoolData(DATA.train, DATA.test, foreign[:30])
        assert train(tmp_path, jobs, fewer, replaces=True).made == ["source", "thief"]
        with pytest.raises(DataError, match="have one shape"):
            PoolData(DATA.train, DATA.test, foreign[:, :4])

    def test_members_from_elsewhere_stay_in_the_manifest(self, tmp_path: Path) -> None:
        train(tmp_path)
        manifest = tmp_path / "pool.toml"
        foreign = '[[model]]\npath = "theirs.onnx"\nrole = "test"\nrelation = "reference"\nsha256 = "ab"\n'
        manifest.write_text(f"{manifest.read_text()}\n{foreign}")
        train(tmp_path, [job("source", "source"), job("new")])
        assert [member.name for member in read_pool(manifest).members] == ["source", "new", "theirs"]

    def test_an_added_copy_of_a_trained_model_in_another_role_is_refused(self, tmp_path: Path) -> None:
        train(tmp_path / "elsewhere")
        copy = tmp_path / "copy.onnx"
        copy.write_bytes((tmp_path / "elsewhere" / "test" / "other.onnx").read_bytes())
        manifest = tmp_path / "pool.toml"
        row = {"path": "copy.onnx", "role": "generate", "relation": "reference", "sha256": sha256_of_file(copy)}
        append_rows(manifest, [row])
        before = manifest.read_text()
        with pytest.raises(PoolError, match=r"copy\.onnx: it was added .* generate, and .*other\.onnx .test."):
            train(tmp_path)
        assert manifest.read_text() == before
        assert (tmp_path / "test" / "other.onnx").exists()

    def test_a_second_source_is_refused_before_the_training(self, tmp_path: Path) -> None:
        append_rows(tmp_path / "pool.toml", [{"path": "mine.onnx", "role": "source", "relation": "source"}])
        with pytest.raises(PoolError, match="a pool has one source"):
            train(tmp_path)
        assert not (tmp_path / "state").exists()


class TestCheckJobs:
    @pytest.mark.parametrize(
        ("jobs", "message"),
        [
            ([job("a")], "exactly one source"),
            ([job("source", "source"), job("source")], "same name"),
            ([job("source", "source"), job("a", "pruned", parent="b")], "no neural network"),
            ([job("source", "source"), job("b"), job("a", "pruned", parent="b")], "is a reference"),
            ([job("source", "source"), job("a", "pruned", architecture="cnn-small")], "keeps its parent's"),
            ([job("source", "source"), job("a", "pruned", trainer="keras")], "keeps its parent's"),
            ([job("source", "source"), job("a", "other architecture")], "has its parent's"),
            ([job("source", "source"), job("a", "adversarially fine-tuned")], "adversarial radius"),
            ([job("source", "source", origin=Path("s.tflite")), job("a", "pruned")], "no file whose weights"),
            (
                [job("source", "source"), job("a", "pruned", role="screen"), job("b", "pruned", parent="a")],
                "roles must not mix",
            ),
            ([job("source", "source"), job("a", "pruned", parent="b"), job("b", "pruned", parent="a")], "circle"),
        ],
    )
    def test_refuses(self, jobs: list[PoolJob], message: str) -> None:
        with pytest.raises(PoolError, match=message):
            check_jobs(jobs)

    @pytest.mark.parametrize(
        ("kind", "recipe", "message"),
        [
            ("8-bit weights", Recipe(), "has no epochs"),
            (SCIKIT_LEARN.name, Recipe(), "has no epochs"),
            ("hard labels", Recipe(validation=0.1, patience=3), "may end before its snapshots"),
        ],
    )
    def test_refuses_snapshots_that_may_never_be_there(self, kind: str, recipe: Recipe, message: str) -> None:
        with pytest.raises(PoolError, match=message):
            job("a", kind, role="generate", recipe=recipe, snapshots=1)
        assert job("a", kind, role="generate", recipe=recipe).member_names() == ("a",)

    @pytest.mark.parametrize(
        "changes",
        [
            {"name": "../x"},
            {"parent": "source"},
            {"role": "source"},
            {"kind": "magic"},
            {"snapshots": 1},
            {"snapshots": 2, "role": "screen"},
            {"origin": Path("x.onnx")},
            {"queries": "foreign"},
            {"kind": SCIKIT_LEARN.name, "weights": PUBLISHED},
            {"kind": "pruned", "parent": "source", "weights": PUBLISHED},
            {"kind": "source", "role": "source", "origin": Path("x.onnx"), "weights": PUBLISHED},
        ],
    )
    def test_refuses_a_job(self, changes: dict[str, Any]) -> None:
        with pytest.raises(PoolError):
            replace(job("a"), **changes)


class TestDigest:
    def test_a_field_at_its_default_keeps_the_digest_of_earlier_jobs(self) -> None:
        plain = PoolJob(name="a", role="test", kind="independent", architecture="mlp", seed=1)
        before = "85ccf9c0dc0352c0e7f2ccf69ce05a70b57c9b44e61e30bdb30380f54fe24e9f"  # made before `l2` was there
        assert job_digest(plain, data="d", parent="") == before
        assert job_digest(replace(plain, recipe=Recipe(l2=1e-4)), data="d", parent="") != before
        assert job_digest(replace(plain, recipe_name="own"), data="d", parent="") == before
        assert job_digest(replace(plain, part=Part(share=0.5)), data="d", parent="") != before

    def test_pretrained_weights_count_by_their_content(self) -> None:
        weights = {
            "none": None,
            "published": Pretrained(ancestor="ImageNet"),
            "a file": Pretrained(ancestor="a", path=Path("a.h5"), sha256="aa"),
            "another": Pretrained(ancestor="a", path=Path("a.h5"), sha256="bb"),
            "moved": Pretrained(ancestor="b", path=Path("elsewhere/b.h5"), sha256="aa"),
        }
        found = {name: job_digest(replace(job("a"), weights=w), data="d", parent="") for name, w in weights.items()}
        assert found.pop("moved") == found["a file"]
        assert len(set(found.values())) == 4
