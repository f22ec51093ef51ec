"""Ranks, adjusted ranks, counts and tables of hand-made scores."""

import csv
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cae_core.arena.compare import Comparison, Entry
from cae_core.arena.measuring import measured
from cae_core.arena.method import Needs
from cae_core.arena.outcome import Outcome, Scores, judged
from cae_core.arena.settings import CompareSettings
from cae_core.arena.tables import as_csv, as_markdown
from cae_core.arrays import Floats64
from cae_core.files.records import as_json
from cae_core.pool.manifest import PoolMember, Relation


def member(name: str, relation: Relation, kind: str) -> PoolMember:
    return PoolMember(path=Path(f"{name}.onnx"), role="test", relation=relation, kind=kind)


MEMBERS = (
    member("a", "surrogate", "fine-tuned"),
    member("b", "surrogate", "distilled"),
    member("c", "reference", "honest"),
    member("d", "reference", "honest"),
)


def said(*scores: float, accuracy: float | Floats64 = 0.9, probes: int = 200) -> Scores:
    return Scores(
        scores=np.array(scores), accuracy=np.broadcast_to(np.float64(accuracy), len(scores)).copy(), probes=probes
    )


def outcome(**changes: object) -> Outcome:
    suspects, adjusted = judged(MEMBERS, said(0.9, 0.5, 0.5, 0.1), said(*np.linspace(0, 0.5, 19)), adjusts=False)
    given = {
        "method": "m|n",
        "configuration": "usual",
        "budget": 20,
        "queries": 20,
        "all_queries": 20,
        "adjusted": adjusted,
        "references": 19,
        "rate": 0.05,
        "suspects": suspects,
    }
    return Outcome(**{**given, **changes})  # type: ignore[arg-type]


def test_a_tie_with_a_reference_counts_against_the_accuser() -> None:
    found = outcome().suspects
    assert [one.as_extreme for one in found] == [0, 1, 1, 15]
    assert [one.p_value for one in found] == [0.05, 0.1, 0.1, 0.8]


def test_thefts_are_counted_by_kind() -> None:
    found = outcome()
    told = {
        s.kind: (s.auc, s.detected.accused if s.detected else None, s.detected_least.models) for s in found.summaries
    }
    # a beats both references; b ties with one of the two
    assert told == {"all": (0.875, 1, 2), "fine-tuned": (1.0, 1, 1), "distilled": (0.75, 0, 1)}
    assert (found.false_claims_least.accused, found.false_claims_least.models) == (0, 2)


def test_too_few_references_for_the_rate_detect_nothing_at_it() -> None:
    found = outcome(rate=0.01)
    assert found.false_claims is None
    assert {summary.detected for summary in found.summaries} == {None}
    assert found.summaries[0].detected_least.accused == 1


def test_an_adjusted_rank_takes_out_what_accuracy_explains() -> None:
    """Weak models repeat more errors: a careless innocent matches more than others, as its accuracy has it."""
    random = np.random.default_rng(3)
    accuracy = np.linspace(0.6, 0.95, 60)
    rates = 0.9 - 0.8 * accuracy + 0.01 * random.standard_normal(60)
    references = Scores(scores=rates, accuracy=accuracy, probes=200)
    suspects = Scores(scores=np.array([0.43, 0.6]), accuracy=np.array([0.6, 0.9]), probes=200)
    plain, without = judged(MEMBERS[:2], suspects, references, adjusts=False)
    adjusted, with_ = judged(MEMBERS[:2], suspects, references, adjusts=True)
    assert (without, with_) == (False, True)
    assert plain[0].as_extreme < 2
    assert plain[1].as_extreme == 0
    assert adjusted[0].as_extreme > 5  # 0.42 is what its accuracy leads to expect
    assert adjusted[1].as_extreme == 0  # of the other one 0.18


@pytest.mark.parametrize("suspect", [0.75, 0.99])
def test_the_plain_rank_counts_too(suspect: float) -> None:
    """As `cae verify` does: what is unusual of its accuracy only is no evidence."""
    accuracy = np.linspace(0.6, 0.95, 60)
    rates = np.round(0.9 - 0.8 * accuracy + 0.01 * np.sin(np.arange(60)), 4)
    references = Scores(scores=rates, accuracy=accuracy, probes=200)
    (one,), _ = judged(MEMBERS[:1], said(0.35, accuracy=suspect), references, adjusts=True)
    assert one.as_extreme == int((rates >= 0.35).sum()) > 5


@pytest.mark.parametrize(("references", "probes"), [(39, 200), (40, 19)])
def test_few_references_or_probes_adjust_nothing(references: int, probes: int) -> None:
    some = said(*np.linspace(0, 0.5, references), probes=probes)
    assert not judged(MEMBERS[:1], said(0.4, probes=probes), some, adjusts=True)[1]


def comparison(*outcomes: Outcome) -> Comparison:
    needs = Needs(answers="probabilities", pools=True)
    entries = [
        Entry(method="m|n", configuration="usual", words="", needs=needs, seconds=1.5, peak_mb=None, failed=""),
        Entry(method="void", configuration="usual", words="", needs=needs, seconds=0, peak_mb=10, failed="no image."),
    ]
    return Comparison(
        pool="pool.toml",
        data={"name": "toy\x1b[31m"},
        settings=CompareSettings(budgets=(20,)),
        references=19,
        suspects={"surrogate": 2, "reference": 2},
        probes=200,
        accuracy={"surrogate": 0.8, "reference": 0.9},
        accuracy_without=None,
        entries=tuple(entries),
        choices=(),
        outcomes=outcomes,
    )


def test_the_page_has_the_table_and_says_what_failed() -> None:
    page = as_markdown(comparison(outcome()))
    row = next(line for line in page.splitlines() if line.startswith("| m\\|n"))
    assert "| 0.875 |" in row
    assert "| 1/2 | 1/2 | 0/2 | 0/2 | probabilities; pools | 2 | – |" in row
    assert "- void, usual: no image." in page
    assert "\x1b" not in page
    assert "| method | distilled | fine-tuned |" in page


def test_the_csv_has_a_row_a_kind() -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(comparison(outcome())))))
    assert [row["kind"] for row in rows] == ["all", "distilled", "fine-tuned"]
    assert (rows[0]["auc"], rows[0]["detected"], rows[0]["false_claims"]) == ("0.875000", "1", "0")
    assert rows[0]["peak_mb"] == ""


def test_the_json_has_every_model_and_an_interval_of_each_count() -> None:
    told = as_json(comparison(outcome()))
    found = told["outcomes"][0]
    assert found["suspects"][1]["p_value"] == 0.1
    assert found["false_claims"]["interval"][0] == 0.0
    assert found["summaries"][0]["interval"][1] <= 1


def test_time_and_memory_are_measured() -> None:
    with measured() as before:
        pass
    with measured() as cost:
        block = np.ones(60_000_000, np.uint8)
        assert block[-1]
        del block
    assert cost.seconds > before.seconds
    assert (cost.peak_mb is None) == (before.peak_mb is None)
    if cost.peak_mb is not None and before.peak_mb is not None:
        assert 50 < cost.peak_mb - before.peak_mb < 120


def test_memory_of_processes_that_were_started_counts() -> None:
    held = "import sys; block = bytearray(b'x') * 60_000_000; print(flush=True); sys.stdin.read()"
    with measured() as alone:
        pass
    with subprocess.Popen([sys.executable, "-c", held], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        with measured() as cost:
            child.stdout.readline()
        child.communicate()
    if cost.peak_mb is not None and alone.peak_mb is not None:
        assert cost.peak_mb - alone.peak_mb > 50
