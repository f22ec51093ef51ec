"""Every reader, on edited files: it may refuse or accept each, and nothing else may come of it.

`make test` takes the first twelfth of them, without the readers that import a framework, and `make test-long` all.
"""

import os
from collections.abc import Sequence

import pytest

from tests.fuzz.readers.models import can_contain
from tests.fuzz.readers.table import READERS, find_reader
from tests.fuzz.table import FAULTS
from tests.fuzz.watching import PARENT, Result, watch

_CASES, _HEAVY_CASES = 300, 12
_SEED = 20261128

pytestmark = pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="the watch looks into /proc")  # noqa: PTH112


def _watched(name: str, cases: Sequence[int | str]) -> list[Result]:
    reader = find_reader(name)
    if reader.ends_processes and not can_contain():
        pytest.skip("these files end the process that reads them, and this release reads them in it")
    contained = reader.ends_processes
    memory = PARENT if contained else reader.memory
    return list(watch(name, cases, seed=_SEED, memory=memory, contained=contained))


@pytest.mark.parametrize(("name", "count"), [
    *((name, _CASES // 12) for name in READERS if not find_reader(name).heavy),
    *(
        pytest.param(name, _HEAVY_CASES if find_reader(name).heavy else _CASES, marks=pytest.mark.long)
        for name in READERS
    ),
])  # fmt: skip
def test_a_reader_refuses_or_accepts(name: str, count: int) -> None:
    reader = find_reader(name)
    cases = [*reader.failures, *reader.valid, *range(count)]
    results = _watched(name, cases)
    assert [result.case for result in results] == cases
    faults = [(result.case, result.outcome, result.what) for result in results if result.outcome.kind in FAULTS]
    assert not faults
    refused = [result.case for result in results if result.case in reader.valid and result.outcome.kind != "accepted"]
    assert not refused, "a valid file was refused"
    parsed = sum(result.parses for result in results if isinstance(result.case, int))
    assert parsed >= count // 3, "most edits end at the outer parse"
