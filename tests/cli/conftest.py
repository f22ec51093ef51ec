"""A small but real pool: perceptrons of scikit-learn's digits, trained in a second and written as ONNX by hand."""

import json
import signal
import warnings
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier

from cae_backends.datasets import open_data
from cae_cli import main as cae
from cae_converters import contained
from cae_converters.conversion import Conversion, convert
from cae_core.containment.limits import Limits
from cae_core.files.digests import sha256_of_file
from cae_core.opening.opened import open_model
from tests.output_schema import check_output

CONTRACT = {"cae.layout": "NHWC", "cae.range": "0..1", "cae.output": "logits"}


@dataclass(frozen=True)
class Pool:
    """Where the models of the tests lie."""

    folder: Path

    @property
    def source(self) -> Path:
        return self.folder / "source.onnx"

    @property
    def keras_source(self) -> Path:
        return self.folder / "source.keras"

    @property
    def surrogates(self) -> Path:
        return self.folder / "surrogates"

    @property
    def references(self) -> Path:
        return self.folder / "references"

    @property
    def copy(self) -> Path:
        """A held-out surrogate."""
        return self.folder / "copy.onnx"

    @property
    def other(self) -> Path:
        """A held-out reference."""
        return self.folder / "other.onnx"

    def generate_arguments(self, output: Path, *more: str) -> list[str]:
        return [
            "generate",
            "--trusted",  # they were made here, and run in the process of the tests
            *("--source", str(self.source), "--surrogates", str(self.surrogates)),
            *("--references", str(self.references), "--data", "digits", "--eps", "48/255", "--count", "20"),
            *("--iterations", "30", "--tau", "0.5", "--output", str(output)),
            *(("--preset", "perturbed") if "--preset" not in more else ()),  # examples that take a search
            *more,
        ]


