"""Plans: what they mean, that more of the same changes nothing that is there, and what is refused."""

import hashlib
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cae_backends.datasets import open_data
from cae_backends.training.job_runner import given_images
from cae_backends.training.jobs import job_digest
from cae_backends.training.kinds.setup import Setup
from cae_backends.training.kinds.table import KINDS, find_kind
from cae_backends.training.plans import parse_plan, read_plan
from cae_backends.training.pool_store import PoolData
from cae_backends.training.pretrained import Pretrained
from cae_backends.training.trainers import find_trainer
from cae_core.errors import CaeError, PoolError
from cae_core.pool.trained_on import Part

EXAMPLES = Path(__file__).parents[3] / "examples" / "pools"
ROLES = ("generate", "screen", "calibrate", "test")


def table(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    group = {
        "kind": "hard labels",
        "architectures": ["mlp", "cnn-small"],
        "recipes": ["digits", "fast"],
        "count": {"generate": 5, "test": 1},
    }
    made: dict[str, Any] = {"source": {"architecture": "mlp", "recipe": "digits"}, "members": [group]}
    return made | changes


def group(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return table(members=[table()["members"][0] | changes])


def pretrained(**changes: Any) -> dict[str, Any]:  # noqa: ANN401
    return group(**{"weights": "imagenet", "architectures": ["mobilenetv2", "densenet121-top"]} | changes)


LARGE = {"architecture": "mobilenetv2", "recipe": "fast", "weights": "imagenet"}
COPY = {"kind": "fine-tuned", "recipes": ["fast"], "count": {"test": 1}}


def test_architectures_and_recipes_are_taken_in_turn() -> None:
    source, *members = parse_plan(table(), origin="p").jobs
    assert (source.name, source.architecture, source.recipe.epochs) == ("source", "mlp", 10)
    assert [job.name for job in members[4:]] == ["generate-hard-labels-005", "test-hard-labels-001"]
    turns = [(job.architecture, job.recipe.optimizer) for job in members]
    assert turns[:5] == [("mlp", "adam"), ("cnn-small", "adam"), ("mlp", "sgd"), ("cnn-small", "sgd"), ("mlp", "adam")]
    assert len({job.seed for job in members}) == 6


def test_owner_and_others_are_given_parts_of_the_images() -> None:
    parts = {"owner": {"share": 0.4, "seed": 7}, "others": {"rest_of": "owner"}}
    source = {"architecture": "mlp", "recipe": "digits", "images": "owner"}
    own, *members = parse_plan(group(images="others") | {"parts": parts, "source": source}, origin="p").jobs
    assert own.part == Part(share=0.4, seed=7)
    assert {job.part for job in members} == {Part(share=0.4, seed=7, rest=True)}
    train = open_data("digits", split="train")
    asked = Setup(
        trainer=find_trainer("torch"),
        data=given_images(members[0], PoolData(train, train)),
        architecture="mlp",
        seed=0,
        recipe=replace(members[0].recipe, share=0.5),
    ).asked()
    held = {image.tobytes() for image in given_images(own, PoolData(train, train)).images}
    assert len(asked) == round(0.5 * (len(train) - round(0.4 * len(train))))
    assert not held & {image.tobytes() for image in asked}


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        (3, "parts are tables"),
        ({"a": 3}, "parts are tables"),
        ({"a": {"share": 1.0}}, r"part 'a': A part's share lies in \(0, 1\)"),
        ({"a": {"share": "x"}}, "part 'a': share must be"),
        ({"a": {"share": 0.5, "seed": -1}}, "its seed is not negative"),
        ({"a": {"share": 0.5, "rest_of": "b"}}, "part 'a': unknown field 'rest_of'"),
        ({"a": {}}, "rest_of names a part that has a share; found ''"),
        ({"a": {"rest_of": "a"}}, "rest_of names a part that has a share; found 'a'"),
        ({"b": {"share": 0.5}}, "images is the name of one of .parts.; found 'a'"),
    ],
)
def test_parts_that_are_none(parts: object, message: str) -> None:
    with pytest.raises(PoolError, match=message):
        parse_plan(group(images="a") | {"parts": parts}, origin="p")


def test_foreign_queries_are_no_part() -> None:
    with pytest.raises(PoolError, match="of which this one sees none"):
        parse_plan(group(images="a", queries="foreign") | {"parts": {"a": {"share": 0.5}}}, origin="p")


