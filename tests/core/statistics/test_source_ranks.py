"""Ranks over sources, against an independent implementation, whole enumerations and simulated exchangeable tables."""

import itertools
import math
from fractions import Fraction

import numpy as np
import pytest

from cae_core.arrays import Floats64
from cae_core.errors import OptionError
from cae_core.statistics.ranks import rank_p_value
from cae_core.statistics.source_ranks import (
    least_matches_by_sources,
    least_matches_two_way,
    source_rank_p_value,
    two_way_p_value,
    two_way_residuals,
)

TABLES = 20_000


def residual_p(rates: list[list[float]]) -> Fraction:
    """Return p of the first cell, by sums over lists: another transcription of the same rule."""
    table = [[math.asin(math.sqrt(value)) for value in row] for row in rates]
    rows, columns = len(table), len(table[0])
    of_row = [math.fsum(row) / columns for row in table]
    of_column = [math.fsum(row[j] for row in table) / rows for j in range(columns)]
    everything = math.fsum(of_row) / rows
    residual = [
        table[i][j] - of_row[i] - of_column[j] + everything for i, j in itertools.product(range(rows), range(columns))
    ]
    return Fraction(sum(value >= residual[0] - 1e-9 for value in residual), rows * columns)


def drawn(law: str, rows: int, columns: int, random: np.random.Generator, *, tables: int = 1) -> Floats64:
    """Return (tables, rows, columns) match rates: no row of a table differs from another in law, and no column."""
    spread = 3.0 if law == "heavy" else 1.0
    by_row = (tables, rows, 1)
    effects = random.standard_t(2, by_row) if law == "heavy" else random.normal(size=by_row)
    noise = 0.5 * random.normal(size=(tables, 1, columns)) + 0.4 * random.normal(size=(tables, rows, columns))
    table = 0.5 * spread * effects + noise
    if law == "families":  # models of a family match sources of one
        table += 2.0 * (random.integers(0, 3, by_row) == random.integers(0, 3, (tables, 1, columns)))
    rates = 1 / (1 + np.exp(-np.clip(table, -30, 30)))
    return np.round(rates * (4 if law == "ties" else 100)) / (4 if law == "ties" else 100)


@pytest.mark.parametrize(("rows", "columns"), [(2, 2), (2, 5), (5, 4), (20, 5)])
def test_the_two_way_rank_is_what_another_transcription_says(rows: int, columns: int) -> None:
    random = np.random.default_rng([rows, columns])
    for law in ("plain", "heavy", "families", "ties"):
        for rates in drawn(law, rows, columns, random, tables=50):
            assert two_way_p_value(rates) == pytest.approx(float(residual_p(rates.tolist())), abs=1e-12)


