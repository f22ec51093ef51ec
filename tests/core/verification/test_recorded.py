"""Questions that somebody else puts, and the verdict by what he recorded."""

import csv
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cae_core.calibration.calibrated import CalibratedFingerprint, load_calibrated, save_calibrated
from cae_core.errors import CaeError, OptionError, VerdictError
from cae_core.files.records import as_json
from cae_core.fingerprint.questions import plan_questions
from cae_core.models import Predictions
from cae_core.verification.ledger import ledger_of
from cae_core.verification.ledger_lines import read_entries
from cae_core.verification.options import VerificationOptions
from cae_core.verification.replay import replay_verdict
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import verify
from cae_core.workflows import export_images, plan_suspect, verify_suspect

GOLDEN = Path(__file__).parents[2] / "data" / "fingerprint-0.1.0-calibrated.safetensors"


def answer(image: np.ndarray) -> int:
    """A technician's model: some class, by the pixels."""
    return hashlib.sha256(image.tobytes()).digest()[0] % 3


class Technician:
    """Answers an export with Pillow, the standard library and a model, and without `cae`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.rows = list(csv.DictReader(io.StringIO((folder / "index.csv").read_text())))
        for row in self.rows:
            row["label"] = str(answer(np.frombuffer(self.pixels(row), np.uint8)))

    def pixels(self, row: dict[str, str]) -> bytes:
        return np.asarray(Image.open(self.folder / "images" / row["file"])).tobytes()

    def write(self, name: str = "answers.csv") -> Path:
        path = self.folder.parent / name
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, ["export", "file", "label"])
            writer.writeheader()
            writer.writerows(self.rows)
        return path


class Same:
    """The technician's model, asked by us."""

    def predict(self, images: np.ndarray) -> Predictions:
        return Predictions(np.array([answer(image) for image in images], np.int64))


@pytest.fixture
def own(tmp_path: Path) -> Path:
    return Path(shutil.copy(GOLDEN, tmp_path / "own.safetensors"))


@pytest.fixture
def exported(own: Path, tmp_path: Path) -> Technician:
    export_images(own, tmp_path / "out", suspect="Acme", case="first")
    return Technician(tmp_path / "out")


def judged(technician: Technician, own: Path, **options: object) -> Verdict:
    return verify_suspect(technician.write(), own, options=VerificationOptions(**options))  # type: ignore[arg-type]


class TestExport:
    def test_every_image_is_there_once_and_nothing_else_tells_them_apart(self, exported: Technician, own: Path) -> None:
        fingerprint = load_calibrated(own).fingerprint
        plan = plan_questions(fingerprint, suspect_sha256="", nonce=b"", chosen=load_calibrated(own).chosen)
        files = sorted((exported.folder / "images").iterdir())
        assert [file.name for file in files] == [row["file"] for row in exported.rows]
        assert len(files) == sum(not question.repeat for question in plan)
        assert len({file.stat().st_size for file in files}) == 1
        found = sorted(np.asarray(Image.open(file)).tobytes() for file in files)
        chosen = fingerprint.images[load_calibrated(own).chosen]
        assert found == sorted(image.tobytes() for image in (*chosen, *fingerprint.probe_images))

    def test_it_is_the_first_question(self, exported: Technician, own: Path) -> None:
        (entry,) = read_entries(ledger_of(own).read_bytes())
        assert (entry.finished, entry.withdrawn, entry.name) == (False, False, "Acme")
        assert entry.examples
        assert {row["export"] for row in exported.rows} == {entry.id}

    def test_the_names_are_other_ones_each_time(self, exported: Technician, own: Path, tmp_path: Path) -> None:
        export_images(own, tmp_path / "again", suspect="Acme")
        names = {row["file"] for row in Technician(tmp_path / "again").rows}
        assert not names & {row["file"] for row in exported.rows}

    def test_nothing_is_begun_where_nothing_can_be_written(self, own: Path, tmp_path: Path) -> None:
        (tmp_path / "full").mkdir()
        (tmp_path / "full" / "file").touch()
        with pytest.raises(OptionError, match="the folder is not empty"):
            export_images(own, tmp_path / "full", suspect="Acme")
        with pytest.raises(OptionError, match="needs a name"):
            export_images(own, tmp_path / "new", suspect=" ")
        assert not ledger_of(own).exists()