def test_a_higher_count_leaves_the_others_as_they_are() -> None:
    few = parse_plan(table(), origin="p").jobs
    many = parse_plan(group(count={"generate": 9, "screen": 2, "test": 4}), origin="p").jobs
    assert set(few) < set(many)
    other = parse_plan(table(seed=1), origin="p").jobs
    assert not {job.seed for job in few} & {job.seed for job in other}


class TestControls:
    def test_each_has_the_sources_recipe_and_the_generate_surrogates_with_seeds_of_its_own(self) -> None:
        reference = {"kind": "independent", "recipes": ["fast"], "architectures": ["mlp"], "count": {"generate": 2}}
        plan = parse_plan(table(controls=2, members=[*table()["members"], reference]), origin="p")
        assert plan.jobs == parse_plan(table(members=[*table()["members"], reference]), origin="p").jobs
        originals = [job for job in plan.jobs if job.role == "source" or "generate-hard" in job.name]
        for number, jobs in enumerate(plan.controls, start=1):
            prefix = f"control-0{number}-"
            assert [job.name for job in jobs] == [prefix + job.name for job in originals]
            assert [job.images_seed for job in jobs] == [originals[0].seed] + [None] * 5
            for mine, original in zip(jobs, originals, strict=True):
                same: dict[str, Any] = {
                    "name": original.name,
                    "seed": original.seed,
                    "parent": original.parent,
                    "images_seed": None,
                }
                assert replace(mine, **same) == original
            assert {job.parent for job in jobs[1:]} == {prefix + "source"}
        seeds = [job.seed for jobs in (plan.jobs, *plan.controls) for job in jobs]
        assert len(set(seeds)) == len(seeds)

    def test_the_images_are_drawn_as_the_sources_are(self) -> None:
        changed = {"architecture": "mlp", "recipe": "digits", "changes": {"share": 0.5}}
        plan = parse_plan(table(controls=1, source=changed), origin="p")
        source, control = plan.jobs[0], plan.controls[0][0]
        portions = [
            Setup(
                trainer=find_trainer("torch"),
                data=open_data("digits", split="train"),
                architecture=job.architecture,
                seed=job.seed,
                recipe=job.recipe,
                images_seed=job.images_seed,
            ).portion()
            for job in (source, control, replace(control, images_seed=None))
        ]
        assert portions[0].sha256() == portions[1].sha256() != portions[2].sha256()
        digests = {job_digest(job, data="", parent="") for job in (control, replace(control, images_seed=None))}
        assert len(digests) == 2

    def test_they_are_shortened_too(self) -> None:
        plan = parse_plan(table(controls=1), origin="p").shortened(epochs=1)
        assert {job.recipe.epochs for job in plan.controls[0]} == {1}

    @pytest.mark.parametrize(
        ("changes", "message"),
        [
            ({"controls": -1}, "at most 999"),
            ({"controls": 1000}, "at most 999"),
            ({"controls": True}, "at most 999"),
            ({"controls": "19"}, "at most 999"),
            ({"controls": 999, "members": [table()["members"][0] | {"count": {"generate": 11}}]}, "at most 10000"),
            ({"controls": 1, "members": []}, "there are none"),
            ({"controls": 1, "source": {"file": "pyproject.toml"}}, "which a file does not tell"),
        ],
    )
    def test_what_makes_no_controls_is_refused(self, changes: dict[str, Any], message: str) -> None:
        changes = changes | ({"members": []} if "source" in changes else {})
        with pytest.raises(PoolError, match=message):
            parse_plan(table(**changes), origin="p", folder=EXAMPLES.parents[1])


def test_snapshots_only_where_independence_does_not_matter() -> None:
    jobs = parse_plan(group(snapshots=2), origin="p").jobs
    assert [job.snapshots for job in jobs] == [0, 2, 2, 2, 2, 2, 0]


def test_a_base_needs_not_be_a_recipe_by_itself() -> None:
    parse_plan(table(recipe={"part": {"plateau": 3}, "whole": {"base": "part", "validation": 0.1}}), origin="p")


def test_a_shortened_plan() -> None:
    plan = parse_plan(table(), origin="p").shortened(epochs=3, share=0.5)
    assert {job.recipe.epochs for job in plan.jobs} == {3}
    assert {job.recipe.share for job in plan.jobs} == {0.5}


def test_published_weights_are_those_of_the_trainers_framework() -> None:
    source, *members = parse_plan(pretrained() | {"source": {**LARGE, "trainer": "keras"}}, origin="p").jobs
    assert source.weights == Pretrained(ancestor="ImageNet weights of keras.applications MobileNetV2")
    found = [job.weights.ancestor for job in members if job.weights is not None]
    assert found[:2] == [
        f"ImageNet weights of torchvision {n} (IMAGENET1K_V1)" for n in ("mobilenet_v2", "densenet121")
    ]
    assert len(found) == 6
    assert all(job.weights is None for job in parse_plan(table(), origin="p").jobs)


