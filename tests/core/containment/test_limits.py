"""Limits grow with the model and with what it is asked."""

import pytest

from cae_core.containment.limits import GENEROUS, Limits, parse_limits
from cae_core.errors import OptionError

MB = 1 << 20


def test_they_grow() -> None:
    assert GENEROUS.opening_seconds(0) < GENEROUS.opening_seconds(100 * MB)
    assert GENEROUS.question_seconds(0, 1) < GENEROUS.question_seconds(0, 100) < GENEROUS.question_seconds(MB, 100)
    assert GENEROUS.question_seconds(MB, 9) < GENEROUS.question_seconds(MB, 9, gradients=True)
    assert GENEROUS.bytes_of_memory(0) <= GENEROUS.bytes_of_memory(MB) <= GENEROUS.bytes_of_memory(MB, gradients=True)


def test_a_given_one_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    limits = Limits(seconds=3, memory=1 << 40)
    assert (limits.opening_seconds(MB), limits.question_seconds(MB, 9, gradients=True)) == (3, 3)
    assert limits.bytes_of_memory(MB) == 1 << 40
    monkeypatch.setattr("cae_core.containment.limits._machine_memory", lambda: 10 * MB)
    assert GENEROUS.bytes_of_memory(MB) == 8 * MB  # of a small machine, a part


def test_the_command_line() -> None:
    assert parse_limits("") == GENEROUS
    assert parse_limits(" seconds=1.5 , memory=512mb,threads=2,") == Limits(seconds=1.5, memory=512 * MB, threads=2)
    assert parse_limits("memory=1000") == Limits(memory=1000)


@pytest.mark.parametrize(
    "text", ["seconds", "seconds=", "seconds=x", "hours=3", "memory=GB", "memory=1e999GB", "threads=1.5", "=3"]
)
def test_what_is_no_limit(text: str) -> None:
    with pytest.raises(OptionError, match="must be such as seconds=600,memory=8GB,threads=2; found"):
        parse_limits(text)


@pytest.mark.parametrize("text", ["seconds=0", "memory=-1", "threads=0", "seconds=nan", "seconds=inf"])
def test_a_limit_is_positive(text: str) -> None:
    with pytest.raises(OptionError, match="must be a positive number"):
        parse_limits(text)
