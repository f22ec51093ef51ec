"""`cae pool`: train, list, check, add."""

import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper

from cae_core.pool.manifest import read_pool
from tests.backends.killing import DaskCluster, Site
from tests.cli.conftest import Outcome, Pool
from tests.cli.test_bad_input import assert_one_sentence, linear_graph

Run = Callable[..., Outcome]

PLAN = """
data = "digits"

[source]
architecture = "mlp"
recipe = "short"

[recipe.short]
base = "digits"
epochs = 6
share = 0.5

[[members]]
kind = "hard labels"
architectures = ["mlp", "cnn-small"]
recipes = ["short"]
count = { generate = 2 }

[[members]]
kind = "8-bit weights"
count = { test = 1 }

[[members]]
kind = "independent"
architectures = ["cnn-small"]
recipes = ["short"]
count = { test = 1 }
"""


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("plan") / "plan.toml"
    path.write_text(PLAN)
    return path


def train(plan: Path, folder: Path, *more: str) -> None:
    command = [sys.executable, "-m", "cae_cli", "pool", "train", str(plan), "--pool", str(folder / "pool.toml"), *more]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    progress = re.compile(r"cae: \d+:\d\d:\d\d training .*")  # each minute, on a slow machine
    assert [line for line in done.stderr.splitlines() if not progress.fullmatch(line)] == []


