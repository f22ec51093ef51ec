"""What verdicts on many suspects come to: rows of models, and counts by kind of theft and by relation."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from cae_core.pool.manifest import PoolMember
from cae_core.statistics.intervals import clopper_pearson
from cae_core.statistics.roc import roc_auc
from cae_core.verification.verdict import Verdict
from cae_study.step import Row

__all__ = ["NO_DEFENCE", "Judged", "Tally"]

NO_DEFENCE = "none"

_DRAWS = 2000
"""Of groups of models, for the interval of an AUC."""


@dataclass(frozen=True, kw_only=True)
class Judged:
    """A suspect with its verdicts.

    Attributes:
        member: of its pool.
        group: the row that it counts in; that of innocents is ``references``.
        defence: behind which it was asked.
        working: whether a thief keeps its use without a defence; None of innocents, and where nobody asks.
        verdicts: by the rate at which false accusations are accepted; uncalibrated ones stand under 0.
    """

    member: PoolMember
    group: str
    defence: str
    working: bool | None
    verdicts: Mapping[float, Verdict]

    @property
    def verdict(self) -> Verdict:
        """At the least rate."""
        return list(self.verdicts.values())[-1]

    @property
    def value(self) -> float:
        """By the score that decides, at whatever rate: it does not depend on it."""
        verdict = next(iter(self.verdicts.values()))
        standing = verdict.examination.standing
        if standing is None:
            return verdict.caeacc.value
        score = standing.references[0].score
        return next(ranking.value for ranking in standing.references if ranking.score == score)

    @property
    def alike(self) -> tuple[str, str, str]:
        """What it shares with models that are no independent draws beside it."""
        return self.member.relation, self.member.kind, self.member.architecture

    def row(self) -> Row:
        """Return the suspect's own row."""
        verdict = self.verdict
        return {
            "model": self.member.name,
            "relation": self.member.relation,
            "kind": self.member.kind,
            "architecture": self.member.architecture,
            "group": self.group,
            "working": self.working,
            "defence": self.defence,
            "accuracy": verdict.examination.benign_accuracy,
            "CAEAcc": verdict.caeacc.value,
            "score": self.value,
            "p": verdict.decision.p_value,
            "p as a copy": verdict.decision.p_value_surrogate,
            "queries": len(verdict.answers),
            **{f"verdict at {rate:.2g}": one.decision.verdict for rate, one in self.verdicts.items() if rate},
        }


@dataclass(frozen=True)
class Tally:
    """Counts of verdicts.

    Attributes:
        name: of what made them.
        judged: every suspect behind every defence.
        defences: in the order of the rows.
    """

    name: str
    judged: Sequence[Judged]
    defences: Sequence[str]

    def by_group(self) -> Iterator[Row]:
        """Yield a row for each defence and group."""
        for defence in self.defences:
            for group in dict.fromkeys(one.group for one in self.judged):
                yield self._row(group, defence, [one for one in self.judged if one.group == group])

    def by_relation(self) -> Iterator[Row]:
        """Yield a row for all thieves, those that work, and all innocents, behind each defence."""
        thieves = [one for one in self.judged if one.member.relation == "surrogate"]
        rows = {"surrogates": thieves, "working surrogates": [one for one in thieves if one.working]}
        rows["references"] = [one for one in self.judged if one.member.relation == "reference"]
        for defence in self.defences:
            for name, own in rows.items():
                if own:
                    yield self._row(name, defence, own)

    @property
    def _innocents(self) -> Sequence[Judged]:
        return [one for one in self.judged if one.member.relation == "reference" and one.defence == NO_DEFENCE]

    def _row(self, name: str, defence: str, group: Sequence[Judged]) -> Row:
        own, innocents = [one for one in group if one.defence == defence], self._innocents
        verdicts = [one.verdict for one in own]
        accuracy = float(np.mean([verdict.examination.benign_accuracy for verdict in verdicts]))
        usual = [one.verdict.examination.benign_accuracy for one in innocents]
        caeacc, asked = ([getattr(verdict.caeacc, what) for verdict in verdicts] for what in ("value", "asked"))
        apart = bool(innocents) and own[0].member.relation == "surrogate"
        return {
            "verdicts": self.name,
            "kind": name,
            "defence": defence,
            "models": len(own),
            "queries": max(len(verdict.answers) for verdict in verdicts),
            "examples": float(np.median(asked)),
            "examples, mean": float(np.mean(asked)),
            "examples, most": max(asked),
            "accuracy": accuracy,
            "accuracy lost": float(np.median(usual)) - accuracy if usual else None,
            "CAEAcc, mean": float(np.mean(caeacc)),
            "CAEAcc, least": min(caeacc),
            "CAEAcc, median": float(np.median(caeacc)),
            "CAEAcc, most": max(caeacc),
            "AUC": roc_auc([one.value for one in own], [one.value for one in innocents]) if apart else None,
            "AUC, 95 %": _interval(own, innocents) if apart else None,
            "AUC of CAEAcc": roc_auc(caeacc, [one.verdict.caeacc.value for one in innocents]) if apart else None,
            **self._counts(own),
        }

    @staticmethod
    def _counts(own: Sequence[Judged]) -> Row:
        row: dict[str, object] = {}
        for rate in filter(None, own[0].verdicts):
            decisions = [one.verdicts[rate].decision for one in own]
            outcomes = [decision.verdict for decision in decisions]
            accused = outcomes.count("surrogate")
            low, high = clopper_pearson(accused, len(own))
            row[f"accused at {rate:.2g}"] = f"{accused} of {len(own)} ({low:.0%} to {high:.0%})"
            row[f"independent at {rate:.2g}"] = outcomes.count("independent")
            row[f"inconclusive at {rate:.2g}"] = outcomes.count("inconclusive")
            row[f"p at most {rate:.2g}"] = sum(d.p_value is not None and d.p_value <= rate for d in decisions)
        return row


def _interval(thieves: Sequence[Judged], innocents: Sequence[Judged]) -> str | None:
    """Return a 95 % interval of the AUC over draws of groups of models that are alike; None where a side has one."""
    sides = [_groups(thieves), _groups(innocents)]
    if min(map(len, sides)) < 2:
        return None
    rng = np.random.default_rng(0)

    def drawn(side: Sequence[Sequence[float]]) -> list[float]:
        return [value for place in rng.integers(len(side), size=len(side)) for value in side[place]]

    low, high = np.quantile([roc_auc(*(drawn(side) for side in sides)) for _ in range(_DRAWS)], [0.025, 0.975])
    return f"{low:.3f} to {high:.3f}"


def _groups(judged: Sequence[Judged]) -> list[list[float]]:
    groups: dict[tuple[str, str, str], list[float]] = {}
    for one in judged:
        groups.setdefault(one.alike, []).append(one.value)
    return list(groups.values())
