"""Judgements to make pages of: linear classifiers, regenerated and judged, with the record that a judge would keep."""

import dataclasses
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

from cae_core.calibration.calibrated import save_calibrated
from cae_core.containment.record import UNCONTAINED
from cae_core.disputes.claim import Consistency
from cae_core.disputes.judging import DatedEvidence, Judgement, judge_claim, judge_unasked
from cae_core.disputes.regeneration import Regeneration
from cae_core.files.records import as_json
from cae_core.verification.verdict import Suspect
from tests.core.judge_toys import NONCE, Dispute, make_dispute, opened
from tests.output_schema import check_value

SEALED = datetime(2026, 1, 31, 12, tzinfo=UTC)
PROVEN = DatedEvidence(sealed_at=SEALED, suspect_since=datetime(2026, 5, 1, tzinfo=UTC), authority="An Authority")


@dataclass(frozen=True)
class Kept:
    """What a judge keeps in the folder of a case."""

    record: Path
    fingerprint: Path

    @property
    def options(self) -> tuple[str | Path, ...]:
        return ("report", self.record)

    def edit(self, **changes: Any) -> None:  # noqa: ANN401 - whatever JSON can hold
        self.record.write_text(json.dumps(json.loads(self.record.read_text()) | changes))


@cache
def regenerated(controls: int = 0) -> tuple[Dispute, Regeneration]:
    """Return a dispute and the judge's regeneration, made once."""
    dispute = make_dispute(Path(mkdtemp()), references=19)
    pool = dispute.with_controls(controls) if controls else None
    return dispute, dispute.regenerated(pool)


def judge_toy(
    folder: Path,
    *,
    suspect: str = "copy",
    seals: int = 1,
    dated: DatedEvidence = PROVEN,
    name: str = "theirs.onnx",
    claimant: str = "Example Ltd",
    controls: int = 0,
) -> Kept:
    """Write the judge's fingerprint, and his record of this suspect; too many seals leave it unasked."""
    dispute, regeneration = regenerated(controls)
    regeneration = dataclasses.replace(regeneration, nonce=NONCE)
    named = Suspect(name=name, sha256="ab" * 32)
    judgement = judge_claim(
        regeneration, opened(getattr(dispute, suspect)), named=named, seals=seals, dated=dated, max_queries=None
    )
    kept = Kept(folder / "judgement-abababababab.json", folder / "fingerprint.safetensors")
    asked = judgement.verdict is not None
    if asked:
        save_calibrated(regeneration.subject, kept.fingerprint)
    record = _record(judgement, regeneration if asked else None, name=name, claimant=claimant)
    check_value("judge", record)
    kept.record.write_text(json.dumps(record))
    return kept


def judge_unasked_toy(folder: Path, *, references: int = 5) -> Kept:
    """Write the record of a case that could not be judged, whose suspect was not asked."""
    judgement = judge_unasked(references=references, fpr=0.05, seals=1, dated=DatedEvidence())
    assert judgement is not None
    kept = Kept(folder / "judgement-abababababab.json", folder / "fingerprint.safetensors")
    kept.record.write_text(json.dumps(_record(judgement, None, name="theirs.onnx", claimant="")))
    return kept


def _record(judgement: Judgement, regeneration: Regeneration | None, *, name: str, claimant: str) -> dict[str, Any]:
    """Return what `cae_core.disputes.case.Case` tells of a judgement."""

    def named(file: str, digit: str) -> dict[str, str]:
        return {"name": file, "sha256": 64 * digit}

    record: dict[str, Any] = as_json(
        {
            "format": 1,
            **judgement.json_fields(),
            "nonce": NONCE,
            "claim": {
                "fingerprint_id": 64 * "1",
                "commitment": 64 * "2",
                "claimant": claimant,
                "score": "caeacc",
                "fpr": 0.05,
                "max_queries": None,
                "tool": "cae-fingerprint 0.1.0",
                "signed_by": None,
            },
            "files": {
                "claim": named("claim.safetensors", "3"),
                "seal": named("seal.json", "4"),
                "source": named("source.onnx", "5"),
                "suspect": {"name": name, "sha256": "ab" * 32},
            },
            "containment": {"suspect": UNCONTAINED, "claimant": UNCONTAINED},
            "consistency": Consistency(examples=40, within_eps=40, source_label=39, seeds_right=40),
            "replay": None,
            "regeneration": regeneration,
            "tool": "cae-fingerprint 0.1.0",
        }
    )
    return record
