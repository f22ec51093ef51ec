"""What a report says, before it becomes a page: ``cae report --json`` prints it, and a schema describes it."""

from dataclasses import dataclass
from typing import Any

from cae_core import version as release
from cae_core.files.records import as_json
from cae_report.custody import CustodyRow, custody_of
from cae_report.dossier import Dossier
from cae_report.evidence import EvidenceRow, evidence_rows
from cae_report.inputs import Input, inputs, settings_of
from cae_report.limits import Limit, what_is_not_proven
from cae_report.null_hypothesis import error_rate_in_words, null_in_words
from cae_report.repeating import Step, steps_of
from cae_report.tables import (
    AnswerShares,
    Example,
    KindRow,
    LabelPair,
    ModelRow,
    answer_rows,
    examples_shown,
    kind_rows,
    label_pairs,
    model_rows,
)
from cae_report.text import all_visible
from cae_report.wording import method_in_words, replay_in_words, verdict_in_words

__all__ = ["REPORT_FORMAT", "ReportContent", "gather_content"]

REPORT_FORMAT = 1


@dataclass(frozen=True, kw_only=True)
class ReportContent:
    """Everything that a report says.

    Attributes:
        sentence: the verdict for a reader who knows nothing of the method.
        sides: how many independent models score as high, and how many known copies as low; empty where uncalibrated.
        error_rate: how often the procedure errs, in sentences.
        null: each hypothesis that the verdict tests, with its p-value, in paragraphs; empty where uncalibrated.
        method: how the test works, in paragraphs.
        replay: what deriving the verdict again has shown, in sentences.
        verdict: the verdict as ``cae verify --json`` prints it.
        evidence: see `EvidenceRow`.
        limits: what the verdict does not prove.
        custody: who asked whom, when and with which files.
        repeat: how somebody else repeats the verdict.
        compared: how many examples the calibration models' scores are over.
        models: the calibration models.
        kinds: the calibration models by kind.
        answers: what references, surrogates and the suspect answer.
        classes: names of the classes, in their order.
        labels: how many examples of each true class have each label; pairs that occur.
        examples: examples that are shown.
        inputs: everything that the verdict rests on, with its SHA-256.
        settings: settings of the generation.
        tools: versions of what made the fingerprint.
        report_tools: versions of what made the report.
    """

    sentence: str
    sides: str
    error_rate: str
    null: tuple[str, ...]
    method: tuple[str, ...]
    replay: tuple[str, ...]
    verdict: dict[str, Any]
    evidence: tuple[EvidenceRow, ...]
    limits: tuple[Limit, ...]
    custody: tuple[CustodyRow, ...]
    repeat: tuple[Step, ...]
    compared: int
    models: tuple[ModelRow, ...]
    kinds: tuple[KindRow, ...]
    answers: tuple[AnswerShares, ...]
    classes: tuple[str, ...]
    labels: tuple[LabelPair, ...]
    examples: tuple[Example, ...]
    inputs: tuple[Input, ...]
    settings: dict[str, str]
    tools: dict[str, str]
    report_tools: dict[str, str]

    def json_fields(self) -> dict[str, object]:
        """See `JsonFields`: every name in it is visible."""
        content: dict[str, object] = all_visible(as_json({"format": REPORT_FORMAT, **vars(self)}))
        return content


def gather_content(dossier: Dossier, *, examples: int) -> ReportContent:
    """Gather what a report says.

    Args:
        dossier: the verdict and what it was made by.
        examples: how many to show at most.
    """
    models = model_rows(dossier)
    return ReportContent(
        sentence=verdict_in_words(dossier),
        sides="" if dossier.examination.sides is None else dossier.examination.sides.words,
        error_rate=error_rate_in_words(dossier),
        null=null_in_words(dossier),
        method=method_in_words(dossier),
        replay=replay_in_words(dossier),
        verdict=_verdict(dossier),
        evidence=evidence_rows(dossier),
        limits=what_is_not_proven(dossier),
        custody=custody_of(dossier),
        repeat=steps_of(dossier, examples=examples),
        compared=len(dossier.examination.compared),
        models=models,
        kinds=kind_rows(models),
        answers=answer_rows(dossier),
        classes=dossier.fingerprint.class_names,
        labels=label_pairs(dossier),
        examples=examples_shown(dossier, examples),
        inputs=inputs(dossier),
        settings=settings_of(dossier),
        tools={str(name): str(version) for name, version in dossier.fingerprint.tools.items()},
        report_tools={"cae-fingerprint": release.__version__},
    )


def _verdict(dossier: Dossier) -> dict[str, Any]:
    """Return the verdict as JSON holds it; in reports the words of the ledger have always stood in their own order."""
    told: dict[str, Any] = as_json(dossier.verdict)
    earlier = told["earlier"]
    return {**told, "earlier": earlier and dict(sorted(earlier.items()))}
