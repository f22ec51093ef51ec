"""Detection and false accusations by family of theft, at budgets of queries: the default settings, held-out models.

    python examples/studies/thieves.py --pool cifar10/pool.toml --data cifar-10-batches-py --output thieves

The fingerprint comes from the *generate* members with the default settings, the ranks from the *calibrate* members. The
*test* members are asked every image once; their answers are kept in ``OUTPUT/answers-test.npz``, and tables and figure
are made of them. ``--suspects screen`` rehearses on the screen members and leaves the test role alone.

Every verdict is made by `cae_core.verification.verify.verify` from the kept answers. Queries are all that a suspect
was asked: examples, benign probes and repeats.
"""

import argparse
import dataclasses
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np

from cae_backends.datasets import open_data
from cae_core.calibration.calibrate import CalibrationSettings, calibrate
from cae_core.calibration.calibrated import CalibratedFingerprint
from cae_core.fingerprint.file import Fingerprint
from cae_core.generation.settings import GenerationSettings
from cae_core.pool.manifest import Pool, PoolMember, read_pool
from cae_core.pool.roles import CalibrationMembers
from cae_core.statistics.intervals import clopper_pearson
from cae_core.statistics.ranks import models_needed
from cae_core.statistics.roc import roc_auc
from cae_core.verification.options import VerificationOptions
from cae_core.verification.verdict import Suspect, Verdict
from cae_core.verification.verify import verify
from held_out_verdicts import Remembered, ask_members, kept_fingerprint

BUDGETS = (100, 300, None)
BOOTSTRAPS = 2000
WORKING = 0.8
"""A thief works who keeps this share of the held-out references' median accuracy on the probes."""

FAMILIES: Mapping[str, Sequence[str]] = {
    "robust": ("adversarial",),
    "weights copied and changed": ("tuned", "layer", "pruned", "initialised", "8-bit"),
    "other architecture": ("other architecture",),
    "soft labels and distilled": ("soft", "distilled"),
    "hard labels": ("hard labels", "queries"),
}
"""By words in a surrogate's kind; the first family that has one of them."""


@dataclasses.dataclass(frozen=True)
class Judged:
    """A held-out model with its verdicts by budget and rate."""

    member: PoolMember
    accuracy: float
    working: bool
    verdicts: Mapping[tuple[int | None, float], Verdict]

    @property
    def family(self) -> str:
        """Of theft; "references" for an innocent."""
        if self.member.relation == "reference":
            return "references"
        return next((name for name, words in FAMILIES.items() if any(w in self.member.kind for w in words)), "others")

    @property
    def cluster(self) -> str:
        """Models of one kind and architecture are no independent draws."""
        return f"{self.member.relation}|{self.member.kind}|{self.member.architecture}"


