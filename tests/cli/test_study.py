"""`cae study`: a study file, what is done of it, what it leaves, and going on after a kill."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from cae_core.errors import CaeError, StudyError
from cae_core.pool.manifest import read_pool
from cae_study.kept import kept
from cae_study.results import write_results
from cae_study.run import Finished, forecast, run_study
from cae_study.shipped import shipped_studies
from cae_study.study_file import read_study
from tests.cli.conftest import CalibrationPool, Run
from tests.cli.test_bad_input import assert_one_sentence

EXAMPLES = Path(__file__).parents[2] / "examples" / "studies"

STUDY = """
title = "A small study"
data = "digits"
quick = "fewer examples"

[pool.main]
manifest = "MANIFEST"

[fingerprint.ours]
pool = "main"
preset = "perturbed"
settings = { eps = 0.188, tau = 0.5, count = 12, iterations = 20 }
quick.settings = { count = 4 }

[match-rates.ours]
fingerprint = "ours"
roles = ["generate", "screen"]

[verdicts.ours]
fingerprint = "ours"
role = "screen"
defences = ["none", "bits:1"]

[[table]]
title = "In the pool and held out"
of = ["match-rates.ours"]

[[table]]
title = "By kind"
of = ["verdicts.ours"]
columns = ["kind", "models", "AUC"]
note = "A note."

[[figure]]
title = "Who answers like the source"
kind = "match rates"
of = ["match-rates.ours"]
report = { theirs = 0.6 }

[[figure]]
title = "Labels"
kind = "labels"
of = ["fingerprint.ours"]

[[figure]]
title = "Accuracy"
kind = "accuracy"
of = ["match-rates.ours"]
report = { surrogates = [[0.8, 0.6], [0.9, 0.9]] }
"""


@pytest.fixture(scope="module")
def study(calibration_pool: CalibrationPool, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("study") / "small.toml"
    path.write_text(STUDY.replace("MANIFEST", str(calibration_pool.manifest)))
    return path


@pytest.fixture(scope="module")
def done(study: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the study, done by its Python call; pages are written by the command line."""
    folder = tmp_path_factory.mktemp("done") / "out"
    run_study(read_study(study), folder)
    return folder