@pytest.fixture(scope="module")
def trained(plan: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A pool of five models; nobody changes it."""
    folder = tmp_path_factory.mktemp("trained")
    train(plan, folder, "--workers", "1")
    return folder / "pool.toml"


@pytest.fixture
def copied(trained: Path, tmp_path: Path) -> Path:
    """A copy that a test may change."""
    for member in read_pool(trained).members:
        path = tmp_path / member.path.relative_to(trained.parent)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(member.path.read_bytes())
    manifest = tmp_path / "pool.toml"
    manifest.write_text(trained.read_text())
    return manifest


class TestTrain:
    @pytest.mark.long
    def test_a_dask_cluster_and_local_processes_make_the_same_files(
        self, trained: Path, plan: Path, tmp_path: Path
    ) -> None:
        with closing(DaskCluster(Site(tmp_path))) as dask:
            train(plan, tmp_path / "dask", "--cluster", dask.address)
        assert (tmp_path / "dask" / "pool.toml").read_text() == trained.read_text()
        for member in read_pool(tmp_path / "dask" / "pool.toml").members:
            member.digest()

    def test_a_second_call_makes_nothing(self, trained: Path, plan: Path, run_cae: Run) -> None:
        before = trained.read_text(), {path: path.stat().st_mtime_ns for path in trained.parent.rglob("*.onnx")}
        shown = run_cae("pool", "train", plan, "--pool", trained, "--json").json()
        assert sum(row["jobs"] for row in shown["jobs"]) == 5
        assert shown["seconds"] < 5
        after = {path: path.stat().st_mtime_ns for path in trained.parent.rglob("*.onnx")}
        assert (trained.read_text(), after) == before

    def test_a_dry_run_reads_the_images_that_are_named(self, plan: Path, tmp_path: Path, run_cae: Run) -> None:
        np.savez(tmp_path / "keras.npz", x_train=np.zeros((4, 8, 8, 1), np.uint8), y_train=np.zeros(4, np.int64))
        outcome = run_cae("pool", "train", plan, "--data", tmp_path / "keras.npz", "--dry-run")
        assert_one_sentence(outcome, "the file has no array 'images'")

    def test_a_dry_run_makes_nothing(self, plan: Path, tmp_path: Path, run_cae: Run) -> None:
        outcome = run_cae("pool", "train", plan, "--pool", tmp_path / "pool.toml", "--dry-run")
        assert outcome.code == 0
        assert "8-bit weights" in outcome.out
        assert not list(tmp_path.iterdir())

    def test_options_instead_of_a_plan(self, tmp_path: Path, run_cae: Run) -> None:
        options = ("--surrogates", "7", "--references", "3", "--recipe", "digits", "--role", "screen")
        shown = run_cae("pool", "train", *options, "--pool", tmp_path / "p.toml", "--dry-run", "--json").json()
        count = {(row["role"], row["kind"]): row["jobs"] for row in shown["jobs"]}
        assert count["screen", "hard labels"] == 3
        assert count["screen", "independent"] == 3
        assert count["source", "source"] == 1
        assert sum(count.values()) == 11

    @pytest.mark.long
    def test_a_source_that_is_there_already(self, pool: Pool, tmp_path: Path, run_cae: Run) -> None:
        options = ("--source", pool.source, "--surrogates", "2", "--references", "1", "--role", "generate")
        few = ("--recipe", "digits", "--epochs", "2", "--architecture", "mlp", "--data", "digits", "--workers", "1")
        manifest = tmp_path / "pool.toml"
        outcome = run_cae("pool", "train", *options, *few, "--pool", manifest)
        assert outcome.code == 0, outcome.err
        made = read_pool(manifest)
        assert made.source.path == pool.source
        assert [member.kind for member in made.members[1:]] == ["hard labels", "soft labels", "independent"]
        reports = run_cae("pool", "check", "--pool", manifest, "--data", "digits", "--json").json()["models"]
        assert reports[0]["agreement"] == 1.0
        assert reports[1]["agreement"] > reports[3]["agreement"] - 0.1

    @pytest.mark.parametrize(
        ("options", "words", "code"),
        [
            (("--recipe", "magic"), ("have no 'magic'",), 2),
            (("--architecture", "vgg", "--data", "digits"), ("source: Unknown architecture 'vgg'",), 1),
            (("--architecture", "vgg", "--dry-run"), ("source: Unknown architecture 'vgg'",), 1),
            (("--trainer", "jax", "--data", "digits"), ("No trainer 'jax'",), 1),
            ((), ("Neither the plan nor --data",), 2),
            pytest.param(
                *(("--cluster", "tcp://127.0.0.1:9", "--data", "digits"), ("No Dask scheduler answers",), 1),
                marks=pytest.mark.long,  # seconds of waiting for one
            ),
            (("--cluster", "tcp://127.0.0.1:9", "--data", "digits", "--resource", "GPU"), ("NAME=NUMBER",), 2),
        ],
    )
    def test_bad_input(
        self, options: tuple[str, ...], words: tuple[str, ...], code: int, tmp_path: Path, run_cae: Run
    ) -> None:
        few = ("--surrogates", "1", "--references", "1", "--workers", "1")
        outcome = run_cae("pool", "train", *few, *options, "--pool", tmp_path / "pool.toml")
        assert outcome.code == code
        assert "Traceback" not in outcome.err
        for word in words:
            assert word in outcome.err

    @pytest.mark.parametrize(
        "option",
        [
            ("--source", "x.onnx"),
            ("--architecture", "nix"),
            ("--recipe", "fast"),
            ("--surrogates", "3"),
            ("--references", "0"),
            ("--role", "test"),
            ("--trainer", "keras"),
            ("--resource", "GPU=1"),
        ],
    )
    def test_an_option_without_effect_is_refused(self, option: tuple[str, str], plan: Path, run_cae: Run) -> None:
        assert_one_sentence(run_cae("pool", "train", plan, "--dry-run", *option), option[0], code=2)

    @pytest.mark.parametrize("workers", ["0", "-1"])
    def test_no_workers(self, workers: str, plan: Path, run_cae: Run) -> None:
        outcome = run_cae("pool", "train", plan, "--workers", workers, "--dry-run")
        assert outcome.code == 2
        assert "--workers" in outcome.err

    def test_data_with_one_split(self, plan: Path, tmp_path: Path, run_cae: Run) -> None:
        np.savez(tmp_path / "d.npz", images=np.zeros((9, 8, 8), np.uint8), labels=np.arange(9))
        outcome = run_cae("pool", "train", plan, "--pool", tmp_path / "pool.toml", "--data", tmp_path / "d.npz")
        assert_one_sentence(outcome, "are the same", "--test-data", code=2)

    @pytest.mark.slow
    def test_keras_makes_the_same_files_again(self, tmp_path: Path, run_cae: Run) -> None:
        plan = tmp_path / "plan.toml"
        small = PLAN.replace("epochs = 6", "epochs = 1").replace(
            'data = "digits"', 'data = "digits"\ntrainer = "keras"'
        )
        plan.write_text(small)
        for folder, workers in (("one", "1"), ("two", "2")):
            train(plan, tmp_path / folder, "--workers", workers)
        assert (tmp_path / "one" / "pool.toml").read_text() == (tmp_path / "two" / "pool.toml").read_text()
        assert run_cae("pool", "check", "--pool", tmp_path / "two" / "pool.toml", "--data", "digits").code == 0

    def test_an_added_model_that_the_plan_makes_in_another_role_is_refused(
        self, trained: Path, plan: Path, tmp_path: Path, run_cae: Run
    ) -> None:
        """Other bytes, the same answers; the plan's own models are trained, and not yet in the manifest."""
        manifest = Path(shutil.copytree(trained.parent, tmp_path / "pool")) / "pool.toml"
        manifest.unlink()
        model = onnx.load(manifest.parent / "test" / "test-independent-001.onnx")
        model.doc_string = "mine"
        onnx.save(model, tmp_path / "mine.onnx")
        assert run_cae("pool", "add", tmp_path / "mine.onnx", *added(manifest, "generate")).code == 0
        before = manifest.read_text()
        outcome = run_cae("pool", "train", plan, "--pool", manifest, "--workers", "1")
        assert_one_sentence(outcome, "mine.onnx", "the same model", "one role")
        assert manifest.read_text() == before
        assert len(list((manifest.parent / "test").glob("*.onnx"))) == 2

    def test_a_second_source_is_refused(self, copied: Path, pool: Pool, plan: Path, run_cae: Run) -> None:
        options = ("--data", "digits", "--role", "source", "--relation", "source")
        assert_one_sentence(run_cae("pool", "add", pool.other, "--pool", copied, *options), "has one source")
        copied.unlink()
        assert run_cae("pool", "add", pool.other, "--pool", copied, *options).code == 0
        assert_one_sentence(run_cae("pool", "train", plan, "--pool", copied), "has one source")


class TestListAndCheck:
    def test_list_reads_the_manifest_only(self, copied: Path, run_cae: Run) -> None:
        next(copied.parent.rglob("*.onnx")).unlink()
        models = run_cae("pool", "list", "--pool", copied, "--json").json()["models"]
        assert [model["role"] for model in models] == ["source", "generate", "generate", "test", "test"]
        assert all(model["accuracy"] > 0.5 and model["agreement"] is None for model in models)
        shown = run_cae("pool", "list", "--pool", copied).out
        assert "8-bit weights" in shown
        assert models[0]["sha256"][:8] in shown

    def test_list_names_the_problems_that_it_found(self, copied: Path, run_cae: Run) -> None:
        changed = copied.parent / "test" / "test-independent-001.onnx"
        changed.write_bytes(b"changed")
        outcome = run_cae("pool", "list", "--pool", copied, "--data", "digits")
        assert outcome.code == 0
        assert f"{changed}: the file has changed" in outcome.err

    def test_check_measures(self, trained: Path, fingerprint: Path, run_cae: Run) -> None:
        outcome = run_cae("pool", "check", "--pool", trained, "--data", "digits", "-f", fingerprint, "--json")
        assert outcome.code == 0, outcome.err
        assert {(group["role"], group["exposure"], group["unknown"]) for group in outcome.json()["support"]} == {
            ("test", "none", 0)  # whose test images the fingerprint was made of
        }
        models = outcome.json()["models"]
        assert models[0]["agreement"] == 1.0
        assert models[3]["agreement"] > 0.98  # 8-bit weights
        assert all(model["problems"] == [] for model in models)
        measured = run_cae("pool", "list", "--pool", trained, "--data", "digits", "--json").json()["models"]
        assert measured == models

    def test_a_missing_and_a_changed_file(self, copied: Path, run_cae: Run) -> None:
        (copied.parent / "test" / "test-independent-001.onnx").unlink()
        (copied.parent / "source" / "source.onnx").write_bytes(b"changed")
        outcome = run_cae("pool", "check", "--pool", copied, "--data", "digits")
        assert_one_sentence(outcome, "2 problems", "no such file", "has changed")

    def test_another_number_of_classes(self, copied: Path, run_cae: Run) -> None:
        linear_graph(copied.parent / "seven.onnx", 7)
        row = '\n[[model]]\npath = "seven.onnx"\nrole = "test"\nrelation = "reference"\n'
        copied.write_text(copied.read_text() + row)
        outcome = run_cae("pool", "check", "--pool", copied, "--data", "digits")
        assert_one_sentence(outcome, "1 problem was found", "answers 7 classes and the data have 10")

    def test_an_accuracy_that_is_not_the_manifests(self, copied: Path, run_cae: Run) -> None:
        first = f"accuracy = {read_pool(copied).source.accuracy}"
        copied.write_text(copied.read_text().replace(first, "accuracy = 0.42", 1))
        assert_one_sentence(run_cae("pool", "check", "--pool", copied, "--data", "digits"), "accuracy of 0.420")

    @pytest.mark.parametrize("content", [None, "[[model", "[contract]\n"])
    def test_a_wrong_manifest(self, content: str | None, tmp_path: Path, run_cae: Run) -> None:
        path = tmp_path / "pool.toml"
        if content is not None:
            path.write_text(content)
        for command in ("list", "check"):
            data = ("--data", "digits") if command == "check" else ()
            assert_one_sentence(run_cae("pool", command, "--pool", path, *data), str(path))


class TestGenerate:
    @pytest.mark.parametrize("manifest_in", ["--pool", "--surrogates"])
    def test_a_test_member_beside_the_manifest_is_refused(
        self, manifest_in: str, trained: Path, tmp_path: Path, run_cae: Run
    ) -> None:
        member = trained.parent / "test" / "test-independent-001.onnx"
        options = ("--source", trained.parent / "source" / "source.onnx", "--references", member)
        given = (*options, manifest_in, trained, "--output", tmp_path / "f.safetensors")
        outcome = run_cae("generate", "--data", "digits", *given)
        assert_one_sentence(outcome, str(member), "the role test", "only generate members")

    @pytest.mark.parametrize("manifest_in", ["--pool", "--references"])
    def test_a_source_that_is_another_member_of_the_manifest_is_refused(
        self, manifest_in: str, trained: Path, tmp_path: Path, run_cae: Run
    ) -> None:
        member = trained.parent / "generate" / "generate-hard-labels-001.onnx"
        given = ("--source", member, manifest_in, trained, "--output", tmp_path / "f.safetensors")
        outcome = run_cae("generate", "--data", "digits", *given, "--surrogates", trained)
        assert_one_sentence(outcome, str(member), "the role generate", "only source members")


class TestAdd:
    def test_a_model_from_elsewhere(self, copied: Path, pool: Pool, run_cae: Run) -> None:
        before = copied.read_text()
        outcome = run_cae("pool", "add", pool.other, *added(copied, "test"), "--kind", "a competitor's")
        assert outcome.code == 0, outcome.err
        assert copied.read_text().startswith(before.rstrip())
        member = read_pool(copied).members[-1]
        assert (member.path, member.role, member.relation, member.kind) == (
            pool.other,
            "test",
            "reference",
            "a competitor's",
        )
        assert member.digest() == member.sha256
        assert (member.accuracy or 0) > 0.8
        assert run_cae("pool", "check", "--pool", copied, "--data", "digits").code == 0
        assert_one_sentence(run_cae("pool", "add", pool.other, *added(copied, "screen")), "stands in the pool twice")

    def test_a_new_manifest_begins_with_any_model(self, pool: Pool, tmp_path: Path, run_cae: Run) -> None:
        (tmp_path / "m.onnx").write_bytes(pool.other.read_bytes())
        outcome = run_cae("pool", "add", tmp_path / "m.onnx", *added(tmp_path / "pool.toml", "test"))
        assert outcome.code == 0, outcome.err
        assert 'path = "m.onnx"' in (tmp_path / "pool.toml").read_text()

    def test_pt2_and_a_contract(self, copied: Path, tmp_path: Path, run_cae: Run) -> None:
        module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(64, 10)).eval()
        program = torch.export.export(module, (torch.rand(2, 1, 8, 8),), dynamic_shapes=({0: torch.export.Dim("n")},))
        torch.export.save(program, tmp_path / "m.pt2")
        contract = 'layout="NCHW", range=[0,1], output="logits"'
        outcome = run_cae(
            "pool", "add", tmp_path / "m.pt2", *added(copied, "test"), "--contract", contract, "--trusted"
        )
        assert outcome.code == 0, outcome.err
        assert run_cae("pool", "check", "--pool", copied, "--data", "digits").code == 0
        assert_one_sentence(
            run_cae("pool", "add", tmp_path / "m.pt2", *added(copied, "test"), "--contract", "layout=1"), "layout"
        )

    @pytest.mark.parametrize("role", ["test", "generate", "screen"])
    def test_the_same_model_converted_is_refused(self, role: str, copied: Path, tmp_path: Path, run_cae: Run) -> None:
        """Other bytes, other weights, the same answers: every weight scaled, its scale taken back by the next layer."""
        (member, *_) = read_pool(copied).select(role="generate")
        model = onnx.load(member.path)
        weights = {item.name: item for item in model.graph.initializer}
        for name, factor in (("2.weight", 2), ("2.bias", 2), ("4.weight", 0.5)):
            array = numpy_helper.to_array(weights[name]) * np.float32(factor)
            weights[name].CopyFrom(numpy_helper.from_array(array, name))
        onnx.save(model, tmp_path / "converted.onnx")
        before = copied.read_text()
        outcome = run_cae("pool", "add", tmp_path / "converted.onnx", *added(copied, role))
        assert_one_sentence(outcome, "Nothing was added", "the same model", member.path.name)
        assert copied.read_text() == before
        row = f'\n[[model]]\npath = "{tmp_path}/converted.onnx"\nrole = "{role}"\nrelation = "surrogate"\n'
        copied.write_text(before + row)
        assert_one_sentence(run_cae("pool", "check", "--pool", copied, "--data", "digits"), "the same model")

    def test_a_parent_stands_in_the_pool(self, copied: Path, pool: Pool, run_cae: Run) -> None:
        before = copied.read_text()
        refused = run_cae("pool", "add", pool.other, *added(copied, "test"), "--parent", "sorce")
        assert_one_sentence(refused, "--parent", "'sorce'", code=2)
        assert copied.read_text() == before
        assert run_cae("pool", "add", pool.other, *added(copied, "test"), "--parent", "source").code == 0

    def test_bad_input(self, copied: Path, tmp_path: Path, run_cae: Run) -> None:
        linear_graph(tmp_path / "seven.onnx", 7)
        linear_graph(tmp_path / "mute.onnx", 10, metadata={})
        before = copied.read_text()
        for name, words in (("seven", "7 classes"), ("mute", "does not say what it takes"), ("no", "no such file")):
            assert_one_sentence(run_cae("pool", "add", tmp_path / f"{name}.onnx", *added(copied, "test")), words)
        wrong = ("--pool", copied, "--data", "digits", "--role", "train", "--relation", "reference")
        assert_one_sentence(run_cae("pool", "add", tmp_path / "seven.onnx", *wrong), "role must be one of")
        assert copied.read_text() == before


def added(manifest: Path, role: str) -> tuple[Any, ...]:
    return ("--pool", manifest, "--data", "digits", "--role", role, "--relation", "reference")


@pytest.mark.parametrize(
    ("name", "kinds"),
    [
        ("mine.keras", {"hard labels", "soft labels", "distilled", "fine-tuned", "pruned"}),
        ("mine.pt2", {"hard labels", "soft labels", "distilled", "fine-tuned", "pruned"}),
        ("mine.onnx", {"hard labels", "soft labels"}),
    ],
)
def test_without_a_plan_a_source_that_is_there_is_copied_where_its_framework_trains_it(
    name: str, kinds: set[str], tmp_path: Path, run_cae: Run
) -> None:
    (tmp_path / name).write_bytes(b"")
    told = run_cae("pool", "train", "--source", tmp_path / name, "--trusted", "--data", "digits", "--dry-run", "--json")
    assert {row["kind"] for row in told.json()["jobs"]} == kinds | {"source", "independent"}