def main() -> None:
    """Make what is missing, and the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pool", type=Path, required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--eps", type=Fraction, default=Fraction(8, 255))
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--preset", default="default")
    parser.add_argument("--split", choices=["train", "test", "all"], default="all")
    parser.add_argument("--score", default="")
    parser.add_argument("--suspects", choices=["test", "screen"], default="test")
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    pool = read_pool(options.pool)
    fingerprint = _fingerprint(pool, options)
    members = CalibrationMembers.of_pool(pool)
    if options.suspects == "screen":
        members = dataclasses.replace(members, screen=())
    subjects = _subjects(fingerprint, members, options.score)
    judged, rates = _judge(pool, fingerprint, subjects, options), list(subjects)
    families = [_families(judged, rate) for rate in rates if rate]
    text = "\n\n".join([_areas(judged, rates), *families, _each(judged, rates)]) + "\n"
    (options.output / f"thieves-{options.suspects}.md").write_text(text)
    _draw(judged, rates, options.output / f"thieves-{options.suspects}.png")
    print(text)


def _fingerprint(pool: Pool, options: argparse.Namespace) -> Fingerprint:
    settings = GenerationSettings.from_preset(options.preset, eps=float(options.eps), seed=options.seed)
    return kept_fingerprint(pool, open_data(options.data, split=options.split), settings, options.output)


def _subjects(fingerprint: Fingerprint, members: CalibrationMembers, score: str) -> dict[float, CalibratedFingerprint]:
    """Return the fingerprint calibrated at 5 % and at the least rate that the references support; 0: uncalibrated."""
    count = len(members.references)
    if not count:
        return {0: CalibratedFingerprint(fingerprint=fingerprint, calibration=None)}
    made = calibrate(fingerprint, members, settings=CalibrationSettings(score=score)).calibration
    rates = [rate for rate in (0.05,) if count >= models_needed(rate)] + [1 / (count + 1)]
    return {
        rate: CalibratedFingerprint(fingerprint=fingerprint, calibration=dataclasses.replace(made, fpr=rate))
        for rate in rates
    }


def _judge(
    pool: Pool,
    fingerprint: Fingerprint,
    subjects: Mapping[float, CalibratedFingerprint],
    options: argparse.Namespace,
) -> list[Judged]:
    suspects = ask_members(pool, fingerprint, options.suspects, options.output)
    accuracies = [
        float((model.predict(fingerprint.probe_images).labels == fingerprint.probe_labels).mean())
        for _, model in suspects
    ]
    usual = np.median(
        [a for a, (member, _) in zip(accuracies, suspects, strict=True) if member.relation == "reference"]
    )
    return [
        Judged(
            member,
            accuracy,
            accuracy >= WORKING * usual,
            {
                (budget, rate): _verdict(member, model, subject, budget=budget)
                for budget in BUDGETS
                for rate, subject in subjects.items()
            },
        )
        for accuracy, (member, model) in zip(accuracies, suspects, strict=True)
    ]


def _verdict(member: PoolMember, model: Remembered, subject: CalibratedFingerprint, *, budget: int | None) -> Verdict:
    return verify(
        model,
        subject,
        named=Suspect(name=member.name, sha256=member.sha256 or member.name),
        options=VerificationOptions(max_queries=budget),
        nonce=bytes(16),
    )


def _value(verdict: Verdict, score: str) -> float:
    """Return the suspect's value of a score, whichever decides where its accuracy is unusual."""
    standing = verdict.examination.standing
    if standing is None:
        return verdict.caeacc.value
    return next(ranking.value for ranking in standing.references if ranking.score == score)


def _queries(judged: Sequence[Judged], budget: int | None, rate: float) -> int:
    return max(len(one.verdicts[budget, rate].answers) for one in judged)


