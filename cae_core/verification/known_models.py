"""A suspect that is one of the models by which it would be judged: no verdict about it is a result.

They are known by the SHA-256 of their files and, where the calibration keeps them, by their scores. The source alone is
judged: a copy of it, file or answers, is the plainest case of all, and the verdict says that it is the source itself.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.errors import OptionError, PoolError
from cae_core.fingerprint.control_sources import CONTROLS, described_controls
from cae_core.fingerprint.scores import same_scores
from cae_core.verification.occasion import Likeness
from cae_core.verification.recorder import Scores, as_array

__all__ = ["check_self", "refuse_known_file", "source_by_file", "source_by_scores", "source_sha256"]


def source_by_file(subject: CalibratedFingerprint, sha256: str) -> Likeness | None:
    """Return ``"file"`` where the suspect's file is that of the fingerprint's source; None otherwise."""
    return "file" if sha256 and sha256 == source_sha256(subject) else None


def source_sha256(subject: CalibratedFingerprint) -> str:
    """Return the SHA-256 of the fingerprint's source; empty where its metadata name none."""
    return _sha256(subject.fingerprint.generation.get("source"))


def check_self(subject: CalibratedFingerprint, name: str, sha256: str) -> None:
    """Refuse a suspect that is to be the source's own file, and is not.

    Raises:
        OptionError: it is another file.
    """
    if source_by_file(subject, sha256) is None:
        raise OptionError(
            f"{name}: --self-check verifies the very file that the fingerprint was made of, and this is another one "
            f"(SHA-256 {sha256[:12]}…). Name the source's file, or leave --self-check out."
        )


def refuse_known_file(subject: CalibratedFingerprint, name: str, sha256: str) -> None:
    """Refuse a suspect whose file is that of a model that made the fingerprint or its calibration.

    Raises:
        PoolError: it is, naming its role.
    """
    if source_by_file(subject, sha256) is not None:
        return
    found = next((words for known, words in _known_files(subject) if known and known == sha256), None)
    if found is not None:
        raise PoolError(_refusal(name, f"is {found}: it is the same file"))


def source_by_scores(subject: CalibratedFingerprint, name: str, scores: Scores) -> Likeness | None:
    """Return ``"scores"`` where the suspect answers like the source; refuse one that answers like another known model.

    Args:
        subject: whose calibration keeps what its models told.
        name: the suspect's.
        scores: see `scores_told`; empty where the suspect tells labels only.

    Raises:
        PoolError: it answers like another model that was asked, naming its role.
    """
    calibration, rows = subject.calibration, sorted(scores)
    if calibration is None or not calibration.known.models or not rows:
        return None
    known, told = calibration.known, as_array(scores, rows)
    alike = [model for model, row in zip(known.models, known.scores[:, rows], strict=True) if same_scores(row, told)]
    if not alike or any(model.relation == "source" for model in alike):
        return "scores" if alike else None
    model = alike[0]
    what = f"answers every image like {_words(model.name, model.relation, model.role)}: it is the same model"
    raise PoolError(_refusal(name, f"{what}, renamed, saved again or converted"))


def _known_files(subject: CalibratedFingerprint) -> Iterator[tuple[str, str]]:
    """Yield SHA-256 and description of each model of the generation, and of the calibration."""
    generation, calibration = subject.fingerprint.generation, subject.calibration
    yield from _makers(generation, (("surrogates", "surrogate"), ("references", "reference")))
    yield from _makers(generation, ((CONTROLS, "control source"),))
    for control in described_controls(generation):
        yield from _makers(control, (("surrogates", "control source's surrogate"),))
    if calibration is None:
        return
    for group, relation in ((calibration.references, "reference"), (calibration.surrogates, "surrogate")):
        yield from ((model.sha256, _words(model.name, relation, "calibrate")) for model in group.models)
    yield from ((model.sha256, _words(model.name, "model", "screen")) for model in calibration.screen)
    for known in calibration.known.models:
        if known.relation != "source":
            yield known.sha256, _words(known.name, known.relation, known.role)


def _makers(described: Mapping[str, Any], parts: Sequence[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    for part, relation in parts:
        rows: object = described.get(part)
        for row in cast("Sequence[object]", rows if isinstance(rows, list) else []):
            yield _sha256(row), f"the {relation} {_name(row)} that the fingerprint was made with"


def _words(name: str, relation: str, role: str) -> str:
    if role == "generate":
        return f"the {relation} {name} that the fingerprint was made with"
    return f"the {relation} {name} of the calibration (role {role})"


def _refusal(name: str, what: str) -> str:
    return (
        f"{name}: the suspect {what}. Other suspects are judged by this model, so a verdict about it says nothing. "
        "Verify a model that had no part in fingerprint and calibration, such as one with the role test."
    )


def _sha256(row: object) -> str:
    """Return the SHA-256 that the generation's metadata, which may be anybody's, name for a model; empty where none."""
    value = cast("dict[str, Any]", row).get("sha256") if isinstance(row, dict) else None
    return value if isinstance(value, str) else ""


def _name(row: object) -> str:
    return str(cast("dict[str, Any]", row).get("name", "")) if isinstance(row, dict) else ""
