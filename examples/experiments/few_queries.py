"""How many queries an accusation takes along a path, benign probes and repeats included.

    python examples/experiments/few_queries.py --seed 0
    python examples/experiments/few_queries.py --seed 0 --fingerprint few/fingerprint.safetensors --kind "hard labels"

Prints Markdown. The first draws match rates for references and suspects, and their answers to 100 examples with them.
The second draws nothing but orders and references: its answers are those that a calibration has recorded. Whoever is
never accused was asked everything. Nobody is acquitted here, which would end a run earlier.
"""

import argparse
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from cae_core.arrays import Floats64, Labels
from cae_core.calibration.calibrated import load_calibrated
from cae_core.fingerprint.benign import benign_settled
from cae_core.fingerprint.file import Fingerprint
from cae_core.fingerprint.kinds import EXAMPLE
from cae_core.fingerprint.path_order import LEAST_BENIGN, path_order
from cae_core.fingerprint.questions import MIN_BENIGN, queries_for_examples
from cae_core.statistics.path_ranks import FEWEST_ANSWERS, wilson_limits
from cae_core.statistics.ranks import exceeded_rank

Answers: TypeAlias = NDArray[np.bool_]
Law: TypeAlias = Callable[[np.random.Generator, tuple[int, ...]], Floats64]
"""Draws match rates of the given shape."""
Limits: TypeAlias = Callable[[Labels, Labels], Floats64]
"""The score of an answer from matches and answers so far."""

N = 100
CASES = ((19, 0.05), (99, 0.01))
"""References and the rate that they just support."""
RATES = (0.95, 0.87, 0.80, 0.70)
ACCURACY, SOURCE_ACCURACY, CLASSES = 0.85, 0.90, 10
"""Of simulated suspects and their source on benign images."""
INNOCENT = "references that were not drawn"
SUSPECTS_A_DRAW, DRAWS_AT_ONCE = 4, 100

LAWS: Mapping[str, Law] = {
    "Beta(6, 9): mean 0.40": lambda random, shape: random.beta(6, 9, shape),
    "Beta(24, 56), and Beta(35, 15) for 3 in 10": lambda random, shape: np.where(
        random.random(shape) < 0.7, random.beta(24, 56, shape), random.beta(35, 15, shape)
    ),
    "Beta(1, 9): mean 0.10": lambda random, shape: random.beta(1, 9, shape),
}

KINDS: Mapping[str, Law] = {
    "references' kind": LAWS["Beta(6, 9): mean 0.40"],
    "strangers": lambda random, shape: random.beta(18, 12, shape),
    "copies": lambda random, shape: random.beta(18, 2, shape),
}
"""As in `two_sided_rule.py`: strangers are independent, and the references do not stand for them."""


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--draws", type=int, default=2000, help="of the references, for each line")
    parser.add_argument("--fingerprint", type=Path, help="a calibrated one, whose recorded answers are replayed")
    parser.add_argument("--kind", default="hard labels", help="of the calibration surrogates that are accused")
    options = parser.parse_args()
    random = np.random.default_rng(options.seed)
    if options.fingerprint is not None:
        print_recorded(options.fingerprint, options.kind, options.draws, random)
        return
    print_queries(options.draws, random)
    print("\n**Orders that can be chosen**: innocent suspects accused by the best of so many\n")
    print_chosen_orders(options.draws, random)
    print("\n**Models of another make**: accused at 5 %, 19 references\n")
    print_strangers(options.draws, random)
    print("\n**The limit of the score**: mean examples over the suspects at 0.95, 0.87 and 0.80\n")
    print_limits(options.draws, random)


def print_queries(draws: int, random: np.random.Generator) -> None:
    """Print how often, and after how many queries, each suspect is accused."""
    heads = [
        f"{references} references, {100 * rate:g} %: {what}"
        for references, rate in CASES
        for what in ("accused", "examples", "queries")
    ]
    _row("references match", "suspect", *heads)
    _row(*["---"] * (2 + len(heads)))
    for name, law in LAWS.items():
        for rate in (None, *RATES):
            cells = [
                cell
                for case in CASES
                for cell in _cells(
                    *simulated(law, law if rate is None else _always(rate), case, draws=draws, random=random), N
                )
            ]
            _row(name, "innocent" if rate is None else f"{rate:.2f}", *cells)


def print_chosen_orders(draws: int, random: np.random.Generator) -> None:
    """Print the share of innocent suspects whom some of the orders accuses."""
    orders = (1, 2, 10)
    _row("references match", *(f"{count} order{'s' * (count > 1)}" for count in orders))
    _row(*["---"] * (1 + len(orders)))
    references, rate = CASES[0]
    for name, law in LAWS.items():
        models = _answers(law(random, (draws, references + 1)), random)
        found = np.zeros((max(orders), draws), bool)
        for row in found:
            known, suspects = np.split(models[:, :, random.permutation(N)], [references], axis=1)
            row[:] = stops(suspects, thresholds(known, rate))[:, 0] > 0
        _row(name, *(f"{100 * found[:count].any(axis=0).mean():.1f} %" for count in orders))


