"""A judge's whole case with a hostile claimant is never upheld and runs nothing; each has an honest twin that is.

A hostile claim is false, and its files are made to change that: code, exchanged weights, what a screen obeys, a loop
without end, a linked folder. Record, seal and timestamp fit it. Its twin is the same claim, true, without the attack.
"""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from cae_backends.tensorflow.runtime import load_keras
from cae_core.contract import Contract
from cae_core.fingerprint.file import load_fingerprint
from cae_core.loaders import open_model
from tests.backends.keras_nets import saving
from tests.backends.timestamping import make_authority, needs_openssl
from tests.cli.accusations import Accusation, Claimant, carry_code
from tests.cli.conftest import Outcome, Run
from tests.cli.terminals import Session, sequences, session
from tests.cli.test_contained import cpu_seconds, linux, runs, start
from tests.cli.test_external_weights import beside
from tests.cli.test_seal_and_judge import Court
from tests.cli.test_seal_and_judge import court as court  # noqa: PLC0414 - a fixture

pytestmark = needs_openssl

EVIL = "x\x1b[20A\r\x1b[J\x1b[1;31mUPHELD\x1b[0m  other.onnx\r\nreason  none\u202e\x9b2J[bold red]y[/bold red]\x1b[8m"

TAKEN = Contract(layout="NHWC", range=(0, 1), output="logits")
"""How the saved model is asked."""


@pytest.fixture(scope="module")
def claimant(court: Court, tmp_path_factory: pytest.TempPathFactory) -> Claimant:
    return Claimant(court, make_authority(tmp_path_factory.mktemp("authority")))


@dataclass(frozen=True)
class Judged:
    """A true claim without any attack, as it was judged: the twin of the false ones that take one file.

    Attributes:
        accusation: the claim.
        members: of the claimant's pool, by relation.
        seen: what the judge saw.
        case: what he has kept.
    """

    accusation: Accusation
    members: dict[str, list[Path]]
    seen: Session
    case: dict[str, Any]


@pytest.fixture(scope="module")
def twin(court: Court, claimant: Claimant, tmp_path_factory: pytest.TempPathFactory) -> Judged:
    folder = tmp_path_factory.mktemp("twin")
    members = {
        relation: sorted(path.iterdir())
        for relation, path in (("surrogate", court.pool.surrogates), ("reference", court.pool.references))
    }
    accusation = claimant.claim(folder, court.pool.source, members=members)
    seen = session(accusation.against(court.pool.copy, folder / "case", "--nonce", "00"))
    return Judged(accusation, members, seen, kept(folder / "case"))


def kept(workdir: Path) -> dict[str, Any]:
    """Return the judgement in a working folder."""
    (path,) = workdir.glob("judgement-*.json")
    found: dict[str, Any] = json.loads(path.read_text("ascii"))
    return found


def judged(run_cae: Run, accusation: Accusation, suspect: Path, workdir: Path, *more: str | Path) -> Outcome:
    return run_cae(*accusation.against(suspect, workdir, "--json", *more))


def assert_upheld(outcome: Outcome) -> None:
    assert outcome.code == 0, outcome.err + outcome.out
    assert outcome.json()["outcome"] == "upheld"


def assert_refused(outcome: Outcome, said: str) -> None:
    """Check that it ended in one sentence; on a slow machine the progress is told before it, once a minute."""
    assert (outcome.code, outcome.out) == (1, ""), outcome.err
    *told, sentence = outcome.err.splitlines()
    assert all(line.startswith("cae: 0:") for line in told)
    assert said in sentence
    assert not sequences(outcome.err)


@pytest.mark.long
def test_the_twin_is_upheld(twin: Judged) -> None:
    assert (twin.seen.code, twin.case["outcome"]) == (0, "upheld"), twin.seen.sent
    assert outcomes(twin.seen) == ["UPHELD"]
    assert twin.case["replay"]["consistent"]


@pytest.mark.long
def test_code_in_names_is_not_run_and_turns_nothing(
    court: Court, claimant: Claimant, twin: Judged, run_cae: Run, tmp_path: Path
) -> None:
    """Were it run in the sandbox, it would fail, and the case with it; here, it would leave its mark."""
    marker = tmp_path / "it-ran"
    source = carry_code(court.pool.source, tmp_path / "source.onnx", marker)
    theirs = {
        relation: [carry_code(path, tmp_path / relation / path.name, marker) for path in paths]
        for relation, paths in twin.members.items()
    }
    hostile = claimant.claim(tmp_path / "hostile", source, members=theirs)
    turned = judged(run_cae, hostile, court.pool.other, tmp_path / "case", "--nonce", "00")
    assert turned.code == 3, turned.err
    assert turned.json()["outcome"] == "rejected"
    for what in ("replay", "consistency"):  # the names change nothing of what is computed
        assert turned.json()[what] == twin.case[what]
    white_box = open_model(str(source), gradients=True)  # in this process, where nothing would keep it from its mark
    claimed = load_fingerprint(court.claim)
    np.testing.assert_array_equal(white_box.predict(claimed.images).labels, claimed.labels)
    assert not marker.exists()


