"""The schema of all outputs: it is one, it names what commands print, and its fields are those of the dataclasses."""

import ast
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cae_cli.checkup import PartReport
from cae_cli.demo import DemoResult
from cae_cli.demo_pages import DemoPages
from cae_cli.outputs import OUTPUTS, numbered
from cae_converters.parity import Parity
from cae_core.arena.choosing import Choice
from cae_core.arena.compare import Comparison, Entry
from cae_core.arena.method import Needs
from cae_core.arena.outcome import Judged, Summary
from cae_core.arena.settings import CompareSettings
from cae_core.calibration.calibrate import CalibrationPlan
from cae_core.calibration.leaving_out import KindPower, LeftOut
from cae_core.calibration.null_plan import NullPlan
from cae_core.calibration.scan_plan import ScanPlan, Takes
from cae_core.contract_search.found import ContractFound, Tried
from cae_core.disputes.case import CASE_FORMAT, Contained, ControlFiles, LookedAt, NamedFile
from cae_core.pool.manifest import PoolMember
from cae_core.pool.support import GroupSupport
from cae_core.scan.summary import Row
from cae_core.verification.options import VerificationOptions
from cae_core.verification.served import Served
from cae_core.verification.verdict import VERDICT_FORMAT, SeenBefore
from cae_report.content import REPORT_FORMAT
from cae_study.run import Forecast
from tests.core.suspects import ask, matching
from tests.core.toys import toy_calibration, toy_fingerprint
from tests.output_schema import SCHEMA, check_value, validator_of

ROOT = Path(__file__).parents[2]
DEFINITIONS = SCHEMA["$defs"]
IN_FILES = {"in-toto-statement", "scan-head", "scan-line"}


def at(path: str) -> dict[str, Any]:
    """Return the part of the schema at a path of field names; of what may be null the other one, of a list the item."""
    name, *fields = path.split("/")
    found: dict[str, Any] = DEFINITIONS[name]
    for field in fields:
        found = found["properties"][field]
        found = found["anyOf"][0] if "anyOf" in found else found
        found = found.get("items", found)
    return found


def test_it_is_a_schema_and_the_documents_have_the_same() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert json.loads((ROOT / "docs/outputs.schema.json").read_text()) == SCHEMA


def test_it_names_every_output_and_the_number_of_its_format() -> None:
    named = {branch["$ref"].removeprefix("#/$defs/") for branch in SCHEMA["anyOf"]}
    assert named == {*OUTPUTS, *IN_FILES}
    for name, number in OUTPUTS.items():
        properties = DEFINITIONS[name].get("properties") or DEFINITIONS["verdict-fields"]["properties"]
        assert properties["format"]["const"] == number, name
        assert "format" in DEFINITIONS[name]["required"], name


def test_what_has_a_number_of_its_own_has_the_same() -> None:
    assert (OUTPUTS["verify"], OUTPUTS["judge"], OUTPUTS["report"]) == (VERDICT_FORMAT, CASE_FORMAT, REPORT_FORMAT)


def test_every_command_prints_an_output_that_is_named() -> None:
    printed = set[str]()
    for path in (ROOT / "cli/cae_cli/commands").glob("*.py"):
        for call in ast.walk(ast.parse(path.read_text())):
            if isinstance(call, ast.Call) and isinstance(call.func, ast.Name) and call.func.id == "print_json":
                assert isinstance(call.args[1], ast.Constant), path
                printed.add(str(call.args[1].value))
    assert printed == set(OUTPUTS)


def test_the_page_of_outputs_names_each() -> None:
    page = (ROOT / "docs/outputs.md").read_text()
    for name, number in OUTPUTS.items():
        assert f"| `{name}` | {number} |" in page, name
    assert page.count("\n| `") == len(OUTPUTS) + len(IN_FILES)


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("calibrate-plan/nulls", NullPlan),
        ("calibrate-plan/scan", ScanPlan),
        ("calibrate-plan/scan/takes", Takes),
        ("calibrate/left_out", LeftOut),
        ("calibrate/power", KindPower),
        ("compare/choices", Choice),
        ("compare/entries", Entry),
        ("compare/entries/needs", Needs),
        ("compare/outcomes/suspects", Judged),
        ("compare/outcomes/summaries", Summary),
        ("compare/settings", CompareSettings),
        ("contract/tried", Tried),
        ("convert/parity", Parity),
        ("doctor/findings", PartReport),
        ("judge/containment", Contained),
        ("judge/control_sources", ControlFiles),
        ("judge/files", LookedAt),
        ("named", NamedFile),
        ("pool/support", GroupSupport),
        ("rate-plan", CalibrationPlan),
        ("scan/rows", Row),
        ("study-plan/steps", Forecast),
        ("verdict-fields/earlier", SeenBefore),
        ("verdict-fields/options", VerificationOptions),
        ("verdict-fields/service", Served),
    ],
)
def test_the_fields_are_those_of_the_dataclass(path: str, kind: Any) -> None:  # noqa: ANN401 - any dataclass
    assert list(at(path)["properties"]) == [field.name for field in dataclasses.fields(kind)]
    assert at(path)["additionalProperties"] is False


@pytest.mark.parametrize(("name", "kind"), [("compare", Comparison), ("contract", ContractFound)])
def test_an_output_that_is_a_dataclass_has_its_fields(name: str, kind: Any) -> None:  # noqa: ANN401 - any dataclass
    assert list(at(name)["properties"]) == ["format", *(field.name for field in dataclasses.fields(kind))]


def test_a_number_of_another_format_is_refused() -> None:
    value = numbered({"export": "a", "folder": "b", "suspect": "c", "images": 3}, "queries")
    check_value("queries", value)
    for other in (0, 2, "1", None):
        assert not validator_of("queries").is_valid({**value, "format": other})


def test_each_output_matches_its_own_definition_alone() -> None:
    value = numbered({"export": "a", "folder": "b", "suspect": "c", "images": 3}, "queries")
    assert [name for name in OUTPUTS if validator_of(name).is_valid(value)] == ["queries"]
    assert Draft202012Validator(SCHEMA).is_valid(value)


def test_outputs_that_take_long_to_come_about_have_their_definitions() -> None:
    """Those of the demonstration, of `cae doctor` and of a whole study, which no quick test prints."""
    fingerprint = toy_fingerprint(n=60)
    calibration = toy_calibration(fingerprint, [5] * 19, [50] * 19)
    verdict = ask(matching(fingerprint, 60), fingerprint, calibration=calibration)
    member = PoolMember(path=Path("a.onnx"), role="test", relation="surrogate", kind="hard labels", accuracy=0.9)
    pages = DemoPages(pages=(Path("reports/a.html"),))
    demo = DemoResult(Path("pool.toml"), Path("f.safetensors"), ((member, verdict),), 1.0, pages)
    check_value("demo", json.loads(json.dumps(numbered(demo, "demo"))))
    check_value("doctor", numbered({"python": "3.11.2", "findings": [PartReport("core", "ok", "numpy 2")]}, "doctor"))
    check_value("study", numbered({"page": "results.md", "steps": {"pool.main": 12.5}}, "study"))