@pytest.fixture(scope="module")
def shown(study: Path, done: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The results of a copy of the folder, in which nothing is left to do but to show them."""
    folder = tmp_path_factory.mktemp("shown") / "out"
    shutil.copytree(done, folder)
    write_results(run_study(read_study(study), folder), folder, command="cae study small.toml")
    return folder


def results(folder: Path) -> dict[str, bytes]:
    """Return tables and figures."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix in (".csv", ".png")}


class TestACommand:
    def test_leaves_a_page_with_tables_and_figures(self, run_cae: Run, study: Path, done: Path, shown: Path) -> None:
        assert run_cae("study", str(study), "--output", str(done)).code == 0
        page = (done / "results.md").read_text()
        for told in ("# A small study", "A note.", "Seed: 0", "cae study", "n = 14, seed 0", "Dashed: the values"):
            assert told in page
        assert "reduced form" not in page
        assert set(results(done)) == {"table-1.csv", "table-2.csv", "figure-1.png", "figure-2.png", "figure-3.png"}
        assert results(done) == results(shown)
        with (done / "table-2.csv").open() as file:
            rows = list(csv.DictReader(file))
        assert [(row["kind"], row["models"]) for row in rows] == [("a surrogate", "3"), ("references", "3")] * 2
        assert float(rows[0]["AUC"]) > 0.5

    def test_what_is_done_is_not_done_again(self, study: Path, done: Path) -> None:
        before = {path: path.stat().st_mtime_ns for path in done.glob("steps/*/done.json")}
        assert len(before) == 4
        run_study(read_study(study), done)
        assert {path: path.stat().st_mtime_ns for path in done.glob("steps/*/done.json")} == before

    def test_what_a_kill_has_left_undone_is_done_to_the_same_bytes(
        self, study: Path, shown: Path, tmp_path: Path
    ) -> None:
        folder = tmp_path / "out"
        shutil.copytree(shown, folder)
        for name in ("match-rates", "verdicts"):
            (step,) = folder.glob(f"steps/{name}.ours-*")
            (step / "done.json").unlink()
        half = sorted((folder / "answers").glob("*/*.safetensors"))[::2]
        assert half
        for path in half:
            path.unlink()
        write_results(run_study(read_study(study), folder), folder, command="cae study small.toml")
        assert results(folder) == results(shown)
        assert all(path.exists() for path in half)

    def test_the_reduced_form_and_the_whole_share_what_is_the_same(self, study: Path, done: Path) -> None:
        found = {step.step: step.done for step in forecast(read_study(study, quick=True), done)}
        assert found == {
            "pool.main": True,
            "fingerprint.ours": False,
            "match-rates.ours": False,
            "verdicts.ours": False,
        }

    def test_times_follow_from_measured_ones(self, study: Path, done: Path) -> None:
        (folder,) = done.glob("steps/fingerprint.ours-*")
        measured = kept(folder)
        assert measured is not None
        whole = {step.step: step for step in forecast(read_study(study), done)}
        assert whole["fingerprint.ours"].seconds == measured.seconds
        quick = {step.step: step for step in forecast(read_study(study, quick=True), done)}
        assert quick["fingerprint.ours"].seconds == pytest.approx(measured.seconds * 4 / 12)
        fresh = forecast(read_study(study), done.with_name("nowhere"))
        assert [step.seconds for step in fresh if step.step == "fingerprint.ours"] == [None]

    def test_a_dry_run_does_nothing(self, run_cae: Run, study: Path, tmp_path: Path) -> None:
        outcome = run_cae("study", str(study), "--output", str(tmp_path / "out"), "--dry-run", "--json")
        assert outcome.json()["unknown"] == 3
        assert not (tmp_path / "out").exists()

    def test_a_pool_takes_the_place_of_a_plan(self, run_cae: Run, calibration_pool: CalibrationPool) -> None:
        given = f"main={calibration_pool.manifest}"
        outcome = run_cae("study", "report-3.1", "--pool", given, "--data", "digits", "--dry-run", "--json")
        assert outcome.json()["steps"][0] == {"step": "pool.main", "done": False, "seconds": 0.0}
        assert run_cae("study", "report-3.1", "--pool", "main=nowhere.toml", "--dry-run").code == 2
        assert_one_sentence(run_cae("study", "report-3.1", "--pool", f"x={calibration_pool.manifest}", "--dry-run"))


RIVALS = """
data = "digits"

[pool.main]
manifest = "MANIFEST"

[strength.attacks]
pool = "main"
role = "screen"
methods = ["CEM", "FGM", "BIM", "PGD", "PGD, L2", "CW"]
eps = [0.05, 0.188]
images = 12
settings = { iterations = 10, learning_rate = 0.02 }

[compare.all]
pool = "main"
role = "screen"
methods = ["akh", "random"]
queries = [5, 10]
fpr = 0.1

[[table]]
title = "Every point"
of = ["strength.attacks"]

[[table]]
title = "Rivals"
of = ["compare.all"]

[[figure]]
title = "Strength"
kind = "strength"
of = ["strength.attacks"]
report = { CEM = [[0.05, 0.3], [0.188, 0.25]] }
"""


def test_attacks_and_rivals_are_steps_too(calibration_pool: CalibrationPool, tmp_path: Path) -> None:
    path = tmp_path / "rivals.toml"
    path.write_text(RIVALS.replace("MANIFEST", str(calibration_pool.manifest)))
    finished = run_study(read_study(path), tmp_path / "out")
    page = write_results(finished, tmp_path / "out", command="cae study rivals.toml")
    points = finished.steps["strength.attacks"].result["summary"]
    assert [(row["method"], row["eps"]) for row in points[:3]] == [("CEM", 0.05), ("CEM", 0.188), ("FGM", 0.05)]
    assert len(points) == 12
    for row in points:
        assert row["tried"] == 12
        assert 0 <= row["kept"] <= row["turned"] <= 12
        assert (row["conferrability"] is None) == (row["turned"] == 0)
        assert row["turned"] == 0 or 0 <= row["conferrability"] <= 1
    assert max(row["turned"] for row in points if row["method"] == "BIM") > 6
    rivals = finished.steps["compare.all"].result["summary"]
    assert {row["method"] for row in rivals} == {"akh", "random"}
    assert "figure-1.png" in page.read_text()


SEARCHED = """
data = "digits"

[pool.main]
manifest = "MANIFEST"

[label-changes.report]
pool = "main"
settings = { eps = 0.3, iterations = 12, learning_rate = 0.03, max_seeds = 20 }
every = 5

[label-changes.slow]
pool = "main"
settings = { eps = 0.3, iterations = 12, learning_rate = 1e-6, max_seeds = 20 }
every = 5

[fingerprint.whatever-turns]
pool = "main"
preset = "report-code"
settings = { eps = 0.3, iterations = 12, learning_rate = 0.03, max_seeds = 20, count = 20, tau = 0.0 }

[[table]]
title = "Label changes"
of = ["label-changes.*"]

[[figure]]
title = "Label changes"
kind = "label changes"
of = ["label-changes.*"]
"""


def test_label_changes_over_the_iterations_of_a_search(calibration_pool: CalibrationPool, tmp_path: Path) -> None:
    path = tmp_path / "searched.toml"
    path.write_text(SEARCHED.replace("MANIFEST", str(calibration_pool.manifest)))
    finished = run_study(read_study(path), tmp_path / "out")
    write_results(finished, tmp_path / "out", command="cae study searched.toml")
    rows = finished.steps["label-changes.report"].result["iterations"]
    assert [(row["iteration"], row["seeds"]) for row in rows] == [(5, 20), (10, 20), (12, 20)]
    # a search that refuses nothing ends with as many examples as labels have changed
    (made,) = finished.steps["fingerprint.whatever-turns"].result["summary"]
    assert rows[-1]["changed"] == made["examples"] > rows[0]["changed"]
    (slow,) = finished.steps["label-changes.slow"].result["summary"]
    assert [slow[f"after {row['iteration']}"] for row in rows] == [0, 0, 0]
    assert (tmp_path / "out" / "figure-1.png").stat().st_size > 10_000


PLAN = """
[recipe.held]
epochs = 2
validation = 0.1

[source]
architecture = "mlp"
recipe = "held"

[[members]]
kind = "hard labels"
architectures = ["mlp"]
recipes = ["held", "fast"]
count = { test = 2 }
"""

EPOCHS = """
data = "digits"

[pool.main]
plan = "plan.toml"
epochs = 2
share = 0.2

[pool.there]
manifest = "MANIFEST"

[[figure]]
title = "Accuracy by epoch"
kind = "epochs"
of = ["pool.main", "pool.there"]
report = { theirs = [[1, 0.5], [2, 0.6]] }
"""


@pytest.mark.long
def test_the_accuracy_by_epoch_of_trained_models_is_rows_and_a_figure(
    calibration_pool: CalibrationPool, tmp_path: Path
) -> None:
    (tmp_path / "plan.toml").write_text(PLAN)
    (tmp_path / "study.toml").write_text(EPOCHS.replace("MANIFEST", str(calibration_pool.manifest)))
    finished = run_study(read_study(tmp_path / "study.toml"), tmp_path / "out", workers=1)
    write_results(finished, tmp_path / "out", command="cae study study.toml")
    rows = finished.steps["pool.main"].result["epochs"]
    assert [(row["model"], row["relation"], row["epoch"]) for row in rows] == [
        (model, relation, epoch)
        for model, relation in (("source", "source"), ("test-hard-labels-001", "surrogate"))
        for epoch in (1, 2)
    ]
    assert all(0 <= row["validation accuracy"] <= 1 for row in rows)
    assert finished.steps["pool.there"].result["epochs"] == []
    assert (tmp_path / "out" / "figure-1.png").stat().st_size > 10_000


SUSPECTS = STUDY.replace("[fingerprint.ours]", '[pool.others]\nmanifest = "others.toml"\n\n[fingerprint.ours]').replace(
    'defences = ["none", "bits:1"]', 'suspects = ["main", "others"]'
)


def test_suspects_come_from_pools_of_the_same_source(calibration_pool: CalibrationPool, tmp_path: Path) -> None:
    pool = read_pool(calibration_pool.manifest)
    thief = pool.select(role="screen", relation="surrogate")[0]
    row = '[[model]]\npath = "{}"\nrole = "{}"\nrelation = "{}"\nkind = "another theft"\n'
    others = tmp_path / "others.toml"
    (tmp_path / "study.toml").write_text(SUSPECTS.replace("MANIFEST", str(calibration_pool.manifest)))
    others.write_text(row.format(pool.source.path, "source", "source") + row.format(thief.path, "screen", "surrogate"))
    finished = run_study(read_study(tmp_path / "study.toml"), tmp_path / "out")
    rows = finished.steps["verdicts.ours"].result["summary"]
    assert {row["kind"]: row["models"] for row in rows} == {"a surrogate": 3, "references": 3, "another theft": 1}
    stranger = pool.select(role="screen", relation="reference")[0]
    others.write_text(row.format(stranger.path, "source", "source") + row.format(thief.path, "screen", "surrogate"))
    with pytest.raises(StudyError, match="made from another source"):
        run_study(read_study(tmp_path / "study.toml"), tmp_path / "out")


JUDGED = """
data = "digits"

[pool.main]
manifest = "MANIFEST"

[pool.bare]
manifest = "BARE"

[fingerprint.ours]
pool = "main"
preset = "perturbed"
settings = { eps = 0.188, tau = 0.5, count = 12, iterations = 20 }

[verdicts.left-out]
fingerprint = "ours"
role = "development"
score = "caeacc"
vary.copies = [true, false]
working = 0.5

[verdicts.grouped]
fingerprint = "ours"
role = "development"
score = "caeacc"
behind = ["noise:0.3"]
defences = ["none", "noise:0.3"]

[verdicts.few]
fingerprint = "ours"
role = "screen"
choice = "lot"
vary.score = ["caeacc"]
vary.examples = [3, 100]
rates = [0.2, 0.01]

[verdicts.along]
fingerprint = "ours"
role = "screen"
score = "caeacc"
sequential = true
rule = 3
rates = [0.4]
groups = { thieves = ["surrogate"], none = ["of that kind"] }

[verdicts.uncalibrated]
fingerprint = "ours"
pool = "bare"
role = "screen"

[[table]]
title = "By relation"
of = ["verdicts.*"]
rows = "relations"
columns = ["verdicts", "kind", "p at most *", "examples"]

[[figure]]
title = "Scores"
kind = "scores"
of = ["verdicts.*"]
"""


@pytest.fixture(scope="module")
def judged(calibration_pool: CalibrationPool, tmp_path_factory: pytest.TempPathFactory) -> Finished:
    folder = tmp_path_factory.mktemp("judged")
    bare = calibration_pool.copied(folder, without=["calibrate"])
    text = JUDGED.replace("MANIFEST", str(calibration_pool.manifest)).replace("BARE", str(bare))
    (folder / "judged.toml").write_text(text)
    finished = run_study(read_study(folder / "judged.toml"), folder / "out")
    write_results(finished, folder / "out", command="cae study judged.toml")
    return finished


class TestVerdicts:
    def test_a_calibrating_model_is_judged_by_the_others(self, judged: Finished) -> None:
        rows = judged.steps["verdicts.left-out-copies-true"].result["models"]
        others = {row["model"]: row["CAEAcc"] for row in rows if row["relation"] == "reference"}
        calibrating = {row["model"]: row for row in rows if row["model"] in others}
        assert len(rows) == 2 * (9 + 3)
        assert len(calibrating) == 9  # the models to screen with have names of these, and come first
        for name, row in calibrating.items():
            higher = sum(value >= row["CAEAcc"] for other, value in others.items() if other != name)
            assert row["p"] == pytest.approx((1 + higher) / 9)

    def test_references_behind_a_defence_are_a_group_of_their_own(self, judged: Finished) -> None:
        rows = judged.steps["verdicts.grouped"].result["models"]
        names = {row["model"] for row in rows if row["relation"] == "reference"}
        scores = {(row["model"], row["defence"]): row["CAEAcc"] for row in rows if row["relation"] == "reference"}
        groups = [{name: scores[name, defence] for name in names} for defence in ("none", "noise:0.3")]
        assert groups[0] != groups[1]
        for row in rows[2 * (3 + 3) :]:  # the models to screen with have names of these, and come first
            if row["relation"] == "reference":
                higher = [sum(group[name] >= row["CAEAcc"] for name in names - {row["model"]}) for group in groups]
                assert row["p"] == pytest.approx((1 + max(higher)) / len(names))

    def test_known_copies_can_be_left_aside(self, judged: Finished) -> None:
        with_copies, without = (
            judged.steps[f"verdicts.left-out-copies-{copies}"].result for copies in ("true", "false")
        )
        assert [row["kind"] for row in without["relations"]] == ["surrogates", "working surrogates", "references"]
        assert {row["p as a copy"] for row in without["models"]} == {1.0}
        assert min(row["p as a copy"] for row in with_copies["models"]) < 0.5
        assert [row["p"] for row in with_copies["models"]] == [row["p"] for row in without["models"]]

    def test_a_few_examples_are_drawn_for_each_suspect(self, judged: Finished) -> None:
        few, every = (
            judged.steps[f"verdicts.few-score-caeacc-examples-{count}"].result["summary"] for count in (3, 100)
        )
        (made,) = judged.steps["fingerprint.ours"].result["summary"]
        assert {row["examples, most"] for row in few} == {3}
        assert {row["examples"] for row in every} == {made["examples"]}
        assert "accused at 0.2" in few[0]
        assert "accused at 0.01" not in few[0]  # nine references support no such rate

    def test_thieves_are_grouped_by_words_of_their_kind(self, judged: Finished) -> None:
        rows = judged.steps["verdicts.along"].result["summary"]
        assert [(row["kind"], row["models"]) for row in rows] == [("thieves", 3), ("references", 3)]
        (made,) = judged.steps["fingerprint.ours"].result["summary"]
        assert max(row["examples, mean"] for row in rows) < made["examples"]

    def test_without_a_calibration_there_is_an_auc_and_no_rate(self, judged: Finished) -> None:
        rows = judged.steps["verdicts.uncalibrated"].result["summary"]
        assert rows[0]["AUC"] > 0.5
        assert not any("accused" in column for row in rows for column in row)


def test_examples_of_studies_can_be_read() -> None:
    found = {path.name: read_study(path) for path in sorted(EXAMPLES.glob("*.toml"))}
    assert len(found) > 8
    for study in found.values():
        assert study.tables


def test_shipped_studies_can_be_read(run_cae: Run) -> None:
    listed = run_cae("study", "list", "--json").json()
    assert set(listed["studies"]) == set(shipped_studies())
    for path in shipped_studies().values():
        whole, quick = read_study(path), read_study(path, quick=True)
        assert whole.tables
        assert {step.id for step in quick.steps} <= {step.id for step in whole.steps}
        assert quick.tables


def test_the_reduced_form_leaves_steps_out_and_what_is_shown_of_them(tmp_path: Path) -> None:
    path = tmp_path / "study.toml"
    text = STUDY.replace("MANIFEST", "pool.toml").replace('role = "screen"', 'role = "screen"\nquick = false')
    path.write_text(text.replace('of = ["match-rates.ours"]', 'of = ["match-rates.ours", "verdicts.ours"]', 1))
    (tmp_path / "pool.toml").write_text("")
    whole, quick = read_study(path), read_study(path, quick=True)
    assert [step.id for step in whole.steps if step not in quick.steps][-1] == "verdicts.ours"
    assert "verdicts.ours" not in {step.id for step in quick.steps}
    assert [table.title for table in whole.tables] == ["In the pool and held out", "By kind"]
    assert [(table.title, table.of) for table in quick.tables] == [("In the pool and held out", ("match-rates.ours",))]
    path.write_text(text.replace('pool = "main"', 'pool = "main"\nquick = false').replace("quick.settings", "#"))
    with pytest.raises(StudyError, match=r"fingerprint\.ours"):
        read_study(path, quick=True)  # what needs a step that is left out is refused


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ('manifest = "MANIFEST"', 'manifest = "nowhere.toml"', "[pool.main]"),
        ('manifest = "MANIFEST"', "", "either plan = ... or manifest = ..."),
        ('pool = "main"', 'pool = "other"', "there is no step 'pool.other'"),
        ('preset = "perturbed"', 'preset = "best"', "There is no preset 'best'"),
        ("eps = 0.188", "eps = 0.0", "eps"),
        ("iterations = 20", "steps = 20", "A setting of the generation is unknown"),
        ("iterations = 20", 'iterations = "many"', "[fingerprint.ours]"),
        ('roles = ["generate", "screen"]', 'roles = ["screen", "screen"]', "A role is asked once"),
        ('roles = ["generate", "screen"]', 'roles = ["judge"]', "roles is a list of"),
        ('role = "screen"', 'role = "generate"', "Suspects are of the role test"),
        ('["none", "bits:1"]', '["magic:1"]', "magic"),
        ('["none", "bits:1"]', '["none"]\nby = "size"', "by is kind"),
        ('["none", "bits:1"]', '["none"]\nsuspects = [3]', "suspects is a list of pools"),
        ('["none", "bits:1"]', '["none"]\nchoice = "best"', "choice of examples is screen or lot"),
        ('["none", "bits:1"]', '["none"]\nrates = [5.0]', "rates is a list of numbers in (0, 1)"),
        ('["none", "bits:1"]', '["none"]\nrule = 9', "There are the rules 1, 2, 3 and 4; found 9"),
        ('["none", "bits:1"]', '["none"]\ngroups = { robust = "adversarial" }', "groups.robust is a list of words"),
        ('["none", "bits:1"]', '["none"]\nvary.queries = 3', "lists the values of options"),
        ('["none", "bits:1"]', '["none"]\nvary.score = ["llr", "LLR"]', "have one name"),
        ('["none", "bits:1"]', '["none"]\nvary.depth = [3]', "unknown field 'depth'"),
        (
            "[verdicts.ours]",
            '[label-changes.a]\npool = "main"\nevery = 0\n[verdicts.ours]',
            "every must be a number of iterations",
        ),
        (
            "[verdicts.ours]",
            '[label-changes.a]\npool = "main"\npreset = "default"\n[verdicts.ours]',
            "Label changes are those of seeds that the source gets right",
        ),
        ("[verdicts.ours]", "[judgements.ours]", "unknown field 'judgements'"),
        ('kind = "labels"', 'kind = "pie"', "kind must be one of"),
        ('of = ["verdicts.ours"]', "of = []", "at least one"),
        ('of = ["verdicts.ours"]', 'of = ["verdicts.theirs"]', "there is no step"),
        ('quick = "fewer examples"', "quick = 3", "quick must be a text"),
        ('title = "A small study"', "title = ", "the study is not TOML"),
        ("[verdicts.ours]", '[strength.a]\npool = "main"\neps = [0.0]\n[verdicts.ours]', "eps is a list of numbers"),
        ("[verdicts.ours]", '[strength.a]\npool = "main"\nmethods = ["GAN"]\n[verdicts.ours]', "methods is a list of"),
        ("[verdicts.ours]", '[compare.a]\npool = "main"\nmethods = ["best"]\n[verdicts.ours]', "best"),
        ("[verdicts.ours]", '[compare.a]\npool = "main"\n[verdicts.ours]', "at least one"),
    ],
)
def test_what_is_wrong_is_told_before_any_work(
    tmp_path: Path, calibration_pool: CalibrationPool, old: str, new: str, told: str
) -> None:
    text = STUDY.replace(old, new, 1).replace("MANIFEST", str(calibration_pool.manifest))
    path = tmp_path / "study.toml"
    path.write_text(text)
    with pytest.raises(StudyError) as raised:
        read_study(path)
    assert told in str(raised.value)
    assert str(path) in str(raised.value)


