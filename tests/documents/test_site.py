"""The documentation site: what is generated says what the code says, and every link leads somewhere."""

import doctest
import json
import re
import subprocess
import sys
import tomllib
from collections import Counter
from importlib.metadata import PackageMetadata
from pathlib import Path
from types import ModuleType
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from typer.testing import CliRunner

from cae_backends.training.kinds.table import KINDS
from cae_cli.commands import judge, verify
from cae_cli.main import COMMANDS, application
from cae_core.arena.kinds import known_kinds
from cae_core.calibration.calibrated import load_calibrated
from cae_site import demo_record, extras, svg, tables
from cae_site import pages as site_pages
from cae_site.api import BORDER, api
from cae_site.commands import command_reference, commands
from cae_site.demo_pictures import suspect_cells
from cae_site.demo_record import load_record
from cae_site.generated import GENERATED
from cae_site.pages import MARKER, prepared
from tests.documents.pages import ROOT, pages

DOCS = ROOT / "docs"
DRAWINGS = ("demo-examples", "demo-standing", "idea")

_LINK = re.compile(r"(?<!!)\[(?:[^\]\[]|\[[^\]]*\])+\]\((?P<target>[^)\s]+)\)")
_FENCED = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^#{1,6} (?P<words>.+)$", re.MULTILINE)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def anchors(page: Path) -> set[str]:
    """The anchors that headings get, here and where a repository shows the page."""
    words = _HEADING.findall(_FENCED.sub("", prepared(text_of(page))))
    plain = [re.sub(r"[^\w\- ]", "", re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", each).lower()) for each in words]
    return {each.strip().replace(" ", "-") for each in plain}


def links() -> list[tuple[str, str]]:
    found = []
    for page in pages():
        text = re.sub(r"`[^`\n]*`", "", _FENCED.sub("", text_of(ROOT / page)))
        found += [(page, link["target"]) for link in _LINK.finditer(text)]
    return [(page, target) for page, target in found if not target.startswith(("http:", "https:", "mailto:"))]


@pytest.mark.parametrize("page", pages())
def test_a_link_leads_to_a_file_and_to_a_heading(page: str) -> None:
    broken = []
    for _, target in [each for each in links() if each[0] == page]:
        name, _, anchor = target.partition("#")
        path = ROOT / page if not name else (ROOT / page).parent / name
        if not path.exists() or (anchor and anchor not in anchors(path)):
            broken.append(target)
    assert broken == []


def test_a_broken_link_would_be_found() -> None:
    assert len(links()) > 100
    assert "the-rule" in anchors(DOCS / "verdicts.md")
    assert "cae-pool-train" in anchors(DOCS / "reference/commands.md")
    assert "the-rules" not in anchors(DOCS / "verdicts.md")


def test_every_page_stands_in_the_table_of_contents() -> None:
    named = re.findall(r"^[\w./-]+$", text_of(DOCS / "index.md"), re.MULTILINE)
    written = {path.relative_to(DOCS).with_suffix("").as_posix() for path in DOCS.rglob("*.md")} - {"index"}
    assert Counter(named) == Counter(written)


def test_everything_that_is_generated_stands_on_one_page() -> None:
    named = [name for page in DOCS.rglob("*.md") for name in MARKER.findall(text_of(page))]
    assert Counter(named) == dict.fromkeys(GENERATED, 1)


@pytest.mark.parametrize("name", sorted(set(GENERATED) - {"api", *DRAWINGS}))
def test_every_row_of_a_generated_table_has_all_its_cells(name: str) -> None:
    found = re.findall(r"(?:^\|.*\|$\n?)+", GENERATED[name](), re.MULTILINE)
    assert found
    for table in found:
        heading, rule, *rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.strip().splitlines()]
        assert {cell.strip() for cell in rule} == {"---"}
        assert rows
        assert {len(row) for row in rows} == {len(heading)} == {len(rule)}
        assert all(row[0].strip() for row in rows)


def test_every_command_is_described_with_the_options_of_its_help() -> None:
    words = [name for name, _ in commands()]
    assert words[0] == "cae"
    assert {name.split()[1] for name in words[1:]} == set(COMMANDS)
    sections = dict(re.findall(r"^## `(.+?)`\n(.*?)(?=^## |\Z)", command_reference(), re.MULTILINE | re.DOTALL))
    app = application()
    for name in words:
        helped = CliRunner().invoke(app, [*name.split()[1:], "--help"], env={"COLUMNS": "300", "TERM": "dumb"}).output
        options = set(re.findall(r"^[│|]\s*\*?\s*(--[a-z][a-z-]*)", helped, re.MULTILINE))
        options -= {"--help", "--install-completion", "--show-completion"}
        described = set(re.findall(r"^\| (?:`-\w` )?`(--[a-z][a-z-]*)`", sections[name], re.MULTILINE))
        assert options <= described, name
        assert described <= set(re.findall(r"--[a-z][a-z-]*", helped)), name


def test_the_exit_codes_are_those_of_the_commands() -> None:
    text = GENERATED["exit-codes"]()
    for codes in (verify.EXIT_CODES, judge.EXIT_CODES):
        for words, number in codes.items():
            assert f"| `{number}` | {words} |" in text
    for number in (0, 1, 2, 130):  # README promises these
        assert f"| `{number}` |" in text


def test_the_kinds_are_those_that_a_plan_may_name() -> None:
    named = re.findall(r"^\| `([^`]+)` \|", GENERATED["kinds"](), re.MULTILINE)
    assert Counter(named) == Counter(name for name in KINDS if name != "source")


def test_the_methods_are_those_that_can_compete() -> None:
    assert re.findall(r"^\| `([^`]+)` \|", GENERATED["methods"](), re.MULTILINE) == list(known_kinds())


def test_the_operators_that_were_measured_are_among_those_that_are_listed() -> None:
    listed = {
        name: {int(number) for number in re.findall(r"\d+", versions)}
        for name, versions in re.findall(r"^\| `(\w+)` \|(.*)\|$", GENERATED["operators"](), re.MULTILINE)
    }
    rows = re.findall(r"^\| (\w+) \| (\d+) \(\d+\) \|", text_of(DOCS / "results/operators.md"), re.MULTILINE)
    assert len(rows) > 50
    assert [(name, number) for name, number in rows if int(number) not in listed[name]] == []


def test_the_layers_are_those_that_the_tests_convert() -> None:
    text = GENERATED["keras-layers"]()
    layers, activations = (re.findall(r"`([^`]+)`", line) for line in text.splitlines()[2:])
    assert {"Conv2DTranspose", "GroupNormalization", "MultiHeadAttention", "Rescaling"} <= set(layers)
    assert {"relu", "gelu", "log_softmax"} <= set(activations)
    source = text_of(ROOT / "tests/converters/keras_layers.py")
    assert [name for name in layers if f"layers.{name}(" not in source] == []
    assert [name for name in activations if f'"{name}"' not in source] == []
    assert set(re.findall(r"layers\.(\w+)\(", source)) == set(layers)


def test_every_requirement_has_its_licence_and_its_versions() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = {"always": project["dependencies"], **project["optional-dependencies"]}
    lines = [line for name, lines in groups.items() if name not in ("dev", "all") for line in lines]
    licences, versions = GENERATED["extras"](), GENERATED["versions"]()
    for line in lines:
        name = re.split(r"[<>=;\[ ]", line)[0]
        assert f"| `{name}` |" in licences
        assert f"| `{name}` |" in versions
    assert "None" not in licences
    assert f"| `{project['requires-python']}` |" in versions


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ("License-Expression: Apache-2.0\nLicense: older words\n", "Apache-2.0"),
        (f"License-Expression: MIT{' AND BSD-3-Clause' * 9}\n", f"MIT{' AND BSD-3-Clause' * 9}"),
        ("License: MIT\nClassifier: License :: OSI Approved :: MIT License\n", "MIT"),
        (f"License: {'word ' * 40}\nClassifier: License :: OSI Approved :: BSD License\n", "BSD License"),
        ("Classifier: Topic :: Security\n", "not declared"),
    ],
)
def test_a_licence_is_what_a_package_declares(fields: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    from email import message_from_string

    def metadata(_: str) -> PackageMetadata:
        return message_from_string(f"Metadata-Version: 2.4\nName: some\nVersion: 1\n{fields}")  # type: ignore[return-value]

    monkeypatch.setattr(extras, "metadata", metadata)
    assert extras.licence("some") == expected


def test_a_package_that_is_not_there_says_so() -> None:
    assert extras.licence("no-such-package-anywhere") == "not installed here"


def test_every_public_name_stands_in_the_reference() -> None:
    import cae_core

    text = api()
    named = re.findall(r"^\.\. [a-z:]+:: (.+)$", text, re.MULTILINE)
    assert len(named) == len(set(named))
    assert {f"cae_core.{name}" for name in cae_core.__all__ if not name.startswith("__")} <= set(named)
    assert {name.rsplit(".", 1)[0] for name in named} == {"cae_core", *BORDER}


@pytest.mark.parametrize("name", DRAWINGS)
def test_a_drawing_is_described_and_has_the_colours_of_the_site(name: str) -> None:
    text = GENERATED[name]()
    assert "\n\n" not in text  # Markdown would end the drawing there
    figure = ET.fromstring(text)  # noqa: S314 - our own
    svg = figure.find("{http://www.w3.org/2000/svg}svg")
    assert svg is not None
    title = svg.find("{http://www.w3.org/2000/svg}title")
    caption = figure.find("figcaption")
    assert title is not None
    assert caption is not None
    assert title.text
    assert caption.text
    assert svg.get("aria-labelledby") == title.get("id")
    _, _, width, height = map(float, svg.attrib["viewBox"].split())
    for circle in svg.iter("{http://www.w3.org/2000/svg}circle"):
        assert 0 < float(circle.attrib["cx"]) < width
        assert 0 < float(circle.attrib["cy"]) < height
    defined = re.findall(r"(--[a-z]+): #", (DOCS / "static/site.css").read_text())
    assert set(re.findall(r"var\((--[a-z]+)\)", text)) <= set(defined)


def test_light_and_dark_define_the_same_colours() -> None:
    blocks = re.findall(r"\{([^{}]*--[^{}]*#[^{}]*)\}", (DOCS / "static/site.css").read_text())
    assert len(blocks) == 3
    assert len({tuple(re.findall(r"(--[a-z]+):", block)) for block in blocks}) == 1
    assert blocks[1].split() == blocks[2].split()


def test_readmes_table_is_that_of_the_recorded_demonstration() -> None:
    rows = re.findall(r"^(?:surrogate|reference) .*$", text_of(ROOT / "README.md"), re.MULTILINE)
    assert [row.split() for row in rows] == [" ".join(suspect_cells(s)).split() for s in load_record()["suspects"]]


def test_the_sentences_of_the_tutorial_are_true_of_the_record() -> None:
    record, text = load_record(), text_of(DOCS / "tutorial.md")
    copies = [s for s in record["suspects"] if s["relation"] == "surrogate"]
    others = [s for s in record["suspects"] if s["relation"] == "reference"]
    assert "All nine copies are found and none of the seven independent models is accused." in text
    assert [s["verdict"] for s in copies] == ["surrogate"] * 9
    assert "surrogate" not in [s["verdict"] for s in others]
    assert len(others) == 7
    assert "Three of the nine copies lie below the literature's fixed threshold of 0.75" in text
    assert sum(s["caeacc"] < 0.75 for s in copies) == 3
    assert "scores 0.23, which is below the highest reference" in text
    calibration = record["calibration"]
    assert [c for c in calibration["surrogates"] if c <= max(calibration["references"])] == [0.23]
    assert "matches 29 of 100" in text
    assert min(s["caeacc"] for s in copies) == 0.29
    assert len(calibration["references"]) == 19
    for example in record["examples"]:
        assert np.abs(np.subtract(example["seed"], example["example"])).max() <= 48  # as the caption says
        assert example["truth"] != example["label"]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("[the plan](../examples/pools/digits.toml)", "{download}`the plan </../examples/pools/digits.toml>`"),
        ("[the plans](../examples/pools) are long", "the plans (`examples/pools`) are long"),
        ("see [`record.py`](../../backends/kinds/record.py)", "see `backends/kinds/record.py`"),
        ("[verdicts](../verdicts.md) and [rules](verdicts.md#the-rule)",) * 2,
        ("![a picture](picture.png)",) * 2,
    ],
)
def test_a_link_to_a_file_that_is_no_page_becomes_a_download_or_a_name(written: str, read: str) -> None:
    assert prepared(written) == read