class TestAnswers:
    def test_they_give_the_verdict_that_asking_gives(self, exported: Technician, own: Path) -> None:
        verdict = judged(exported, own)
        assert verdict.occasion is not None
        assert verdict.containment is not None
        subject = load_calibrated(own)
        asked = verify(Same(), subject, named=Suspect(name="x", sha256="0" * 64), options=VerificationOptions())
        for name in ("verdict", "value", "p_value", "p_value_surrogate", "reason", "sides"):
            assert getattr(verdict.decision, name) == getattr(asked.decision, name), name
        assert verdict.benign_accuracy == asked.benign_accuracy
        told = as_json(verdict)
        assert told["attested"] is False
        assert "attested" not in as_json(asked)
        assert (told["case"], told["nonce_given"], told["suspect"]["name"]) == ("first", False, "Acme")
        assert told["suspect"]["files"][0].endswith("  answers.csv")
        assert "recorded answers" in told["warnings"][0]
        assert verdict.containment.child
        (entry,) = read_entries(ledger_of(own).read_bytes())
        assert entry.finished

    def test_the_verdict_is_derived_again(self, exported: Technician, own: Path) -> None:
        record = json.loads(json.dumps(as_json(judged(exported, own))))
        assert replay_verdict(record, load_calibrated(own)).differences == ()
        assert "attested" in replay_verdict({**record, "attested": True}, load_calibrated(own)).differences

    @pytest.mark.parametrize("lost", ["benign", "example"])
    def test_a_missing_row_is_no_match_and_blocks_independent(self, lost: str, own: Path, tmp_path: Path) -> None:
        fingerprint = load_calibrated(own).fingerprint
        save_calibrated(CalibratedFingerprint(fingerprint=fingerprint), own)  # the literature's rule
        truth = {i.tobytes(): int(y) for i, y in zip(fingerprint.probe_images, fingerprint.probe_labels, strict=True)}
        seen = {i.tobytes(): int(y) for i, y in zip(fingerprint.images, fingerprint.labels, strict=True)}
        verdicts: list[Verdict] = []
        for number, left_out in enumerate((0, 1)):
            export_images(own, tmp_path / f"out-{number}", suspect="Acme")
            technician = Technician(tmp_path / f"out-{number}")
            kinds = {row["file"]: technician.pixels(row) in truth for row in technician.rows}
            for row in technician.rows:  # rightly, and examples otherwise than the source
                pixels = technician.pixels(row)
                row["label"] = str(truth[pixels] if kinds[row["file"]] else (seen[pixels] + 1) % 3)
            gone = [row for row in technician.rows if kinds[row["file"]] == (lost == "benign")][:left_out]
            technician.rows = [row for row in technician.rows if row not in gone]
            verdicts.append(judged(technician, own))
        whole, partly = verdicts
        assert (whole.decision.verdict, whole.unanswered) == ("independent", 0)
        assert (partly.decision.verdict, partly.unanswered) == ("inconclusive", 1)
        assert partly.caeacc.matches == 0
        assert "recorded images have no answer" in partly.decision.reason or lost == "example"  # which is a refusal too

    @pytest.mark.parametrize(
        ("change", "words"),
        [
            (lambda rows: rows.append(dict(rows[0])), "answers twice"),
            (lambda rows: rows.append({**rows[0], "file": "f" * 24 + ".png"}), "no file of this export"),
            (lambda rows: [row.update(export="0" * 32) for row in rows], "knows of no questions"),
            (lambda rows: [row.update(export="x\x1b") for row in rows], "32 hexadecimal digits"),
            (lambda rows: rows[0].update(label="17"), "number from 0 to 2"),
        ],
    )
    def test_what_is_wrong_is_refused_and_may_be_corrected(
        self, change: Callable[[list[dict[str, str]]], object], words: str, exported: Technician, own: Path
    ) -> None:
        kept = [dict(row) for row in exported.rows]
        change(exported.rows)
        with pytest.raises(CaeError, match=words):
            judged(exported, own)
        exported.rows = kept
        assert judged(exported, own).decision.verdict

    def test_other_answers_to_the_same_export_are_refused(self, exported: Technician, own: Path) -> None:
        first = judged(exported, own)
        assert judged(exported, own).decision == first.decision  # the very same file may be judged again
        exported.rows[0]["label"] = str((int(exported.rows[0]["label"]) + 1) % 3)
        with pytest.raises(VerdictError, match="judged by other answers before"):
            judged(exported, own)

    def test_another_calibration_is_refused(self, exported: Technician, own: Path) -> None:
        save_calibrated(CalibratedFingerprint(fingerprint=load_calibrated(own).fingerprint), own)
        with pytest.raises(VerdictError, match="exported before the fingerprint was calibrated"):
            judged(exported, own)

    def test_they_are_to_everything(self, exported: Technician, own: Path) -> None:
        for options in ({"sequential": True}, {"max_queries": 100}):
            with pytest.raises(OptionError, match="all questions at once"):
                judged(exported, own, **options)
        with pytest.raises(OptionError, match="leave --contract"):
            verify_suspect(exported.write(), own, ledger=None)
        with pytest.raises(OptionError, match="Leave --dry-run out"):
            plan_suspect(exported.write(), own)