def test_weights_of_a_file_lie_beside_the_plan(tmp_path: Path) -> None:
    (tmp_path / "owner.pth").write_bytes(b"weights")
    source = {**LARGE, "weights": "owner.pth"}
    job, child = parse_plan(table(source=source, members=[COPY]), origin="p", folder=tmp_path).jobs
    digest = hashlib.sha256(b"weights").hexdigest()
    ancestor = f"owner (SHA-256 {digest[:12]})"
    assert (job.weights, child.weights) == (
        Pretrained(ancestor=ancestor, path=tmp_path / "owner.pth", sha256=digest),
        None,
    )


def test_a_file_of_weights_that_changes_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "owner.pth"
    path.write_bytes(b"weights")
    weights = Pretrained(ancestor="owner", path=path, sha256=hashlib.sha256(b"weights").hexdigest())
    assert weights.content() == b"weights"
    path.write_bytes(b"others")
    with pytest.raises(PoolError, match=r"owner\.pth: the file of weights has changed"):
        weights.content()
    path.unlink()
    with pytest.raises(PoolError, match=r"owner\.pth: the file of weights cannot be read \(No such file"):
        weights.content()


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        (table(colour=1), "unknown field 'colour'"),
        (table(seed="x"), "seed must be an integer"),
        (table(source=None), r"table \[source\]"),
        (table(source={"architecture": "mlp"}), "recipe is named by a text"),
        (table(source={"file": "missing.onnx"}), "no such model file"),
        (table(recipe={"own": 1}), "recipes are tables"),
        (table(members={}), "members are tables"),
        (table(members=table()["members"] * 2), "two groups"),
        (group(kind="magic"), "kind must be one of"),
        (group(kind="source"), "kind must be one of"),
        (group(architectures=[]), "architectures must be a list"),
        (group(recipes=["nothing"]), "have no 'nothing'"),
        (group(changes={"epochs": "x"}), "must be of type int"),
        (group(count={"train": 1}), "count is a table"),
        (group(count={"test": -1}), "must be a number"),
        (group(kind="other architecture"), "has its parent's"),
        (group(name="a/b"), "becomes a file's"),
        (table(recipe={"unused": {"epoch": 3}}), "unknown field 'epoch'"),
        (table(recipe={"a": {"base": "b"}, "b": {"base": "a"}}), "each other's base"),
        (table(trainer="jax"), "No trainer 'jax'"),
        (table(source={"architecture": "vgg", "recipe": "fast"}), "source: Unknown architecture 'vgg'"),
        (group(architectures=["mlp", "vgg"]), "'hard-labels': Unknown architecture 'vgg'"),
        (group(architectures=["cnn-wide"], trainer="keras"), "Unknown architecture 'cnn-wide'"),
        (group(kind="scikit-learn", architectures=["mlp"]), "Unknown architecture 'mlp'; known are svc-rbf"),
        (table(data=5), "data must be a text; found 5"),
        (table(foreign=True), "foreign must be a text"),
        (table(trainer=1), "trainer must be a text"),
        (group(snapshots="two"), "snapshots must be a number; found 'two'"),
        (group(snapshots=True), "snapshots must be a number; found True"),
        (group(snapshots=-1), "snapshots must be a number"),
        (group(snapshots=10**15), "a member has at most 1000 snapshots"),
        (group(count={"test": 10**15}), "the count of test must be at most 10000"),
        (group(count={"generate": 6000, "test": 6000}), "a plan has at most 10000 members"),
        (group(changes=3), "changes to a recipe are a table; found 3"),
        (group(weights="imagenet"), r"torch has published ones of \(resnet50v1.*found 'mlp'"),
        (pretrained(architectures=["mobilenetv2", "resnet20v1"]), "hard-labels.*found 'resnet20v1'. Leave weights out"),
        (pretrained(weights=True), "weights must be a text; found True"),
        (pretrained(weights="absent.pth"), r'weights are "imagenet" or a file; there is no file absent\.pth'),
        (pretrained(kind="scikit-learn", architectures=["svc-rbf"]), "found 'svc-rbf'"),
        (table(source={**LARGE, "architecture": "cnn-wide"}), "source: weights are for .* found 'cnn-wide'"),
        (table(source={"file": __file__, "weights": "imagenet"}), "starts from no weights"),
        (table(source=LARGE, members=[{**COPY, "weights": "imagenet"}]), "not for a copy"),
    ],
)
def test_refuses(plan: dict[str, Any], message: str) -> None:
    with pytest.raises(CaeError, match=message):
        parse_plan(plan, origin="plan.toml")


