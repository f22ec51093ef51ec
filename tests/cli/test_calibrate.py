"""`cae calibrate` on real models, and what it refuses."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from cae_core.calibration.calibrated import load_calibrated
from cae_core.fingerprint.file import load_fingerprint
from tests.cli.conftest import CalibrationPool, Outcome, Pool, member_table
from tests.cli.test_bad_input import assert_one_sentence, linear_graph

Run = Callable[..., Outcome]

RATES = ("--fpr", "0.2", "--fnr", "0.2", "--score", "caeacc")


def converted(path: Path, target: Path) -> Path:
    """Write the model with other weights that give the same answers: a scale that the next layer takes back."""
    model = onnx.load(path)
    weights = {item.name: item for item in model.graph.initializer}
    for name, factor in (("w0", 2), ("b0", 2), ("w1", 0.5)):
        array = numpy_helper.to_array(weights[name]) * np.float32(factor)
        weights[name].CopyFrom(numpy_helper.from_array(array, name))
    onnx.save(model, target)
    return target


@pytest.fixture
def copied(fingerprint: Path, tmp_path: Path) -> Path:
    """A copy of the fingerprint, to be written over."""
    return Path(shutil.copy(fingerprint, tmp_path / "fingerprint.safetensors"))


def folders(calibration_pool: CalibrationPool) -> tuple[str, ...]:
    given: list[str] = []
    for relation in ("surrogate", "reference"):
        given += [f"--{relation}s", str(calibration_pool.folder("calibrate", relation))]
    return tuple(given)


def made_of(pool: Pool, which: str) -> Path:
    """Return a model of which the fingerprint was made."""
    folder = {"surrogate": pool.surrogates, "reference": pool.references}.get(which)
    return pool.source if folder is None else sorted(folder.iterdir())[0]


class TestCalibrating:
    def test_into_the_file_itself(self, copied: Path, calibration_pool: CalibrationPool, run_cae: Run) -> None:
        before = load_fingerprint(copied).id
        outcome = run_cae("calibrate", "-f", copied, *folders(calibration_pool), *RATES, "--json")
        assert outcome.code == 0, outcome.err
        told = outcome.json()
        assert set(told) == {
            *("fingerprint", "id", "references", "surrogates", "kinds", "screen", "examples_chosen", "fpr", "fnr"),
            *("sha256", "score", "parametric", "threshold", "matches", "label_drift"),
            *("left_out", "power", "shared_with_generation", "format"),
        }
        assert (told["fingerprint"], told["id"]) == (str(copied), before)
        assert (told["references"], told["surrogates"], told["screen"], told["examples_chosen"]) == (9, 9, 0, 20)
        assert (told["score"], told["parametric"], told["fpr"], told["fnr"]) == ("caeacc", False, 0.2, 0.2)
        assert told["threshold"] == (told["matches"]["references"][-2] + 1) / 20  # 0.2 of 10 is the second largest
        assert len(told["matches"]["surrogates"]) == 9
        assert min(told["matches"]["surrogates"]) > max(told["matches"]["references"])
        assert sum(told["label_drift"].values()) == pytest.approx(1)
        assert load_fingerprint(copied).id == before
        assert copied.stat().st_mode & 0o777 == 0o600

    def test_elsewhere_and_the_same_again(
        self, copied: Path, calibration_pool: CalibrationPool, tmp_path: Path, run_cae: Run
    ) -> None:
        before = copied.read_bytes()
        for name in ("a", "b"):
            arguments = ("-f", copied, *folders(calibration_pool), *RATES, "--output", tmp_path / name)
            assert run_cae("calibrate", *arguments).code == 0
        assert copied.read_bytes() == before
        assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()

    def test_people_read_it(self, copied: Path, calibration_pool: CalibrationPool, run_cae: Run) -> None:
        text = run_cae("calibrate", "-f", copied, "--pool", calibration_pool.manifest, *RATES).out
        for words in ("0.2 false accusations", "9: 9 a reference; 0 to", "9: 9 a surrogate", "6 models", "the truth"):
            assert words in text, text
        few = run_cae("calibrate", "-f", copied, *folders(calibration_pool), "--fpr", "0.01").out
        assert "none: the references are too few for the rate" in few
        assert "at 0.01: 9 references support no rate below 0.1. A rate of 0.01 needs at least 99" in few
        assert "support no rate" not in text
        assert "few examples" not in text
        kept = run_cae("calibrate", "-f", copied, "--pool", calibration_pool.manifest, *RATES, "--keep", "12").out
        assert "Warning: few examples: 12, so that one answer changes CAEAcc by 0.08," in kept

    def test_a_manifest_gives_every_role(self, copied: Path, calibration_pool: CalibrationPool, run_cae: Run) -> None:
        told = run_cae("calibrate", "-f", copied, "--pool", calibration_pool.manifest, *RATES, "--json").json()
        assert (told["references"], told["surrogates"], told["screen"]) == (9, 9, 6)
        assert told["kinds"] == {"references": {"a reference": 9}, "surrogates": {"a surrogate": 9}}
        apart = ("--references", calibration_pool.manifest, "--surrogates", calibration_pool.manifest)
        assert run_cae("calibrate", "-f", copied, *apart, *RATES, "--json").json() == told

    def test_the_screen_role_chooses(self, copied: Path, calibration_pool: CalibrationPool, run_cae: Run) -> None:
        options = ("--pool", calibration_pool.manifest, *RATES, "--keep", "12", "--score", "llr")
        told = run_cae("calibrate", "-f", copied, *options, "--json").json()
        assert (told["examples_chosen"], told["score"]) == (12, "llr")
        calibration = load_calibrated(copied).calibration
        assert calibration is not None
        assert calibration.weights is not None
        names = [model.name for model in calibration.screen]
        assert sorted(names) == [f"{name}-{i}" for name in ("other", "thief") for i in range(3)]

    def test_a_parametric_one_is_labelled(
        self, copied: Path, pool: Pool, calibration_pool: CalibrationPool, run_cae: Run
    ) -> None:
        text = run_cae("calibrate", "-f", copied, *folders(calibration_pool), "--parametric").out
        assert "its error rate is not guaranteed" in text
        verdict = run_cae("verify", "-s", pool.copy, "-f", copied, "--allow-extrapolation", "--json").json()
        assert verdict["threshold"]["provenance"] == "parametric"
        assert verdict["p_value"] < 0.05  # which no rank among 9 reaches

    def test_references_behind_defences(
        self, copied: Path, pool: Pool, calibration_pool: CalibrationPool, run_cae: Run
    ) -> None:
        options = ("-f", copied, *folders(calibration_pool), *RATES, "--behind", "bits:6", "--behind", "noise:0.01")
        assert run_cae("calibrate", *options, "--json").json()["behind"] == ["bits:6", "noise:0.01"]
        assert "bits:6, noise:0.01; the largest p counts" in run_cae("inspect", copied).out
        verdict = run_cae("verify", "-s", pool.copy, "-f", copied, "--allow-extrapolation", "--json").json()
        assert verdict["verdict"] == "surrogate"
        ranked = {each["behind"]: each["p_value"] for each in verdict["findings"]["preprocessed"]}
        assert set(ranked) == {"bits:6", "noise:0.01"}
        assert verdict["p_value"] >= max(ranked.values())
        assert "behind bits:6" in run_cae("verify", "-s", pool.copy, "-f", copied).out
        refused = run_cae("calibrate", *options, "--behind", "bits:6")
        assert_one_sentence(refused, "Each defence is named once", code=2)

    def test_a_second_calibration_replaces_the_first(
        self, calibrated: Path, calibration_pool: CalibrationPool, tmp_path: Path, run_cae: Run
    ) -> None:
        again = Path(shutil.copy(calibrated, tmp_path / "f"))
        assert run_cae("calibrate", "-f", again, *folders(calibration_pool), "--fpr", "0.3", "--fnr", "0.2").code == 0
        assert run_cae("inspect", again, "--json").json()["calibration"]["fpr"] == 0.3
        assert run_cae("calibrate", "-f", again, *folders(calibration_pool), *RATES).code == 0
        assert again.read_bytes() == calibrated.read_bytes()


class TestPlan:
    def test_what_the_rates_take(self, calibration_pool: CalibrationPool, run_cae: Run) -> None:
        told = run_cae("calibrate", "--plan", *folders(calibration_pool), "--fpr", "0.01", "--json").json()
        assert told == {
            "format": 1,
            "references": {
                "rate": 0.01,
                "models": 9,
                "needed": 99,
                "needed_sequential": 199,
                "best": 0.1,
                "exceeded": 0,
            },
            "surrogates": {
                "rate": 0.05,
                "models": 9,
                "needed": 19,
                "needed_sequential": 39,
                "best": 0.1,
                "exceeded": 0,
            },
            "nulls": [
                {"null": "references", "references": 99, "controls": 0, "models": 99, "queries": 315},
                {"null": "sources", "references": 0, "controls": 99, "models": 594, "queries": 10710},
                {"null": "two-way", "references": 24, "controls": 3, "models": 42, "queries": 630},
                {"null": "both", "references": 99, "controls": 99, "models": 693, "queries": 10710},
            ],
        }
        text = run_cae("calibrate", "--plan", *folders(calibration_pool), "--fpr", "0.01").out
        for words in ("99", "199", "39", "90 more references are needed", "10 more surrogates are needed"):
            assert words in text

    def test_enough_models_are_no_reproach(self, calibration_pool: CalibrationPool, run_cae: Run) -> None:
        text = run_cae("calibrate", "--plan", "--pool", calibration_pool.manifest, *RATES).out
        assert "needed for a rate" not in text

    def test_it_takes_neither_models_nor_a_fingerprint(self, run_cae: Run, tmp_path: Path) -> None:
        outcome = run_cae("calibrate", "--plan", "-f", tmp_path / "none", "--json")
        assert outcome.code == 0
        assert outcome.json()["references"]["models"] == 0

    def test_it_asks_nothing(self, calibration_pool: CalibrationPool, run_cae: Run, tmp_path: Path) -> None:
        manifest = calibration_pool.copied(tmp_path)
        manifest.write_text(manifest.read_text().replace(".onnx", ".absent.onnx"))
        assert run_cae("calibrate", "--plan", "--pool", manifest, "--json").json()["surrogates"]["models"] == 9


class TestRefusals:
    def refused(self, copied: Path, run_cae: Run, *given: str | Path, code: int = 1) -> Callable[..., None]:
        """Return an assertion about the one sentence that the command says; the file stays as it was."""
        before = copied.read_bytes()
        outcome = run_cae("calibrate", "-f", copied, *given)
        assert copied.read_bytes() == before
        return lambda *words: assert_one_sentence(outcome, *words, code=code)

    @pytest.mark.parametrize("which", ["source", "surrogate", "reference"])
    def test_what_made_the_fingerprint_by_its_file(
        self, which: str, copied: Path, pool: Pool, *, calibration_pool: CalibrationPool, tmp_path: Path, run_cae: Run
    ) -> None:
        """Without a manifest, under another name."""
        path = made_of(pool, which)
        mine = shutil.copy(path, tmp_path / "mine.onnx")
        self.refused(copied, run_cae, *folders(calibration_pool), "--references", mine)(
            "mine.onnx: this reference is the", which, path.stem, "of the fingerprint"
        )

    @pytest.mark.parametrize("which", ["source", "surrogate", "reference"])
    def test_what_made_the_fingerprint_converted(
        self, which: str, copied: Path, pool: Pool, *, calibration_pool: CalibrationPool, tmp_path: Path, run_cae: Run
    ) -> None:
        path = made_of(pool, which)
        mine = converted(path, tmp_path / "mine.onnx")
        self.refused(copied, run_cae, "--pool", calibration_pool.manifest, "--references", mine)(
            "mine.onnx (reference, calibrate) answers everything like", path.name, "it is the same model"
        )

    @pytest.mark.parametrize("role", ["calibrate", "screen"])
    def test_one_model_in_two_roles_converted(
        self, role: str, copied: Path, calibration_pool: CalibrationPool, tmp_path: Path, run_cae: Run
    ) -> None:
        mine = converted(calibration_pool.members(role, "surrogate")[1], tmp_path / "mine.onnx")
        refused = self.refused(copied, run_cae, "--pool", calibration_pool.manifest, "--references", mine)
        refused("same model", "thief-1")

    def test_one_model_in_two_roles_by_its_file(
        self, copied: Path, calibration_pool: CalibrationPool, run_cae: Run
    ) -> None:
        member = calibration_pool.members("screen", "reference")[0]
        given = ("--pool", calibration_pool.manifest, "--references", member)
        self.refused(copied, run_cae, *given)("other-0.onnx", "the role screen", "only calibrate members")

    def test_the_same_models_named_twice(self, copied: Path, calibration_pool: CalibrationPool, run_cae: Run) -> None:
        given = ("--pool", calibration_pool.manifest, "--references", calibration_pool.manifest)
        self.refused(copied, run_cae, *given)("other-0.onnx: this reference is", "each once")

    def test_the_pool_of_another_source(
        self, copied: Path, pool: Pool, calibration_pool: CalibrationPool, tmp_path: Path, run_cae: Run
    ) -> None:
        manifest = calibration_pool.copied(tmp_path, without=("source",))
        manifest.write_text(f"{member_table(pool.other, 'source', 'source')}\n\n{manifest.read_text()}")
        self.refused(copied, run_cae, "--pool", manifest)("other.onnx", "not the model that the fingerprint is of")

    def test_no_reference(self, copied: Path, calibration_pool: CalibrationPool, tmp_path: Path, run_cae: Run) -> None:
        self.refused(copied, run_cae)("at least 1 reference with the role calibrate; found 0")
        manifest = calibration_pool.copied(tmp_path, without=("calibrate",))
        self.refused(copied, run_cae, "--pool", manifest)("at least 1 reference")
        surrogates = ("--surrogates", calibration_pool.folder("calibrate", "surrogate"))
        self.refused(copied, run_cae, *surrogates)("at least 1 reference")

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            (("--score", "llr"), "needs models of the role screen"),
            (("--keep", "5"), "Choosing examples needs models of the role screen"),
            (("--score", "auc"), "score must be one of caeacc, llr, adjusted; found 'auc'"),
            (("--fpr", "0"), "An error rate must lie between 0 and 1; found 0.0"),
            (("--fnr", "1.5"), "An error rate must lie between 0 and 1; found 1.5"),
            (("--parametric", "--score", "llr"), "it takes --score caeacc"),
        ],
    )
    def test_options(
        self, options: tuple[str, ...], words: str, copied: Path, calibration_pool: CalibrationPool, run_cae: Run
    ) -> None:
        self.refused(copied, run_cae, *folders(calibration_pool), *options, code=2)(words)

    def test_a_choice_of_more_examples_than_there_are(
        self, copied: Path, calibration_pool: CalibrationPool, run_cae: Run
    ) -> None:
        given = ("--pool", calibration_pool.manifest, "--keep", "21")
        self.refused(copied, run_cae, *given, code=2)("keep must lie in 1 .. 20", "found 21")

    def test_models_that_cannot_be_used(
        self, copied: Path, calibration_pool: CalibrationPool, tmp_path: Path, run_cae: Run
    ) -> None:
        linear_graph(tmp_path / "seven.onnx", 7)
        linear_graph(tmp_path / "noise.onnx", 10)
        (tmp_path / "broken.onnx").write_bytes(b"?")
        for name, words in (
            ("seven", "answers 7 classes and the fingerprint has 10"),
            ("noise", "Correct its contract"),
            ("broken", ""),
        ):
            model = tmp_path / f"{name}.onnx"
            self.refused(copied, run_cae, *folders(calibration_pool), "--references", model)(model.name, words)

    def test_no_fingerprint(self, calibration_pool: CalibrationPool, tmp_path: Path, run_cae: Run) -> None:
        outcome = run_cae("calibrate", "-f", tmp_path / "none", *folders(calibration_pool))
        assert_one_sentence(outcome, "no such fingerprint file")