def test_residuals_sum_to_0_along_both_ways() -> None:
    residuals = two_way_residuals(drawn("plain", 7, 4, np.random.default_rng(1))[0])
    np.testing.assert_allclose(residuals.sum(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(residuals.sum(axis=1), 0, atol=1e-12)


@pytest.mark.parametrize("levels", [(0, 1), (0, 0, 1), (0, 1, 2)])
def test_over_every_tiny_table_and_its_permutations_the_rate_is_kept_exactly(levels: tuple[int, ...]) -> None:
    """Of all tables with the same cells up to order of rows and columns, at most the share x has p <= x."""
    of = max(levels)
    for cells in itertools.combinations_with_replacement(sorted(set(levels)), 6):
        for table in set(itertools.permutations(cells)):
            rates = np.array(table, float).reshape(2, 3) / max(of, 1)
            found = [
                residual_p(rates[list(rows)][:, list(columns)].tolist())
                for rows in itertools.permutations(range(2))
                for columns in itertools.permutations(range(3))
            ]
            for k in range(1, 7):
                assert sum(Fraction(p) <= Fraction(k, 6) for p in found) <= Fraction(k, 6) * len(found)


@pytest.mark.parametrize(("references", "controls", "rate"), [(4, 3, 0.05), (9, 9, 0.01), (19, 4, 0.01), (1, 19, 0.05)])
@pytest.mark.parametrize("law", ["plain", "heavy", "families", "ties"])
def test_the_two_way_rank_keeps_its_rate(law: str, references: int, controls: int, rate: float) -> None:
    """Simulated: within four standard errors above the nominal rate, and, where nothing ties, below it."""
    random = np.random.default_rng([ord(law[0]), references, controls])
    tables = drawn(law, references + 1, controls + 1, random, tables=TABLES)
    transformed = np.arcsin(np.sqrt(tables))
    residuals = (
        transformed
        - transformed.mean(axis=1, keepdims=True)
        - transformed.mean(axis=2, keepdims=True)
        + transformed.mean(axis=(1, 2), keepdims=True)
    )
    p = (residuals >= residuals[:, :1, :1] - 1e-9).mean(axis=(1, 2))
    assert [two_way_p_value(table) for table in tables[:200]] == pytest.approx(p[:200].tolist())
    accused, error = float((p <= rate + 1e-12).mean()), math.sqrt(rate * (1 - rate) / TABLES)
    assert accused <= rate + 4 * error
    if law != "ties":  # continuous but for percents: nearly exact
        assert accused >= 0.6 * rate


@pytest.mark.parametrize("law", ["plain", "heavy", "families", "ties"])
def test_the_source_rank_keeps_its_rate_for_one_suspect_of_any_kind(law: str) -> None:
    """One row: the suspect is what it is, and only the sources are drawn."""
    random = np.random.default_rng([5, ord(law[0])])
    rates = drawn(law, 1, 20, random, tables=TABLES)[:, 0]
    p = (1 + (rates[:, 1:] >= rates[:, :1]).sum(axis=1)) / 20
    assert [source_rank_p_value(row) for row in rates[:200]] == pytest.approx(p[:200].tolist())
    accused = float((p <= 0.05).mean())
    assert accused <= 0.05 + 4 * math.sqrt(0.05 * 0.95 / TABLES)
    if law != "ties":
        assert accused >= 0.03  # match rates in percents tie at times


def test_the_smaller_of_two_ranks_keeps_no_rate() -> None:
    """Which is why one of them is declared beforehand: 19 references and 19 controls, each at 5 %."""
    random = np.random.default_rng(8)
    by_row, by_column = (0.5 * random.normal(size=(TABLES, *shape)) for shape in ((20, 1), (1, 20)))
    tables = by_row + by_column + 0.7 * random.normal(size=(TABLES, 20, 20))
    corner = tables[:, :1, 0]
    either = (tables[:, 1:, 0] < corner).all(axis=1) | (tables[:, 0, 1:] < corner).all(axis=1)
    assert either.mean() == pytest.approx(0.089, abs=0.01)


def test_ties_go_against_the_accuser() -> None:
    assert source_rank_p_value([0.5, 0.5, 0.1]) == 2 / 3
    assert source_rank_p_value([0.5]) == 1
    assert two_way_p_value(np.full((3, 4), 0.3)) == 1
    assert two_way_p_value(np.array([[1.0, 0.0], [0.0, 1.0]])) == 0.5  # both diagonal cells are as high


@pytest.mark.parametrize("shape", [(1, 5), (5, 1), (1, 1)])
def test_a_table_of_one_way_is_refused(shape: tuple[int, int]) -> None:
    with pytest.raises(OptionError, match="at least one reference and one control source"):
        two_way_p_value(np.full(shape, 0.5))


@pytest.mark.parametrize(
    ("beside", "least"),
    [
        ((0.0, 0.0, 0.5), 0),  # the other model has much in common with the other source: no match is enough
        ((0.0, 0.1, 0.0), 2),  # one match would leave all four residuals at 0
        ((0.3, 0.0, 0.0), 4),
        ((0.5, 0.5, 0.5), 6),
        ((0.9, 0.9, 0.0), None),
    ],
)
def test_among_two_models_and_two_sources_a_pair_stands_out_with_its_mirror(
    beside: tuple[float, float, float], least: int | None
) -> None:
    """Its residual, (a - b - c + d) / 4 in arcsines of roots, is the last one's, and less by no other: p is 1/2."""
    first, second, third = beside
    table = np.array([[0.0, first], [second, third]])
    assert least_matches_two_way(table, 10, 0.5) == least
    assert least_matches_two_way(table, 10, 0.49) is None


def test_a_source_that_is_always_matched_leaves_no_number_that_is_more() -> None:
    assert least_matches_by_sources(np.array([0.2] * 18 + [1.0]), 10, 0.05) is None
    assert least_matches_by_sources(np.array([0.2] * 18 + [0.9]), 10, 0.05) == 10
    assert least_matches_by_sources(np.array([0.2] * 18), 10, 0.05) is None


@pytest.mark.parametrize("seed", range(20))
def test_the_least_accused_number_of_matches_is_the_boundary(seed: int) -> None:
    """By trying every number: below it p is too large, and from it on it is not."""
    random = np.random.default_rng([seed, 77])
    rates, asked, rate = drawn("plain", 6, 5, random)[0], 25, (0.05, 0.2, 0.5)[seed % 3]
    rates = np.round(rates * asked) / asked
    least = least_matches_two_way(rates, asked, rate)
    accused = []
    for matches in range(asked + 1):
        rates[0, 0] = matches / asked
        accused.append(two_way_p_value(rates) <= rate)
    assert accused == [least is not None and matches >= least for matches in range(asked + 1)]
    row, fpr = rates[0, 1:], (0.2, 0.4, 0.1)[seed % 3]
    found = least_matches_by_sources(row, asked, fpr)
    wanted = [rank_p_value(row, matches / asked) <= fpr + 1e-12 for matches in range(asked + 1)]
    assert wanted == [found is not None and matches >= found for matches in range(asked + 1)]