@pytest.mark.parametrize(("content", "message"), [(None, "cannot be read"), ("a = ", "not TOML"), ("\xff", "not TOML")])
def test_refuses_a_file(content: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.toml"
    if content is not None:
        path.write_bytes(content.encode("latin1"))
    with pytest.raises(CaeError, match=message):
        read_plan(path)


SMALL = {"cifar100-small", "mnist-small", "cifar10-attacks", "digits-few-queries"}
"""Pools for a purpose: they tell whether thieves and innocents are apart, hold suspects alone, or have one theft."""


@pytest.mark.parametrize(
    "path", sorted(path for path in EXAMPLES.glob("*.toml") if path.stem not in SMALL), ids=lambda path: path.stem
)
def test_the_examples_are_plans_with_all_roles_and_kinds(path: Path) -> None:
    jobs = read_plan(path).jobs
    for role in ROLES:
        here = [job for job in jobs if job.role == role]
        assert {job.relation for job in here} == {"surrogate", "reference"}
        assert len({job.architecture for job in here}) >= 2
    generating = [job for job in jobs if job.role == "generate" and job.relation == "surrogate"]
    assert sum(job.kind == "hard labels" for job in generating) >= 0.4 * len(generating)
    testing = {job.kind for job in jobs if job.role in ("calibrate", "test") and job.relation == "surrogate"}
    assert testing >= {"hard labels", "soft labels", "distilled", "other architecture", "fine-tuned", "pruned"}
    assert all(find_kind(kind).relation == "surrogate" for kind in testing)


def test_the_attacks_on_cifar10_are_thefts_from_a_file_that_the_user_puts_beside_the_plan(tmp_path: Path) -> None:
    path = tmp_path / "cifar10-attacks.toml"
    path.write_bytes((EXAMPLES / path.name).read_bytes())
    with pytest.raises(PoolError, match=r"source\.onnx"):
        read_plan(path)
    (tmp_path / "source.onnx").write_bytes(b"an ONNX file")
    jobs = [job for job in read_plan(path).jobs if job.relation != "source"]
    assert {(job.role, job.relation) for job in jobs} == {("test", "surrogate")}
    assert len({job.kind for job in jobs}) >= 20


@pytest.mark.parametrize(
    ("plan", "expected"),
    [
        ("cifar10", "49bc6ac58516255b018f8b233257a49cb1893283799357a03fa0cd4bac8f509d"),
        ("digits", "3e5da94ebbb4f850c69717aaec00c52a5c1078a0f17a3e606e1122ad387190ee"),
        ("mnist", "fe8d4e6aac2d8562da61c91f3c5dd3c7fb455abe595325b518917d72471e0bd8"),
    ],
)
def test_the_jobs_of_the_examples_keep_their_digests(plan: str, expected: str) -> None:
    """Otherwise pools that are finished would be trained again."""
    jobs = read_plan(EXAMPLES / f"{plan}.toml").jobs
    lines = [f"{job.name} {job_digest(job, data='data', parent='parent' if job.parent else '')}" for job in jobs]
    assert hashlib.sha256("\n".join(lines).encode()).hexdigest() == expected


def test_the_pool_of_the_study_of_few_queries() -> None:
    jobs = read_plan(EXAMPLES / "digits-few-queries.toml").jobs
    counted = Counter((job.role, job.relation) for job in jobs if job.role in ROLES)
    told = {("generate", "surrogate"): 26, ("generate", "reference"): 16}
    assert counted == told | {("calibrate", "surrogate"): 24, ("calibrate", "reference"): 78}


def test_the_digits_example_is_large_enough() -> None:
    path = EXAMPLES / "digits.toml"
    jobs = read_plan(path).jobs
    references, surrogates = (sum(job.relation == relation for job in jobs) for relation in ("reference", "surrogate"))
    assert f"{references} references and {surrogates} surrogates" in path.read_text().splitlines()[0]
    assert references >= 550
    assert surrogates >= 100
    attacks = read_plan(EXAMPLES / "digits-attacks.toml").jobs
    kinds = {kind.name for kind in KINDS.values() if kind.relation == "surrogate"}
    assert {job.kind for job in (*jobs, *attacks)} >= kinds