def print_strangers(draws: int, random: np.random.Generator) -> None:
    """Print how many of each kind are accused, all at once and along a path, unless they match less than every copy."""
    _row("suspects", "known copies", "all at once", "along a path")
    _row(*["---"] * 4)
    references, rate = CASES[0]
    for copies in (0, 19):
        for name, law in KINDS.items():
            known = _answers(KINDS["references' kind"](random, (draws, references)), random)
            copied = _answers(KINDS["copies"](random, (draws, copies)), random)
            suspects = _answers(law(random, (draws, 1)), random)
            shares = (accused(known, copied, suspects, rate).mean() for accused in (_at_once, _along_a_path))
            _row(name, copies, *(f"{100 * share:.1f} %" for share in shares))


def _at_once(known: Answers, copies: Answers, suspects: Answers, rate: float) -> Answers:
    count = suspects.sum(axis=2)
    exceeded = np.sort(known.sum(axis=2), axis=1)[:, -exceeded_rank(known.shape[1], rate)]
    low_enough = (copies.sum(axis=2) <= count).any(axis=1) if copies.shape[1] else True
    return np.asarray((count[:, 0] > exceeded) & low_enough, np.bool_)


def _along_a_path(known: Answers, copies: Answers, suspects: Answers, rate: float) -> Answers:
    asked = stops(suspects, thresholds(known, rate))[:, 0]
    if not copies.shape[1]:
        return np.asarray(asked > 0, np.bool_)
    others = np.maximum.accumulate(_running(~suspects, wilson_limits), axis=2)[:, 0]
    seen = np.take_along_axis(others, np.maximum(asked - 1, 0)[:, np.newaxis], axis=1)
    low_enough = (_running(~copies, wilson_limits).max(axis=2) >= seen).any(axis=1)
    return np.asarray((asked > 0) & low_enough, np.bool_)