def test_a_column_that_is_not_there_is_named(study: Path, done: Path, tmp_path: Path) -> None:
    other = study.with_name("column.toml")
    other.write_text(study.read_text().replace('columns = ["kind", "models", "AUC"]', 'columns = ["kinds"]'))
    finished = run_study(read_study(other), done)
    with pytest.raises(StudyError, match="has no column 'kinds'; there are verdicts, kind, defence, models"):
        write_results(finished, tmp_path, command="cae study")


def test_a_folder_of_another_format_or_job_is_refused(study: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    (other / "study.json").write_text(json.dumps({"format": 99}))
    with pytest.raises(StudyError, match="has format 99, and this release writes and reads 1"):
        run_study(read_study(study), other)
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "letter.txt").write_text("dear")
    with pytest.raises(StudyError, match="it is not empty"):
        run_study(read_study(study), tmp_path / "notes")


def test_settings_of_which_nothing_comes_are_a_result(study: Path, tmp_path: Path) -> None:
    other = study.with_name("nothing.toml")
    other.write_text(study.read_text().replace("eps = 0.188, tau = 0.5", "eps = 0.004, tau = 0.99"))
    finished = run_study(read_study(other), tmp_path / "out")
    page = write_results(finished, tmp_path / "out", command="cae study")
    (row,) = finished.steps["fingerprint.ours"].result["summary"]
    assert (row["examples"], row["failed"][:4]) == (0, "None")
    assert finished.steps["match-rates.ours"].result["summary"] == [{"fingerprint": "ours", "examples": 0}]
    assert "| ours | 0 |" in page.read_text()


def test_images_are_named_somewhere(study: Path, tmp_path: Path) -> None:
    other = study.with_name("nameless.toml")
    other.write_text(study.read_text().replace('data = "digits"', ""))
    with pytest.raises(StudyError, match="neither the study nor --data"):
        run_study(read_study(other), tmp_path / "out")
    with pytest.raises(CaeError):
        run_study(read_study(other), tmp_path / "out", data="nowhere")


def test_a_source_below_the_floor_is_told(study: Path, done: Path, tmp_path: Path) -> None:
    other = study.with_name("floor.toml")
    other.write_text(study.read_text().replace('data = "digits"', 'data = "digits"\nfloor = 0.999'))
    page = write_results(run_study(read_study(other), done), tmp_path, command="cae study")
    assert "**Not informative**: the source behind ours is less accurate than 100%" in page.read_text()