def test_weights_that_are_exchanged_after_the_seal_are_refused(
    court: Court, claimant: Claimant, run_cae: Run, tmp_path: Path
) -> None:
    """He seals a model of his own, and puts a copy of the victim's weights beside it when he has seen the victim."""
    source = beside(court.pool.source, tmp_path / "his")
    accusation = claimant.claim(tmp_path / "claim", source)
    assert_upheld(judged(run_cae, accusation, court.pool.copy, tmp_path / "case"))
    before = source.read_bytes()
    shutil.copy(beside(court.pool.other, tmp_path / "victim").with_suffix(".weights"), source.with_suffix(".weights"))
    assert source.read_bytes() == before
    exchanged = judged(run_cae, accusation, court.pool.other, tmp_path / "second")
    assert_refused(exchanged, "Give the source that was sealed, unchanged")
    assert not list((tmp_path / "second").glob(".copies-*"))


def hostile_names(court: Court, claimant: Claimant, folder: Path) -> tuple[Accusation, Path]:
    """Return a false claim and its suspect; wherever a stranger names something, the name attacks the screen."""
    name = EVIL.replace("/", "|")
    folder.mkdir()
    source, suspect = folder / f"{name}.onnx", folder / f"other {name}.onnx"
    shutil.copy(court.pool.source, source)
    shutil.copy(court.pool.other, suspect)
    classes = tuple(f"{i}{EVIL}" for i in range(10))
    described = {"name": EVIL, "kind": EVIL, "ancestor": EVIL, "architecture": EVIL}
    accusation = claimant.claim(
        folder,
        source,
        name=EVIL,
        of_source=described,
        class_names=classes,
        claim=f"{name}.safetensors",
        seal=f"{name}.json",
    )
    return accusation, suspect


@pytest.mark.long
def test_names_do_not_turn_what_the_judge_sees_and_keeps(
    court: Court, claimant: Claimant, twin: Judged, run_cae: Run, tmp_path: Path
) -> None:
    hostile, suspect = hostile_names(court, claimant, tmp_path / "hostile")
    seen = session(hostile.against(suspect, tmp_path / "case", "--nonce", "00"))
    assert seen.code == 3, seen.sent
    ours = {"\x1b[1;32m", "\x1b[36m"}  # the colours of a rejection, and of the time left on a bar that lives a while
    assert sequences(seen.sent) <= sequences(twin.seen.sent) | ours
    assert outcomes(seen) == ["REJECTED"]
    assert "\\x1b[20A" in "".join(seen.sent.split())  # it is told what the name is
    case = kept(tmp_path / "case")
    assert (case["outcome"], case["claim"]["claimant"]) == ("rejected", EVIL)
    shutil.copy(court.pool.copy, next((tmp_path / "hostile").glob("x*.onnx")))
    assert_refused(judged(run_cae, hostile, suspect, tmp_path / "second"), "Give the source that was sealed, unchanged")


def outcomes(seen: Session) -> list[str]:
    """Return what stands in capitals at the left edge of a screen, where outcomes do."""
    words = [line.split()[0] for line in seen.lines if not line.startswith(" ")]
    return [word for word in words if word.isupper()]


def never_ending(model: Path, path: Path, *, loop: bool) -> Path:
    """Write a model again that is not answered in anybody's lifetime: by a loop, or by a sequence without an end."""
    proto = onnx.load(model)
    graph = proto.graph
    graph.node[-1].output[0] = "answer"
    graph.node.extend(_loop() if loop else _sequence())
    constants = {
        "turns": np.array(2**62),
        "yes": np.array(True),  # noqa: FBT003 - a value
        "long": np.array([2**24, 1, 1]),
        "w": np.ones((1, 4, 1), np.float32),
        "flat": np.array([1, 1]),
        "nothing": np.array(0, np.float32),
    }
    graph.initializer.extend(numpy_helper.from_array(array, name) for name, array in constants.items())
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(proto, path)
    return path