def fit(seed: int, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> MLPClassifier:
    """Train a perceptron with one hidden layer."""
    network = MLPClassifier((32,), random_state=seed, max_iter=60)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return network.fit(images.reshape(len(images), -1) / 255, labels)


def write_onnx(path: Path, network: MLPClassifier, *, gain: float = 1.0, metadata: dict[str, str] = CONTRACT) -> None:
    """Write the perceptron with an image input (n, 8, 8, 1) and logits; ``gain`` scales its input."""
    weights = {
        f"{kind}{i}": array.astype(np.float32)
        for kind, arrays in (("w", network.coefs_), ("b", network.intercepts_))
        for i, array in enumerate(arrays)
    }
    weights["w0"] = weights["w0"] * np.float32(gain)
    nodes = [
        helper.make_node("Flatten", ["image"], ["x"], axis=1),
        helper.make_node("Gemm", ["x", "w0", "b0"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("Gemm", ["r", "w1", "b1"], ["logits"]),
    ]
    save_graph(path, nodes, weights, metadata=metadata)


def save_graph(
    path: Path,
    nodes: list[onnx.NodeProto],
    weights: dict[str, NDArray[Any]],
    *,
    shape: tuple[int | str, ...] = ("n", 8, 8, 1),
    metadata: dict[str, str] = CONTRACT,
) -> None:
    """Write an ONNX file with the input ``image`` and the output ``logits``."""
    graph = helper.make_graph(
        nodes,
        path.stem,
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ("n", None))],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    helper.set_model_props(model, metadata)
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)


@pytest.fixture(scope="session", autouse=True)
def interruptible() -> None:
    """A shell has what it runs in the background ignore Ctrl-C, and so would the commands that the tests interrupt."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def pool(tmp_path_factory: pytest.TempPathFactory) -> Pool:
    """One source that has seen a few images, 4 + 4 pool members, and a held-out suspect of each kind.

    The thieves ask about noisy images too: on clean digits every classifier gives the same, correct answers.
    """
    made = Pool(tmp_path_factory.mktemp("pool"))
    data = open_data("digits", split="train")
    order = np.random.default_rng(7).permutation(len(data))
    owner, market = data.subset(order[:300]), data.subset(order[300:])
    source = fit(0, owner.images, owner.labels)
    write_onnx(made.source, source)
    noise = np.random.default_rng(3).normal(0, 60, data.images.shape)
    queries = np.concatenate([data.images, np.clip(data.images + noise, 0, 255).astype(np.uint8)])
    answers = np.asarray(source.predict(queries.reshape(len(queries), -1) / 255), np.int64)
    for seed in range(1, 5):
        write_onnx(made.surrogates / f"copy-{seed}.onnx", fit(seed, queries, answers))
        write_onnx(made.references / f"other-{seed}.onnx", fit(10 + seed, market.images, market.labels))
    write_onnx(made.copy, fit(20, queries, answers))
    write_onnx(made.other, fit(21, market.images, market.labels))
    return made


@dataclass(frozen=True)
class CalibrationPool:
    """A manifest with all roles, and where the models of the calibrate and screen roles lie."""

    manifest: Path

    def members(self, role: str, relation: str) -> list[Path]:
        return sorted((self.manifest.parent / role / relation).glob("*.onnx"))

    def folder(self, role: str, relation: str) -> Path:
        return self.manifest.parent / role / relation

    def copied(self, folder: Path, *, without: Collection[str] = ()) -> Path:
        """Return a manifest in ``folder`` that names the same files, less the models with these roles."""
        tables = self.manifest.read_text().split("\n\n")
        kept = [table for table in tables if not any(f'role = "{role}"' in table for role in without)]
        (folder / "pool.toml").write_text("\n\n".join(kept))
        return folder / "pool.toml"


def fit_quickly(seed: int, images: NDArray[np.uint8], labels: NDArray[np.int64]) -> MLPClassifier:
    """Train a small perceptron in a tenth of a second."""
    network = MLPClassifier((24,), random_state=seed, max_iter=80, learning_rate_init=1e-2)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return network.fit(images.reshape(len(images), -1) / 255, labels)


@pytest.fixture(scope="session")
def calibration_pool(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> CalibrationPool:
    """9 + 9 models with the role calibrate, which a rate of 0.1 takes, and 3 + 3 to screen with.

    The thieves ask the source about noisy images, as those of `pool` do.
    """
    folder = tmp_path_factory.mktemp("calibration")
    random = np.random.default_rng(17)
    data = open_data("digits", split="train")
    source = open_model(str(pool.source))
    tables = [
        member_table(pool.source, "source", "source"),
        *(member_table(path, "generate", "surrogate") for path in sorted(pool.surrogates.iterdir())),
        *(member_table(path, "generate", "reference") for path in sorted(pool.references.iterdir())),
    ]
    for seed, (role, i) in enumerate([*(("calibrate", i) for i in range(9)), *(("screen", i) for i in range(3))]):
        some = data.images[random.permutation(len(data))[:500]]
        noisy = np.clip(some + random.normal(0, 60, some.shape), 0, 255).astype(np.uint8)
        queries = np.concatenate([some, noisy])
        thief, other = folder / role / "surrogate" / f"thief-{i}.onnx", folder / role / "reference" / f"other-{i}.onnx"
        write_onnx(thief, fit_quickly(100 + seed, queries, source.predict(queries).labels))
        mine = data.subset(random.permutation(len(data))[:500])
        write_onnx(other, fit_quickly(200 + seed, mine.images, mine.labels))
        tables += [member_table(thief, role, "surrogate"), member_table(other, role, "reference")]
    (folder / "pool.toml").write_text("\n\n".join(tables))
    return CalibrationPool(folder / "pool.toml")


def member_table(path: Path, role: str, relation: str, *, folder: Path = Path()) -> str:
    """Return a model's table of a manifest in ``folder``, which says that the model is one's own."""
    own = f'trusted = true\nsha256 = "{sha256_of_file(folder / path)}"\n'
    return f'[[model]]\npath = "{path}"\nrole = "{role}"\nrelation = "{relation}"\nkind = "a {relation}"\n{own}'


@pytest.fixture(scope="session")
def calibrated(fingerprint: Path, calibration_pool: CalibrationPool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`fingerprint`, calibrated at 0.2 without a screen role: 9 + 9 models support 0.1, so the sequential mode too."""
    path = tmp_path_factory.mktemp("calibrated") / "calibrated.safetensors"
    arguments = [
        "calibrate",
        "--trusted",
        "--fingerprint",
        str(fingerprint),
        "--fpr",
        "0.2",
        "--score",
        "caeacc",
        "--fnr",
        "0.2",
        "--output",
        str(path),
    ]
    for relation in ("surrogate", "reference"):
        arguments += [f"--{relation}s", str(calibration_pool.folder("calibrate", relation))]
    run_quietly(arguments)
    return path


def run_quietly(arguments: list[str]) -> None:
    """Run the command line in this process; it must succeed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.argv", ["cae", *arguments])
        with pytest.raises(SystemExit) as exit_:
            cae.main()
    assert exit_.value.code in (0, None)


@dataclass(frozen=True)
class Outcome:
    """What a command did."""

    code: int
    out: str
    err: str

    def json(self) -> dict[str, Any]:
        value: dict[str, Any] = json.loads(self.out)
        return value


Run: TypeAlias = Callable[..., Outcome]


@pytest.fixture
def run_cae(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the command line in this process."""

    def run(*arguments: str | Path) -> Outcome:
        monkeypatch.setattr("sys.argv", ["cae", *map(str, arguments)])
        monkeypatch.delenv("CAE_DEBUG", raising=False)
        with pytest.raises(SystemExit) as exit_:
            cae.main()
        captured = capsys.readouterr()
        check_output(list(map(str, arguments)), captured.out)
        code = exit_.value.code
        return Outcome(code if isinstance(code, int) else 0 if code is None else 1, captured.out, captured.err)

    return run


@pytest.fixture
def converted_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have files converted in this process, as if they were said to be one's own; but consent is not given."""

    def here(source: Path, target: Path, *, limits: Limits, **given: Any) -> Conversion:  # noqa: ANN401
        assert limits is not None
        return convert(source, target, **given)

    monkeypatch.setattr(contained, "convert_foreign", here)


@pytest.fixture(scope="session")
def fingerprint(pool: Pool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fingerprint of the pool's source, made by the command line."""
    path = tmp_path_factory.mktemp("fingerprint") / "fingerprint.safetensors"
    run_quietly(pool.generate_arguments(path))
    return path