def _areas(judged: Sequence[Judged], rates: Sequence[float]) -> str:
    lines = [
        f"ROC AUC, with a 95 % interval over {BOOTSTRAPS} draws of groups of one kind and architecture:",
        "",
        "| queries in all | examples | working thieves | all thieves | CAEAcc alone, working thieves |",
        "| --- | --- | --- | --- | --- |",
    ]
    for budget in BUDGETS:
        first = judged[0].verdicts[budget, rates[0]]
        score = first.decision.score
        value = {one.member.name: _value(one.verdicts[budget, rates[0]], score) for one in judged}
        plain = {one.member.name: one.verdicts[budget, rates[0]].caeacc.value for one in judged}
        working = [one for one in judged if one.working or one.family == "references"]
        cells = [_area(working, value), _area(judged, value), _area(working, plain)]
        lines.append(f"| {_queries(judged, budget, rates[0])} | {first.caeacc.asked} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _area(judged: Sequence[Judged], value: Mapping[str, float]) -> str:
    groups: dict[str, list[float]] = {}
    for one in judged:
        groups.setdefault(one.cluster, []).append(value[one.member.name])
    sides = [[v for name, v in groups.items() if name.startswith(side)] for side in ("surrogate", "reference")]
    rng = np.random.default_rng(0)

    def drawn(side: list[list[float]]) -> list[float]:
        return [x for place in rng.integers(len(side), size=len(side)) for x in side[place]]

    low, high = np.quantile([roc_auc(*(drawn(side) for side in sides)) for _ in range(BOOTSTRAPS)], [0.025, 0.975])
    area = roc_auc(*([x for group in side for x in group] for side in sides))
    return f"{area:.3f} ({low:.3f} to {high:.3f})"


def _families(judged: Sequence[Judged], rate: float) -> str:
    lines = [
        f"Accused at {rate:.1%} (in brackets: called independent; the others remain without a verdict):",
        "",
        f"| family | models | {' | '.join(f'{_queries(judged, budget, rate)} queries' for budget in BUDGETS)} |",
        f"| --- | --- |{' --- |' * len(BUDGETS)}",
    ]
    thieves = [one for one in judged if one.family != "references"]
    rows = {name: [one for one in judged if one.family == name] for name in [*list(FAMILIES)[1:], "others", "robust"]}
    rows["working thieves"] = [one for one in thieves if one.working]
    rows["references"] = [one for one in judged if one.family == "references"]
    for name, members in rows.items():
        if members:
            cells = [
                _counted(members, budget, rate, interval=name in ("working thieves", "references"))
                for budget in BUDGETS
            ]
            lines.append(f"| {name} | {len(members)} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _counted(members: Sequence[Judged], budget: int | None, rate: float, *, interval: bool) -> str:
    outcomes = [one.verdicts[budget, rate].decision.verdict for one in members]
    accused = outcomes.count("surrogate")
    told = f"{accused} ({outcomes.count('independent')})"
    if not interval:
        return told
    low, high = clopper_pearson(accused, len(members))
    return f"{told}, {accused / len(members):.0%}: {low:.0%} to {high:.0%}"


def _each(judged: Sequence[Judged], rates: Sequence[float]) -> str:
    lines = [
        "Each model, asked everything:",
        "",
        "| model | kind | architecture | accuracy | CAEAcc | score | p | verdict at the least rate |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in sorted(judged, key=lambda one: (one.family == "references", -_value_of(one, rates))):
        verdict = one.verdicts[None, rates[-1]]
        p = verdict.decision.p_value
        lines.append(
            f"| {one.member.name} | {one.member.kind} | {one.member.architecture} | {one.accuracy:.3f} | "
            f"{verdict.caeacc.value:.2f} | {_value_of(one, rates):.2f} | {p if p is None else round(p, 4)} | "
            f"{verdict.decision.verdict} |"
        )
    return "\n".join(lines)


def _value_of(one: Judged, rates: Sequence[float]) -> float:
    verdict = one.verdicts[None, rates[-1]]
    return _value(verdict, _score(one, rates))


def _score(one: Judged, rates: Sequence[float]) -> str:
    standing = one.verdicts[None, rates[-1]].examination.standing
    return "caeacc" if standing is None else standing.references[0].score


def _draw(judged: Sequence[Judged], rates: Sequence[float], path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    strip, roc = figure.subplots(1, 2, width_ratios=[1.6, 1])
    names = [*list(FAMILIES)[1:], "others", "robust", "references"]
    present = [name for name in names if any(one.family == name for one in judged)]
    for place, name in enumerate(reversed(present)):
        values = [_value_of(one, rates) for one in judged if one.family == name]
        spread = np.linspace(-0.25, 0.25, len(values)) if len(values) > 1 else [0.0]
        strip.plot(
            values, np.add(place, spread), "o", markersize=4, color="tab:blue" if name == "references" else "tab:red"
        )
    strip.set_yticks(range(len(present)), list(reversed(present)))
    strip.set_xlabel("score over all examples")
    for budget in reversed(BUDGETS):
        value = {one.member.name: _value(one.verdicts[budget, rates[0]], _score(one, rates)) for one in judged}
        thieves = [value[one.member.name] for one in judged if one.working and one.family != "references"]
        innocents = [value[one.member.name] for one in judged if one.family == "references"]
        edges = [np.inf, *sorted((*thieves, *innocents), reverse=True)]
        accused, innocent = ([np.mean(np.array(x) >= edge) for edge in edges] for x in (thieves, innocents))
        roc.step(innocent, accused, where="post", label=f"{_queries(judged, budget, rates[0])} queries")
    roc.set_xlabel("references accused")
    roc.set_ylabel("working thieves accused")
    roc.legend(loc="lower right")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