def _loop() -> list[onnx.NodeProto]:
    body = helper.make_graph(
        [helper.make_node("Identity", ["go"], ["on"]), helper.make_node("Identity", ["state"], ["next"])],
        "body",
        [
            helper.make_tensor_value_info("turn", TensorProto.INT64, ()),
            helper.make_tensor_value_info("go", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("state", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("on", TensorProto.BOOL, ()),
            helper.make_tensor_value_info("next", TensorProto.FLOAT, None),
        ],
    )
    return [helper.make_node("Loop", ["turns", "yes", "answer"], ["logits"], body=body)]


def _sequence() -> list[onnx.NodeProto]:
    return [
        helper.make_node("ConstantOfShape", ["long"], ["steps"]),
        helper.make_node("LSTM", ["steps", "w", "w"], ["", "last"], hidden_size=1),
        helper.make_node("Reshape", ["last", "flat"], ["one"]),
        helper.make_node("Mul", ["one", "nothing"], ["zero"]),
        helper.make_node("Add", ["answer", "zero"], ["logits"]),
    ]


@pytest.mark.long
@pytest.mark.parametrize("loop", [True, False])
def test_a_source_without_end_is_ended_by_a_limit(
    claimant: Claimant,
    run_cae: Run,
    tmp_path: Path,
    loop: bool,  # noqa: FBT001
) -> None:
    court = claimant.court
    source = never_ending(court.pool.source, tmp_path / "source.onnx", loop=loop)
    accusation = claimant.claim(tmp_path / "claim", source)
    outcome = judged(run_cae, accusation, court.pool.copy, tmp_path / "case", "--limits", "seconds=8")
    assert_refused(outcome, "did not answer in time, and was ended")
    assert [path.name for path in (tmp_path / "case").iterdir()] == ["case.json"]


@pytest.mark.long
@linux
def test_ctrl_c_ends_a_case_with_a_source_without_end(court: Court, claimant: Claimant, tmp_path: Path) -> None:
    source = never_ending(court.pool.source, tmp_path / "source.onnx", loop=False)
    accusation, temporary = claimant.claim(tmp_path / "claim", source), tmp_path / "temporary"
    temporary.mkdir()
    process = start(*accusation.against(court.pool.copy, tmp_path / "case"), folder=temporary)
    children = busy_children(process, seconds=8)  # longer than a framework takes to be imported
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert (process.returncode, said.splitlines()[-1].split(";")[0]) == (130, "cae: interrupted")
    assert time.monotonic() - asked < 30
    assert not any(map(runs, children))
    assert {path.name for path in temporary.iterdir()} <= {".ses"}  # ONNX Runtime's own, of the judge's models
    assert [path.name for path in (tmp_path / "case").iterdir()] == ["case.json"]


def busy_children(process: "subprocess.Popen[str]", *, seconds: float) -> list[int]:
    """Return the numbers of the children, once one of them has computed so long."""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        listed = [int(n) for n in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]
        if any(runs(child) and cpu_seconds(child) > seconds for child in listed):
            return listed
        time.sleep(0.05)
    raise AssertionError("no child computes")


def linked(folder: Path) -> Path:
    """Move the weights of a saved model elsewhere, and put a link in their place."""
    elsewhere = folder.with_name("elsewhere")
    (folder / "variables").rename(elsewhere)
    (folder / "variables").symlink_to(elsewhere)
    return folder


def exchanged(folder: Path) -> Path:
    """Change the weights of a saved model."""
    weights = next((folder / "variables").glob("*.data*"))
    weights.write_bytes(bytes(len(weights.read_bytes())))
    return folder


@pytest.mark.parametrize(("attack", "said"), [
    (linked, "it holds a link, variables"),
    (exchanged, "Give the source that was sealed, unchanged"),
])  # fmt: skip
def test_a_folder_with_a_link_or_with_other_weights_is_refused_before_it_is_opened(
    claimant: Claimant,
    run_cae: Run,
    tmp_path: Path,
    attack: Callable[[Path], Path],
    said: str,
) -> None:
    court = claimant.court
    source = tmp_path / "source"
    (source / "variables").mkdir(parents=True)
    for name in ("saved_model.pb", "variables/variables.index", "variables/variables.data-00000-of-00001"):
        (source / name).write_bytes(name.encode())
    accusation = claimant.claim(tmp_path / "claim", source, contract=TAKEN)
    attack(source)
    assert_refused(judged(run_cae, accusation, court.pool.other, tmp_path / "case"), said)
    assert not list((tmp_path / "case").glob(".copies-*"))


@pytest.mark.slow
@pytest.mark.parametrize(("attack", "said"), [
    (linked, "it holds a link, variables"),
    (exchanged, "Give the source that was sealed, unchanged"),
])  # fmt: skip
def test_a_saved_model_is_upheld_until_it_is_linked_or_exchanged(
    claimant: Claimant,
    run_cae: Run,
    tmp_path: Path,
    attack: Callable[[Path], Path],
    said: str,
) -> None:
    court = claimant.court
    source = saved_model(court.pool.source, tmp_path / "source")
    accusation = claimant.claim(tmp_path / "claim", source, contract=TAKEN)
    assert_upheld(judged(run_cae, accusation, court.pool.copy, tmp_path / "case"))
    attack(source)
    assert_refused(judged(run_cae, accusation, court.pool.other, tmp_path / "second"), said)


def saved_model(model: Path, folder: Path) -> Path:
    """Write the perceptron in an ONNX file as a saved model that answers logits, its contract beside it."""
    keras = load_keras()
    weights = {tensor.name: numpy_helper.to_array(tensor) for tensor in onnx.load(model).graph.initializer}
    layers = [keras.layers.Dense(32, activation="relu"), keras.layers.Dense(10)]
    network = keras.Sequential([keras.layers.Input((8, 8, 1)), keras.layers.Flatten(), *layers])
    network.set_weights([weights[name] for name in ("w0", "b0", "w1", "b1")])
    with saving():
        network.export(folder, verbose=False)
    folder.with_suffix(".toml").write_text('layout = "NHWC"\nrange = [0, 1]\noutput = "logits"\n')
    return folder
