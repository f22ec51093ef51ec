"""Each rank that the answers to control sources give: the declared one decides, the others are only shown."""

from collections.abc import Iterator

from cae_core.calibration.null_hypothesis import NullHypothesis
from cae_core.verification.control_standing import ControlStanding
from cae_core.verification.examination import Examination
from cae_core.verification.findings.finding import Finding, Line

__all__ = ["source_ranks"]


def source_ranks(examination: Examination) -> Finding:
    """Return the suspect's match rate with every source, and p by each null hypothesis that can be ranked."""
    controls = examination.controls
    if controls is None:
        return Finding(key="controls", value=None)
    value = {
        "null": controls.null.value,
        "sources": controls.sources,
        "rates": controls.rates.tolist(),
        "as_often": controls.matched_as_often,
        "p_sources": controls.p_sources,
        "p_two_way": controls.p_two_way,
        "p_references": controls.p_references,
        **({"logs_tried": controls.logs_tried} if controls.logs_tried > 1 else {}),
    }
    return Finding(key="controls", value=value, lines=tuple(_lines(controls)), section="scores")


def _lines(controls: ControlStanding) -> Iterator[Line]:
    others = controls.rates[1:]
    yield _line(
        controls,
        NullHypothesis.SOURCES,
        f"{controls.matched_as_often} of {controls.sources} control sources matched as often "
        f"({others.min():.3f} to {others.max():.3f})",
        controls.p_sources,
    )
    if controls.p_two_way is not None:
        pairs = f"{controls.pairs_as_high} of {controls.pairs} other pairs of a model and a source score as high"
        yield _line(controls, NullHypothesis.TWO_WAY, pairs, controls.p_two_way)
    if controls.p_references is not None:
        ranked = f"{controls.references_as_high} of {len(controls.references)} references score as high"
        yield _line(controls, NullHypothesis.REFERENCES, ranked, controls.p_references)


def _line(controls: ControlStanding, null: NullHypothesis, found: str, p: float) -> Line:
    note = _note(controls, null, p)
    return Line(
        label=f"by {null.value}",
        text=f"{found}, p = {p:.4g}  ({note})",
        title=f"Rank by {null.value}",
        shown=f"{found}, p-value {p:.3g}",
        note=note,
    )


def _note(controls: ControlStanding, null: NullHypothesis, p: float) -> str:
    if null == controls.null:
        return "this decides; the error rate is an average over sources"
    if controls.null != NullHypothesis.BOTH or null == NullHypothesis.TWO_WAY:
        return "for information; it decides nothing"
    if controls.p_sources == controls.p_references:
        return "this decides, and the other rank has the same p"
    larger = p == max(controls.p_sources, controls.p_references or 0.0)
    return (
        "this decides, as the larger of two p-values" if larger else "the smaller of two p-values; the larger decides"
    )
