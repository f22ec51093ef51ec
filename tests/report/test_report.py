"""The report: what it says, that it says it alike each time, and what it refuses."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cae_core.files.records import as_json
from cae_core.fingerprint.file import save_fingerprint
from cae_core.verification.options import RULE, VerificationOptions
from cae_report import matrix as matrices
from cae_report.content import ReportContent, gather_content
from cae_report.dossier import open_dossier
from cae_report.matrix import matrix_of
from cae_report.page import render_page
from cae_report.tables import LabelPair
from tests.cli.conftest import Outcome, Pool
from tests.cli.test_bad_input import assert_one_sentence
from tests.output_schema import SCHEMA, check_value, validator_of
from tests.report.html_pages import Page, read_page
from tests.report.report_cases import HOSTILE, Files, calibration_of, colour_fingerprint, write_case

Run = Callable[..., Outcome]

ROOT = Path(__file__).parents[2]
SEQUENTIAL = VerificationOptions(sequential=True)
PATH = VerificationOptions(sequential=True, beacon="0af1" * 16, beacon_time="2026-05-01T12:00Z")
CASES: dict[str, dict[str, Any]] = {
    "surrogate": {"rate": 0.9},
    "independent": {"rate": 0.05},
    "inconclusive": {"rate": 0.3, "surrogates": 5},
    "sequential surrogate": {"rate": 0.95, "options": SEQUENTIAL},
    "sequential independent": {"rate": 0.02, "options": SEQUENTIAL},
    "path surrogate": {"rate": 0.95, "options": PATH},
    "path independent": {"rate": 0.02, "options": PATH},
    "uncalibrated": {"rate": 0.9, "calibrated": False},
    "uncalibrated sequential": {"rate": 0.99, "calibrated": False, "options": SEQUENTIAL},
    "likelihood ratio": {"rate": 0.9, "score": "llr"},
    "parametric": {"rate": 0.9, "parametric": True},
    "few references": {"rate": 0.9, "references": 3, "surrogates": 0},
    "extrapolated": {"rate": 0.9, "right": 0.6, "options": VerificationOptions(allow_extrapolation=True)},
    "neither kind": {"rate": 0.45},
    "budget": {"rate": 0.9, "options": VerificationOptions(max_queries=90, claimed_accuracy=0.95)},
}


def make(folder: Path, name: str = "surrogate", **more: Any) -> Files:  # noqa: ANN401 - of different types
    options = CASES[name] | more
    fingerprint = options.pop("fingerprint", None) or colour_fingerprint()
    known = {key: options.pop(key) for key in ("score", "parametric", "references", "surrogates") if key in options}
    calibration = calibration_of(fingerprint, **known) if options.pop("calibrated", True) else None
    return write_case(folder, fingerprint=fingerprint, calibration=calibration, **options)


@pytest.fixture(scope="module", params=CASES)
def reported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[ReportContent, Page]:
    """Every case, as content and as page."""
    files = make(tmp_path_factory.mktemp("case"), request.param)
    case = open_dossier(files.verdict, files.fingerprint)
    content = gather_content(case, examples=12)
    return content, read_page(render_page(case, content))


def test_the_content_follows_its_schema(reported: tuple[ReportContent, Page]) -> None:
    value = json.loads(json.dumps(as_json(reported[0])))
    check_value("report", value)


def test_the_schema_refuses_what_it_should(tmp_path: Path) -> None:
    files = make(tmp_path)
    value = json.loads(json.dumps(as_json(gather_content(open_dossier(files.verdict, files.fingerprint), examples=1))))
    validator = validator_of("report")
    assert validator.is_valid(value)
    changes: tuple[dict[str, Any], ...] = (
        {"format": 2},
        {"surprise": 1},
        {"evidence": []},
        {"verdict": {}},
        {"classes": [1]},
    )
    for change in changes:
        assert not validator.is_valid(value | change), change
    for name in SCHEMA["$defs"]["report"]["required"]:
        assert not validator.is_valid({key: item for key, item in value.items() if key != name}), name


def test_the_page_says_the_verdict_and_all_its_evidence(reported: tuple[ReportContent, Page]) -> None:
    content, page = reported
    text = page.text
    verdict = content.verdict
    assert bool(content.sides) == (verdict["calibration"] is not None)
    for words in (content.sentence, content.sides, *content.method, *content.replay, verdict["verdict"]):
        assert words in text
    for row in content.evidence:
        assert row.name in text
        assert " ".join(row.value.split()) in text
        assert row.note in text
    for limit in content.limits:
        assert limit.title in text
        assert limit.text in text
    for digest in (verdict["suspect"]["sha256"], verdict["fingerprint"]["sha256"], *(x.sha256 for x in content.inputs)):
        assert digest in text
    for model in content.models:
        assert model.name in text
        assert model.sha256 in text


def test_the_numbers_are_those_of_the_verdict(reported: tuple[ReportContent, Page]) -> None:
    content = reported[0]
    verdict, rows = content.verdict, {row.name: row for row in content.evidence}
    assert rows["Matches"].value == f"{verdict['matches']} of {verdict['asked']}"
    assert float(rows["CAEAcc"].value) == pytest.approx(verdict["caeacc"], abs=5e-4)
    assert [float(x) for x in rows["95 % interval of CAEAcc"].value.split(" to ")] == pytest.approx(
        verdict["interval"], abs=5e-4
    )
    assert (
        rows["Queries"].value
        == f"{verdict['queries']['fingerprint']} fingerprint, {verdict['queries']['benign']} benign"
    )
    assert rows["Nonce"].value == verdict["nonce"]
    if verdict["p_value"] is not None:
        assert float(rows["p-value"].value) == pytest.approx(verdict["p_value"], rel=5e-3)
    if verdict["threshold"]["value"] is not None:
        assert float(rows["Threshold"].value.split(",")[0]) == pytest.approx(verdict["threshold"]["value"], rel=5e-3)
    assert ("What would help" in rows) == bool(verdict["remedy"])
    suspect = content.answers[-1]
    assert suspect.who == "suspect"
    assert suspect.match == pytest.approx(verdict["matches"] / verdict["asked"])
    assert all(row.match + row.truth + row.third == pytest.approx(1) for row in content.answers)
    assert sum(pair.examples for pair in content.labels) == 60


def test_the_models_scores_give_the_p_value(tmp_path: Path) -> None:
    for name in ("surrogate", "likelihood ratio", "independent", "budget"):
        files = make(tmp_path, name)
        content = gather_content(open_dossier(files.verdict, files.fingerprint), examples=0)
        scores = np.array([model.score for model in content.models if model.relation == "reference"])
        value = content.verdict["score"]["value"]
        assert (1 + (scores >= value).sum()) / (len(scores) + 1) == pytest.approx(content.verdict["p_value"])
        accuracies = [model.accuracy for model in content.models if model.relation == "reference"]
        assert [min(accuracies), max(accuracies)] == pytest.approx(content.verdict["benign_range"])


def test_the_page_is_accessible_and_loads_nothing(reported: tuple[ReportContent, Page]) -> None:
    page = reported[1]
    levels = [int(tag.name[1]) for tag in page.named("h1", "h2", "h3", "h4")]
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    assert page.named("html")[0].attributes["lang"] == "en"
    for image in page.named("img"):
        assert image.attributes["alt"]
        assert str(image.attributes["src"]).startswith("data:image/png;base64,")
    for figure in page.named("svg"):
        assert figure.attributes["role"] == "img"
        named = str(figure.attributes["aria-labelledby"]).split()
        texts = {tag.attributes.get("id"): tag.text for tag in page.named("title", "desc")}
        assert all(texts[name] for name in named)
    for tag in page.tags:
        for name, value in tag.attributes.items():
            assert not name.startswith("on"), (tag.name, name)
            if name in ("src", "href", "xlink:href", "srcset", "data", "action"):
                assert str(value).startswith(("#", "data:image/png;base64,")), (tag.name, value)
    assert not page.named("script", "link", "iframe", "object", "embed", "base", "form")
    assert not [tag.text for tag in page.named("style") if "url(" in tag.text or "@import" in tag.text]
    ids = [tag.attributes["id"] for tag in page.tags if "id" in tag.attributes]
    assert len(set(ids)) == len(ids)
    references = [str(v) for t in page.tags for k, v in t.attributes.items() if k == "xlink:href"]
    assert references
    assert {reference.removeprefix("#") for reference in references} <= set(ids)


def test_every_table_cell_has_a_head(reported: tuple[ReportContent, Page]) -> None:
    for head in reported[1].named("th"):
        assert head.attributes.get("scope") in ("row", "col", "rowgroup")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("surrogate", ("judged to be derived", "0 of 99 independently trained models", "at most 5 %")),
        (
            "independent",
            ("No evidence was found", "known copies do so as seldom", "does not prove that it is independent"),
        ),
        ("inconclusive", ("does not decide",)),
        ("neither kind", ("does not decide", "above all 99 references and below all 39 known copies")),
        ("uncalibrated", ("rule of thumb", "error rates are unknown", "at or above 75 %")),
        ("sequential surrogate", ("would do so for more than", "of all 45")),
        ("sequential independent", ("would do so for fewer than", "of all 45")),
        ("path surrogate", ("of 99 independently trained models do so as often at some point of the same order",)),
        ("path independent", ("known copies do so as seldom at some point of the same order",)),
        ("parametric", ("statistical model that was fitted to 99", "no guarantee")),
        ("likelihood ratio", ("score as high by the examples' weights",)),
    ],
)
def test_the_sentence_for_people_who_do_not_know_the_method(tmp_path: Path, name: str, words: tuple[str, ...]) -> None:
    files = make(tmp_path, name)
    content = gather_content(open_dossier(files.verdict, files.fingerprint), examples=0)
    for word in words:
        assert word in content.sentence
    assert content.sentence.endswith(".")


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if case.get("calibrated", True)])
def test_every_calibrated_report_names_both_sides(tmp_path: Path, name: str) -> None:
    files = make(tmp_path, name)
    content = gather_content(open_dossier(files.verdict, files.fingerprint), examples=0)
    standing, models = content.verdict["standing"], content.models
    assert standing is not None
    high, low = (content.verdict["score"]["value"],) * 2
    if content.verdict["sequential"] is not None:
        low, high = content.verdict["interval"]
        low, high = high, low
    counted = {"as_high": 0, "as_low": 0}
    for model in models:
        counted["as_high"] += model.relation == "reference" and model.score >= high
        counted["as_low"] += model.relation == "surrogate" and model.score <= low
    if "path" not in content.verdict:  # there models are ranked by their paths, see `test_path.py` of the core
        assert {key: standing[key] for key in counted} == counted
    groups = [sum(model.relation == relation for model in models) for relation in ("reference", "surrogate")]
    assert f"{standing['as_high']} of {groups[0]} independent models" in content.sides
    assert re.search("independent(ly trained)? model|references", content.sentence)
    if groups[1]:
        assert f"{standing['as_low']} of {groups[1]} known copies" in content.sides
        assert "known cop" in content.sentence
    (row,) = (row for row in content.evidence if row.name == "The suspect among known models")
    assert row.value == content.sides


def test_a_verdict_by_the_first_rule_is_reported_with_both_sides_and_says_so(tmp_path: Path) -> None:
    first, present = (
        gather_content(open_dossier(files.verdict, files.fingerprint), examples=0)
        for rule in (1, RULE)
        if (files := make(tmp_path, "neither kind", options=VerificationOptions(rule=rule)))
    )
    assert (first.verdict["verdict"], present.verdict["verdict"]) == ("surrogate", "inconclusive")
    assert first.verdict["standing"] is None
    assert first.sides == present.sides
    assert "0 of 39 known copies as seldom" in first.sentence
    titles = [{limit.title for limit in content.limits} for content in (first, present)]
    assert titles[0] - titles[1] == {"What the present rule would say"}
    check_value("report", json.loads(json.dumps(as_json(first))))


def test_what_a_verdict_does_not_prove_depends_on_it(tmp_path: Path) -> None:
    def titles(name: str, **more: Any) -> set[str]:  # noqa: ANN401 - of different types
        files = make(tmp_path, name, **more)
        found = gather_content(open_dossier(files.verdict, files.fingerprint), examples=0)
        return {limit.title for limit in found.limits}

    always = {
        "The direction of copying",
        "That there is no shared ancestor",
        "That the test was impartial",
        "That the answers are the suspect's",
        "How other models score",
    }
    assert titles("surrogate") == always | {"Anything about models unlike the references"}
    assert titles("uncalibrated") == always | {"An error rate"}
    assert "Independence" in titles("independent")
    assert "A bound on error rates" in titles("parametric")
    assert "Anything about models of this accuracy" in titles("extrapolated")


def test_a_simulated_defence_is_told_before_all_else(tmp_path: Path) -> None:
    files = make(tmp_path, "surrogate", options=VerificationOptions(defence="random:0.01"))
    content = gather_content(open_dossier(files.verdict, files.fingerprint), examples=0)
    assert content.limits[0].title == "Anything about the suspect as it answers"
    assert "random:0.01" in content.limits[0].text
    assert content.sentence.startswith(
        "With the defence random:0.01 simulated before the suspect: The suspect is judged"
    )
    shown = read_page(render_page(open_dossier(files.verdict, files.fingerprint), content)).text
    assert "Simulated defence" in shown
    check_value("report", json.loads(json.dumps(as_json(content))))


def test_an_ancestor_that_no_reference_has_is_named(tmp_path: Path) -> None:
    fingerprint = colour_fingerprint()
    fingerprint.generation["source"]["ancestor"] = "weights of 2019"
    files = make(tmp_path, fingerprint=fingerprint)
    limits = gather_content(open_dossier(files.verdict, files.fingerprint), examples=0).limits
    assert any("weights of 2019" in limit.text for limit in limits)


def test_hostile_names_are_shown_and_do_nothing(tmp_path: Path, run_cae: Run) -> None:
    fingerprint = colour_fingerprint(names=HOSTILE)
    files = make(tmp_path, fingerprint=fingerprint, suspect="half \ud800 a pair " + " ".join(HOSTILE))
    output = tmp_path / "report.html"
    assert run_cae(*files.options, "--output", output).code == 0
    html = output.read_text("utf-8")
    assert not [c for c in html if not c.isprintable() and c != "\n"]
    page = read_page(html)
    assert not page.named("script")
    assert not [name for tag in page.tags for name in tag.attributes if name.startswith("on")]
    for words in ("<script>alert(1)</script>", "$x^{2}$ & $\\undefined", "evil\\u202egpj.exe", "half \\ud800 a pair"):
        assert words in page.text
    assert "two\\nlines {{ 7 * 7 }}" in page.text
    told = run_cae(*files.options, "--json").json()
    check_value("report", told)
    assert told["classes"][3] == "evil\\u202egpj.exe"


def test_a_fingerprint_that_says_little_of_its_making(tmp_path: Path) -> None:
    """What is missing of the metadata is left out; what is of another shape, the reader of the file refuses."""
    fingerprint = colour_fingerprint()
    fingerprint.generation.clear()
    fingerprint.generation.update({"source": {"accuracy": 0.9}})
    files = make(tmp_path, fingerprint=fingerprint)
    case = open_dossier(files.verdict, files.fingerprint)
    content = gather_content(case, examples=2)
    assert "not recorded" in read_page(render_page(case, content)).text
    assert {row.part for row in content.inputs} == {
        "suspect",
        "verdict",
        "fingerprint, as used",
        "fingerprint, at hand",
        "calibration",
        "source",
        "screen model",
    }


def test_the_same_inputs_give_the_same_bytes(tmp_path: Path, run_cae: Run) -> None:
    files = make(tmp_path, "sequential surrogate")
    first, second = tmp_path / "first.html", tmp_path / "second.html"
    outcome = run_cae(*files.options, "--output", first)
    assert outcome.code == 0
    assert outcome.out == f"{first}: surrogate. The recorded answers give the recorded verdict.\n"
    assert first.stat().st_mode & 0o777 == 0o600
    settings = tmp_path / "matplotlibrc"
    settings.write_text("svg.fonttype: path\nfont.size: 30\naxes.facecolor: red\n")
    environment = {**os.environ, "PYTHONHASHSEED": "5", "MATPLOTLIBRC": str(settings), "TZ": "Asia/Tokyo"}
    command = [sys.executable, "-m", "cae_cli", *map(str, files.options), "--output", str(second)]
    subprocess.run(command, check=True, capture_output=True, env=environment, cwd=ROOT)
    assert first.read_bytes() == second.read_bytes()


def test_examples_are_the_first_ones_asked(tmp_path: Path, run_cae: Run) -> None:
    files = make(tmp_path)
    verdict = json.loads(files.verdict.read_text())
    asked = [a["index"] for a in verdict["answers"] if a["kind"] == "fingerprint" and not a["repeat"]]
    told = run_cae(*files.options, "--json").json()
    assert [example["index"] for example in told["examples"]] == asked[:12]
    output = tmp_path / "report.html"
    assert run_cae(*files.options, "--examples", "0", "--output", output).code == 0
    page = read_page(output.read_text())
    assert not page.named("img")
    assert "The fingerprint is a secret" not in page.text


def test_json_writes_a_page_only_where_one_is_named(
    tmp_path: Path, run_cae: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = make(tmp_path)
    monkeypatch.chdir(tmp_path)
    assert run_cae(*files.options, "--json").json()["format"] == 1
    assert not (tmp_path / "report.html").exists()
    assert run_cae(*files.options, "--json", "--output", "other.html").json()["format"] == 1
    assert (tmp_path / "other.html").exists()
    assert run_cae(*files.options).out.startswith("report.html: surrogate")
    assert (tmp_path / "report.html").exists()


def test_a_verdict_of_the_command_line(pool: Pool, fingerprint: Path, tmp_path: Path, run_cae: Run) -> None:
    record = tmp_path / "verdict.json"
    record.write_text(run_cae("verify", "--suspect", pool.copy, "--fingerprint", fingerprint, "--json").out)
    told = run_cae("report", "--verdict", record, "--fingerprint", fingerprint, "--json").json()
    check_value("report", told)
    assert told["verdict"] == json.loads(record.read_text())
    parts = {row["part"] for row in told["inputs"]}
    assert {"source", "benign data", "generation surrogate", "generation reference"} <= parts
    assert all(len(row["sha256"]) == 64 for row in told["inputs"])


def test_a_fingerprint_file_that_was_written_again_is_said(tmp_path: Path) -> None:
    files = make(tmp_path, "uncalibrated")
    fingerprint = colour_fingerprint()
    fingerprint.tools["more"] = "1"
    save_fingerprint(fingerprint, files.fingerprint)
    content = gather_content(open_dossier(files.verdict, files.fingerprint), examples=0)
    assert len(content.replay) == 2
    assert "another SHA-256" in content.replay[1]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("", "not JSON"),
        ("[]", "not a JSON object"),
        ("{}", "no verdict"),
        ('{"verdict": "surrogate", "answers": 3}', "no verdict"),
    ],
)
def test_what_is_no_verdict(tmp_path: Path, run_cae: Run, content: str, words: str) -> None:
    files = make(tmp_path)
    files.verdict.write_text(content)
    assert_one_sentence(run_cae(*files.options), "verdict", words)


def test_another_fingerprint_or_none(tmp_path: Path, run_cae: Run) -> None:
    files = make(tmp_path)
    assert_one_sentence(
        run_cae("report", "--verdict", files.verdict, "--fingerprint", tmp_path / "none"), "no such fingerprint file"
    )
    save_fingerprint(colour_fingerprint(n=40), files.fingerprint)
    assert_one_sentence(run_cae(*files.options), "Give the fingerprint that it names")


def test_an_edited_answer_is_refused(tmp_path: Path, run_cae: Run) -> None:
    files = make(tmp_path)
    answers = json.loads(files.verdict.read_text())["answers"]
    first = next(answer for answer in answers if answer["kind"] == "fingerprint")
    first["label"] = (first["label"] + 1) % 7
    files.edit(answers=answers)
    output = tmp_path / "report.html"
    refused = run_cae(*files.options, "--output", output)
    assert_one_sentence(refused, "the recorded answers do not give what the record says", "matches")
    assert not output.exists()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"verdict": "independent"}, "differs in verdict"),
        ({"p_value": 0.001}, "differs in p_value"),
        ({"suspect": {"name": "theirs.onnx", "sha256": "ab" * 32, "note": "more"}}, "differs in suspect"),
        ({"surprise": 1}, "differs in surprise"),
        ({"nonce": "00"}, "nonce"),
        ({"earlier": {"verifications": "<b>none</b>", "examples_seen": 0}}, "'earlier' should hold the counts"),
        ({"earlier": {"verifications": True, "examples_seen": 0}}, "'earlier' should hold the counts"),
        ({"earlier": {"verifications": 1, "examples_seen": -1}}, "'earlier' should hold the counts"),
        ({"earlier": [1]}, "'earlier' should hold the counts"),
    ],
)
def test_an_edited_field_is_refused(tmp_path: Path, run_cae: Run, change: dict[str, Any], words: str) -> None:
    files = make(tmp_path)
    files.edit(**change)
    output = tmp_path / "report.html"
    assert_one_sentence(run_cae(*files.options, "--output", output), words)
    assert not output.exists()


def test_what_the_ledger_knew_is_the_records_word(tmp_path: Path, run_cae: Run) -> None:
    files = make(tmp_path)
    files.edit(earlier={"verifications": 2, "examples_seen": 17})
    (row,) = (row for row in run_cae(*files.options, "--json").json()["evidence"] if row["name"].startswith("Earlier"))
    assert row["value"] == "2"
    assert "17" in row["note"]
    assert "as recorded, not derived" in row["note"]


def test_what_is_missing_is_named(tmp_path: Path, run_cae: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    files = make(tmp_path)
    for name in ("page", "rendering", "figures", "standing_figure", "svg", "trace_figure", "pictures"):
        monkeypatch.delitem(sys.modules, f"cae_report.{name}", raising=False)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    output = tmp_path / "report.html"
    assert_one_sentence(run_cae(*files.options, "--output", output), "pip install 'cae-fingerprint[report]'")
    assert not output.exists()
    assert run_cae(*files.options, "--json").code == 0


def test_only_the_page_loads_what_draws_it(tmp_path: Path) -> None:
    files = make(tmp_path)
    program = (
        "import sys; from cae_cli.main import main\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "sys.stderr.write(' '.join(sorted({'matplotlib', 'jinja2', 'PIL', 'rich'} & set(sys.modules))) or 'none')"
    )
    for more, loaded in ((("--json",), "none"), (("--output", str(tmp_path / "r.html")), "PIL jinja2 matplotlib")):
        command = [sys.executable, "-c", program, *map(str, files.options), *more]
        assert subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stderr == loaded


def test_the_report_never_replaces_what_it_is_made_from(tmp_path: Path, run_cae: Run) -> None:
    files = make(tmp_path)
    for path in (files.verdict, files.fingerprint):
        before = path.read_bytes()
        assert_one_sentence(run_cae(*files.options, "--output", path), "one of the inputs", code=2)
        assert path.read_bytes() == before


def test_many_classes_become_a_table_that_fits_a_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrices, "_MOST", 3)
    pairs = (LabelPair(0, 4, 5), LabelPair(4, 0, 2), LabelPair(2, 1, 4), LabelPair(3, 1, 1))
    matrix = matrix_of(("a", "b", "c", "d", "e"), pairs)
    assert matrix.classes == ("a", "b", "e", "2 others")
    assert matrix.rows == ((0, 0, 5, 0), (0, 0, 0, 0), (2, 0, 0, 0), (0, 5, 0, 0))
    assert matrix.truths == (5, 0, 2, 5)
    assert matrix.labels == (2, 5, 5, 0)
    assert max(shade for row in matrix.shades for shade in row) == 0.55


def test_the_matches_of_each_kind_of_example_are_told_where_there_are_several(tmp_path: Path) -> None:
    plain = colour_fingerprint()
    natural = np.arange(60) < 25
    mixed = dataclasses.replace(
        plain,
        images=np.where(natural[:, np.newaxis, np.newaxis, np.newaxis], plain.seeds, plain.images),
        steps=np.where(natural, 0, plain.steps).astype(np.int32),
        example_kind=np.where(natural, 2, 0).astype(np.uint8),
    )
    told = []
    for name, fingerprint in (("plain", plain), ("mixed", mixed)):
        (tmp_path / name).mkdir()
        files = write_case(tmp_path / name, fingerprint=fingerprint)
        rows = gather_content(open_dossier(files.verdict, files.fingerprint), examples=0).evidence
        told.append({row.name: row.value for row in rows if row.name.startswith("Matches")})
    assert list(told[0]) == ["Matches"]
    assert list(told[1]) == ["Matches", "Matches of kind perturbed", "Matches of kind natural error"]
    (all_of_them, of), (perturbed, of_perturbed), (errors, of_errors) = (
        map(int, value.split(" of ")) for value in told[1].values()
    )
    assert (of, of_perturbed, of_errors) == (60, 35, 25)
    assert all_of_them == perturbed + errors