def test_a_record_has_what_was_printed_and_what_the_file_holds(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    fingerprint = ROOT / "tests/data/fingerprint-0.1.0-calibrated.safetensors"
    calibrated = load_calibrated(fingerprint)
    made, calibration = calibrated.fingerprint, calibrated.calibration
    assert calibration is not None
    kept = {
        "relation": "reference",
        "kind": "independent",
        "accuracy": 0.9,
        "p_value": 0.5,
        "standing": {},
        "verdict": "",
    }
    suspects = [{**kept, "caeacc": share, "answers": "left out"} for share in (0.25, 0.75)]
    (tmp_path / "printed.json").write_text(json.dumps({"auc": 0.5, "suspects": suspects}))
    demo_record.main([str(tmp_path / "printed.json"), str(fingerprint)])
    record = json.loads(capsys.readouterr().out)
    assert [suspect["caeacc"] for suspect in record["suspects"]] == [0.75, 0.25]
    assert set(record["suspects"][0]) == {*kept, "caeacc"}
    assert [example["label"] for example in record["examples"]] == made.labels.tolist()
    assert record["examples"][1]["seed"] == made.seeds[1, :, :, 0].tolist()
    for relation in ("references", "surrogates"):
        answers = getattr(calibration, relation).answers.tolist()
        counts = [sum(a == b for a, b in zip(row, made.labels.tolist(), strict=True)) for row in answers]
        assert record["calibration"][relation] == pytest.approx(sorted(count / len(made) for count in counts), abs=1e-6)


@pytest.mark.parametrize("module", [tables, svg, site_pages])
def test_the_examples_of_the_docstrings_are_true(module: ModuleType) -> None:
    done = doctest.testmod(module)
    assert done.attempted
    assert not done.failed


@pytest.mark.slow
def test_the_site_is_built_without_a_warning_and_loads_nothing_from_elsewhere(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-n", "-q", "-E", str(DOCS), str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    for page in tmp_path.rglob("*.html"):
        text = page.read_text(encoding="utf-8")
        loaded = re.findall(r"<(?:script|img|link|iframe)\b[^>]*?(?:src|href)=\"([^\"]+)\"", text)
        assert [target for target in loaded if target.startswith(("http", "//"))] == [], page
        assert "<!-- generated:" not in text