def print_limits(draws: int, random: np.random.Generator) -> None:
    """Print the mean examples that other limits take."""
    limits: dict[str, Limits] = {f"Wilson, z = {z:g}": _wilson(z) for z in (1.5, 2.0, 2.5, 3.0, 4.0)}
    limits |= {f"Jeffreys, {100 * level:g} %": _jeffreys(level) for level in (0.1, 0.01)}
    _row("limit", *(f"{references} references, {100 * rate:g} %" for references, rate in CASES))
    _row(*["---"] * 3)
    start = random.bit_generator.state
    for name, limit in limits.items():
        means = list[float]()
        for case in CASES:
            random.bit_generator.state = start  # the same models for every limit
            asked = [
                simulated(law, _always(rate), case, draws=draws // 4, random=random, limits=limit)[0]
                for law in LAWS.values()
                for rate in RATES[:3]
            ]
            means.append(float(np.mean([np.where(found, found, N) for found in asked])))
        _row(name, *(f"{mean:.1f}" for mean in means))


def print_recorded(path: Path, kind: str, draws: int, random: np.random.Generator) -> None:
    """Print the queries that the recorded surrogates of a kind take, and how often a recorded reference is accused."""
    subject = load_calibrated(path)
    fingerprint, calibration = subject.fingerprint, subject.calibration
    if calibration is None:
        raise SystemExit(f"{path}: it is not calibrated. Run `cae calibrate` on it.")
    examples = int(calibration.chosen.sum())
    references, surrogates = calibration.references, calibration.surrogates
    known, copies = (group.matches(fingerprint) for group in (references, surrogates))
    thieves = [row for row, model in enumerate(surrogates.models) if model.kind == kind]
    _row("references drawn", "rate", "suspects", "accused", "examples", "queries")
    _row(*["---"] * 6)
    for count, rate in CASES:
        for name, group, rows in ((kind, surrogates, thieves), (INNOCENT, references, range(len(known)))):
            if not rows or len(known) < count + (name == INNOCENT):
                continue
            matches = known if name == INNOCENT else copies
            asked, probes = np.zeros(draws, np.int64), np.zeros(draws, np.int64)
            for draw in range(draws):
                row = random.choice(rows)
                order = _order(fingerprint, calibration.chosen, random.bytes(16))
                drawn = np.delete(np.arange(len(known)), row) if name == INNOCENT else np.arange(len(known))
                drawn = random.permutation(drawn)[:count]
                limit = thresholds(known[np.newaxis, drawn][:, :, order], rate)
                asked[draw] = stops(matches[np.newaxis, [row]][:, :, order], limit)[0, 0]
                probes[draw] = probes_asked(
                    random.permutation(group.right[row])[:MIN_BENIGN],
                    source_accuracy=fingerprint.source_accuracy,
                    classes=len(fingerprint.class_names),
                )
            total = _totals(asked, probes, examples)
            _row(count, f"{100 * rate:g} %", f"{name} ({len(rows)})", *_cells(asked, total, examples))


def _order(fingerprint: Fingerprint, chosen: Answers, nonce: bytes) -> Labels:
    first = path_order(fingerprint, suspect_sha256="", nonce=nonce, chosen=chosen).first
    return np.array([question.index for question in first if question.kind == EXAMPLE], np.int64)


def simulated(
    law: Law,
    suspect: Law,
    case: tuple[int, float],
    *,
    draws: int,
    random: np.random.Generator,
    limits: Limits = wilson_limits,
) -> tuple[Labels, Labels]:
    """Return after how many examples each suspect is accused, 0 where never, and the queries that it took in all."""
    references, rate = case
    asked = list[Labels]()
    for start in range(0, draws, DRAWS_AT_ONCE):
        part = min(DRAWS_AT_ONCE, draws - start)
        known = _answers(law(random, (part, references)), random)
        suspects = _answers(suspect(random, (part, SUSPECTS_A_DRAW)), random)
        asked.append(stops(suspects, thresholds(known, rate, limits), limits).ravel())
    found = np.concatenate(asked)
    right = random.random((len(found), MIN_BENIGN)) < ACCURACY
    probes = [probes_asked(row, source_accuracy=SOURCE_ACCURACY, classes=CLASSES) for row in right]
    return found, _totals(found, np.array(probes, np.int64), N)


def thresholds(known: Answers, rate: float, limits: Limits = wilson_limits) -> Floats64:
    """Return what a path has to exceed, (d,), by the references' answers (d, r, n) in the order asked."""
    scores = _running(known, limits).max(axis=2)
    return np.asarray(np.sort(scores, axis=1)[:, -exceeded_rank(known.shape[1], rate)], np.float64)


def stops(suspects: Answers, limit: Floats64, limits: Limits = wilson_limits) -> Labels:
    """Return after how many answers (d, m, n) each suspect is accused, 0 where never."""
    beyond = _running(suspects, limits) > limit[:, np.newaxis, np.newaxis]
    return np.asarray(np.where(beyond.any(axis=2), beyond.argmax(axis=2) + 1, 0), np.int64)


def probes_asked(right: Answers, *, source_accuracy: float, classes: int) -> int:
    """Return how many benign probes are asked of a suspect that is right about ``right`` (q,) of them, in order."""
    counts = right.cumsum().tolist()
    wanted = range(min(LEAST_BENIGN, len(counts)), len(counts) + 1)
    return next((t for t in wanted if _settled(counts[t - 1], t, source_accuracy, classes)), len(counts))


@cache
def _settled(right: int, asked: int, source_accuracy: float, classes: int) -> bool:
    labels = np.arange(asked, dtype=np.int64) % classes
    answers = np.where(np.arange(asked) < right, labels, (labels + 1) % classes)
    return benign_settled(answers, labels, classes=classes, source_accuracy=source_accuracy)


def _totals(asked: Labels, probes: Labels, examples: int) -> Labels:
    pairs = zip(np.where(asked, asked, examples).tolist(), probes.tolist(), strict=True)
    return np.array([queries_for_examples(own, benign) for own, benign in pairs], np.int64)


def _running(answers: Answers, limits: Limits) -> Floats64:
    asked = np.arange(1, answers.shape[-1] + 1, dtype=np.int64)
    return np.where(asked < FEWEST_ANSWERS, 0, limits(np.cumsum(answers, axis=-1, dtype=np.int64), asked))


def _wilson(z: float) -> Limits:
    def limit(matches: Labels, asked: Labels) -> Floats64:
        s, t = matches.astype(np.float64), asked.astype(np.float64)
        return np.asarray((s + z * z / 2 - z * np.sqrt(s * (t - s) / t + z * z / 4)) / (t + z * z), np.float64)

    return limit


def _jeffreys(level: float) -> Limits:
    from scipy.stats import beta

    counts = np.arange(N + 1)
    table = np.array([beta.ppf(level, counts + 0.5, np.maximum(t - counts, 0) + 0.5) for t in range(N + 1)])
    return lambda matches, asked: np.asarray(table[asked, matches], np.float64)


def _always(rate: float) -> Law:
    return lambda _random, shape: np.full(shape, rate)


def _answers(rates: Floats64, random: np.random.Generator) -> Answers:
    return np.asarray(random.random((*rates.shape, N)) < rates[..., np.newaxis], np.bool_)


def _cells(asked: Labels, total: Labels, examples: int) -> tuple[str, str, str]:
    """Return the share accused, and the mean examples and queries."""
    mean = np.where(asked, asked, examples).mean()
    return f"{100 * (asked > 0).mean():.1f} %", f"{mean:.1f}", f"{total.mean():.1f}"


def _row(*cells: object) -> None:
    print("|", " | ".join(map(str, cells)), "|")


if __name__ == "__main__":
    main()
